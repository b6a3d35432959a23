//! `repositories`: where packages come from.

use serde::Deserialize;

use crate::json::read_text;
use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::packages::authority::{StoredRoot, UpstreamRepository};
use crate::store::packages::state::PackageSource;
use crate::store::sources::dists;
use crate::store::sources::host_credentials::{CredentialHost, StoredHostCredentials};
use crate::store::{OrganizationId, Page, Query, Update, flag, optional_json_text};

/// A repository as it was registered, and what syncs keep of its server.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The organization it belongs to.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// What it is.
    pub kind: RepositoryKind,
    /// `git`, `github`, `gitlab`, `bitbucket`, `gitea`, `composer` or `packagist`.
    pub provider: String,
    /// Where it is.
    pub url: String,
    /// The package's sub-directory, or empty.
    pub path: String,
    /// What is cut off the tags; those that do not begin with it are not the package's.
    pub tag_prefix: Option<String>,
    /// JSON array of globs.
    pub tag_filter: Option<String>,
    /// JSON array of globs.
    pub branch_filter: Option<String>,
    /// JSON array of names and globs.
    pub package_filter: Option<String>,
    /// The form of its address in metadata.
    pub source_protocol: SourceProtocol,
    /// Whether its zips have the files that Git LFS keeps.
    #[serde(deserialize_with = "flag")]
    pub lfs: bool,
    /// `none`, `token` or `basic`.
    pub credential_type: String,
    /// Sealed.
    pub credentials: Option<String>,
    /// Sealed, for other hosts.
    pub host_credentials: Option<String>,
    /// JSON of the git server's capabilities, or of an upstream's root.
    pub capabilities: Option<String>,
    /// SHA-256 over the refs of the last sync that was carried through, or that found another repository's package.
    pub refs_digest: Option<String>,
    /// That package.
    pub conflicting_package: Option<String>,
    /// JSON of what its FUNDING.yml says (`registry::packages::support`); `None` while nobody has looked.
    pub funding: Option<String>,
}

impl Repository {
    /// A repository of kind `git` as its package's metadata tells of it, with this FUNDING.yml in place of the one that is
    /// known.
    pub fn to_package_source(&self, funding: Option<&str>) -> PackageSource {
        PackageSource {
            url: self.url.clone(),
            path: self.path.clone(),
            provider: self.provider.clone(),
            protocol: self.source_protocol,
            funding: funding.or(self.funding.as_deref()).map(str::to_owned),
        }
    }

    /// A repository as one that is asked for packages, or for the zips that a composer.json in it names.
    pub fn to_upstream(&self) -> UpstreamRepository {
        UpstreamRepository {
            id: self.id,
            uid: self.uid.clone(),
            url: self.url.clone(),
            provider: self.provider.clone(),
            credential_type: self.credential_type.clone(),
            credentials: self.credentials.clone(),
            host_credentials: self.host_credentials.clone(),
            filter: self.package_filter.as_deref().and_then(|text| read_text(text).ok()),
            root: StoredRoot::from_json(self.capabilities.as_deref()),
        }
    }
}

/// A repository with what its latest sync run tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct RepositoryRow {
    /// The repository.
    #[serde(flatten)]
    pub repository: Repository,
    /// The hosts of its `host_credentials`.
    #[serde(deserialize_with = "optional_json_text")]
    pub credential_hosts: Option<Vec<CredentialHost>>,
    /// Counts the asks for a sync.
    pub request_seq: i64,
    /// When it was registered.
    pub created_at: Millis,
    /// The name of the package it publishes.
    pub package_name: Option<String>,
    /// How many remarks there are on its refs.
    pub remarks: i64,
    /// When the latest one was made.
    pub last_remark_at: Option<Millis>,
    /// Its latest run, if it ever had one.
    #[serde(flatten)]
    pub last_run: LastRun,
}

/// What a repository's latest sync run says; all `None` when there was none.
#[derive(Debug, Clone, Deserialize)]
pub struct LastRun {
    /// The ask it answered.
    pub run_request_seq: Option<i64>,
    /// The moment its lease ends.
    pub run_lease_until: Option<Millis>,
    /// When it ended.
    pub run_finished_at: Option<Millis>,
    /// `ok` or `failed`.
    pub run_outcome: Option<String>,
    /// Why it failed.
    pub run_error: Option<String>,
    /// When a run last ended well.
    pub last_synced_at: Option<Millis>,
}

