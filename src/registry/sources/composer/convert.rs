//! From what an upstream publishes to versions of our own: each is checked like a composer.json of ours, gets the address
//! of the archive that is going to lie here, and is rendered.
//!
//! `source` is left out: who installs through the registry gets the bytes that it keeps and has checked, and asks no
//! other host, neither with `--prefer-source` nor when a download fails. A version without an archive is left out for the
//! same reason, unless it is a metapackage.

use std::collections::BTreeMap;

use composer::{Dist, DistMirror, DistPlaceholders, Map, PackageName, RefVersion, Release, normalize_name};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::ports::{Fault, Millis};
use crate::registry::access::view::IndexedVersion;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::{read_moment, rfc3339};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::released::{FirstSeenBy, UndatedVersion, of_undated};
use crate::registry::packages::render::{Rendered, dist_url, render_entries};
use crate::registry::sources::composer::upstream_version::{ArchiveLocation, ParsedVersion, parse_version};
use crate::registry::sources::composer::url_login::UrlLogin;
use crate::store::OrganizationId;
use crate::store::access::released::Released;
use crate::store::packages::publication::{LiveVersions, UpstreamDist, VersionUpsert};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::upstream_answers::{KnownVersion, SkippedVersion};

/// Most versions of one package, as of a repository of our own.
const MAX_VERSIONS: usize = 5000;

/// Most bytes of all versions of a package, each in full: they are in memory together when it is rendered, several times
/// as large. The largest packages of packagist.org have nine million.
const MAX_BYTES: usize = 12 << 20;

/// Most values that all versions have, each in full: what a minified document writes once is repeated in each of them. 5,000
/// versions × 400 values.
const MAX_VALUES: usize = 2_000_000;

/// Most versions that are named among those left out.
const MAX_NAMED: usize = 20;

/// A package as an upstream has it, ready to be published.
pub struct ConvertedPackage {
    /// Its documents.
    pub rendered: Rendered,
    /// Its versions.
    pub versions: Vec<VersionUpsert>,
    /// Which of them is the default branch.
    pub live: LiveVersions,
    /// Where their archives are.
    pub dists: Vec<UpstreamDist>,
    /// Versions that were left out, and why.
    pub skipped: Vec<SkippedVersion>,
    /// How many of its versions are new and state no `time`.
    pub undated: usize,
}

/// What the versions of a package are taken in with.
pub struct ConversionContext<'a> {
    /// The registry.
    pub app: &'a App,
    /// The organization that they are for.
    pub organization: OrganizationId,
    /// Other places of its archives, their addresses in full.
    pub mirrors: &'a [DistMirror],
}

/// Takes in the versions of a package, each in full, from documents of which the last was changed at `changed_at`. `known` are
/// those that are published now, in their order: what they were found to be stays.
pub fn convert(
    context: &ConversionContext<'_>,
    name: &PackageName,
    versions: impl Iterator<Item = Map>,
    changed_at: Option<Millis>,
    known: &[KnownVersion],
) -> Result<ConvertedPackage, Fault> {
    let mut taking = Converter {
        context,
        name,
        known,
        seen: BTreeMap::new(),
        logins: Vec::new(),
        bytes: 0,
        taken: ConvertedVersions::default(),
    };
    let mut skipped = SkippedVersions::default();
    let mut values_left = MAX_VALUES;
    for version in versions {
        let values: usize = version.values().map(count_values).sum();
        let Some(left) = values_left.checked_sub(values + 1) else {
            skipped.note(
                String::new(),
                format!("the versions before it have {MAX_VALUES} values already; it and all behind it are left out"),
            );
            break;
        };
        values_left = left;
        let label = version.get("version").and_then(Value::as_str).unwrap_or("?").chars().take(100).collect();
        if let Err(reason) = taking.take(version)? {
            skipped.note(label, reason);
        }
    }
    taking.date_undated(changed_at);
    let ConvertedVersions { entries, index, versions, dists, default_branch, undated, .. } = taking.taken;
    let rendered = render_entries(name, entries, &index);
    let normalized = versions.iter().map(|version| version.normalized.clone()).collect();
    let live = LiveVersions { package: name.to_string(), versions: normalized, default_branch };
    Ok(ConvertedPackage { rendered, versions, live, dists, skipped: skipped.into_list(), undated: undated.len() })
}

