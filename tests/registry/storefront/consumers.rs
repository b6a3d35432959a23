//! `/api/storefront/consumers`: customers and their key pairs, as the storefront document has them.

use serde_json::{Value, json};

use crate::support::{ADMIN, TestConsumer, TestRegistry, statuses_of_concurrent};

const START_TEXT: &str = "2026-01-01 00:00:00";

fn keys_of(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_consumer_is_made_with_new_keys_and_shown_as_documented() {
    let registry = TestRegistry::new();
    let made = registry.storefront_post("/consumers", &json!({"email": "One@example.com"})).send().await.expect(201);
    let consumer = made.json();
    assert_eq!(
        keys_of(&consumer),
        [
            "id",
            "email",
            "public_key",
            "private_key",
            "created_at",
            "updated_at",
            "status",
            "customer_id",
            "order_id",
            "seats",
            "rate_limit_max"
        ]
    );
    assert_eq!(
        (&consumer["id"], &consumer["email"], &consumer["status"]),
        (&json!(1), &json!("One@example.com"), &json!(1))
    );
    let TestConsumer { public_key, private_key, .. } = TestConsumer::of(&made);
    for key in [&public_key, &private_key] {
        assert_eq!(key.len(), 60);
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric()));
    }
    assert_ne!(public_key, private_key);
    assert_eq!(consumer["created_at"].as_str().map(str::len), Some(START_TEXT.len()));
    assert_eq!(registry.storefront_get("/consumers/1").send().await.expect(200).json(), consumer);
    let listed = registry.storefront_get("/consumers").send().await.expect(200);
    assert_eq!((listed.json(), listed.header("x-total-count")), (json!([consumer]), "1"));
}

#[tokio::test]
async fn times_are_written_as_php_writes_them() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    registry.database.execute("UPDATE consumers SET created_at = 1514764800000, updated_at = 1514764801999");
    let view = registry.storefront_get(&format!("/consumers/{}", consumer.id)).send().await.expect(200).json();
    assert_eq!(view["created_at"], "2018-01-01 00:00:00");
    assert_eq!(view["updated_at"], "2018-01-01 00:00:01");
}

#[tokio::test]
async fn keys_may_be_given_under_either_spelling() {
    let registry = TestRegistry::new();
    for (number, [public, private]) in [["public_key", "private_key"], ["publickey", "privatekey"]].iter().enumerate() {
        let (public_key, private_key) = (format!("public-{number}-{}", "x".repeat(9)), "p:r!v@a#t$e%k^e&y*");
        let mut spec = json!({"email": "one@example.com", "status": 1, "customerid": "7", "order_id": "8", "seats": 3});
        spec[*public] = json!(public_key);
        spec[*private] = json!(private_key);
        let made = registry.storefront_post("/consumers", &spec).send().await.expect(201);
        let consumer = TestConsumer::of(&made);
        assert_eq!((&consumer.public_key, consumer.private_key.as_str()), (&public_key, private_key));
        assert_eq!(made.json()["customer_id"], "7");
        assert_eq!(made.json()["order_id"], "8");
        assert_eq!(made.json()["seats"], 3);
        consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
    }
}

#[tokio::test]
async fn wrong_fields_are_named_and_nothing_is_made() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    for (spec, detail) in [
        (json!({}), "`email`: is required"),
        (json!({"email": "nobody"}), "`email`: is not an e-mail address like `ada@example.org`"),
        (
            json!({"email": "a@b.c", "public_key": "with:a:colon:inside"}),
            "`public_key` must be 16 to 255 visible ASCII characters without a colon",
        ),
        (
            json!({"email": "a@b.c", "publickey": "too-short", "privatekey": "has a space in it"}),
            "`public_key` must be 16 to 255 visible ASCII characters without a colon; \
             `private_key` must be 16 to 255 visible ASCII characters",
        ),
        (json!({"email": "a@b.c", "private_key": token}), "`private_key` must not be a token of this registry"),
        (json!({"email": "a@b.c", "status": 2}), "`status` must be 1 for enabled or 0 for disabled"),
        (json!({"email": "a@b.c", "seats": 101}), "`seats` must be 0 to 100, or null for 100"),
        (json!({"email": "a@b.c", "customer_id": ""}), "`customer_id` must be 1 to 255 characters"),
        (json!({"email": "a@b.c", "name": "x"}), "Unknown field: `name`"),
    ] {
        let reply = registry.storefront_post("/consumers", &spec).send().await.expect(400);
        assert_eq!(reply.json()["error"], detail, "{spec}");
        assert_eq!(reply.json()["code"], "INVALID_REQUEST");
    }
    let both = json!({"email": "a@b.c", "public_key": "0123456789abcdef", "publickey": "0123456789abcdef"});
    registry.storefront_post("/consumers", &both).send().await.expect(400);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 0})]);
}

