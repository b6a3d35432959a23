//! Figures are for the shop: how often a package is installed, which customers do not learn of others, and with which seat.

use http::Method;
use rostrum::http::document::operations;
use rostrum::http::kit::requirement::Access;
use rostrum::registry::access::scope::Scope;
use serde_json::{Value, json};

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

#[tokio::test]
async fn the_installs_that_are_reported_with_a_seat_are_counted_for_it_alone_in_the_same_round_trip() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let path = format!("/consumers/{}/tokens", consumer.id);
    let mut seats = Vec::new();
    for name in ["laptop", "build server", "unused"] {
        let made = registry.storefront_post(&path, &json!({"description": name})).send().await.expect(201);
        assert_eq!((&made.json()["downloads"], &made.json()["last_download_at"]), (&json!(0), &Value::Null));
        seats.push((made.id(), made.json()["token"].as_str().expect("a token").to_owned()));
    }
    let report = async |request: TestRequest, versions: &[&str]| {
        let installs: Vec<Value> = versions.iter().map(|one| json!({"name": "acme/lib", "version": one})).collect();
        request.composer().json(&json!({"downloads": installs})).send().await.expect(204);
        registry.run_until_idle().await;
    };
    let with = |seat: usize| registry.post("/notify-batch").basic(&seats[seat].1);
    report(with(0), &["1.0.0.0"]).await;
    report(registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key), &["1.0.0.0"]).await;
    registry.advance_seconds(60);
    report(with(0), &["9.9.9.9"]).await;
    report(with(1), &["1.0.0.0", "dev-main", "9.9.9.9"]).await;
    let rotation = json!({"grace_seconds": 600});
    registry.storefront_post(&format!("{path}/{}/rotate", seats[1].0), &rotation).send().await.expect(200);
    let ((), calls) = registry.counted(report(with(1), &["1.0.0.0"])).await;
    assert_eq!(calls.round_trips, 1, "{calls:?}");
    let listed = registry.storefront_get(&path).send().await.expect(200).json();
    let told = |seat: usize| (listed[seat]["downloads"].clone(), listed[seat]["last_download_at"].clone());
    assert_eq!(told(0), (json!(1), json!("2026-01-01 00:00:00")));
    assert_eq!(told(1), (json!(3), json!("2026-01-01 00:01:00")), "the secret before the rotation is the same seat");
    assert_eq!(told(2), (json!(0), Value::Null));
    let exported =
        registry.storefront_get(&format!("/consumers/{}/export", consumer.id)).send().await.expect(200).json();
    let counts: Vec<&Value> =
        exported["tokens"].as_array().expect("a list").iter().map(|seat| &seat["downloads"]).collect();
    assert_eq!(counts, [&json!(1), &json!(1), &json!(3), &json!(0)], "the key pair comes first");
}
