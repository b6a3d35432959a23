//! Reading packages for people: lists, search, details.

use std::collections::HashMap;

use composer::{NormalizedVersion, Stability, newest_first, normalize_name};

use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::visible::{in_view, others_in_view, told};
use crate::store::Page;
use crate::store::kernel::organizations::ListedPackage;
use crate::store::packages::lists::{self, PackageFilter, PackageRow, Sort, SortKey};
use crate::store::packages::versions::{self, SlimVersion, TextRow, VersionRow};
use crate::store::packages::visible::{self, DependentRow, InView};

/// Most packages whose newest version requires another, of which those that a caller sees are shown.
const MAX_DEPENDENTS: i64 = 10_000;

/// A page of the packages that `view` sees, and how many there are in all.
pub async fn list(
    app: &App,
    view: &View,
    filter: PackageFilter<'_>,
    sort: Sort,
    page: Page,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    if sort.key == SortKey::Downloads {
        view.require_installs()?;
    }
    let database = &*app.ports.database;
    if view.sees_everything() {
        return Ok(database.ask(lists::page(view.organization(), filter, sort, page)).await?);
    }
    let told = told(view, &others_in_view(app, view).await?);
    Ok(database.ask(visible::page(view.organization(), filter, sort, page, &told)).await?)
}

/// A package, named by its public id or its name, with the versions of it that `view` sees, newest first.
///
/// # Errors
/// `NotFound` when there is no such package or none of its versions is visible.
pub async fn details(app: &App, view: &View, key: &str) -> Result<(PackageRow, Vec<VersionRow>), Failure> {
    let absent = || Failure::not_found("Package");
    // Both at once: what is not visible takes no other reads than what is not there.
    let reads = (lists::by_key(view.organization(), key), versions::of_package(view.organization(), key));
    let (package, versions) = app.ports.database.ask(reads).await?;
    let package = package.ok_or_else(absent)?;
    let scope = view.version_filter(&package.name);
    let versions: Vec<(NormalizedVersion, VersionRow)> = versions
        .into_iter()
        .map(|row| (NormalizedVersion::from_stored(row.normalized.clone()), row))
        .filter(|(version, row)| scope.sees(version, Some(row.released)))
        .collect();
    if versions.is_empty() {
        return Err(absent());
    }
    let package = if matches!(scope, VersionFilter::All) { package } else { in_part(app, view, package).await? };
    Ok((package, newest_first(versions)))
}

/// A package with those of its versions that a view sees, newest first.
pub struct VisiblePackage {
    /// The package.
    pub package: PackageRow,
    /// The versions.
    pub versions: Vec<SlimVersion>,
}

/// A package, named by its public id or its name, as `view` sees it.
///
/// # Errors
/// As [`details`].
pub async fn visible_package(app: &App, view: &View, key: &str) -> Result<VisiblePackage, Failure> {
    let reads = (lists::by_key(view.organization(), key), versions::slim(view.organization(), key));
    let (package, versions) = app.ports.database.ask(reads).await?;
    let absent = || Failure::not_found("Package");
    let package = package.ok_or_else(absent)?;
    let versions = sorted(view, &package.name, versions);
    if versions.is_empty() {
        return Err(absent());
    }
    Ok(VisiblePackage { package, versions })
}

fn sorted(view: &View, package: &str, rows: Vec<SlimVersion>) -> Vec<SlimVersion> {
    let scope = view.version_filter(package);
    let versions: Vec<(NormalizedVersion, SlimVersion)> = rows
        .into_iter()
        .map(|row| (NormalizedVersion::from_stored(row.normalized.clone()), row))
        .filter(|(version, row)| scope.sees(version, Some(row.released)))
        .collect();
    newest_first(versions)
}

