//! `dists` and `artifacts`: every reference that was ever published, and the zip it stands for.

use composer::{DistType, PrettyVersion, Reference, Shasum};
use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::released::Released;
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};
use crate::store::packages::version_source::VersionSource;
use crate::store::{OrganizationId, Query, flag, json_text};

/// Why a reference that was not published is there all the same: somebody asked for a commit of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pinned {
    /// The history of the branch has it.
    Branch,
    /// Only that of another ref of the repository has it.
    Repository,
}

impl Pinned {
    fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Repository => "repository",
        }
    }
}

/// A published reference, or one that somebody asked for, with all that a download decides on.
#[derive(Debug, Clone, Deserialize)]
pub struct DistRow {
    /// Primary key.
    pub id: i64,
    /// Primary key of the version.
    pub version_id: i64,
    /// The package's name.
    pub package: String,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// When the version was released.
    #[serde(flatten)]
    pub released: Released,
    /// Commit id.
    pub reference: Reference,
    /// Where the zip is, once it is built.
    pub sha256: Option<String>,
    /// Composer's shasum of the zip.
    pub sha1: Option<Shasum>,
    /// Its size in bytes.
    pub size: Option<i64>,
    /// Why it cannot be built.
    pub error: Option<String>,
    /// The repository to build it from, or to fetch it by.
    pub repository_id: i64,
    /// Until when somebody has the lease of its build, if one is noted.
    pub build_lease_until: Option<Millis>,
    /// Whether that is in one go.
    #[serde(deserialize_with = "flag")]
    pub in_one_go: bool,
    /// Why it is there although it was not published; `None`: it was.
    pub pinned: Option<Pinned>,
    /// Where the version comes from.
    #[serde(rename = "ref_name")]
    pub source: VersionSource,
    /// How it is packed.
    #[serde(rename = "type")]
    pub kind: DistType,
    /// JSON array of URLs that it is fetched from; `None` when it is built here.
    pub upstream_urls: Option<String>,
    /// SHA-1 that its upstream promises; empty promises nothing.
    pub upstream_shasum: Option<Shasum>,
    /// The login that stood in its address upstream, sealed.
    pub upstream_login: Option<String>,
}

impl DistRow {
    /// Its zip, once it is built.
    pub fn artifact(&self) -> Option<NewArtifact> {
        Some(NewArtifact { sha256: self.sha256.clone()?, sha1: self.sha1.clone()?, size: self.size? })
    }

    /// Whether building it in one go was begun, and cut off.
    pub fn was_cut_off(&self, now: Millis) -> bool {
        self.in_one_go && self.build_lease_until.is_some_and(|until| until <= now)
    }

    /// Whether it is left to a job of its own, being too large to be built in one go.
    pub fn is_large(&self, now: Millis) -> bool {
        self.build_lease_until.is_some() && (!self.in_one_go || self.was_cut_off(now))
    }
}

macro_rules! dist_columns {
    () => {
        "SELECT d.id, d.version_id, p.name AS package, v.normalized, v.pretty, v.released_at,
                v.security_fix_at IS NOT NULL AS security_fix, d.reference, a.sha256, a.sha1, a.size, d.error,
                p.repository_id, v.ref_name, d.type, d.upstream_urls, d.upstream_shasum, d.upstream_login,
                d.pinned, b.lease_until AS build_lease_until, coalesce(b.in_one_go, 0) AS in_one_go"
    };
}

macro_rules! dist_tables {
    () => {
        " FROM packages p
           JOIN versions v ON v.package_id = p.id
           JOIN dists d ON d.version_id = v.id
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256
           LEFT JOIN archive_builds b ON b.dist_id = d.id"
    };
}

/// A version as an address has it.
#[derive(Debug, Clone, Copy)]
pub struct VersionAddress<'a> {
    /// What Composer compares, whatever a requirement's flags and aliases.
    pub normalized: &'a str,
    /// The same; `None` when there are such flags or aliases.
    pub named: Option<&'a str>,
    /// As it is written.
    pub pretty: &'a str,
}

/// A dist, and why its version may not be downloaded.
#[derive(Debug, Clone, Deserialize)]
pub struct FoundDist {
    /// The dist.
    #[serde(flatten)]
    pub row: DistRow,
    /// The package's entries on the list of malware; none when the organization lets such versions be downloaded.
    #[serde(deserialize_with = "json_text")]
    pub malware: Vec<MalwareEntry>,
}

