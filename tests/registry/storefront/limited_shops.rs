//! What a shop's token that is limited to some packages has of consumers, and who is shown private keys.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, TestConsumer, TestRegistry, TestRequest, TestResponse};

/// A shop that sees one vendor's packages, and three consumers: of that vendor, of another one, and of both.
struct Shops {
    registry: TestRegistry,
    acme: String,
    own: TestConsumer,
    foreign: TestConsumer,
    both: TestConsumer,
}

const REFUSED: &str = "This consumer was granted what your token does not see, so only its permissions that your token sees are \
                       yours to read and to change. Use a token that sees all of it.";

async fn shops() -> Shops {
    let registry = TestRegistry::new();
    for name in ["acme/lib", "other/lib"] {
        registry.published(name, &["1.0.0", "2.0.0"]).await;
    }
    let spec = json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, acme) = registry.token(&spec).await;
    let (own, foreign, both) = (registry.consumer().await, registry.consumer().await, registry.consumer().await);
    registry.grant(&own, "acme/lib", "1.*").await;
    registry.grant(&foreign, "other/lib", "*").await;
    registry.grant(&both, "acme/lib", "1.*").await;
    registry.grant(&both, "other/lib", "1.*").await;
    Shops { registry, acme, own, foreign, both }
}

impl Shops {
    fn request(&self, method: Method, path: &str) -> TestRequest {
        self.registry.isolate.request(method, &format!("/api/storefront{path}")).bearer(&self.acme)
    }

    async fn get(&self, path: &str) -> TestResponse {
        self.request(Method::GET, path).send().await
    }

    fn state(&self) -> Value {
        let tables = ["consumers", "grants", "tokens WHERE consumer_id IS NOT NULL"];
        tables.iter().map(|table| json!(self.registry.database.rows(&format!("SELECT * FROM {table}")))).collect()
    }
}

#[tokio::test]
async fn keys_are_shown_of_consumers_all_of_whose_permissions_are_covered() {
    let shops = shops().await;
    shops.registry.grant(&shops.own, "acme/lib", "2.*").await;
    shops.registry.grant(&shops.own, "acme/*", "*").await;
    let keys = |list: &Value| -> Vec<(Value, bool)> {
        let rows = list.as_array().expect("a list").iter();
        rows.map(|row| (row["id"].clone(), row["private_key"].is_string())).collect()
    };
    let expected = [(json!(shops.own.id), true), (json!(shops.foreign.id), false), (json!(shops.both.id), false)];
    for path in ["/consumers", "/consumers/email/one@example.com"] {
        assert_eq!(keys(&shops.get(path).await.expect(200).json()), expected, "{path}");
    }
    for (consumer, is_shown) in [(&shops.own, true), (&shops.foreign, false), (&shops.both, false)] {
        let path = format!("/consumers/{}", consumer.id);
        let shown = shops.get(&path).await.expect(200);
        assert_eq!(shown.json()["private_key"].is_string(), is_shown);
        let instructions = shops.get(&format!("{path}/instructions")).await.expect(200);
        assert_eq!(instructions.json()["auth_json"].is_object(), is_shown);
        for answer in [shown, instructions] {
            assert_eq!(answer.text().contains(&consumer.private_key), is_shown, "{}", answer.text());
        }
    }
    // The whole shop is shown all of them.
    let (_, whole) = shops.registry.token(&json!({"description": "a", "scopes": ["storefront:*"]})).await;
    let all = shops.registry.get("/api/storefront/consumers").bearer(&whole).send().await.expect(200).json();
    assert!(keys(&all).iter().all(|(_, is_shown)| *is_shown));
}

