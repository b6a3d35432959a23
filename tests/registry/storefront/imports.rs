//! Moving customers in: many consumers at once, with the keys, dates and permissions that they had elsewhere.

use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry, TestRequest, statuses_of_concurrent};

fn import(registry: &TestRegistry, lines: &Value) -> TestRequest {
    registry.storefront_post("/consumers/import", lines)
}

fn line(number: usize) -> Value {
    json!({
        "email": format!("customer-{number}@example.com"), "customer_id": format!("c{number}"), "order_id": format!("o{number}"),
        "public_key": format!("public-key-of-{number}-0123456789"), "private_key": format!("private-key-of-{number}-0123456789"),
        "created_at": "2018-01-01 00:00:00",
        "entitlements": [{
            "package": "acme/lib", "version": "1.*", "order_id": format!("o{number}"), "updates_until": "2019-01-01 00:00:00",
            "minimum_stability": "dev", "metadata": {"licence": number},
        }],
    })
}

#[tokio::test]
async fn customers_move_in_with_their_keys_dates_and_permissions() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    registry.database.execute("UPDATE versions SET released_at = 1500000000000");
    registry.database.execute(
        "UPDATE packages SET version_index = (SELECT json_group_array(json_array(normalized, released_at, pretty))
           FROM versions WHERE removed_at IS NULL AND package_id = packages.id)",
    );
    let said = import(&registry, &json!([line(0), line(1)])).send().await.expect(200).json();
    assert_eq!(said, json!([{"index": 0, "result": "created", "id": 1}, {"index": 1, "result": "created", "id": 2}]));
    let shown = registry.storefront_get("/consumers?include=entitlements").send().await.expect(200).json();
    let (first, sent) = (&shown[0], line(0));
    for field in ["email", "customer_id", "order_id", "public_key", "private_key", "created_at"] {
        assert_eq!(first[field], sent[field], "{field}");
    }
    let permission = &first["entitlements"][0];
    for field in ["package", "version", "order_id", "updates_until", "minimum_stability", "metadata"] {
        assert_eq!(permission[field], sent["entitlements"][0][field], "{field}");
    }
    assert_eq!((&permission["created_at"], &first["status"]), (&json!("2018-01-01 00:00:00"), &json!(1)));
    let composer = registry.get("/p2/acme/lib.json").pair("public-key-of-1-0123456789", "private-key-of-1-0123456789");
    assert_eq!(composer.composer().send().await.expect(200).version_names("acme/lib"), ["1.0.0"]);
    let noted = registry.database.rows("SELECT target, details FROM audit_log WHERE action = 'consumers.imported'");
    let details = json!({"consumers": 2, "permissions": 2, "first": 1, "last": 2}).to_string();
    assert_eq!(noted, [json!({"target": "1", "details": details})]);
    assert_eq!(registry.consumer().await.id, 3);
}

#[tokio::test]
async fn the_same_import_again_changes_nothing_and_says_so() {
    let registry = TestRegistry::new();
    let lines = json!([line(0), {"email": "a@example.com", "customer_id": "42"}]);
    import(&registry, &lines).send().await.expect(200);
    let state = || {
        registry.database.rows("SELECT (SELECT count(*) FROM consumers), (SELECT count(*) FROM tokens), (SELECT count(*) FROM grants), (SELECT count(*) FROM audit_log)")
    };
    let before = state();
    let again = import(&registry, &lines).send().await.expect(200).json();
    assert_eq!(again, json!([{"index": 0, "result": "exists", "id": 1}, {"index": 1, "result": "exists", "id": 2}]));
    assert_eq!(state(), before);
    let keyed = || import(&registry, &json!([line(5)])).header("idempotency-key", "batch-1");
    let first = keyed().send().await.expect(200);
    let second = keyed().send().await.expect(200);
    assert_eq!((second.json(), second.header("idempotency-replayed")), (first.json(), "true"));
    let statuses = statuses_of_concurrent([0, 1].map(|_| import(&registry, &json!([line(6), line(7)])))).await;
    assert_eq!(statuses, [200, 200]);
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 5, "each once");
}

