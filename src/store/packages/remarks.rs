//! `remarks`: what operators should know of a ref although it became a version.
//!
//! A remark is about a ref (what a sync made of it) or about a commit (what its zip is like). Whoever looks at a subject
//! replaces what it said of that before, and leaves alone what others say.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::json_arguments;

/// Most remarks that a sync run lists.
pub const MAX_LISTED: usize = 500;

/// What a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    /// The tag points to another commit than it did when it was published.
    MovedTag,
    /// composer.json spells the package's name with upper case letters.
    LowerCasedName,
    /// The default branch names another package than it did before.
    Renamed,
    /// Files of the commit are not in the zip.
    LostFiles,
    /// Files of the commit are pointers of Git LFS.
    LfsPointers,
    /// The commit has submodules.
    Submodules,
    /// Paths of the zip differ in case only.
    CaseCollisions,
    /// `.gitattributes` asks for a conversion that the zip has not.
    Unconverted,
    /// There is no zip.
    Unzippable,
    /// The zip is that of the repository's host.
    HostZip,
    /// composer.json states a `dist` that cannot be mirrored.
    UnusableDist,
    /// The upstream does not say when the version was released.
    Undated,
    /// The zip that composer.json names could not be had when it was last asked for.
    UnreachableDist,
    /// The zip of an upstream has paths or links that are not safe everywhere.
    UnsafeZip,
}

/// Who makes remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemarkSource {
    /// A sync, about refs.
    Sync,
    /// Whoever builds zips, about commits.
    Archive,
    /// Whoever fetches zips from others, about commits.
    Dist,
}

impl RemarkKind {
    /// Every kind.
    const ALL: [Self; 14] = [
        Self::MovedTag,
        Self::LowerCasedName,
        Self::Renamed,
        Self::LostFiles,
        Self::LfsPointers,
        Self::Submodules,
        Self::CaseCollisions,
        Self::Unconverted,
        Self::Unzippable,
        Self::HostZip,
        Self::UnusableDist,
        Self::Undated,
        Self::UnreachableDist,
        Self::UnsafeZip,
    ];

    /// Who makes remarks of this kind.
    pub fn source(self) -> RemarkSource {
        match self {
            Self::MovedTag | Self::LowerCasedName | Self::Renamed | Self::UnusableDist | Self::Undated => {
                RemarkSource::Sync
            }
            Self::LostFiles
            | Self::LfsPointers
            | Self::Submodules
            | Self::CaseCollisions
            | Self::Unconverted
            | Self::Unzippable
            | Self::HostZip => RemarkSource::Archive,
            Self::UnreachableDist | Self::UnsafeZip => RemarkSource::Dist,
        }
    }
}

/// What operators should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What it is about.
    pub kind: RemarkKind,
    /// Whole sentences.
    pub text: String,
}

impl Remark {
    /// Longest text in bytes: a run lists some hundreds in one value.
    const MAX_BYTES: usize = 1000;

    /// A remark; what is longer than a list can show is cut.
    pub fn new(kind: RemarkKind, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > Self::MAX_BYTES {
            text.truncate(text.floor_char_boundary(Self::MAX_BYTES));
            text.push('…');
        }
        Self { kind, text }
    }
}

/// A remark as a sync run lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRemark {
    /// The ref's full name.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The remark.
    #[serde(flatten)]
    pub remark: Remark,
}

/// All that is to be said of one ref or commit from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemarksOn {
    /// A ref's full name, or a version's reference.
    pub subject: String,
    /// What is said; nothing takes back what was said before.
    pub remarks: Vec<Remark>,
}

fn rows(about: &[RemarksOn]) -> Vec<String> {
    json_arguments(about.iter().map(|one| json!([one.subject, one.remarks])))
}

/// The kinds that `source` makes, as a JSON array.
fn kinds(source: RemarkSource) -> String {
    let own = RemarkKind::ALL.into_iter().filter(|kind| kind.source() == source);
    Value::Array(own.map(|kind| json!(kind)).collect()).to_string()
}

