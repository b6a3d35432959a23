//! What a consumer sees, and what a shop tells it to do with composer: what its permissions let be installed now, and why the
//! others let nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::Millis;
use crate::registry::access::grant::{Grant, read_grants};
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::offers::{Offer, Reason, read_offers};
use crate::registry::storefront::{consumer_tokens, entitlements};
use crate::store::Page;
use crate::store::access::tokens::GrantRow;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort};
use crate::store::storefront::entitlements::PermissionRow;

/// Most packages that are named to a consumer with a pattern.
const MAX_LISTED: Page = Page { limit: 1000, offset: 0 };

/// The permissions of a consumer that are theirs who ask, each with its grant.
struct Permissions(Vec<(PermissionRow, Arc<Grant>)>);

impl Permissions {
    async fn read(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<Self, Failure> {
        let rows = entitlements::list(app, issuer, consumer_id).await?;
        let grants = read_grants(rows.iter().map(|row| row.entitlement.grant.clone()).collect(), |_| None)?;
        Ok(Self(rows.into_iter().zip(grants).collect()))
    }

    /// What a consumer sees by them.
    fn view(&self, app: &App, issuer: &Issuer) -> View {
        let grants: Vec<Arc<Grant>> = self.0.iter().map(|(_, grant)| grant.clone()).collect();
        View::new(issuer.organization(), &grants, app.now())
    }
}

/// A page of the packages of which a consumer sees a version, by name, and how many there are in all.
pub async fn visible(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    page: Page,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    let view = Permissions::read(app, issuer, consumer_id).await?.view(app, issuer);
    read::list(app, &view, PackageFilter::default(), Sort::default(), page).await
}

/// What a consumer is told to do.
pub struct Instructions {
    /// The consumer.
    pub consumer: ShownConsumer,
    /// Package → constraint, of what it can install now.
    pub require: BTreeMap<String, String>,
    /// The permissions that let nothing be installed now.
    pub unavailable: Vec<Unavailable>,
}

/// A permission that lets nothing be installed now.
pub struct Unavailable {
    /// The package's name, or a pattern of names.
    pub package: String,
    /// Which versions it is for.
    pub version: String,
    /// Why.
    pub reason: Reason,
}

/// Says what a consumer can do: the credential that is asked about is its key pair, or the token with the public id `token`.
pub async fn instructions(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    token: Option<&str>,
) -> Result<Instructions, Failure> {
    if let Some(token) = token {
        consumer_tokens::require(app, issuer, consumer_id, token).await?;
    }
    let consumer = coverage::get(app, issuer, consumer_id).await?;
    let permissions = Permissions::read(app, issuer, consumer_id).await?;
    let view = permissions.view(app, issuer);
    let (seen, _) = read::list(app, &view, PackageFilter::default(), Sort::default(), MAX_LISTED).await?;
    let targets = permissions.0.iter().map(|(row, _)| row.entitlement.grant.target.as_str());
    let packages = targets.filter(|target| !target.contains('*')).chain(seen.iter().map(|row| row.name.as_str()));
    let offers = read_offers(app, issuer.organization(), packages.collect()).await?;
    let is_enabled = consumer.row.is_enabled;
    let require = if is_enabled { permissions.require(&offers, app.now()) } else { BTreeMap::new() };
    let unavailable = permissions.unavailable(&offers, is_enabled, app.now());
    Ok(Instructions { consumer, require, unavailable })
}

impl Permissions {
    /// What can be installed, each package with one constraint: whatever one of the permissions for it allows.
    fn require(&self, offers: &[Offer], now: Millis) -> BTreeMap<String, String> {
        let mut require = BTreeMap::new();
        for offer in offers {
            let live = || {
                self.0.iter().filter(move |(row, grant)| {
                    grant.concerns(&offer.name) && row.entitlement.grant.expires_at.is_none_or(|end| now < end)
                })
            };
            let Some(stability) = live().filter_map(|(_, grant)| offer.stability(grant, now)).max() else { continue };
            let mut parts: Vec<&str> = Vec::new();
            for (row, _) in live() {
                let part = row.entitlement.grant.version_constraint.as_str();
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            let constraint = if parts.contains(&"*") { "*".to_owned() } else { parts.join(" || ") };
            require.insert(offer.name.clone(), stability.required(&constraint));
        }
        require
    }

    fn unavailable(&self, offers: &[Offer], is_enabled: bool, now: Millis) -> Vec<Unavailable> {
        let mut unavailable = Vec::new();
        for (row, grant) in &self.0 {
            let mut concerned = offers.iter().filter(|offer| grant.concerns(&offer.name));
            let reason = if !is_enabled {
                Reason::ConsumerDisabled
            } else if concerned.clone().any(|offer| offer.stability(grant, now).is_some()) {
                continue;
            } else if let Some(end) = row.entitlement.grant.expires_at.filter(|end| *end <= now) {
                Reason::Ended(end)
            } else if row.entitlement.grant.target.contains('*') {
                Reason::NoPackage
            } else {
                concerned.next().map_or(Reason::NoPackage, |offer| offer.reason(grant, now))
            };
            let GrantRow { target, version_constraint, .. } = &row.entitlement.grant;
            unavailable.push(Unavailable { package: target.clone(), version: version_constraint.clone(), reason });
        }
        unavailable
    }
}
