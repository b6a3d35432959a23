//! Vendors whose names are all here, as far as composer is told: whatever it asks for of them it is told is here, if only
//! without versions, so that it looks for none of them elsewhere. Somebody might have published a package of that name,
//! to be installed by those who may not see ours (any more).
//!
//! Claimed are the vendors of packages of our own, and the reserved ones, for whoever has a valid credential, unless the
//! setting `claim_vendors` is off. It goes by the vendor alone: what is claimed tells nobody which names exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::{BoundedCache, Cached};
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::memory::PublishedCache;
use crate::registry::packages::documents::DOCUMENT_TTL;
use crate::store::OrganizationId;
use crate::store::kernel::organizations;

/// The vendors that an organization claims.
#[derive(Debug)]
struct ClaimedVendors {
    /// Unix seconds.
    names_revision: i64,
    vendors: BTreeSet<String>,
}

/// What each organization claims: one entry for all of its names, so that how long an answer takes does not tell which
/// names others have asked for.
type ClaimCache = BoundedCache<OrganizationId, Cached<Arc<ClaimedVendors>>>;

impl PublishedCache for ClaimCache {
    fn invalidate(&mut self, organization: OrganizationId) {
        self.remove(&organization);
    }
}

/// Whether `organization` claims every name of `vendor`.
pub async fn is_claimed(app: &App, organization: OrganizationId, vendor: &str) -> Result<bool, Failure> {
    let cached = app.memory.published_slot::<ClaimCache>().lock().get(&organization);
    if let Some(entry) = &cached
        && entry.is_fresh(app.now(), DOCUMENT_TTL)
    {
        return Ok(entry.value.vendors.contains(vendor));
    }
    let known = cached.map(|entry| entry.value);
    let known_revision = known.as_ref().map(|known| known.names_revision);
    let read = app.ports.database.ask(organizations::claimed_vendors(organization, known_revision)).await?;
    let read = read.ok_or_else(|| Failure::not_found("Organization"))?;
    let claimed = match (read.vendors, known) {
        (None, Some(known)) => known,
        (vendors, _) => {
            let vendors = vendors.into_iter().flatten().collect();
            Arc::new(ClaimedVendors { names_revision: read.names_revision, vendors })
        }
    };
    let is_claimed = claimed.vendors.contains(vendor);
    cache(app, organization, claimed);
    Ok(is_claimed)
}

/// Takes note of what an organization claims, as it was read together with something else.
pub fn note(app: &App, organization: OrganizationId, names_revision: i64, vendors: &[String]) {
    cache(app, organization, Arc::new(ClaimedVendors { names_revision, vendors: vendors.iter().cloned().collect() }));
}

fn cache(app: &App, organization: OrganizationId, claimed: Arc<ClaimedVendors>) {
    let bytes = claimed.vendors.iter().map(|vendor| vendor.len() + size_of::<String>()).sum();
    let entry = Cached { value: claimed, cached_at: app.now() };
    app.memory.published_slot::<ClaimCache>().lock().put(organization, entry, bytes);
}
