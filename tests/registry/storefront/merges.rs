//! Two consumers of one customer become one in one step, and nobody sees less at any moment.

use rostrum::store::OrganizationId;
use rostrum::store::storefront::consumer_merges::{self, ConsumerMerge, MergeLimits};
use serde_json::{Value, json};

use crate::support::{FaultTiming, Port, TestConsumer, TestIsolate, TestRegistry, TestRequest, statuses_of_concurrent};

/// A shop with two packages, of which each of two consumers has one.
async fn shop() -> (TestRegistry, TestConsumer, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "5.0.0"]).await;
    registry.published("acme/extension", &["2.0.0"]).await;
    let one = registry.consumer_as(&json!({"email": "one@example.com", "customer_id": "42"})).await;
    let other = registry.consumer_as(&json!({"email": "two@example.com", "order_id": "1002"})).await;
    registry.grant(&one, "acme/lib", "5.*").await;
    registry.grant(&other, "acme/extension", "*").await;
    (registry, one, other)
}

fn merging(registry: &TestRegistry, into: &TestConsumer, from: &TestConsumer) -> TestRequest {
    registry.storefront_post(&format!("/consumers/{}/merge", into.id), &json!({"consumer_id": from.id}))
}

/// A further token of a consumer.
async fn seat(registry: &TestRegistry, consumer: &TestConsumer) -> String {
    let path = format!("/consumers/{}/tokens", consumer.id);
    let made = registry.storefront_post(&path, &json!({"description": "build server"})).send().await.expect(201);
    made.json()["token"].as_str().expect("a token").to_owned()
}

/// What somebody's composer sees of the two packages.
async fn seen(ask: impl Fn(&str) -> TestRequest) -> [Vec<String>; 2] {
    let mut seen = [Vec::new(), Vec::new()];
    for (place, name) in ["acme/lib", "acme/extension"].into_iter().enumerate() {
        let reply = ask(&format!("/p2/{name}.json")).composer().send().await.expect(200);
        seen[place] = reply.version_names(name);
    }
    seen
}

async fn seen_in(isolate: &TestIsolate, consumer: &TestConsumer) -> [Vec<String>; 2] {
    seen(|path| consumer.get(isolate, path)).await
}

/// What both together were granted in [`shop`].
fn everything() -> [Vec<String>; 2] {
    [vec!["5.0.0".to_owned()], vec!["2.0.0".to_owned()]]
}

#[tokio::test]
async fn after_a_merge_both_key_pairs_and_all_tokens_see_what_either_was_granted() {
    let (registry, one, other) = shop().await;
    let token = seat(&registry, &other).await;
    let elsewhere = registry.another_isolate();
    for isolate in [&registry.isolate, &elsewhere] {
        for consumer in [&one, &other] {
            assert_ne!(seen_in(isolate, consumer).await, everything());
        }
        seen(|path| isolate.get(path).basic(&token)).await;
    }
    let merged = merging(&registry, &one, &other).send().await.expect(200).json();
    assert_eq!(merged, registry.storefront_get("/consumers/1").send().await.expect(200).json());
    for consumer in [&one, &other] {
        assert_eq!(seen_in(&registry.isolate, consumer).await, everything(), "at once");
    }
    assert_eq!(seen(|path| registry.get(path).basic(&token)).await, everything());
    other.get(&registry.isolate, "/dist/acme/lib/5.0.0.zip").send().await.expect(200);
    // As after a revocation.
    registry.advance_seconds(60);
    for consumer in [&one, &other] {
        assert_eq!(seen_in(&elsewhere, consumer).await, everything());
    }
    assert_eq!(seen(|path| elsewhere.get(path).basic(&token)).await, everything());
}

#[tokio::test]
async fn the_consumer_that_stays_keeps_what_it_has_and_takes_what_it_lacks() {
    let (registry, one, other) = shop().await;
    for (consumer, seats) in [(&one, 1), (&other, 2)] {
        let path = format!("/consumers/{}", consumer.id);
        registry.storefront_patch(&path, &json!({"seats": seats})).send().await.expect(200);
    }
    let kept = registry.storefront_get("/consumers/1").send().await.expect(200).json();
    registry.advance_seconds(1);
    let merged = merging(&registry, &one, &other).send().await.expect(200).json();
    let mut expected = kept.clone();
    expected["order_id"] = json!("1002");
    expected["seats"] = json!(4);
    expected["updated_at"] = merged["updated_at"].clone();
    assert_eq!(merged, expected);
    assert_ne!(merged["updated_at"], kept["updated_at"]);
    let audit = registry.database.rows("SELECT target, details FROM audit_log WHERE action = 'consumer.merged'");
    let details = r#"{"consumer_id":2,"customer_id":null,"order_id":"1002"}"#;
    assert_eq!(audit, [json!({"target": "1", "details": details})]);
}

