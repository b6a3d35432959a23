//! Reading one version as an upstream publishes it: is it one that can be published here, and where is its archive?
//! Everything that Composer itself passes over in the metadata of a repository is passed over here, too.

use composer::{
    DistType, LINK_TYPES, Manifest, Map, NormalizedVersion, PackageName, RefVersion, Shasum, excerpt, normalize,
};
use git::ObjectId;
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::ports::Millis;
use crate::registry::kernel::dates::read_moment;
use crate::registry::sources::composer::url_login::UrlLogin;

/// Longest address of an archive, and longest text of a reference.
const MAX_URL: usize = 2048;

/// What stands for the default branch in the metadata of Composer 1; it is made of `version` again.
const DEFAULT_BRANCH_ALIAS: &str = "9999999-dev";

/// Where a version's archive is upstream.
pub struct ArchiveLocation {
    /// How it is packed.
    pub kind: DistType,
    /// Without a login.
    pub url: String,
    /// What stood in the address.
    pub login: Option<UrlLogin>,
    /// As upstream has it.
    pub reference: Option<String>,
    /// As upstream promises it; empty promises nothing.
    pub shasum: Shasum,
    /// What it is addressed by here: the commit, or else a hash of what upstream says of it.
    pub address: String,
}

/// One version that is taken in.
pub struct ParsedVersion {
    /// The version.
    pub version: RefVersion,
    /// What upstream says of it.
    pub manifest: Manifest,
    /// The same as text, without what is not to be kept.
    pub text: String,
    /// Where its archive is; a metapackage has none.
    pub archive: Option<ArchiveLocation>,
    /// When upstream says that it was released.
    pub released_at: Option<Millis>,
    /// Whether it is the default branch.
    pub is_default_branch: bool,
}

/// Reads one version of at most `max_bytes`; an error says why it cannot be published.
pub fn parse_version(name: &PackageName, mut version: Map) -> Result<ParsedVersion, String> {
    remove_ignored_links(&mut version, name);
    let login = take_login(&mut version);
    let released_at = version.get("time").and_then(read_moment);
    if released_at.is_none() {
        // What cannot be read says nothing.
        version.shift_remove("time");
    }
    let text = Value::Object(version).to_string();
    let manifest = Manifest::parse_as(text.as_bytes(), name).map_err(|error| error.to_string())?;
    let own = |key: &str| manifest.json().get(key).and_then(Value::as_str);
    if let Some(other) = own("name").filter(|other| !other.eq_ignore_ascii_case(name.as_str())) {
        return Err(format!("it is a version of {}", excerpt(other).escape_default()));
    }
    let pretty = own("version").ok_or("it has no version")?;
    if pretty.contains(char::is_control) || pretty.len() > PackageName::MAX_BYTES {
        return Err("its version is too long, or has control characters".to_owned());
    }
    let normalized = normalized_version(pretty, own("version_normalized"))?;
    let archive = match manifest.json().get("dist") {
        Some(Value::Object(dist)) => Some(ArchiveLocation { login, ..archive_location(dist)? }),
        _ if manifest.package_type() == "metapackage" => None,
        _ => return Err("it has no zip".to_owned()),
    };
    Ok(ParsedVersion {
        version: RefVersion { pretty: pretty.into(), normalized },
        archive,
        released_at,
        is_default_branch: manifest.json().get("default-branch") == Some(&Value::Bool(true)),
        manifest,
        text,
    })
}

/// Takes out what Composer's loader passes over in metadata, and what would be wrong in a composer.json: links of a package
/// to itself, and names that no package can have in `require-dev`, which counts for a project alone.
fn remove_ignored_links(version: &mut Map, name: &PackageName) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    for link_type in LINK_TYPES {
        if let Some(Value::Object(links)) = version.get_mut(link_type) {
            links.retain(|target, _| {
                let is_name = !target.is_empty() && target.bytes().all(is_plain);
                !target.eq_ignore_ascii_case(name.as_str()) && (is_name || link_type != "require-dev")
            });
        }
    }
}

/// Takes the login out of the address of the archive, if there is one: it is kept apart, and shown to nobody.
fn take_login(version: &mut Map) -> Option<UrlLogin> {
    let url = version.get_mut("dist")?.get_mut("url")?;
    let (without, login) = UrlLogin::split(url.as_str()?)?;
    *url = without.into();
    Some(login)
}

