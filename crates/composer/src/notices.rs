//! What a repository says to be wrong with packages: security advisories, and filter lists like `malware`. Both stand in the
//! documents of packages, and in answers of their own whose addresses the root names. Repositories are other people's: what
//! is too long is cut or left out, and no entry that cannot be read keeps the others from being read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Map;
use crate::json::parse_json;
use crate::repository::InvalidRepository;

/// Most advisories, and most entries of filter lists, of one package.
const MAX_NOTICES: usize = 500;
/// Longest id of an advisory or an entry.
const MAX_ID: usize = 200;
/// Longest constraint: advisories of old packages name hundreds of ranges.
const MAX_CONSTRAINT: usize = 20_000;
/// Most characters of a text that people read.
const MAX_TEXT: usize = 1000;
/// Most bytes of an address.
const MAX_URL: usize = 2000;
/// Most places where an advisory was published.
const MAX_SOURCES: usize = 20;
/// Most filter lists of a repository.
const MAX_LISTS: usize = 20;

/// How grave an advisory may be, in the words that Composer knows.
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// Names that Composer does not take for a filter list, besides those that begin with `ignore`.
const RESERVED_LISTS: [&str; 12] = [
    "advisories",
    "abandoned",
    "package",
    "packages",
    "license",
    "licence",
    "licenses",
    "licences",
    "support",
    "maintenance",
    "security",
    "minimum-release-age",
];

/// Whether Composer passes over a filter list of this name.
pub fn is_reserved_list(name: &str) -> bool {
    RESERVED_LISTS.contains(&name) || name.starts_with("ignore")
}

/// Where a repository tells of advisories and filter lists, as its root says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeAddresses {
    /// Whether the documents of packages hold advisories.
    pub advisories_in_documents: bool,
    /// Where advisories are asked for in full.
    pub advisories_api: Option<String>,
    /// The filter lists whose entries are in the documents of packages.
    pub filter_lists: Vec<String>,
    /// Where all of them are in brief.
    pub filter_summary: Option<String>,
}

impl NoticeAddresses {
    /// Reads them from a root; `has_documents`: whether packages have documents of their own, without which Composer
    /// reads none of them.
    pub(crate) fn of(root: &Map, has_documents: bool) -> Self {
        let object = |key: &str| root.get(key).and_then(Value::as_object).filter(|_| has_documents);
        let is_true = |object: Option<&Map>, key: &str| object.and_then(|map| map.get(key)) == Some(&Value::Bool(true));
        let address = |object: Option<&Map>, key: &str| {
            let text = object?.get(key)?.as_str()?;
            (!text.is_empty() && text.len() <= MAX_URL).then(|| text.to_owned())
        };
        let (security, filter) = (object("security-advisories"), object("filter"));
        // Without entries in the documents, Composer takes a filter for switched off.
        let filter = filter.filter(|filter| is_true(Some(*filter), "metadata"));
        let lists = filter.and_then(|filter| filter.get("lists")).and_then(Value::as_object).into_iter().flatten();
        let lists = lists.filter(|(name, about)| is_list(name) && is_true(about.as_object(), "enabled"));
        Self {
            advisories_in_documents: is_true(security, "metadata"),
            advisories_api: address(security, "api-url"),
            filter_lists: lists.map(|(name, _)| name.clone()).take(MAX_LISTS).collect(),
            filter_summary: address(filter, "summary-url"),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_list(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 50 && name.bytes().all(is_plain) && !is_reserved_list(name)
}

/// A security advisory as a repository publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advisory {
    /// What people call it.
    pub advisory_id: String,
    /// Constraint of the versions that it concerns.
    pub affected_versions: String,
    /// What it says; documents may leave it out.
    pub text: Option<AdvisoryText>,
}

/// What an advisory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoryText {
    /// One line.
    pub title: String,
    /// `CVE-2026-0001`.
    pub cve: Option<String>,
    /// Where to read more.
    pub link: Option<String>,
    /// One of [`SEVERITIES`].
    pub severity: Option<String>,
    /// Where it was published.
    pub sources: Vec<AdvisorySource>,
    /// When it was made public, as the repository writes it.
    pub reported_at: String,
}

/// Where an advisory was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvisorySource {
    /// `GitHub`.
    pub name: String,
    /// Its id there.
    pub remote_id: String,
}

/// An entry of a filter list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterEntry {
    /// The list.
    pub list: String,
    /// Constraint of the versions that it concerns.
    pub constraint: String,
    /// Why they are listed.
    pub reason: Option<String>,
    /// Where that is explained.
    pub url: Option<String>,
    /// What people call it.
    pub id: Option<String>,
    /// Who says so.
    pub source: Option<String>,
}

