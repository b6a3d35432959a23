//! `/api/encryption`: which key has sealed what, and sealing anew with the first.

use std::sync::Arc;

use rostrum::registry::kernel::app::{App, Config};
use rostrum::registry::kernel::secrets::Keyring;
use serde_json::{Value, json};

use crate::support::{ADMIN, Moment, PASSWORD, Port, World};

fn ring(keys: &[u8]) -> Keyring {
    let keys: Vec<String> = keys.iter().map(|key| hex::encode([*key; 32])).collect();
    Keyring::parse(&keys.join(",")).expect("keys")
}

fn id_of(key: u8) -> String {
    ring(&[key]).ids().next().expect("a key").to_owned()
}

/// The same deployment after `ENCRYPTION_KEY` was set to these keys.
fn with_keys(world: &mut World, keys: &[u8]) {
    let app = &world.isolate.app;
    let config = Config { keyring: ring(keys), ..Config::clone(&app.config) };
    world.isolate.app = App { config: Arc::new(config), ..app.clone() };
}

/// A registry whose first key is 7, with so many private repositories and one kept answer.
async fn with_secrets(repositories: usize) -> World {
    let world = World::new();
    for number in 0..repositories {
        let spec = json!({"url": format!("https://git.test/acme/{number}.git"), "auth_credentials": "s3cret"});
        world.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201);
    }
    keyed(&world).await;
    world.desk.lose_jobs();
    world
}

/// Makes a token, or is told of the one that was made.
async fn keyed(world: &World) -> Value {
    let ask = world.post("/api/tokens").bearer(ADMIN).header("idempotency-key", "k");
    ask.json(&json!({"description": "a"})).send().await.expect(201).json()
}

async fn keys(world: &World) -> Value {
    world.get("/api/encryption").bearer(ADMIN).send().await.expect(200).json()
}

async fn rotate(world: &World) -> Value {
    world.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(200).json()
}

fn key(id: u8, seals: bool, configured: bool, credentials: i64, answers: i64) -> Value {
    json!({
        "id": id_of(id), "seals": seals, "configured": configured,
        "sealed": {
            "consumers.private_key": 0, "idempotency_answers.body": answers, "repositories.credentials": credentials,
            "users.totp_secret": 0, "webhooks.secret": 0,
        },
    })
}

