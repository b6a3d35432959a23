//! From what an upstream publishes to versions of our own: each is checked like a composer.json of ours, gets the address
//! of the zip that is going to lie here, and is rendered.
//!
//! `source` is left out: who installs through the registry gets the bytes that it keeps and has checked, and asks no
//! other host, neither with `--prefer-source` nor when a download fails. A version without a zip is left out for the
//! same reason, unless it is a metapackage.

use composer::Shasum;
use std::collections::BTreeSet;

use composer::{
    Dist, DistMirror, DistPlaceholders, Manifest, Map, NormalizedVersion, PackageName, RefVersion, Release, normalize,
};
use git::ObjectId;
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::ports::{Fault, Millis};
use crate::registry::access::view::IndexedVersion;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::{read_moment, rfc3339};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::render::{Rendered, dist_url, render_entries};
use crate::store::access::released::Released;
use crate::store::packages::publication::{LiveVersions, UpstreamDist, VersionUpsert};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::upstream_answers::{KnownVersion, SkippedVersion};

/// Most versions of one package, as of a repository of our own.
const MAX_VERSIONS: usize = 5000;

/// Most bytes of all versions of a package, each in full: they are in memory together when it is rendered, several times
/// as large. The largest packages of packagist.org have nine million.
const MAX_BYTES: usize = 12 << 20;

/// Most versions that are named among those left out.
const MAX_NAMED: usize = 20;

/// Longest address of a zip, and longest text of a reference.
const MAX_URL: usize = 2048;

/// A package as an upstream has it, ready to be published.
pub struct ConvertedPackage {
    /// Its documents.
    pub rendered: Rendered,
    /// Its versions.
    pub versions: Vec<VersionUpsert>,
    /// Which of them is the default branch.
    pub live: LiveVersions,
    /// Where their zips are.
    pub dists: Vec<UpstreamDist>,
    /// Versions that were left out, and why.
    pub skipped: Vec<SkippedVersion>,
}

/// Where a version's zip is upstream.
struct ArchiveLocation {
    url: String,
    /// As upstream has it.
    reference: Option<String>,
    shasum: Shasum,
    /// What it is addressed by here: the commit, or else a hash of what upstream says of it.
    address: String,
}

/// One version that is taken in.
struct ParsedVersion {
    version: RefVersion,
    manifest: Manifest,
    archive: Option<ArchiveLocation>,
    released_at: Option<Millis>,
    is_default_branch: bool,
}

/// Takes in the versions of a package, each in full. `known` are those that are published now, in their order: what they
/// were found to be stays.
pub fn convert(
    app: &App,
    name: &PackageName,
    versions: impl Iterator<Item = Map>,
    mirrors: &[DistMirror],
    known: &[KnownVersion],
) -> Result<ConvertedPackage, Fault> {
    let mut taking =
        Converter { app, name, mirrors, known, seen: BTreeSet::new(), bytes: 0, taken: ConvertedVersions::default() };
    let mut skipped = SkippedVersions::default();
    for version in versions {
        let label = version.get("version").and_then(Value::as_str).unwrap_or("?").chars().take(100).collect();
        if let Err(reason) = taking.take(version)? {
            skipped.note(label, reason);
        }
    }
    let ConvertedVersions { entries, index, versions, dists, default_branch } = taking.taken;
    let rendered = render_entries(name, entries, &index);
    let normalized = versions.iter().map(|version| version.normalized.clone()).collect();
    let live = LiveVersions { package: name.to_string(), versions: normalized, default_branch };
    Ok(ConvertedPackage { rendered, versions, live, dists, skipped: skipped.into_list() })
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
}

struct Converter<'a> {
    app: &'a App,
    name: &'a PackageName,
    mirrors: &'a [DistMirror],
    known: &'a [KnownVersion],
    /// Normalized versions.
    seen: BTreeSet<String>,
    bytes: usize,
    taken: ConvertedVersions,
}