/// What the document of a package says of it beside its versions; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentNotices {
    /// Its advisories.
    pub advisories: Option<Vec<Advisory>>,
    /// Its entries on filter lists.
    pub filter: Option<Vec<FilterEntry>>,
}

impl DocumentNotices {
    /// Reads them from a document.
    pub(crate) fn of(document: &Map) -> Self {
        Self {
            advisories: document.get("security-advisories").and_then(Value::as_array).map(|list| advisories(list)),
            filter: match document.get("filter") {
                Some(Value::Object(lists)) => Some(filter_entries(lists)),
                // PHP writes an empty object as an empty list.
                Some(Value::Array(list)) if list.is_empty() => Some(Vec::new()),
                _ => None,
            },
        }
    }
}

fn advisories(list: &[Value]) -> Vec<Advisory> {
    list.iter().filter_map(advisory).take(MAX_NOTICES).collect()
}

fn advisory(value: &Value) -> Option<Advisory> {
    let advisory_id = identifier(value, "advisoryId")?;
    let affected_versions = constraint(value, "affectedVersions")?;
    Some(Advisory { advisory_id, affected_versions, text: advisory_text(value) })
}

fn advisory_text(value: &Value) -> Option<AdvisoryText> {
    let source =
        |source: &Value| Some(AdvisorySource { name: line(source, "name")?, remote_id: line(source, "remoteId")? });
    let severity = value.get("severity").and_then(Value::as_str).map(str::to_ascii_lowercase);
    Some(AdvisoryText {
        title: line(value, "title")?,
        cve: line(value, "cve"),
        link: link(value, "link"),
        severity: severity.filter(|severity| SEVERITIES.contains(&severity.as_str())),
        sources: value.get("sources")?.as_array()?.iter().filter_map(source).take(MAX_SOURCES).collect(),
        reported_at: line(value, "reportedAt")?,
    })
}

fn filter_entries(lists: &Map) -> Vec<FilterEntry> {
    let entry = |list: &String, value: &Value| {
        Some(FilterEntry {
            list: list.clone(),
            constraint: constraint(value, "constraint")?,
            reason: line(value, "reason"),
            url: link(value, "url"),
            id: identifier(value, "id"),
            source: line(value, "source"),
        })
    };
    let known = lists.iter().filter(|(list, _)| is_list(list));
    let all =
        known.flat_map(|(list, entries)| entries.as_array().into_iter().flatten().map(move |value| (list, value)));
    all.filter_map(|(list, value)| entry(list, value)).take(MAX_NOTICES).collect()
}

