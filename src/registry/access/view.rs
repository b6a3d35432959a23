//! The one decision who may see which version. Metadata, downloads, lists, search and REST reads all ask here, and
//! nobody else decides.
//!
//! A caller holds grants. A grant names packages, and limits their versions by a Composer constraint, by the day up to
//! which updates were paid for, and by a minimum stability. A version is visible when one grant that is in force
//! covers it; a package is visible when one of its versions is. What is not visible does not exist.

use std::sync::Arc;

use composer::{DocumentForm, NormalizedVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ports::Millis;
use crate::registry::access::grant::{Grant, GrantTarget, first_bytes};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::OrganizationId;
use crate::store::access::past_grants::GrantHolder;
use crate::store::access::released::Released;

/// Identifies what a set of grants lets through, by the grants or by the versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fingerprint {
    /// Everything is let through.
    #[default]
    Everything,
    /// What has this digest.
    Digest(u64),
}

/// Ten years: views that differ share a `Last-Modified` once in 300 million pairs.
const VIEW_OFFSET_RANGE: u64 = 10 * 365 * 24 * 3600;

impl Fingerprint {
    fn of<'g>(grants: impl IntoIterator<Item = &'g Arc<Grant>>) -> Self {
        let mut digests: Vec<[u8; 8]> = grants.into_iter().map(|grant| grant.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        Self::from_digest(Sha256::digest(digests.concat()).as_slice())
    }

    /// The fingerprint of whatever has this digest.
    pub fn from_digest(digest: &[u8]) -> Self {
        Self::Digest(u64::from_be_bytes(first_bytes(digest)))
    }

    /// By how many seconds a view's `Last-Modified` lies before the revision: composer compares dates for equality
    /// and shares one cache between tokens, so another view must have another date.
    pub fn seconds(self) -> i64 {
        i64::try_from(self.number() % VIEW_OFFSET_RANGE).unwrap_or(0)
    }

    /// The fingerprint of a document in one of its forms: who asks for one must not be told that it is the other, which
    /// a cache on the way may have got at the same address.
    #[must_use]
    pub fn in_form(self, form: DocumentForm) -> Self {
        match form {
            DocumentForm::Minified => self,
            DocumentForm::KeyedByVersion => {
                Self::from_digest(&Sha256::digest([&self.number().to_be_bytes()[..], b"keyed"].concat()))
            }
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Everything => 0,
            Self::Digest(digest) => digest,
        }
    }
}

/// What a caller sees of one organization at one moment: its grants that are in force. Whoever reads for somebody reads
/// through a view, so that nothing is read of another organization.
#[derive(Debug, Clone)]
pub struct View {
    organization: OrganizationId,
    pub(super) grants: Vec<Arc<Grant>>,
    /// What has ended by time.
    pub(super) ended: Vec<Arc<Grant>>,
    holder: Option<GrantHolder>,
    fingerprint: Fingerprint,
    /// When the first of its grants ends.
    ends_at: Option<Millis>,
    shows_source: bool,
}

/// One version in a package's stored index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "IndexEntry", into = "IndexEntry")]
pub struct IndexedVersion {
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    pub released: Released,
    /// What people read.
    pub pretty: String,
}

/// As it is stored: `[normalized, released_at, pretty]`, and behind them a 1 when it is a security fix.
#[derive(Clone, Serialize, Deserialize)]
struct IndexEntry(String, Millis, String, #[serde(default, skip_serializing_if = "is_zero")] u8);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl From<IndexEntry> for IndexedVersion {
    fn from(IndexEntry(normalized, at, pretty, security_fix): IndexEntry) -> Self {
        Self { normalized, released: Released { at, security_fix: security_fix != 0 }, pretty }
    }
}

impl From<IndexedVersion> for IndexEntry {
    fn from(IndexedVersion { normalized, released, pretty }: IndexedVersion) -> Self {
        Self(normalized, released.at, pretty, u8::from(released.security_fix))
    }
}

/// Reads a package's stored index; one that it does not have, or that cannot be read, holds no version.
pub fn read_index(index: Option<&str>) -> Vec<IndexedVersion> {
    index.and_then(|index| serde_json::from_str(index).ok()).unwrap_or_default()
}

/// What a view lets through of one package.
pub enum VersionFilter<'v> {
    /// Nothing of it.
    Nothing,
    /// Whatever one of these grants covers.
    Some(LimitedVersions<'v>, Fingerprint),
    /// All of it.
    All,
}

/// The grants of one package, those with the same constraint together: a version is compared with each constraint once.
pub struct LimitedVersions<'v>(Vec<Vec<&'v Arc<Grant>>>);

