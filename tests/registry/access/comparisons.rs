//! How many comparisons the constraints of a credential may take.

use rostrum::registry::access::grant::MAX_COMPARISONS;
use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry};

/// So many constraints of four comparisons each, no two alike.
fn ranges(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("^{number}.0 || ^{number}.5")).collect()
}

fn grants(constraints: &[String]) -> Vec<Value> {
    constraints.iter().map(|constraint| json!({"package": "acme/lib", "constraint": constraint})).collect()
}

fn permissions(constraints: &[String]) -> Vec<Value> {
    constraints.iter().map(|constraint| json!({"package": "acme/lib", "version": constraint})).collect()
}

const TOO_MANY: &str = "must not hold version constraints of more than 2000 comparisons in all (`^5.0 || ^7.0` is made of 4, and equal constraints count once), and these have 2004. Use wider ranges, or several credentials";

#[tokio::test]
async fn a_token_takes_no_more_comparisons_than_the_limit() {
    let registry = TestRegistry::new();
    let most = ranges(MAX_COMPARISONS / 4);
    let (id, _) = registry.token(&json!({"description": "a", "grants": grants(&most)})).await;
    let more = json!({"description": "a", "grants": grants(&ranges(MAX_COMPARISONS / 4 + 1))});
    for request in [registry.post("/api/tokens"), registry.patch(&format!("/api/tokens/{id}"))] {
        let reply = request.bearer(ADMIN).json(&more).send().await.expect(400);
        assert_eq!(reply.json()["details"], json!({"grants": [TOO_MANY]}));
    }
    let same = vec![most[0].clone(); 1000];
    let named: Vec<Value> = (0..)
        .zip(&same)
        .map(|(number, constraint)| json!({"package": format!("acme/p{number}"), "constraint": constraint}))
        .collect();
    registry.token(&json!({"description": "equal constraints count once", "grants": named})).await;
}

#[tokio::test]
async fn neither_do_the_permissions_of_a_consumer_one_by_one_all_at_once_or_merged() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer_as(&json!({"email": "a@example.org"})).await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let set = |list: Vec<Value>| registry.storefront_put(&path, &json!(list)).send();
    let message = format!("`version`: the permissions of a consumer {TOO_MANY}");
    let refused = set(permissions(&ranges(MAX_COMPARISONS / 4 + 1))).await.expect(400);
    assert_eq!(refused.json()["error"], message);
    let most = ranges(MAX_COMPARISONS / 4);
    let permission = set(permissions(&most)).await.expect(200).json()[0]["id"].clone();

    let one = |version: &str| json!({"consumer_id": consumer.id, "package": "acme/lib", "version": version});
    let grant = |version: &str| registry.storefront_post("/permissions", &one(version)).send();
    let refused = grant("^1000.0 || ^1002.0").await.expect(400);
    assert_eq!(refused.json()["error"], message);
    let path = format!("/permissions/{permission}");
    let change = |version: &str| registry.storefront_patch(&path, &json!({"version": version})).send();
    change("^1000.0 || ^1002.0 || ^1004.0").await.expect(400);
    change("^1000.0 || ^1002.0").await.expect(200);

    let other = registry.consumer_as(&json!({"email": "b@example.org"})).await;
    registry.grant(&other, "acme/lib", &most[0]).await;
    let merge =
        registry.storefront_post(&format!("/consumers/{}/merge", consumer.id), &json!({"consumer_id": other.id}));
    let refused = merge.send().await.expect(409);
    assert_eq!(refused.json()["error"], format!("The permissions of both {TOO_MANY}."));
}
