//! `repositories.host_credentials`: credentials for other hosts than a repository's own.

use serde::{Deserialize, Serialize};

use crate::store::Query;
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};

/// A host that a repository has credentials for, without these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialHost {
    /// Its name, with the port if that is not the usual one.
    pub host: String,
    /// `token` or `basic`.
    pub credential_type: String,
}

/// The credentials of a repository for other hosts, as they are stored.
#[derive(Debug, Clone, Default)]
pub struct StoredHostCredentials {
    /// JSON array of [`CredentialHost`]; `None` is none.
    pub hosts: Option<String>,
    /// Sealed; `None` is none.
    pub sealed: Option<String>,
}

// Across organizations: a key of ENCRYPTION_KEY seals for all of them.

/// The credentials, for whoever re-seals them.
pub const SEALED: SealedColumn = SealedColumn { name: "repositories.host_credentials", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all(
        "SELECT substr(host_credentials, 4, 8) AS key_id, count(*) AS count FROM repositories
          WHERE host_credentials IS NOT NULL GROUP BY 1",
        [],
    )
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT uid, host_credentials AS sealed FROM repositories
          WHERE substr(host_credentials, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE repositories SET host_credentials = j.value ->> 'new' FROM json_each(?1) j
          WHERE repositories.uid = j.value ->> 'uid' AND host_credentials = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