#[tokio::test]
async fn the_former_key_pair_is_a_token_that_can_be_taken_back_by_itself() {
    let (registry, older, younger) = shop().await;
    // Whichever stays, its own key pair is not among the tokens.
    merging(&registry, &younger, &older).send().await.expect(200);
    let tokens = registry.storefront_get("/consumers/2/tokens").send().await.expect(200).json();
    assert_eq!(tokens.as_array().map(Vec::len), Some(1));
    assert_eq!(tokens[0]["description"], "keys of consumer 1");
    let of_it = format!("/consumers/2/tokens/{}", tokens[0]["id"].as_str().expect("an id"));
    registry.storefront_delete(&of_it).send().await.expect(204);
    older.get(&registry.isolate, "/packages.json").send().await.expect(401);
    assert_eq!(seen_in(&registry.isolate, &younger).await, everything());
    registry.storefront_delete("/consumers/2").send().await.expect(204);
    younger.get(&registry.isolate, "/packages.json").send().await.expect(401);
}

#[tokio::test]
async fn two_permissions_of_a_package_stay_two_with_their_ids_and_the_very_same_is_there_once() {
    let (registry, one, other) = shop().await;
    let set = async |consumer: &TestConsumer, list: Value| {
        let path = format!("/consumers/{}/entitlements", consumer.id);
        registry.storefront_put(&path, &list).send().await.expect(200).json()
    };
    let same = json!({"package": "acme/extension", "version": "2.*"});
    let kept = set(
        &one,
        json!([
            {"package": "acme/lib", "version": "5.*", "updates_until": "2028-01-01 00:00:00", "expires_at": "2031-01-01 00:00:00"},
            same
        ]),
    );
    let kept = kept.await;
    let moved = set(
        &other,
        json!([
            {"package": "acme/lib", "version": "5.*", "updates_until": "2029-01-01 00:00:00", "expires_at": "2030-01-01 00:00:00"},
            {"package": "acme/lib", "version": "1.*", "minimum_stability": "stable"},
            same
        ]),
    )
    .await;
    merging(&registry, &one, &other).send().await.expect(200);
    let after = registry.storefront_get("/consumers/1/entitlements").send().await.expect(200).json();
    let mut expected: Vec<Value> = [&kept[0], &kept[1], &moved[0], &moved[1]].map(Value::clone).to_vec();
    for permission in &mut expected {
        permission["consumer_id"] = json!(1);
        permission.as_object_mut().expect("an object").remove("warnings");
    }
    expected.sort_by_key(|permission| permission["id"].as_i64());
    assert_eq!(after, json!(expected));
    let lib = async |isolate: &TestIsolate| seen_in(isolate, &other).await[0].clone();
    assert_eq!(lib(&registry.isolate).await, ["5.0.0", "1.0.0"]);
    assert_eq!(registry.database.rows("SELECT 1 FROM grants").len(), 4, "none is left behind");
}

#[tokio::test]
async fn of_a_permission_that_both_have_what_was_noted_on_either_stays() {
    let (registry, one, other) = shop().await;
    let give = async |consumer: &TestConsumer, order: &str, metadata: Value| {
        let body = json!({
            "consumer_id": consumer.id, "package": "acme/same", "version": "1.*", "order_id": order, "metadata": metadata
        });
        registry.storefront_post("/permissions", &body).send().await.expect(201);
    };
    give(&one, "1", json!({"edition": "pro", "note": {"by": "Ada"}})).await;
    give(&other, "1", json!({"edition": "basic", "invoice": 7, "note": {"at": "home"}})).await;
    give(&one, "2", Value::Null).await;
    give(&other, "2", json!({"invoice": 8})).await;
    give(&one, "3", json!({"invoice": 9})).await;
    give(&other, "3", Value::Null).await;
    merging(&registry, &one, &other).send().await.expect(200);
    let noted = registry.storefront_get("/permissions?package=acme/same").send().await.expect(200).json();
    let noted: Vec<Value> = noted.as_array().expect("a list").iter().map(|row| row["metadata"].clone()).collect();
    let both = json!({"edition": "pro", "invoice": 7, "note": {"at": "home", "by": "Ada"}});
    assert_eq!(noted, [both, json!({"invoice": 8}), json!({"invoice": 9})]);
}

