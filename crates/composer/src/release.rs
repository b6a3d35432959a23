//! Published metadata: the entry of one version, and the documents of a package.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::Map;
use crate::branch_alias::resolve;
use crate::compare::sort_order;
use crate::dist::Dist;
use crate::identifiers::Reference;
use crate::manifest::Manifest;
use crate::manifest_links::LINK_TYPES;
use crate::minifier::Minifier;
use crate::name::PackageName;
use crate::refs::RefVersion;
use crate::stability::Stability;
use crate::version::NormalizedVersion;

/// Where the files of a version are in version control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `git`, `hg`, `svn`, …
    pub kind: String,
    /// The repository.
    pub url: String,
    /// The commit.
    pub reference: Reference,
}

/// Everything the metadata entry of one version is made of.
#[derive(Debug, Clone)]
pub struct Release<'a> {
    /// The name the package is published by.
    pub name: &'a PackageName,
    /// The version.
    pub version: &'a RefVersion,
    /// Its composer.json.
    pub manifest: &'a Manifest,
    /// Where its files are.
    pub source: Option<Source>,
    /// Where its archive is.
    pub dist: Option<Dist>,
    /// When its files were made, as RFC 3339 in UTC.
    pub time: Option<String>,
    /// When the repository first published it as it is. A date that is the repository's and not the author's: Composer's
    /// cooldown goes by it.
    pub published_time: Option<Value>,
    /// Whether this is the branch a clone would check out.
    pub default_branch: bool,
}

/// Keys the registry states itself, or that must not come from a package: `uid` and `minified` steer the reading of
/// metadata, `notification-url` and `transport-options` would send the client elsewhere.
const OWNED: [&str; 14] = [
    "name",
    "version",
    "version_normalized",
    "source",
    "dist",
    "time",
    "published-time",
    "default-branch",
    "uid",
    "notification-url",
    "transport-options",
    "installation-source",
    "minified",
    "security-advisories",
];

/// Keys that Composer reads from the project's own composer.json only. In metadata they are dead weight, and
/// `config` and `repositories` may name hosts that are nobody's business.
const ROOT_ONLY: [&str; 9] = [
    "config",
    "repositories",
    "minimum-stability",
    "prefer-stable",
    "non-feature-branches",
    "scripts-descriptions",
    "scripts-aliases",
    "$schema",
    "_comment",
];

/// The metadata entry of one version: what identifies it, composer.json's keys in the author's order, then where to
/// get it.
pub fn metadata_entry(release: &Release<'_>) -> Map {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), release.name.as_str().into());
    entry.insert("version".to_owned(), release.version.pretty.as_str().into());
    entry.insert("version_normalized".to_owned(), release.version.normalized.as_str().into());
    for (key, value) in release.manifest.json() {
        if !OWNED.contains(&key.as_str()) && !ROOT_ONLY.contains(&key.as_str()) {
            entry.insert(key.clone(), published(key, value));
        }
    }
    if let Some(source) = &release.source {
        let source = json!({"type": source.kind, "url": source.url, "reference": source.reference});
        entry.insert("source".to_owned(), source);
    }
    if let Some(dist) = &release.dist {
        let shasum = dist.shasum.as_deref().unwrap_or_default();
        let dist = json!({
            "type": dist.kind.as_str(), "url": dist.url, "reference": dist.reference, "shasum": shasum,
        });
        entry.insert("dist".to_owned(), dist);
    }
    if let Some(time) = &release.time {
        entry.insert("time".to_owned(), time.as_str().into());
    }
    if let Some(published_time) = &release.published_time {
        entry.insert("published-time".to_owned(), published_time.clone());
    }
    // A tag with this marker would get a branch's alias.
    if release.default_branch && release.version.normalized.stability() == Stability::Dev {
        entry.insert("default-branch".to_owned(), Value::Bool(true));
    }
    entry
}

/// A value as it is published: link targets in lower case, no branch alias that would be ignored.
fn published(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(links) if LINK_TYPES.contains(&key) => {
            links.iter().map(|(target, constraint)| (target.to_ascii_lowercase(), constraint.clone())).collect()
        }
        Value::Object(extra) if key == "extra" => {
            let mut extra = extra.clone();
            if let Some(Value::Object(aliases)) = extra.get_mut("branch-alias") {
                aliases.retain(|source, target| target.as_str().is_some_and(|target| resolve(source, target).is_ok()));
            }
            Value::Object(extra)
        }
        other => other.clone(),
    }
}

