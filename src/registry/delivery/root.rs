//! The packages of an organization as one caller sees them: `packages.json` and the `list`.
//!
//! `packages.json` tells by patterns which names composer is to ask for here, or tells nothing of names when that may be
//! any. The claimed vendors are among them for everybody, so that composer asks here, and is told that there is nothing.
//! Only where there is no pattern are the names of the organization's own packages listed: programs that read such a list
//! take it for complete. What there is by name is in the `list`, mirrored packages too.

use std::collections::BTreeSet;
use std::sync::Arc;

use composer::DocumentForm;
use serde_json::{Map, Value, json};

use crate::registry::access::view::{Fingerprint, View};
use crate::registry::delivery::claims;
use crate::registry::delivery::metadata::{Body, BodyCache, BodyKey, Source, ViewCacheEntry};
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::{BoundedCache, Cached};
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::memory::PublishedCache;
use crate::registry::kernel::pattern::matches_pattern;
use crate::registry::packages::documents::DOCUMENT_TTL;
use crate::registry::packages::visible::{PackageInView, in_view};
use crate::registry::security::feed::addresses;
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Announced, ListedPackage, Revisions};

/// Which listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisibleNamesKey {
    /// The organization.
    pub organization: OrganizationId,
    fingerprint: Fingerprint,
}

/// The package names that a view sees, and the revision that dates them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleNames {
    /// Unix seconds.
    pub revision: i64,
    /// Of the organization's own packages; sorted.
    pub names: Vec<String>,
    /// The filter lists that have entries.
    pub filter_lists: Vec<String>,
    /// Patterns of the other names that may be asked for; `None` is any name.
    pub patterns: Option<Vec<String>>,
    /// Whether the organization has upstreams, so that there may be mirrored packages.
    has_upstreams: bool,
}

/// Listings by organization and view.
type ListingCache = BoundedCache<VisibleNamesKey, Cached<Arc<VisibleNames>>>;

impl PublishedCache for ListingCache {
    fn invalidate(&mut self, organization: OrganizationId) {
        self.remove_all(|key| key.organization == organization);
    }
}

/// A pattern that matches no package: composer takes empty lists for "not given", and would then ask for every package of
/// the project, public ones too.
const NO_MATCH_PATTERN: &str = "rostrum/has-no-package-for-this-token";

impl VisibleNamesKey {
    fn of(view: &View) -> Self {
        Self { organization: view.organization(), fingerprint: view.fingerprint() }
    }
}

/// Where the names that `view` sees are found.
pub fn source_of_names(app: &App, view: &View) -> Source {
    let cached = app.memory.published_slot::<ListingCache>().lock().get(&VisibleNamesKey::of(view));
    Source::of(cached.is_some_and(|entry| entry.is_fresh(app.now(), DOCUMENT_TTL)))
}

/// The names that `view` sees.
pub async fn visible_names(app: &App, view: &View) -> Result<Arc<VisibleNames>, Failure> {
    let now = app.now();
    let key = VisibleNamesKey::of(view);
    let cached = app.memory.published_slot::<ListingCache>().lock().get(&key);
    if let Some(entry) = &cached
        && entry.is_fresh(now, DOCUMENT_TTL)
    {
        return Ok(entry.value.clone());
    }
    let goes_by_versions = view.leaves_versions_out();
    let date = |revisions: Revisions| if goes_by_versions { revisions.revision } else { revisions.names_revision };
    if let Some(entry) = &cached
        && let Some(revisions) = app.ports.database.ask_replica(organizations::revisions(view.organization())).await?
        // A replica that is behind what is known tells nothing new.
        && date(revisions) <= entry.value.revision
    {
        return Ok(cache_names(app, key, entry.value.clone()));
    }
    let (announced, packages) = organizations::listing(&*app.ports.database, view.organization(), view.ranges())
        .await?
        .ok_or_else(|| Failure::not_found("Organization"))?;
    let names = visible(app, view, packages).await?.collect();
    claims::note(app, view.organization(), announced.revisions.names_revision, &announced.claimed_vendors);
    let patterns = patterns(&announced, view);
    let (revision, has_upstreams) = (date(announced.revisions), !announced.upstreams.is_empty());
    let filter_lists = announced.filter_lists;
    Ok(cache_names(app, key, Arc::new(VisibleNames { revision, names, filter_lists, patterns, has_upstreams })))
}

/// The names of those packages that `view` sees.
async fn visible(
    app: &App,
    view: &View,
    packages: Vec<ListedPackage>,
) -> Result<impl Iterator<Item = String>, Failure> {
    let seen = in_view(app, view, packages).await?;
    Ok(seen.into_iter().filter(PackageInView::is_listed).map(|package| package.name))
}

/// The names in the list that `view` sees, mirrored packages too: those that match composer's `filter` (a glob) and
/// `vendor`, sorted.
pub async fn listed_names(
    app: &App,
    view: &View,
    filter: Option<&str>,
    vendor: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let listing = visible_names(app, view).await?;
    let mut names = listing.names.clone();
    if listing.has_upstreams {
        let mirrored = app.ports.database.ask(organizations::mirrored(view.organization(), view.ranges())).await?;
        names.extend(visible(app, view, mirrored).await?);
        names.sort_unstable();
        names.dedup();
    }
    let filter = filter.map(str::to_ascii_lowercase);
    let beginning = vendor.map(|vendor| format!("{}/", vendor.to_ascii_lowercase()));
    names.retain(|name| {
        filter.as_deref().is_none_or(|pattern| matches_pattern(pattern, name))
            && beginning.as_deref().is_none_or(|beginning| name.starts_with(beginning))
    });
    Ok(names)
}

