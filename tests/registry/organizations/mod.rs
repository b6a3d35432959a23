//! Organizations: the Composer surface of each, and their own API.

mod composer;
mod rest;

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestRegistry, TestRequest};

/// The header that names an organization.
const ORGANIZATION: &str = "x-rostrum-organization";

/// A registry with the organizations `default` and `acme`, each with its own `acme/lib`: 1.0.0 and 2.0.0.
async fn two() -> TestRegistry {
    let registry = TestRegistry::new();
    registry.organization("acme").await;
    for (slug, version) in [("default", "1.0.0"), ("acme", "2.0.0")] {
        upload(&registry, slug, "acme/lib", version).await;
    }
    registry
}

async fn upload(registry: &TestRegistry, slug: &str, name: &str, version: &str) {
    let request = registry.put(&format!("/api/packages/{name}/versions/{version}"));
    within(request, slug).body(package(name, version)).send().await.expect(201);
}

/// A request of the administrator in the organization with this slug.
fn within(request: TestRequest, slug: &str) -> TestRequest {
    request.bearer(ADMIN).header(ORGANIZATION, slug)
}

/// A token of the organization with this slug.
async fn token(registry: &TestRegistry, slug: &str, mut spec: Value) -> String {
    spec["description"] = json!("a test");
    let reply = within(registry.post("/api/tokens"), slug).json(&spec).send().await.expect(201);
    reply.json()["token"].as_str().expect("a token").to_owned()
}