#[tokio::test]
async fn a_consumer_with_permissions_that_are_not_covered_is_not_the_shops_to_change() {
    let shops = shops().await;
    let seat = |consumer: &TestConsumer| format!("/consumers/{}/tokens", consumer.id);
    let mut seats = Vec::new();
    for consumer in [&shops.own, &shops.foreign, &shops.both] {
        let made =
            shops.registry.storefront_post(&seat(consumer), &json!({"description": "a"})).send().await.expect(201);
        seats.push(made.json()["id"].as_str().expect("an id").to_owned());
    }
    let before = shops.state();
    for (consumer, seat_id) in [(&shops.foreign, &seats[1]), (&shops.both, &seats[2])] {
        let path = format!("/consumers/{}", consumer.id);
        let merge = json!({"consumer_id": consumer.id});
        for (method, path, body) in [
            (Method::PATCH, path.clone(), json!({"status": 0})),
            (Method::PUT, path.clone(), json!({"private_key": "a-key-that-the-shop-knows"})),
            (Method::DELETE, path.clone(), json!(null)),
            (Method::GET, seat(consumer), json!(null)),
            (Method::POST, seat(consumer), json!({"description": "mine"})),
            (Method::DELETE, format!("{}/{seat_id}", seat(consumer)), json!(null)),
        ] {
            let refused = shops.request(method.clone(), &path).json(&body).send().await.expect(403);
            assert!(refused.text().contains(REFUSED), "{method} {path}: {}", refused.text());
        }
        shops
            .request(Method::POST, &format!("/consumers/{}/merge", shops.own.id))
            .json(&merge)
            .send()
            .await
            .expect(403);
    }
    assert_eq!(shops.state(), before);
    let path = format!("/consumers/{}", shops.own.id);
    shops.request(Method::PATCH, &path).json(&json!({"status": 0})).send().await.expect(200);
    shops.request(Method::PATCH, &path).json(&json!({"status": 1})).send().await.expect(200);
    let made =
        shops.request(Method::POST, &seat(&shops.own)).json(&json!({"description": "a"})).send().await.expect(201);
    assert!(made.json()["token"].is_string());
    assert_eq!(shops.get(&seat(&shops.own)).await.expect(200).json().as_array().map(Vec::len), Some(2));
    shops.request(Method::DELETE, &format!("{}/{}", seat(&shops.own), seats[0])).send().await.expect(204);
    shops.request(Method::DELETE, &path).send().await.expect(204);
    shops.get(&path).await.expect(404);
}

#[tokio::test]
async fn of_other_consumers_a_shop_has_the_permissions_that_it_covers() {
    let shops = shops().await;
    let both = format!("/consumers/{}", shops.both.id);
    let all = shops.registry.storefront_get(&format!("{both}/entitlements")).send().await.expect(200).json();
    let (own, other) = (&all[0], &all[1]);
    let (own_path, other_path) = (format!("/permissions/{}", own["id"]), format!("/permissions/{}", other["id"]));
    assert_eq!(shops.get(&format!("{both}/entitlements")).await.expect(200).json(), json!([own]));
    for (package, expected) in [("acme/lib", json!([own])), ("other/lib", json!([]))] {
        let id = shops.registry.package_id(package);
        for path in [format!("{both}/packages/{id}"), format!("/permissions/consumer/{}/package/{id}", shops.both.id)] {
            assert_eq!(shops.get(&path).await.expect(200).json(), expected, "{path}");
        }
    }
    let packages = shops.get(&format!("{both}/packages")).await.expect(200);
    assert_eq!((packages.header("x-total-count"), &packages.json()[0]["name"]), ("1", &json!("acme/lib")));
    let instructions = shops.get(&format!("{both}/instructions")).await.expect(200);
    assert_eq!(instructions.json()["require"], json!({"acme/lib": "1.*"}));
    assert!(!instructions.text().contains("other/lib"));

    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let body = json!({"package": "acme/lib", "version": "2.*"});
        shops.request(method, &other_path).json(&body).send().await.expect(404);
    }
    shops.get(&own_path).await.expect(200);
    shops.request(Method::PATCH, &own_path).json(&json!({"version": "2.*"})).send().await.expect(200);
    shops.request(Method::PATCH, &own_path).json(&json!({"package": "other/lib"})).send().await.expect(403);

    // The complete list is that of its own; what is another's stays.
    let list = json!([{"package": "acme/lib", "version": "*"}]);
    let set = shops.request(Method::PUT, &format!("{both}/entitlements")).json(&list).send().await.expect(200).json();
    assert_eq!((set.as_array().map(Vec::len), &set[0]["version"]), (Some(1), &json!("*")));
    let left = || shops.registry.storefront_get(&format!("{both}/entitlements")).send();
    let names = |list: Value| -> Vec<Value> {
        list.as_array().expect("a list").iter().map(|row| json!([row["package"], row["version"]])).collect()
    };
    assert_eq!(names(left().await.json()), [json!(["other/lib", "1.*"]), json!(["acme/lib", "*"])]);
    shops.request(Method::PUT, &format!("{both}/entitlements")).json(&json!([])).send().await.expect(200);
    assert_eq!(left().await.json(), json!([other]));
    let grant = json!({"consumer_id": shops.both.id, "package": "acme/lib", "version": "1.*"});
    let again = shops.request(Method::POST, "/permissions").json(&grant).send().await.expect(201).json();
    shops.request(Method::DELETE, &format!("/permissions/{}", again["id"])).send().await.expect(204);
    assert_eq!(left().await.json(), json!([other]));
}

