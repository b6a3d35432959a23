//! Keys and seats over the years: replaced with a grace period, renamed, ended, and fewer of them.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestConsumer, TestRegistry, TestResponse, statuses_of_concurrent, token_of};

const GRACE: i64 = 600;

async fn post(registry: &TestRegistry, path: &str, body: &Value) -> TestResponse {
    registry.storefront_post(path, body).send().await
}

/// Whether a key pair opens anything, here and in an isolate that knows nothing yet.
async fn works(registry: &TestRegistry, user: &str, password: &str) -> bool {
    let here = registry.get("/packages.json").pair(user, password).composer().send().await.status;
    let elsewhere =
        registry.another_isolate().get("/packages.json").pair(user, password).composer().send().await.status;
    assert_eq!(here, elsewhere);
    here == 200
}

async fn pair_works(registry: &TestRegistry, consumer: &TestConsumer) -> bool {
    works(registry, &consumer.public_key, &consumer.private_key).await
}

#[tokio::test]
async fn new_keys_end_the_old_ones_at_once_or_after_the_grace_period() {
    let registry = TestRegistry::new();
    let first = registry.consumer().await;
    let path = format!("/consumers/{}/rotate-keys", first.id);
    assert!(pair_works(&registry, &first).await);
    let rotated = post(&registry, &path, &json!({})).await.expect(200);
    assert_eq!(rotated.json()["previous_valid_until"], json!(null));
    let second = TestConsumer::of(&rotated);
    assert!(second.id == first.id && second.public_key != first.public_key && second.private_key != first.private_key);
    assert!(!pair_works(&registry, &first).await);
    assert!(pair_works(&registry, &second).await);
    let rotated = post(&registry, &path, &json!({"grace_seconds": GRACE})).await.expect(200);
    assert_eq!(rotated.json()["previous_valid_until"], "2026-01-01 00:10:00");
    let third = TestConsumer::of(&rotated);
    registry.advance_seconds(599);
    assert!(pair_works(&registry, &second).await && pair_works(&registry, &third).await);
    registry.advance_seconds(1);
    assert!(!pair_works(&registry, &second).await);
    assert!(pair_works(&registry, &third).await && !pair_works(&registry, &first).await);
    let noted =
        registry.database.rows("SELECT details FROM audit_log WHERE action = 'consumer.keys_rotated' ORDER BY id");
    let details = |until: Value| json!({"details": json!({"previous_until": until}).to_string()});
    assert_eq!(noted, [details(json!(null)), details(json!(START.0 + GRACE * 1000))]);
}

#[tokio::test]
async fn in_the_grace_period_both_pairs_are_the_same_consumer_and_a_change_of_keys_ends_it() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let first = registry.consumer().await;
    let path = format!("/consumers/{}", first.id);
    let rotate = async || {
        let body = json!({"grace_seconds": GRACE});
        TestConsumer::of(&post(&registry, &format!("{path}/rotate-keys"), &body).await.expect(200))
    };
    let second = rotate().await;
    registry.grant(&second, "acme/lib", "*").await;
    for consumer in [&first, &second] {
        consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
    }
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
    assert!(!pair_works(&registry, &first).await && !pair_works(&registry, &second).await);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(200);
    let third = rotate().await;
    assert!(!pair_works(&registry, &first).await, "another rotation ends the keys before the last ones");
    assert!(pair_works(&registry, &second).await && pair_works(&registry, &third).await);
    let leaked = json!({"private_key": "quite-another-private-key"});
    registry.storefront_patch(&path, &leaked).send().await.expect(200);
    assert!(!pair_works(&registry, &second).await && !pair_works(&registry, &third).await);
    assert!(works(&registry, &third.public_key, "quite-another-private-key").await);
    let into = registry.consumer().await;
    let fourth = rotate().await;
    post(&registry, &format!("/consumers/{}/merge", into.id), &json!({"consumer_id": first.id})).await.expect(200);
    assert!(
        pair_works(&registry, &fourth).await && works(&registry, &third.public_key, "quite-another-private-key").await
    );
    registry.advance_seconds(GRACE.unsigned_abs());
    assert!(
        pair_works(&registry, &fourth).await && !works(&registry, &third.public_key, "quite-another-private-key").await
    );
}

