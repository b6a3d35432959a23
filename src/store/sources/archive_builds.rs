//! `archive_builds` and `archive_parts`: archives that are too large to be built in one go, and how far they have come.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::{Query, json_arguments, json_text};

/// An archive that is being built.
#[derive(Debug, Clone, Deserialize)]
pub struct ArchiveBuild {
    /// SHA-256 over what it is going to hold; `None`: nothing of it is stored yet.
    pub plan: Option<String>,
    /// Where its parts are going to be one blob.
    pub blob_key: Option<String>,
    /// What the blob store calls its upload.
    pub upload_id: Option<String>,
    /// JSON array of the states of its hashes behind the last part.
    pub hashes: Option<String>,
    /// JSON of what the content of the files in its parts tells.
    pub remarks: Option<String>,
    /// How often it was begun since it last got ahead, this time included.
    pub attempts: i64,
}

/// A part of it that is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct ArchivePart {
    /// What the blob store calls it.
    pub tag: String,
    /// CRC-32, compressed and inflated bytes of the files that end in it, or in parts before it that name none.
    #[serde(deserialize_with = "json_text")]
    pub entries: Vec<[u32; 3]>,
}

/// A part that was stored just now.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// Its number, from 0.
    pub number: usize,
    /// What the blob store calls it.
    pub tag: String,
    /// As in [`ArchivePart`].
    pub entries: Vec<[u32; 3]>,
}

/// What is stored of an archive from now on.
#[derive(Debug, Clone)]
pub struct StoredParts<'a> {
    /// SHA-256 over what it is going to hold.
    pub plan: &'a str,
    /// Where its parts are going to be one blob.
    pub blob_key: &'a str,
    /// What the blob store calls its upload.
    pub upload_id: &'a str,
    /// JSON array of the states of its hashes behind the last part.
    pub hashes: String,
    /// JSON of what the content of the files in its parts tells.
    pub remarks: String,
    /// The parts that are new.
    pub new_parts: Vec<NewPart>,
}

// Across organizations: a job names a dist by its primary key.

/// The statement that notes that a dist is too large to be built in one go, unless that is noted.
pub fn begin(dist_id: i64, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO archive_builds (dist_id, lease_until, updated_at) VALUES (?1, 0, ?2)
         ON CONFLICT (dist_id) DO UPDATE SET lease_until = 0, in_one_go = 0 WHERE in_one_go = 1",
        [dist_id.into(), now.into()],
    )
}

/// The statement that notes that zips are being built in one go, but not of those that are being built already.
pub fn begin_in_one_go(dists: &[i64], now: Millis, lease_until: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO archive_builds (dist_id, lease_until, updated_at, attempts, in_one_go)
         SELECT id, ?3, ?2, 1, 1 FROM dists WHERE id IN (SELECT value FROM json_each(?1))
         ON CONFLICT (dist_id) DO NOTHING",
        [json!(dists).to_string().into(), now.into(), lease_until.into()],
    )
    .idempotent()
}

/// The statement that forgets what [`begin_in_one_go`] has noted with this lease.
pub fn end_in_one_go(dists: &[i64], lease_until: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM archive_builds
          WHERE dist_id IN (SELECT value FROM json_each(?1)) AND lease_until = ?2 AND in_one_go = 1",
        [json!(dists).to_string().into(), lease_until.into()],
    )
    .idempotent()
}

/// The statement that takes the lease of a build, unless somebody has it; it is `None` then.
pub fn claim(dist_id: i64, now: Millis, lease_until: Millis) -> Query<Option<ArchiveBuild>> {
    Query::one(
        "INSERT INTO archive_builds (dist_id, lease_until, updated_at, attempts) VALUES (?1, ?3, ?2, 1)
         ON CONFLICT (dist_id) DO UPDATE SET lease_until = excluded.lease_until, updated_at = excluded.updated_at,
                in_one_go = 0, attempts = attempts + 1
          WHERE lease_until <= excluded.updated_at
         RETURNING plan, blob_key, upload_id, hashes, remarks, attempts",
        [dist_id.into(), now.into(), lease_until.into()],
    )
}

/// Reads the parts of a build, the first one first.
pub fn parts(dist_id: i64) -> Query<Vec<ArchivePart>> {
    Query::all("SELECT tag, entries FROM archive_parts WHERE dist_id = ?1 ORDER BY number", [dist_id.into()])
}

/// The statement that gives the lease back: whatever came of it, it was not cut off.
pub fn release(dist_id: i64, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE archive_builds SET lease_until = 0, updated_at = ?2, attempts = 0 WHERE dist_id = ?1",
        [dist_id.into(), now.into()],
    )
}

/// The statement that keeps the lease.
pub fn renew(dist_id: i64, now: Millis, lease_until: Millis) -> Stmt {
    Stmt::new(
        "UPDATE archive_builds SET lease_until = ?3, updated_at = ?2 WHERE dist_id = ?1",
        [dist_id.into(), now.into(), lease_until.into()],
    )
}

/// The statements that record what is stored.
pub fn record_parts(dist_id: i64, stored: StoredParts<'_>) -> Vec<Stmt> {
    let row = |part: NewPart| json!([part.number, part.tag, json!(part.entries).to_string()]);
    let insert = |rows: String| {
        Stmt::new(
            "INSERT OR REPLACE INTO archive_parts (dist_id, number, tag, entries)
             SELECT b.dist_id, j.value ->> 0, j.value ->> 1, j.value ->> 2
               FROM archive_builds b, json_each(?2) j WHERE b.dist_id = ?1",
            [dist_id.into(), rows.into()],
        )
    };
    let update = Stmt::new(
        "UPDATE archive_builds
            SET plan = ?2, blob_key = ?3, upload_id = ?4, hashes = ?5, remarks = ?6, attempts = 0
          WHERE dist_id = ?1",
        [
            dist_id.into(),
            stored.plan.into(),
            stored.blob_key.into(),
            stored.upload_id.into(),
            stored.hashes.into(),
            stored.remarks.into(),
        ],
    );
    let inserts = json_arguments(stored.new_parts.into_iter().map(row)).into_iter().map(insert);
    [update].into_iter().chain(inserts).collect()
}

/// The statements that forget what is stored of a build, so that it begins anew.
pub fn start_over(dist_id: i64, now: Millis) -> [Stmt; 2] {
    [
        Stmt::new("DELETE FROM archive_parts WHERE dist_id = ?1", [dist_id.into()]),
        Stmt::new(
            "UPDATE archive_builds
                SET plan = NULL, blob_key = NULL, upload_id = NULL, hashes = NULL, remarks = NULL, updated_at = ?2
              WHERE dist_id = ?1",
            [dist_id.into(), now.into()],
        ),
    ]
}

/// The statement that forgets a build: it is over.
pub fn end(dist_id: i64) -> Stmt {
    Stmt::new("DELETE FROM archive_builds WHERE dist_id = ?1", [dist_id.into()])
}

/// A build that nobody goes on with.
#[derive(Debug, Clone, Deserialize)]
pub struct StalledBuild {
    /// Primary key of its dist.
    pub dist_id: i64,
}

/// The builds that nobody has had a lease on since `before`. At most 100.
pub fn stalled(before: Millis) -> Query<Vec<StalledBuild>> {
    Query::all(
        "SELECT dist_id FROM archive_builds WHERE lease_until < ?1 AND updated_at < ?1 ORDER BY dist_id LIMIT 100",
        [before.into()],
    )
}
