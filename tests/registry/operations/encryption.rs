//! `/api/encryption`: which key has sealed what, and sealing anew with the first.

use std::sync::Arc;

use rostrum::registry::kernel::app::{App, Config};
use rostrum::registry::kernel::secrets::Keyring;
use serde_json::{Value, json};

use crate::support::{ADMIN, FaultTiming, PASSWORD, Port, TestRegistry, upstream_version, zip_of};

fn ring(keys: &[u8]) -> Keyring {
    let keys: Vec<String> = keys.iter().map(|key| hex::encode([*key; 32])).collect();
    Keyring::parse(&keys.join(",")).expect("keys")
}

fn id_of(key: u8) -> String {
    ring(&[key]).ids().next().expect("a key").to_owned()
}

/// The same deployment after `ENCRYPTION_KEY` was set to these keys.
fn with_keys(registry: &mut TestRegistry, keys: &[u8]) {
    let app = &registry.isolate.app;
    let config = Config { keyring: ring(keys), ..Config::clone(&app.config) };
    registry.isolate.app = App { config: Arc::new(config), ..app.clone() };
}

/// A registry whose first key is 7, with so many private repositories and one kept answer.
async fn with_secrets(repositories: usize) -> TestRegistry {
    let registry = TestRegistry::new();
    for number in 0..repositories {
        let spec = json!({"url": format!("https://git.test/acme/{number}.git"), "auth_credentials": "s3cret"});
        registry.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201);
    }
    keyed(&registry).await;
    registry.tasks.lose_jobs();
    registry
}

/// Makes a token, or is told of the one that was made.
async fn keyed(registry: &TestRegistry) -> Value {
    let request = registry.post("/api/tokens").bearer(ADMIN).header("idempotency-key", "k");
    request.json(&json!({"description": "a"})).send().await.expect(201).json()
}

async fn keys(registry: &TestRegistry) -> Value {
    registry.get("/api/encryption").bearer(ADMIN).send().await.expect(200).json()
}

async fn rotate(registry: &TestRegistry) -> Value {
    registry.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(200).json()
}

fn key(id: u8, seals: bool, configured: bool, credentials: i64, answers: i64) -> Value {
    json!({
        "id": id_of(id), "seals": seals, "configured": configured,
        "sealed": {
            "consumers.private_key": 0, "dists.upstream_login": 0, "idempotency_results.secret": answers,
            "repositories.credentials": credentials, "repositories.host_credentials": 0, "users.totp_secret": 0, "webhooks.secret": 0,
        },
    })
}

#[tokio::test]
async fn after_a_rotation_the_old_key_is_not_needed_any_more() {
    let mut registry = with_secrets(3).await;
    let token = keyed(&registry).await;
    assert_eq!(keys(&registry).await, json!([key(7, true, true, 3, 1)]));
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(keys(&registry).await, json!([key(8, true, true, 0, 0), key(7, false, true, 3, 1)]));
    assert_eq!(rotate(&registry).await, json!({"resealed": 4, "remaining": 0, "unreadable": 0}));
    assert_eq!(keys(&registry).await, json!([key(8, true, true, 3, 1), key(7, false, true, 0, 0)]));
    with_keys(&mut registry, &[8]);
    assert_eq!(keys(&registry).await, json!([key(8, true, true, 3, 1)]));
    assert_eq!(keyed(&registry).await, token);
    let rows = registry.database.rows("SELECT uid, credentials FROM repositories");
    for row in rows {
        let name = format!("repository/{}/credentials", row["uid"].as_str().expect("text"));
        let opened = ring(&[8]).open(&name, row["credentials"].as_str().expect("text")).expect("it opens");
        assert_eq!(opened, "{\"token\":\"s3cret\"}");
    }
    let noted =
        registry.database.rows("SELECT target, details FROM audit_log WHERE action = 'encryption.rotated' ORDER BY id");
    let details = |texts: i64| json!({"key": id_of(8), "texts": texts}).to_string();
    let expected = [
        json!({"target": "repositories.credentials", "details": details(3)}),
        json!({"target": "idempotency_results.secret", "details": details(1)}),
    ];
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn a_second_factor_outlives_the_key_that_it_was_sealed_with() {
    let mut registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (secret, _) = registry.second_factor(&owner).await;
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut registry, &[8]);
    registry.advance_seconds(600);
    let code = json!({"totp_code": registry.code(&secret, 0)});
    registry.log_in(&owner.email, PASSWORD, code).await.expect(200);
}

