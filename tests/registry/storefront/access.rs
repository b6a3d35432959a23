//! What consumers see with their key pairs and their further tokens, and how soon a change shows.

use rostrum::store::access::{past_grants, tokens};
use rostrum::store::storefront::consumers;
use rostrum::store::storefront::entitlements::{self, Entitlement, PermissionRow};
use rostrum::store::storefront::permission_edits::{self, WrittenPermission};
use rostrum::store::storefront::permission_lists::{self, PermissionFilter};
use rostrum::store::{OrganizationId, Page};
use serde_json::{Value, json};

use crate::support::database::statements;
use crate::support::{ADMIN, Calls, TestConsumer, TestRegistry};

/// A shop with one package of three versions.
async fn shop() -> (TestRegistry, TestConsumer, String) {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["1.0.0", "5.0.0", "5.1.0"]).await;
    let consumer = registry.consumer().await;
    let reference = repo.id("main");
    (registry, consumer, reference)
}

async fn versions(registry: &TestRegistry, consumer: &TestConsumer) -> Vec<String> {
    let reply = consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await;
    if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("acme/lib") }
}

async fn permit(registry: &TestRegistry, consumer: &TestConsumer, more: Value) -> Value {
    let mut body = json!({"consumer_id": consumer.id, "package": "acme/lib", "version": "*"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    registry.storefront_post("/permissions", &body).send().await.expect(201).json()
}

#[tokio::test]
async fn a_consumer_sees_what_it_was_granted_on_every_surface_and_nothing_else() {
    let (registry, consumer, reference) = shop().await;
    registry.published("other/hidden", &["1.0.0"]).await;
    let request = async |path: &str| consumer.get(&registry.isolate, path).send().await;
    assert_eq!(request("/list.json").await.expect(200).json(), json!({"packageNames": []}));
    registry.grant(&consumer, "acme/lib", "5.*").await;
    assert_eq!(request("/list.json").await.expect(200).json(), json!({"packageNames": ["acme/lib"]}));
    assert_eq!(request("/search.json?q=").await.expect(200).json()["total"], 1);
    assert_eq!(versions(&registry, &consumer).await, ["5.1.0", "5.0.0"]);
    request(&format!("/dist/acme/lib/5.0.0/{reference}.zip")).await.expect(200);
    request(&format!("/dist/acme/lib/1.0.0/{reference}.zip")).await.expect(404);
    request("/dist/acme/lib/1.0.0.zip").await.expect(404);
    request("/p2/other/hidden.json").await.expect_claim("other/hidden");
    request("/dist/other/hidden/1.0.0.zip").await.expect(404);
    assert_eq!(request("/api/packages").await.expect(200).header("x-total-count"), "1");
    request("/api/tokens").await.expect(403);
    request("/api/storefront/consumers").await.expect(403);
}

#[tokio::test]
async fn a_changed_permission_is_another_view_so_that_composer_gets_everything_anew() {
    let (registry, consumer, _) = shop().await;
    let made = registry.grant(&consumer, "acme/lib", "5.*").await;
    let path = format!("/permissions/{}", made["id"]);
    let p2 = |earlier| consumer.get(&registry.isolate, "/p2/acme/lib.json").if_modified_since(earlier);
    let five = consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
    p2(&five).send().await.expect(304);
    registry.storefront_patch(&path, &json!({"version": "1.*"})).send().await.expect(200);
    let one = p2(&five).send().await.expect(200);
    assert_eq!(one.version_names("acme/lib"), ["1.0.0"]);
    registry.grant(&consumer, "acme/lib", "5.0.*").await;
    let both = p2(&one).send().await.expect(200);
    assert_eq!(both.version_names("acme/lib"), ["5.0.0", "1.0.0"]);
    registry.storefront_delete(&path).send().await.expect(204);
    assert_eq!(p2(&both).send().await.expect(200).version_names("acme/lib"), ["5.0.0"]);
    registry.storefront_delete(&path).send().await.expect(404);
    let list = format!("/consumers/{}/entitlements", consumer.id);
    registry.storefront_put(&list, &json!([])).send().await.expect(200);
    p2(&both).send().await.expect_claim("acme/lib");
    let back = json!([{"package": "acme/lib", "version": "5.*"}]);
    registry.storefront_put(&list, &back).send().await.expect(200);
    p2(&five).send().await.expect(304);
}

#[tokio::test]
async fn customers_who_see_the_same_versions_share_one_document_whatever_they_paid_for() {
    let (registry, consumer, _) = shop().await;
    let other = registry.consumer().await;
    let third = registry.consumer().await;
    let dev = |mut fields: Value| {
        fields["minimum_stability"] = json!("dev");
        fields
    };
    permit(&registry, &consumer, dev(json!({"version": "5.*"}))).await;
    permit(&registry, &other, dev(json!({"version": ">=5", "updates_until": "2999-01-01 00:00:00"}))).await;
    permit(&registry, &other, json!({"version": "5.0.0"})).await;
    permit(&registry, &third, dev(json!({"version": "*"}))).await;
    for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        let request = async |consumer: &TestConsumer| consumer.get(&registry.isolate, path).send().await.expect(200);
        let (one, same, more) = (request(&consumer).await, request(&other).await, request(&third).await);
        for header in ["etag", "last-modified"] {
            assert_eq!(one.header(header), same.header(header), "{path} {header}");
            assert_ne!(one.header(header), more.header(header), "{path} {header}");
        }
        assert_eq!(one.text(), same.text(), "{path}");
        other.get(&registry.isolate, path).if_modified_since(&one).send().await.expect(304);
        third.get(&registry.isolate, path).if_modified_since(&one).send().await.expect(200);
        let elsewhere = registry.another_isolate();
        other.get(&elsewhere, path).if_modified_since(&one).send().await.expect(304);
    }
}

#[tokio::test]
async fn a_customer_is_not_told_where_the_sources_are_and_a_token_is() {
    let (registry, consumer, _) = shop().await;
    let reader = registry.reader().await;
    for granted in ["5.*", "*"] {
        registry.grant(&consumer, "acme/lib", granted).await;
        for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
            let told = registry.get(path).basic(&reader).composer().send().await.expect(200);
            let untold = consumer.get(&registry.isolate, path).send().await.expect(200);
            let pair = (consumer.public_key.as_str(), consumer.private_key.as_str());
            let plain = registry.get(path).pair(pair.0, pair.1).send().await.expect(200);
            assert!(plain.json()["packages"]["acme/lib"].is_object(), "each version by its name, in full");
            assert!(told.text().contains("\"source\""), "{path}");
            assert!(!untold.text().contains("\"source\""), "{path} {granted}");
            assert!(!plain.text().contains("\"source\""), "{path} {granted}");
            assert_ne!(told.header("etag"), untold.header("etag"));
            assert_ne!(told.header("last-modified"), untold.header("last-modified"), "composer shares a cache");
            for version in untold.versions("acme/lib") {
                assert_eq!(version["dist"]["type"], "zip");
            }
        }
    }
}