/// How many values there are in one, itself included.
fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(members) => members.values().map(count_values).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[derive(Default)]
struct SkippedVersions {
    named: Vec<SkippedVersion>,
    more: usize,
}

impl SkippedVersions {
    fn note(&mut self, version: String, reason: String) {
        if self.named.len() < MAX_NAMED {
            self.named.push(SkippedVersion { version, reason });
        } else {
            self.more += 1;
        }
    }

    fn into_list(mut self) -> Vec<SkippedVersion> {
        if self.more > 0 {
            let reason = format!("and {} more versions", self.more);
            self.named.push(SkippedVersion { version: String::new(), reason });
        }
        self.named
    }
}

/// What versions become.
#[derive(Default)]
struct ConvertedVersions {
    entries: Vec<Map>,
    index: Vec<IndexedVersion>,
    versions: Vec<VersionUpsert>,
    dists: Vec<UpstreamDist>,
    default_branch: Option<String>,
    /// The latest `time` that one of them states.
    newest_stated: Option<Millis>,
    /// The places of those that are new and state none.
    undated: Vec<usize>,
}

struct Converter<'a> {
    context: &'a ConversionContext<'a>,
    name: &'a PackageName,
    known: &'a [KnownVersion],
    /// Normalized version → what it is; see [`identity`].
    seen: BTreeMap<String, String>,
    /// The logins that were met, and each of them sealed.
    logins: Vec<(UrlLogin, String)>,
    bytes: usize,
    taken: ConvertedVersions,
}

