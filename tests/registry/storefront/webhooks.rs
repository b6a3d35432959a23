//! `/api/storefront/webhooks`: what a shop is told, signed, and again until it has heard.

use hmac::{Hmac, KeyInit, Mac};
use rostrum::ports::Job;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    ADMIN, RecordedPost, TestConsumer, TestRegistry, file, logs, manifest, statuses_of_concurrent, zip_of,
};

const SHOP: &str = "https://shop.test/hooks";

/// A webhook of all events at [`SHOP`], which hears: its id and its secret.
async fn hooked(registry: &TestRegistry) -> (String, String) {
    registry.composer_host.put(SHOP, "thanks");
    let events = ["version.published", "download.first", "permission.expired"];
    let made = registry.storefront_post("/webhooks", &json!({"url": SHOP, "events": events})).send().await.expect(201);
    (made.id(), made.json()["secret"].as_str().expect("text").to_owned())
}

/// A minute later: what cron finds is sent.
async fn a_minute_later(registry: &TestRegistry) -> Vec<RecordedPost> {
    registry.advance_seconds(60);
    registry.cron().await;
    registry.run_until_idle().await;
    registry.composer_host.take_posts()
}

fn event(posted: &RecordedPost) -> Value {
    serde_json::from_slice(&posted.body).expect("JSON")
}

/// The names of the versions that an event tells of.
fn names(versions: &Value) -> Value {
    versions.as_array().expect("a list").iter().map(|version| version["version"].clone()).collect()
}

async fn log(registry: &TestRegistry, id: &str) -> Vec<Value> {
    let reply = registry.storefront_get(&format!("/webhooks/{id}/deliveries")).send().await.expect(200);
    let rows = reply.json().as_array().expect("a list").clone();
    assert_eq!(reply.header("x-total-count"), rows.len().to_string());
    rows
}

async fn report(registry: &TestRegistry, consumer: &TestConsumer, installs: &Value) {
    let request = registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key);
    request.composer().json(&json!({"downloads": installs})).send().await.expect(204);
    registry.run_until_idle().await;
}

#[tokio::test]
async fn a_webhook_is_made_changed_and_deleted_and_shows_its_secret_once() {
    let registry = TestRegistry::new();
    let spec = json!({"url": SHOP, "events": ["permission.expired", "version.published", "permission.expired"]});
    let made = registry.storefront_post("/webhooks", &spec).send().await.expect(201).json();
    assert_eq!(made["secret"].as_str().map(str::len), Some(60));
    let mut shown = made.clone();
    shown.as_object_mut().expect("an object").remove("secret");
    let id = made["id"].as_str().expect("text");
    assert_eq!(
        shown,
        json!({
            "id": id, "url": SHOP, "events": ["version.published", "permission.expired"], "packages": null, "stability": null,
            "lead_days": 14, "status": 1, "created_at": "2026-01-01 00:00:00", "updated_at": "2026-01-01 00:00:00",
        })
    );
    let path = format!("/webhooks/{id}");
    assert_eq!(registry.storefront_get(&path).send().await.expect(200).json(), shown);
    assert_eq!(registry.storefront_get("/webhooks").send().await.expect(200).json(), json!([shown]));
    registry.advance_seconds(1);
    let patched = registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200).json();
    let put = json!({"url": "https://shop.test/other", "events": ["download.first"], "secret": "0123456789abcdef"});
    assert_eq!(
        patched,
        json!({
            "id": id, "url": SHOP, "events": ["version.published", "permission.expired"], "packages": null, "stability": null,
            "lead_days": 14, "status": 0, "created_at": "2026-01-01 00:00:00", "updated_at": "2026-01-01 00:00:01",
        })
    );
    let put = registry.storefront_put(&path, &put).send().await.expect(200).json();
    assert_eq!(put["url"], "https://shop.test/other");
    assert_eq!((&put["events"], &put["status"], put.get("secret")), (&json!(["download.first"]), &json!(0), None));
    registry.storefront_delete(&path).send().await.expect(204);
    registry.storefront_delete(&path).send().await.expect(404);
    for reply in [
        registry.storefront_get(&path).send().await,
        registry.storefront_patch(&path, &json!({"status": 1})).send().await,
        registry.storefront_get(&format!("{path}/deliveries")).send().await,
        registry.storefront_post(&format!("{path}/test"), &json!({})).send().await,
    ] {
        assert_eq!(reply.expect(404).json()["error"], "Webhook not found");
    }
    let actions = registry.database.rows("SELECT action, target, details FROM audit_log ORDER BY id");
    let names: Vec<&str> = actions.iter().map(|row| row["action"].as_str().expect("text")).collect();
    assert_eq!(names, ["webhook.created", "webhook.changed", "webhook.changed", "webhook.deleted"]);
    assert!(actions.iter().all(|row| row["target"] == id));
    let told = format!("{actions:?}{}", logs::text());
    assert!(!told.contains("0123456789abcdef") && !told.contains(made["secret"].as_str().expect("text")), "{told}");
}