#[tokio::test]
async fn the_login_of_an_archive_outlives_the_key_that_it_was_sealed_with() {
    let mut registry = TestRegistry::new();
    let host = registry.composer_host.clone();
    host.lazy("https://satis.test");
    let versions = ["2.0.0", "1.0.0"].map(|text| {
        let mut version = upstream_version("https://satis.test", "vendor/lib", text);
        version["dist"]["url"] = json!("https://jo:s3cret@cdn.test/lib.zip");
        version
    });
    host.publish("https://satis.test", "vendor/lib", &versions);
    host.put("https://cdn.test/lib.zip", zip_of(b"{}"));
    host.require_basic("https://cdn.test", "jo", "s3cret");
    registry.upstream("https://satis.test").await;
    let token = registry.reader().await;
    registry.get("/p2/vendor/lib.json").basic(&token).composer().send().await.expect(200);
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 2, "remaining": 0, "unreadable": 0}));
    with_keys(&mut registry, &[8]);
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).send().await.expect(200);
}

#[tokio::test]
async fn credentials_of_other_hosts_outlive_the_key_that_they_were_sealed_with() {
    let mut registry = TestRegistry::new();
    let host = registry.composer_host.clone();
    host.lazy("https://satis.test");
    let mut version = upstream_version("https://satis.test", "vendor/lib", "1.0.0");
    version["dist"]["url"] = json!("https://cdn.test/lib.zip");
    host.publish("https://satis.test", "vendor/lib", &[version]);
    host.put("https://cdn.test/lib.zip", zip_of(b"{}"));
    host.require_bearer("https://cdn.test", "s3cret");
    let hosts = json!([{"host": "cdn.test", "auth_credentials": "s3cret"}]);
    registry.upstream_as(json!({"url": "https://satis.test", "host_credentials": hosts})).await;
    let token = registry.reader().await;
    registry.get("/p2/vendor/lib.json").basic(&token).composer().send().await.expect(200);
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut registry, &[8]);
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).send().await.expect(200);
}

#[tokio::test]
async fn nothing_to_do_is_done_without_a_trace() {
    let registry = with_secrets(1).await;
    let before = registry.database.rows("SELECT * FROM repositories, audit_log");
    assert_eq!(rotate(&registry).await, json!({"resealed": 0, "remaining": 0, "unreadable": 0}));
    assert_eq!(registry.database.rows("SELECT * FROM repositories, audit_log"), before);
}

#[tokio::test]
async fn a_hundred_secrets_of_a_sort_are_sealed_anew_with_a_call_in_as_many_statements() {
    let mut registry = with_secrets(1).await;
    registry.database.execute(
        "INSERT INTO repositories (uid, organization_id, kind, provider, url, credential_type, credentials, created_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 204)
         SELECT 'copy' || value, organization_id, kind, provider, url || value, credential_type, credentials, 0
           FROM repositories, n",
    );
    with_keys(&mut registry, &[8, 7]);
    // The copies are sealed to another row than theirs: they do not open.
    let (found, calls) = registry.counted(rotate(&registry)).await;
    assert_eq!((calls.round_trips, calls.statements), (2, 28));
    assert_eq!(found["remaining"].as_i64().expect("a number") + found["resealed"].as_i64().expect("a number"), 206);
    assert!(found["unreadable"].as_i64().expect("a number") >= 99);
    let uids = registry.database.rows("SELECT uid FROM repositories WHERE uid LIKE 'copy%'");
    for row in uids {
        let uid = row["uid"].as_str().expect("text");
        let name = format!("repository/{uid}/credentials");
        let sealed = ring(&[7]).seal(&*registry.isolate.app.ports.entropy, &name, "{}").expect("sealed");
        registry.database.execute(&format!("UPDATE repositories SET credentials = '{sealed}' WHERE uid = '{uid}'"));
    }
    let mut left = Vec::new();
    while left.last() != Some(&0) {
        left.push(rotate(&registry).await["remaining"].as_i64().expect("a number"));
    }
    assert!((3..=4).contains(&left.len()), "{left:?}");
}

#[tokio::test]
async fn what_a_lost_key_has_sealed_remains_and_is_shown_under_its_id() {
    let mut registry = with_secrets(2).await;
    with_keys(&mut registry, &[9, 8]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 0, "remaining": 3, "unreadable": 0}));
    let expected = json!([key(9, true, true, 0, 0), key(8, false, true, 0, 0), key(7, false, false, 2, 1)]);
    assert_eq!(keys(&registry).await, expected);
}

