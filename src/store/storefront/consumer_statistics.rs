//! `downloads` of consumers: what each installed, and when. Counting installs is `delivery`'s.

use composer::PrettyVersion;
use serde::Deserialize;

use serde_json::json;

use crate::ports::Millis;
use crate::store::access::released::Released;
use crate::store::{KeysetPage, OrganizationId, Query};

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

/// A version of a package that some consumer installed.
#[derive(Debug, Clone, Deserialize)]
pub struct InstalledVersionRow {
    /// Primary key.
    pub id: i64,
    /// What people read.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
}

/// The versions of a package that consumers installed, those that are gone too; at most `limit`.
pub fn installed_versions(
    organization: OrganizationId,
    package_id: i64,
    limit: i64,
) -> Query<Vec<InstalledVersionRow>> {
    Query::all(
        "SELECT v.id, v.pretty, v.normalized, v.released_at, v.security_fix_at IS NOT NULL AS security_fix
           FROM packages p JOIN versions v ON v.package_id = p.id
          WHERE p.organization_id = ?1 AND p.id = ?2
            AND EXISTS (SELECT 1 FROM downloads d WHERE d.version_id = v.id AND d.subject GLOB 'consumer:*')
          ORDER BY v.id DESC LIMIT ?3",
        [organization.into(), package_id.into(), limit.into()],
    )
}

/// What a consumer installed of one version of a package.
#[derive(Debug, Clone, Deserialize)]
pub struct ConsumerInstall {
    /// Primary key of the consumer.
    pub consumer_id: i64,
    /// Its e-mail address.
    pub email: String,
    /// The shop's own id of the customer.
    pub customer_id: Option<String>,
    /// Primary key of the version.
    pub version_id: i64,
    /// How often it was installed.
    pub count: i64,
    /// When it was installed first.
    pub first_at: Millis,
    /// When it was installed last.
    pub last_at: Millis,
}

macro_rules! installers {
    () => {
        " FROM json_each(?2) j
         CROSS JOIN downloads d ON d.version_id = j.value AND d.subject GLOB 'consumer:*'
         CROSS JOIN consumers c ON c.id = CAST(substr(d.subject, 10) AS INTEGER) AND c.organization_id = ?1"
    };
}

/// What a page of consumers, the oldest first, installed of the versions with these primary keys; `limit` rows at most.
pub fn installs(
    organization: OrganizationId,
    versions: &[i64],
    page: KeysetPage,
    limit: i64,
) -> Query<Vec<ConsumerInstall>> {
    Query::all(
        concat!(
            "WITH page (id) AS (SELECT DISTINCT c.id",
            installers!(),
            " WHERE c.id > ifnull(?3, 0) ORDER BY c.id LIMIT ?4 OFFSET ?5)
             SELECT c.id AS consumer_id, c.email, c.customer_id, d.version_id, sum(d.count) AS count,
                    min(coalesce(d.first_at, d.day * 86400000)) AS first_at,
                    max(coalesce(d.last_at, d.day * 86400000)) AS last_at
               FROM page CROSS JOIN consumers c ON c.id = page.id
              CROSS JOIN downloads d ON d.subject = 'consumer:' || c.id AND d.subject GLOB 'consumer:*'
              WHERE d.version_id IN (SELECT value FROM json_each(?2))
              GROUP BY c.id, d.version_id ORDER BY c.id, d.version_id LIMIT ?6"
        ),
        [
            organization.into(),
            json!(versions).to_string().into(),
            page.after.into(),
            page.limit.into(),
            page.offset.into(),
            limit.into(),
        ],
    )
}

/// How many consumers installed one of the versions with these primary keys.
pub fn count_installers(organization: OrganizationId, versions: &[i64]) -> Query<i64> {
    Query::count(
        concat!("SELECT count(DISTINCT c.id) AS total", installers!()),
        [organization.into(), json!(versions).to_string().into()],
    )
}