#[tokio::test]
async fn wrong_fields_are_named_and_nothing_is_made() {
    let registry = TestRegistry::new();
    let events = "must name one or more of version.published, version.withdrawn, tag.moved, download.first, \
                  permission.expiring_soon, permission.expired, updates.ending_soon, updates.ended, consumer.disabled, \
                  key.unusual, repository.failed";
    for (spec, detail) in [
        (json!({}), format!("`url` is required; `events` {events}")),
        (json!({"url": SHOP, "events": []}), format!("`events` {events}")),
        (json!({"url": SHOP, "events": ["ping"]}), format!("`events` {events}")),
        (
            json!({"url": "http://shop.test/hooks", "events": ["download.first"]}),
            "`url` must start with https://".to_owned(),
        ),
        (
            json!({"url": "https://169.254.169.254/latest", "events": ["download.first"]}),
            "`url` must not lead to a private, loopback or link-local address".to_owned(),
        ),
        (
            json!({"url": "https://a:b@shop.test/hooks", "events": ["download.first"]}),
            "`url` must not hold credentials; the signature says who sends".to_owned(),
        ),
        (
            json!({"url": format!("https://shop.test/{}", "x".repeat(2000)), "events": ["download.first"]}),
            "`url` must not be longer than 2000 bytes".to_owned(),
        ),
        (
            json!({"url": SHOP, "events": ["download.first"], "secret": "short", "status": 2}),
            "`secret` must be 16 to 255 visible ASCII characters; `status` must be 1 for enabled or 0 for disabled"
                .to_owned(),
        ),
        (json!({"url": SHOP, "events": ["download.first"], "x": 1}), "Unknown field: `x`".to_owned()),
    ] {
        let reply = registry.storefront_post("/webhooks", &spec).send().await.expect(400);
        assert_eq!(reply.json()["error"], detail, "{spec}");
    }
    assert_eq!(registry.storefront_get("/webhooks").send().await.expect(200).json(), json!([]));
    let (id, _) = hooked(&registry).await;
    let path = format!("/webhooks/{id}");
    registry.storefront_patch(&path, &json!({"url": "https://localhost/x"})).send().await.expect(400);
    registry.storefront_patch(&path, &json!({"events": []})).send().await.expect(400);
}

#[tokio::test]
async fn an_address_is_told_once_and_there_are_twenty_at_most() {
    let registry = TestRegistry::new();
    let spec = json!({"url": SHOP, "events": ["download.first"]});
    let requests = (0..4).map(|_| registry.storefront_post("/webhooks", &spec));
    assert_eq!(statuses_of_concurrent(requests).await, [201, 409, 409, 409]);
    let spec = |number: usize| json!({"url": format!("{SHOP}/{number}"), "events": ["download.first"]});
    let requests = (0..25).map(|number| registry.storefront_post("/webhooks", &spec(number)));
    let statuses = statuses_of_concurrent(requests).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 19);
    let refused = registry.storefront_post("/webhooks", &spec(99)).send().await.expect(409);
    assert_eq!(refused.json()["error"], "There are 20 webhooks, which is the maximum. Delete some of them first.");
    let listed = registry.storefront_get("/webhooks").send().await.expect(200).json();
    let other = format!("/webhooks/{}", listed[1]["id"].as_str().expect("text"));
    registry.storefront_patch(&other, &json!({"url": SHOP})).send().await.expect(409);
}

