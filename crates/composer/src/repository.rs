//! What a Composer repository publishes: its root, `packages.json`, and the documents that the root leads to.
//!
//! A repository is asked by name (`metadata-url`, and Composer 1's `providers-lazy-url`), or read as a whole: inline
//! `packages`, `includes`, and Composer 1's `provider-includes`. What the client ignores is ignored here, too: inline
//! packages beside a `metadata-url`, and an empty `available-packages`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Map;
use crate::dist::DistMirror;
use crate::json::{InvalidJson, JsonBudget, parse_json_within};
use crate::minifier::Expander;
use crate::name::PackageName;
use crate::notices::{DocumentNotices, NoticeAddresses};
use crate::raw_object::{Raw, RawMember, RawObject};

/// Names that a root keeps as they are; more of them are kept as their vendors.
const MAX_NAMES: usize = 100;
/// Patterns that a root keeps; with more of them it counts as one that may have any package.
const MAX_PATTERNS: usize = 200;
/// Mirrors of archives that a root keeps.
const MAX_MIRRORS: usize = 5;

/// Why a document of a repository cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepository {
    /// Not JSON: a web page, or the first half of a document.
    #[error("the answer is not JSON ({0})")]
    NotJson(#[from] InvalidJson),
    /// JSON, but not an object.
    #[error("the answer is JSON, but not an object")]
    NotAnObject,
    /// A field is not what it must be.
    #[error("`{field}` {reason}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
}

/// What of a repository's root file, `packages.json`, is worth keeping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryRoot {
    /// Where the documents of one package are; `%package%` stands for its name. `None`: the repository is read whole.
    pub metadata_url: Option<String>,
    /// The names it may have, with `*` for any characters; `None` is any name.
    pub patterns: Option<Vec<String>>,
    /// Other places of its archives.
    pub mirrors: Vec<DistMirror>,
    /// Where it tells what is wrong with packages.
    #[serde(skip_serializing_if = "NoticeAddresses::is_empty")]
    pub notices: NoticeAddresses,
}

/// What a file of a repository that is read as a whole holds: `packages.json`, or one that it includes. Packages and
/// providers are many, and stay the text that they are in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RepositoryFile<'f> {
    /// Name → versions, as a list or keyed by version.
    pub packages: Vec<RawMember<'f>>,
    /// More files like this one.
    pub includes: Vec<FileReference>,
    /// Files that hold `providers`; `%hash%` in their addresses stands for their hash.
    pub provider_includes: Vec<FileReference>,
    /// Packages with a file of their own, at `providers_url`; each makes a [`FileReference`].
    pub providers: Vec<RawMember<'f>>,
    /// Where those are; `%package%` and `%hash%` stand for name and hash.
    pub providers_url: Option<String>,
    /// How many names `available-packages` has.
    pub available_packages: usize,
}

/// A file, or the package that has one, as another file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    /// Address or name.
    pub name: String,
    /// SHA-1 or SHA-256 of the file, lowercase hex, if it is told.
    pub hash: Option<String>,
}

fn object(bytes: &[u8], budget: &mut JsonBudget) -> Result<Map, InvalidRepository> {
    match parse_json_within(bytes, budget)? {
        Value::Object(map) => Ok(map),
        _ => Err(InvalidRepository::NotAnObject),
    }
}

/// PHP writes an empty object as an empty list.
fn members(document: &mut Map, field: &'static str) -> Result<Map, InvalidRepository> {
    match document.remove(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(Value::Array(list)) if list.is_empty() => Ok(Map::new()),
        Some(_) => Err(InvalidRepository::Field { field, reason: "must be an object" }),
    }
}

fn template(document: &Map, field: &'static str) -> Result<Option<String>, InvalidRepository> {
    match document.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(url)) if url.is_empty() => Ok(None),
        Some(Value::String(url)) if url.contains("%package%") => Ok(Some(url.clone())),
        Some(_) => Err(InvalidRepository::Field { field, reason: "must be an address with `%package%` in it" }),
    }
}

