//! What is known of a consumer is handed out, and erased wherever it is kept.

use http::Method;
use rostrum::registry::storefront::webhooks::EVENTS;
use serde_json::{Value, json};

use crate::support::{ADMIN, TestConsumer, TestIsolate, TestRegistry};

/// Is in everything that the shop says of the person.
const MARK: &str = "zelda";
/// Where the person's composer is.
const ADDRESS: &str = "198.51.100.77";
const HOOK: &str = "https://shop.test/hooks";

/// A shop with a person who has three consumers that became one, in two steps, and with somebody else.
struct Shop {
    registry: TestRegistry,
    person: TestConsumer,
    other: TestConsumer,
}

async fn report(isolate: &TestIsolate, consumer: &TestConsumer, address: &str) {
    let installs = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
    let request = isolate.request(Method::POST, "/notify-batch").pair(&consumer.public_key, &consumer.private_key);
    request.composer().header("cf-connecting-ip", address).json(&installs).send().await.expect(204);
}

/// A consumer of which there is whatever there can be.
async fn known_consumer(registry: &TestRegistry, mark: &str, address: &str) -> TestConsumer {
    let spec = json!({"email": format!("{mark}@example.org"), "customer_id": format!("c-{mark}"), "order_id": format!("o-{mark}")});
    let made = registry.storefront_post("/consumers", &spec).header("idempotency-key", &format!("order of {mark}"));
    let consumer = TestConsumer::of(&made.send().await.expect(201));
    let path = format!("/consumers/{}", consumer.id);
    let list = json!([
        {"package": "acme/lib", "version": "1.*"},
        {"package": "acme/lib", "version": "2.*", "expires_at": "2026-01-01 00:00:30"},
    ]);
    registry.storefront_put(&format!("{path}/entitlements"), &list).send().await.expect(200);
    let order = format!("p-{mark}");
    let bought = json!({
        "consumer_id": consumer.id, "package": "acme/extra", "version": "1.*", "order_id": order,
        "metadata": {"note": format!("for {mark}")},
    });
    registry.storefront_post("/permissions", &bought).send().await.expect(201);
    let renewed = json!({"updates_until": "2027-01-01 00:00:00"});
    registry.storefront_patch(&format!("/permissions?order_id={order}"), &renewed).send().await.expect(200);
    let bulk = json!({"filter": {"order_id": order}, "change": {"version": "2.*"}});
    registry.storefront_post("/permissions/bulk", &bulk).send().await.expect(200);
    let again = json!([{"package": "acme/extra", "version": "3.*", "order_id": format!("r-{mark}")}]);
    registry.storefront_post(&format!("{path}/entitlements"), &again).send().await.expect(200);
    registry.storefront_delete(&format!("/permissions?order_id=r-{mark}")).send().await.expect(200);
    let extra = registry.grant(&consumer, "acme/extra", "*").await;
    registry.storefront_delete(&format!("/permissions/{}", extra["id"])).send().await.expect(204);
    registry.storefront_patch(&path, &json!({"email": format!("Now.{mark}@example.org")})).send().await.expect(200);
    let seat = json!({"description": format!("The laptop of {mark}")});
    registry.storefront_post(&format!("{path}/tokens"), &seat).send().await.expect(201);
    report(&registry.isolate, &consumer, address).await;
    registry.run_until_idle().await;
    consumer
}

async fn shop() -> Shop {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.composer_host.put(HOOK, "thanks");
    registry.storefront_post("/webhooks", &json!({"url": HOOK, "events": EVENTS})).send().await.expect(201);
    let person = known_consumer(&registry, MARK, ADDRESS).await;
    let second = known_consumer(&registry, "second-zelda", ADDRESS).await;
    let third = known_consumer(&registry, "third-zelda", ADDRESS).await;
    let other = known_consumer(&registry, "another", "203.0.113.5").await;
    // Some events are told, and some are not yet.
    registry.advance_seconds(60);
    registry.cron().await;
    registry.run_until_idle().await;
    for (into, from) in [(&second, &third), (&person, &second)] {
        let merge = json!({"consumer_id": from.id});
        registry.storefront_post(&format!("/consumers/{}/merge", into.id), &merge).send().await.expect(200);
    }
    registry.advance_seconds(24 * 3600);
    report(&registry.isolate, &person, ADDRESS).await;
    registry.run_until_idle().await;
    Shop { registry, person, other }
}

impl Shop {
    /// Everything that is stored and holds one of `marks`: table or store, and the row.
    fn found(&self, marks: &[&str]) -> Vec<String> {
        let tables = self
            .registry
            .database
            .rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
        let tables = tables.iter().map(|table| table["name"].as_str().expect("text"));
        let rows = tables.flat_map(|table| {
            let rows = self.registry.database.rows(&format!("SELECT * FROM \"{table}\""));
            rows.into_iter().map(move |row| format!("{table}: {row}"))
        });
        let cached = self.registry.cache.entries().into_iter().map(|(key, value)| format!("cache: {key} {value}"));
        let blobs = self.registry.blobs.blobs.lock().expect("not poisoned").clone().into_iter();
        let blobs = blobs.map(|(key, bytes)| format!("blobs: {key} {}", String::from_utf8_lossy(&bytes)));
        let has_mark = |text: &String| marks.iter().any(|mark| text.to_lowercase().contains(mark));
        rows.chain(cached).chain(blobs).filter(has_mark).collect()
    }