impl<'v> LimitedVersions<'v> {
    fn of(mut grants: Vec<&'v Arc<Grant>>) -> Self {
        let constraint = |grant: &&Arc<Grant>| Arc::as_ptr(&grant.versions);
        grants.sort_by_key(constraint);
        Self(grants.chunk_by(|one, other| constraint(one) == constraint(other)).map(<[_]>::to_vec).collect())
    }

    fn see(&self, version: &NormalizedVersion, released: Option<Released>) -> bool {
        self.0.iter().any(|grants| {
            grants.iter().any(|grant| grant.covers_but_for_the_constraint(version, released))
                && grants.first().is_some_and(|grant| grant.versions.matches(version))
        })
    }
}

impl VersionFilter<'_> {
    /// The decision: whether a version, released when, is visible.
    pub fn sees(&self, version: &NormalizedVersion, released: Option<Released>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(grants, _) => grants.see(version, released),
            Self::All => true,
        }
    }

    /// Whether any of a package's versions is visible; `index` is its stored list of [`IndexedVersion`]s, if it has any.
    pub fn sees_any_in_index(&self, index: Option<&str>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Some(..) => self.index_entries(index).next().is_some(),
        }
    }

    /// The versions of a stored index that are visible.
    pub fn visible_in_index(&self, index: Option<&str>) -> Vec<(NormalizedVersion, String)> {
        self.index_entries(index).collect()
    }

    fn index_entries(&self, index: Option<&str>) -> impl Iterator<Item = (NormalizedVersion, String)> {
        read_index(index).into_iter().filter_map(|IndexedVersion { normalized, released, pretty }| {
            let version = NormalizedVersion::from_stored(normalized);
            self.sees(&version, Some(released)).then_some((version, pretty))
        })
    }

    /// Identifies what is let through of this package.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Some(_, fingerprint) => *fingerprint,
            Self::Nothing | Self::All => Fingerprint::Everything,
        }
    }
}

impl View {
    /// The view that `grants` give of `organization` at `now`.
    pub fn new(organization: OrganizationId, grants: &[Arc<Grant>], now: Millis) -> Self {
        let (grants, ended): (Vec<Arc<Grant>>, Vec<Arc<Grant>>) =
            grants.iter().cloned().partition(|grant| grant.expires_at.is_none_or(|end| now < end));
        let unlimited = grants.iter().any(|grant| grant.target == GrantTarget::Everything && grant.is_unlimited());
        let fingerprint = if unlimited { Fingerprint::Everything } else { Fingerprint::of(&grants) };
        let ends_at = grants.iter().filter_map(|grant| grant.expires_at).min();
        Self { organization, grants, ended, holder: None, fingerprint, ends_at, shows_source: true }
    }

    /// The view of somebody who sees nothing of `organization`: who has not signed in.
    pub fn of_nothing(organization: OrganizationId) -> Self {
        Self::new(organization, &[], Millis(0))
    }

    /// The same of somebody whose grants may be taken back.
    #[must_use]
    pub fn held_by(self, holder: GrantHolder) -> Self {
        Self { holder: Some(holder), ..self }
    }

    /// Whose the grants are; `None` when nobody can take them back.
    pub fn holder(&self) -> Option<GrantHolder> {
        self.holder
    }

    /// The organization that is seen.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The same for a customer, who is not told where the sources are.
    #[must_use]
    pub fn without_source(self) -> Self {
        Self { shows_source: false, ..self }
    }

    /// Whether a package of which it lets `filter` through is shown as it is stored.
    pub fn shows_whole(&self, filter: &VersionFilter<'_>) -> bool {
        matches!(filter, VersionFilter::All) && self.shows_source
    }

    /// Whether it shows where a version's sources are: the address of a git repository.
    pub fn shows_source(&self) -> bool {
        self.shows_source
    }

    /// Whether it is told how often others installed something; customers are not.
    pub fn shows_installs(&self) -> bool {
        self.shows_source
    }

    /// Refuses who is not told how often others installed something.
    pub fn require_installs(&self) -> Result<(), Failure> {
        if self.shows_installs() {
            return Ok(());
        }
        let detail = "Customers are not told how often packages are installed. Only tokens from /api/tokens are.";
        Err(Failure::new(Kind::Forbidden, detail))
    }

    /// Identifies what has this fingerprint, as this view shows it.
    pub fn body_fingerprint(&self, fingerprint: Fingerprint) -> Fingerprint {
        if self.shows_source {
            return fingerprint;
        }
        Fingerprint::from_digest(&Sha256::digest(fingerprint.number().to_be_bytes()))
    }

