//! Lists of the storefront in pages: by `after`, which passes nothing over, and as long as a shop can want them.

use serde_json::{Value, json};

use crate::support::{ADMIN, ORIGIN, TestRegistry, TestResponse};

fn ids(page: &TestResponse) -> Vec<i64> {
    page.json().as_array().expect("a list").iter().map(|row| row["id"].as_i64().expect("an id")).collect()
}

/// The path of the next page.
fn next(page: &TestResponse) -> Option<String> {
    let link = page.find_header("link")?;
    let url =
        link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link to the next page");
    Some(url.strip_prefix(ORIGIN).expect("an absolute URL").to_owned())
}

/// The ids on all pages from `path` on; `between` is done after each page with its ids.
async fn walk(registry: &TestRegistry, path: &str, mut between: impl AsyncFnMut(Vec<i64>)) -> Vec<i64> {
    let (mut found, mut path) = (Vec::new(), Some(path.to_owned()));
    while let Some(at) = path {
        let page = registry.get(&at).bearer(ADMIN).send().await.expect(200);
        found.extend(ids(&page));
        between(ids(&page)).await;
        path = next(&page);
    }
    found
}

#[tokio::test]
async fn the_links_lead_past_every_consumer_whoever_is_deleted_meanwhile() {
    let registry = TestRegistry::new();
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(registry.consumer().await.id);
    }
    for path in ["/api/storefront/consumers?limit=3", "/api/storefront/consumers/email/one@example.com?limit=3"] {
        assert_eq!(walk(&registry, path, async |_| {}).await, all, "{path}");
    }
    let delete = async |page: Vec<i64>| {
        for id in page {
            registry.storefront_delete(&format!("/consumers/{id}")).send().await.expect(204);
        }
    };
    assert_eq!(walk(&registry, "/api/storefront/consumers?limit=3", delete).await, all);
}

#[tokio::test]
async fn permissions_come_in_pages_by_their_ids() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let mut all = Vec::new();
    for number in 0..5 {
        let made = registry.grant(&consumer, &format!("acme/p{number}"), "*").await;
        all.push(made["id"].as_i64().expect("an id"));
    }
    let delete = async |page: Vec<i64>| {
        for id in page {
            registry.storefront_delete(&format!("/permissions/{id}")).send().await.expect(204);
        }
    };
    assert_eq!(walk(&registry, "/api/storefront/permissions?limit=2", async |_| {}).await, all);
    assert_eq!(walk(&registry, "/api/storefront/permissions?limit=2", delete).await, all);
}

#[tokio::test]
async fn packages_and_versions_come_in_pages_by_their_ids() {
    let registry = TestRegistry::new();
    let (mut packages, mut versions) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let made = registry.storefront_post("/packages", &json!({"name": format!("acme/p{number}")})).send().await;
        packages.push(made.expect(201).json()["id"].as_i64().expect("an id"));
        let path = format!("/versions/package/{}", packages[0]);
        let made = registry.storefront_post(&path, &json!({"name": format!("{number}.0.0")})).send().await.expect(201);
        versions.push(made.json()["id"].as_i64().expect("an id"));
    }
    let of_package = format!("/api/storefront/versions/package/{}?limit=2", packages[0]);
    assert_eq!(walk(&registry, &of_package, async |_| {}).await, versions);
    assert_eq!(walk(&registry, "/api/storefront/packages?limit=2", async |_| {}).await, packages);
    let (_, limited) = registry
        .token(&json!({"description": "a", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/p"]}))
        .await;
    let path = format!("/api/storefront/packages?after={}&limit=1", packages[1]);
    assert_eq!(ids(&registry.get(&path).bearer(&limited).send().await.expect(200)), [packages[2]]);
    let path = format!("/api/storefront/versions/package/{}?after={}", packages[0], versions[3]);
    assert_eq!(ids(&registry.get(&path).bearer(ADMIN).send().await.expect(200)), versions[4..]);
}

#[tokio::test]
async fn a_list_without_parameters_has_ten_thousand_rows_and_a_link_to_the_rest() {
    let registry = TestRegistry::new();
    registry.database.execute(
        "INSERT INTO consumers (id, uid, organization_id, email, public_key, private_key, customer_id, created_at, updated_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10001)
         SELECT value, 'u' || value, 1, 'customer-' || value || '@example.com',
                substr('k' || value || '0123456789012345678901234567890123456789012345678901234567890', 1, 60), 'v1.sealed', value,
                0, 0
           FROM n",
    );
    let (_, reader) = registry.token(&json!({"description": "a", "scopes": ["storefront:read"]})).await;
    registry.get("/api/storefront/consumers/1").bearer(&reader).send().await.expect(200);
    let (all, calls) = registry.counted(registry.get("/api/storefront/consumers").bearer(&reader).send()).await;
    let all = all.expect(200);
    assert_eq!(ids(&all), (1..=10_000).collect::<Vec<i64>>());
    assert_eq!(
        (all.header("x-total-count"), next(&all)),
        ("10001", Some("/api/storefront/consumers?after=10000".to_owned()))
    );
    assert_eq!((calls.round_trips, calls.statements), (1, 2), "all of them, and their number");
    assert!(all.body.len() < 10_000 * 600, "{}", all.body.len());
    let rest = registry.get("/api/storefront/consumers?after=10000").bearer(&reader).send().await.expect(200);
    assert_eq!((ids(&rest), next(&rest)), (vec![10_001], None));
    let refused = registry.get("/api/storefront/consumers?limit=10001").bearer(&reader).send().await.expect(400);
    assert_eq!(refused.json()["details"], json!({"limit": ["must be between 1 and 10000"]}));
    let refused: Value = registry.get("/api/tokens?limit=1001").bearer(ADMIN).send().await.expect(400).json();
    assert_eq!(refused["details"], json!({"limit": ["must be between 1 and 1000"]}));
}
