//! What there is of packages that permissions name, the hidden and the withdrawn too: for telling a shop what its customers
//! can install, and why not.

use serde::Deserialize;
use serde_json::json;

use crate::ports::Millis;
use crate::store::{OrganizationId, Query, flag, json_text};

/// A package with its versions.
#[derive(Debug, Clone, Deserialize)]
pub struct OfferRow {
    /// `vendor/package`.
    pub name: String,
    /// Whether it is hidden.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
    /// Whether its versions were read: there were not too many before it.
    #[serde(deserialize_with = "flag")]
    pub is_read: bool,
    /// All but those that are gone, or wait for their zip.
    #[serde(deserialize_with = "json_text")]
    pub versions: Vec<OfferedRow>,
}

/// A version.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "OfferedEntry")]
pub struct OfferedRow {
    /// What Composer compares.
    pub normalized: String,
    /// When it was released; `None` is when it is shown.
    pub released_at: Option<Millis>,
    /// Whether it is a security fix.
    pub security_fix: bool,
    /// Whether it is hidden, by itself.
    pub hidden: bool,
    /// Whether it was taken out of the metadata.
    pub yanked: bool,
    /// Whether customers can install it: it has a zip, or needs none.
    pub has_zip: bool,
}

/// As the database writes it.
#[derive(Deserialize)]
struct OfferedEntry(String, Option<Millis>, u8, u8, u8, u8);

impl From<OfferedEntry> for OfferedRow {
    fn from(OfferedEntry(normalized, released_at, fix, hidden, yanked, has_zip): OfferedEntry) -> Self {
        let [security_fix, hidden, yanked, has_zip] = [fix, hidden, yanked, has_zip].map(|flag| flag != 0);
        Self { normalized, released_at, security_fix, hidden, yanked, has_zip }
    }
}

/// Reads the packages with these names, by name, and their versions, as long as these are no more than `most` together.
pub fn offers(organization: OrganizationId, names: &[&str], most: i64) -> Query<Vec<OfferRow>> {
    Query::all(
        "WITH named AS (
           SELECT p.id, p.name, p.hidden_at IS NOT NULL AS hidden,
                  (SELECT count(*) FROM versions v WHERE v.package_id = p.id) AS size
             FROM json_each(?2) n CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = lower(n.value)
         ), counted AS (
           SELECT n.id, n.name, n.hidden, sum(n.size) OVER (ORDER BY n.name) <= ?3 AS is_read FROM named n
         )
         SELECT c.name, c.hidden, c.is_read,
                (SELECT json_group_array(json_array(
                          v.normalized, CASE WHEN v.released_when_shown THEN NULL ELSE v.released_at END,
                          v.security_fix_at IS NOT NULL, v.hidden_at IS NOT NULL, v.yanked_at IS NOT NULL,
                          CASE WHEN d.id IS NOT NULL AND (d.error IS NULL OR v.ref_name = '') THEN 1
                               ELSE coalesce(v.manifest ->> '$.type' = 'metapackage', 0) END))
                   FROM versions v LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
                  WHERE v.package_id = c.id AND v.removed_at IS NULL AND c.is_read) AS versions
           FROM counted c ORDER BY c.name",
        [organization.into(), json!(names).to_string().into(), most.into()],
    )
}
