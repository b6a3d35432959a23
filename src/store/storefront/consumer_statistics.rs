//! `downloads` of consumers: what each installed, and when. Counting installs is `delivery`'s.

use composer::PrettyVersion;
use serde::Deserialize;

use crate::ports::Millis;
use crate::store::access::released::Released;
use crate::store::{OrganizationId, Query};

/// What a consumer installed of one version.
#[derive(Debug, Clone, Deserialize)]
pub struct ConsumerDownloads {
    /// Primary key of the version.
    pub version_id: i64,
    /// Primary key of its package.
    pub package_id: i64,
    /// The name of that.
    pub package: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When the version was released.
    #[serde(flatten)]
    pub released: Released,
    /// Installs.
    pub count: i64,
    /// When it was installed first.
    pub first_at: Millis,
    /// When it was installed last.
    pub last_at: Millis,
    /// From which IP address it was installed last, if that is known.
    pub last_address: Option<String>,
}

/// What a consumer installed, the latest first; at most `limit` versions.
pub fn of_consumer(organization: OrganizationId, subject: &str, limit: i64) -> Query<Vec<ConsumerDownloads>> {
    Query::all(
        "SELECT v.id AS version_id, p.id AS package_id, p.name AS package, v.pretty, v.normalized, v.released_at,
                v.security_fix_at IS NOT NULL AS security_fix,
                sum(d.count) AS count, min(coalesce(d.first_at, d.day * 86400000)) AS first_at,
                max(coalesce(d.last_at, d.day * 86400000)) AS last_at,
                (SELECT l.address FROM downloads l WHERE l.version_id = v.id AND l.subject = ?2
                  ORDER BY l.day DESC LIMIT 1) AS last_address
           FROM downloads d JOIN versions v ON v.id = d.version_id
           JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
          WHERE d.subject = ?2 AND d.subject GLOB 'consumer:*'
          GROUP BY v.id ORDER BY last_at DESC, v.id DESC LIMIT ?3",
        [organization.into(), subject.into(), limit.into()],
    )
}
