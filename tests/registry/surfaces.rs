//! What a row of the table of surfaces decides: the same routes under another row are found elsewhere, in another
//! organization, and answer with other pages, limits and errors.

use http::Method;
use rostrum::http::kit::failure::{Challenge, Dialect, ErrorForm};
use rostrum::http::kit::paging::Paging;
use rostrum::http::kit::surface::{Limits, Surface};
use rostrum::http::kit::tenant::TenantSource;
use rostrum::http::{composer, management};
use rostrum::registry::access::rate_limit::RateLimit;
use serde_json::json;

use crate::support::{ADMIN, TestRegistry, TestRequest};

/// A request to the routes of `surface`.
fn request_to(registry: &TestRegistry, surface: &'static Surface, path: &str) -> TestRequest {
    TestRequest::new(registry.isolate.app.clone(), surface.mounted().into_router(), Method::GET, path)
}

/// What is asked of an organization by name.
static ORGANIZATION: Surface = Surface {
    name: "composer of one organization",
    mount: "/org/{organization}",
    routes: composer::routes,
    undocumented: |router| router,
    rejects_composer_1: true,
    rejects_cross_site: true,
    meets_old_clients: false,
    tenant: TenantSource::Path,
    limits: Limits { requests: RateLimit::PerMinute(1000), downloads: Some(RateLimit::PerMinute(2)) },
    paging: None,
    dialect: Dialect { form: ErrorForm::MessageErrors, warning: true, challenge: Challenge::Basic },
    dialect_overrides: &[],
};

/// The management API in other forms.
static NUMBERED: Surface = Surface {
    name: "management by page numbers",
    mount: "/v2",
    routes: management::routes,
    tenant: TenantSource::Credential,
    limits: Limits { requests: RateLimit::PerMinute(6), downloads: None },
    paging: Some(Paging::PageNumber { default_per_page: 20 }),
    dialect: Dialect { form: ErrorForm::MessageErrors, warning: false, challenge: Challenge::Bearer },
    ..ORGANIZATION
};

#[tokio::test]
async fn the_organization_may_be_in_the_path() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.organization("other").await;
    let token = registry.reader().await;
    let found =
        request_to(&registry, &ORGANIZATION, "/org/default/p2/acme/lib.json").basic(&token).composer().send().await;
    assert_eq!(found.expect(200).version_names("acme/lib"), ["1.0.0"]);
    for organization in ["other", "none"] {
        let path = format!("/org/{organization}/p2/acme/lib.json");
        let refused = request_to(&registry, &ORGANIZATION, &path).basic(&token).send().await.expect(404);
        let message = "Organization not found";
        assert_eq!(refused.json(), json!({"message": message, "errors": {}, "warning": message}));
    }
    let anonymous = request_to(&registry, &ORGANIZATION, "/org/none/p2/acme/lib.json").send().await.expect(401);
    assert!(anonymous.header("www-authenticate").starts_with("Basic "));
}

#[tokio::test]
async fn downloads_may_be_limited_by_the_minute_and_package() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("acme/other", &["1.0.0"]).await;
    let token = registry.reader().await;
    let download =
        |name: &str| request_to(&registry, &ORGANIZATION, &format!("/org/default/dist/{name}/1.0.0.zip")).basic(&token);
    let first = download("acme/lib").send().await.expect(200);
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("2", "1"));
    let etag = first.header("etag");
    let unchanged = download("acme/lib").header("if-none-match", etag).send().await.expect(304);
    assert_eq!(unchanged.header("x-ratelimit-remaining"), "0", "it was looked for");
    let refused = download("acme/lib").send().await.expect(429);
    let message = "This token has used its 2 downloads of `acme/lib` of this minute. Try again in 60 seconds.";
    assert_eq!(refused.json(), json!({"message": message, "errors": {}, "warning": message}));
    assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("retry-after")), ("0", "60"));
    download("acme/other").send().await.expect(200);
    registry.advance_seconds(60);
    download("acme/lib").send().await.expect(200);
}

#[tokio::test]
async fn pages_and_errors_have_the_form_of_the_surface() {
    let registry = TestRegistry::new();
    for description in ["a", "b", "c"] {
        registry.token(&json!({"description": description})).await;
    }
    let list = |query: &str| request_to(&registry, &NUMBERED, &format!("/v2/tokens?{query}")).bearer(ADMIN);
    let page = list("sort=description&per_page=2&page=2").send().await.expect(200);
    assert_eq!(page.json()["data"][0]["description"], "c");
    assert_eq!(page.json()["meta"], json!({"current_page": 2, "last_page": 2, "per_page": 2, "total": 3}));
    assert_eq!(page.header("x-ratelimit-limit"), "6");
    assert_eq!(page.find_header("x-total-count"), None);
    let refused = list("per_page=101").send().await.expect(422);
    let reason = "must be between 1 and 100";
    let expected = json!({"message": format!("`per_page`: {reason}"), "errors": {"per_page": [reason]}});
    assert_eq!(refused.json(), expected);
    let refused = list("limit=1").send().await.expect(422);
    assert_eq!(refused.json()["errors"], json!({"limit": ["unknown query parameter"]}));
    let missing = request_to(&registry, &NUMBERED, "/v2/nothing").send().await.expect(404);
    assert_eq!(missing.json()["errors"], json!({}));
}