#[tokio::test]
async fn a_bad_line_is_told_what_is_wrong_and_does_not_stop_the_others() {
    let registry = TestRegistry::new();
    import(&registry, &json!([line(0)])).send().await.expect(200);
    let with = |number: usize, field: &str, value: Value| {
        let mut line = line(number);
        line[field] = value;
        line
    };
    let lines = json!([
        with(1, "email", json!("nonsense")),
        with(2, "seats", json!("many")),
        with(3, "licence", json!(1)),
        with(4, "created_at", json!("long ago")),
        with(5, "entitlements", json!([{"package": "acme/lib", "version": "five"}])),
        {"email": "a@example.com"},
        with(0, "private_key", json!("another-private-key-0123456789")),
        with(0, "public_key", json!("another-public-key-0123456789")),
        with(8, "revoke", json!(true)),
        "nonsense",
        line(9),
        line(9),
        with(10, "public_key", line(9)["public_key"].clone()),
    ]);
    let said = import(&registry, &lines).send().await.expect(200).json();
    let said = said.as_array().expect("a list");
    let results: Vec<&str> = said.iter().map(|line| line["result"].as_str().expect("text")).collect();
    assert_eq!(results[..10], ["refused"; 10], "{said:?}");
    assert_eq!(results[10..], ["created", "exists", "refused"], "{said:?}");
    assert_eq!(said[10]["id"], said[11]["id"]);
    for (index, field) in [(2, "licence"), (4, "entitlements[0].version"), (5, "public_key"), (8, "revoke")] {
        assert!(said[index]["details"].get(field).is_some(), "{}", said[index]);
        assert!(said[index].get("id").is_none());
    }
    assert_eq!(said[6]["error"], "A consumer with this public key exists already, with another private key.");
    assert_eq!(said[7]["error"], "The customer has the consumer 1 already, with another public key.");
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 2);
}

#[tokio::test]
async fn an_import_has_bounds_and_a_shop_imports_what_it_sells() {
    let registry = TestRegistry::new();
    let many: Vec<Value> =
        (0..1001).map(|number| json!({"email": "a@example.com", "customer_id": number.to_string()})).collect();
    let refused = import(&registry, &json!(many)).send().await.expect(400).json();
    let words =
        "An import takes 1000 consumers with 10000 permissions together at most. Send the rest with another request.";
    assert_eq!(refused["error"], words);
    let spec = json!({"description": "a shop", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, shop) = registry.token(&spec).await;
    let mut rival = line(1);
    rival["entitlements"][0]["package"] = json!("rival/lib");
    let request = registry.post("/api/storefront/consumers/import").bearer(&shop).json(&json!([line(0), rival]));
    let said = request.send().await.expect(200).json();
    assert_eq!((&said[0]["result"], &said[1]["result"]), (&json!("created"), &json!("refused")));
    let (_, reader) = registry.token(&json!({"description": "x", "scopes": ["storefront:read"]})).await;
    registry.post("/api/storefront/consumers/import").bearer(&reader).json(&json!([])).send().await.expect(403);
    registry.storefront_post("/consumers", &line(3)).send().await.expect(400);
}

#[tokio::test]
async fn a_thousand_customers_take_no_more_statements_than_ten() {
    let registry = TestRegistry::new();
    registry.get("/packages.json").bearer(ADMIN).send().await.expect(200);
    let mut statements = Vec::new();
    for (from, to) in [(0, 10), (10, 1010)] {
        let lines: Vec<Value> = (from..to).map(line).collect();
        let (said, calls) = registry.counted(import(&registry, &json!(lines)).send()).await;
        let said = said.expect(200).json();
        assert!(said.as_array().expect("a list").iter().all(|line| line["result"] == "created"));
        statements.push(calls.statements);
    }
    assert_eq!(statements[0], statements[1]);
    assert_eq!(registry.database.rows("SELECT 1 FROM grants").len(), 1010);
}