#[tokio::test]
async fn consumers_are_found_by_their_address_in_whatever_case() {
    let registry = TestRegistry::new();
    for email in ["one@example.com", "two@example.com", " ONE@Example.com "] {
        registry.consumer_as(&json!({"email": email})).await;
    }
    let found = registry.storefront_get("/consumers/email/one%40EXAMPLE.com").send().await.expect(200);
    assert_eq!(found.header("x-total-count"), "2");
    let emails: Vec<Value> = found.json().as_array().expect("a list").iter().map(|row| row["email"].clone()).collect();
    assert_eq!(emails, ["one@example.com", "ONE@Example.com"]);
    let none = registry.storefront_get("/consumers/email/three@example.com").send().await.expect(200);
    assert_eq!((none.json(), none.header("x-total-count")), (json!([]), "0"));
    let part = registry.storefront_get("/consumers?limit=1&offset=1").send().await.expect(200);
    assert_eq!((&part.json()[0]["id"], part.header("x-total-count")), (&json!(2), "3"));
    registry.storefront_get("/consumers?limit=10001").send().await.expect(400);
}

#[tokio::test]
async fn put_and_patch_change_what_they_name_and_nothing_else() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer_as(&json!({"email": "one@example.com", "order_id": "8"})).await;
    let path = format!("/consumers/{}", consumer.id);
    registry.advance_seconds(60);
    let before = registry.storefront_get(&path).send().await.expect(200).json();
    let patched =
        registry.storefront_patch(&path, &json!({"email": "two@example.com"})).send().await.expect(200).json();
    assert_eq!(patched["email"], "two@example.com");
    assert_ne!(patched["updated_at"], before["updated_at"]);
    for field in ["id", "public_key", "private_key", "created_at", "order_id", "status"] {
        assert_eq!(patched[field], before[field], "{field}");
    }
    let put = registry.storefront_put(&path, &json!({"order_id": null, "seats": 2})).send().await.expect(200).json();
    assert_eq!((&put["email"], &put["order_id"], &put["seats"]), (&json!("two@example.com"), &Value::Null, &json!(2)));
    assert_eq!(registry.storefront_get(&path).send().await.expect(200).json(), put);
    registry.storefront_patch("/consumers/9", &json!({"email": "two@example.com"})).send().await.expect(404);
}

#[tokio::test]
async fn new_keys_replace_the_old_ones_at_once_here_and_within_the_bound_elsewhere() {
    let registry = TestRegistry::new();
    let elsewhere = registry.another_isolate();
    let old = registry.consumer().await;
    old.get(&elsewhere, "/packages.json").send().await.expect(200);
    old.get(&registry.isolate, "/packages.json").send().await.expect(200);
    let path = format!("/consumers/{}", old.id);
    let new = TestConsumer { private_key: "a-new-private-key".to_owned(), ..old.clone() };
    new.get(&registry.isolate, "/packages.json").send().await.expect(401);
    let changed = registry.storefront_patch(&path, &json!({"private_key": new.private_key})).send().await.expect(200);
    assert_eq!(changed.json()["private_key"], new.private_key);
    new.get(&registry.isolate, "/packages.json").send().await.expect(200);
    old.get(&registry.isolate, "/packages.json").send().await.expect(401);
    registry.advance_seconds(30);
    old.get(&elsewhere, "/packages.json").send().await.expect(401);
    new.get(&elsewhere, "/packages.json").send().await.expect(200);
    // Naming the same key again is no other key.
    registry.storefront_put(&path, &json!({"private_key": new.private_key})).send().await.expect(200);
    new.get(&registry.isolate, "/packages.json").send().await.expect(200);
}

#[tokio::test]
async fn a_public_key_is_one_consumers_alone() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let other = registry.consumer().await;
    let spec = json!({"email": "two@example.com", "public_key": consumer.public_key});
    let reply = registry.storefront_post("/consumers", &spec).send().await.expect(409);
    assert_eq!(reply.json()["error"], "A consumer with this public key exists already. Use another.");
    let body = json!({"public_key": consumer.public_key});
    registry.storefront_patch(&format!("/consumers/{}", other.id), &body).send().await.expect(409);
    other.get(&registry.isolate, "/packages.json").send().await.expect(200);

    let spec = json!({"email": "three@example.com", "public_key": "the-same-public-key"});
    let requests = (0..4).map(|_| registry.storefront_post("/consumers", &spec));
    assert_eq!(statuses_of_concurrent(requests).await, [201, 409, 409, 409]);
    let kept =
        registry.database.rows("SELECT (SELECT count(*) FROM consumers) AS c, (SELECT count(*) FROM tokens) AS t");
    assert_eq!(kept, [json!({"c": 3, "t": 3})]);
}

#[tokio::test]
async fn with_an_idempotency_key_a_consumer_is_made_once() {
    let registry = TestRegistry::new();
    let spec = json!({"email": "one@example.com", "order_id": "1001"});
    let request = || registry.storefront_post("/consumers", &spec).header("idempotency-key", "order-1001");
    let first = request().send().await.expect(201);
    let second = request().send().await.expect(201);
    assert_eq!(second.body, first.body);
    assert_eq!((first.find_header("idempotency-replayed"), second.header("idempotency-replayed")), (None, "true"));
    let another = json!({"email": "two@example.com"});
    registry.storefront_post("/consumers", &another).header("idempotency-key", "order-1001").send().await.expect(409);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
    let kept = registry.database.rows("SELECT result, secret FROM idempotency_results");
    assert_eq!(kept, [json!({"result": "1", "secret": null})]);
}