#[tokio::test]
async fn after_a_rotation_the_old_key_is_not_needed_any_more() {
    let mut world = with_secrets(3).await;
    let token = keyed(&world).await;
    assert_eq!(keys(&world).await, json!([key(7, true, true, 3, 1)]));
    with_keys(&mut world, &[8, 7]);
    assert_eq!(keys(&world).await, json!([key(8, true, true, 0, 0), key(7, false, true, 3, 1)]));
    assert_eq!(rotate(&world).await, json!({"resealed": 4, "remaining": 0, "unreadable": 0}));
    assert_eq!(keys(&world).await, json!([key(8, true, true, 3, 1), key(7, false, true, 0, 0)]));
    with_keys(&mut world, &[8]);
    assert_eq!(keys(&world).await, json!([key(8, true, true, 3, 1)]));
    assert_eq!(keyed(&world).await, token);
    let rows = world.database.rows("SELECT uid, credentials FROM repositories");
    for row in rows {
        let name = format!("repository/{}/credentials", row["uid"].as_str().expect("text"));
        let opened = ring(&[8]).open(&name, row["credentials"].as_str().expect("text")).expect("it opens");
        assert_eq!(opened, "{\"token\":\"s3cret\"}");
    }
    let noted =
        world.database.rows("SELECT target, details FROM audit_log WHERE action = 'encryption.rotated' ORDER BY id");
    let details = |texts: i64| json!({"key": id_of(8), "texts": texts}).to_string();
    let expected = [
        json!({"target": "repositories.credentials", "details": details(3)}),
        json!({"target": "idempotency_answers.body", "details": details(1)}),
    ];
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn a_second_factor_outlives_the_key_that_it_was_sealed_with() {
    let mut world = World::new();
    let owner = world.owner().await;
    let (secret, _) = world.second_factor(&owner).await;
    with_keys(&mut world, &[8, 7]);
    assert_eq!(rotate(&world).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut world, &[8]);
    world.advance_seconds(600);
    let code = json!({"totp_code": world.code(&secret, 0)});
    world.log_in(&owner.email, PASSWORD, code).await.expect(200);
}

#[tokio::test]
async fn nothing_to_do_is_done_without_a_trace() {
    let world = with_secrets(1).await;
    let before = world.database.rows("SELECT * FROM repositories, audit_log");
    assert_eq!(rotate(&world).await, json!({"resealed": 0, "remaining": 0, "unreadable": 0}));
    assert_eq!(world.database.rows("SELECT * FROM repositories, audit_log"), before);
}

#[tokio::test]
async fn a_hundred_secrets_of_a_sort_are_sealed_anew_with_a_call_in_as_many_statements() {
    let mut world = with_secrets(1).await;
    world.database.execute(
        "INSERT INTO repositories (uid, organization_id, kind, provider, url, credential_type, credentials, created_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 204)
         SELECT 'copy' || value, organization_id, kind, provider, url || value, credential_type, credentials, 0
           FROM repositories, n",
    );
    with_keys(&mut world, &[8, 7]);
    // The copies are sealed to another row than theirs: they do not open.
    let (found, calls) = world.counted(rotate(&world)).await;
    assert_eq!((calls.round_trips, calls.statements), (2, 20));
    assert_eq!(found["remaining"].as_i64().expect("a number") + found["resealed"].as_i64().expect("a number"), 206);
    assert!(found["unreadable"].as_i64().expect("a number") >= 99);
    let uids = world.database.rows("SELECT uid FROM repositories WHERE uid LIKE 'copy%'");
    for row in uids {
        let uid = row["uid"].as_str().expect("text");
        let name = format!("repository/{uid}/credentials");
        let sealed = ring(&[7]).seal(&*world.isolate.app.ports.entropy, &name, "{}").expect("sealed");
        world.database.execute(&format!("UPDATE repositories SET credentials = '{sealed}' WHERE uid = '{uid}'"));
    }
    let mut left = Vec::new();
    while left.last() != Some(&0) {
        left.push(rotate(&world).await["remaining"].as_i64().expect("a number"));
    }
    assert!((3..=4).contains(&left.len()), "{left:?}");
}

#[tokio::test]
async fn what_a_lost_key_has_sealed_remains_and_is_shown_under_its_id() {
    let mut world = with_secrets(2).await;
    with_keys(&mut world, &[9, 8]);
    assert_eq!(rotate(&world).await, json!({"resealed": 0, "remaining": 3, "unreadable": 0}));
    let expected = json!([key(9, true, true, 0, 0), key(8, false, true, 0, 0), key(7, false, false, 2, 1)]);
    assert_eq!(keys(&world).await, expected);
}

#[tokio::test]
async fn whoever_changes_a_secret_meanwhile_wins() {
    let mut world = with_secrets(1).await;
    with_keys(&mut world, &[8, 7]);
    world.meter.reset();
    let change = async {
        while world.meter.calls().round_trips < 2 {
            tokio::task::yield_now().await;
        }
        world.database.execute("UPDATE repositories SET credentials = 'v1.00000000.another'");
    };
    let (found, ()) = tokio::join!(biased; rotate(&world), change);
    assert_eq!(found, json!({"resealed": 1, "remaining": 1, "unreadable": 0}), "only the answer");
    let rows = world.database.rows("SELECT credentials FROM repositories");
    assert_eq!(rows, [json!({"credentials": "v1.00000000.another"})]);
    let noted = world.database.rows("SELECT target FROM audit_log WHERE action = 'encryption.rotated'");
    assert_eq!(noted, [json!({"target": "idempotency_answers.body"})]);
}

#[tokio::test]
async fn a_failing_database_loses_no_secret() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 1..=2 {
            let mut world = with_secrets(2).await;
            let token = keyed(&world).await;
            with_keys(&mut world, &[8, 7]);
            world.meter.break_nth(Port::Database, nth, moment);
            world.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(500);
            assert_eq!(world.meter.mend(), 1);
            assert_eq!(keyed(&world).await, token);
            let again = rotate(&world).await;
            let done = (nth, moment) == (2, Moment::After);
            assert_eq!(again, json!({"resealed": if done { 0 } else { 3 }, "remaining": 0, "unreadable": 0}));
            assert_eq!(keyed(&world).await, token);
        }
    }
}