    /// What is sealed, and by which table: nobody can look for anything in there.
    fn sealed_columns(&self) -> Vec<String> {
        let mut sealed = self.found(&["\"v1."]);
        for row in &mut sealed {
            row.truncate(row.find(':').expect("a table"));
        }
        sealed
    }

    async fn erase(&self, id: i64, status: u16) {
        self.registry.storefront_delete(&format!("/consumers/{id}?erase=1")).send().await.expect(status);
    }

    fn installs(&self) -> Value {
        self.registry.database.rows("SELECT sum(count) AS n FROM downloads")[0]["n"].clone()
    }
}

#[tokio::test]
async fn nothing_of_a_person_is_left_after_the_erasure_but_anonymous_counts() {
    let shop = shop().await;
    let before = shop.found(&[MARK, ADDRESS]);
    for table in ["consumers", "tokens", "downloads", "audit_log", "webhook_deliveries"] {
        assert!(before.iter().any(|row| row.starts_with(table)), "{table} is looked through");
    }
    let others = shop.found(&["another", "203.0.113.5"]);
    assert_eq!(shop.installs(), 5);
    let stale = shop.registry.another_isolate();
    shop.person.get(&stale, "/packages.json").send().await.expect(200);

    shop.erase(shop.person.id, 204).await;
    assert_eq!(shop.found(&[MARK, ADDRESS]), [] as [String; 0]);
    assert_eq!(shop.installs(), 5);
    assert_eq!(shop.found(&["another", "203.0.113.5"]), others);
    shop.person.get(&shop.registry.isolate, "/packages.json").send().await.expect(401);

    // An isolate that still has the credential counts an install, and nothing else.
    report(&stale, &shop.person, ADDRESS).await;
    shop.registry.run_until_idle().await;
    assert_eq!((shop.found(&[MARK, ADDRESS]), shop.installs()), (vec![], json!(6)));

    let log = "SELECT action, address, details FROM audit_log WHERE target = '1' ORDER BY id DESC";
    let entries = shop.registry.database.rows(log);
    assert_eq!(entries[0], json!({"action": "consumer.erased", "address": null, "details": "{}"}));
    assert!(
        entries.len() > 5 && entries[1..].iter().all(|entry| entry["details"] == r#"{"erased":true}"#),
        "{entries:?}"
    );
    // What was answered to requests with an `Idempotency-Key` is sealed, and forgotten within a day.
    shop.registry.advance_seconds(24 * 3600 + 59 * 60);
    shop.registry.cron().await;
    assert_eq!(shop.sealed_columns(), ["consumers", "webhooks"], "of somebody else, and of the shop");
}

#[tokio::test]
async fn who_was_deleted_before_is_erased_too_and_only_once() {
    let shop = shop().await;
    let path = format!("/consumers/{}", shop.person.id);
    shop.registry.storefront_delete(&format!("{path}?erase=0")).send().await.expect(204);
    assert!(!shop.found(&[MARK, ADDRESS]).is_empty());
    let limited = json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, limited) = shop.registry.token(&limited).await;
    let erasing = |token: &str| shop.registry.delete(&format!("/api/storefront{path}?erase=1")).bearer(token).send();
    erasing(&limited).await.expect(404);
    assert!(!shop.found(&[MARK, ADDRESS]).is_empty(), "nobody knows any more what that consumer was granted");
    erasing(ADMIN).await.expect(204);
    assert_eq!(shop.found(&[MARK, ADDRESS]), [] as [String; 0]);
    // What another organization has is not this one's to erase.
    shop.registry.organization("elsewhere").await;
    let others = shop.found(&["another", "203.0.113.5"]);
    let elsewhere = shop.registry.storefront_delete(&format!("/consumers/{}?erase=1", shop.other.id));
    elsewhere.header("x-rostrum-organization", "elsewhere").send().await.expect(404);
    assert_eq!(shop.found(&["another", "203.0.113.5"]), others);
    let entries = shop.registry.database.rows("SELECT * FROM audit_log");
    for id in [shop.person.id, 99] {
        shop.erase(id, 404).await;
    }
    assert_eq!(shop.registry.database.rows("SELECT * FROM audit_log"), entries);
}