fn texts<'d>(document: &'d Map, field: &str) -> impl Iterator<Item = &'d str> {
    document.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl From<RawMember<'_>> for FileReference {
    /// What tells no hash is without one.
    fn from(member: RawMember<'_>) -> Self {
        let about = member.value().unwrap_or_default();
        Self::of(member.name.into_owned(), &about)
    }
}

impl FileReference {
    fn of(name: String, about: &Value) -> Self {
        let hash = about.get("sha256").or_else(|| about.get("sha1")).and_then(Value::as_str);
        Self { name, hash: hash.map(str::to_ascii_lowercase) }
    }
}

fn references(members: Map) -> Vec<FileReference> {
    members.into_iter().map(|(name, about)| FileReference::of(name, &about)).collect()
}

/// The fields of a repository's file that may be large.
const MANY: [&str; 2] = ["packages", "providers"];

fn raw_object(bytes: &[u8]) -> Result<RawObject<'_>, InvalidRepository> {
    match Raw::parse(bytes)? {
        Raw::Object(object) => Ok(object),
        Raw::Null | Raw::EmptyList | Raw::Other => Err(InvalidRepository::NotAnObject),
    }
}

/// As [`members`], of one that may be large.
fn raw_members<'f>(document: &RawObject<'f>, field: &'static str) -> Result<Vec<RawMember<'f>>, InvalidRepository> {
    match document.get(field)? {
        Raw::Object(object) => Ok(object.0),
        Raw::Null | Raw::EmptyList => Ok(Vec::new()),
        Raw::Other => Err(InvalidRepository::Field { field, reason: "must be an object" }),
    }
}

/// Reads a root file.
///
/// # Errors
/// [`InvalidRepository`] for what the client could not read either.
pub fn read_root(bytes: &[u8]) -> Result<(RepositoryRoot, RepositoryFile<'_>), InvalidRepository> {
    let whole = raw_object(bytes)?;
    let document = whole.read_without(&MANY)?;
    let metadata_url = template(&document, "metadata-url")?;
    let notices = NoticeAddresses::of(&document, metadata_url.is_some());
    let metadata_url = match metadata_url {
        Some(url) => Some(url),
        None => template(&document, "providers-lazy-url")?,
    };
    let names: Vec<&str> = texts(&document, "available-packages").collect();
    let available_packages = names.len();
    let patterns = package_patterns(names.into_iter().chain(texts(&document, "available-package-patterns")));
    let mirrors = document.get("mirrors").and_then(Value::as_array).into_iter().flatten();
    let mirrors = mirrors.filter_map(|mirror| {
        let url = mirror.get("dist-url")?.as_str().filter(|url| !holds_login(url))?.to_owned();
        Some(DistMirror { url, preferred: mirror.get("preferred").and_then(Value::as_bool).unwrap_or(false) })
    });
    let root = RepositoryRoot { metadata_url, patterns, mirrors: mirrors.take(MAX_MIRRORS).collect(), notices };
    if root.metadata_url.is_some() {
        return Ok((root, RepositoryFile { available_packages, ..RepositoryFile::default() }));
    }
    Ok((root, repository_file(&whole, document)?))
}

/// Whether an address has a user name or a password before its host. A mirror with one is left out: the root is kept as
/// it is read, and secrets are not to lie in it.
fn holds_login(url: &str) -> bool {
    url.split_once("//").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')))
}

/// Reads a file that the root file, or another such file, includes.
///
/// # Errors
/// [`InvalidRepository`] for what the client could not read either.
pub fn read_included(bytes: &[u8]) -> Result<RepositoryFile<'_>, InvalidRepository> {
    let whole = raw_object(bytes)?;
    let document = whole.read_without(&MANY)?;
    repository_file(&whole, document)
}

fn repository_file<'f>(whole: &RawObject<'f>, mut document: Map) -> Result<RepositoryFile<'f>, InvalidRepository> {
    Ok(RepositoryFile {
        packages: raw_members(whole, "packages")?,
        includes: references(members(&mut document, "includes")?),
        provider_includes: references(members(&mut document, "provider-includes")?),
        providers: raw_members(whole, "providers")?,
        providers_url: template(&document, "providers-url")?,
        available_packages: 0,
    })
}

