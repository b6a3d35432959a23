//! `grants` of consumers, across all of them: what a shop reconciles with its orders.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Argument, Millis};
use crate::store::access::grants::GrantRow;
use crate::store::storefront::entitlements::{PermissionRow, permissions};
use crate::store::{OrganizationId, Page, Query};

/// Which permissions a list holds: those for which everything holds that is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermissionFilter<'a> {
    /// They name this package or this pattern, in lower case.
    pub target: Option<&'a str>,
    /// They have this constraint, as it is written.
    pub version: Option<&'a str>,
    /// They are this consumer's.
    pub consumer_id: Option<i64>,
    /// They are those of this customer of the shop's.
    pub customer_id: Option<&'a str>,
    /// They were bought with this order of the shop's.
    pub order_id: Option<&'a str>,
    /// They changed at this moment or later.
    pub updated_since: Option<Millis>,
    /// They have not ended at this moment.
    pub live_at: Option<Millis>,
    /// Their primary keys are greater.
    pub after: i64,
}

impl PermissionFilter<'_> {
    /// Whether the statements below find this permission, which was read otherwise, of a consumer that they find.
    pub fn lets_through(&self, row: &PermissionRow) -> bool {
        let grant = row.grant();
        row.id > self.after
            && self.target.is_none_or(|target| target == grant.target)
            && self.version.is_none_or(|version| version == grant.version_constraint)
            && self.consumer_id.is_none_or(|id| id == row.consumer_id)
            && self.order_id.is_none_or(|id| row.entitlement.order_id.as_deref() == Some(id))
            && self.updated_since.is_none_or(|since| row.updated_at >= since)
            && self.live_at.is_none_or(|at| grant.expires_at.is_none_or(|end| end > at))
    }
}

/// The permissions that somebody covers who does not cover all.
#[derive(Debug, Clone, Default)]
pub struct CoveredGrants {
    /// Those that name the same package in the same constraint with the same stability, whenever they end.
    pub wide: Vec<GrantKind>,
    /// Those that are just so.
    pub exact: Vec<GrantRow>,
}

/// What grants have in common that differ in their ends alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantKind {
    /// `*`, a package name, or a pattern with `*`.
    pub target: String,
    /// A Composer version constraint.
    pub version_constraint: String,
    /// Composer's name of a stability.
    pub minimum_stability: String,
}

/// Reads the widest grant of each [`GrantKind`] that consumers have, `limit` at most, whose targets lie in `ranges`: a JSON array
/// of [`NameRange`](crate::store::kernel::name_range::NameRange)s. It ends when the last of its kind does.
pub fn widest(organization: OrganizationId, ranges: &str, limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT g.target, g.version_constraint, g.minimum_stability,
                CASE WHEN count(g.updates_until) = count(*) THEN max(g.updates_until) END AS updates_until,
                CASE WHEN count(g.expires_at) = count(*) THEN max(g.expires_at) END AS expires_at
           FROM consumers c JOIN grants g ON g.consumer_id = c.id
          WHERE c.organization_id = ?1
            AND EXISTS (SELECT 1 FROM json_each(?2) r
                         WHERE lower(g.target) BETWEEN r.value ->> '$[0]' AND r.value ->> '$[1]')
          GROUP BY g.target, g.version_constraint, g.minimum_stability LIMIT ?3",
        [organization.into(), ranges.into(), limit.into()],
    )
}

/// Reads the different grants of certain kinds that consumers have, `limit` at most.
pub fn of_kinds(organization: OrganizationId, kinds: &[GrantKind], limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT DISTINCT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at
           FROM json_each(?2) k
          CROSS JOIN grants g ON g.target = k.value ->> 'target'
                AND g.version_constraint = k.value ->> 'version_constraint'
                AND g.minimum_stability = k.value ->> 'minimum_stability'
           JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1 LIMIT ?3",
        [organization.into(), json!(kinds).to_string().into(), limit.into()],
    )
}

/// What every list is narrowed by; the driving condition, which finds its index, comes before it.
macro_rules! narrowed {
    () => {
        " AND g.id > ?2 AND (?3 IS NULL OR g.target = ?3) AND (?4 IS NULL OR g.version_constraint = ?4)
          AND (?5 IS NULL OR g.consumer_id = ?5) AND (?6 IS NULL OR c.customer_id = ?6)
          AND (?7 IS NULL OR g.order_id = ?7) AND (?8 IS NULL OR g.updated_at >= ?8)
          AND (?9 IS NULL OR g.expires_at IS NULL OR g.expires_at > ?9)
          AND (?10 IS NULL
               OR json_array(g.target, g.version_constraint, g.minimum_stability)
               IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                          j.value ->> 'minimum_stability') FROM json_each(?10) j)
               OR json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
               IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                          j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                     FROM json_each(?11) j))"
    };
}

