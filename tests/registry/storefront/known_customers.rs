//! A second order of a customer: one consumer for a customer, when the shop says so.

use serde_json::{Value, json};

use crate::support::{TestRegistry, statuses_of_concurrent};

fn order(number: &str, on_known: &str) -> Value {
    json!({
        "email": "one@example.com", "customer_id": "42", "order_id": number, "on_known_customer": on_known,
    })
}

#[tokio::test]
async fn a_second_order_is_answered_with_the_consumer_that_the_customer_has() {
    let registry = TestRegistry::new();
    let first = registry.storefront_post("/consumers", &order("1", "return")).send().await.expect(201).json();
    let second = registry.storefront_post("/consumers", &order("2", "return")).send().await.expect(200).json();
    assert_eq!(second, first, "it stays as it is, with its keys");
    let refused = registry.storefront_post("/consumers", &order("2", "refuse")).send().await.expect(409).json();
    let words = format!("The customer has the consumer {} already. Give that one another permission.", first["id"]);
    assert_eq!(refused["error"], words);
    let audit = registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'consumer.created'");
    assert_eq!(audit.len(), 1, "what did not happen is not noted");
    assert_eq!(registry.database.rows("SELECT 1 FROM tokens WHERE consumer_id IS NOT NULL").len(), 1);
    // Who does not say anything gets another one, as documented.
    let plain = json!({"email": "one@example.com", "customer_id": "42"});
    let third = registry.storefront_post("/consumers", &plain).send().await.expect(201).json();
    let listed = registry.storefront_get("/consumers?customer_id=42").send().await.expect(200);
    assert_eq!((listed.header("x-total-count"), listed.json()), ("2", json!([first, third])));
    let other = registry.storefront_get("/consumers?customer_id=43").send().await.expect(200).json();
    assert_eq!(other, json!([]));
    let again = registry.storefront_post("/consumers", &order("3", "return")).send().await.expect(200).json();
    assert_eq!(again["id"], first["id"], "the oldest of several");
}

#[tokio::test]
async fn of_two_first_orders_at_once_one_makes_the_consumer_and_both_are_answered_with_it() {
    let registry = TestRegistry::new();
    let ask = |number| registry.storefront_post("/consumers", &order(number, "return"));
    let mut statuses = statuses_of_concurrent([ask("1"), ask("2"), ask("3")]).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201]);
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_of_an_order_that_made_nothing_is_free_again() {
    let registry = TestRegistry::new();
    registry.storefront_post("/consumers", &order("1", "return")).send().await.expect(201);
    for on_known in ["return", "refuse"] {
        let ask = || {
            let request = registry.storefront_post("/consumers", &order("2", on_known));
            request.header("idempotency-key", &format!("order-2-{on_known}")).send()
        };
        let first = ask().await;
        assert_eq!(ask().await.text(), first.text(), "it is carried out again");
    }
}

#[tokio::test]
async fn what_is_done_about_a_known_customer_needs_the_customer_and_one_of_three_words() {
    let registry = TestRegistry::new();
    let nobody = json!({"email": "one@example.com", "on_known_customer": "return"});
    let refused = registry.storefront_post("/consumers", &nobody).send().await.expect(400).json();
    assert_eq!(refused["details"], json!({"customer_id": ["is required with `on_known_customer`"]}));
    registry.storefront_post("/consumers", &order("1", "forget")).send().await.expect(400);
    registry.storefront_post("/consumers", &order("1", "return")).send().await.expect(201);
    let later = registry.storefront_patch("/consumers/1", &json!({"on_known_customer": "return"})).send().await;
    assert_eq!(later.expect(400).json()["details"]["on_known_customer"], json!(["is for a new consumer alone"]));
}
