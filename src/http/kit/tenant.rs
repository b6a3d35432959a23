//! The organization that a request is about.
//!
//! Where it is found is a field of the surface ([`TenantSource`]); whether it is the caller's is [`Caller::view_of`]'s to
//! say. No other module names the root organization.

use crate::http::kit::extract::path_params;
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::surface::Surface;
use crate::registry::access::caller::Caller;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::kernel::organizations;

/// The header by which a caller names the organization to act in.
pub const ORGANIZATION_HEADER: &str = "x-rostrum-organization";

/// The path parameter that holds the slug of an organization.
pub const ORGANIZATION_PARAM: &str = "organization";

/// Where a surface finds the organization of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantSource {
    /// Nowhere: every request is about the root organization.
    Root,
    /// In the credential. `ADMIN_TOKEN`, which belongs to all organizations, acts in the root organization unless
    /// [`ORGANIZATION_HEADER`] names another one by its slug.
    Credential,
    /// In the path parameter [`ORGANIZATION_PARAM`]; in the credential where a path has none.
    Path,
}

/// Which organization a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// The root organization.
    Root,
    /// The caller's own.
    OfCaller,
    /// The one with this slug, if it is the caller's.
    Named(String),
}

impl Tenant {
    /// The organization of requests that are not authenticated.
    pub const OF_ANONYMOUS: OrganizationId = OrganizationId::ROOT;

    /// The organization, if it is known before the caller is.
    pub fn known(&self) -> Option<OrganizationId> {
        match self {
            Self::Root => Some(OrganizationId::ROOT),
            Self::OfCaller | Self::Named(_) => None,
        }
    }

    /// The slug that the request names.
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Named(slug) => Some(slug),
            Self::Root | Self::OfCaller => None,
        }
    }

    /// The organization that `caller` acts in; whether it is the caller's is [`Caller::view_of`]'s to say.
    ///
    /// # Errors
    /// [`crate::registry::kernel::failure::Kind::NotFound`] if there is none with that slug, with the message for one that is not the caller's.
    pub async fn of(&self, app: &App, caller: &Caller) -> Result<OrganizationId, Failure> {
        match self {
            Self::Root => Ok(OrganizationId::ROOT),
            Self::OfCaller => Ok(caller.home().unwrap_or(OrganizationId::ROOT)),
            Self::Named(slug) => {
                // The credential tells, as a rule. One that was looked up before its organization was renamed does not.
                if let Some(home) = caller.home_called(slug) {
                    return Ok(home);
                }
                let absent = || Failure::not_found("Organization");
                let found = organizations::by_slug(&*app.ports.database, slug).await?.ok_or_else(absent)?;
                let is_own = caller.home().is_none_or(|home| home == found.id);
                if is_own && found.slug != *slug { Err(Failure::moved(&found.slug)) } else { Ok(found.id) }
            }
        }
    }
}

impl Extract for Tenant {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        match Surface::of(&request.parts)?.tenant {
            TenantSource::Root => Ok(Self::Root),
            TenantSource::Credential => {
                let slug = request.parts.headers.get(ORGANIZATION_HEADER);
                let slug = slug.map(|slug| slug.to_str().unwrap_or_default().to_owned());
                Ok(slug.map_or(Self::OfCaller, Self::Named))
            }
            TenantSource::Path => {
                let mut params = path_params(request)?.into_iter();
                let slug = params.find(|(name, _)| name == ORGANIZATION_PARAM);
                Ok(slug.map_or(Self::OfCaller, |(_, slug)| Self::Named(slug)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use axum::body::Body;
    use axum::extract::Request;
    use axum::response::Response;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::http::kit::extract::PathParams;
    use crate::http::kit::handler::endpoint;
    use crate::http::kit::response::ok;

    /// Shows what the extractors say.
    async fn show(tenant: Tenant, PathParams([vendor, file]): PathParams<2>) -> Result<Response, Failure> {
        Ok(ok(&json!([format!("{tenant:?}"), vendor, file])))
    }

    async fn shown(surface: &'static Surface, path: &str, organization: Option<&str>) -> Value {
        let mut request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        if let Some(slug) = organization {
            request.headers_mut().insert(ORGANIZATION_HEADER, slug.parse().expect("a header"));
        }
        let response = surface.mounted().into_router().oneshot(request).await.expect("infallible");
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[tokio::test]
    async fn the_source_of_the_tenant_is_the_surfaces() {
        static IN_PATH: LazyLock<Surface> = LazyLock::new(|| Surface {
            undocumented: |router| router.route("/org/{organization}/p2/{vendor}/{file}", get(endpoint!(show))),
            ..Surface::for_tests()
        });
        static ROOT: LazyLock<Surface> = LazyLock::new(|| Surface {
            mount: "",
            tenant: TenantSource::Root,
            undocumented: |router| router.route("/p2/{vendor}/{file}", get(endpoint!(show))),
            ..Surface::for_tests()
        });
        static IN_CREDENTIAL: LazyLock<Surface> =
            LazyLock::new(|| Surface { tenant: TenantSource::Credential, ..*ROOT });
        let named = json!(["Named(\"other\")", "acme", "lib.json"]);
        assert_eq!(shown(&IN_PATH, "/org/other/p2/acme/lib.json", None).await, named);
        assert_eq!(shown(&IN_CREDENTIAL, "/p2/acme/lib.json", Some("other")).await, named);
        assert_eq!(shown(&IN_CREDENTIAL, "/p2/acme/lib.json", None).await, json!(["OfCaller", "acme", "lib.json"]));
        assert_eq!(shown(&ROOT, "/p2/acme/lib.json", Some("other")).await, json!(["Root", "acme", "lib.json"]));
    }
}