/// As Composer does it: what upstream has normalized is trusted, if it is a version as Composer compares it.
fn normalized_version(pretty: &str, stated: Option<&str>) -> Result<NormalizedVersion, String> {
    let stated = stated.filter(|stated| *stated != DEFAULT_BRANCH_ALIAS);
    let trusted = stated.and_then(|stated| normalize(stated).ok().filter(|version| version.as_str() == stated));
    trusted.map_or_else(|| normalize(pretty).map_err(|error| error.to_string()), Ok)
}

/// Reads a `dist`; an error says why it cannot be mirrored.
pub fn archive_location(dist: &Map) -> Result<ArchiveLocation, String> {
    let text = |key: &str| dist.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("type").unwrap_or_default();
    let kind = DistType::parse(name).ok_or_else(|| {
        format!("its archive is a `{}`; only zip, tar, gzip and xz are mirrored", excerpt(name).escape_default())
    })?;
    let url = text("url").ok_or("its archive has no address")?;
    let reference = text("reference");
    if url.len() > MAX_URL || reference.is_some_and(|reference| reference.len() > MAX_URL) {
        return Err("the address or the reference of its archive is too long".to_owned());
    }
    // Both end in headers and in addresses.
    if url.contains(char::is_control) || reference.is_some_and(|reference| reference.contains(char::is_control)) {
        return Err("the address or the reference of its archive has control characters".to_owned());
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
    let (url, reference) = (url.to_owned(), reference.map(str::to_owned));
    Ok(ArchiveLocation { kind, url, login: None, reference, shasum: shasum.into(), address })
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
        let version = version.as_object_mut().expect("an object");
        version.extend(changes);
        parse_version(&name(), std::mem::take(version))
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
            (dist(json!({"type": "path"})), "its archive is a `path`; only zip, tar, gzip and xz are mirrored"),
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

    #[test]
    fn what_composer_passes_over_in_metadata_does_not_keep_a_version_out() {
        let links = json!({
            "version": "1.0.0", "require": {"acme/log": "^1", "Acme/Lib": "*"},
            "require-dev": {"no name": "*", "acme/lib": "*", "": "*", "acme/test": "*"},
        });
        let parsed = admitted(links).expect("a version");
        assert_eq!(parsed.manifest.json()["require"], json!({"acme/log": "^1"}));
        assert_eq!(parsed.manifest.json()["require-dev"], json!({"acme/test": "*"}));
        let refused = admitted(json!({"require": {"no name": "*"}})).err();
        assert!(refused.is_some_and(|reason| reason.contains("require.no name")));
    }

    #[test]
    fn a_version_that_cannot_be_read_is_what_upstream_has_normalized() {
        for (pretty, stated, expected) in [
            ("2.0 (final)", Some("2.0.0.0"), "2.0.0.0"),
            ("1.0.0", Some("1.0.0.0"), "1.0.0.0"),
            ("1.0.0", Some("1.0"), "1.0.0.0"),
            ("dev-main", Some("9999999-dev"), "dev-main"),
            ("1.0.0", None, "1.0.0.0"),
        ] {
            let parsed = admitted(json!({"version": pretty, "version_normalized": stated})).expect("a version");
            assert_eq!(parsed.version.normalized.as_str(), expected, "{pretty} {stated:?}");
            assert_eq!(parsed.version.pretty.as_str(), pretty);
        }
        assert!(admitted(json!({"version": "final", "version_normalized": "final"})).is_err());
    }

    #[test]
    fn a_login_in_the_address_of_an_archive_is_kept_apart_from_it() {
        let dist = json!({"type": "zip", "url": "https://jo:secret@cdn.test/1.zip"});
        let parsed = admitted(json!({ "dist": dist })).expect("a version");
        let archive = parsed.archive.expect("an archive");
        assert_eq!(archive.url, "https://cdn.test/1.zip");
        assert!(archive.login.is_some() && !parsed.text.contains("secret"));
    }

    #[test]
    fn a_time_may_be_a_number() {
        let released_at = |time: Value| admitted(json!({ "time": time })).expect("a version").released_at;
        assert_eq!(released_at(json!(1_700_000_000)), Some(Millis(1_700_000_000_000)));
        assert_eq!(released_at(json!("1700000000")), Some(Millis(1_700_000_000_000)));
        for nothing in [json!(null), json!(""), json!("yesterday")] {
            let parsed = admitted(json!({ "time": nothing })).expect("a version");
            assert_eq!((parsed.released_at, parsed.manifest.json().get("time")), (None, None), "{nothing}");
        }
    }
}
