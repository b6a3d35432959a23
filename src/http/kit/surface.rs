//! A surface: a part of the HTTP API for one kind of caller. All in which surfaces differ is a field of [`Surface`];
//! the table of their rows is [`crate::http::SURFACES`].
//!
//! One layer rejects clients, writes the rate limit headers and renders failures: axum clones everything inside of a
//! layer for every request, so three layers would cost three times as much.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::request::Parts;

use crate::http::kit::cross_site;
use crate::http::kit::extract::{Client, fallback, method_not_allowed};
use crate::http::kit::failure::{Dialect, render_failure};
use crate::http::kit::handler::endpoint;
use crate::http::kit::paging::Paging;
use crate::http::kit::request_auth::{AuthenticatedSlot, RequestId, write_rate_limit_headers};
use crate::http::kit::routes::Routes;
use crate::http::kit::tenant::TenantSource;
use crate::registry::access::rate_limit::RateLimit;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};

/// A row of the table of surfaces.
#[derive(Debug)]
pub struct Surface {
    /// Its name, which is also that of its folder; two surfaces may share one.
    pub name: &'static str,
    /// What its paths begin with; empty for the root.
    pub mount: &'static str,
    /// Its routes, below the mount, with their entries in the API document.
    pub routes: fn() -> Routes,
    /// Adds routes that stand in no document, at full paths.
    pub undocumented: fn(Router) -> Router,
    /// Whether requests of Composer 1 are rejected.
    pub rejects_composer_1: bool,
    /// Whether a page of another site may not have a browser change anything with a password that it keeps.
    pub rejects_cross_site: bool,
    /// Whether it meets clients of the document that it was made by, which may spell numbers as texts, send forms, and end paths
    /// with a slash.
    pub meets_old_clients: bool,
    /// Where the organization of a request is found.
    pub tenant: TenantSource,
    /// How many requests a caller may make.
    pub limits: Limits,
    /// The form of its pages of lists; `None` if it has no lists with pages.
    pub paging: Option<Paging>,
    /// How failures are rendered.
    pub dialect: Dialect,
    /// Paths whose failures are rendered in another dialect.
    pub dialect_overrides: &'static [DialectOverride],
}

/// The rate limits of a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of all requests of a caller.
    pub requests: RateLimit,
    /// Of a caller's downloads of one package, besides.
    pub downloads: Option<RateLimit>,
}

/// A path whose failures are rendered in another dialect than those of its surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialectOverride {
    /// The path below the mount.
    pub path: &'static str,
    /// Its dialect.
    pub dialect: Dialect,
}

impl Surface {
    /// The surface of a request.
    pub fn of(parts: &Parts) -> Result<&'static Self, Failure> {
        parts.extensions.get::<&'static Self>().copied().ok_or_else(Failure::unwired)
    }

    /// Its routes at their full paths, with its fallbacks and inside of its layer.
    pub fn mounted(&'static self) -> Routes {
        let below_mount = (self.routes)();
        let below_mount = if self.meets_old_clients { below_mount.with_trailing_slashes() } else { below_mount };
        let has_something_at_mount = below_mount.has("/");
        let all = if self.mount.is_empty() { below_mount } else { Routes::new().nest(self.mount, below_mount) };
        #[cfg(not(target_arch = "wasm32"))]
        let all = all.of_surface(self);
        all.map_router(|router| {
            let router = self.with_fallbacks((self.undocumented)(router), has_something_at_mount);
            router.layer(from_fn(move |request, next| respond(self, request, next)))
        })
    }

    fn with_fallbacks(&self, router: Router, has_something_at_mount: bool) -> Router {
        let router = if self.mount.is_empty() {
            router.fallback(endpoint!(fallback).as_fallback())
        } else {
            // Where all else begins with the organization, the router takes no path that may begin with anything.
            let rest = if has_something_at_mount { "/{organization}/{*rest}" } else { "/{*rest}" };
            let paths = ["", "/", rest].into_iter().skip(usize::from(has_something_at_mount));
            let paths: Vec<String> = paths.map(|rest| [self.mount, rest].concat()).collect();
            paths.iter().fold(router, |router, path| router.route(path, any(endpoint!(fallback).as_fallback())))
        };
        router.method_not_allowed_fallback(endpoint!(method_not_allowed).as_fallback())
    }

    /// The dialect of failures at `path`.
    fn dialect_at(&self, path: &str) -> Dialect {
        let below_mount = path.match_indices('/').nth(self.mount.matches('/').count()).map(|(at, _)| &path[at..]);
        let found = self.dialect_overrides.iter().find(|found| Some(found.path) == below_mount);
        found.map_or(self.dialect, |found| found.dialect)
    }
}

