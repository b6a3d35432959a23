//! What webhooks are told besides new versions and first downloads: ends that come, versions that are withdrawn, keys that go
//! round, repositories that fail. And of what each wants to be told.

use serde_json::{Value, json};

use crate::support::{ADMIN, HostFault, TestConsumer, TestRegistry, file, manifest, zip_of};

const SHOP: &str = "https://shop.test/hooks";

/// A webhook of these events at an address below [`SHOP`], with these filters.
async fn hooked(registry: &TestRegistry, path: &str, events: &[&str], filters: Value) -> String {
    let url = format!("{SHOP}{path}");
    registry.composer_host.put(&url, "thanks");
    let mut spec = filters;
    spec["url"] = json!(url);
    spec["events"] = json!(events);
    registry.storefront_post("/webhooks", &spec).send().await.expect(201).id()
}

/// So many seconds later: what was told since, each as the path of the webhook, the event and its data.
async fn told_after(registry: &TestRegistry, seconds: u64) -> Vec<(String, String, Value)> {
    registry.advance_seconds(seconds);
    registry.cron().await;
    registry.run_until_idle().await;
    let posts = registry.composer_host.take_posts().into_iter();
    let mut told: Vec<(String, String, Value)> = posts
        .map(|post| {
            let event: Value = serde_json::from_slice(&post.body).expect("JSON");
            let name = event["event"].as_str().expect("text").to_owned();
            (post.url.replace(SHOP, ""), name, event["data"].clone())
        })
        .collect();
    told.sort_by_key(|(path, event, data)| format!("{path} {event} {data}"));
    told
}

/// The events alone.
async fn events_after(registry: &TestRegistry, seconds: u64) -> Vec<String> {
    told_after(registry, seconds).await.into_iter().map(|(path, event, _)| format!("{path} {event}")).collect()
}

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn an_end_is_told_so_many_days_before_as_each_webhook_asks_and_when_it_comes() {
    let registry = TestRegistry::new();
    let ends = ["permission.expiring_soon", "permission.expired", "updates.ending_soon", "updates.ended"];
    hooked(&registry, "/late", &ends, json!({"lead_days": 2})).await;
    hooked(&registry, "/early", &ends[..3], json!({"lead_days": 7})).await;
    let consumer = registry.consumer_as(&json!({"email": "a@b.c", "customer_id": "42", "order_id": "1001"})).await;
    let list = json!([{
        "package": "acme/lib", "version": "5.*", "updates_until": "2026-01-11 00:00:00", "expires_at": "2026-01-21 00:00:00",
    }]);
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let permission = registry.storefront_put(&path, &list).send().await.expect(200).json()[0]["id"].clone();
    assert_eq!(events_after(&registry, DAY).await, [] as [String; 0]);
    let data = json!({
        "permission_id": permission, "consumer_id": consumer.id, "customer_id": "42", "order_id": "1001",
        "package": "acme/lib", "version": "5.*", "updates_until": "2026-01-11 00:00:00",
        "expires_at": "2026-01-21 00:00:00",
    });
    // 4 January is seven days before.
    assert_eq!(told_after(&registry, 2 * DAY).await, [("/early".to_owned(), "updates.ending_soon".to_owned(), data)]);
    assert_eq!(events_after(&registry, 600).await, [] as [String; 0], "once");
    assert_eq!(events_after(&registry, 5 * DAY).await, ["/late updates.ending_soon"]);
    assert_eq!(events_after(&registry, 2 * DAY).await, ["/late updates.ended"]);
    assert_eq!(events_after(&registry, DAY).await, [] as [String; 0]);
    assert_eq!(events_after(&registry, 3 * DAY).await, ["/early permission.expiring_soon"]);
    // Extended, and told again of the new end alone.
    let later = json!({"expires_at": "2026-01-31 00:00:00", "updates_until": null});
    registry.storefront_patch(&format!("/permissions/{permission}"), &later).send().await.expect(200);
    assert_eq!(events_after(&registry, 8 * DAY).await, [] as [String; 0]);
    assert_eq!(events_after(&registry, 2 * DAY).await, ["/early permission.expiring_soon"]);
    let told = events_after(&registry, 7 * DAY).await;
    assert_eq!(
        told,
        ["/early permission.expired", "/late permission.expired"],
        "the webhooks' host was not asked on time"
    );
    // The next full hour.
    assert_eq!(events_after(&registry, 3000).await, [] as [String; 0]);
    assert_eq!(registry.database.rows("SELECT * FROM ending_notices"), [] as [Value; 0]);
}

