//! Which packages a view sees, and what of each: for lists and search.
//!
//! Which versions are visible is [`VersionFilter::sees`]'s to say. It is found out once for each revision of a package and
//! each set of grants on it, and remembered; who sees a package whole costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use composer::{NormalizedVersion, newest_first};
use serde_json::json;

use crate::registry::access::view::{Fingerprint, VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::batches::{BatchLimits, batches};
use crate::registry::kernel::cache::BoundedCache;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::render::Standing;
use crate::store::MAX_ARGUMENT_BYTES;
use crate::store::access::released::Released;
use crate::store::kernel::organizations::ListedPackage;
use crate::store::packages::visible::{CandidateVersion, InView, PackageEntry, named_in, versions_of};

/// Most packages that are looked through for who does not see them whole: some 100 bytes each, a megabyte.
const MAX_CANDIDATES: i64 = 10_000;
/// Bytes of version indexes whose versions one statement reads, besides one package however large; they take some four times
/// as much while they are read.
const MAX_INDEX_BYTES: usize = 1 << 20;
/// Packages whose versions one statement reads.
const MAX_PACKAGES: usize = 1_000;

/// A package that a view sees.
#[derive(Debug, Clone)]
pub struct PackageInView {
    /// Primary key.
    pub id: i64,
    /// `vendor/package`.
    pub name: String,
    /// What is visible of it; `None` is all.
    pub part: Option<Arc<VisiblePart>>,
}

impl PackageInView {
    /// Whether lists show it.
    pub fn is_listed(&self) -> bool {
        self.part.as_ref().is_none_or(|part| part.is_listed)
    }
}

/// What is visible of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisiblePart {
    /// Primary key of the version that speaks for it.
    pub spokesman: i64,
    /// Whether lists show it: not all that is visible is yanked.
    pub is_listed: bool,
    /// Primary keys of the visible versions, from the first to the last; none of the package that is not visible lies between.
    pub ranges: Vec<(i64, i64)>,
}

/// A revision of a package, by its primary key, and the grants on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PartKey {
    package_id: i64,
    revision: i64,
    fingerprint: Fingerprint,
}

/// What is visible; `None` is nothing. It goes by the revision, so that nothing has to invalidate it.
type PartCache = BoundedCache<PartKey, Option<Arc<VisiblePart>>>;