#[tokio::test]
async fn only_an_administrator_sees_or_rotates_keys_and_never_the_keys_themselves() {
    let mut world = with_secrets(1).await;
    let (_, token) = world.token(&json!({"description": "a", "scopes": ["settings:*", "tokens:*"]})).await;
    for ask in [world.get("/api/encryption"), world.post("/api/encryption/rotate")] {
        let reply = ask.bearer(&token).send().await.expect(403);
        assert_eq!(reply.json()["error"], "This token lacks the scope `admin`. Use one that has it.");
    }
    let shown = keys(&world).await.to_string();
    assert!(!shown.contains(&hex::encode([7; 4])), "{shown}");
    with_keys(&mut world, &[]);
    let refused = world.post("/api/encryption/rotate").bearer(ADMIN).send().await.expect(409);
    assert!(refused.json()["error"].as_str().expect("text").starts_with("ENCRYPTION_KEY is not set"));
    assert_eq!(keys(&world).await, json!([key(7, false, false, 1, 1)]));
}

#[tokio::test]
async fn the_private_keys_of_consumers_are_sealed_anew_too() {
    let mut world = World::new();
    let customer = world.customer().await;
    let path = format!("/consumers/{}", customer.id);
    with_keys(&mut world, &[8, 7]);
    assert_eq!(rotate(&world).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut world, &[8]);
    let shown = world.shop_gets(&path).send().await.expect(200).json();
    assert_eq!(shown["private_key"], customer.private_key);
    with_keys(&mut world, &[9]);
    let refused = world.shop_gets(&path).send().await.expect(500);
    assert!(refused.text().contains("that sealed this is not in ENCRYPTION_KEY any more"), "{}", refused.text());
    // What composer presents is compared with its hash.
    customer.asks(&world.isolate, "/packages.json").send().await.expect(200);
}

#[tokio::test]
async fn the_secrets_of_webhooks_are_sealed_anew_too() {
    let mut world = World::new();
    world.far.put("https://shop.test/hooks", "thanks");
    let spec = json!({"url": "https://shop.test/hooks", "events": ["download.first"], "secret": "0123456789abcdef"});
    let id = world.shop_posts("/webhooks", &spec).send().await.expect(201).id();
    let ping = format!("/webhooks/{id}/test");
    let signed_with = |world: &World| {
        let posted = world.far.take_posted().pop().expect("a delivery");
        posted.headers["x-rostrum-signature"].to_str().expect("ASCII").len()
    };
    with_keys(&mut world, &[8, 7]);
    assert_eq!(rotate(&world).await, json!({"resealed": 1, "remaining": 0, "unreadable": 0}));
    with_keys(&mut world, &[8]);
    world.shop_posts(&ping, &json!({})).send().await.expect(201);
    world.settle().await;
    assert_eq!(signed_with(&world), "sha256=".len() + 64);
    with_keys(&mut world, &[9]);
    world.shop_posts(&ping, &json!({})).send().await.expect(201);
    world.settle().await;
    assert!(world.far.take_posted().is_empty(), "nothing goes out unsigned");
    let log = world.shop_gets(&format!("/webhooks/{id}/deliveries")).send().await.expect(200).json();
    let error = log[0]["last_error"].as_str().expect("text");
    assert!(error.ends_with("that sealed this is not in ENCRYPTION_KEY any more"), "{error}");
}