impl VisiblePackage {
    /// The version that is written so, as people write it or as Composer compares it.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is not visible.
    pub fn version(&self, version: &str) -> Result<&SlimVersion, Failure> {
        let normalized = normalize_name(version).map(|normalized| normalized.as_str().to_owned()).unwrap_or_default();
        let exact = self.versions.iter().find(|known| known.pretty == version);
        let found = exact.or_else(|| self.versions.iter().find(|known| known.normalized == normalized));
        found.ok_or_else(|| Failure::not_found("Version"))
    }

    /// The version that is meant when nobody says one: the newest stable one, else the newest; a yanked one only when
    /// there is nothing else.
    pub fn latest(&self) -> Option<&SlimVersion> {
        let is_stable = |row: &&SlimVersion| {
            NormalizedVersion::from_stored(row.normalized.clone()).stability() == Stability::Stable
        };
        let live = || self.versions.iter().filter(|row| !row.yanked);
        live().find(is_stable).or_else(|| live().next()).or_else(|| self.versions.first())
    }
}

/// A page of a package's versions with their composer.json, newest first, and how many there are in all.
pub async fn version_page(app: &App, view: &View, key: &str, page: Page) -> Result<(Vec<VersionRow>, i64), Failure> {
    let seen = visible_package(app, view, key).await?;
    let (part, total) = page.of(seen.versions);
    let ids: Vec<i64> = part.iter().map(|row| row.id).collect();
    let rows = app.ports.database.ask(versions::by_ids(view.organization(), &ids)).await?;
    let mut by_id: HashMap<i64, VersionRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    Ok((ids.iter().filter_map(|id| by_id.remove(id)).collect(), total))
}

/// One version with its composer.json.
pub async fn version(app: &App, view: &View, key: &str, version: &str) -> Result<VersionRow, Failure> {
    let seen = visible_package(app, view, key).await?;
    let id = seen.version(version)?.id;
    let row = app.ports.database.ask(versions::by_ids(view.organization(), &[id])).await?.pop();
    row.ok_or_else(|| Failure::not_found("Version"))
}

/// A text that people read (`readme`, `changelog`), and the version that it belongs to; the latest if none is named.
pub async fn text(
    app: &App,
    view: &View,
    key: &str,
    version: Option<&str>,
    kind: &'static str,
) -> Result<(String, TextRow), Failure> {
    let seen = visible_package(app, view, key).await?;
    let absent = || Failure::not_found("Version");
    let version = match version {
        Some(version) => seen.version(version)?,
        None => seen.latest().ok_or_else(absent)?,
    };
    let text = app.ports.database.ask(versions::text(view.organization(), version.id, kind)).await?;
    let text = text.ok_or_else(|| {
        let message = format!("Version {} has no {kind} of at most 200 kB.", version.pretty);
        Failure::new(Kind::NotFound, message)
    })?;
    Ok((version.pretty.to_string(), text))
}

/// A page of the packages that `view` sees and whose newest visible version requires this one, and how many there are in all.
pub async fn dependents(app: &App, view: &View, key: &str, page: Page) -> Result<(Vec<DependentRow>, i64), Failure> {
    let name = visible_package(app, view, key).await?.package.name;
    let shown = told(view, &others_in_view(app, view).await?);
    let query = visible::dependents(view.organization(), &name, MAX_DEPENDENTS, &shown);
    Ok(page.of(app.ports.database.ask(query).await?))
}

/// A package as it is shown to a view that does not see all of it.
async fn in_part(app: &App, view: &View, package: PackageRow) -> Result<PackageRow, Failure> {
    let PackageRow { id, name, revision, .. } = package;
    let seen = in_view(app, view, vec![ListedPackage { id, name, revision, index_bytes: 0 }]).await?;
    let shown = InView { whole: "[]".to_owned(), ..told(view, &seen) };
    let (filter, one) = (PackageFilter::default(), Page { limit: 1, offset: 0 });
    let (mut rows, _) =
        app.ports.database.ask(visible::page(view.organization(), filter, Sort::default(), one, &shown)).await?;
    rows.pop().ok_or_else(|| Failure::not_found("Package"))
}