macro_rules! repository_columns {
    () => {
        "r.id, r.uid, r.organization_id, r.kind, r.provider, r.url, r.path, r.tag_prefix, r.tag_filter, r.branch_filter,
         r.package_filter, r.source_protocol, r.credential_type, r.credentials, r.capabilities, r.refs_digest,
         r.conflicting_package, r.funding, r.lfs, r.host_credentials, r.credential_hosts, r.request_seq, r.created_at,
         (SELECT name FROM packages p WHERE p.repository_id = r.id AND r.kind = 'git' AND p.renamed_to IS NULL
           ORDER BY p.updated_at DESC, p.id DESC LIMIT 1)
            AS package_name,
         (SELECT count(*) FROM remarks m WHERE m.repository_id = r.id) AS remarks,
         (SELECT max(m.created_at) FROM remarks m WHERE m.repository_id = r.id) AS last_remark_at,
         l.request_seq AS run_request_seq, l.lease_until AS run_lease_until, l.finished_at AS run_finished_at,
         l.outcome AS run_outcome, l.error AS run_error,
         (SELECT max(finished_at) FROM sync_runs o WHERE o.repository_id = r.id AND o.outcome = 'ok')
            AS last_synced_at
       FROM repositories r
       LEFT JOIN sync_runs l ON l.id = (SELECT max(id) FROM sync_runs WHERE repository_id = r.id)"
    };
}

/// Looks a repository up by its public id.
pub fn by_uid(organization: OrganizationId, uid: &str) -> Query<Option<RepositoryRow>> {
    Query::one(
        concat!("SELECT ", repository_columns!(), " WHERE r.organization_id = ?1 AND r.uid = ?2"),
        [organization.into(), uid.into()],
    )
}

/// Reads the repositories with these public ids (JSON array), in the order they were registered.
pub fn by_uids(organization: OrganizationId, uids: String) -> Query<Vec<RepositoryRow>> {
    Query::all(
        concat!(
            "SELECT ",
            repository_columns!(),
            " WHERE r.organization_id = ?1 AND r.uid IN (SELECT value FROM json_each(?2)) ORDER BY r.id"
        ),
        [organization.into(), uids.into()],
    )
}

/// A page of an organization's repositories, those of `kind` if there is one, in the order they were registered, and how
/// many there are in all.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    kind: Option<RepositoryKind>,
    page: Page,
) -> Result<(Vec<RepositoryRow>, i64), DatabaseError> {
    let repositories = Query::all(
        concat!(
            "SELECT ",
            repository_columns!(),
            " WHERE r.organization_id = ?1 AND (?2 IS NULL OR r.kind = ?2)
              ORDER BY r.id LIMIT ?3 OFFSET ?4"
        ),
        [organization.into(), kind.into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        "SELECT count(*) AS total FROM repositories WHERE organization_id = ?1 AND (?2 IS NULL OR kind = ?2)",
        [organization.into(), kind.into()],
    );
    db.ask((repositories, total)).await
}

/// A repository about to be registered.
pub struct NewRepository<'a> {
    /// Public id (`UUIDv7`).
    pub uid: &'a str,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// What it is.
    pub kind: RepositoryKind,
    /// The host's kind.
    pub provider: &'a str,
    /// Where it is.
    pub url: &'a str,
    /// The package's sub-directory, or empty.
    pub path: &'a str,
    /// What is cut off the tags.
    pub tag_prefix: Option<&'a str>,
    /// JSON array of globs.
    pub tag_filter: Option<String>,
    /// JSON array of globs.
    pub branch_filter: Option<String>,
    /// JSON array of names and globs.
    pub package_filter: Option<String>,
    /// The form of its address in metadata.
    pub source_protocol: SourceProtocol,
    /// Whether its zips have the files that Git LFS keeps.
    pub lfs: bool,
    /// `none`, `token` or `basic`.
    pub credential_type: &'a str,
    /// Sealed.
    pub credentials: Option<String>,
    /// For other hosts.
    pub host_credentials: StoredHostCredentials,
    /// Now.
    pub created_at: Millis,
}

/// Registers a repository and reads it back; [`DatabaseError::Conflict`] when its URL and path are taken. `noted` is run
/// right behind the change, here and below.
pub async fn insert(
    db: &dyn Database,
    new: NewRepository<'_>,
    noted: Stmt,
) -> Result<Option<RepositoryRow>, DatabaseError> {
    let insert = Stmt::new(
        "INSERT INTO repositories (uid, organization_id, kind, provider, url, path, tag_filter, branch_filter,
                package_filter, credential_type, credentials, created_at, tag_prefix, source_protocol, lfs,
                host_credentials, credential_hosts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        [
            new.uid.into(),
            new.organization.into(),
            new.kind.into(),
            new.provider.into(),
            new.url.into(),
            new.path.into(),
            new.tag_filter.into(),
            new.branch_filter.into(),
            new.package_filter.into(),
            new.credential_type.into(),
            new.credentials.into(),
            new.created_at.into(),
            new.tag_prefix.into(),
            new.source_protocol.into(),
            new.lfs.into(),
            new.host_credentials.sealed.into(),
            new.host_credentials.hosts.into(),
        ],
    );
    let ((), (), row) = db.ask((insert, noted, by_uid(new.organization, new.uid))).await?;
    Ok(row)
}