#[tokio::test]
async fn a_consumer_that_is_granted_something_else_while_it_is_changed_is_not_the_shops_any_more() {
    for number in 0.. {
        let shops = shops().await;
        let path = format!("/consumers/{}", shops.own.id);
        let made =
            shops.request(Method::POST, &format!("{path}/tokens")).json(&json!({"description": "a"})).send().await;
        let seat = format!("{path}/tokens/{}", made.expect(201).json()["id"].as_str().expect("an id"));
        let changes = [
            (Method::PATCH, path.clone(), json!({"status": 0})),
            (Method::PUT, path.clone(), json!({"private_key": "a-key-that-the-shop-knows"})),
            (Method::DELETE, path.clone(), json!(null)),
            (Method::DELETE, format!("{path}?erase=1"), json!(null)),
            (Method::POST, format!("{path}/rotate-keys"), json!({})),
            (Method::POST, format!("{path}/tokens"), json!({"description": "mine"})),
            (Method::PATCH, seat.clone(), json!({"description": "mine"})),
            (Method::POST, format!("{seat}/rotate"), json!({})),
            (Method::DELETE, seat.clone(), json!(null)),
        ];
        let Some((method, path, body)) = changes.get(number).cloned() else { break };
        let insert = format!(
            "INSERT INTO grants (consumer_id, target, version_constraint, created_at, updated_at)
             VALUES ({}, 'other/more', '*', 0, 0)",
            shops.own.id
        );
        let mut before = shops.state();
        let grants = before[1].take();
        // Wherever it is between looking and writing, and after that.
        shops.registry.meter.reset();
        let request = shops.request(method.clone(), &path).json(&body).send();
        let grant = async {
            let mut turns = 0;
            while shops.registry.meter.calls().round_trips < 2 && turns < 1000 {
                tokio::task::yield_now().await;
                turns += 1;
            }
            shops.registry.database.execute(&insert);
        };
        let (reply, ()) = tokio::join!(biased; request, grant);
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains(REFUSED), "{method} {path}: {}", reply.text());
        let mut after = shops.state();
        assert_ne!(after[1].take(), grants);
        assert_eq!(after, before, "{method} {path}");
    }
}

#[tokio::test]
async fn what_somebody_else_grants_while_a_list_is_set_stays() {
    for turn in 1..=4 {
        let shops = shops().await;
        let path = format!("/consumers/{}/entitlements", shops.both.id);
        shops.get(&path).await.expect(200);
        shops.registry.meter.reset();
        let list = json!([{"package": "acme/lib", "version": "2.*"}]);
        let request = shops.request(Method::PUT, &path).json(&list).send();
        let grant = async {
            let mut turns = 0;
            while shops.registry.meter.calls().round_trips < turn && turns < 1000 {
                tokio::task::yield_now().await;
                turns += 1;
            }
            shops.registry.database.execute(&format!(
                "INSERT INTO grants (consumer_id, target, version_constraint, created_at, updated_at)
                 VALUES ({}, 'other/more', '*', 0, 0)",
                shops.both.id
            ));
        };
        let (reply, ()) = tokio::join!(biased; request, grant);
        assert!([200, 409].contains(&reply.status), "{}", reply.text());
        let left = shops.registry.storefront_get(&path).send().await.expect(200).text();
        assert!(left.contains("other/more") && left.contains("other/lib"), "{turn}: {left}");
    }
}

