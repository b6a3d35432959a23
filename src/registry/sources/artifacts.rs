//! Zips as operators see them: which there are, which uploaded versions are old enough to go, and the removal of zips
//! that nobody needs.
//!
//! A zip that nobody needs is kept for [`UNREFERENCED_RETENTION`], so that a database that was restored finds what it needs.
//! Then it is removed in three steps: its row is *doomed*, its blob deleted, its row deleted. An upload announces its zip
//! before it stores it: it finds the row doomed and is refused, or makes it young, and a young zip is not doomed. So no
//! blob is deleted behind the back of somebody who has just stored it. An archive built from a commit has no such
//! announcement; it is built again when its blob is missing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use composer::{NormalizedVersion, newest_first};

use crate::ports::Millis;
use crate::registry::access::actor::Actor;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::pattern::matches_pattern;
use crate::registry::packages::manage_versions::delete_versions;
use crate::registry::sources::archive_store::blob_key;
use crate::store::Page;
use crate::store::kernel::name_range::NameRange;
use crate::store::packages::texts::delete_unreferenced_texts;
use crate::store::sources::artifacts::{
    self, ArtifactFilter, ArtifactRow, UploadedVersion, Use, delete_marked, mark_unreferenced, note_unreferenced,
    uploaded, uploaded_names,
};

/// Most rows that are looked through for one answer.
const MAX_SCANNED_ROWS: i64 = 10_000;
/// Most uploaded versions that one cleanup looks at.
const MAX_UPLOADED: i64 = 50_000;
/// Packages that one cleanup changes: each is rendered again.
pub const PACKAGES_PER_CLEANUP: usize = 10;

/// A page of the zips, the latest first, and how many there are in all. A view that does not see everything gets those
/// that a version which it sees needs, and no other version of them.
pub async fn list(
    app: &App,
    view: &View,
    filter: ArtifactFilter<'_>,
    page: Page,
) -> Result<(Vec<ArtifactRow>, i64), Failure> {
    let database = &*app.ports.database;
    if view.sees_everything() {
        return Ok(artifacts::page(database, view.organization(), filter, None, page).await?);
    }
    if matches!(filter, ArtifactFilter::Unused) {
        return Ok((Vec::new(), 0));
    }
    let sees = |used: &Use| {
        let version = NormalizedVersion::from_stored(used.normalized.clone());
        view.version_filter(&used.name).sees(&version, Some(used.released))
    };
    let visible = |mut row: ArtifactRow| {
        row.uses.retain(sees);
        (!row.uses.is_empty()).then_some(row)
    };
    let is_paged = view.other_ranges().is_none();
    let (ranges, part) = if is_paged {
        (view.whole_ranges(), page)
    } else {
        (view.ranges(), Page { limit: MAX_SCANNED_ROWS, offset: 0 })
    };
    let (rows, total) = artifacts::page(database, view.organization(), filter, Some(ranges), part).await?;
    let rows = rows.into_iter().filter_map(visible).collect();
    Ok(if is_paged { (rows, total) } else { page.of(rows) })
}

/// Which uploaded versions are to go.
#[derive(Debug, Clone)]
pub struct CleanupSpec {
    /// Whether nothing is removed, and only told.
    pub dry_run: bool,
    /// How many of a package's newest versions stay; 1 when only an age is given, so that no package vanishes.
    pub keep_versions: Option<usize>,
    /// Only versions that were uploaded longer ago.
    pub older_than_days: Option<u32>,
    /// Only packages that match; `*` stands for any characters.
    pub package: String,
}

/// What is removed.
#[derive(Debug, Clone, Default)]
pub struct Cleanup {
    /// The versions, package by package, newest first.
    pub versions: Vec<UploadedVersion>,
    /// Zips that nobody needs then.
    pub zips: usize,
    /// Their bytes.
    pub bytes: i64,
    /// Whether there is more to remove than one call does.
    pub more: bool,
}