/// The layer of a surface.
async fn respond(surface: &'static Surface, mut request: Request, next: Next) -> Response {
    let info = RequestInfo::of(&request);
    // Composer 1 reads another protocol, and would fail with a message that helps nobody.
    if surface.rejects_composer_1 && Client::of(request.headers()) == Client::Composer1 {
        let detail = "This registry serves Composer 2 and later. Update with `composer self-update --2`.";
        let rejected = Failure::new(Kind::NotAcceptable, detail).into_response();
        return render_failure(surface.dialect, &info, rejected);
    }
    if surface.rejects_cross_site && !request.method().is_safe() {
        let (parts, body) = request.into_parts();
        if let Err(failure) = cross_site::check(&parts) {
            return render_failure(surface.dialect, &info, failure.into_response());
        }
        request = Request::from_parts(parts, body);
    }
    let app = request.extensions().get::<App>().cloned();
    let authenticated = AuthenticatedSlot::default();
    request.extensions_mut().insert(authenticated.clone());
    request.extensions_mut().insert(surface);
    let mut response = next.run(request).await;
    if let Some(app) = app {
        write_rate_limit_headers(&app, &authenticated, &mut response);
    }
    render_failure(surface.dialect_at(info.uri.path()), &info, response)
}

/// What the log says about a request.
pub struct RequestInfo {
    /// Its method.
    pub method: http::Method,
    /// Its URI.
    pub uri: http::Uri,
    /// Its id.
    pub id: RequestId,
}

impl RequestInfo {
    fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), id: RequestId::of(request.headers()) }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::http::kit::failure::{Challenge, ErrorForm};

    const PLAIN: Dialect = Dialect { form: ErrorForm::Detail, warning: false, challenge: Challenge::Bearer };

    impl Surface {
        /// A surface without routes.
        pub fn for_tests() -> Self {
            Self {
                name: "tests",
                mount: "/org/{organization}",
                routes: Routes::new,
                undocumented: |router| router,
                rejects_composer_1: true,
                rejects_cross_site: true,
                meets_old_clients: false,
                tenant: TenantSource::Path,
                limits: Limits { requests: RateLimit::PerMinute(1000), downloads: None },
                paging: None,
                dialect: Dialect { warning: true, ..PLAIN },
                dialect_overrides: &[DialectOverride { path: "/report", dialect: PLAIN }],
            }
        }
    }

    async fn response_to(surface: &'static Surface, path: &str, user_agent: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).header("user-agent", user_agent).body(Body::empty());
        let response = surface.mounted().into_router().oneshot(request.expect("a request")).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.into()).expect("UTF-8"))
    }

    #[test]
    fn a_path_below_the_mount_may_have_a_dialect_of_its_own() {
        let surface = Surface::for_tests();
        assert_eq!(surface.dialect_at("/org/acme/report"), PLAIN);
        for path in ["/org/acme/other", "/org/acme/report/x", "/org/report", "/report", ""] {
            assert_eq!(surface.dialect_at(path), surface.dialect, "{path}");
        }
        let root = Surface { mount: "", ..surface };
        assert_eq!(root.dialect_at("/report"), PLAIN);
    }

    #[tokio::test]
    async fn a_surface_answers_for_everything_below_its_mount_in_its_dialect() {
        static SURFACE: std::sync::LazyLock<Surface> = std::sync::LazyLock::new(Surface::for_tests);
        let not_found = "There is nothing at this address. See /api/openapi.json for what there is.";
        let with_warning = format!(r#"{{"detail":"{not_found}","warning":"{not_found}"}}"#);
        for path in ["/org/acme", "/org/acme/", "/org/acme/a/b"] {
            assert_eq!(
                response_to(&SURFACE, path, "curl").await,
                (StatusCode::NOT_FOUND, with_warning.clone()),
                "{path}"
            );
        }
        let plain = format!(r#"{{"detail":"{not_found}"}}"#);
        assert_eq!(response_to(&SURFACE, "/org/acme/report", "curl").await, (StatusCode::NOT_FOUND, plain));
        assert_eq!(response_to(&SURFACE, "/elsewhere", "curl").await, (StatusCode::NOT_FOUND, String::new()));
    }

    #[tokio::test]
    async fn composer_1_is_rejected_where_the_row_says_so() {
        static STRICT: std::sync::LazyLock<Surface> = std::sync::LazyLock::new(Surface::for_tests);
        static LENIENT: std::sync::LazyLock<Surface> =
            std::sync::LazyLock::new(|| Surface { rejects_composer_1: false, ..Surface::for_tests() });
        let status = response_to(&STRICT, "/org/acme/a", "Composer/1.10.0").await.0;
        assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
        assert_eq!(response_to(&STRICT, "/org/acme/a", "Composer/2.8.0").await.0, StatusCode::NOT_FOUND);
        assert_eq!(response_to(&LENIENT, "/org/acme/a", "Composer/1.10.0").await.0, StatusCode::NOT_FOUND);
    }
}