#[tokio::test]
async fn keys_are_replaced_once_for_a_key_and_for_who_covers_the_consumer() {
    let registry = TestRegistry::new();
    let first = registry.consumer().await;
    let path = format!("/consumers/{}/rotate-keys", first.id);
    let again = || registry.storefront_post(&path, &json!({"grace_seconds": GRACE})).header("idempotency-key", "leak");
    let rotated = again().send().await.expect(200);
    assert_eq!(again().send().await.expect(200).json(), rotated.json());
    registry.advance_seconds(GRACE.unsigned_abs());
    let later = again().send().await.expect(200).json();
    assert_eq!((&later["private_key"], &later["previous_valid_until"]), (&rotated.json()["private_key"], &json!(null)));
    let statuses = statuses_of_concurrent([0, 1].map(|_| registry.storefront_post(&path, &json!({})))).await;
    assert_eq!(statuses, [200, 409]);
    registry.grant(&first, "rival/lib", "*").await;
    let spec = json!({"description": "a shop", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, shop) = registry.token(&spec).await;
    registry.post(&format!("/api/storefront{path}")).bearer(&shop).json(&json!({})).send().await.expect(403);
    for (body, field) in [(json!({"grace_seconds": -1}), "grace_seconds"), (json!({"grace": 1}), "grace")] {
        let refused = post(&registry, &path, &body).await.expect(400).json();
        assert!(refused["details"].get(field).is_some(), "{refused}");
    }
    post(&registry, "/consumers/99/rotate-keys", &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_seat_is_renamed_ended_and_given_another_token() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let tokens = format!("/consumers/{}/tokens", consumer.id);
    let spec = json!({"description": "Ann", "expires_at": "2026-01-02 00:00:00"});
    let made = post(&registry, &tokens, &spec).await.expect(201);
    assert_eq!(
        (&made.json()["expires_at"], made.json().get("previous_valid_until")),
        (&json!("2026-01-02 00:00:00"), None)
    );
    let (old, path) = (token_of(&made), format!("{tokens}/{}", made.id()));
    let works = async |token: &str| registry.get("/packages.json").basic(token).send().await.status == 200;
    assert!(works(&old).await);
    let changed = registry.storefront_patch(&path, &json!({"description": " Bob "})).send().await.expect(200).json();
    assert_eq!((&changed["description"], &changed["expires_at"]), (&json!("Bob"), &json!("2026-01-02 00:00:00")));
    registry.advance_seconds(86_400);
    assert!(!works(&old).await);
    registry.storefront_patch(&path, &json!({"expires_at": null})).send().await.expect(200);
    assert!(works(&old).await);
    let rotate = format!("{path}/rotate");
    let again = || registry.storefront_post(&rotate, &json!({"grace_seconds": GRACE})).header("idempotency-key", "1");
    let rotated = again().send().await.expect(200);
    assert_eq!(rotated.json()["previous_valid_until"], "2026-01-02 00:10:00");
    assert_eq!(again().send().await.expect(200).json()["token"], rotated.json()["token"]);
    let new = token_of(&rotated);
    assert!(works(&old).await && works(&new).await);
    registry.advance_seconds(GRACE.unsigned_abs());
    assert!(!works(&old).await && works(&new).await);
    post(&registry, &rotate, &json!({})).await.expect(200);
    assert!(!works(&new).await);
    assert_eq!(again().send().await.expect(200).json().get("token"), None, "it has another one by now");
    for spec in [json!({"description": ""}), json!({"expires_at": "soon"}), json!({"seat": 1})] {
        registry.storefront_patch(&path, &spec).send().await.expect(400);
    }
    let keys = registry.database.rows("SELECT uid FROM consumers")[0]["uid"].as_str().expect("text").to_owned();
    for other in [keys, "nothing".to_owned()] {
        registry.storefront_patch(&format!("{tokens}/{other}"), &json!({"description": "x"})).send().await.expect(404);
        post(&registry, &format!("{tokens}/{other}/rotate"), &json!({})).await.expect(404);
    }
    registry.storefront_patch("/consumers/99/tokens/x", &json!({"description": "x"})).send().await.expect(404);
    registry.storefront_delete(&path).send().await.expect(204);
    registry.storefront_patch(&path, &json!({"description": "x"})).send().await.expect(404);
    assert_eq!(again().send().await.expect(410).json()["code"], "GONE");
}

#[tokio::test]
async fn fewer_seats_than_tokens_are_refused_with_their_list_or_end_the_least_used_ones() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let path = format!("/consumers/{}", consumer.id);
    let mut made = Vec::new();
    for name in ["oldest", "unused", "newest"] {
        made.push(post(&registry, &format!("{path}/tokens"), &json!({"description": name})).await.expect(201));
        registry.advance_seconds(1000);
    }
    let works =
        async |index: usize| registry.get("/packages.json").basic(&token_of(&made[index])).send().await.status == 200;
    assert!(works(0).await);
    registry.run_until_idle().await;
    let refused = registry.storefront_patch(&path, &json!({"seats": 1})).send().await.expect(409).json();
    let told = "The consumer has 3 tokens, more than 1 seats. Delete some of them first, or send `\"revoke\": true` to revoke the \
                 least recently used ones.";
    assert_eq!(refused["error"], told);
    let line = |index: usize, rest: &str| json!(format!("{}: {rest}", made[index].id()));
    let listed = [
        line(0, "oldest (last used 2026-01-01 00:50:00)"),
        line(1, "unused (never used)"),
        line(2, "newest (never used)"),
    ];
    assert_eq!(refused["details"], json!({"seats": listed}));
    assert_eq!(registry.storefront_get(&path).send().await.expect(200).json()["seats"], json!(null));
    registry.storefront_patch(&path, &json!({"seats": 3})).send().await.expect(200);
    let fewer = registry.storefront_patch(&path, &json!({"seats": 2, "revoke": true})).send().await.expect(200).json();
    assert_eq!(fewer["seats"], 2);
    assert!(works(0).await && !works(1).await && works(2).await);
    let noted = registry.database.rows("SELECT details ->> 'revoked' AS revoked FROM audit_log WHERE action = 'consumer.changed' ORDER BY id DESC LIMIT 1");
    assert_eq!(noted, [json!({"revoked": json!([made[1].id()]).to_string()})]);
    post(&registry, &format!("{path}/tokens"), &json!({"description": "x"})).await.expect(409);
    registry.storefront_patch(&path, &json!({"seats": 0, "revoke": true})).send().await.expect(200);
    assert!(!works(0).await && !works(2).await && pair_works(&registry, &consumer).await);
    let refused = post(&registry, "/consumers", &json!({"email": "a@b.c", "revoke": true})).await.expect(400).json();
    assert_eq!(refused["details"], json!({"revoke": ["is for a change of `seats` alone"]}));
}

#[tokio::test]
async fn fewer_seats_and_one_token_more_at_once_are_never_more_tokens_than_seats() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let path = format!("/consumers/{}", consumer.id);
    for _ in 0..2 {
        post(&registry, &format!("{path}/tokens"), &json!({"description": "x"})).await.expect(201);
    }
    let requests = [
        registry.storefront_patch(&path, &json!({"seats": 2})),
        registry.storefront_post(&format!("{path}/tokens"), &json!({"description": "one more"})),
    ];
    let statuses = statuses_of_concurrent(requests).await;
    assert!(statuses == [200, 409] || statuses == [201, 409], "{statuses:?}");
    let rows = registry
        .database
        .rows("SELECT c.seats, count(*) - 1 AS tokens FROM consumers c JOIN tokens t ON t.consumer_id = c.id");
    let expected =
        if statuses[0] == 200 { json!({"seats": 2, "tokens": 2}) } else { json!({"seats": null, "tokens": 3}) };
    assert_eq!(rows, [expected]);
}