/// An entry of the list of malware.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MalwareEntry {
    /// Of the versions that it concerns.
    pub constraint: String,
    /// Why they are listed.
    pub reason: Option<String>,
    /// Where that is explained.
    pub url: Option<String>,
}

macro_rules! malware {
    () => {
        ", CASE WHEN coalesce((SELECT s.value ->> '$' FROM settings s
                                WHERE s.organization_id = ?1 AND s.key = 'block_malware_downloads'), 1)
             THEN (SELECT json_group_array(json_object('constraint', e.affected, 'reason', e.reason, 'url', e.url)) FROM (
               SELECT f.version_constraint AS affected, f.reason, f.url FROM filter_entries f
                WHERE f.organization_id = ?1 AND f.list = 'malware' AND f.package_name = ?2
               UNION ALL
               SELECT l.value ->> 'constraint', l.value ->> 'reason', l.value ->> 'url'
                 FROM packages q JOIN repositories o ON o.id = q.repository_id AND o.kind = 'composer'
                 JOIN repositories u ON u.organization_id = q.organization_id AND u.kind = 'composer' AND u.is_active = 1
                 JOIN upstream_notices n ON n.repository_id = u.id AND n.name = q.name, json_each(n.filter) l
                WHERE q.organization_id = ?1 AND q.name = ?2 AND l.value ->> 'list' = 'malware') e)
             ELSE '[]' END AS malware"
    };
}

/// Finds the dist of a package's version, at `reference` if it has one there, or else at its present one. Versions that
/// vanished upstream are found too, hidden ones are not. What looks like more than a name (`1.0@beta`, `dev-feature@dev`)
/// is only a version that is written just so, never the one without.
pub fn find(
    organization: OrganizationId,
    package: &str,
    version: VersionAddress<'_>,
    reference: Option<&str>,
) -> Query<Option<FoundDist>> {
    Query::one(
        concat!(
            dist_columns!(),
            malware!(),
            dist_tables!(),
            " WHERE p.organization_id = ?1 AND p.name = ?2 AND v.normalized IN (?3, ?4)
                AND (v.normalized = ?6 OR v.pretty = ?4)
                AND d.reference IN (?5, v.reference) AND v.hidden_at IS NULL AND p.hidden_at IS NULL
              ORDER BY d.reference = ?5 DESC, v.pretty = ?4 DESC, v.normalized = ?3 DESC LIMIT 1"
        ),
        [
            organization.into(),
            package.into(),
            version.normalized.into(),
            version.pretty.into(),
            reference.into(),
            version.named.into(),
        ],
    )
}

/// A version that was published at some commit.
#[derive(Debug, Clone, Deserialize)]
pub struct PublishedAt {
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether it is hidden from everybody.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
}

/// Reads the versions of a package that are or were published at a commit.
pub fn published_at(organization: OrganizationId, package: &str, reference: &str) -> Query<Vec<PublishedAt>> {
    Query::all(
        "SELECT v.normalized, v.released_at, v.security_fix_at IS NOT NULL AS security_fix,
                v.hidden_at IS NOT NULL OR p.hidden_at IS NOT NULL AS hidden
           FROM packages p JOIN versions v ON v.package_id = p.id JOIN dists d ON d.version_id = v.id
          WHERE p.organization_id = ?1 AND p.name = ?2 AND d.reference = ?3 AND d.pinned IS NULL",
        [organization.into(), package.into(), reference.into()],
    )
}

/// The statement that has a repository's zips tried again which were refused: what was too large may fit by now.
pub fn delete_refusals(organization: OrganizationId, repository_uid: &str) -> Stmt {
    Stmt::new(
        "UPDATE dists SET error = NULL
          WHERE error IS NOT NULL AND version_id IN (
            SELECT v.id FROM repositories r JOIN packages p ON p.repository_id = r.id
              JOIN versions v ON v.package_id = p.id
             WHERE r.organization_id = ?1 AND r.uid = ?2)",
        [organization.into(), repository_uid.into()],
    )
}

