//! Which operations take `Idempotency-Key`; every other refuses it, because whoever sends it counts on it.

use http::Method;
use rostrum::http::document::operations;
use rostrum::http::kit::handler::KeyUse;
use serde_json::json;

use crate::support::{ADMIN, TestRegistry};

const REFUSED: &str = "does nothing for this request, which may be carried out each time that it is sent. Send it \
                       without; /api/openapi.json says which operations take the header";

#[tokio::test]
async fn an_operation_that_does_not_take_a_key_refuses_it_before_it_does_anything() {
    let registry = TestRegistry::new();
    let (mut taken, mut refused) = (0, 0);
    for operation in operations().into_iter().filter(|one| one.surface.is_some()) {
        let method: Method = json!(operation.method).as_str().expect("text").to_uppercase().parse().expect("a method");
        let fill = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
        let path = operation.path.split('/').map(fill).collect::<Vec<String>>().join("/");
        let request = registry.isolate.request(method.clone(), &path).bearer(ADMIN).header("idempotency-key", "k");
        let answer = request.json(&json!({})).send().await;
        if operation.key_use == KeyUse::Takes {
            assert!(!answer.text().contains(REFUSED), "{method} {path}");
            assert_eq!(method, Method::POST, "{path}");
            taken += 1;
        } else {
            let has_message = path.starts_with("/org/") || path.starts_with("/api/organizations");
            let (status, fields) = if has_message { (422, "errors") } else { (400, "details") };
            let answer = answer.expect(status).json();
            assert_eq!(answer[fields], json!({"Idempotency-Key": [REFUSED]}), "{method} {path}");
            assert!(!(method == Method::POST && path.starts_with("/api/storefront/")), "{path} does not take a key");
            refused += 1;
        }
    }
    assert!(taken >= 11 && refused > 90, "{taken} {refused}");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM idempotency_keys"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_request_that_leads_nowhere_is_told_that_and_not_of_its_key() {
    let registry = TestRegistry::new();
    for (path, status) in [("/api/storefront/nothing", 404), ("/api/storefront/consumers/1", 405), ("/nothing", 404)] {
        let request = registry.post(path).bearer(ADMIN).header("idempotency-key", "k");
        request.json(&json!({})).send().await.expect(status);
    }
}
