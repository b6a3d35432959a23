//! Whatever can be made once: two requests at once that make the same are one 201 and one 409, with one row and one
//! entry in the audit log.

use http::Method;
use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, PASSWORD, TestRegistry, TestRequest, statuses_of_concurrent};

/// A kind of thing: the table that it is in, the audit log's word for making it, and two requests that both make it.
type Made<'a> = (&'a str, &'a str, Box<dyn Fn(bool) -> TestRequest + 'a>);

fn post<'a>(registry: &'a TestRegistry, path: &'a str, body: Value) -> Box<dyn Fn(bool) -> TestRequest + 'a> {
    Box::new(move |_| registry.post(path).bearer(ADMIN).json(&body))
}

fn everything(registry: &TestRegistry) -> Vec<Made<'_>> {
    let user = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD});
    let mut with_role = user.clone();
    with_role["role"] = json!("member");
    let advisory = json!({
        "package": "acme/lib", "advisory_id": "ACME-1", "title": "A hole", "affected_versions": "*",
    });
    vec![
        (
            "repositories",
            "repository.created",
            post(registry, "/api/repositories", json!({"url": "https://git.test/new"})),
        ),
        (
            "repositories",
            "repository.created",
            post(registry, "/api/repositories", json!({"url": "https://satis.test", "kind": "composer"})),
        ),
        ("repositories", "repository.created", post(registry, "/api/repositories", json!({"kind": "artifact"}))),
        ("users", "user.created", post(registry, "/api/auth/setup", user)),
        ("users", "user.created", post(registry, "/api/users", with_role)),
        (
            "invitations",
            "invitation.created",
            post(registry, "/api/invitations", json!({"email": "ada@example.org", "role": "viewer"})),
        ),
        ("advisories", "advisory.created", post(registry, "/api/advisories", advisory)),
        (
            "filter_entries",
            "filter_entry.created",
            post(registry, "/api/filter-entries", json!({"package": "acme/lib", "constraint": "1.0.0"})),
        ),
        (
            "tokens",
            "token.created",
            Box::new(|second| {
                let spec = json!({"description": if second { "two" } else { "one" }});
                registry.post("/api/tokens").bearer(ADMIN).header("idempotency-key", "same").json(&spec)
            }),
        ),
        (
            "versions",
            "version.uploaded",
            Box::new(|second| {
                let zip = package("acme/uploaded", if second { "two" } else { "one" });
                let path = "/api/packages/acme/uploaded/versions/1.0.0";
                registry.isolate.request(Method::PUT, path).bearer(ADMIN).body(zip)
            }),
        ),
    ]
}

#[tokio::test]
async fn two_creates_of_the_same_thing_at_once_are_one_201_and_one_409() {
    for nth in 0..everything(&TestRegistry::new()).len() {
        let registry = TestRegistry::new();
        registry.published("acme/lib", &["1.0.0"]).await;
        let (table, action, request) = everything(&registry).swap_remove(nth);
        let rows = || registry.database.rows(&format!("SELECT 1 FROM {table}")).len();
        let (before, noted) = (rows(), registry.audited(action).await.len());
        assert_eq!(statuses_of_concurrent([request(false), request(true)]).await, [201, 409], "{action} {nth}");
        assert_eq!(rows(), before + 1, "{action} {nth}");
        assert_eq!(registry.audited(action).await.len(), noted + 1, "{action} {nth}");
    }
}
