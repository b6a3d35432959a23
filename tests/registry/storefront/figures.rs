//! Customers learn no figures of others: how often a package is installed is for the shop.

use http::Method;
use rostrum::http::document::operations;
use rostrum::http::kit::requirement::Access;
use rostrum::registry::access::scope::Scope;
use serde_json::json;

use crate::support::{ADMIN, TestRegistry, TestRequest};

/// How often others have installed the package; nothing else in an answer is this number.
const INSTALLS: &str = "7654321";

#[tokio::test]
async fn no_operation_that_customers_may_call_tells_them_how_often_others_install() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.database.execute(&format!(
        "INSERT INTO downloads (day, version_id, subject, count)
         SELECT 20000, id, 'token:99', {INSTALLS} FROM versions WHERE pretty = '1.0.0'"
    ));
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let further =
        registry.storefront_post("/consumers/1/tokens", &json!({"description": "x"})).send().await.expect(201);
    let further = further.json()["token"].as_str().expect("a token").to_owned();
    let fill = |segment: &str| match segment {
        "{organization}" => "default".to_owned(),
        "{vendor}" => "acme".to_owned(),
        "{package}" => "lib".to_owned(),
        "{version}" => "1.0.0".to_owned(),
        "{file}" => "lib.json".to_owned(),
        "{id}" => "acme%2Flib".to_owned(),
        other if other.starts_with('{') => "x".to_owned(),
        other => other.to_owned(),
    };
    let reads = operations()
        .into_iter()
        .filter(|one| json!(one.method) == "get" && one.access() == Some(Access::Scope(Scope::PackagesRead)));
    let (mut asked, mut told) = (0, Vec::new());
    for operation in reads {
        let path = operation.path.split('/').map(fill).collect::<Vec<String>>().join("/");
        for path in [path.clone(), format!("{path}?sort=downloads")] {
            let request = || registry.isolate.request(Method::GET, &path);
            let as_customer: [TestRequest; 2] =
                [request().pair(&consumer.public_key, &consumer.private_key), request().bearer(&further)];
            for request in as_customer {
                let answer = request.send().await;
                assert!(!answer.text().contains(INSTALLS), "{path}: {}", answer.text());
                asked += 1;
            }
            if request().bearer(ADMIN).send().await.text().contains(INSTALLS) {
                told.push(path);
            }
        }
    }
    assert!(asked > 30, "{asked}");
    let expected = [
        "/search.json",
        "/search.json?sort=downloads",
        "/api/packages",
        "/api/packages?sort=downloads",
        "/api/packages/acme%2Flib",
        "/api/packages/acme%2Flib/stats",
    ];
    for path in expected {
        assert!(told.iter().any(|told| told == path), "the shop is not told at {path}: {told:?}");
    }
}

#[tokio::test]
async fn customers_are_shown_packages_without_figures_and_refused_where_there_is_nothing_else() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let get = async |path: &str| consumer.get(&registry.isolate, path).send().await;
    assert_eq!(get("/api/packages").await.expect(200).json()[0]["downloads"], json!(null));
    let found = get("/search.json?q=lib").await.expect(200).json();
    assert_eq!((found["results"][0].get("downloads"), found["results"][0].get("favers")), (None, None));
    let words = "Customers are not told how often packages are installed. Only tokens from /api/tokens are.";
    for path in ["/api/packages/acme%2Flib/stats", "/api/packages?sort=downloads"] {
        assert_eq!(get(path).await.expect(403).json()["error"], words, "{path}");
    }
    get("/api/packages/acme%2Fother/stats").await.expect(404);
}