#[tokio::test]
async fn downloads_past_permissions_and_events_that_wait_go_along() {
    let (registry, one, other) = shop().await;
    let hook = json!({"url": "https://shop.test/hooks", "events": ["download.first"]});
    registry.storefront_post("/webhooks", &hook).send().await.expect(201);
    let elsewhere = registry.another_isolate();
    let report = async |isolate: &TestIsolate, consumer: &TestConsumer, name: &str, version: &str| {
        let body = json!({"downloads": [{"name": name, "version": version}]});
        let request = isolate.request(http::Method::POST, "/notify-batch");
        let request = request.pair(&consumer.public_key, &consumer.private_key).composer();
        request.json(&body).send().await.expect(204);
        registry.run_until_idle().await;
    };
    registry.grant(&other, "acme/lib", "5.*").await;
    report(&registry.isolate, &one, "acme/lib", "5.0.0.0").await;
    registry.advance_seconds(1);
    report(&elsewhere, &other, "acme/lib", "5.0.0.0").await;
    report(&elsewhere, &other, "acme/extension", "2.0.0.0").await;
    let ended = registry.grant(&other, "acme/lib", "1.*").await;
    registry.storefront_delete(&format!("/permissions/{}", ended["id"])).send().await.expect(204);

    merging(&registry, &one, &other).send().await.expect(200);
    // Another isolate may go by the old consumer for a minute; what it counts is the new one's.
    report(&elsewhere, &other, "acme/extension", "2.0.0.0").await;
    let rows = registry.storefront_get("/consumers/1/statistics").send().await.expect(200).json();
    let counts: Vec<(&Value, &Value)> =
        rows.as_array().expect("a list").iter().map(|row| (&row["package"], &row["downloads"])).collect();
    let expected = [(json!("acme/extension"), json!(2)), (json!("acme/lib"), json!(2))];
    assert_eq!(counts, expected.iter().map(|(name, count)| (name, count)).collect::<Vec<_>>());
    let lib = rows[1].clone();
    assert_eq!((&lib["first_at"], &lib["last_at"]), (&json!("2026-01-01 00:00:00"), &json!("2026-01-01 00:00:01")));
    let subjects = registry.database.rows("SELECT DISTINCT subject FROM downloads");
    assert_eq!(subjects, [json!({"subject": "consumer:1"})]);
    let told = registry.database.rows("SELECT payload ->> '$.consumer_id' AS id FROM webhook_deliveries");
    assert_eq!(told, [json!({"id": 1}), json!({"id": 1}), json!({"id": 1})], "and nothing is a first download twice");

    let refused = other.get(&registry.isolate, "/dist/acme/lib/1.0.0.zip").send().await.expect(404).json();
    let warning = refused["warning"].as_str().expect("text");
    assert!(warning.contains("any more: it had one until 2026-01-01 00:00:01 UTC"), "{warning}");
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_answered_with_the_one_that_it_is_part_of() {
    let (registry, one, other) = shop().await;
    let third = registry.consumer().await;
    let first = merging(&registry, &other, &third).send().await.expect(200).json();
    assert_eq!(merging(&registry, &other, &third).send().await.expect(200).json(), first, "the same again");
    merging(&registry, &one, &other).send().await.expect(200);
    let of_audit = || registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'consumer.merged'").len();
    assert_eq!(of_audit(), 2);
    for gone in [&other, &third] {
        let path = format!("/consumers/{}", gone.id);
        let words = format!("Consumer {} was merged into consumer 1. Use that one.", gone.id);
        for request in [
            registry.storefront_get(&path),
            registry.storefront_patch(&path, &json!({"status": 0})),
            registry.storefront_delete(&path),
            registry.storefront_get(&format!("{path}/entitlements")),
            registry.storefront_put(&format!("{path}/entitlements"), &json!([])),
            registry.storefront_get(&format!("{path}/packages")),
            registry.storefront_get(&format!("{path}/packages/1")),
            registry.storefront_get(&format!("{path}/instructions")),
            registry.storefront_get(&format!("{path}/statistics")),
            registry.storefront_get(&format!("{path}/tokens")),
            registry.storefront_post(&format!("{path}/tokens"), &json!({"description": "a"})),
            merging(&registry, gone, &one),
        ] {
            assert_eq!(request.send().await.expect(404).json()["error"], words);
        }
        let body = json!({"consumer_id": gone.id, "package": "acme/lib", "version": "*"});
        let refused = registry.storefront_post("/permissions", &body).send().await.expect(400).json();
        assert_eq!(refused["details"]["consumer_id"], json!(["was merged into consumer 1: name that one"]));
        assert_eq!(seen_in(&registry.isolate, gone).await[1], ["2.0.0"]);
        // And it stays done, whichever of the two calls is repeated.
        merging(&registry, &one, gone).send().await.expect(200);
    }
    assert_eq!(of_audit(), 2);
    let fourth = registry.consumer().await;
    let refused = merging(&registry, &fourth, &other).send().await.expect(400).json();
    assert_eq!(refused["details"]["consumer_id"], json!(["was merged into consumer 1: name that one"]));
    registry.storefront_delete("/consumers/1").send().await.expect(204);
    let gone = registry.storefront_get("/consumers/2").send().await.expect(404).json();
    assert_eq!(gone["error"], "Consumer not found");
}

#[tokio::test]
async fn what_cannot_be_one_is_refused_in_words_and_stays_two() {
    let (registry, one, other) = shop().await;
    let refused = async |from: i64, status: u16| {
        let request = registry.storefront_post("/consumers/1/merge", &json!({"consumer_id": from}));
        let reply = request.send().await.expect(status).json();
        assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 2);
        reply["error"].as_str().expect("text").to_owned()
    };
    let itself = "`consumer_id`: is the consumer in the address, which cannot be merged with itself: name another";
    assert_eq!(refused(1, 400).await, itself);
    assert_eq!(refused(9, 400).await, "`consumer_id`: is not the id of a consumer");
    registry.storefront_post("/consumers/9/merge", &json!({"consumer_id": 1})).send().await.expect(404);

    let status = async |id: i64, status: i64| {
        let path = format!("/consumers/{id}");
        registry.storefront_patch(&path, &json!({"status": status})).send().await.expect(200);
    };
    status(2, 0).await;
    let words = "Consumer 1 is enabled and consumer 2 is not. Give both the same `status` first.";
    assert_eq!(refused(2, 409).await, words);
    status(2, 1).await;

    let list: Vec<Value> = (0..1000).map(|n| json!({"package": "acme/lib", "version": format!("1.{n}")})).collect();
    registry.storefront_put("/consumers/2/entitlements", &json!(list)).send().await.expect(200);
    let words = "Together they have 1001 permissions, and a consumer has 1000 at most. Delete some of them first.";
    assert_eq!(refused(2, 409).await, words);
    registry.storefront_put("/consumers/2/entitlements", &json!([])).send().await.expect(200);

    for (consumer, seats) in [(&one, 50), (&other, 50)] {
        for _ in 0..seats {
            seat(&registry, consumer).await;
        }
    }
    let words = "Together they have 102 tokens and key pairs, and a consumer has 101 at most. Delete some of the tokens \
                 first.";
    assert_eq!(refused(2, 409).await, words);
    let tokens = registry.storefront_get("/consumers/2/tokens").send().await.expect(200).json();
    let one_less = format!("/consumers/2/tokens/{}", tokens[0]["id"].as_str().expect("an id"));
    registry.storefront_delete(&one_less).send().await.expect(204);
    merging(&registry, &one, &other).send().await.expect(200);
}

