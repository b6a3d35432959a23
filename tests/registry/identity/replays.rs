//! What is answered again is answered to the same credential, while it holds what it did.

use serde_json::json;

use crate::support::{ADMIN, TestRegistry, TestRequest, token_of};

fn keyed(request: TestRequest, by: &str) -> TestRequest {
    request.bearer(by).header("idempotency-key", "k")
}

#[tokio::test]
async fn a_token_that_has_lost_a_right_is_not_shown_again_what_it_made_with_it() {
    let registry = TestRegistry::new();
    let scopes = json!(["packages:read", "packages:write", "tokens:*"]);
    let (id, shop) = registry.token(&json!({"description": "a shop", "scopes": scopes})).await;
    let spec = json!({"description": "x", "permissions": null, "scopes": ["packages:write"]});
    let request = || keyed(registry.post("/api/tokens").json(&spec), &shop);
    let made = token_of(&request().send().await.expect(201));
    assert_eq!(token_of(&request().send().await.expect(201)), made);
    for less in [
        json!({"scopes": ["packages:read", "tokens:*"]}),
        json!({"scopes": ["packages:*", "tokens:*"], "allowed_package_prefixes": ["acme/"]}),
        json!({"allowed_package_prefixes": null, "expires_at": 2_000_000_000}),
    ] {
        registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&less).send().await.expect(200);
        let refused = request().send().await.expect(403);
        assert!(!refused.text().contains(&made), "{less}");
    }
}

#[tokio::test]
async fn the_old_secret_of_a_token_is_not_shown_its_new_one() {
    let registry = TestRegistry::new();
    let scopes = json!(["packages:read", "tokens:*"]);
    let (id, old) = registry.token(&json!({"description": "a shop", "scopes": scopes})).await;
    let rotation = json!({"grace_seconds": 600});
    let request = |by: &str| keyed(registry.post(&format!("/api/tokens/{id}/rotate")).json(&rotation), by);
    let new = token_of(&request(&old).send().await.expect(200));
    let refused = request(&old).send().await.expect(403);
    assert_eq!(refused.json()["error"], "This token holds more than yours. Yours ends before it does.");
    assert_eq!(token_of(&request(&new).send().await.expect(200)), new);
}

#[tokio::test]
async fn what_was_made_in_one_organization_is_not_shown_again_in_another() {
    let registry = TestRegistry::new();
    registry.organization("second").await;
    let spec = json!({"description": "x"});
    let request =
        |slug: &str| keyed(registry.post("/api/tokens").header("x-rostrum-organization", slug).json(&spec), ADMIN);
    let root = registry.database.rows("SELECT slug FROM organizations WHERE id = 1")[0]["slug"]
        .as_str()
        .expect("text")
        .to_owned();
    let one = token_of(&request(&root).send().await.expect(201));
    let other = token_of(&request("second").send().await.expect(201));
    assert_ne!(one, other);
    assert_eq!(token_of(&request(&root).send().await.expect(201)), one);
    assert_eq!(registry.database.rows("SELECT DISTINCT organization_id FROM tokens").len(), 2);
}

#[tokio::test]
async fn a_token_is_shown_again_while_it_is_valid_and_never_once_it_has_another_secret() {
    let registry = TestRegistry::new();
    let spec = json!({"description": "x"});
    let request = || keyed(registry.post("/api/tokens").json(&spec), ADMIN);
    let made = request().send().await.expect(201);
    let path = format!("/api/tokens/{}", made.id());
    registry.patch(&path).bearer(ADMIN).json(&json!({"description": "y"})).send().await.expect(200);
    let renamed = request().send().await.expect(201);
    assert_eq!((&renamed.json()["description"], token_of(&renamed)), (&json!("y"), token_of(&made)));
    let rotation = json!({"grace_seconds": 600});
    let rotate = |key: &str| {
        registry.post(&format!("{path}/rotate")).bearer(ADMIN).header("idempotency-key", key).json(&rotation)
    };
    let second = rotate("1").send().await.expect(200);
    assert_eq!(rotate("1").send().await.expect(200).body, second.body);
    assert_eq!(request().send().await.expect(201).json()["token"], json!(null), "the old one works yet, and is old");
    registry.advance_seconds(600);
    let later = rotate("1").send().await.expect(200);
    assert_eq!((token_of(&later), &later.json()["previous_valid_until"]), (token_of(&second), &json!(null)));
    rotate("2").send().await.expect(200);
    assert_eq!(rotate("1").send().await.expect(200).json()["token"], json!(null));
    registry.delete(&path).bearer(ADMIN).send().await.expect(200);
    let words =
        "The request with this Idempotency-Key was carried out before, and what it was about is gone: Token not found";
    assert_eq!(request().send().await.expect(410).json()["error"], words);
}

#[tokio::test]
async fn a_token_that_was_given_more_than_who_made_it_holds_is_not_shown_to_them_again() {
    let registry = TestRegistry::new();
    let scopes = json!(["packages:read", "tokens:*"]);
    let (_, shop) = registry.token(&json!({"description": "a shop", "scopes": scopes})).await;
    let request = || keyed(registry.post("/api/tokens").json(&json!({"description": "x"})), &shop);
    let made = request().send().await.expect(201);
    let more = json!({"scopes": ["packages:*"]});
    registry.patch(&format!("/api/tokens/{}", made.id())).bearer(ADMIN).json(&more).send().await.expect(200);
    assert!(!request().send().await.expect(403).text().contains(&token_of(&made)));
}