/// Removes uploaded versions that `view` sees, or tells which it would remove.
pub async fn clean_up(app: &App, by: &Actor, spec: &CleanupSpec) -> Result<Cleanup, Failure> {
    let spec = &CleanupSpec { package: spec.package.to_ascii_lowercase(), ..spec.clone() };
    check(spec)?;
    let database = &*app.ports.database;
    let mut names = uploaded_names(database, by.organization(), &NameRange::of(&spec.package)).await?;
    names.retain(|name| matches_pattern(&spec.package, name));
    let rows = uploaded(database, by.organization(), &names, MAX_UPLOADED).await?;
    let looked_at_all = i64::try_from(rows.len()).is_ok_and(|count| count < MAX_UPLOADED);
    let Choice { chosen, kept } = choose(rows, &by.view, spec, app.now());
    let more = chosen.len() > PACKAGES_PER_CLEANUP || !looked_at_all;
    let mut cleanup = Cleanup { more, ..Cleanup::default() };
    for (name, versions) in chosen.into_iter().take(PACKAGES_PER_CLEANUP) {
        if !spec.dry_run {
            let normalized: Vec<&str> = versions.iter().map(|version| version.normalized.as_str()).collect();
            delete_versions(app, by, &name, &normalized).await?;
        }
        cleanup.versions.extend(versions);
    }
    let mut counted = HashSet::new();
    for version in &cleanup.versions {
        if !kept.contains(&version.sha256) && counted.insert(&version.sha256) {
            cleanup.zips += 1;
            cleanup.bytes += version.size;
        }
    }
    Ok(cleanup)
}

fn check(spec: &CleanupSpec) -> Result<(), Failure> {
    if spec.keep_versions.is_none() && spec.older_than_days.is_none() {
        let message = "Say how many versions of each package stay (`keep_versions`), or how old the ones that go are \
                     (`older_than_days`), or both.";
        return Err(Failure::new(Kind::Invalid, message));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-/*".contains(c);
    if spec.package.is_empty() || spec.package.len() > 255 || !spec.package.chars().all(allowed) {
        return Err(Failure::invalid_field("package", "must be a name, or a pattern like `acme/*`"));
    }
    Ok(())
}

/// What a cleanup decides.
#[derive(Default)]
struct Choice {
    /// The versions that go, package by package.
    chosen: BTreeMap<String, Vec<UploadedVersion>>,
    /// The zips of those that stay.
    kept: HashSet<String>,
}

fn choose(rows: Vec<UploadedVersion>, view: &View, spec: &CleanupSpec, now: Millis) -> Choice {
    let day = Duration::from_hours(24);
    let before = spec.older_than_days.map_or(now, |days| now.minus(day * days));
    let mut packages = BTreeMap::<String, Vec<(NormalizedVersion, UploadedVersion)>>::new();
    for row in rows {
        let version = NormalizedVersion::from_stored(row.normalized.clone());
        packages.entry(row.name.clone()).or_default().push((version, row));
    }
    let mut choice = Choice::default();
    for (name, versions) in packages {
        let scope = view.version_filter(&name);
        for (place, row) in newest_first(versions).into_iter().enumerate() {
            let version = NormalizedVersion::from_stored(row.normalized.clone());
            let is_old = row.released.at < before || spec.older_than_days.is_none();
            let goes = place >= spec.keep_versions.unwrap_or(1) && is_old;
            if goes && scope.sees(&version, Some(row.released)) {
                choice.chosen.entry(name.clone()).or_default().push(row);
            } else {
                choice.kept.insert(row.sha256);
            }
        }
    }
    choice
}

/// How old a zip that nobody needs has to be: longer than any upload takes from its announcement to its publication.
const GARBAGE_GRACE_PERIOD: Duration = Duration::from_hours(1);

/// How long a text is kept that no version has (yet): texts are stored ahead of the versions that a sync publishes.
const TEXT_GRACE_PERIOD: Duration = Duration::from_hours(24);

/// How long a zip is kept that nobody needs: D1 can be restored to any moment of the last 30 days, and what was needed then
/// has to be there again. Texts are in the database itself.
pub const UNREFERENCED_RETENTION: Duration = Duration::from_hours(24 * 30);

/// Removes zips and texts that nobody needs any more. Says how many zips.
pub async fn collect_garbage(app: &App) -> Result<usize, Failure> {
    let now = app.now();
    let before = now.minus(GARBAGE_GRACE_PERIOD);
    let batch = (
        note_unreferenced(before, now),
        mark_unreferenced(now.minus(UNREFERENCED_RETENTION), before, now),
        delete_unreferenced_texts(now.minus(TEXT_GRACE_PERIOD)),
    );
    let ((), doomed, ()) = app.ports.database.ask(batch).await?;
    if doomed.is_empty() {
        return Ok(0);
    }
    let sha256s: Vec<String> = doomed.into_iter().map(|row| row.sha256).collect();
    app.ports.blobs.delete(sha256s.iter().map(|sha256| blob_key(sha256)).collect()).await?;
    app.ports.database.ask(delete_marked(&sha256s)).await?;
    log::info!("{} zips that nobody needs were removed", sha256s.len());
    Ok(sha256s.len())
}