impl Converter<'_> {
    /// Takes one version, or says why not.
    fn take(&mut self, version: Map) -> Result<Result<(), String>, Fault> {
        let text = Value::Object(version).to_string();
        if self.taken.versions.len() == MAX_VERSIONS {
            return Ok(Err(format!("the package has {MAX_VERSIONS} versions already")));
        }
        if self.bytes + text.len() > MAX_BYTES {
            return Ok(Err(format!("the versions before it have {MAX_BYTES} bytes already")));
        }
        let admitted = match parse_version(self.name, text.as_bytes()) {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(Err(reason)),
        };
        if !self.seen.insert(admitted.version.normalized.as_str().to_owned()) {
            return Ok(Err("another version before it is the same one".to_owned()));
        }
        self.bytes += text.len();
        self.add(&admitted, text)?;
        Ok(Ok(()))
    }

    fn add(&mut self, admitted: &ParsedVersion, manifest: String) -> Result<(), Fault> {
        let ParsedVersion { version: RefVersion { pretty, normalized }, archive, .. } = admitted;
        let (now, name) = (self.app.now(), self.name.to_string());
        let known = find_version(self.known, normalized.as_str());
        let released_at = admitted.released_at.or(known.map(|known| known.released.at)).unwrap_or(now);
        let address = archive.as_ref().map(|archive| archive.address.clone()).unwrap_or_default();
        // A zip that is here stays what it is, whatever upstream says of it later.
        let unmoved = known.filter(|known| known.reference == address.as_str());
        let stored = unmoved.and_then(|known| known.shasum.clone());
        let dist = archive.as_ref().map(|archive| Dist {
            url: dist_url(self.name, pretty, &archive.address),
            reference: archive.reference.clone().unwrap_or_else(|| archive.address.clone()).into(),
            shasum: Some(stored.unwrap_or_else(|| archive.shasum.clone())),
        });
        if let Some(archive) = archive {
            let reference = archive.reference.as_deref();
            let placeholders = DistPlaceholders { name: self.name, version: normalized, pretty, reference };
            self.taken.dists.push(UpstreamDist {
                package: name.clone(),
                normalized: normalized.as_str().to_owned(),
                urls: placeholders.dist_urls(&archive.url, self.mirrors),
                shasum: archive.shasum.clone(),
            });
        }
        if admitted.is_default_branch {
            self.taken.default_branch = Some(normalized.as_str().to_owned());
        }
        self.taken.entries.push(composer::metadata_entry(&Release {
            name: self.name,
            version: &admitted.version,
            manifest: &admitted.manifest,
            source: None,
            dist,
            time: Some(rfc3339(released_at)),
            published_time: admitted
                .manifest
                .json()
                .get("published-time")
                .filter(|time| read_moment(time).is_some())
                .cloned(),
            default_branch: admitted.is_default_branch,
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
            uid: new_uid(&*self.app.ports.entropy, now)?,
            normalized: normalized.as_str().to_owned(),
            pretty: pretty.clone(),
            source: VersionSource::Upstream,
            reference: address.into(),
            manifest,
            released_at,
            made_at: released_at,
            published_at: unmoved.map_or(now, |known| known.published_at),
        });
        Ok(())
    }
}

/// Reads one version; an error says why it cannot be published.
fn parse_version(name: &PackageName, text: &[u8]) -> Result<ParsedVersion, String> {
    let manifest = Manifest::parse_as(text, name).map_err(|error| error.to_string())?;
    let own = |key: &str| manifest.json().get(key).and_then(Value::as_str);
    if let Some(other) = own("name").filter(|other| !other.eq_ignore_ascii_case(name.as_str())) {
        return Err(format!("it is a version of {}", other.escape_default()));
    }
    let pretty = own("version").ok_or("it has no version")?;
    if pretty.contains(char::is_control) || pretty.len() > PackageName::MAX_BYTES {
        return Err("its version is too long, or has control characters".to_owned());
    }
    let normalized: NormalizedVersion = normalize(pretty).map_err(|error| error.to_string())?;
    let archive = match manifest.json().get("dist") {
        Some(Value::Object(dist)) => Some(archive(dist)?),
        _ if manifest.package_type() == "metapackage" => None,
        _ => return Err("it has no zip".to_owned()),
    };
    Ok(ParsedVersion {
        version: RefVersion { pretty: pretty.into(), normalized },
        archive,
        released_at: manifest.json().get("time").and_then(read_moment),
        is_default_branch: manifest.json().get("default-branch") == Some(&Value::Bool(true)),
        manifest,
    })
}