#[tokio::test]
async fn who_merges_holds_what_both_were_granted() {
    let (registry, one, _) = shop().await;
    let shop = async |grants: Value| {
        let spec = json!({"description": "shop", "scopes": ["storefront:*"], "grants": grants});
        registry.token(&spec).await.1
    };
    let path = format!("/api/storefront/consumers/{}/merge", one.id);
    let merge = |token: &str| registry.post(&path).bearer(token).json(&json!({"consumer_id": 2}));
    let of_one = shop(json!([{"package": "acme/lib"}])).await;
    let of_other = shop(json!([{"package": "acme/extension"}])).await;
    for (token, lacking) in [(&of_one, "`acme/extension` in `*`"), (&of_other, "`acme/lib` in `5.*`")] {
        let refused = merge(token).send().await.expect(403).json();
        assert!(refused["error"].as_str().expect("text").contains(lacking), "{refused}");
    }
    let (_, reader) = registry.token(&json!({"description": "r", "scopes": ["storefront:read"]})).await;
    merge(&reader).send().await.expect(403);
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 2);
    merge(&shop(json!([{"pattern": "acme/*"}])).await).send().await.expect(200);
}

/// What there is of consumers; times left out.
fn state(registry: &TestRegistry) -> Vec<Value> {
    [
        "SELECT id, order_id, seats FROM consumers ORDER BY id",
        "SELECT id, consumer_id FROM tokens ORDER BY id",
        "SELECT id, consumer_id FROM grants ORDER BY id",
        "SELECT id, consumer_id FROM merged_consumers ORDER BY id",
        "SELECT id FROM audit_log ORDER BY id",
    ]
    .iter()
    .flat_map(|sql| registry.database.rows(sql))
    .collect()
}