#[tokio::test]
async fn whoever_changes_a_secret_meanwhile_wins() {
    let mut registry = with_secrets(1).await;
    with_keys(&mut registry, &[8, 7]);
    registry.meter.reset();
    let change = async {
        while registry.meter.calls().round_trips < 2 {
            tokio::task::yield_now().await;
        }
        registry.database.execute("UPDATE repositories SET credentials = 'v1.00000000.another'");
    };
    let (found, ()) = tokio::join!(biased; rotate(&registry), change);
    assert_eq!(found, json!({"resealed": 1, "remaining": 1, "unreadable": 0}), "only the answer");
    let rows = registry.database.rows("SELECT credentials FROM repositories");
    assert_eq!(rows, [json!({"credentials": "v1.00000000.another"})]);
    let noted = registry.database.rows("SELECT target FROM audit_log WHERE action = 'encryption.rotated'");
    assert_eq!(noted, [json!({"target": "idempotency_results.secret"})]);
}

#[tokio::test]
async fn a_failing_database_loses_no_secret() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        for nth in 1..=2 {
            let mut registry = with_secrets(2).await;
            let token = keyed(&registry).await;
            with_keys(&mut registry, &[8, 7]);
            registry.meter.break_nth(Port::Database, nth, timing);
            registry.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(500);
            assert_eq!(registry.meter.clear_faults(), 1);
            assert_eq!(keyed(&registry).await, token);
            let again = rotate(&registry).await;
            let done = (nth, timing) == (2, FaultTiming::After);
            assert_eq!(again, json!({"resealed": if done { 0 } else { 3 }, "remaining": 0, "unreadable": 0}));
            assert_eq!(keyed(&registry).await, token);
        }
    }
}

#[tokio::test]
async fn only_an_administrator_sees_or_rotates_keys_and_never_the_keys_themselves() {
    let mut registry = with_secrets(1).await;
    let (_, token) = registry.token(&json!({"description": "a", "scopes": ["settings:*", "tokens:*"]})).await;
    for request in [registry.get("/api/encryption"), registry.post("/api/encryption/rotate")] {
        let reply = request.bearer(&token).send().await.expect(403);
        assert_eq!(reply.json()["error"], "This token lacks the scope `admin`. Use one that has it.");
    }
    let shown = keys(&registry).await.to_string();
    assert!(!shown.contains(&hex::encode([7; 4])), "{shown}");
    with_keys(&mut registry, &[]);
    let refused = registry.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(409);
    assert!(refused.json()["error"].as_str().expect("text").starts_with("ENCRYPTION_KEY is not set"));
    assert_eq!(keys(&registry).await, json!([key(7, false, false, 1, 1)]));
}

#[tokio::test]
async fn the_private_keys_of_consumers_are_sealed_anew_too() {
    let mut registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let path = format!("/consumers/{}", consumer.id);
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut registry, &[8]);
    let shown = registry.storefront_get(&path).send().await.expect(200).json();
    assert_eq!(shown["private_key"], consumer.private_key);
    with_keys(&mut registry, &[9]);
    let refused = registry.storefront_get(&path).send().await.expect(500);
    assert!(refused.text().contains("that sealed this is not in ENCRYPTION_KEY any more"), "{}", refused.text());
    // What composer presents is compared with its hash.
    consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
}

#[tokio::test]
async fn the_secrets_of_webhooks_are_sealed_anew_too() {
    let mut registry = TestRegistry::new();
    registry.composer_host.put("https://shop.test/hooks", "thanks");
    let spec = json!({"url": "https://shop.test/hooks", "events": ["download.first"], "secret": "0123456789abcdef"});
    let id = registry.storefront_post("/webhooks", &spec).send().await.expect(201).id();
    let ping = format!("/webhooks/{id}/test");
    let signed_with = |registry: &TestRegistry| {
        let posted = registry.composer_host.take_posts().pop().expect("a delivery");
        posted.headers["x-rostrum-signature"].to_str().expect("ASCII").len()
    };
    with_keys(&mut registry, &[8, 7]);
    assert_eq!(rotate(&registry).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut registry, &[8]);
    registry.storefront_post(&ping, &json!({})).send().await.expect(201);
    registry.run_until_idle().await;
    assert_eq!(signed_with(&registry), "sha256=".len() + 64);
    with_keys(&mut registry, &[9]);
    registry.storefront_post(&ping, &json!({})).send().await.expect(201);
    registry.run_until_idle().await;
    assert!(registry.composer_host.take_posts().is_empty(), "nothing goes out unsigned");
    let log = registry.storefront_get(&format!("/webhooks/{id}/deliveries")).send().await.expect(200).json();
    let error = log[0]["last_error"].as_str().expect("text");
    assert!(error.ends_with("that sealed this is not in ENCRYPTION_KEY any more"), "{error}");
}