#[tokio::test]
async fn nothing_is_told_of_updates_that_end_with_their_permission_or_had_ended_before_it_was_made() {
    let registry = TestRegistry::new();
    hooked(&registry, "", &["updates.ending_soon", "updates.ended"], json!({})).await;
    let consumer = registry.consumer().await;
    let list = json!([
        {"package": "acme/a", "version": "*", "updates_until": "2025-06-01 00:00:00"},
        {"package": "acme/b", "version": "*", "updates_until": "2026-01-03 00:00:00", "expires_at": "2026-01-03 00:00:00"},
    ]);
    registry.storefront_put(&format!("/consumers/{}/entitlements", consumer.id), &list).send().await.expect(200);
    for _ in 0..4 {
        assert_eq!(events_after(&registry, DAY).await, [] as [String; 0]);
    }
}

#[tokio::test]
async fn a_thousand_ends_are_told_at_once_and_the_others_after_them() {
    let registry = TestRegistry::new();
    hooked(&registry, "", &["updates.ending_soon"], json!({})).await;
    let consumer = registry.consumer().await;
    registry.database.execute(&format!(
        "INSERT INTO grants (consumer_id, target, version_constraint, updates_until, created_at, updated_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1100)
         SELECT {}, 'acme/p' || value, '*', 1767225600000 + 864000000, 0, 0 FROM n",
        consumer.id
    ));
    let written = || registry.database.rows("SELECT count(*) AS n FROM webhook_deliveries")[0]["n"].clone();
    for expected in [1000, 1100, 1100] {
        registry.cron().await;
        assert_eq!(written(), expected);
        registry.advance_seconds(600);
    }
}

