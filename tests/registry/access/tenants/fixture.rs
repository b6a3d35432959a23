//! Two organizations that have one thing of each kind, to be compared with what names nothing.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, PASSWORD, TestRegistry, TestRequest, file, manifest, token_of};

/// The header that names an organization, and the slug of the second one.
pub const ORGANIZATION: &str = "x-rostrum-organization";
pub const OTHER: &str = "other";

/// What names nothing anywhere.
pub const NO_UID: &str = "00000000-0000-7000-8000-00000000ffff";
pub const NO_NUMBER: &str = "987654321";

/// The ids of everything that one organization has, one of each kind.
#[derive(Debug, Clone)]
pub struct OrganizationFixture {
    pub repository: String,
    pub package: String,
    pub advisory: String,
    pub filter_entry: String,
    pub invitation: String,
    pub token: String,
    pub user: String,
    pub webhook: String,
    pub delivery: String,
    pub session: String,
    pub consumer: String,
    pub permission: String,
    pub seat: String,
    pub sold_package: String,
    pub sold_version: String,
    /// A package that only this organization has.
    pub name: String,
    /// The commit of its version 1.0.0.
    pub reference: String,
    /// The e-mail address of its consumer.
    pub email: String,
    /// Credentials.
    pub reader: String,
    pub unlimited: String,
    pub keys: (String, String),
    pub login: String,
}

/// A request that acts in the organization with this slug; without one, in the root organization.
pub fn within(request: TestRequest, slug: Option<&str>) -> TestRequest {
    match slug {
        Some(slug) => request.header(ORGANIZATION, slug),
        None => request,
    }
}

async fn made(registry: &TestRegistry, slug: Option<&str>, path: &str, body: &Value) -> Value {
    let reply = within(registry.post(path), slug).bearer(ADMIN).json(body).send().await;
    assert!(matches!(reply.status, 200..=202), "{path}: {}", reply.text());
    reply.json()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Fills an organization with one thing of each kind, and with its own `acme/shared`.
async fn filled(registry: &TestRegistry, slug: Option<&str>, word: &str, version: &str) -> OrganizationFixture {
    let name = format!("{word}/only");
    let repo = registry.git_host.serve(&format!("{word}-only"));
    repo.commit(&[manifest(&name), file("src/Lib.php", "<?php\n")]);
    repo.tag("1.0.0");
    let shared = registry.git_host.serve(&format!("{word}-shared"));
    shared.commit(&[manifest("acme/shared"), file("src/Lib.php", "<?php\n"), file("word", word)]);
    shared.tag(version);
    let repository = made(registry, slug, "/api/repositories", &json!({ "url": repo.url })).await;
    made(registry, slug, "/api/repositories", &json!({ "url": shared.url })).await;
    registry.run_until_idle().await;
    let sold = format!("{word}/sold");
    let upload = within(registry.put(&format!("/api/packages/{sold}/versions/1.0.0")), slug);
    upload.bearer(ADMIN).body(package(&sold, "1.0.0")).send().await.expect(201);
    let advisory = json!({"package": name, "title": "t", "affected_versions": "*"});
    let advisory = made(registry, slug, "/api/advisories", &advisory).await;
    let entry = made(registry, slug, "/api/filter-entries", &json!({ "package": name })).await;
    let invitation = json!({"email": format!("invited@{word}.example"), "role": "viewer"});
    let invitation = made(registry, slug, "/api/invitations", &invitation).await;
    let user = json!({"email": format!("user@{word}.example"), "name": "U", "role": "admin", "password": PASSWORD});
    let user = made(registry, slug, "/api/users", &user).await;
    let login = registry.log_in(&format!("user@{word}.example"), PASSWORD, json!({})).await.expect(200);
    let sessions = registry.get("/api/auth/sessions").bearer(&token_of(&login)).send().await.expect(200).json();
    let reader = made(registry, slug, "/api/tokens", &json!({ "description": "reader" })).await;
    let unlimited = json!({"description": "unlimited", "scopes": ["admin"]});
    let unlimited = made(registry, slug, "/api/tokens", &unlimited).await;
    let webhook = json!({"url": format!("https://{word}.example/hook"), "events": ["version.published"]});
    let webhook = made(registry, slug, "/api/storefront/webhooks", &webhook).await;
    let path = format!("/api/storefront/webhooks/{}/test", text(&webhook["id"]));
    let delivery = made(registry, slug, &path, &json!({})).await;
    let email = format!("buyer@{word}.example");
    let consumer = made(registry, slug, "/api/storefront/consumers", &json!({ "email": email })).await;
    let permission = json!({"consumer_id": consumer["id"], "package": "*", "version": "*"});
    let permission = made(registry, slug, "/api/storefront/permissions", &permission).await;
    let path = format!("/api/storefront/consumers/{}/tokens", consumer["id"]);
    let seat = made(registry, slug, &path, &json!({ "description": "seat" })).await;
    let list = async |path: &str| {
        let rows = within(registry.get(path), slug).bearer(ADMIN).send().await.expect(200).json();
        rows.as_array().expect("a list").clone()
    };
    let packages = list("/api/packages").await;
    let package = packages.iter().find(|row| row["name"] == name.as_str()).expect("published");
    let sold_rows = list("/api/storefront/packages").await;
    let sold_row = sold_rows.iter().find(|row| row["name"] == sold.as_str()).expect("uploaded");
    let versions = list(&format!("/api/storefront/versions/package/{}", sold_row["id"])).await;
    OrganizationFixture {
        repository: text(&repository["id"]),
        package: text(&package["id"]),
        advisory: text(&advisory["id"]),
        filter_entry: text(&entry["id"]),
        invitation: text(&invitation["id"]),
        token: text(&reader["id"]),
        user: text(&user["id"]),
        webhook: text(&webhook["id"]),
        delivery: text(&delivery["id"]),
        session: text(&sessions[0]["id"]),
        consumer: text(&consumer["id"]),
        permission: text(&permission["id"]),
        seat: text(&seat["id"]),
        sold_package: text(&sold_row["id"]),
        sold_version: text(&versions[0]["id"]),
        reference: repo.id("main"),
        name,
        email,
        reader: text(&reader["token"]),
        unlimited: text(&unlimited["token"]),
        keys: (text(&consumer["public_key"]), text(&consumer["private_key"])),
        login: token_of(&login),
    }
}

/// Both organizations: what the root has, and what the other has.
pub async fn two() -> (TestRegistry, OrganizationFixture, OrganizationFixture) {
    let registry = TestRegistry::new();
    registry.organization(OTHER).await;
    registry.owner().await;
    let owner = json!({"email": "owner@other.example", "name": "O", "role": "owner", "password": PASSWORD});
    made(&registry, Some(OTHER), "/api/users", &owner).await;
    let root = filled(&registry, None, "root", "1.0.0").await;
    let other = filled(&registry, Some(OTHER), OTHER, "2.0.0").await;
    (registry, root, other)
}