/// Those of some packages that `view` sees, by name.
pub async fn in_view(app: &App, view: &View, packages: Vec<ListedPackage>) -> Result<Vec<PackageInView>, Failure> {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    {
        let parts = app.memory.slot::<PartCache>();
        let mut parts = parts.lock();
        for package in packages {
            let filter = view.version_filter(&package.name);
            match filter {
                VersionFilter::Nothing => {}
                VersionFilter::All => found.push(PackageInView { id: package.id, name: package.name, part: None }),
                VersionFilter::Some(..) => match parts.get(&key(&package, &filter)) {
                    Some(Some(part)) => {
                        found.push(PackageInView { id: package.id, name: package.name, part: Some(part) });
                    }
                    Some(None) => {}
                    None => unknown.push(package),
                },
            }
        }
    }
    let limits = BatchLimits { bytes: MAX_INDEX_BYTES, items: MAX_PACKAGES };
    for some in batches(unknown, limits, |package| package.index_bytes) {
        find_out(app, view, some, &mut found).await?;
    }
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn key(package: &ListedPackage, filter: &VersionFilter<'_>) -> PartKey {
    PartKey { package_id: package.id, revision: package.revision, fingerprint: filter.fingerprint() }
}

/// Reads the versions of some packages, and remembers which of them `view` sees.
async fn find_out(
    app: &App,
    view: &View,
    packages: Vec<ListedPackage>,
    found: &mut Vec<PackageInView>,
) -> Result<(), Failure> {
    let ids: Vec<i64> = packages.iter().map(|package| package.id).collect();
    let rows = app.ports.database.ask(versions_of(view.organization(), json!(ids).to_string())).await?;
    let parts = app.memory.slot::<PartCache>();
    let mut parts = parts.lock();
    let versions: HashMap<i64, Vec<CandidateVersion>> =
        rows.into_iter().map(|row| (row.package_id, row.versions)).collect();
    for package in packages {
        let Some(versions) = versions.get(&package.id) else { continue };
        let filter = view.version_filter(&package.name);
        let part = visible_part(&filter, versions).map(Arc::new);
        let bytes = size_of::<VisiblePart>() + part.iter().map(|part| size_of_val(&*part.ranges)).sum::<usize>();
        parts.put(key(&package, &filter), part.clone(), bytes);
        if let Some(part) = part {
            found.push(PackageInView { id: package.id, name: package.name, part: Some(part) });
        }
    }
    Ok(())
}

/// What `filter` lets through of a package; `None` is nothing.
fn visible_part(filter: &VersionFilter<'_>, versions: &[CandidateVersion]) -> Option<VisiblePart> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    let mut visible = Vec::new();
    let mut is_open = false;
    for version in versions {
        let normalized = version.normalized.clone().map(NormalizedVersion::from_stored);
        let released = Released { at: version.released_at, security_fix: version.is_security_fix };
        let seen = normalized.filter(|normalized| filter.sees(normalized, Some(released)));
        let Some(normalized) = seen else {
            is_open = false;
            continue;
        };
        visible.push((normalized, version));
        match ranges.last_mut().filter(|_| is_open) {
            Some((_, last)) => *last = version.id,
            None => ranges.push((version.id, version.id)),
        }
        is_open = true;
    }
    let newest: Vec<(NormalizedVersion, &CandidateVersion)> = newest_first(
        visible.into_iter().map(|(normalized, version)| (normalized.clone(), (normalized, version))).collect(),
    );
    let mut spokesman = None;
    for (normalized, version) in newest {
        let standing = (!version.is_yanked, Standing::of(&normalized, version.is_default_branch));
        if spokesman.is_none_or(|(best, _)| best < standing) {
            spokesman = Some((standing, version.id));
        }
    }
    let ((is_listed, _), spokesman) = spokesman?;
    Some(VisiblePart { spokesman, is_listed, ranges })
}

/// The packages in a view, as the database is told them. `others` are those that are not in [`View::whole_ranges`].
pub fn told(view: &View, others: &[PackageInView]) -> InView {
    let mut list = String::from("[");
    for package in others {
        let entry = match &package.part {
            None => PackageEntry(package.id, None, &[]),
            Some(part) => PackageEntry(package.id, Some(part.spokesman), &part.ranges),
        };
        let entry = json!(entry).to_string();
        if list.len() + entry.len() > MAX_ARGUMENT_BYTES {
            log::warn!("a list leaves packages out: what is visible of them does not fit one argument");
            break;
        }
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&entry);
    }
    list.push(']');
    InView { whole: view.whole_ranges(), others: list }
}

/// The packages that `view` sees and that [`View::whole_ranges`] do not tell of, less those whose visible versions are all
/// yanked.
pub async fn others_in_view(app: &App, view: &View) -> Result<Vec<PackageInView>, Failure> {
    let Some(ranges) = view.other_ranges() else { return Ok(Vec::new()) };
    let candidates = named_in(view.organization(), ranges, MAX_CANDIDATES);
    let mut found = in_view(app, view, app.ports.database.ask(candidates).await?).await?;
    found.retain(PackageInView::is_listed);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Millis;
    use crate::store::OrganizationId;

    #[test]
    fn what_is_told_of_packages_fits_one_argument() {
        let view = View::new(OrganizationId::ROOT, &[], Millis(0));
        let ranges: Vec<(i64, i64)> = (0..40_000).map(|number| (100_000 + number, 100_000 + number)).collect();
        let part = Arc::new(VisiblePart { spokesman: 100_000, is_listed: true, ranges });
        let package = |id| PackageInView { id, name: format!("acme/p{id}"), part: Some(part.clone()) };
        let told = told(&view, &[package(1), package(2)]).others;
        assert!(told.len() <= MAX_ARGUMENT_BYTES, "{} bytes", told.len());
        let entries: Vec<serde_json::Value> = serde_json::from_str(&told).expect("JSON");
        assert_eq!(entries.len(), 1);
    }
}