// Across organizations: a job names a repository by its primary key.

/// Replaces what `source` said of each of `about`. A remark that was made before keeps its date.
pub fn replace(repository_id: i64, source: RemarkSource, about: &[RemarksOn], now: Millis) -> Vec<Stmt> {
    let statements = |rows: String| {
        [
            Stmt::new(
                "DELETE FROM remarks
                  WHERE repository_id = ?1 AND kind IN (SELECT value FROM json_each(?3))
                    AND subject IN (SELECT j.value ->> 0 FROM json_each(?2) j)
                    AND (subject, kind) NOT IN (SELECT j.value ->> 0, m.value ->> 'kind'
                                                  FROM json_each(?2) j, json_each(j.value, '$[1]') m)",
                [repository_id.into(), rows.as_str().into(), kinds(source).into()],
            ),
            Stmt::new(
                "INSERT INTO remarks (repository_id, subject, kind, text, created_at)
                 SELECT r.id, j.value ->> 0, m.value ->> 'kind', m.value ->> 'text', ?3
                   FROM repositories r, json_each(?2) j, json_each(j.value, '$[1]') m WHERE r.id = ?1
                 ON CONFLICT (repository_id, subject, kind) DO UPDATE SET
                   text = excluded.text, created_at = excluded.created_at WHERE text <> excluded.text",
                [repository_id.into(), rows.into(), now.into()],
            ),
        ]
    };
    rows(about).into_iter().flat_map(statements).collect()
}

/// Takes back what is said of refs that are gone, and of commits that no ref and no version is at.
pub fn delete_outdated(repository_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM remarks
          WHERE repository_id = ?1
            AND subject NOT IN (SELECT f.name FROM repository_refs f WHERE f.repository_id = ?1)
            AND subject NOT IN (SELECT f.reference FROM repository_refs f WHERE f.repository_id = ?1)
            AND subject NOT IN (SELECT v.reference FROM packages p JOIN versions v ON v.package_id = p.id
                                 WHERE p.repository_id = ?1 AND v.removed_at IS NULL)",
        [repository_id.into()],
    )
}

/// Records what was found while the zips of commits were built, with the repository's latest run too. Nothing is said of a
/// commit that no published version is at any more.
pub fn record_of_archives(repository_id: i64, about: &[RemarksOn], now: Millis) -> Vec<Stmt> {
    let append = |rows: String| {
        Stmt::new(
            "UPDATE sync_runs SET remarks = (
               SELECT json_group_array(json(l.value)) FROM (
                 SELECT o.value FROM json_each(sync_runs.remarks) o
                 UNION ALL
                 SELECT json_object('ref', v.ref_name, 'kind', m.value ->> 'kind', 'text', m.value ->> 'text')
                   FROM json_each(?2) j, json_each(j.value, '$[1]') m
                   JOIN packages p ON p.repository_id = ?1 AND p.renamed_to IS NULL
                   JOIN versions v ON v.package_id = p.id AND v.reference = j.value ->> 0 AND v.removed_at IS NULL
                  WHERE NOT EXISTS (SELECT 1 FROM remarks k
                                     WHERE k.repository_id = ?1 AND k.subject = j.value ->> 0
                                       AND k.kind = m.value ->> 'kind' AND k.text = m.value ->> 'text')
                  LIMIT ?3) l)
              WHERE id = (SELECT max(id) FROM sync_runs WHERE repository_id = ?1)",
            [repository_id.into(), rows.into(), i64::try_from(MAX_LISTED).unwrap_or(i64::MAX).into()],
        )
    };
    let appended = rows(about).into_iter().map(append);
    appended
        .chain(replace(repository_id, RemarkSource::Archive, about, now))
        .chain([delete_outdated(repository_id)])
        .collect()
}
