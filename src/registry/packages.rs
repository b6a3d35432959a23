//! Reading packages for people: lists, search, details.

use std::cmp::Ordering;

use crate::composer::{NormalizedVersion, Stability, sort_order};
use crate::registry::App;
use crate::registry::access::{Scope, View};
use crate::registry::failure::Failure;
use crate::store::Page;
use crate::store::packages::{self, PackageFilter, PackageRow, VersionRow};

/// Most packages that are looked through for a caller who does not see all of them.
const MAX_LOOKED_THROUGH: i64 = 10_000;

/// A page of the packages that `view` sees, by name, and how many there are in all.
pub async fn list(
    app: &App,
    organization_id: i64,
    view: &View,
    filter: PackageFilter<'_>,
    page: Page,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    let database = &*app.ports.database;
    if view.sees_everything() {
        return Ok(packages::page(database, organization_id, filter, page).await?);
    }
    let all = Page { limit: MAX_LOOKED_THROUGH, offset: 0 };
    let (rows, _) = packages::page(database, organization_id, filter, all).await?;
    Ok(page.of(rows.into_iter().filter_map(|row| as_seen(row, view)).collect()))
}

/// A package with the versions of it that `view` sees, newest first.
///
/// # Errors
/// `NotFound` when there is no such package or none of its versions is visible.
pub async fn details(
    app: &App,
    organization_id: i64,
    view: &View,
    uid: &str,
) -> Result<(PackageRow, Vec<VersionRow>), Failure> {
    let database = &*app.ports.database;
    let absent = || Failure::not_found("Package");
    let package = packages::by_uid(database, organization_id, uid).await?.ok_or_else(absent)?;
    let scope = view.scope(&package.name);
    let mut versions: Vec<(NormalizedVersion, VersionRow)> = packages::versions(database, package.id)
        .await?
        .into_iter()
        .map(|row| (NormalizedVersion::from_stored(row.normalized.clone()), row))
        .filter(|(version, row)| scope.sees(version, Some(row.released_at)))
        .collect();
    if versions.is_empty() {
        return Err(absent());
    }
    versions.sort_by(|(a, _), (b, _)| newest_first(a, b));
    let package = as_seen(package, view).ok_or_else(absent)?;
    Ok((package, versions.into_iter().map(|(_, row)| row).collect()))
}

/// A package with nothing in it that `view` does not see; `None` when that leaves nothing.
fn as_seen(mut row: PackageRow, view: &View) -> Option<PackageRow> {
    let scope = view.scope(&row.name);
    if matches!(scope, Scope::All) {
        return Some(row);
    }
    let mut versions = scope.seen_in(&row.version_index);
    versions.sort_by(|(a, _), (b, _)| newest_first(a, b));
    let stable = versions.iter().find(|(version, _)| version.stability() == Stability::Stable);
    let (_, latest) = stable.or(versions.first())?;
    row.latest_version = Some(latest.clone());
    Some(row)
}

fn newest_first(a: &NormalizedVersion, b: &NormalizedVersion) -> Ordering {
    sort_order(b, a).then_with(|| a.as_str().cmp(b.as_str()))
}