#[tokio::test]
async fn a_deleted_consumer_takes_its_keys_tokens_and_permissions_along_and_its_id_is_not_given_again() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let path = format!("/consumers/{}", consumer.id);
    let made =
        registry.storefront_post(&format!("{path}/tokens"), &json!({"description": "a"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(registry.storefront_delete(&path).send().await.expect(204).text(), "");
    consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(401);
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(401);
    assert_eq!(registry.cache.keys("token:").len(), 0);
    for table in ["consumers", "tokens", "grants"] {
        assert_eq!(registry.database.rows(&format!("SELECT count(*) AS n FROM {table}")), [json!({"n": 0})], "{table}");
    }
    registry.storefront_delete(&path).send().await.expect(404);
    registry.storefront_get(&path).send().await.expect(404);
    assert_eq!(registry.consumer().await.id, consumer.id + 1);
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    let registry = TestRegistry::new();
    for id in ["x", "0", "-1", "1", "99999999999999999999", "9007199254740993", "1.5"] {
        let reply = registry.storefront_get(&format!("/consumers/{id}")).send().await.expect(404);
        assert_eq!(reply.json(), json!({"error": "Consumer not found", "code": "NOT_FOUND", "details": {}}), "{id}");
        registry.storefront_get(&format!("/permissions/{id}")).send().await.expect(404);
        for path in ["packages", "entitlements", "tokens", "instructions", "packages/1"] {
            registry.storefront_get(&format!("/consumers/{id}/{path}")).send().await.expect(404);
        }
    }
}

#[tokio::test]
async fn the_scopes_decide_who_may_read_and_who_may_change() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let path = format!("/api/storefront/consumers/{}", consumer.id);
    let with = async |scope: &str| registry.token(&json!({"description": "a", "scopes": [scope]})).await.1;
    let (reader, writer, other) =
        (with("storefront:read").await, with("storefront:write").await, with("packages:*").await);
    let email = json!({"email": "two@example.com"});
    for (token, reads, writes) in [(&reader, 200, 403), (&writer, 403, 200), (&other, 403, 403)] {
        registry.get(&path).bearer(token).send().await.expect(reads);
        registry.patch(&path).bearer(token).json(&email).send().await.expect(writes);
    }
    registry.get(&path).send().await.expect(401);
    registry.get(&path).pair(&consumer.public_key, &consumer.private_key).send().await.expect(403);
    let admin = registry.user("ada", "admin").await;
    let member = registry.user("bob", "member").await;
    registry.get(&path).bearer(&admin.token).send().await.expect(200);
    registry.get(&path).bearer(&member.token).send().await.expect(403);
}

#[tokio::test]
async fn every_change_is_noted_and_no_note_or_row_holds_a_private_key() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer =
        registry.consumer_as(&json!({"email": "one@example.com", "private_key": "a-private-key-to-look-for"})).await;
    let path = format!("/consumers/{}", consumer.id);
    let permission = registry.grant(&consumer, "acme/lib", "1.*").await;
    let of_it = format!("/permissions/{}", permission["id"]);
    registry.storefront_patch(&of_it, &json!({"version": "2.*"})).send().await.expect(200);
    registry.storefront_delete(&of_it).send().await.expect(204);
    let list = json!([{"package": "acme/*", "version": "*"}]);
    registry.storefront_put(&format!("{path}/entitlements"), &list).send().await.expect(200);
    registry.storefront_put(&format!("{path}/entitlements"), &list).send().await.expect(200);
    registry.storefront_patch(&path, &json!({"private_key": "another-key-to-look-for"})).send().await.expect(200);
    let made =
        registry.storefront_post(&format!("{path}/tokens"), &json!({"description": "a"})).send().await.expect(201);
    registry.storefront_delete(&format!("{path}/tokens/{}", made.id())).send().await.expect(204);
    registry.storefront_delete(&path).send().await.expect(204);
    let noted = registry.database.rows("SELECT action, target, actor FROM audit_log WHERE target = '1' ORDER BY id");
    let actions: Vec<&str> = noted.iter().map(|entry| entry["action"].as_str().expect("text")).collect();
    assert_eq!(
        actions,
        [
            "consumer.created",
            "permission.created",
            "permission.changed",
            "permission.deleted",
            "entitlements.set",
            "consumer.changed",
            "consumer.token_created",
            "consumer.token_revoked",
            "consumer.deleted"
        ]
    );
    let log = registry.database.rows("SELECT * FROM audit_log");
    assert!(!json!(log).to_string().contains("-to-look-for"));
    assert!(!crate::support::logs::text().contains("-to-look-for"));
}

#[tokio::test]
async fn a_private_key_is_stored_sealed_and_hashed_alone() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    for table in ["consumers", "tokens"] {
        let rows = json!(registry.database.rows(&format!("SELECT * FROM {table}"))).to_string();
        assert!(!rows.contains(&consumer.private_key), "{table}");
    }
    let sealed = registry.get("/api/encryption").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(sealed[0]["sealed"]["consumers.private_key"], 1);
}