/// Names and patterns of packages (`available-packages`, `available-package-patterns`) in a form that is kept with a
/// repository: the same ones, or the vendors of many.
pub fn package_patterns<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Vec<String>> {
    let (mut exact, mut vendors) = (BTreeSet::new(), BTreeSet::new());
    for name in names.into_iter().filter(|name| name.len() <= PackageName::MAX_BYTES) {
        let name = name.to_ascii_lowercase();
        let vendor = name.split_once('/').map_or_else(|| name.clone(), |(vendor, _)| format!("{vendor}/*"));
        vendors.insert(vendor);
        exact.insert(name);
    }
    let kept = if exact.len() <= MAX_NAMES { exact } else { vendors };
    (1..=MAX_PATTERNS).contains(&kept.len()).then(|| kept.into_iter().collect())
}

/// What a document says of its package.
#[derive(Debug)]
pub struct PackageDocument {
    /// The versions, one after the other.
    pub versions: Versions,
    /// What is wrong with them.
    pub notices: DocumentNotices,
}

/// Reads a document of the package `name`; `None` when it does not speak of that package. Its values count against `budget`.
///
/// # Errors
/// [`InvalidRepository`] for a document that is not one.
pub fn read_package(
    bytes: &[u8],
    name: &PackageName,
    budget: &mut JsonBudget,
) -> Result<Option<PackageDocument>, InvalidRepository> {
    let mut document = object(bytes, budget)?;
    let is_minified = document.get("minified").is_some_and(|form| form == "composer/2.0");
    let packages = members(&mut document, "packages")?;
    let own = packages.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_str()));
    let Some((_, versions)) = own else { return Ok(None) };
    let versions = Versions::of(versions, is_minified)?;
    Ok(Some(PackageDocument { versions, notices: DocumentNotices::of(&document) }))
}

/// The versions of one package, in full.
#[derive(Debug)]
pub struct Versions {
    entries: Vec<Value>,
    expander: Option<Expander>,
}

impl Versions {
    /// Those in the value of a package: a list, or an object keyed by version.
    ///
    /// # Errors
    /// [`InvalidRepository`] when it is neither.
    pub fn of(value: Value, is_minified: bool) -> Result<Self, InvalidRepository> {
        let mut entries: Vec<Value> = match value {
            Value::Array(list) => list,
            Value::Object(keyed) => keyed.into_iter().map(|(_, version)| version).collect(),
            _ => return Err(InvalidRepository::Field { field: "packages", reason: "must hold lists of versions" }),
        };
        entries.reverse();
        Ok(Self { entries, expander: is_minified.then(Expander::default) })
    }
}

impl Iterator for Versions {
    type Item = Map;