#[tokio::test]
async fn who_does_not_see_every_package_may_not_look_at_webhooks() {
    let registry = TestRegistry::new();
    let (id, _) = hooked(&registry).await;
    let (_, limited) = registry
        .token(&json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]}))
        .await;
    let (_, reads) = registry.token(&json!({"description": "b", "scopes": ["storefront:read"]})).await;
    for path in ["/webhooks".to_owned(), format!("/webhooks/{id}"), format!("/webhooks/{id}/deliveries")] {
        let path = format!("/api/storefront{path}");
        registry.get(&path).bearer(&limited).send().await.expect(403);
        registry.get(&path).bearer(&reads).send().await.expect(200);
        registry.get(&path).send().await.expect(401);
    }
    let path = format!("/api/storefront/webhooks/{id}");
    for token in [&limited, &reads] {
        registry.delete(&path).bearer(token).send().await.expect(403);
        registry.patch(&path).bearer(token).json(&json!({"status": 0})).send().await.expect(403);
        registry.post(&format!("{path}/test")).bearer(token).send().await.expect(403);
        registry.post(&format!("{path}/deliveries/1/redeliver")).bearer(token).send().await.expect(403);
        let spec = json!({"url": "https://evil.test", "events": ["version.published"]});
        registry.post("/api/storefront/webhooks").bearer(token).json(&spec).send().await.expect(403);
    }
}

#[tokio::test]
async fn the_test_button_sends_a_ping_whose_signature_can_be_verified() {
    let registry = TestRegistry::new();
    let (id, secret) = hooked(&registry).await;
    let made = registry.storefront_post(&format!("/webhooks/{id}/test"), &json!({})).send().await.expect(201).json();
    assert_eq!((&made["event"], &made["state"], &made["attempts"]), (&json!("ping"), &json!("pending"), &json!(0)));
    assert_eq!(registry.tasks.jobs(), [Job::Deliver { delivery_id: 1 }], "at once, without waiting for cron");
    registry.run_until_idle().await;
    let posted = registry.composer_host.take_posts();
    let [posted] = posted.as_slice() else { panic!("{posted:?}") };
    assert_eq!(posted.url, SHOP);
    let text =
        format!(r#"{{"id":1,"event":"ping","created_at":"2026-01-01 00:00:00","data":{{"webhook_id":"{id}"}}}}"#);
    assert_eq!(posted.body, text);
    let header = |name: &str| posted.headers[name].to_str().expect("ASCII");
    assert_eq!(header("x-rostrum-event"), "ping");
    assert_eq!(header("x-rostrum-delivery"), "1");
    assert_eq!(header("x-rostrum-timestamp"), "1767225600");
    assert_eq!(header("content-type"), "application/json");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("1767225600.{text}").as_bytes());
    let expected = hex::encode(mac.finalize().into_bytes());
    assert_eq!(header("x-rostrum-signature"), format!("sha256={expected}"));
    let entry = log(&registry, &id).await.remove(0);
    assert_eq!(
        entry,
        json!({
            "id": 1, "event": "ping", "data": {"webhook_id": id}, "state": "delivered", "attempts": 1,
            "next_attempt_at": null, "last_status": 200, "last_error": null,
            "created_at": "2026-01-01 00:00:00", "finished_at": "2026-01-01 00:00:00",
        })
    );
}