/// Asks for a sync: whatever run is under way, another one follows, zips that were refused are tried again, and all that an
/// upstream has said is asked for again. The repository as it is then, if there is one.
pub async fn request_sync(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    noted: Stmt,
    now: Millis,
) -> Result<Option<RepositoryRow>, DatabaseError> {
    let ask = Stmt::new(
        "UPDATE repositories SET request_seq = request_seq + 1, refresh_before = ?3
          WHERE organization_id = ?1 AND uid = ?2 AND kind <> 'artifact'",
        [organization.into(), uid.into(), now.into()],
    );
    let again = dists::delete_refusals(organization, uid);
    let ((), (), (), row) = db.ask((ask, noted, again, by_uid(organization, uid))).await?;
    Ok(row)
}

/// Credentials that a repository gets.
#[derive(Debug)]
pub struct NewCredentials {
    /// `none`, `token` or `basic`.
    pub credential_type: &'static str,
    /// Sealed; `None` when there are none.
    pub sealed: Option<String>,
}

/// What an update sets; a field that is `None` stays as it is.
#[derive(Debug, Default)]
pub struct RepositoryChanges {
    /// Where it is.
    pub url: Option<String>,
    /// The host's kind.
    pub provider: Option<String>,
    /// The package's sub-directory, or empty.
    pub path: Option<String>,
    /// What is cut off the tags; cleared is nothing.
    pub tag_prefix: Update<String>,
    /// JSON array of globs; cleared is all.
    pub tag_filter: Update<String>,
    /// JSON array of globs; cleared is all.
    pub branch_filter: Update<String>,
    /// JSON array of names and globs; cleared is all.
    pub package_filter: Update<String>,
    /// The form of its address in metadata.
    pub source_protocol: Option<SourceProtocol>,
    /// Whether its zips have the files that Git LFS keeps.
    pub lfs: Option<bool>,
    /// Type and sealed credentials.
    pub credentials: Option<NewCredentials>,
    /// All of those for other hosts.
    pub host_credentials: Option<StoredHostCredentials>,
    /// Whether what was learnt of its refs and of its server holds no longer.
    pub is_another: bool,
}

/// What a repository's credentials belong to: while a change of it is prepared, nobody else may have changed this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownAddress<'a> {
    /// Where it is.
    pub url: &'a str,
    /// `none`, `token` or `basic`.
    pub credential_type: &'a str,
}

impl RepositoryRow {
    /// Where it is, and with which type of credentials.
    pub fn address(&self) -> KnownAddress<'_> {
        KnownAddress { url: &self.repository.url, credential_type: &self.repository.credential_type }
    }
}

/// The statement that aborts its batch when a repository is no longer at `known`. See `sync_runs::guard` for how.
pub fn guard(organization: OrganizationId, uid: &str, known: KnownAddress<'_>) -> Stmt {
    Stmt::new(
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM repositories WHERE organization_id = ?1 AND uid = ?2 AND url = ?3
                                         AND credential_type = ?4)
             THEN json('the repository was changed meanwhile') END AS guard",
        [organization.into(), uid.into(), known.url.into(), known.credential_type.into()],
    )
}

/// Updates a repository, and asks for its sync.
pub fn update(organization: OrganizationId, uid: &str, changes: RepositoryChanges) -> Stmt {
    let (credential_type, credentials) = match changes.credentials {
        Some(new) => (Some(new.credential_type), new.sealed),
        None => (None, None),
    };
    let has_hosts = changes.host_credentials.is_some();
    let StoredHostCredentials { hosts, sealed } = changes.host_credentials.unwrap_or_default();
    Stmt::new(
        "UPDATE repositories SET url = coalesce(?3, url), provider = coalesce(?4, provider), path = coalesce(?5, path),
                tag_prefix = CASE WHEN ?15 THEN ?16 ELSE tag_prefix END,
                tag_filter = CASE WHEN ?6 THEN ?7 ELSE tag_filter END,
                branch_filter = CASE WHEN ?8 THEN ?9 ELSE branch_filter END,
                package_filter = CASE WHEN ?10 THEN ?11 ELSE package_filter END,
                source_protocol = coalesce(?17, source_protocol), lfs = coalesce(?18, lfs),
                credential_type = coalesce(?12, credential_type),
                credentials = CASE WHEN ?12 IS NOT NULL THEN ?13 ELSE credentials END,
                host_credentials = CASE WHEN ?19 THEN ?20 ELSE host_credentials END,
                credential_hosts = CASE WHEN ?19 THEN ?21 ELSE credential_hosts END,
                refs_digest = CASE WHEN ?14 THEN NULL ELSE refs_digest END,
                conflicting_package = CASE WHEN ?14 THEN NULL ELSE conflicting_package END,
                capabilities = CASE WHEN ?14 THEN NULL ELSE capabilities END,
                request_seq = request_seq + 1
          WHERE organization_id = ?1 AND uid = ?2",
        [
            organization.into(),
            uid.into(),
            changes.url.into(),
            changes.provider.into(),
            changes.path.into(),
            changes.tag_filter.is_set().into(),
            changes.tag_filter.into_value().into(),
            changes.branch_filter.is_set().into(),
            changes.branch_filter.into_value().into(),
            changes.package_filter.is_set().into(),
            changes.package_filter.into_value().into(),
            credential_type.into(),
            credentials.into(),
            changes.is_another.into(),
            changes.tag_prefix.is_set().into(),
            changes.tag_prefix.into_value().into(),
            changes.source_protocol.into(),
            changes.lfs.into(),
            has_hosts.into(),
            sealed.into(),
            hosts.into(),
        ],
    )
}

