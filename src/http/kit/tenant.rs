//! The organization that a request is about.
//!
//! The root Composer surface is the root organization's, whoever asks. Below `/api`, a request acts in the organization of
//! its credential; `ADMIN_TOKEN`, which belongs to all of them, acts in the root organization unless the header
//! `X-Rostrum-Organization` names another one by its slug. Nobody else names the root organization.

use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::surface::Surface;
use crate::registry::access::caller::Caller;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::kernel::organizations;

/// The header by which a caller names the organization to act in.
pub const ORGANIZATION: &str = "x-rostrum-organization";

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

    /// The organization that `caller` acts in; whether it is the caller's is [`Caller::view_of`]'s to say.
    ///
    /// # Errors
    /// [`crate::registry::kernel::failure::Kind::NotFound`] when there is none of that slug, in the words for a stranger's.
    pub async fn of(&self, app: &App, caller: &Caller) -> Result<OrganizationId, Failure> {
        match self {
            Self::Root => Ok(OrganizationId::ROOT),
            Self::OfCaller => Ok(caller.home().unwrap_or(OrganizationId::ROOT)),
            Self::Named(slug) => {
                let found = organizations::by_slug(&*app.ports.database, slug).await?;
                found.ok_or_else(|| Failure::not_found("Organization"))
            }
        }
    }
}

impl Extract for Tenant {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let parts = &request.parts;
        match parts.extensions.get::<Surface>() {
            Some(Surface::Composer) => Ok(Self::Root),
            Some(Surface::Management) => {
                let named = parts.headers.get(ORGANIZATION).map(|slug| slug.to_str().unwrap_or_default().to_owned());
                Ok(named.map_or(Self::OfCaller, Self::Named))
            }
            None => Err(Failure::unwired()),
        }
    }
}