/// The patterns of names that `view` may ask for besides those that are listed. Who does not see everything is shown
/// nothing but the patterns of its own grants, and the claimed vendors.
fn patterns(announced: &Announced, view: &View) -> Option<Vec<String>> {
    let upstreams = announced.upstreams.iter().flat_map(|names| names.clone().unwrap_or_else(|| vec!["*".to_owned()]));
    let reserved = announced.reserved_vendors.iter().map(|vendor| format!("{vendor}/*"));
    let mut open: BTreeSet<String> = upstreams.chain(reserved).collect();
    if !view.sees_everything() {
        let targets = view.targets().filter(|target| open.iter().any(|pattern| may_overlap(pattern, target)));
        open = targets.map(str::to_owned).collect();
    }
    if open.contains("*") {
        return None;
    }
    open.extend(announced.claimed_vendors.iter().map(|vendor| format!("{vendor}/*")));
    Some(open.into_iter().collect())
}

/// Whether there may be a name that matches both patterns.
fn may_overlap(one: &str, other: &str) -> bool {
    let beginning = |pattern: &str| pattern.split('*').next().unwrap_or_default().len();
    match (one.contains('*'), other.contains('*')) {
        (_, false) => matches_pattern(one, other),
        (false, true) => matches_pattern(other, one),
        (true, true) => {
            let length = beginning(one).min(beginning(other));
            one.as_bytes()[..length] == other.as_bytes()[..length]
        }
    }
}

fn cache_names(app: &App, key: VisibleNamesKey, listing: Arc<VisibleNames>) -> Arc<VisibleNames> {
    let texts = listing.names.iter().chain(listing.patterns.iter().flatten());
    let bytes = texts.map(|name| name.len() + size_of::<String>()).sum();
    app.memory.published_slot::<ListingCache>().lock().put(
        key,
        Cached { value: listing.clone(), cached_at: app.now() },
        bytes,
    );
    listing
}

/// `packages.json` as `view` sees it. All URLs in it are absolute: composer resolves the other forms differently from
/// version to version, and one of them writes credentials into lock files.
pub async fn root_document(app: &App, view: &View, base_url: &str) -> Result<Arc<Body>, Failure> {
    let listing = visible_names(app, view).await?;
    let key = BodyKey {
        organization: view.organization(),
        name: String::new(),
        part: None,
        form: DocumentForm::Minified,
        base_url: base_url.to_owned(),
        revision: listing.revision,
        fingerprint: view.fingerprint(),
    };
    if let Some(ViewCacheEntry::Body(body)) = app.memory.slot::<BodyCache>().lock().get(&key) {
        return Ok(body);
    }
    let mut root = json!({
        "packages": {},
        "metadata-url": format!("{base_url}/p2/%package%.json"),
        "notify-batch": format!("{base_url}/notify-batch"),
        "search": format!("{base_url}/search.json?q=%query%&type=%type%"),
        "list": format!("{base_url}/list.json"),
        "providers-api": format!("{base_url}/providers/%package%.json"),
    });
    root.as_object_mut().into_iter().for_each(|root| root.extend(addresses(base_url, &listing.filter_lists)));
    root.as_object_mut().into_iter().for_each(|root| root.extend(announcement(&listing)));
    let body = Arc::new(Body::new(root.to_string(), listing.revision, key.fingerprint));
    app.memory.slot::<BodyCache>().lock().put(key, ViewCacheEntry::Body(body.clone()), body.bytes.len());
    Ok(body)
}

/// What `packages.json` says of the names that may be asked for.
fn announcement(listing: &VisibleNames) -> Map<String, Value> {
    let Some(patterns) = &listing.patterns else { return Map::new() };
    let (key, value) = if !patterns.is_empty() {
        let is_covered = |name: &String| patterns.iter().any(|pattern| matches_pattern(pattern, name));
        let other_names = listing.names.iter().filter(|name| !is_covered(name));
        ("available-package-patterns", json!(patterns.iter().chain(other_names).collect::<Vec<_>>()))
    } else if listing.names.is_empty() {
        ("available-package-patterns", json!([NO_MATCH_PATTERN]))
    } else {
        ("available-packages", json!(listing.names))
    };
    Map::from_iter([(key.to_owned(), value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_when_a_name_may_match_both() {
        for (one, other, expected) in [
            ("acme/*", "acme/lib", true),
            ("acme/lib", "acme/*", true),
            ("acme/lib", "acme/library", false),
            ("acme/*", "acme/l*", true),
            ("*", "acme/*", true),
            ("*/lib", "acme/*", true),
            ("acme/*", "other/*", false),
            ("acme/a*", "acme/b*", false),
        ] {
            assert_eq!(may_overlap(one, other), expected, "{one} {other}");
            assert_eq!(may_overlap(other, one), expected, "{other} {one}");
        }
    }
}