/// The statement that removes the packages of a repository.
pub fn delete_packages(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM packages WHERE repository_id = ?2 AND organization_id = ?1",
        [organization.into(), repository_id.into()],
    )
}

/// The statement that keeps an upstream's root (JSON of [`crate::store::packages::authority::StoredRoot`]), if it is still at `url`.
pub fn keep_root(organization: OrganizationId, repository_id: i64, url: &str, root: &str) -> Stmt {
    Stmt::new(
        "UPDATE repositories SET capabilities = ?4 WHERE id = ?2 AND organization_id = ?1 AND url = ?3",
        [organization.into(), repository_id.into(), url.into(), root.into()],
    )
}

/// The statement that asks for a sync of a repository whose latest one went well, unless one is asked for already.
pub fn request_check(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "UPDATE repositories SET request_seq = request_seq + 1
          WHERE id = ?2 AND organization_id = ?1
            AND (SELECT s.outcome = 'ok' AND s.request_seq = repositories.request_seq FROM sync_runs s
                  WHERE s.repository_id = ?2 ORDER BY s.id DESC LIMIT 1)",
        [organization.into(), repository_id.into()],
    )
}

/// Removes a repository with its packages, versions and documents, unless it is the implicit one of Packagist; whether it
/// did.
pub fn delete(organization: OrganizationId, uid: &str) -> Query<bool> {
    Query::any(
        "DELETE FROM repositories
          WHERE organization_id = ?1 AND uid = ?2 AND provider <> 'packagist' RETURNING id",
        [organization.into(), uid.into()],
    )
}

/// The statement that aborts its batch when an upstream is not at that address any more. See `sync_runs::guard` for how.
pub fn guard_upstream(organization: OrganizationId, repository_id: i64, url: &str) -> Stmt {
    Stmt::new(
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM repositories
                                       WHERE id = ?2 AND organization_id = ?1 AND url = ?3 AND is_active = 1)
             THEN json('the repository was changed meanwhile') END AS guard",
        [organization.into(), repository_id.into(), url.into()],
    )
}

// Across organizations: a job names a repository by its primary key.

/// Looks a repository up by its primary key.
pub fn by_id(id: i64) -> Query<Option<RepositoryRow>> {
    Query::one(concat!("SELECT ", repository_columns!(), " WHERE r.id = ?1"), [id.into()])
}

/// The statement that keeps what a sync found that could publish nothing, because another repository has `package`.
pub fn record_conflict(repository_id: i64, package: &str, digest: &str, capabilities: &str) -> Stmt {
    Stmt::new(
        "UPDATE repositories SET conflicting_package = ?2, refs_digest = ?3, capabilities = ?4 WHERE id = ?1",
        [repository_id.into(), package.into(), digest.into(), capabilities.into()],
    )
}

/// The statement that keeps what the FUNDING.yml of a repository says.
pub fn keep_funding(repository_id: i64, funding: &str) -> Stmt {
    Stmt::new("UPDATE repositories SET funding = ?2 WHERE id = ?1", [repository_id.into(), funding.into()])
}

// Across organizations: a key of ENCRYPTION_KEY seals for all of them.

/// The credentials, for whoever re-seals them.
pub const SEALED: SealedColumn = SealedColumn { name: "repositories.credentials", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all(
        "SELECT substr(credentials, 4, 8) AS key_id, count(*) AS count FROM repositories
          WHERE credentials IS NOT NULL GROUP BY 1",
        [],
    )
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT uid, credentials AS sealed FROM repositories
          WHERE substr(credentials, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE repositories SET credentials = j.value ->> 'new' FROM json_each(?1) j
          WHERE repositories.uid = j.value ->> 'uid' AND credentials = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