/// The statement that has the zips of a repository built anew whose commits have pointers of Git LFS: they are other ones from
/// now on.
pub fn forget_lfs_zips(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "UPDATE dists SET artifact_sha256 = NULL
          WHERE has_lfs = 1 AND version_id IN (
            SELECT v.id FROM repositories r JOIN packages p ON p.repository_id = r.id
              JOIN versions v ON v.package_id = p.id
             WHERE r.organization_id = ?1 AND r.id = ?2)",
        [organization.into(), repository_id.into()],
    )
}

/// A zip that lies in the blob store.
#[derive(Debug, Clone, Deserialize)]
pub struct NewArtifact {
    /// Its key: SHA-256, lowercase hex.
    pub sha256: String,
    /// Composer's shasum: SHA-1, lowercase hex.
    pub sha1: Shasum,
    /// Bytes.
    pub size: i64,
}

// Across organizations: a job names a repository by its primary key, and builds what that has.

/// What is built without being asked for: tags and the default branch after a sync, other branches when somebody was handed
/// their metadata at the package's present revision. What is known to be large is left to a job of its own.
macro_rules! is_wanted {
    () => {
        " v.removed_at IS NULL AND d.reference = v.reference AND d.artifact_sha256 IS NULL AND d.error IS NULL
          AND d.upstream_urls IS NULL AND NOT EXISTS (SELECT 1 FROM archive_builds o WHERE o.dist_id = d.id)
          AND (v.ref_name LIKE 'refs/tags/%' OR v.is_default_branch = 1
               OR (p.branches_requested >= p.revision AND v.ref_name LIKE 'refs/heads/%'))"
    };
}

/// The dists of a repository that are to be built now, and are neither built nor known to be impossible, newest first.
pub async fn unbuilt(db: &dyn Database, repository_id: i64, limit: i64) -> Result<Vec<DistRow>, DatabaseError> {
    let unbuilt = Query::all(
        concat!(
            dist_columns!(),
            dist_tables!(),
            " WHERE p.repository_id = ?1 AND",
            is_wanted!(),
            " ORDER BY v.released_at DESC, v.id DESC LIMIT ?2"
        ),
        [repository_id.into(), limit.into()],
    );
    db.ask(unbuilt).await
}

/// Reads a dist.
pub fn by_id(dist_id: i64) -> Query<Option<DistRow>> {
    Query::one(concat!(dist_columns!(), dist_tables!(), " WHERE d.id = ?1"), [dist_id.into()])
}

/// The statement that records a commit of a version that somebody asked for.
pub fn pin(version_id: i64, reference: &str, pinned: Pinned, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO dists (version_id, reference, pinned, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (version_id, reference) DO NOTHING",
        [version_id.into(), reference.into(), pinned.as_str().into(), now.into()],
    )
}

/// The repositories with dists that were published before `before`, are to be built, and are neither built nor known to be
/// impossible, as long as their last sync went well. At most 100.
pub async fn repositories_awaiting_archives(db: &dyn Database, before: Millis) -> Result<Vec<i64>, DatabaseError> {
    #[derive(Deserialize)]
    struct Behind {
        repository_id: i64,
    }
    let behind: Query<Vec<Behind>> = Query::all(
        concat!(
            "SELECT DISTINCT p.repository_id
               FROM dists d JOIN versions v ON v.id = d.version_id JOIN packages p ON p.id = v.package_id
              WHERE d.created_at < ?1 AND",
            is_wanted!(),
            " AND (SELECT s.outcome FROM sync_runs s WHERE s.repository_id = p.repository_id
                  ORDER BY s.id DESC LIMIT 1) = 'ok'
              LIMIT 100"
        ),
        [before.into()],
    );
    Ok(db.ask(behind).await?.into_iter().map(|row| row.repository_id).collect())
}

/// What a zip has of the files that Git LFS keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LfsInZip {
    /// Its commit has no such files.
    None,
    /// It has their pointers, because that is what its repository wants.
    Pointers,
    /// It has the files as far as they could be had, because that is what its repository wants.
    Files,
}

