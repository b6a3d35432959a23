//! What a package's documents carry beside its versions: its advisories in brief, and the entries of filter lists.

use composer::{Constraint, NormalizedVersion};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::read_text;
use crate::ports::Fault;

/// What a package's documents carry beside its versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "NoticeColumns")]
pub struct SecurityNotices {
    advisories: Vec<AdvisorySummary>,
    filter: Vec<FilterEntrySummary>,
}

/// What the database has of a package: what was written down here, and what each upstream says.
#[derive(Deserialize)]
struct NoticeColumns {
    #[serde(flatten)]
    own: NoticeLists,
    #[serde(default)]
    upstreams: Vec<NoticeLists>,
}

#[derive(Deserialize)]
struct NoticeLists {
    advisories: Vec<StoredAdvisory>,
    filter: Vec<FilterEntrySummary>,
}

/// An advisory with the places where it was published: of an upstream's they are in its text, if that is known.
#[derive(Deserialize)]
struct StoredAdvisory {
    #[serde(flatten)]
    summary: AdvisorySummary,
    #[serde(default)]
    sources: Vec<SourceId>,
    #[serde(default)]
    text: Option<AdvisorySources>,
}

#[derive(Deserialize)]
struct AdvisorySources {
    sources: Vec<SourceId>,
}

#[derive(Deserialize)]
struct SourceId {
    #[serde(default, rename = "remoteId")]
    remote_id: String,
}

impl StoredAdvisory {
    /// All that it goes by.
    fn ids(&self) -> Vec<&str> {
        let sources = self.sources.iter().chain(self.text.iter().flat_map(|text| &text.sources));
        std::iter::once(self.summary.advisory_id.as_str()).chain(sources.map(|source| &*source.remote_id)).collect()
    }
}

/// Whether two advisories of a package are one: the one goes by an id that the other goes by, its own or that of a place
/// where it was published.
pub fn share_an_id(one: &[&str], other: &[&str]) -> bool {
    one.iter().any(|id| !id.is_empty() && other.iter().any(|known| known.eq_ignore_ascii_case(id)))
}

impl From<NoticeColumns> for SecurityNotices {
    /// One advisory of an id, and one entry of a list and a constraint; what was written down here comes first.
    fn from(NoticeColumns { own, upstreams }: NoticeColumns) -> Self {
        let (mut advisories, mut filter) = (own.advisories, own.filter);
        for upstream in upstreams {
            for advisory in upstream.advisories {
                if !advisories.iter().any(|known| share_an_id(&known.ids(), &advisory.ids())) {
                    advisories.push(advisory);
                }
            }
            for entry in upstream.filter {
                if !filter.iter().any(|known| known.list == entry.list && known.constraint == entry.constraint) {
                    filter.push(entry);
                }
            }
        }
        Self { advisories: advisories.into_iter().map(|advisory| advisory.summary).collect(), filter }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct AdvisorySummary {
    advisory_id: String,
    affected_versions: String,
}

/// An entry of a filter list, without its package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FilterEntrySummary {
    /// The list.
    pub list: String,
    /// Of the versions that it concerns.
    pub constraint: String,
    /// Why they are listed.
    pub reason: Option<String>,
    /// Where that is explained.
    pub url: Option<String>,
    /// What it is called: its public id, or what an upstream calls it.
    pub id: Option<String>,
    /// Who says so, if that is told.
    #[serde(default)]
    pub source: Option<String>,
}

impl FilterEntrySummary {
    /// As composer reads it; `package` where it does not follow from the place.
    pub fn json(&self, package: Option<&str>) -> Value {
        let mut entry = Map::new();
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                entry.insert(key.to_owned(), json!(value));
            }
        };
        put("package", package);
        put("constraint", Some(&self.constraint));
        put("reason", self.reason.as_deref());
        put("url", self.url.as_deref());
        put("id", self.id.as_deref());
        put("source", self.source.as_deref());
        Value::Object(entry)
    }
}

impl SecurityNotices {
    /// Reads what the database has put together.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        read_text(text).map_err(|error| Fault::new("database", format!("notices: {error}")))
    }

    /// Those that concern one of the versions that are `seen`; `None`: every version is.
    #[must_use]
    pub fn limited_to(&self, seen: Option<&[NormalizedVersion]>) -> Self {
        let Some(seen) = seen else { return self.clone() };
        Self {
            advisories: self.advisories.iter().filter(|a| concerns(&a.affected_versions, seen)).cloned().collect(),
            filter: self.filter.iter().filter(|e| concerns(&e.constraint, seen)).cloned().collect(),
        }
    }

    /// Adds them to the text of a document, a JSON object. Both keys are always there: without them composer would ask
    /// for each package elsewhere.
    pub fn add_to(&self, document: &mut String) {
        let mut lists: Map<String, Value> = Map::new();
        for entry in &self.filter {
            let list = lists.entry(entry.list.clone()).or_insert_with(|| json!([]));
            list.as_array_mut().into_iter().for_each(|list| list.push(entry.json(None)));
        }
        document.pop();
        document.push_str(",\"security-advisories\":");
        document.push_str(&json!(self.advisories).to_string());
        document.push_str(",\"filter\":");
        document.push_str(&Value::Object(lists).to_string());
        document.push('}');
    }
}

/// Whether a constraint concerns one of these versions.
pub fn concerns(constraint: &str, versions: &[NormalizedVersion]) -> bool {
    // A constraint is checked before it is written down; one that cannot be read concerns everything.
    Constraint::parse(constraint).map_or(true, |constraint| versions.iter().any(|version| constraint.matches(version)))
}
