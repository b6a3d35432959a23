//! What lies in the folder of static assets: the API document, Swagger UI, which shows it and tries it out, and the page
//! for invitations and for links to a new password.
//!
//! The platform serves them, but only from these addresses, and only when it is asked: every other request is the
//! worker's alone, so that no file can stand in the way of a package, and no request takes a turn through the assets.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::kit::extract::route_not_found;
use crate::http::kit::handler::endpoint;
use crate::registry::identity::users::links;
use crate::registry::kernel::failure::Failure;

/// On a response: if there is a static asset at the address of the request, it is the answer, and else the response.
#[derive(Debug, Clone, Copy)]
pub struct StaticAsset;

/// The answer for the address of a static asset.
pub async fn get_static_asset() -> Result<Response, Failure> {
    let mut response = route_not_found().into_response();
    response.extensions_mut().insert(StaticAsset);
    Ok(response)
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "registry",
    responses(
        (status = 200, description = "The document", content_type = "application/json", body = Object),
        (status = 304, description = "Nothing has changed")
    )
)]
pub async fn get_openapi_document() -> Result<Response, Failure> {
    get_static_asset().await
}

/// This document in a browser, where each request can be tried out.
#[utoipa::path(
    get,
    path = "/swagger",
    tag = "registry",
    responses((status = 307, description = "The page stands at `/api/swagger/`"))
)]
pub async fn get_swagger() -> Result<Response, Failure> {
    get_static_asset().await
}

/// `router` with the page that [`links`] lead to, with Swagger UI, and with what they load.
pub fn pages(router: Router) -> Router {
    [links::PAGE, "/api/swagger/"].into_iter().fold(router, |router, page| {
        let asset = || get(endpoint!(get_static_asset));
        router.route(page, asset()).route(&format!("{page}{{*file}}"), asset())
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Method, Request};
    use tower::ServiceExt;

    use super::*;

    async fn answered(method: Method, path: &str) -> (u16, bool) {
        let request = Request::builder().method(method).uri(format!("https://registry.test{path}"));
        let request = request.body(Body::empty()).expect("a request");
        let response = crate::http::router().oneshot(request).await.expect("a router never fails");
        (response.status().as_u16(), response.extensions().get::<StaticAsset>().is_some())
    }

    #[tokio::test]
    async fn only_the_addresses_of_the_document_and_of_the_pages_ask_for_an_asset() {
        for path in ["/api/openapi.json", "/api/swagger", "/api/swagger/", "/api/swagger/ui/swagger-ui.css"] {
            assert_eq!(answered(Method::GET, path).await, (404, true), "{path}");
            assert_eq!(answered(Method::HEAD, path).await, (404, true), "{path}");
            assert_eq!(answered(Method::POST, path).await, (405, false), "{path}");
        }
        for path in ["/account/", "/account/page.js"] {
            assert_eq!(answered(Method::GET, path).await, (404, true), "{path}");
        }
        for path in
            ["/", "/_headers", "/account", "/api", "/api/", "/api/openapi", "/api/swaggers", "/api/swagger.json"]
        {
            assert_eq!(answered(Method::GET, path).await, (404, false), "{path}");
        }
        for path in ["/packages.json", "/p2/acme/lib.json", "/dist/a/b/1.0.0.zip", "/api/tokens", "/search.json"] {
            let (_, asks) = answered(Method::GET, path).await;
            assert!(!asks, "{path}");
        }
    }
}