/// What belongs to versions, the newest version's first; equal ones (named branches are equal to each other) in the order of
/// their names.
pub fn newest_first<T>(mut versions: Vec<(NormalizedVersion, T)>) -> Vec<T> {
    versions.sort_by(|(a, _), (b, _)| sort_order(b, a).then_with(|| a.as_str().cmp(b.as_str())));
    versions.into_iter().map(|(_, item)| item).collect()
}

/// The version that a full entry is of.
pub fn version_of(entry: &Map) -> NormalizedVersion {
    let text = |key| entry.get(key).and_then(Value::as_str);
    let version = text("version_normalized").or_else(|| text("version")).unwrap_or_default();
    NormalizedVersion::from_stored(version.to_owned())
}

/// How the versions of a document are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentForm {
    /// A list of differences (`"minified": "composer/2.0"`), what Composer 2 reads fastest.
    Minified,
    /// An object of full entries, keyed by pretty version, what the documents of other clients show.
    KeyedByVersion,
}

/// One metadata document of a package as JSON text. `entries` are full entries in the order they are written;
/// [`DocumentForm::Minified`] does the minifying.
pub fn document_json(name: &PackageName, entries: impl IntoIterator<Item = Map>, form: DocumentForm) -> String {
    let mut writer = DocumentWriter::new(name, form);
    for entry in entries {
        writer.push(entry);
    }
    writer.finish()
}

/// Writes a metadata document entry by entry, so that those of a package with thousands of versions are never in memory
/// together: an entry takes several times as much as its text.
#[derive(Debug)]
pub struct DocumentWriter {
    text: String,
    is_empty: bool,
    entries: EntryWriter,
}

#[derive(Debug)]
enum EntryWriter {
    Minified(Minifier),
    /// With the keys so far: the second of two entries with the same one is left out.
    KeyedByVersion(HashSet<String>),
}

impl DocumentWriter {
    /// The writer of a document of the package `name`.
    pub fn new(name: &PackageName, form: DocumentForm) -> Self {
        let (text, entries) = match form {
            DocumentForm::Minified => (minified_start(name) + "[", EntryWriter::Minified(Minifier::default())),
            DocumentForm::KeyedByVersion => {
                (format!("{{\"packages\":{{\"{name}\":{{"), EntryWriter::KeyedByVersion(HashSet::new()))
            }
        };
        Self { text, is_empty: true, entries }
    }

    /// Writes the next full entry.
    pub fn push(&mut self, entry: Map) {
        let written = match &mut self.entries {
            EntryWriter::Minified(minifier) => Value::Object(minifier.next(entry)).to_string(),
            EntryWriter::KeyedByVersion(keys) => {
                let key = entry.get("version").and_then(Value::as_str).unwrap_or_default();
                if !keys.insert(key.to_owned()) {
                    return;
                }
                format!("{}:{}", json!(key), Value::Object(entry))
            }
        };
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(',');
        }
        self.text.push_str(&written);
    }

    /// The document.
    pub fn finish(self) -> String {
        let end = match self.entries {
            EntryWriter::Minified(_) => ["]", MINIFIED_END].concat(),
            EntryWriter::KeyedByVersion(_) => "}}}".to_owned(),
        };
        self.text + &end
    }
}

/// What stands before the list of versions in a minified document. A name has nothing that JSON escapes.
pub(crate) fn minified_start(name: &PackageName) -> String {
    format!("{{\"minified\":\"composer/2.0\",\"packages\":{{\"{name}\":")
}