#[tokio::test]
async fn a_change_is_believed_at_once_here_and_within_the_bound_elsewhere() {
    let (registry, consumer, _) = shop().await;
    let made = registry.grant(&consumer, "acme/lib", "5.*").await;
    let elsewhere = registry.another_isolate();
    consumer.get(&elsewhere, "/p2/acme/lib.json").send().await.expect(200);
    consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
    registry.cache.delay_propagation();
    registry.storefront_delete(&format!("/permissions/{}", made["id"])).send().await.expect(204);
    for _ in 0..4 {
        consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect_claim("acme/lib");
        registry.advance_seconds(30);
    }
    consumer.get(&elsewhere, "/p2/acme/lib.json").send().await.expect_claim("acme/lib");
}

#[tokio::test]
async fn a_permission_ends_at_its_moment() {
    let (registry, consumer, _) = shop().await;
    let end = registry.isolate.app.now().seconds() + 3600;
    let made = permit(&registry, &consumer, json!({})).await;
    registry.database.execute(&format!("UPDATE grants SET expires_at = {end} * 1000"));
    let shown = registry.storefront_get(&format!("/permissions/{}", made["id"])).send().await.expect(200).json();
    registry.database.execute("UPDATE grants SET expires_at = NULL");
    let body = json!({"expires_at": shown["expires_at"]});
    registry.storefront_patch(&format!("/permissions/{}", made["id"]), &body).send().await.expect(200);
    registry.advance_seconds(3599);
    assert_eq!(versions(&registry, &consumer).await.len(), 3);
    registry.advance_seconds(1);
    assert!(versions(&registry, &consumer).await.is_empty());
    consumer.get(&registry.isolate, "/dist/acme/lib/1.0.0.zip").send().await.expect(404);
}