#[tokio::test]
async fn a_list_and_what_others_have_granted_are_a_thousand_at_most_together() {
    let shops = shops().await;
    shops.registry.database.execute(&format!(
        "INSERT INTO grants (consumer_id, target, version_constraint, created_at, updated_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 998)
         SELECT {}, 'other/lib' || value, '*', 0, 0 FROM n",
        shops.both.id
    ));
    let path = format!("/consumers/{}/entitlements", shops.both.id);
    let list = |count: usize| -> Value {
        (0..count).map(|number| json!({"package": format!("acme/lib{number}"), "version": "*"})).collect()
    };
    shops.request(Method::PUT, &path).json(&list(2)).send().await.expect(409);
    shops.request(Method::PUT, &path).json(&list(1)).send().await.expect(200);
    let count = shops.registry.database.rows(&format!("SELECT id FROM grants WHERE consumer_id = {}", shops.both.id));
    assert_eq!(count.len(), 1000);
}

#[tokio::test]
async fn reading_alone_shows_no_private_key() {
    let shops = shops().await;
    let registry = &shops.registry;
    for (scopes, is_shown) in [
        (json!(["storefront:read"]), false),
        (json!(["storefront:read", "storefront:keys"]), true),
        (json!(["storefront:*"]), true),
        (json!(["storefront:read", "storefront:write"]), true),
        (json!(["admin"]), true),
    ] {
        let (_, token) = registry.token(&json!({"description": "a", "scopes": scopes})).await;
        for path in ["/consumers", "/consumers/1", "/consumers/email/one@example.com", "/consumers/1/instructions"] {
            let answer = registry.get(&format!("/api/storefront{path}")).bearer(&token).send().await.expect(200);
            assert_eq!(answer.text().contains(&shops.own.private_key), is_shown, "{scopes} {path}");
        }
    }
    // As it was stored before there was a scope for it.
    let (_, token) = registry.token(&json!({"description": "a", "scopes": ["storefront:*"]})).await;
    registry.database.execute(r#"UPDATE tokens SET scopes = '["storefront:read","storefront:write"]' WHERE id = (SELECT max(id) FROM tokens)"#);
    let answer = registry.get("/api/storefront/consumers/1").bearer(&token).send().await.expect(200);
    assert_eq!(answer.json()["private_key"], json!(shops.own.private_key));
}

#[tokio::test]
async fn a_consumer_that_is_made_again_or_known_shows_its_key_to_who_may_see_it_now() {
    let shops = shops().await;
    let order = json!({"email": "two@example.com", "customer_id": "42"});
    let order_again = || shops.request(Method::POST, "/consumers").header("idempotency-key", "order").json(&order);
    let made = TestConsumer::of(&order_again().send().await.expect(201));
    assert_eq!(TestConsumer::of(&order_again().send().await.expect(201)).private_key, made.private_key);
    shops.registry.grant(&made, "other/lib", "*").await;
    let again = order_again().send().await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.json()["private_key"]), ("true", &json!(null)));
    let known = json!({"email": "two@example.com", "customer_id": "42", "on_known_customer": "return"});
    let known = shops.request(Method::POST, "/consumers").json(&known).send().await.expect(200).json();
    assert_eq!((&known["id"], &known["private_key"]), (&json!(made.id), &json!(null)));
    let whole = shops.registry.get(&format!("/api/storefront/consumers/{}", made.id)).bearer(ADMIN);
    assert_eq!(whole.send().await.expect(200).json()["private_key"], json!(made.private_key));
}

#[tokio::test]
async fn a_consumer_is_not_made_with_what_its_shop_does_not_sell() {
    let shops = shops().await;
    let before = shops.state();
    let new = json!({
        "email": "new@example.com",
        "entitlements": [{"package": "acme/lib", "version": "1.*"}, {"package": "other/lib", "version": "1.*"}],
    });
    for (method, path) in [(Method::POST, "/consumers"), (Method::PUT, "/consumers/by-customer/77")] {
        shops.request(method, path).json(&new).send().await.expect(403);
        assert_eq!(shops.state(), before, "{path}");
    }
}
