//! Whose a name is, and what upstream repositories said of it: all that decides who answers for a name.

use composer::RepositoryRoot;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::json::read_text;
use crate::ports::{Fault, Millis};
use crate::store::flag;

/// What a server wants to be told when it is asked for a document again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Option<String>, Option<String>)", into = "(Option<String>, Option<String>)")]
pub struct Validators {
    /// `ETag`, verbatim.
    pub etag: Option<String>,
    /// `Last-Modified`, verbatim.
    pub last_modified: Option<String>,
}

impl From<(Option<String>, Option<String>)> for Validators {
    fn from((etag, last_modified): (Option<String>, Option<String>)) -> Self {
        Self { etag, last_modified }
    }
}

impl From<Validators> for (Option<String>, Option<String>) {
    fn from(validators: Validators) -> Self {
        (validators.etag, validators.last_modified)
    }
}

/// An upstream's root as it is kept with its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRoot {
    /// What it says.
    pub root: RepositoryRoot,
    /// How to ask for it again.
    pub validators: Validators,
}

impl StoredRoot {
    /// As it is kept.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads what was kept; a root that cannot be read is asked for again.
    pub fn from_json(text: Option<&str>) -> Option<Self> {
        read_text(text?).ok()
    }
}

/// As [`StoredRoot::from_json`], of a root that stands in other JSON.
fn readable_root<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoredRoot>, D::Error> {
    let kept = Option::<Value>::deserialize(deserializer)?;
    Ok(kept.and_then(|kept| StoredRoot::deserialize(kept).ok()))
}

/// What an upstream answered for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerKind {
    /// It has versions.
    Found,
    /// It has no such package.
    Absent,
    /// It has the name, and no version.
    Claimed,
}

impl AnswerKind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Absent => "absent",
            Self::Claimed => "claimed",
        }
    }
}

/// An upstream repository.
#[derive(Debug, Clone)]
pub struct UpstreamRepository {
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
    /// Sealed, for other hosts.
    pub host_credentials: Option<String>,
    /// Names and globs; `None` is every name.
    pub filter: Option<Vec<String>>,
    /// Its root, once it was read.
    pub root: Option<StoredRoot>,
}

/// What an upstream published of a name, to compare with what it has now.
#[derive(Debug, Clone, Default)]
pub struct PreviousAnswer {
    /// Of its documents.
    pub validators: Vec<Validators>,
    /// SHA-256 over them.
    pub digest: Option<String>,
}

/// What an upstream said of one name.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "AnswerColumns")]
pub struct UpstreamAnswer {
    /// The upstream.
    pub upstream: UpstreamRepository,
    /// What it answered.
    pub answer: Option<AnswerKind>,
    /// When.
    pub checked_at: Option<Millis>,
    /// What it published.
    pub before: PreviousAnswer,
}

/// The fields of [`UpstreamAnswer`] as `packages::documents` puts them together.
#[derive(Deserialize)]
struct AnswerColumns {
    id: i64,
    uid: String,
    url: String,
    provider: String,
    credential_type: String,
    credentials: Option<String>,
    host_credentials: Option<String>,
    package_filter: Option<Vec<String>>,
    #[serde(deserialize_with = "readable_root")]
    root: Option<StoredRoot>,
    answer: Option<AnswerKind>,
    checked_at: Option<Millis>,
    validators: Option<Vec<Validators>>,
    digest: Option<String>,
}

impl From<AnswerColumns> for UpstreamAnswer {
    fn from(columns: AnswerColumns) -> Self {
        let AnswerColumns { id, uid, url, provider, package_filter, root, .. } = columns;
        Self {
            upstream: UpstreamRepository {
                id,
                uid,
                url,
                provider,
                credential_type: columns.credential_type,
                credentials: columns.credentials,
                host_credentials: columns.host_credentials,
                filter: package_filter,
                root,
            },
            answer: columns.answer,
            checked_at: columns.checked_at,
            before: PreviousAnswer { validators: columns.validators.unwrap_or_default(), digest: columns.digest },
        }
    }
}

/// Whose a name is.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NameOwnership {
    /// The repository that has the package.
    pub owner: Option<i64>,
    /// That repository's provider.
    pub owner_provider: Option<String>,
    /// The package's revision.
    pub revision: Option<i64>,
    /// Whether the package comes from git or an upload.
    #[serde(deserialize_with = "flag")]
    pub is_own: bool,
    /// Whether some package of the vendor does.
    #[serde(deserialize_with = "flag")]
    pub has_own_vendor: bool,
    /// Whether the vendor is in `reserved_vendors`.
    #[serde(deserialize_with = "flag")]
    pub is_reserved: bool,
}

/// All that decides who answers for a name; a look-up of a package that is not our own brings it along.
#[derive(Debug, Clone, Deserialize)]
pub struct NameAuthority {
    /// Whose it is.
    #[serde(flatten)]
    pub ownership: NameOwnership,
    /// What every upstream said that may be asked, in no order.
    pub upstreams: Vec<UpstreamAnswer>,
}

impl NameAuthority {
    /// Reads the JSON that `packages::documents` yields.
    ///
    /// # Errors
    /// When it is not what that statement puts together.
    pub fn read(text: &str) -> Result<Self, Fault> {
        read_text(text).map_err(|error| Fault::new("database", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_cannot_be_read_is_as_if_it_had_not_been_kept() {
        let facts = |root: &str| {
            let upstream = format!(
                r#"{{"id":1,"uid":"u","url":"https://repo.test","provider":"composer","credential_type":"none",
                   "credentials":null,"host_credentials":null,"package_filter":["acme/*"],"root":{root},"answer":"found","checked_at":5,
                   "validators":[["\"a\"",null]],"digest":"d"}}"#
            );
            let text = format!(r#"{{"is_own":0,"has_own_vendor":1,"is_reserved":0,"upstreams":[{upstream}]}}"#);
            NameAuthority::read(&text).expect("an authority")
        };
        let kept = StoredRoot::default();
        let read = facts(&kept.to_json());
        assert!(read.ownership.has_own_vendor && !read.ownership.is_own);
        assert_eq!(read.upstreams[0].upstream.root, Some(kept));
        assert_eq!(read.upstreams[0].before.validators[0].etag.as_deref(), Some("\"a\""));
        for unreadable in ["null", r#"{"root":5}"#, r#"{"refs":["of a git server"]}"#] {
            assert_eq!(facts(unreadable).upstreams[0].upstream.root, None, "{unreadable}");
        }
    }
}
