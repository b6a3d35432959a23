//! `mirrors`: what upstream repositories answered when they were asked for a name, and whose a name is.

use composer::RepositoryRoot;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json::read_text;
use crate::ports::{Fault, Millis, Row, Rows, Stmt};
use crate::store::{OrganizationId, json_arguments, texts};

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
    fn read(validators: &Value, digest: Option<String>) -> Self {
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
    fn read(row: &mut Row) -> Self {
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

/// A name, whose it is, and what one upstream published of it.
#[derive(Debug, Clone)]
pub struct NameRow {
    /// `vendor/package`.
    pub name: String,
    /// Whose.
    pub ownership: Ownership,
    /// What the upstream published of it that the statement is about.
    pub before: Before,
}

impl NameRow {
    /// Reads the rows of the statements below that yield them.
    pub fn read(rows: Rows) -> Result<Vec<Self>, Fault> {
        rows.read(|row| {
            let validators = row.text("validators").and_then(|text| read_text(&text).ok());
            Ok(Self {
                name: row.needed_text("name")?,
                ownership: Ownership::read(row),
                before: Before::read(&validators.unwrap_or_default(), row.text("digest")),
            })
        })
    }
}

macro_rules! ownership_columns {
    () => {
        "n.name, p.repository_id AS owner, o.provider AS owner_provider, p.revision,
         coalesce(o.kind <> 'composer', 0) AS is_own,
         EXISTS (SELECT 1 FROM packages q JOIN repositories r ON r.id = q.repository_id
                  WHERE q.organization_id = ?1 AND r.kind <> 'composer'
                    AND q.name >= substr(n.name, 1, instr(n.name, '/'))
                    AND q.name < substr(n.name, 1, instr(n.name, '/') - 1) || '0') AS has_own_vendor,
         EXISTS (SELECT 1 FROM settings s, json_each(s.value) v
                  WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'
                    AND v.value = substr(n.name, 1, instr(n.name, '/') - 1)) AS is_reserved"
    };
}

macro_rules! owners {
    () => {
        " LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = n.name
          LEFT JOIN repositories o ON o.id = p.repository_id"
    };
}

/// Reads whose each of `names` (a JSON array) is, and what `repository_id` published of it, as [`NameRow`]s.
pub fn ownership(organization: OrganizationId, repository_id: i64, names: String) -> Stmt {
    Stmt::new(
        concat!(
            "SELECT n.validators, n.digest, ",
            ownership_columns!(),
            " FROM (SELECT j.value AS name, m.validators, m.digest
                      FROM json_each(?3) j LEFT JOIN mirrors m ON m.repository_id = ?2 AND m.name = j.value) n",
            owners!()
        ),
        [organization.into(), repository_id.into(), names.into()],
    )
}

/// Reads the names that an upstream has, and those that it failed to tell of, as [`NameRow`]s: what failed first, then
/// the oldest answers, if they are from before `before`.
pub fn oldest(organization: OrganizationId, repository_id: i64, before: Millis, limit: i64) -> Stmt {
    Stmt::new(
        concat!(
            "SELECT n.validators, n.digest, ",
            ownership_columns!(),
            " FROM (SELECT name, validators, digest, error, checked_at FROM mirrors
                     WHERE repository_id = ?2 AND (answer IS NULL OR answer <> 'absent')
                       AND (checked_at < ?3 OR error IS NOT NULL)
                     ORDER BY error IS NULL, checked_at LIMIT ?4) n",
            owners!(),
            " ORDER BY n.error IS NULL, n.checked_at"
        ),
        [organization.into(), repository_id.into(), before.into(), limit.into()],
    )
}

/// Reads the published packages of upstreams whose vendor is reserved or has packages of our own, each as a row with `name`,
/// `repository_id`, and what decides whether that is a public one.
pub fn contested(organization: OrganizationId) -> Stmt {
    Stmt::new(
        "SELECT p.name, p.repository_id, r.provider, r.credential_type, r.package_filter
           FROM repositories r CROSS JOIN packages p ON p.repository_id = r.id
          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND p.version_index <> '[]'
            AND substr(p.name, 1, instr(p.name, '/') - 1) IN (
                  SELECT substr(q.name, 1, instr(q.name, '/') - 1)
                    FROM packages q JOIN repositories s ON s.id = q.repository_id
                   WHERE q.organization_id = ?1 AND s.kind <> 'composer'
                  UNION
                  SELECT v.value FROM settings t, json_each(t.value) v
                   WHERE t.organization_id = ?1 AND t.key = 'reserved_vendors')",
        [organization.into()],
    )
}