#[tokio::test]
async fn each_credential_of_a_consumer_has_the_limit_that_the_shop_gives_it() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer_as(&json!({"email": "one@example.com", "rate_limit_max": 2})).await;
    let path = format!("/consumers/{}", consumer.id);
    let made = post(&registry, &format!("{path}/tokens"), &json!({"description": "x"})).await.expect(201);
    let status = async || consumer.get(&registry.isolate, "/packages.json").send().await;
    for left in ["1", "0"] {
        let reply = status().await.expect(200);
        assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("2", left));
    }
    status().await.expect(429);
    registry.get("/packages.json").basic(&token_of(&made)).send().await.expect(200);
    let shown = registry.storefront_patch(&path, &json!({"rate_limit_max": 50})).send().await.expect(200).json();
    assert_eq!(shown["rate_limit_max"], 50);
    assert_eq!(status().await.expect(200).header("x-ratelimit-limit"), "50");
    registry.storefront_patch(&path, &json!({"rate_limit_max": null})).send().await.expect(200);
    let elsewhere = consumer.get(&registry.another_isolate(), "/packages.json").send().await.expect(200);
    assert_eq!(elsewhere.header("x-ratelimit-limit"), "1000", "the default");
    for limit in [0, -1, 1_000_000_001] {
        let refused =
            registry.storefront_patch(&path, &json!({"rate_limit_max": limit})).send().await.expect(400).json();
        assert_eq!(
            refused["details"],
            json!({"rate_limit_max": ["must be between 1 and 1000000000 requests an hour"]})
        );
    }
    registry.get(&format!("/api/storefront{path}")).bearer(ADMIN).send().await.expect(200);
}