/// An uploaded package with a stable version, a beta and a dev version; the ids of package and versions.
async fn uploaded(registry: &TestRegistry) -> (i64, Vec<Value>) {
    for version in ["1.0.0", "1.1.0-beta1", "dev-main"] {
        let zip = zip_of(format!(r#"{{"name": "acme/zip", "version": "{version}"}}"#).as_bytes());
        registry.upload("acme/zip", version, zip).await.expect(201);
    }
    let package = registry.package_id("acme/zip");
    let versions = registry.storefront_get(&format!("/versions/package/{package}")).send().await.expect(200).json();
    let mut versions = versions.as_array().expect("a list").clone();
    versions.sort_by_key(|version| version["id"].as_i64());
    (package, versions)
}

#[tokio::test]
async fn new_versions_are_told_with_ids_and_stability_to_who_wants_them_that_stable() {
    let registry = TestRegistry::new();
    for (path, stability) in [("/default", Value::Null), ("/dev", json!("dev")), ("/stable", json!("stable"))] {
        hooked(&registry, path, &["version.published"], json!({"stability": stability})).await;
    }
    hooked(
        &registry,
        "/others",
        &["version.published"],
        json!({"packages": ["acme/lib", "other/*"], "stability": "dev"}),
    )
    .await;
    hooked(&registry, "/acme", &["version.published"], json!({"packages": ["Acme/*"], "stability": "rc"})).await;
    let (package, versions) = uploaded(&registry).await;
    let told = told_after(&registry, 60).await;
    let data = |at: usize, stability: &str| {
        json!({
            "package_id": package, "package": "acme/zip", "versions": [{
                "version_id": versions[at]["id"], "version": versions[at]["name"], "stability": stability,
                "released_at": "2026-01-01 00:00:00",
            }],
        })
    };
    let (stable, beta, dev) = (data(0, "stable"), data(1, "beta"), data(2, "dev"));
    let expected: Vec<(String, Value)> = [
        ("/acme", &stable),
        ("/default", &stable),
        ("/default", &beta),
        ("/dev", &stable),
        ("/dev", &beta),
        ("/dev", &dev),
        ("/stable", &stable),
    ]
    .map(|(path, data)| (path.to_owned(), data.clone()))
    .into();
    let told: Vec<(String, Value)> = told.into_iter().map(|(path, _, data)| (path, data)).collect();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(expected.iter().all(|one| told.contains(one)), "{told:?}");
}

#[tokio::test]
async fn the_stability_of_a_version_is_what_composer_reads_in_it() {
    let registry = TestRegistry::new();
    hooked(&registry, "", &["version.published"], json!({"stability": "dev"})).await;
    let tags =
        ["1.0.0", "1.0.1-patch1", "1.1.0-alpha", "1.1.0-a2", "1.1.0-b1", "1.1.0-RC3", "1.1.0-beta.4", "1.2.0-dev"];
    let repo = registry.repository("acme/lib");
    repo.branch("feature-alpha");
    repo.branch("2.x");
    for tag in tags {
        repo.tag(tag);
    }
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let told = told_after(&registry, 60).await;
    let versions = told[0].2["versions"].as_array().expect("a list");
    assert!(versions.len() >= 10, "{versions:?}");
    for version in versions {
        let name = version["version"].as_str().expect("text");
        let normalized = composer::normalize_name(name).expect("a version");
        assert_eq!(version["stability"], normalized.stability().as_str(), "{name}");
    }
}

#[tokio::test]
async fn what_is_withdrawn_is_told_with_the_reason_and_what_nobody_could_see_is_not() {
    let registry = TestRegistry::new();
    hooked(&registry, "", &["version.withdrawn"], json!({})).await;
    hooked(&registry, "/others", &["version.withdrawn"], json!({"packages": ["other/*"]})).await;
    let (package, versions) = uploaded(&registry).await;
    let (one, beta) = (&versions[0]["id"], &versions[1]["id"]);
    let reasons = async || -> Vec<Value> {
        let told = told_after(&registry, 60).await;
        let names = |data: &Value| -> Vec<Value> {
            data["versions"].as_array().expect("a list").iter().map(|version| version["version_id"].clone()).collect()
        };
        told.iter().map(|(path, _, data)| json!([path, data["package_id"], data["reason"], names(data)])).collect()
    };
    let patch = async |path: String, body: Value| registry.storefront_patch(&path, &body).send().await;
    patch(format!("/versions/{one}"), json!({"security_fix": true})).await.expect(200);
    assert_eq!(reasons().await, [json!(["", package, "security_fix", [one]])]);
    registry.post("/api/packages/acme%2Fzip/versions/1.0.0/yank").bearer(ADMIN).send().await.expect(200);
    registry.post("/api/packages/acme%2Fzip/versions/1.0.0/yank").bearer(ADMIN).send().await.expect(200);
    assert_eq!(reasons().await, [json!(["", package, "yanked", [one]])]);
    patch(format!("/versions/{one}"), json!({"status": 0})).await.expect(200);
    assert_eq!(reasons().await, [json!(["", package, "hidden", [one]])]);
    // It is hidden already; the dev version was never announced to this webhook.
    patch(format!("/packages/{package}"), json!({"status": 0})).await.expect(201);
    assert_eq!(reasons().await, [json!(["", package, "hidden", [beta]])]);
    patch(format!("/packages/{package}"), json!({"status": 1})).await.expect(201);
    for back in [json!({"status": 1}), json!({"security_fix": false})] {
        patch(format!("/versions/{one}"), back).await.expect(200);
    }
    registry.post("/api/packages/acme%2Fzip/versions/1.0.0/unyank").bearer(ADMIN).send().await.expect(200);
    assert_eq!(reasons().await, [] as [Value; 0], "what comes back is not withdrawn");
    registry.storefront_delete(&format!("/versions/{one}")).send().await.expect(204);
    assert_eq!(reasons().await, [json!(["", package, "deleted", [one]])]);
    registry.storefront_delete(&format!("/packages/{package}")).send().await.expect(204);
    assert_eq!(reasons().await, [json!(["", package, "deleted", [beta]])]);
}

#[tokio::test]
async fn a_disabled_consumer_is_told_once() {
    let registry = TestRegistry::new();
    hooked(&registry, "", &["consumer.disabled"], json!({"packages": ["acme/lib"]})).await;
    let consumer = registry.consumer_as(&json!({"email": "a@b.c", "customer_id": "42"})).await;
    let path = format!("/consumers/{}", consumer.id);
    for (change, is_told) in [
        (json!({"order_id": "1"}), false),
        (json!({"status": 0}), true),
        (json!({"status": 0, "order_id": "2"}), false),
        (json!({"status": 1}), false),
    ] {
        registry.storefront_patch(&path, &change).send().await.expect(200);
        let told = told_after(&registry, 60).await;
        let data = json!({"consumer_id": consumer.id, "customer_id": "42", "order_id": "1"});
        let expected = [(String::new(), "consumer.disabled".to_owned(), data)];
        assert_eq!(told, if is_told { &expected[..] } else { &[] }, "{change}");
    }
}

async fn report_from(registry: &TestRegistry, consumer: &TestConsumer, address: &str) {
    let body = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
    let request = registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key);
    request.composer().header("cf-connecting-ip", address).json(&body).send().await.expect(204);
    registry.run_until_idle().await;
}

#[tokio::test]
async fn a_key_that_is_used_from_many_networks_is_told_once_a_day() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    hooked(&registry, "", &["key.unusual"], json!({})).await;
    let (consumer, other) = (registry.consumer().await, registry.consumer().await);
    for one in [&consumer, &other] {
        registry.grant(one, "acme/lib", "*").await;
    }
    registry.advance_seconds(3600);
    for number in 0..19 {
        report_from(&registry, &consumer, &format!("203.0.113.{number}")).await;
        report_from(&registry, &consumer, &format!("203.0.113.{number}")).await;
        report_from(&registry, &other, &format!("2001:db8:1:2::{number}")).await;
    }
    assert_eq!(events_after(&registry, 60).await, [] as [String; 0]);
    for number in 19..30 {
        report_from(&registry, &consumer, &format!("203.0.113.{number}")).await;
        report_from(&registry, &other, &format!("2001:db8:1:2::{number}")).await;
    }
    let data = json!({
        "consumer_id": consumer.id, "customer_id": null, "order_id": null, "day": "2026-01-01", "networks": 20,
    });
    assert_eq!(told_after(&registry, 60).await, [(String::new(), "key.unusual".to_owned(), data)]);
    // Another day, another bound.
    registry.advance_seconds(DAY);
    registry.set(json!({"unusual_networks": 2})).await;
    for (number, expected) in [(1, 0), (2, 1), (3, 0)] {
        registry.advance_seconds(DAY / 4);
        report_from(&registry, &other, &format!("198.51.100.{number}")).await;
        assert_eq!(events_after(&registry, 60).await.len(), expected, "{number}");
    }
    for (bound, status) in [(1, 400), (1001, 400), (1000, 200)] {
        let change = json!({"unusual_networks": bound});
        registry.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_repository_that_fails_is_told_once_until_it_was_well_again() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    hooked(&registry, "", &["repository.failed"], json!({"packages": ["acme/lib"]})).await;
    hooked(&registry, "/others", &["repository.failed"], json!({"packages": ["acme/other"]})).await;
    let sync = async || {
        registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        registry.run_until_idle().await;
        told_after(&registry, 60).await
    };
    assert_eq!(sync().await, []);
    for _ in 0..2 {
        registry.git_host.inject_fault(HostFault::Status(404));
        let told = sync().await;
        assert_eq!(told.len(), 1, "{told:?}");
        let (path, event, data) = &told[0];
        assert_eq!((path.as_str(), event.as_str()), ("", "repository.failed"));
        assert_eq!((&data["repository_id"], &data["url"]), (&json!(id), &json!(repo.url)));
        assert!(data["error"].as_str().is_some_and(|error| error.contains("404")), "{data}");
        for _ in 0..2 {
            assert_eq!(sync().await, [], "it is known");
        }
        registry.git_host.recover();
        repo.commit(&[manifest("acme/lib"), file("a.php", "<?php")]);
        assert_eq!(sync().await, []);
    }
}

#[tokio::test]
async fn wrong_filters_are_named_and_null_takes_one_away() {
    let registry = TestRegistry::new();
    let id = hooked(
        &registry,
        "",
        &["version.published"],
        json!({"packages": ["Acme/*"], "stability": "rc", "lead_days": 3}),
    )
    .await;
    let path = format!("/webhooks/{id}");
    let many = vec!["acme/lib"; 101];
    for (change, detail) in [
        (json!({"packages": []}), "`packages` must name 1 to 100 packages, or be null for all"),
        (json!({"packages": many}), "`packages` must name 1 to 100 packages, or be null for all"),
        (
            json!({"packages": ["*/lib"]}),
            "`packages` `*/lib` is neither the name of a package nor the beginning of one with `*` behind it, like `acme/*`",
        ),
        (
            json!({"stability": "gold"}),
            "`stability` is wrong: \"gold\" is not a stability; use one of stable, RC, beta, alpha, dev",
        ),
        (json!({"lead_days": 0}), "`lead_days` must be 1 to 366"),
    ] {
        let refused = registry.storefront_patch(&path, &change).send().await.expect(400);
        assert_eq!(refused.json()["error"], detail);
    }
    let shown = |view: Value| json!([view["packages"], view["stability"], view["lead_days"]]);
    let now = registry.storefront_get(&path).send().await.expect(200).json();
    assert_eq!(shown(now), json!([["acme/*"], "RC", 3]));
    let cleared = json!({"packages": null, "stability": null});
    let cleared = registry.storefront_patch(&path, &cleared).send().await.expect(200).json();
    assert_eq!(shown(cleared), json!([null, null, 3]));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_sent_one_delivery_at_a_time_and_holds_nobody_up() {
    let registry = TestRegistry::new();
    let silent = hooked(&registry, "/silent", &["permission.expired"], json!({})).await;
    let fine = hooked(&registry, "/fine", &["permission.expired"], json!({})).await;
    registry.composer_host.inject_fault(&format!("{SHOP}/silent"), HostFault::TimedOut);
    registry.storefront_post(&format!("/webhooks/{silent}/test"), &json!({})).send().await.expect(201);
    registry.run_until_idle().await;
    registry.composer_host.take_posts();
    // 300 deliveries each, those of the silent one first.
    for (webhook, due) in [(&silent, 0), (&fine, 1)] {
        registry.database.execute(&format!(
            "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
             WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 300)
             SELECT w.id, 'ping', '{{}}', {due}, 1767225600000 FROM n, webhooks w WHERE w.uid = '{webhook}'"
        ));
    }
    registry.cron().await;
    let jobs = registry.tasks.jobs();
    assert_eq!(jobs.len(), 101, "one of the silent one, and a hundred of the other");
    registry.run_until_idle().await;
    let posts = registry.composer_host.take_posts();
    let silents = posts.iter().filter(|post| post.url.ends_with("/silent")).count();
    assert_eq!((silents, posts.len()), (1, 101));
    // While one is being sent, another one is not.
    registry.database.execute("UPDATE webhook_deliveries SET lease_until = 1767225700000 WHERE id = 2");
    let job = rostrum::ports::Job::Deliver { delivery_id: 3 };
    rostrum::registry::operations::jobs::perform(&registry.isolate.app, job.clone())
        .await
        .expect("somebody else's turn");
    assert!(registry.composer_host.take_posts().is_empty());
    // Once it has answered, whatever it says, it is sent as much as others.
    registry.database.execute("UPDATE webhook_deliveries SET lease_until = NULL, next_attempt_at = 0 WHERE id = 2");
    registry.composer_host.recover();
    rostrum::registry::operations::jobs::perform(&registry.isolate.app, job).await.expect("sent");
    registry.tasks.lose_jobs();
    registry.composer_host.take_posts();
    registry.cron().await;
    registry.run_until_idle().await;
    assert_eq!(registry.composer_host.take_posts().len(), 200);
}