/// A text that something is told by: cut, it would be another one.
fn identifier(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_ID && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn constraint(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?.trim();
    (!text.is_empty() && text.len() <= MAX_CONSTRAINT && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// A text on one line, cut when it is too long.
fn line(value: &Value, key: &str) -> Option<String> {
    let text: String = value.get(key)?.as_str()?.chars().filter(|letter| !letter.is_control()).take(MAX_TEXT).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// An address of a page, which people are going to follow.
fn link(value: &Value, key: &str) -> Option<String> {
    let url = value.get(key)?.as_str()?;
    let is_page = url.starts_with("https://") || url.starts_with("http://");
    (is_page && url.len() <= MAX_URL && !url.contains(|letter: char| letter.is_control() || letter == ' '))
        .then(|| url.to_owned())
}

/// Reads the answer to a question for advisories: package (lowercase) → its advisories, in full.
///
/// # Errors
/// [`InvalidRepository`] for an answer without `advisories`, which Composer refuses too.
pub fn read_advisories(bytes: &[u8]) -> Result<BTreeMap<String, Vec<Advisory>>, InvalidRepository> {
    let packages = answer(bytes, "advisories")?;
    let list = |value: &Value| value.as_array().map(|list| advisories(list)).unwrap_or_default();
    Ok(packages.iter().map(|(name, value)| (name.to_ascii_lowercase(), list(value))).collect())
}

/// Reads a summary of filter lists: package (lowercase) → list → constraint.
///
/// # Errors
/// [`InvalidRepository`] for a document without `filter`, which Composer refuses too.
pub fn read_filter_summary(bytes: &[u8]) -> Result<BTreeMap<String, BTreeMap<String, String>>, InvalidRepository> {
    let mut summary: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (list, packages) in answer(bytes, "filter")?.iter().filter(|(list, _)| is_list(list)) {
        for name in packages.as_object().into_iter().flat_map(Map::keys) {
            if let Some(constraint) = constraint(packages, name) {
                summary.entry(name.to_ascii_lowercase()).or_default().insert(list.clone(), constraint);
            }
        }
    }
    Ok(summary)
}

/// The object below `field` of an answer; PHP writes an empty one as an empty list.
fn answer(bytes: &[u8], field: &'static str) -> Result<Map, InvalidRepository> {
    let missing = InvalidRepository::Field { field, reason: "must be an object" };
    match parse_json(bytes)? {
        Value::Object(mut answer) => match answer.remove(field) {
            Some(Value::Object(members)) => Ok(members),
            Some(Value::Array(list)) if list.is_empty() => Ok(Map::new()),
            _ => Err(missing),
        },
        _ => Err(InvalidRepository::NotAnObject),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn a_root_says_where_notices_are_if_its_packages_have_documents() {
        let root = map(json!({
            "security-advisories": {"metadata": true, "api-url": "/api/advisories"},
            "filter": {
                "metadata": true, "summary-url": "/filter.json",
                "lists": {"malware": {"enabled": true}, "off": {"enabled": false}, "ignore-me": {"enabled": true}},
            },
        }));
        let addresses = NoticeAddresses {
            advisories_in_documents: true,
            advisories_api: Some("/api/advisories".to_owned()),
            filter_lists: vec!["malware".to_owned()],
            filter_summary: Some("/filter.json".to_owned()),
        };
        assert_eq!(NoticeAddresses::of(&root, true), addresses);
        assert!(NoticeAddresses::of(&root, false).is_empty());
        let only_by_api = map(json!({"filter": {"lists": {"malware": {"enabled": true}}, "summary-url": "/f.json"}}));
        assert!(NoticeAddresses::of(&only_by_api, true).is_empty(), "Composer takes it for switched off");
    }

    #[test]
    fn notices_are_read_in_brief_and_in_full_and_what_cannot_be_read_is_passed_over() {
        let full = json!({
            "advisoryId": "PKSA-1", "affectedVersions": ">=1,<2", "title": "Path\ntraversal", "cve": null,
            "link": "javascript:alert(1)", "severity": "HIGH", "sources": [{"name": "GitHub", "remoteId": "GHSA-1"}, 5],
            "reportedAt": "2026-01-02 03:04:05",
        });
        let document = map(json!({
            "security-advisories": [
                full, {"advisoryId": "PKSA-2", "affectedVersions": "*"}, {"advisoryId": "PKSA-3"}, 5,
                {"advisoryId": "x".repeat(MAX_ID + 1), "affectedVersions": "*"},
            ],
            "filter": {
                "malware": [{"constraint": "1.0.0", "reason": "stolen", "url": "https://a.test/1", "id": "M-1", "source": "aikido"}, {}],
                "advisories": [{"constraint": "*"}],
            },
        }));
        let DocumentNotices { advisories, filter } = DocumentNotices::of(&document);
        let advisories = advisories.expect("advisories");
        assert_eq!(advisories.iter().map(|one| one.advisory_id.as_str()).collect::<Vec<_>>(), ["PKSA-1", "PKSA-2"]);
        let text = advisories[0].text.clone().expect("a text");
        assert_eq!((text.title.as_str(), text.severity.as_deref()), ("Pathtraversal", Some("high")));
        assert_eq!((text.link, text.cve, text.sources.len()), (None, None, 1));
        assert_eq!(advisories[1].text, None);
        let entry = FilterEntry {
            list: "malware".to_owned(),
            constraint: "1.0.0".to_owned(),
            reason: Some("stolen".to_owned()),
            url: Some("https://a.test/1".to_owned()),
            id: Some("M-1".to_owned()),
            source: Some("aikido".to_owned()),
        };
        assert_eq!(filter, Some(vec![entry]));
        assert_eq!(DocumentNotices::of(&map(json!({"filter": []}))).filter, Some(Vec::new()));
        assert_eq!(DocumentNotices::of(&Map::new()), DocumentNotices::default());
    }

    #[test]
    fn answers_are_read_by_package_and_refused_without_their_key() {
        let read = |value: Value| read_advisories(value.to_string().as_bytes());
        let advisory = json!({"advisoryId": "A", "affectedVersions": "*"});
        let answer = read(json!({"advisories": {"Acme/Lib": [advisory], "acme/none": []}})).expect("an answer");
        assert_eq!(answer["acme/lib"].len(), 1);
        assert_eq!(answer["acme/none"].len(), 0);
        assert!(read(json!({"advisories": []})).expect("an answer").is_empty());
        assert_eq!(read(json!({})).expect_err("no answer").to_string(), "`advisories` must be an object");
        let summary = json!({"filter": {"malware": {"Acme/Lib": "*", "acme/odd": 5}, "support": {"acme/lib": "*"}}});
        let summary = read_filter_summary(summary.to_string().as_bytes()).expect("a summary");
        assert_eq!(json!(summary), json!({"acme/lib": {"malware": "*"}}));
        assert!(read_filter_summary(b"{}").is_err());
    }
}