/// A published version, as a later answer of its upstream is compared with it.
#[derive(Debug, Clone)]
pub struct KnownVersion {
    /// `vendor/package`.
    pub name: String,
    /// What Composer compares.
    pub normalized: String,
    /// What its archive is addressed by.
    pub reference: String,
    /// When it was released, or first seen.
    pub released_at: Millis,
    /// SHA-1 of its zip, once that is here.
    pub shasum: Option<String>,
}

impl KnownVersion {
    /// Reads the rows of [`known_versions`].
    pub fn read(rows: Rows) -> Result<Vec<Self>, Fault> {
        rows.read(|row| {
            Ok(Self {
                name: row.needed_text("name")?,
                normalized: row.needed_text("normalized")?,
                reference: row.needed_text("reference")?,
                released_at: Millis(row.needed_number("released_at")?),
                shasum: row.text("shasum"),
            })
        })
    }
}

/// Reads the published versions of `names` (a JSON array) as [`KnownVersion`]s, by name and version.
pub fn known_versions(organization: OrganizationId, names: String) -> Stmt {
    Stmt::new(
        "SELECT p.name, v.normalized, v.reference, v.released_at, a.sha1 AS shasum
           FROM json_each(?2) j
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value
           JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256
          ORDER BY p.name, v.normalized",
        [organization.into(), names.into()],
    )
}

/// What is noted of an upstream's answer for a name.
#[derive(Debug, Clone)]
pub struct Noted {
    /// `vendor/package`.
    pub name: String,
    /// What it answered, or why it could not be asked; what it answered before holds then.
    pub answer: Result<Answered, String>,
    /// What it published; none of an absent package.
    pub published: Before,
    /// Versions that were left out, and why. When the digest is the one that was noted before, so are these.
    pub skipped: Vec<(String, String)>,
}

/// Forgets what a repository answered: it is another one now.
pub fn forget_answers(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM mirrors
          WHERE repository_id IN (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)",
        [organization.into(), repository_id.into()],
    )
}

// Across organizations: a sync holds the lease of the repository that it names by its primary key.

/// Reads every name that an upstream has, in their order: rows with `name` and `digest`.
pub fn found(repository_id: i64) -> Stmt {
    Stmt::new(
        "SELECT name, digest FROM mirrors WHERE repository_id = ?1 AND answer = 'found' ORDER BY name",
        [repository_id.into()],
    )
}

/// Notes what an upstream answered, if it is still there.
pub fn note(repository_id: i64, noted: Vec<Noted>, now: Millis) -> Vec<Stmt> {
    let row = |noted: Noted| {
        let (answer, error) = match noted.answer {
            Ok(answer) => (Some(answer.as_str()), None),
            Err(error) => (None, Some(error)),
        };
        let validators = Validators::list_to_json(&noted.published.validators);
        json!([noted.name, answer, error, validators, noted.published.digest, json!(noted.skipped).to_string()])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO mirrors (repository_id, name, answer, error, validators, digest, skipped, checked_at)
             SELECT r.id, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, ?3
               FROM json_each(?2) j JOIN repositories r ON r.id = ?1 WHERE true
             ON CONFLICT (repository_id, name) DO UPDATE SET
               error = excluded.error,
               answer = iif(excluded.error IS NULL, excluded.answer, answer),
               checked_at = iif(excluded.error IS NULL, excluded.checked_at, checked_at),
               validators = iif(excluded.error IS NULL, excluded.validators, validators),
               skipped = iif(excluded.error IS NULL AND excluded.digest IS NOT digest, excluded.skipped, skipped),
               digest = iif(excluded.error IS NULL, excluded.digest, digest)",
            [repository_id.into(), rows.into(), now.into()],
        )
    };
    json_arguments(noted.into_iter().map(row)).into_iter().map(statement).collect()
}

/// Reads what is left out of a repository: rows with `name`, `error` (why none of it could be read at the latest attempt)
/// and `skipped` (JSON array of `[version, reason]`); at most 500.
pub fn left_out(repository_id: i64) -> Stmt {
    Stmt::new(
        "SELECT name, error, skipped FROM mirrors
          WHERE repository_id = ?1 AND (error IS NOT NULL OR skipped <> '[]') ORDER BY error IS NULL, name LIMIT 500",
        [repository_id.into()],
    )
}

/// The statement that forgets the names that upstreams were asked for before `before` and did not have.
pub fn prune(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM mirrors WHERE (repository_id, name) IN (
           SELECT repository_id, name FROM mirrors
            WHERE checked_at < ?1 AND (answer IS NULL OR answer = 'absent') LIMIT 5000)",
        [before.into()],
    )
}