impl Converter<'_> {
    /// Takes one version, or says why not.
    fn take(&mut self, version: Map) -> Result<Result<(), String>, Fault> {
        if self.taken.versions.len() == MAX_VERSIONS {
            return Ok(Err(format!("the package has {MAX_VERSIONS} versions already")));
        }
        let parsed = match parse_version(self.name, version) {
            Ok(parsed) => parsed,
            Err(reason) => return Ok(Err(reason)),
        };
        if self.bytes + parsed.text.len() > MAX_BYTES {
            return Ok(Err(format!("the versions before it have {MAX_BYTES} bytes already")));
        }
        let identity = identity(&parsed);
        if let Some(known) = self.seen.get(parsed.version.normalized.as_str()) {
            // Some repositories write a version under two keys, or in both documents: nothing is lost then.
            let is_another = *known != identity;
            return Ok(if is_another { Err("another version before it is the same one".to_owned()) } else { Ok(()) });
        }
        let login = match self.sealed_login(parsed.archive.as_ref()) {
            Ok(login) => login,
            Err(reason) => return Ok(Err(reason)),
        };
        self.seen.insert(parsed.version.normalized.as_str().to_owned(), identity);
        self.bytes += parsed.text.len();
        self.add(parsed, login)?;
        Ok(Ok(()))
    }

    /// The login in the address of an archive, sealed; an error says why it cannot be kept.
    fn sealed_login(&mut self, archive: Option<&ArchiveLocation>) -> Result<Option<String>, String> {
        let Some(login) = archive.and_then(|archive| archive.login.as_ref()) else { return Ok(None) };
        if let Some((_, sealed)) = self.logins.iter().find(|(known, _)| known == login) {
            return Ok(Some(sealed.clone()));
        }
        let ConversionContext { app, organization, .. } = self.context;
        let sealed = login.seal(app, *organization, self.name).map_err(|error| error.to_string())?;
        self.logins.push((login.clone(), sealed.clone()));
        Ok(Some(sealed))
    }

    fn add(&mut self, parsed: ParsedVersion, login: Option<String>) -> Result<(), Fault> {
        let RefVersion { pretty, normalized } = &parsed.version;
        let (now, name) = (self.context.app.now(), self.name.to_string());
        let known = find_version(self.known, normalized.as_str());
        let released_at = parsed.released_at.or(known.map(|known| known.released.at));
        if released_at.is_none() {
            self.taken.undated.push(self.taken.versions.len());
        }
        self.taken.newest_stated = self.taken.newest_stated.max(parsed.released_at);
        let released_at = released_at.unwrap_or(now);
        let address = parsed.archive.as_ref().map(|archive| archive.address.clone()).unwrap_or_default();
        let unmoved = known.filter(|known| known.reference == address.as_str());
        let published_time = parsed.manifest.json().get("published-time");
        let dist = parsed.archive.as_ref().map(|archive| self.dist(&parsed.version, archive, unmoved));
        if let Some(archive) = &parsed.archive {
            self.taken.dists.push(UpstreamDist { login, ..self.upstream_dist(&parsed.version, archive) });
        }
        if parsed.is_default_branch {
            self.taken.default_branch = Some(normalized.as_str().to_owned());
        }
        self.taken.entries.push(composer::metadata_entry(&Release {
            name: self.name,
            version: &parsed.version,
            manifest: &parsed.manifest,
            source: None,
            dist,
            time: parsed.released_at.map(rfc3339),
            published_time: published_time.filter(|time| read_moment(time).is_some()).cloned(),
            default_branch: parsed.is_default_branch,
        }));
        self.taken.index.push(IndexedVersion {
            normalized: normalized.as_str().to_owned(),
            released: Released {
                at: released_at,
                security_fix: known.is_some_and(|known| known.released.security_fix),
            },
            pretty: pretty.to_string(),
        });
        self.taken.versions.push(VersionUpsert {
            package: name,
            uid: new_uid(&*self.context.app.ports.entropy, now)?,
            normalized: normalized.as_str().to_owned(),
            pretty: pretty.clone(),
            source: VersionSource::Upstream,
            reference: address.into(),
            manifest: parsed.text.into(),
            released_at,
            released_when_shown: false,
            made_at: released_at,
            published_at: unmoved.map_or(now, |known| known.published_at),
        });
        Ok(())
    }

    /// Decides when those versions were released that are new and do not say it.
    fn date_undated(&mut self, changed_at: Option<Millis>) {
        let first_seen_by = if self.known.is_empty() { FirstSeenBy::FirstSync } else { FirstSeenBy::LaterSync };
        let newest_stated = self.taken.newest_stated;
        let version = UndatedVersion { document_changed_at: changed_at, newest_stated, first_seen_by };
        let released_at = of_undated(version, self.context.app.now());
        for &place in &self.taken.undated {
            self.taken.index[place].released.at = released_at;
            let version = &mut self.taken.versions[place];
            (version.released_at, version.made_at) = (released_at, released_at);
        }
    }

    /// What clients are told of an archive; `unmoved` is the version that has it already.
    fn dist(&self, version: &RefVersion, archive: &ArchiveLocation, unmoved: Option<&KnownVersion>) -> Dist {
        // One that is here stays what it is, whatever upstream says of it later.
        let stored = unmoved.and_then(|known| known.shasum.clone());
        // An address is read by its version as it is compared; where people read another one, that stands in it.
        let is_read = normalize_name(&version.pretty).is_ok_and(|read| read == version.normalized);
        let shown = if is_read { version.pretty.as_str() } else { version.normalized.as_str() };
        Dist {
            kind: archive.kind,
            url: dist_url(self.name, shown, &archive.address, &archive.kind.address_ending(&archive.url)),
            reference: archive.reference.clone().unwrap_or_else(|| archive.address.clone()).into(),
            shasum: Some(stored.unwrap_or_else(|| archive.shasum.clone())),
        }
    }

    /// Where an archive is fetched from.
    fn upstream_dist(&self, version: &RefVersion, archive: &ArchiveLocation) -> UpstreamDist {
        let placeholders = DistPlaceholders {
            name: self.name,
            version: &version.normalized,
            pretty: &version.pretty,
            reference: archive.reference.as_deref(),
            kind: archive.kind,
        };
        UpstreamDist {
            package: self.name.to_string(),
            normalized: version.normalized.as_str().to_owned(),
            kind: archive.kind,
            urls: placeholders.dist_urls(&archive.url, self.context.mirrors),
            shasum: archive.shasum.clone(),
            login: None,
        }
    }
}

/// What tells a version from another one of the same number: its archive, or else all that is said of it.
fn identity(parsed: &ParsedVersion) -> String {
    match &parsed.archive {
        Some(archive) => archive.address.clone(),
        None => hex::encode(Sha1::digest(parsed.text.as_bytes())),
    }
}

/// A version of a package, among all of it in their order.
pub fn find_version<'k>(known: &'k [KnownVersion], normalized: &str) -> Option<&'k KnownVersion> {
    let place = known.binary_search_by(|version| version.normalized.as_str().cmp(normalized)).ok()?;
    known.get(place)
}