#[tokio::test]
async fn new_versions_are_told_once_and_all_of_a_sync_together() {
    let registry = TestRegistry::new();
    let (id, _) = hooked(&registry).await;
    let (repo, repository) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let told = a_minute_later(&registry).await;
    assert_eq!(told.len(), 1);
    let told = event(&told[0]);
    assert_eq!((&told["event"], &told["data"]["package"]), (&json!("version.published"), &json!("acme/lib")));
    let mut versions: Vec<&str> =
        told["data"]["versions"].as_array().expect("a list").iter().filter_map(|v| v["version"].as_str()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
    let released = told["data"]["versions"][0]["released_at"].as_str().expect("text");
    assert_eq!(released.len(), "2026-01-01 00:00:00".len());
    // The branch moves, which is no new version.
    repo.commit(&[manifest("acme/lib"), file("src/B.php", "<?php")]);
    registry.sync(&repository).await;
    assert!(a_minute_later(&registry).await.is_empty());
    repo.tag("3.0.0");
    registry.sync(&repository).await;
    let told = a_minute_later(&registry).await;
    assert_eq!(event(&told[0])["data"]["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(event(&told[0])["data"]["versions"][0]["version"], "3.0.0");
    // Uploads are told of too.
    let zip = zip_of(br#"{"name": "acme/zip", "version": "1.0.0"}"#);
    registry.upload("acme/zip", "1.0.0", zip).await.expect(201);
    let told = a_minute_later(&registry).await;
    assert_eq!(event(&told[0])["data"]["package"], "acme/zip");
    assert_eq!(log(&registry, &id).await.len(), 3);
}

#[tokio::test]
async fn a_hidden_version_is_told_once_when_it_is_shown() {
    let registry = TestRegistry::new();
    hooked(&registry).await;
    let told = async || -> Vec<Value> {
        let events = a_minute_later(&registry).await;
        events.iter().map(|posted| event(posted)["data"]["versions"].clone()).map(|versions| names(&versions)).collect()
    };
    let package = registry.storefront_post("/packages", &json!({"name": "acme/zip"})).send().await.expect(201).json();
    let versions = format!("/versions/package/{}", package["id"]);
    let hidden = json!({"name": "1.0.0", "status": 0});
    let version = registry.storefront_post(&versions, &hidden).send().await.expect(201).json();
    let of =
        async |path: String, status: i64| registry.storefront_patch(&path, &json!({"status": status})).send().await;
    let version = format!("/versions/{}", version["id"]);
    let zip = |version: &str| zip_of(format!(r#"{{"name": "acme/zip", "version": "{version}"}}"#).as_bytes());
    let address = format!("/api/storefront{version}/file");
    registry.put(&address).bearer(ADMIN).body(zip("1.0.0")).send().await.expect(201);
    assert_eq!(told().await, Vec::<Value>::new());
    of(version.clone(), 1).await.expect(200);
    assert_eq!(told().await, [json!(["1.0.0"])]);
    of(version.clone(), 0).await.expect(200);
    of(version.clone(), 1).await.expect(200);
    // The same with a whole package.
    let package = format!("/packages/{}", package["id"]);
    of(package.clone(), 0).await.expect(201);
    for (name, status) in [("2.0.0", 1), ("3.0.0", 0)] {
        let made = json!({"name": name, "status": status});
        let made = registry.storefront_post(&versions, &made).send().await.expect(201).json();
        let address = format!("/api/storefront/versions/{}/file", made["id"]);
        registry.put(&address).bearer(ADMIN).body(zip(name)).send().await.expect(201);
    }
    assert_eq!(told().await, Vec::<Value>::new());
    of(package, 1).await.expect(201);
    assert_eq!(told().await, [json!(["2.0.0"])]);
}

#[tokio::test]
async fn the_first_download_of_a_version_is_told_once_for_each_consumer() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    hooked(&registry).await;
    let consumer = registry.consumer_as(&json!({"email": "a@b.c", "customer_id": "42", "order_id": "1001"})).await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let other = registry.consumer().await;
    registry.grant(&other, "acme/lib", "*").await;
    let install = |version: &str| json!({"name": "acme/lib", "version": version});
    report(&registry, &consumer, &json!([install("1.0.0.0"), install("1.0.0.0"), install("9.0.0.0")])).await;
    let told = a_minute_later(&registry).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        event(&told[0])["data"],
        json!({
            "consumer_id": consumer.id, "customer_id": "42", "order_id": "1001",
            "versions": [{"package": "acme/lib", "version": "1.0.0"}],
        })
    );
    registry.advance_seconds(3 * 86_400);
    report(&registry, &consumer, &json!([install("1.0.0.0")])).await;
    assert!(a_minute_later(&registry).await.is_empty());
    report(&registry, &consumer, &json!([install("1.0.0.0"), install("2.0.0.0")])).await;
    report(&registry, &other, &json!([install("1.0.0.0")])).await;
    let told = a_minute_later(&registry).await;
    let versions: Vec<(i64, String)> = told
        .iter()
        .map(|posted| {
            (
                event(posted)["data"]["consumer_id"].as_i64().expect("an id"),
                event(posted)["data"]["versions"].to_string(),
            )
        })
        .collect();
    assert_eq!(
        versions,
        [
            (consumer.id, r#"[{"package":"acme/lib","version":"2.0.0"}]"#.to_owned()),
            (other.id, r#"[{"package":"acme/lib","version":"1.0.0"}]"#.to_owned()),
        ]
    );
    let token = registry.reader().await;
    let body = json!({"downloads": [install("1.0.0.0")]});
    registry.post("/notify-batch").basic(&token).composer().json(&body).send().await.expect(204);
    registry.run_until_idle().await;
    assert!(a_minute_later(&registry).await.is_empty(), "a token is no consumer");
}

#[tokio::test]
async fn the_end_of_a_permission_is_told_once_and_again_when_it_was_extended() {
    let registry = TestRegistry::new();
    hooked(&registry).await;
    let consumer = registry.consumer().await;
    let spec = json!({
        "consumer_id": consumer.id, "package": "acme/*", "version": "5.*", "expires_at": "2026-01-01 00:02:00",
    });
    let permission = registry.storefront_post("/permissions", &spec).send().await.expect(201).json()["id"].clone();
    registry.grant(&consumer, "acme/forever", "*").await;
    assert!(a_minute_later(&registry).await.is_empty());
    let told = a_minute_later(&registry).await;
    assert_eq!(told.len(), 1);
    assert_eq!(event(&told[0])["event"], "permission.expired");
    assert_eq!(
        event(&told[0])["data"],
        json!({
            "permission_id": permission, "consumer_id": consumer.id, "customer_id": null, "order_id": null,
            "package": "acme/*", "version": "5.*", "updates_until": null, "expires_at": "2026-01-01 00:02:00",
        })
    );
    assert!(a_minute_later(&registry).await.is_empty());
    let later = json!({"expires_at": "2026-01-01 00:05:00"});
    registry.storefront_patch(&format!("/permissions/{permission}"), &later).send().await.expect(200);
    assert!(a_minute_later(&registry).await.is_empty());
    assert_eq!(a_minute_later(&registry).await.len(), 1);
    assert!(a_minute_later(&registry).await.is_empty());
}

#[tokio::test]
async fn only_who_wants_an_event_and_is_enabled_is_told() {
    let registry = TestRegistry::new();
    for (place, events, status) in
        [(0, "permission.expired", 1), (1, "version.published", 0), (2, "version.published", 1)]
    {
        let url = format!("{SHOP}/{place}");
        registry.composer_host.put(&url, "thanks");
        let spec = json!({"url": url, "events": [events], "status": status});
        registry.storefront_post("/webhooks", &spec).send().await.expect(201);
    }
    registry.published("acme/lib", &["1.0.0"]).await;
    let urls: Vec<String> = a_minute_later(&registry).await.into_iter().map(|posted| posted.url).collect();
    assert_eq!(urls, [format!("{SHOP}/2")]);
}
