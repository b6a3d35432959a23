//! What a page of another site can have a browser do here: nothing.

use serde_json::json;

use crate::support::{ADMIN, TestRegistry, TestRequest};

fn create_user(registry: &TestRegistry) -> TestRequest {
    let body = json!({"email": "eve@evil.test", "name": "Eve", "role": "admin"});
    registry.post("/api/users/invitations").basic(ADMIN).json(&body)
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing_with_the_password_that_the_browser_keeps() {
    let registry = TestRegistry::new();
    for (header, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.test")]
    {
        for request in [
            create_user(&registry).header("content-type", "text/plain"),
            create_user(&registry),
            registry.delete("/api/tokens/1").basic(ADMIN),
            registry.post("/api/storefront/consumers").basic(ADMIN).json(&json!({})),
        ] {
            let reply = request.header(header, value).send().await.expect(403);
            let words = "This request comes from a page of another site, with the password that the browser keeps for this \
                         one. Send it without a browser, or with a Bearer token.";
            assert_eq!(reply.json()["error"], words);
        }
    }
    let logged = registry.database.rows("SELECT 1 FROM audit_log");
    assert!(logged.is_empty(), "{logged:?}");
}

#[tokio::test]
async fn a_browser_sends_json_as_json() {
    let registry = TestRegistry::new();
    let create = |content_type: &str| {
        let request = registry.post("/api/tokens").bearer(ADMIN).header("sec-fetch-site", "same-origin");
        let request = request.body(json!({"description": "ci", "permissions": "readonly"}).to_string());
        request.header("content-type", content_type).send()
    };
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let reply = create(form).await.expect(415);
        assert_eq!(reply.json()["code"], "UNSUPPORTED_MEDIA_TYPE", "{form}");
    }
    // Browsers that do not yet send that header send `Origin` with what a form sends.
    let body = json!({"description": "ci", "permissions": "readonly"}).to_string();
    let old = registry.post("/api/tokens").bearer(ADMIN).header("origin", "https://registry.test").body(body);
    old.header("content-type", "text/plain").send().await.expect(415);
    create("application/json").await.expect(201);
    create("Application/JSON; charset=utf-8").await.expect(201);
    // Programs may leave it out.
    let body = json!({"description": "ci", "permissions": "readonly"}).to_string();
    registry.post("/api/tokens").bearer(ADMIN).body(body).send().await.expect(201);
}

#[tokio::test]
async fn no_other_site_is_let_read_an_answer() {
    let registry = TestRegistry::new();
    for path in ["/packages.json", "/api/tokens", "/api/storefront/consumers", "/health", "/api/auth/login"] {
        for method in [http::Method::OPTIONS, http::Method::GET] {
            let request =
                registry.isolate.request(method.clone(), path).basic(ADMIN).header("origin", "https://evil.test");
            let reply = request.header("access-control-request-method", "POST").send().await;
            let allows = reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
            assert!(!allows, "{method} {path}: {:?}", reply.headers);
        }
    }
}