macro_rules! counted {
    () => {
        "SELECT count(*) AS total FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1"
    };
}

macro_rules! of_page {
    () => {
        " ORDER BY g.id LIMIT ?12 OFFSET ?13"
    };
}

/// A page of the permissions that a filter lets through, by primary key, and how many there are in all; with `covered`, of those
/// alone. Each condition that finds few has statements of its own, so that it finds its index.
pub fn page(
    organization: OrganizationId,
    filter: &PermissionFilter<'_>,
    covered: Option<&CoveredGrants>,
    page: Page,
) -> (Query<Vec<PermissionRow>>, Query<i64>) {
    let args = filter.arguments(organization, covered);
    let paged = [&args[..], &[page.limit.into(), page.offset.into()]].concat();
    if filter.order_id.is_some() {
        return (
            Query::all(concat!(permissions!(), " WHERE g.order_id = ?7", narrowed!(), of_page!()), paged),
            Query::count(concat!(counted!(), " WHERE g.order_id = ?7", narrowed!()), args),
        );
    }
    if filter.consumer_id.is_some() {
        return (
            Query::all(concat!(permissions!(), " WHERE g.consumer_id = ?5", narrowed!(), of_page!()), paged),
            Query::count(concat!(counted!(), " WHERE g.consumer_id = ?5", narrowed!()), args),
        );
    }
    if filter.customer_id.is_some() {
        return (
            Query::all(concat!(permissions!(), " WHERE c.customer_id = ?6", narrowed!(), of_page!()), paged),
            Query::count(concat!(counted!(), " WHERE c.customer_id = ?6", narrowed!()), args),
        );
    }
    if filter.target.is_some() {
        return (
            Query::all(concat!(permissions!(), " WHERE g.target = ?3", narrowed!(), of_page!()), paged),
            Query::count(concat!(counted!(), " WHERE g.target = ?3", narrowed!()), args),
        );
    }
    if filter.updated_since.is_some() {
        return (
            Query::all(concat!(permissions!(), " WHERE g.updated_at >= ?8", narrowed!(), of_page!()), paged),
            Query::count(concat!(counted!(), " WHERE g.updated_at >= ?8", narrowed!()), args),
        );
    }
    (
        Query::all(concat!(permissions!(), " WHERE g.consumer_id IS NOT NULL", narrowed!(), of_page!()), paged),
        Query::count(concat!(counted!(), " WHERE g.consumer_id IS NOT NULL", narrowed!()), args),
    )
}

/// A consumer with permissions that a filter lets through.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct MatchedConsumer {
    /// Primary key.
    pub id: i64,
    /// Its live tokens, its key pair among them.
    pub tokens: i64,
    /// All its permissions.
    pub permissions: i64,
}

macro_rules! matched {
    () => {
        "SELECT g.consumer_id AS id, (SELECT count(*) FROM tokens t
                                       WHERE t.consumer_id = g.consumer_id AND t.revoked_at IS NULL) AS tokens,
                (SELECT count(*) FROM grants a WHERE a.consumer_id = g.consumer_id) AS permissions
           FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1"
    };
}

macro_rules! by_consumer {
    () => {
        " AND g.consumer_id > ?12 GROUP BY g.consumer_id ORDER BY g.consumer_id LIMIT ?13"
    };
}

/// The consumers with permissions that a filter lets through, which names an order or a target, by primary key; those behind
/// `after`, `limit` at most.
pub fn consumers(
    organization: OrganizationId,
    filter: &PermissionFilter<'_>,
    covered: Option<&CoveredGrants>,
    after: i64,
    limit: i64,
) -> Query<Vec<MatchedConsumer>> {
    let args = [&filter.arguments(organization, covered)[..], &[after.into(), limit.into()]].concat();
    if filter.order_id.is_some() {
        Query::all(concat!(matched!(), " WHERE g.order_id = ?7", narrowed!(), by_consumer!()), args)
    } else {
        Query::all(concat!(matched!(), " WHERE g.target = ?3", narrowed!(), by_consumer!()), args)
    }
}

impl PermissionFilter<'_> {
    fn arguments(&self, organization: OrganizationId, covered: Option<&CoveredGrants>) -> Vec<Argument> {
        vec![
            organization.into(),
            self.after.into(),
            self.target.into(),
            self.version.into(),
            self.consumer_id.into(),
            self.customer_id.into(),
            self.order_id.into(),
            self.updated_since.into(),
            self.live_at.into(),
            covered.map(|covered| json!(covered.wide).to_string()).into(),
            covered.map(|covered| json!(covered.exact).to_string()).into(),
        ]
    }
}