/// The statements that attach a stored zip to a dist, unless its repository wants another one by now.
pub fn attach(dist_id: i64, artifact: &NewArtifact, lfs: LfsInZip, now: Millis) -> [Stmt; 2] {
    let wanted = match lfs {
        LfsInZip::None => None,
        LfsInZip::Pointers => Some(false),
        LfsInZip::Files => Some(true),
    };
    [
        Stmt::new(
            "INSERT INTO artifacts (sha256, sha1, size, created_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (sha256) DO UPDATE SET
               created_at = excluded.created_at, doomed_at = NULL, unreferenced_since = NULL",
            [artifact.sha256.as_str().into(), artifact.sha1.as_str().into(), artifact.size.into(), now.into()],
        )
        .idempotent(),
        Stmt::new(
            "UPDATE dists SET artifact_sha256 = ?2, error = NULL, has_lfs = ?3 IS NOT NULL
              WHERE id = ?1
                AND (?3 IS NULL OR ?3 = (SELECT r.lfs FROM versions v JOIN packages p ON p.id = v.package_id
                                           JOIN repositories r ON r.id = p.repository_id WHERE v.id = version_id))",
            [dist_id.into(), artifact.sha256.as_str().into(), wanted.into()],
        )
        .idempotent(),
    ]
}

/// What a dist has after [`attach_first`].
#[derive(Debug, Clone, Deserialize)]
pub struct Attached {
    /// Its zip.
    #[serde(flatten)]
    pub artifact: NewArtifact,
    /// Whether the zip that was stored for it is anybody's.
    #[serde(deserialize_with = "flag")]
    pub is_known: bool,
}

/// The statements that attach a stored zip to a dist that has none, and read what it has then, unless there is no such
/// dist: of two that fetch the same one, the first decides what it is for good.
pub fn attach_first(dist_id: i64, artifact: &NewArtifact, now: Millis) -> ([Stmt; 2], Query<Option<Attached>>) {
    let attach = [
        Stmt::new(
            "INSERT INTO artifacts (sha256, sha1, size, created_at)
             SELECT ?2, ?3, ?4, ?5 FROM dists WHERE id = ?1 AND artifact_sha256 IS NULL
             ON CONFLICT (sha256) DO UPDATE SET
               created_at = excluded.created_at, doomed_at = NULL, unreferenced_since = NULL",
            [
                dist_id.into(),
                artifact.sha256.as_str().into(),
                artifact.sha1.as_str().into(),
                artifact.size.into(),
                now.into(),
            ],
        ),
        Stmt::new(
            "UPDATE dists SET artifact_sha256 = ?2, error = NULL WHERE id = ?1 AND artifact_sha256 IS NULL",
            [dist_id.into(), artifact.sha256.as_str().into()],
        ),
    ];
    let attached = Query::one(
        "SELECT a.sha256, a.sha1, a.size, EXISTS (SELECT 1 FROM artifacts b WHERE b.sha256 = ?2) AS is_known
           FROM dists d JOIN artifacts a ON a.sha256 = d.artifact_sha256 WHERE d.id = ?1",
        [dist_id.into(), artifact.sha256.as_str().into()],
    );
    (attach, attached)
}

/// Whether a zip is anybody's.
pub fn is_artifact(sha256: &str) -> Query<bool> {
    Query::any("SELECT 1 AS found FROM artifacts WHERE sha256 = ?1", [sha256.into()])
}

/// The statement that notes why a dist cannot be built.
pub fn record_refusal(dist_id: i64, error: &str) -> Stmt {
    Stmt::new("UPDATE dists SET error = ?2 WHERE id = ?1", [dist_id.into(), error.into()])
}

// Across organizations: a key of ENCRYPTION_KEY seals for all of them.

/// The logins of archives, for whoever re-seals them; each is told by its organization and package.
pub const SEALED: SealedColumn = SealedColumn { name: "dists.upstream_login", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all(
        "SELECT substr(upstream_login, 4, 8) AS key_id, count(*) AS count FROM dists
          WHERE upstream_login IS NOT NULL GROUP BY 1",
        [],
    )
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT DISTINCT p.organization_id || '/' || p.name AS uid, d.upstream_login AS sealed
           FROM dists d JOIN versions v ON v.id = d.version_id JOIN packages p ON p.id = v.package_id
          WHERE d.upstream_login IS NOT NULL
            AND substr(d.upstream_login, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE dists SET upstream_login = j.value ->> 'new' FROM json_each(?1) j
          WHERE upstream_login = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