#[tokio::test]
async fn with_every_call_of_the_database_broken_a_merge_is_made_whole_or_not_at_all() {
    let whole = {
        let (registry, one, other) = shop().await;
        merging(&registry, &one, &other).send().await.expect(200);
        state(&registry)
    };
    for timing in [FaultTiming::Before, FaultTiming::After] {
        for nth in 1.. {
            let (registry, one, other) = shop().await;
            let before = state(&registry);
            registry.meter.break_nth(Port::Database, nth, timing);
            let reply = merging(&registry, &one, &other).send().await;
            let is_over = registry.meter.clear_faults() == 0;
            let after = state(&registry);
            assert!(after == before || after == whole, "{timing:?} {nth}: {after:?}");
            assert_eq!(reply.status, if is_over { 200 } else { 500 });
            let pair = seen_in(&registry.another_isolate(), &other).await;
            assert_eq!(pair == everything(), after == whole, "{timing:?} {nth}");
            merging(&registry, &one, &other).send().await.expect(200);
            assert_eq!(state(&registry), whole, "{timing:?} {nth}: and again");
            if is_over {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_merge_stands_when_kv_fails_and_is_believed_here_at_once() {
    let (registry, one, other) = shop().await;
    for consumer in [&one, &other] {
        seen_in(&registry.isolate, consumer).await;
    }
    registry.meter.break_all(Port::Cache, FaultTiming::Before);
    merging(&registry, &one, &other).send().await.expect(200);
    for consumer in [&one, &other] {
        assert_eq!(seen_in(&registry.isolate, consumer).await, everything());
    }
    registry.meter.clear_faults();
}

#[tokio::test]
async fn of_two_that_merge_each_into_the_other_one_is_told_so() {
    let (registry, one, other) = shop().await;
    let both = [merging(&registry, &one, &other), merging(&registry, &other, &one)];
    assert_eq!(statuses_of_concurrent(both).await, [200, 409]);
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 1);
    for consumer in [&one, &other] {
        assert_eq!(seen_in(&registry.isolate, consumer).await, everything());
    }
}

#[tokio::test]
async fn permissions_that_were_not_looked_at_are_not_passed_on() {
    let (registry, one, other) = shop().await;
    let record = async |grants: Value| {
        let merge = ConsumerMerge { from: other.id, into: one.id, at: registry.isolate.app.now() };
        let limits = MergeLimits { grants: grants.to_string(), most_grants: 10, most_tokens: 10 };
        let query = consumer_merges::record(OrganizationId::ROOT, merge, &limits);
        registry.isolate.app.ports.database.ask(query).await.expect("an answer")
    };
    let grant = |target: &str, version: &str| {
        json!({
            "target": target, "version_constraint": version, "updates_until": null, "minimum_stability": "stable",
            "expires_at": null,
        })
    };
    let (lib, extension) = (grant("acme/lib", "5.*"), grant("acme/extension", "*"));
    assert!(!record(json!([lib])).await, "somebody has granted the other one meanwhile");
    assert!(!record(json!([lib, grant("acme/extension", "2.*")])).await);
    assert!(record(json!([extension, lib, grant("acme/gone", "*")])).await);
}
