//! Whose a name is, and what upstream repositories said of it: all that decides who answers for a name.

use crate::ports::{Fault, Millis, Row};
use crate::store::texts;
use composer::RepositoryRoot;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a server wants to be told when it is asked for a document again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, verbatim.
    pub etag: Option<String>,
    /// `Last-Modified`, verbatim.
    pub last_modified: Option<String>,
}

impl Validators {
    /// As they are kept.
    pub fn to_json(&self) -> Value {
        json!([self.etag, self.last_modified])
    }

    fn from_json(kept: &Value) -> Self {
        let text = |place: usize| kept.get(place).and_then(Value::as_str).map(str::to_owned);
        Self { etag: text(0), last_modified: text(1) }
    }

    /// Those of several documents as they are kept.
    pub fn list_to_json(list: &[Self]) -> String {
        Value::Array(list.iter().map(Self::to_json).collect()).to_string()
    }

    fn list_from_json(kept: &Value) -> Vec<Self> {
        kept.as_array().into_iter().flatten().map(Self::from_json).collect()
    }
}

/// An upstream's root as it is kept with its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRoot {
    /// What it says.
    pub root: RepositoryRoot,
    /// How to ask for it again.
    pub validators: Validators,
}

impl StoredRoot {
    /// As it is kept.
    pub fn to_json(&self) -> String {
        json!({"root": self.root, "validators": self.validators.to_json()}).to_string()
    }

    fn from_json(kept: &Value) -> Option<Self> {
        let root = RepositoryRoot::deserialize(kept.get("root")?).ok()?;
        Some(Self { root, validators: Validators::from_json(kept.get("validators")?) })
    }
}

/// Reads what [`StoredRoot::to_json`] wrote.
pub fn stored_root(text: Option<&str>) -> Option<StoredRoot> {
    StoredRoot::from_json(&serde_json::from_str(text?).ok()?)
}

/// What an upstream answered for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It has versions.
    Found,
    /// It has no such package.
    Absent,
    /// It has the name, and no version.
    Claimed,
}

const ANSWERS: [(Answered, &str); 3] =
    [(Answered::Found, "found"), (Answered::Absent, "absent"), (Answered::Claimed, "claimed")];

impl Answered {
    fn parse(name: &str) -> Option<Self> {
        ANSWERS.iter().find(|(_, known)| *known == name).map(|(answer, _)| *answer)
    }

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        ANSWERS.iter().find(|(answer, _)| *answer == self).map_or("", |(_, name)| name)
    }
}

/// An upstream repository.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Primary key.
    pub id: i64,
    /// Public id.
    pub uid: String,
    /// Where it is.
    pub url: String,
    /// `composer` or `packagist`.
    pub provider: String,
    /// `none`, `token` or `basic`.
    pub credential_type: String,
    /// Sealed.
    pub credentials: Option<String>,
    /// Names and globs; `None` is every name.
    pub filter: Option<Vec<String>>,
    /// Its root, once it was read.
    pub root: Option<StoredRoot>,
}

/// What an upstream said of one name.
#[derive(Debug, Clone)]
pub struct Said {
    /// The upstream.
    pub upstream: Upstream,
    /// What it answered.
    pub answer: Option<Answered>,
    /// When.
    pub checked_at: Option<Millis>,
    /// What it published.
    pub before: Before,
}

/// What an upstream published of a name, to compare with what it has now.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Of its documents.
    pub validators: Vec<Validators>,
    /// SHA-256 over them.
    pub digest: Option<String>,
}

impl Before {
    pub(in crate::store) fn read(validators: &Value, digest: Option<String>) -> Self {
        Self { validators: Validators::list_from_json(validators), digest }
    }
}

impl Said {
    fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            upstream: Upstream {
                id: row.needed_number("id")?,
                uid: row.needed_text("uid")?,
                url: row.needed_text("url")?,
                provider: row.needed_text("provider")?,
                credential_type: row.needed_text("credential_type")?,
                credentials: row.text("credentials"),
                filter: texts(&row.take("package_filter")),
                root: StoredRoot::from_json(&row.take("root")),
            },
            answer: row.text("answer").as_deref().and_then(Answered::parse),
            checked_at: row.number("checked_at").map(Millis),
            before: Before::read(&row.take("validators"), row.text("digest")),
        })
    }
}

/// Whose a name is.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    /// The repository that has the package.
    pub owner: Option<i64>,
    /// That repository's provider.
    pub owner_provider: Option<String>,
    /// The package's revision.
    pub revision: Option<i64>,
    /// Whether the package comes from git or an upload.
    pub is_own: bool,
    /// Whether some package of the vendor does.
    pub has_own_vendor: bool,
    /// Whether the vendor is in `reserved_vendors`.
    pub is_reserved: bool,
}

impl Ownership {
    pub(in crate::store) fn read(row: &mut Row) -> Self {
        Self {
            owner: row.number("owner"),
            owner_provider: row.text("owner_provider"),
            revision: row.number("revision"),
            is_own: row.is_true("is_own"),
            has_own_vendor: row.is_true("has_own_vendor"),
            is_reserved: row.is_true("is_reserved"),
        }
    }
}

/// All that decides who answers for a name; a look-up of a package that is not our own brings it along.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whose it is.
    pub ownership: Ownership,
    /// What every upstream said that may be asked, in no order.
    pub upstreams: Vec<Said>,
}

impl Facts {
    /// Reads the JSON that `packages::documents` yields.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let facts = serde_json::from_str(text).map_err(|error| Fault::new("database", error))?;
        let mut row = Row::of(facts);
        let upstreams = match row.take("upstreams") {
            Value::Array(list) => list.into_iter().map(|upstream| Said::read(&mut Row::of(upstream))).collect(),
            _ => Ok(Vec::new()),
        };
        Ok(Self { ownership: Ownership::read(&mut row), upstreams: upstreams? })
    }
}
