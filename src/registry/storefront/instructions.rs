//! What a consumer sees, and what a shop tells it to do with composer.

use std::collections::BTreeMap;

use crate::registry::access::grant::read_grants;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::entitlements;
use crate::store::Page;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort};

/// Most packages that are named to a consumer with a pattern.
const MAX_LISTED: Page = Page { limit: 1000, offset: 0 };

/// What a consumer sees by the permissions that are theirs who ask.
async fn view_of(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<View, Failure> {
    let rows = entitlements::list(app, issuer, consumer_id).await?;
    let grants = read_grants(rows.into_iter().map(|row| row.entitlement.grant).collect(), |_| None)?;
    Ok(View::new(issuer.organization(), &grants, app.now()))
}

/// A page of the packages of which a consumer sees a version, by name, and how many there are in all.
pub async fn visible(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    page: Page,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    let view = view_of(app, issuer, consumer_id).await?;
    read::list(app, &view, PackageFilter::default(), Sort::default(), page).await
}

/// The packages that a consumer is entitled to.
pub struct EntitledPackages {
    /// The consumer.
    pub consumer: ShownConsumer,
    /// Package → constraint.
    pub require: BTreeMap<String, String>,
}

/// A consumer, and what it may require: the packages that its permissions name, and those that it sees by a pattern.
pub async fn entitled_packages(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<EntitledPackages, Failure> {
    let consumer = coverage::get(app, issuer, consumer_id).await?;
    let view = view_of(app, issuer, consumer_id).await?;
    let filter = PackageFilter::default();
    let (seen, _) = read::list(app, &view, filter, Sort::default(), MAX_LISTED).await?;
    let by_name = view.targets().filter(|target| !target.contains('*')).map(str::to_owned);
    let packages = by_name.chain(seen.into_iter().map(|row| row.name));
    let require = packages.map(|name| {
        let limit = view.constraint(&name);
        (name, limit)
    });
    Ok(EntitledPackages { consumer, require: require.collect() })
}