    /// What is no object has nothing in it.
    fn next(&mut self) -> Option<Map> {
        let entry = match self.entries.pop()? {
            Value::Object(entry) => entry,
            _ => Map::new(),
        };
        Some(match &mut self.expander {
            Some(expander) => expander.next(entry),
            None => entry,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> PackageName {
        PackageName::parse("acme/lib").expect("a name")
    }

    #[test]
    fn a_lazy_root_is_asked_by_name_and_its_inline_packages_are_ignored() {
        let document = json!({
            "packages": {"acme/old": []}, "metadata-url": "/p2/%package%.json", "providers-url": "/p/%package%.json",
            "available-packages": ["Acme/Lib"], "available-package-patterns": ["other/*"],
            "mirrors": [
                {"dist-url": "https://m.test/%package%.zip", "preferred": true}, {"git-url": "x"},
                {"dist-url": "https://jo:secret@m.test/%package%.zip"},
            ],
        })
        .to_string();
        let (root, file) = read_root(document.as_bytes()).expect("a root");
        assert_eq!(root.metadata_url.as_deref(), Some("/p2/%package%.json"));
        assert_eq!(root.patterns, Some(vec!["acme/lib".to_owned(), "other/*".to_owned()]));
        let kept = json!({
            "metadata_url": "/p2/%package%.json", "patterns": ["acme/lib", "other/*"],
            "mirrors": [["https://m.test/%package%.zip", true]],
        });
        assert_eq!(json!(root), kept);
        assert_eq!(serde_json::from_value::<RepositoryRoot>(kept).expect("kept"), root);
        assert_eq!(root.mirrors, [DistMirror { url: "https://m.test/%package%.zip".to_owned(), preferred: true }]);
        assert_eq!(file, RepositoryFile { available_packages: 1, ..RepositoryFile::default() });
    }

    #[test]
    fn an_empty_list_of_names_is_no_list() {
        let document = json!({"metadata-url": "/p2/%package%.json", "available-packages": []}).to_string();
        let (root, _) = read_root(document.as_bytes()).expect("a root");
        assert_eq!(root.patterns, None);
    }

    #[test]
    fn many_names_are_kept_as_their_vendors_and_very_many_vendors_not_at_all() {
        let names: Vec<String> = (0..150).map(|number| format!("v{}/p{number}", number % 3)).collect();
        let kept = package_patterns(names.iter().map(String::as_str));
        assert_eq!(kept, Some(vec!["v0/*".to_owned(), "v1/*".to_owned(), "v2/*".to_owned()]));
        let names: Vec<String> = (0..201).map(|number| format!("v{number}/p")).collect();
        assert_eq!(package_patterns(names.iter().map(String::as_str)), None);
    }

    #[test]
    fn a_whole_root_tells_its_packages_and_what_it_includes() {
        let document = json!({
            "packages": {"acme/lib": {"1.0": {}}}, "includes": {"include/all.json": {"sha1": "AB"}},
            "provider-includes": {"p/latest$%hash%.json": {"sha256": "cd"}}, "providers-url": "/p/%package%$%hash%.json",
        }).to_string();
        let (root, file) = read_root(document.as_bytes()).expect("a root");
        assert_eq!(root, RepositoryRoot::default());
        let reference = |name: &str, hash: &str| FileReference { name: name.to_owned(), hash: Some(hash.to_owned()) };
        assert_eq!(file.includes, [reference("include/all.json", "ab")]);
        assert_eq!(file.provider_includes, [reference("p/latest$%hash%.json", "cd")]);
        assert_eq!(file.packages.len(), 1);
    }

    #[test]
    fn what_is_no_repository_is_refused_with_the_reason() {
        let refused = |bytes: &[u8]| read_root(bytes).expect_err("refused").to_string();
        assert!(refused(b"<!doctype html>").starts_with("the answer is not JSON (expected value"));
        assert!(refused(b"{\"packages\": {").starts_with("the answer is not JSON (EOF"));
        assert_eq!(refused(b"[]"), "the answer is JSON, but not an object");
        assert_eq!(refused(br#"{"packages": 5}"#), "`packages` must be an object");
        assert_eq!(refused(br#"{"metadata-url": "/p2/"}"#), "`metadata-url` must be an address with `%package%` in it");
    }

    #[test]
    fn versions_are_read_from_lists_minified_or_not_and_from_objects() {
        let read = |document: Value| {
            let versions = read_package(document.to_string().as_bytes(), &name(), &mut JsonBudget::default())
                .expect("a document")?
                .versions;
            Some(versions.map(|version| Value::Object(version).to_string()).collect::<Vec<_>>())
        };
        let full = [r#"{"version":"2","type":"library"}"#, r#"{"version":"1"}"#].map(str::to_owned);
        let list = json!([{"version": "2", "type": "library"}, {"version": "1", "type": "__unset"}]);
        assert_eq!(read(json!({"minified": "composer/2.0", "packages": {"acme/lib": list}})), Some(full.to_vec()));
        let keyed = json!({"2": {"version": "2", "type": "library"}, "1": {"version": "1"}});
        assert_eq!(read(json!({"packages": {"Acme/Lib": keyed}})), Some(full.to_vec()));
        assert_eq!(read(json!({"packages": {"acme/lib": []}})), Some(vec![]));
        assert_eq!(read(json!({"packages": {"acme/other": []}})), None);
        assert_eq!(read(json!({"packages": []})), None);
    }
}