    /// Whether it still holds at `now`, some time after it was made: none of its grants has ended.
    pub fn is_valid_at(&self, now: Millis) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }

    /// The names and patterns of the packages that it sees something of.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().map(|grant| grant.target.as_str())
    }

    /// Whether nothing of the packages that `target` names is hidden, now or later: a name, or a pattern in which `*` stands for
    /// any characters.
    pub fn covers_all_of(&self, target: &str) -> bool {
        // A name has no `*`, so a pattern that matches the text of another matches whatever the other does.
        self.sees_everything() || self.grants.iter().any(|grant| grant.is_unlimited() && grant.target.covers(target))
    }

    /// The names and patterns of the packages that nothing is hidden of.
    pub fn whole_targets(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().filter(|grant| grant.is_unlimited()).map(|grant| grant.target.as_str())
    }

    /// Whether nothing is hidden from this view.
    pub fn sees_everything(&self) -> bool {
        self.fingerprint == Fingerprint::Everything
    }

    /// Refuses a view that something is hidden from; `detail` says why everything has to be seen, and what to do.
    pub fn require_everything(&self, detail: &str) -> Result<(), Failure> {
        if self.sees_everything() { Ok(()) } else { Err(Failure::new(Kind::Forbidden, detail)) }
    }

    /// Identifies what the view lets through of all packages.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the view lets through of one package.
    pub fn version_filter(&self, package: &str) -> VersionFilter<'_> {
        if self.sees_everything() {
            return VersionFilter::All;
        }
        let grants: Vec<&Arc<Grant>> = self.grants.iter().filter(|grant| grant.target.covers(package)).collect();
        if grants.is_empty() {
            return VersionFilter::Nothing;
        }
        if grants.iter().any(|grant| grant.is_unlimited()) {
            return VersionFilter::All;
        }
        let fingerprint = Fingerprint::of(grants.iter().copied());
        VersionFilter::Some(LimitedVersions::of(grants), fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::grant::{packages, read_grants};
    use crate::store::access::tokens::GrantRow;

    fn read(row: &GrantRow) -> Arc<Grant> {
        Arc::new(Grant::from_row(row).expect("a valid grant"))
    }

    fn grant(target: &str, constraint: &str) -> Arc<Grant> {
        read(&GrantRow { version_constraint: constraint.to_owned(), ..packages(target) })
    }

    fn version(text: &str) -> NormalizedVersion {
        NormalizedVersion::from_stored(text.to_owned())
    }

    const NOW: Millis = Millis(1_000_000);
    const HERE: OrganizationId = OrganizationId::ROOT;

    #[test]
    fn a_caller_without_grants_sees_nothing() {
        let view = View::new(HERE, &[], NOW);
        assert!(!view.sees_everything());
        assert!(!view.version_filter("acme/lib").sees(&version("1.0.0.0"), None));
    }

    #[test]
    fn a_constraint_lets_only_its_versions_through() {
        let grants = [grant("acme/lib", "5.*"), grant("acme/other", "*")];
        let view = View::new(HERE, &grants, NOW);
        let scope = view.version_filter("acme/lib");
        assert!(scope.sees(&version("5.1.0.0"), None));
        assert!(!scope.sees(&version("6.0.0.0"), None));
        assert!(matches!(view.version_filter("acme/other"), VersionFilter::All));
        assert!(matches!(view.version_filter("else/where"), VersionFilter::Nothing));
    }

    #[test]
    fn a_grant_includes_what_lets_no_more_through() {
        let until = |target: &str, constraint: &str, moment: i64| {
            let row = GrantRow { version_constraint: constraint.to_owned(), ..packages(target) };
            let updates_until = Some(Millis(moment));
            read(&GrantRow { updates_until, expires_at: updates_until, ..row })
        };
        let stable = GrantRow { minimum_stability: "stable".to_owned(), ..packages("acme/*") };
        let stable = read(&stable);
        for (own, other, expected) in [
            (grant("*", "*"), grant("acme/*", "^5"), true),
            (grant("*", "*"), grant("*", "*"), true),
            (grant("acme/*", "*"), grant("acme/l*", "^5"), true),
            (grant("acme/*", "*"), grant("acme/lib", "*"), true),
            (grant("acme/*", "*"), grant("ACME/lib", "*"), true),
            (grant("acme/*", "*"), grant("*", "*"), false),
            (grant("acme/*", "*"), grant("acme*", "*"), false),
            (grant("acme/lib", "*"), grant("acme/lib*", "*"), false),
            (grant("acme/lib", "^5"), grant("acme/lib", "^5"), true),
            (grant("acme/lib", "^5"), grant("acme/lib", "^6"), false),
            (grant("acme/lib", "^5"), grant("acme/lib", "*"), false),
            (grant("acme/lib", "*"), until("acme/lib", "*", 5), true),
            (until("acme/lib", "*", 5), until("acme/lib", "*", 5), true),
            (until("acme/lib", "*", 5), until("acme/lib", "*", 6), false),
            (until("acme/lib", "*", 5), grant("acme/lib", "*"), false),
            (grant("acme/*", "*"), stable.clone(), true),
            (stable, grant("acme/*", "*"), false),
        ] {
            assert_eq!(own.includes(&other), expected, "{own:?} and {other:?}");
        }
    }

    #[test]
    fn updates_until_hides_what_was_released_later_or_at_an_unknown_time() {
        let mut row = packages("acme/lib");
        row.updates_until = Some(Millis(500));
        let view = View::new(HERE, &[read(&row)], NOW);
        let scope = view.version_filter("acme/lib");
        assert!(scope.sees(&version("1.0.0.0"), Some(Released::at(Millis(500)))));
        assert!(!scope.sees(&version("1.0.0.0"), Some(Released::at(Millis(501)))));
        assert!(!scope.sees(&version("1.0.0.0"), None));
    }

    #[test]
    fn a_security_fix_passes_updates_until_and_neither_the_constraint_nor_the_stability() {
        let row = GrantRow {
            version_constraint: "2.*".to_owned(),
            updates_until: Some(Millis(500)),
            minimum_stability: "stable".to_owned(),
            ..packages("acme/lib")
        };
        let view = View::new(HERE, &[read(&row)], NOW);
        let scope = view.version_filter("acme/lib");
        let fix = Some(Released { at: Millis(501), security_fix: true });
        for (number, expected) in [
            ("2.4.7.0", true),
            ("2.4.7.0-patch1", true),
            ("3.0.0.0", false),
            ("2.4.8.0-beta1", false),
            ("dev-main", false),
        ] {
            assert_eq!(scope.sees(&version(number), fix), expected, "{number}");
            assert!(!scope.sees(&version(number), Some(Released::at(Millis(501)))), "{number}");
        }
    }

    #[test]
    fn an_index_says_what_is_a_security_fix_and_one_from_before_says_nothing_of_it() {
        let text = r#"[["1.0.0.0",5,"1.0"],["1.0.1.0",6,"1.0.1",1]]"#;
        let index = read_index(Some(text));
        let fixes: Vec<bool> = index.iter().map(|one| one.released.security_fix).collect();
        assert_eq!(fixes, [false, true]);
        assert_eq!(serde_json::json!(index).to_string(), text);
        assert_eq!(read_index(Some("nonsense")), []);
    }

    #[test]
    fn grants_with_the_same_constraint_compare_a_version_once() {
        let row = |constraint: &str, until: i64| GrantRow {
            version_constraint: constraint.to_owned(),
            updates_until: Some(Millis(until)),
            ..packages("acme/lib")
        };
        let rows = (0..100).flat_map(|until| [row("1.* || 3.*", until), row("2.*", until)]).collect();
        let grants = read_grants(rows, |_| None).expect("valid grants");
        let view = View::new(HERE, &grants, NOW);
        let VersionFilter::Some(limited, _) = view.version_filter("acme/lib") else { panic!("some versions") };
        assert_eq!(limited.0.len(), 2);
        for (number, at, expected) in
            [("3.1.0.0", 99, true), ("2.1.0.0", 99, true), ("2.1.0.0", 100, false), ("4.0.0.0", 0, false)]
        {
            assert_eq!(limited.see(&version(number), Some(Released::at(Millis(at)))), expected, "{number} at {at}");
        }
    }

    #[test]
    fn a_grant_ends_at_its_moment_and_the_view_changes_with_it() {
        let mut row = packages("acme/lib");
        row.expires_at = Some(Millis(100));
        let grants = [read(&row), grant("acme/other", "*")];
        let before = View::new(HERE, &grants, Millis(99));
        let after = View::new(HERE, &grants, Millis(100));
        assert!(matches!(before.version_filter("acme/lib"), VersionFilter::All));
        assert!(matches!(after.version_filter("acme/lib"), VersionFilter::Nothing));
        assert_ne!(before.fingerprint(), after.fingerprint());
    }

    #[test]
    fn the_same_grants_in_another_order_are_the_same_view() {
        let (a, b) = (grant("acme/a", "1.*"), grant("acme/b", "*"));
        let one = View::new(HERE, &[a.clone(), b.clone()], NOW);
        let other = View::new(HERE, &[b, a], NOW);
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.fingerprint().seconds(), 0);
    }

    #[test]
    fn minimum_stability_hides_what_is_less_stable() {
        let mut row = packages("acme/lib");
        row.minimum_stability = "RC".to_owned();
        let view = View::new(HERE, &[read(&row)], NOW);
        let scope = view.version_filter("acme/lib");
        assert!(scope.sees(&version("1.0.0.0-RC1"), None));
        assert!(!scope.sees(&version("1.0.0.0-beta1"), None));
        assert!(!scope.sees(&version("dev-main"), None));
    }
}