fn archive(dist: &Map) -> Result<ArchiveLocation, String> {
    let text = |key: &str| dist.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = text("type").unwrap_or_default();
    if kind != "zip" {
        return Err(format!("its archive is a {}; only zips are mirrored", kind.escape_default()));
    }
    let url = text("url").ok_or("its archive has no address")?;
    let reference = text("reference");
    if url.len() > MAX_URL || reference.is_some_and(|reference| reference.len() > MAX_URL) {
        return Err("the address or the reference of its archive is too long".to_owned());
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err("the address of its archive does not start with https://".to_owned());
    }
    let shasum = text("shasum").unwrap_or_default().to_ascii_lowercase();
    if !shasum.is_empty() && ObjectId::parse(&shasum).is_err() {
        return Err("the shasum of its archive is no SHA-1".to_owned());
    }
    let commit = reference.filter(|reference| ObjectId::parse(reference).is_ok()).map(str::to_ascii_lowercase);
    let told = || format!("{url}\n{}\n{shasum}", reference.unwrap_or_default());
    let address = commit.unwrap_or_else(|| hex::encode(Sha1::digest(told().as_bytes())));
    Ok(ArchiveLocation { url: url.to_owned(), reference: reference.map(str::to_owned), shasum: shasum.into(), address })
}

/// A version of a package, among all of it in their order.
pub fn find_version<'k>(known: &'k [KnownVersion], normalized: &str) -> Option<&'k KnownVersion> {
    let place = known.binary_search_by(|version| version.normalized.as_str().cmp(normalized)).ok()?;
    known.get(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> PackageName {
        PackageName::parse("acme/lib").expect("a name")
    }

    fn admitted(changes: Value) -> Result<ParsedVersion, String> {
        let mut version = json!({
            "name": "acme/lib", "version": "1.0.0",
            "dist": {"type": "zip", "url": "https://host.test/1.zip", "reference": "a".repeat(40), "shasum": ""},
        });
        let Value::Object(changes) = changes else { panic!("an object") };
        version.as_object_mut().expect("an object").extend(changes);
        parse_version(&name(), version.to_string().as_bytes())
    }

    #[test]
    fn a_version_that_would_break_its_package_is_refused_with_the_reason() {
        let dist = |changes: Value| {
            let mut dist = json!({"type": "zip", "url": "https://host.test/1.zip"});
            dist.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
            json!({ "dist": dist })
        };
        for (changes, reason) in [
            (json!({"version": "nonsense"}), "invalid version string \"nonsense\""),
            (json!({"version": null}), "it has no version"),
            (json!({"version": 5}), "it has no version"),
            (json!({"version": "1.0\u{0}"}), "its version is too long"),
            (json!({"name": "acme/other"}), "it is a version of acme/other"),
            (json!({"require": {"acme/log": "not a constraint!"}}), "require.acme/log"),
            (json!({"dist": null}), "it has no zip"),
            (json!({"dist": {"type": "zip"}}), "dist.url: must be present"),
            (dist(json!({"type": "tar"})), "its archive is a tar; only zips are mirrored"),
            (dist(json!({"url": "ssh://host.test/1.zip"})), "the address of its archive does not start with https://"),
            (dist(json!({"url": format!("https://host.test/{}", "x".repeat(2048))})), "the address or the reference"),
            (dist(json!({"shasum": "abc"})), "the shasum of its archive is no SHA-1"),
        ] {
            let error = admitted(changes.clone()).err().unwrap_or_else(|| panic!("{changes}"));
            assert!(error.contains(reason), "{changes}: {error}");
        }
    }

    #[test]
    fn a_metapackage_needs_no_zip() {
        let taken = admitted(json!({"type": "metapackage", "dist": null})).expect("a version");
        assert!(taken.archive.is_none());
    }

    #[test]
    fn a_zip_is_addressed_by_its_commit_or_by_what_is_told_of_it() {
        let address =
            |dist: Value| admitted(json!({ "dist": dist })).expect("a version").archive.expect("a zip").address;
        let url = "https://host.test/1.zip";
        let commit = "ABCDEF0123".repeat(4);
        assert_eq!(address(json!({"type": "zip", "url": url, "reference": commit})), commit.to_lowercase());
        let one = address(json!({"type": "zip", "url": url, "reference": "trunk@5"}));
        assert!(ObjectId::parse(&one).is_ok());
        assert_ne!(address(json!({"type": "zip", "url": url, "reference": "trunk@6"})), one);
        assert_ne!(address(json!({"type": "zip", "url": url})), one);
    }
}