/// What stands behind it.
pub(crate) const MINIFIED_END: &str = "}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::DistType;
    use crate::minifier::expand;
    use crate::refs::version_of_branch;

    fn name() -> PackageName {
        PackageName::parse("acme/blog").expect("name")
    }

    fn maps(value: Value) -> Vec<Map> {
        serde_json::from_value(value).expect("objects")
    }

    #[test]
    fn an_entry_has_what_the_registry_owns_and_what_the_author_wrote() {
        let manifest = Manifest::parse(
            br#"{"version": "9.9", "name": "acme/blog", "require": {"Acme/Log": "^1"}, "uid": 7, "config": {"x": 1},
                 "extra": {"branch-alias": {"dev-main": "2.x-dev"}}, "abandoned": "acme/new", "time": "yesterday",
                 "published-time": "2015-01-01T00:00:00+00:00", "notification-url": "https://evil.test/", "require-dev": {"acme/test": "*"}}"#,
        )
        .expect("manifest");
        let version = version_of_branch("main").expect("branch");
        let (name, reference) = (name(), "c0ffee".to_owned());
        let built = metadata_entry(&Release {
            name: &name,
            version: &version,
            manifest: &manifest,
            source: None,
            dist: Some(Dist {
                kind: DistType::Zip,
                url: "https://r.test/a.zip".to_owned(),
                reference: reference.into(),
                shasum: None,
            }),
            time: Some("2026-01-02T03:04:05+00:00".to_owned()),
            published_time: Some("2026-02-02T03:04:05+00:00".into()),
            default_branch: true,
        });
        let expected = concat!(
            r#"{"name":"acme/blog","version":"dev-main","version_normalized":"dev-main","require":{"acme/log":"^1"},"#,
            r#""extra":{"branch-alias":{"dev-main":"2.x-dev"}},"abandoned":"acme/new","require-dev":{"acme/test":"*"},"#,
            r#""dist":{"type":"zip","url":"https://r.test/a.zip","reference":"c0ffee","shasum":""},"#,
            r#""time":"2026-01-02T03:04:05+00:00","published-time":"2026-02-02T03:04:05+00:00","default-branch":true}"#,
        );
        assert_eq!(Value::Object(built).to_string(), expected);
    }

    #[test]
    fn versions_are_sorted_newest_first_and_equal_ones_by_name() {
        let version = |version: &str| (NormalizedVersion::from_stored(version.to_owned()), version.to_owned());
        let versions = ["1.0.0.0", "dev-b", "2.0.0.0-beta1", "dev-a", "2.0.0.0", "1.9999999.9999999.9999999-dev"];
        let sorted = newest_first(versions.map(version).to_vec());
        let stable: Vec<&String> = sorted.iter().filter(|version| !version.contains("dev")).collect();
        assert_eq!(stable, ["2.0.0.0", "2.0.0.0-beta1", "1.0.0.0"]);
        let dev: Vec<&String> = sorted.iter().filter(|version| version.contains("dev")).collect();
        assert_eq!(dev, ["1.9999999.9999999.9999999-dev", "dev-a", "dev-b"]);
    }

    #[test]
    fn of_two_entries_with_the_same_name_one_is_written() {
        let entries = maps(json!([{"version": "1", "type": "library"}, {"version": "1"}, {"version": "0"}]));
        let document = document_json(&name(), entries, DocumentForm::KeyedByVersion);
        let expected = r#"{"packages":{"acme/blog":{"1":{"version":"1","type":"library"},"0":{"version":"0"}}}}"#;
        assert_eq!(document, expected);
    }

    #[test]
    fn both_forms_of_a_document_say_the_same() {
        let entries = maps(json!([{"version": "2", "type": "library"}, {"version": "1", "type": "library"}]));
        let minified = document_json(&name(), entries.clone(), DocumentForm::Minified);
        assert_eq!(
            minified,
            r#"{"minified":"composer/2.0","packages":{"acme/blog":[{"version":"2","type":"library"},{"version":"1"}]}}"#
        );
        let read: Value = serde_json::from_str(&minified).expect("json");
        assert_eq!(expand(maps(read["packages"]["acme/blog"].clone())), entries);
        let keyed: Value =
            serde_json::from_str(&document_json(&name(), entries.clone(), DocumentForm::KeyedByVersion)).expect("json");
        assert_eq!(keyed["packages"]["acme/blog"]["1"], json!({"version": "1", "type": "library"}));
    }

    #[test]
    fn a_package_without_visible_versions_still_claims_its_name() {
        let document = document_json(&name(), [], DocumentForm::Minified);
        assert_eq!(document, r#"{"minified":"composer/2.0","packages":{"acme/blog":[]}}"#);
    }
}