#[tokio::test]
async fn a_consumer_is_erased_and_exported_by_who_covers_it() {
    let shop = shop().await;
    let spec = json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["other/"]});
    let (_, foreign) = shop.registry.token(&spec).await;
    let path = format!("/api/storefront/consumers/{}", shop.person.id);
    shop.registry.delete(&format!("{path}?erase=1")).bearer(&foreign).send().await.expect(403);
    shop.registry.get(&format!("{path}/export")).bearer(&foreign).send().await.expect(403);
    for (query, status) in [("erase=2", 400), ("erase=yes", 400), ("remove=1", 400)] {
        shop.registry.delete(&format!("{path}?{query}")).bearer(ADMIN).send().await.expect(status);
    }
    // The merged ones are part of it now.
    let merged = shop.registry.storefront_delete("/consumers/2?erase=1").send().await.expect(404);
    assert!(merged.text().contains("merged into consumer 1"), "{}", merged.text());

    let spec = json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, own) = shop.registry.token(&spec).await;
    let export = shop.registry.get(&format!("{path}/export")).bearer(&own).send().await.expect(200).json();
    assert_eq!(
        (&export["complete"], &export["audit_log"], &export["events"]),
        (&json!(false), &json!(null), &json!(null))
    );
    assert_eq!(export["downloads"].as_array().map(Vec::len), Some(2));
    shop.registry.delete(&format!("{path}?erase=1")).bearer(&own).send().await.expect(204);
    assert_eq!(shop.found(&[MARK, ADDRESS]), [] as [String; 0]);
}

#[tokio::test]
async fn an_export_is_all_that_is_known_of_a_consumer() {
    let shop = shop().await;
    let path = format!("/consumers/{}/export", shop.person.id);
    let export = shop.registry.storefront_get(&path).send().await.expect(200).json();
    let known = shop.found(&[&shop.person.private_key.to_lowercase()]);
    assert_eq!(known, [] as [String; 0], "a private key is nowhere as it is");
    let shown = shop.registry.storefront_get("/consumers/1").send().await.expect(200).json();
    let mut consumer = export["consumer"].clone();
    assert_eq!(consumer["private_key"].take(), json!(null));
    consumer["private_key"] = shown["private_key"].clone();
    assert_eq!(consumer, shown);
    assert_eq!((&export["complete"], &export["exported_at"]), (&json!(true), &json!("2026-01-02 00:01:00")));
    assert_eq!(export["merged"].as_array().map(Vec::len), Some(2));
    assert_eq!(export["tokens"][0]["description"], "keys of consumer 1");
    let descriptions = export["tokens"].to_string();
    assert!(["The laptop of zelda", "The laptop of third-zelda"].iter().all(|text| descriptions.contains(text)));
    let permissions = shop.registry.storefront_get("/consumers/1/entitlements").send().await.expect(200).json();
    for (told, permission) in
        export["permissions"].as_array().expect("a list").iter().zip(permissions.as_array().expect("a list"))
    {
        for field in ["id", "package", "version", "expires_at", "updates_until", "minimum_stability", "created_at"] {
            assert_eq!(told[field], permission[field], "{field}");
        }
    }
    let latest = json!({
        "package": "acme/lib", "version": "1.0.0", "day": "2026-01-02", "downloads": 1,
        "first_at": "2026-01-02 00:01:00", "last_at": "2026-01-02 00:01:00", "last_address": ADDRESS,
    });
    assert_eq!(export["downloads"][0], latest);
    assert_eq!(export["downloads"][1]["downloads"], 3);
    assert!(export["networks"].as_array().expect("a list").contains(&json!({"day": "2026-01-02", "network": ADDRESS})));
    assert_eq!(export["past_permissions"][0]["package"], "acme/extra");
    let events: Vec<&Value> =
        export["events"].as_array().expect("a list").iter().map(|event| &event["event"]).collect();
    assert!(events.contains(&&json!("permission.expired")) && events.contains(&&json!("download.first")), "{events:?}");
    let told = json!(export["audit_log"]).to_string();
    assert!(["c-third-zelda", "consumer.merged", "entitlements.set"].iter().all(|text| told.contains(text)), "{told}");
    assert!(!export.to_string().contains("another"));
    shop.registry.storefront_get("/consumers/99/export").send().await.expect(404);
    assert_eq!(shop.other.id, 4);
}

#[tokio::test]
async fn a_list_that_is_cut_off_says_that_it_is_not_all() {
    let shop = shop().await;
    let path = format!("/consumers/{}/export", shop.other.id);
    shop.registry.database.execute(
        "INSERT INTO audit_log (uid, organization_id, at, actor, action, target, details)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1000)
         SELECT 'e' || value, 1, 0, 'admin', 'entitlements.set', '4', json_object('grants', printf('%.*c', 5000, 'x')) FROM n",
    );
    let (reply, calls) = shop.registry.counted(shop.registry.storefront_get(&path).send()).await;
    let export = reply.expect(200).json();
    assert_eq!((&export["complete"], export["audit_log"].as_array().map(Vec::len)), (&json!(false), Some(199)));
    assert_eq!(calls.round_trips, 1);
}