#[tokio::test]
async fn versions_released_until_a_day_stay_installable_and_later_ones_never_show() {
    let (registry, consumer, _) = shop().await;
    registry.database.execute(
        "UPDATE versions SET released_at = 1500000000000 WHERE pretty = '5.0.0';
         UPDATE packages SET version_index =
           (SELECT json_group_array(json_array(normalized, CASE pretty WHEN '5.0.0' THEN 1500000000000
              ELSE released_at END, pretty)) FROM versions WHERE removed_at IS NULL AND package_id = packages.id);",
    );
    permit(&registry, &consumer, json!({"updates_until": "2017-07-14 02:40:00"})).await;
    consumer.get(&registry.isolate, "/dist/acme/lib/5.0.0.zip").send().await.expect(200);
    consumer.get(&registry.isolate, "/dist/acme/lib/5.1.0.zip").send().await.expect(404);
    registry.advance_seconds(365 * 24 * 3600);
    consumer.get(&registry.isolate, "/dist/acme/lib/5.0.0.zip").send().await.expect(200);
}

#[tokio::test]
async fn a_disabled_consumer_is_refused_with_a_warning_that_composer_prints() {
    let (registry, consumer, _) = shop().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let path = format!("/consumers/{}", consumer.id);
    let made =
        registry.storefront_post(&format!("{path}/tokens"), &json!({"description": "a"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let elsewhere = registry.another_isolate();
    consumer.get(&elsewhere, "/packages.json").send().await.expect(200);
    assert_eq!(registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200).json()["status"], 0);
    let refused = consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(401);
    let words = "This account was disabled. Ask whoever sold you the packages.";
    assert_eq!(refused.json(), json!({"error": words, "warning": words, "code": "UNAUTHENTICATED", "details": {}}));
    assert_eq!(refused.header("content-type"), "application/json");
    assert!(refused.header("www-authenticate").starts_with("Basic"));
    assert_eq!(
        registry.get("/packages.json").basic(&token).composer().send().await.expect(401).json()["warning"],
        words
    );
    registry.advance_seconds(30);
    assert_eq!(consumer.get(&elsewhere, "/packages.json").send().await.expect(401).json()["warning"], words);
    let listed = registry.storefront_get(&path).send().await.expect(200).json();
    assert_eq!(listed["status"], 0);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(200);
    consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
}

#[tokio::test]
async fn a_wrong_pair_is_refused_in_the_words_of_an_unknown_token_and_remembered() {
    let (registry, consumer, _) = shop().await;
    let other = registry.consumer().await;
    let unknown = registry.get("/packages.json").basic("wrong").composer().send().await.expect(401);
    let path = "/packages.json";
    for (public, private) in [
        (consumer.public_key.as_str(), other.private_key.as_str()),
        (other.public_key.as_str(), consumer.private_key.as_str()),
        (consumer.private_key.as_str(), consumer.public_key.as_str()),
        (consumer.public_key.as_str(), consumer.public_key.as_str()),
        ("anybody", consumer.private_key.as_str()),
        (consumer.public_key.as_str(), ""),
    ] {
        let reply = registry.get(path).pair(public, private).composer().send().await.expect(401);
        if !private.is_empty() {
            assert_eq!(reply.text(), unknown.text());
        }
        let (_, again) = registry.counted(registry.get(path).pair(public, private).composer().send()).await;
        assert_eq!(again, Calls::default());
    }
    registry.get(path).bearer(&consumer.private_key).composer().send().await.expect(401);
    consumer.get(&registry.isolate, path).send().await.expect(200);
}

#[tokio::test]
async fn a_pair_costs_what_a_token_costs() {
    let (registry, consumer, _) = shop().await;
    registry.grant(&consumer, "acme/lib", "5.*").await;
    let path = "/p2/acme/lib.json";
    let (reply, unseen) = registry.counted(consumer.get(&registry.another_isolate(), path).send()).await;
    reply.expect(200);
    let expected =
        Calls { round_trips: 1, statements: 2, cache_reads: 1, cache_lists: 1, cache_writes: 1, ..Calls::default() };
    assert_eq!(unseen, expected);
    let (reply, cold) = registry.counted(consumer.get(&registry.another_isolate(), path).send()).await;
    reply.expect(200);
    assert_eq!(cold, Calls { round_trips: 1, statements: 1, cache_reads: 1, cache_lists: 1, ..Calls::default() });
    consumer.get(&registry.isolate, path).send().await.expect(200);
    let (reply, warm) = registry.counted(consumer.get(&registry.isolate, path).send()).await;
    reply.expect(200);
    assert_eq!(warm, Calls::default());
}

#[tokio::test]
async fn seats_bound_the_further_tokens_which_see_what_the_consumer_sees() {
    let (registry, consumer, _) = shop().await;
    registry.grant(&consumer, "acme/lib", "5.*").await;
    let path = format!("/consumers/{}", consumer.id);
    let tokens = format!("{path}/tokens");
    assert_eq!(registry.storefront_get(&tokens).send().await.expect(200).json(), json!([]));
    registry.storefront_patch(&path, &json!({"seats": 2})).send().await.expect(200);
    let request = || registry.storefront_post(&tokens, &json!({"description": " build server "}));
    let mut statuses = Vec::new();
    let mut made = Vec::new();
    for reply in crate::support::send_concurrently((0..3).map(|_| request())).await {
        statuses.push(reply.status);
        if reply.status == 201 {
            made.push(reply.json());
        } else {
            assert!(reply.text().contains("Every seat of this consumer is taken."), "{}", reply.text());
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409]);
    let token = made[0]["token"].as_str().expect("a token").to_owned();
    let p2 = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(p2.version_names("acme/lib"), ["5.1.0", "5.0.0"]);
    let listed = registry.storefront_get(&tokens).send().await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!((&listed[0]["description"], listed[0].get("token")), (&json!("build server"), None));

    registry.storefront_put(&format!("{path}/entitlements"), &json!([])).send().await.expect(200);
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect_claim("acme/lib");
    let of_it = format!("{tokens}/{}", made[0]["id"].as_str().expect("an id"));
    registry.storefront_delete(&of_it).send().await.expect(204);
    registry.get("/packages.json").basic(&token).send().await.expect(401);
    registry.storefront_delete(&of_it).send().await.expect(404);
    request().send().await.expect(201);
    for spec in [json!({}), json!({"description": " "}), json!({"description": "a", "seat": 1})] {
        registry.storefront_post(&tokens, &spec).send().await.expect(400);
    }
    registry.storefront_post("/consumers/9/tokens", &json!({"description": "a"})).send().await.expect(404);
    registry.storefront_get("/consumers/9/tokens").send().await.expect(404);
}

#[tokio::test]
async fn credentials_of_consumers_are_out_of_reach_of_the_token_api() {
    let (registry, consumer, _) = shop().await;
    let tokens = format!("/consumers/{}/tokens", consumer.id);
    let made = registry.storefront_post(&tokens, &json!({"description": "further"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let listed = registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200);
    assert_eq!((listed.json(), listed.header("x-total-count")), (json!([]), "0"));
    let uids = registry.database.rows("SELECT uid FROM tokens");
    assert_eq!(uids.len(), 2);
    for row in &uids {
        let path = format!("/api/tokens/{}", row["uid"].as_str().expect("text"));
        registry.get(&path).bearer(ADMIN).send().await.expect(404);
        registry.patch(&path).bearer(ADMIN).json(&json!({"grants": [{"pattern": "*"}]})).send().await.expect(404);
        registry.post(&format!("{path}/rotate")).bearer(ADMIN).send().await.expect(404);
        registry.delete(&path).bearer(ADMIN).send().await.expect(404);
    }
    let all = registry.delete("/api/tokens?description=e").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(all["revoked"], 0);
    let keys = registry.database.rows("SELECT uid FROM consumers");
    let of_keys = format!("{tokens}/{}", keys[0]["uid"].as_str().expect("text"));
    registry.storefront_delete(&of_keys).send().await.expect(404);
    let other = registry.consumer().await;
    registry.storefront_delete(&format!("/consumers/{}/tokens/{}", other.id, made.id())).send().await.expect(404);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM grants"), [json!({"n": 0})]);
    consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    let (mine, _) = registry.token(&json!({"description": "an ordinary one"})).await;
    registry.storefront_delete(&format!("{tokens}/{mine}")).send().await.expect(404);
}

#[tokio::test]
async fn installs_are_counted_for_the_consumer_whichever_credential_it_used() {
    let (registry, consumer, _) = shop().await;
    registry.grant(&consumer, "acme/lib", "5.*").await;
    let tokens = format!("/consumers/{}/tokens", consumer.id);
    let made = registry.storefront_post(&tokens, &json!({"description": "a"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let report = json!({"downloads": [{"name": "acme/lib", "version": "5.0.0.0"}]});
    let pair = registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key);
    pair.composer().json(&report).send().await;
    registry.post("/notify-batch").basic(&token).composer().json(&report).send().await;
    registry.run_until_idle().await;
    let counted = registry.database.rows("SELECT subject, sum(count) AS n FROM downloads GROUP BY 1");
    assert_eq!(counted, [json!({"subject": format!("consumer:{}", consumer.id), "n": 2})]);
}

#[tokio::test]
async fn an_old_copy_of_a_token_in_kv_is_still_read() {
    let (registry, _, _) = shop().await;
    let token = registry.reader().await;
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let key = registry.cache.keys("token:").pop().expect("a copy");
    let copy = registry.isolate.app.ports.cache.get(&key).await.expect("KV works").expect("a copy");
    let mut old: Value = serde_json::from_str(&copy).expect("JSON");
    let old_fields = old.as_object_mut().expect("an object");
    assert!(old_fields.remove("consumer_id").is_some() && old_fields.remove("is_disabled").is_some());
    let ttl = std::time::Duration::from_mins(5);
    registry.isolate.app.ports.cache.put(&key, old.to_string(), ttl, None).await.expect("KV works");
    let (reply, calls) =
        registry.counted(registry.another_isolate().get("/p2/acme/lib.json").basic(&token).composer().send()).await;
    reply.expect(200);
    assert_eq!(calls.statements, 1);
}

#[tokio::test]
async fn a_shop_sells_renews_upgrades_and_refunds() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/extension", &["5.0.0"]).await;
    let (_, shop) = registry.token(&json!({"description": "shop", "scopes": ["storefront:*"]})).await;
    let order = json!({"email": "one@example.com", "customer_id": "42", "order_id": "1001"});
    let made =
        registry.post("/api/storefront/consumers").bearer(&shop).header("idempotency-key", "order-1001").json(&order);
    let consumer = TestConsumer::of(&made.send().await.expect(201));
    let list = format!("/api/storefront/consumers/{}/entitlements", consumer.id);
    let set =
        async |permissions: Value| registry.put(&list).bearer(&shop).json(&permissions).send().await.expect(200).json();
    let seen = async || {
        // Another minute, and in an isolate that remembers nothing.
        registry.advance_seconds(60);
        let reply = consumer.get(&registry.another_isolate(), "/p2/acme/extension.json").send().await;
        if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("acme/extension") }
    };
    let paid_until = |text: &str| json!({"package": "acme/extension", "version": "5.*", "updates_until": text});

    set(json!([paid_until("2030-01-01 00:00:00")])).await;
    assert_eq!(seen().await, ["5.0.0"]);
    for tag in ["5.1.0", "6.0.0"] {
        repo.commit(&[crate::support::manifest("acme/extension"), crate::support::file("src/New.php", tag)]);
        repo.tag(tag);
    }
    registry.sync(&id).await;
    assert_eq!(seen().await, ["5.1.0", "5.0.0"]);
    let renewed = set(json!([paid_until("2031-01-01 00:00:00")])).await;
    assert_eq!(renewed.as_array().map(Vec::len), Some(1));
    assert_eq!(seen().await, ["5.1.0", "5.0.0"]);
    let next = json!({"package": "acme/extension", "version": "6.*", "updates_until": "2031-01-01 00:00:00"});
    let upgraded = set(json!([paid_until("2031-01-01 00:00:00"), next])).await;
    assert_eq!(upgraded[0]["id"], renewed[0]["id"]);
    assert_eq!(seen().await, ["6.0.0", "5.1.0", "5.0.0"]);
    set(json!([])).await;
    assert!(seen().await.is_empty());
    consumer.get(&registry.isolate, "/dist/acme/extension/6.0.0.zip").send().await.expect(404);
}

#[tokio::test]
async fn what_is_looked_up_does_not_grow_with_the_number_of_consumers() {
    let (registry, _, _) = shop().await;
    let now = registry.isolate.app.now();
    let grant = rostrum::registry::access::grant::packages("acme/lib");
    let of_tokens = (
        tokens::find_valid("0", now),
        tokens::of_consumer(OrganizationId::ROOT, 1),
        tokens::known(OrganizationId::ROOT, tokens::TokenHolder::Consumer(1), "x"),
    );
    let of_consumers = (
        consumers::by_id(OrganizationId::ROOT, 1),
        consumers::delete(OrganizationId::ROOT, 1, None),
        consumers::existing(OrganizationId::ROOT, "[1]"),
        consumers::by_customer(OrganizationId::ROOT, "42"),
    );
    let of_permissions = (
        entitlements::by_id(OrganizationId::ROOT, 1),
        entitlements::of_consumer(OrganizationId::ROOT, 1),
        entitlements::of_consumers(OrganizationId::ROOT, "[1]"),
        (
            entitlements::different(OrganizationId::ROOT, "[1]", 10),
            entitlements::holders_of_nothing_else(OrganizationId::ROOT, "[1]", std::slice::from_ref(&grant)),
        ),
        past_grants::record_of_consumers(OrganizationId::ROOT, &[1], now),
    );
    let permission = PermissionRow {
        id: 1,
        consumer_id: 1,
        package_id: None,
        entitlement: Entitlement { grant, order_id: None, metadata: None },
        created_at: now,
        updated_at: now,
    };
    let written = WrittenPermission { id: Some(1), consumer_id: 1, entitlement: permission.entitlement.clone() };
    let of_edits = (
        permission_edits::guard(OrganizationId::ROOT, &[1], &[permission]),
        permission_edits::delete(OrganizationId::ROOT, &[1]),
        permission_edits::update(OrganizationId::ROOT, std::slice::from_ref(&written), now),
        permission_edits::insert(OrganizationId::ROOT, &[written], now),
        permission_edits::date_consumers(OrganizationId::ROOT, &[1], now),
        tokens::of_consumers(OrganizationId::ROOT, "[1]"),
    );
    let page = Page { limit: 10, offset: 0 };
    let by = |filter: PermissionFilter<'_>| permission_lists::page(OrganizationId::ROOT, &filter, None, page);
    let of_lists = (
        by(PermissionFilter { order_id: Some("1"), ..PermissionFilter::default() }),
        by(PermissionFilter { consumer_id: Some(1), ..PermissionFilter::default() }),
        by(PermissionFilter { customer_id: Some("1"), ..PermissionFilter::default() }),
        by(PermissionFilter { target: Some("acme/lib"), ..PermissionFilter::default() }),
        by(PermissionFilter { updated_since: Some(now), ..PermissionFilter::default() }),
    );
    for stmt in statements((of_tokens, of_consumers, of_permissions, (of_edits, of_lists))) {
        let plan = registry.database.plan(&stmt);
        let scans: Vec<&str> = plan
            .lines()
            .filter(|step| {
                step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("CONSTANT ROW")
            })
            .collect();
        assert!(plan.contains("SEARCH") && scans.is_empty(), "{}\n{plan}", stmt.sql);
    }
}
