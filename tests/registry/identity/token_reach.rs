//! Which tokens a credential that is limited to some packages lists and reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry};

/// What a token sees, and whether all of that is within `acme/*` in every version.
fn kinds() -> Vec<(&'static str, Value, bool)> {
    vec![
        ("everything", json!([{"pattern": "*"}]), false),
        ("the vendor", json!([{"pattern": "acme/*"}]), true),
        ("a package", json!([{"package": "acme/lib"}]), true),
        ("versions", json!([{"package": "acme/lib", "constraint": "^1"}]), true),
        ("for a while", json!([{"pattern": "acme/l*", "expires_at": 2_000_000_000}]), true),
        ("a vendor of a like name", json!([{"pattern": "acme*"}]), false),
        ("the vendor and another", json!([{"pattern": "acme/*"}, {"package": "other/lib"}]), false),
        ("another", json!([{"package": "other/lib"}]), false),
        ("nothing", json!([]), true),
    ]
}

#[tokio::test]
async fn a_limited_credential_has_the_tokens_that_see_no_more_than_it_does() {
    let registry = TestRegistry::new();
    let spec = json!({"description": "the reader", "scopes": ["packages:read", "tokens:read"], "allowed_package_prefixes": ["acme/"]});
    let (_, reader) = registry.token(&spec).await;
    let mut ids = Vec::new();
    for (name, grants, is_covered) in kinds() {
        let spec = json!({"description": name, "grants": grants, "metadata": {"customer_id": "7"}});
        ids.push((name, registry.token(&spec).await.0, is_covered));
    }
    let expected: BTreeSet<String> =
        kinds().into_iter().filter(|(.., is_covered)| *is_covered).map(|(name, ..)| name.to_owned()).collect();
    for query in ["?customer_id=7", "?customer_id=7&sort=description", "?permissions=readonly&customer_id=7&limit=100"]
    {
        let list = registry.get(&format!("/api/tokens{query}")).bearer(&reader).send().await.expect(200);
        let names = list
            .json()
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["description"].as_str().expect("text").to_owned())
            .collect();
        assert_eq!((&names, list.header("x-total-count")), (&expected, expected.len().to_string().as_str()), "{query}");
    }
    for (name, id, is_covered) in &ids {
        let status = if *is_covered { 200 } else { 404 };
        let path = format!("/api/tokens/{id}");
        registry.get(&path).bearer(&reader).send().await.expect(status);
        assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(200).json()["description"], *name);
    }
    let all = registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200);
    assert_eq!(all.header("x-total-count"), (kinds().len() + 1).to_string());
    // With a page of its own, the total is that of all that it has.
    let page = registry.get("/api/tokens?limit=2&offset=1").bearer(&reader).send().await.expect(200);
    assert_eq!((page.json().as_array().map(Vec::len), page.header("x-total-count")), (Some(2), "6"));
}

#[tokio::test]
async fn a_credential_for_versions_has_the_tokens_for_these_versions() {
    let registry = TestRegistry::new();
    let grants = json!([{"package": "acme/lib", "constraint": "^1"}]);
    let spec = json!({"description": "the reader", "scopes": ["tokens:read"], "grants": grants});
    let (_, reader) = registry.token(&spec).await;
    for (name, grants, _) in kinds() {
        registry.token(&json!({"description": name, "grants": grants})).await;
    }
    let list = registry.get("/api/tokens?sort=description").bearer(&reader).send().await.expect(200).json();
    let names: Vec<&Value> = list.as_array().expect("a list").iter().map(|row| &row["description"]).collect();
    assert_eq!(names, [&json!("nothing"), &json!("the reader"), &json!("versions")]);
}

#[tokio::test]
async fn more_different_grants_than_are_compared_are_refused_in_clear_words() {
    let registry = TestRegistry::new();
    let spec = json!({"description": "the reader", "scopes": ["tokens:read"], "allowed_package_prefixes": ["acme/"]});
    let (_, reader) = registry.token(&spec).await;
    registry.database.execute(
        "INSERT INTO grants (token_id, target, version_constraint, minimum_stability)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 2000)
         SELECT 1, 'acme/lib' || value, '*', 'dev' FROM n",
    );
    let refused = registry.get("/api/tokens").bearer(&reader).send().await.expect(409);
    assert!(refused.text().contains("more than 2000 different grants"), "{}", refused.text());
    registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200);
    registry.database.execute("UPDATE grants SET target = 'other/lib' || id WHERE target <> 'acme/*'");
    registry.get("/api/tokens").bearer(&reader).send().await.expect(200);
}
