//! What is left when the database, KV or the encryption key fail while consumers and permissions are changed.

use serde_json::{Value, json};

use crate::support::{Ask, Customer, Moment, Port, World};

/// What the registry knows of its shop; times left out.
fn state(world: &World) -> Vec<Value> {
    let mut rows = world.database.rows("SELECT id, email, public_key, is_enabled, seats FROM consumers ORDER BY id");
    rows.extend(
        world.database.rows("SELECT consumer_id, description, revoked_at IS NULL AS live FROM tokens ORDER BY id"),
    );
    rows.extend(world.database.rows("SELECT consumer_id, target, version_constraint FROM grants ORDER BY id"));
    rows
}

fn notes(world: &World) -> usize {
    world.database.rows("SELECT id FROM audit_log").len()
}

async fn shop() -> (World, Customer, i64, String) {
    let world = World::new();
    world.published("acme/lib", &["1.0.0", "5.0.0"]).await;
    let customer = world.customer().await;
    let permission = world.grant(&customer, "acme/lib", "5.*").await["id"].as_i64().expect("an integer");
    let tokens = format!("/consumers/{}/tokens", customer.id);
    let token = world.shop_posts(&tokens, &json!({"description": "a"})).send().await.expect(201).id();
    (world, customer, permission, token)
}

type Change = fn(&World, &Customer, i64, &str) -> Ask;

const CHANGES: [(Change, u16); 9] = [
    (|world, _, _, _| world.shop_posts("/consumers", &json!({"email": "two@example.com"})), 201),
    (
        |world, customer, _, _| {
            let body = json!({"status": 0, "private_key": "another-private-key"});
            world.shop_patches(&format!("/consumers/{}", customer.id), &body)
        },
        200,
    ),
    (|world, customer, _, _| world.shop_deletes(&format!("/consumers/{}", customer.id)), 204),
    (
        |world, customer, _, _| {
            let body = json!({"consumer_id": customer.id, "package": "acme/other", "version": "*"});
            world.shop_posts("/permissions", &body)
        },
        201,
    ),
    (
        |world, _, permission, _| world.shop_patches(&format!("/permissions/{permission}"), &json!({"version": "1.*"})),
        200,
    ),
    (|world, _, permission, _| world.shop_deletes(&format!("/permissions/{permission}")), 204),
    (
        |world, customer, _, _| {
            let body = json!([{"package": "acme/lib", "version": "1.*"}, {"package": "acme/*", "version": "*"}]);
            world.shop_puts(&format!("/consumers/{}/entitlements", customer.id), &body)
        },
        200,
    ),
    (
        |world, customer, _, _| {
            world.shop_posts(&format!("/consumers/{}/tokens", customer.id), &json!({"description": "b"}))
        },
        201,
    ),
    (|world, customer, _, token| world.shop_deletes(&format!("/consumers/{}/tokens/{token}", customer.id)), 204),
];

#[tokio::test]
async fn with_every_call_of_the_database_broken_a_change_is_made_whole_or_not_at_all() {
    for (place, (change, status)) in CHANGES.iter().enumerate() {
        let mut seen_done = false;
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                let (world, customer, permission, token) = shop().await;
                let (before, noted) = (state(&world), notes(&world));
                world.meter.break_nth(Port::Database, nth, moment);
                let reply = change(&world, &customer, permission, &token).send().await;
                if world.meter.mend() == 0 {
                    reply.expect(*status);
                    assert_ne!(state(&world), before, "change {place}");
                    assert_eq!(notes(&world), noted + 1, "change {place}");
                    break;
                }
                reply.expect(500);
                let was_done = state(&world) != before;
                assert!(!was_done || moment == Moment::After, "change {place}, call {nth}");
                assert_eq!(notes(&world), noted + usize::from(was_done), "change {place}, call {nth}");
                seen_done |= was_done;
            }
        }
        assert!(seen_done, "change {place} was never done behind a broken call");
    }
}

#[tokio::test]
async fn a_change_stands_when_kv_fails_and_is_believed_here_at_once() {
    for (place, (change, status)) in CHANGES.iter().enumerate() {
        let (world, customer, permission, token) = shop().await;
        customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(200);
        let before = state(&world);
        world.meter.break_all(Port::Cache, Moment::Before);
        change(&world, &customer, permission, &token).send().await.expect(*status);
        assert_ne!(state(&world), before, "change {place}");
        let seen = customer.asks(&world.isolate, "/p2/acme/lib.json").send().await;
        let expected = [200, 401, 401, 200, 200, 404, 200, 200, 200][place];
        assert_eq!(seen.status, expected, "change {place}");
        world.meter.mend();
    }
}

#[tokio::test]
async fn a_consumer_that_may_have_been_made_is_not_made_again_with_its_key() {
    let world = World::new();
    let ask = || {
        let body = json!({"email": "one@example.com"});
        world.shop_posts("/consumers", &body).header("idempotency-key", "order-1")
    };
    world.meter.break_nth(Port::Database, 3, Moment::After);
    ask().send().await.expect(500);
    assert_eq!(world.meter.mend(), 1);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
    let told = ask().send().await.expect(201);
    assert_eq!(told.header("idempotency-replayed"), "true");
    Customer::of(&told).asks(&world.isolate, "/packages.json").send().await.expect(200);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
}

#[tokio::test]
async fn without_an_encryption_key_no_consumer_is_made_and_the_reason_is_told() {
    let world = World::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let reply = world.shop_posts("/consumers", &json!({"email": "one@example.com"})).send().await.expect(500);
    assert!(reply.text().contains("ENCRYPTION_KEY"), "{}", reply.text());
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 0})]);
}

#[tokio::test]
async fn of_changes_that_cross_one_is_told_so() {
    let (world, customer, permission, _) = shop().await;
    let of_it = format!("/consumers/{}", customer.id);
    let asks = (0..2).map(|n| world.shop_patches(&of_it, &json!({"order_id": format!("{n}")})));
    assert_eq!(crate::support::statuses_at_once(asks).await, [200, 409]);
    let of_it = format!("/permissions/{permission}");
    let asks = (1..3).map(|n| world.shop_patches(&of_it, &json!({"version": format!("{n}.*")})));
    assert_eq!(crate::support::statuses_at_once(asks).await, [200, 409]);
}
