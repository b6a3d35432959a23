//! `consumers` in pages: by what a shop knows of them, and by what they were granted.

use serde_json::json;

use crate::ports::{Argument, Millis};
use crate::store::access::grants::GrantRow;
use crate::store::storefront::consumers::{ConsumerRow, consumers};
use crate::store::storefront::entitlements::{PermissionRow, permissions};
use crate::store::{KeysetPage, OrganizationId, Query};

/// Which consumers are meant; every field that is set narrows it.
#[derive(Debug, Clone, Default)]
pub struct ConsumerFilter {
    /// With this e-mail address, in whatever case.
    pub email: Option<String>,
    /// With an e-mail address that holds this, in whatever case.
    pub search: Option<String>,
    /// Of the customer with this id of the shop's.
    pub customer_id: Option<String>,
    /// Of the order with this id of the shop's, itself or by one of its grants.
    pub order_id: Option<String>,
    /// JSON array of grants: by one of these grants of the order alone.
    pub order_grants: Option<String>,
    /// Enabled or not.
    pub is_enabled: Option<bool>,
    /// With a grant whose target this is.
    pub target: Option<String>,
    /// Changed at this moment or later.
    pub updated_since: Option<Millis>,
}

macro_rules! narrowed {
    () => {
        " AND (?2 IS NULL OR lower(email) = lower(?2))
          AND (?3 IS NULL OR instr(lower(email), lower(?3)) > 0)
          AND (?4 IS NULL OR customer_id = ?4)
          AND (?5 IS NULL OR order_id = ?5 OR EXISTS (
                 SELECT 1 FROM grants g WHERE g.consumer_id = consumers.id AND g.order_id = ?5 AND (?9 IS NULL
                     OR json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
                     IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                                j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                           FROM json_each(?9) j))))
          AND (?6 IS NULL OR is_enabled = ?6)
          AND (?7 IS NULL OR EXISTS (SELECT 1 FROM grants g WHERE g.consumer_id = consumers.id AND g.target = ?7))
          AND (?8 IS NULL OR updated_at >= ?8)"
    };
}

macro_rules! all {
    () => {
        concat!(" WHERE organization_id = ?1", narrowed!())
    };
}
macro_rules! with_email {
    () => {
        concat!(" WHERE organization_id = ?1 AND lower(email) = lower(?2)", narrowed!())
    };
}
macro_rules! of_customer {
    () => {
        concat!(" WHERE organization_id = ?1 AND customer_id = ?4", narrowed!())
    };
}
macro_rules! of_order {
    () => {
        concat!(
            " WHERE organization_id = ?1
                AND id IN (SELECT o.id FROM consumers o WHERE o.organization_id = ?1 AND o.order_id = ?5
                     UNION SELECT h.consumer_id FROM grants h WHERE h.order_id = ?5 AND h.consumer_id IS NOT NULL)",
            narrowed!()
        )
    };
}
macro_rules! with_target {
    () => {
        concat!(
            " WHERE organization_id = ?1
                AND id IN (SELECT h.consumer_id FROM grants h WHERE h.target = ?7 AND h.consumer_id IS NOT NULL)",
            narrowed!()
        )
    };
}
macro_rules! changed {
    () => {
        concat!(" WHERE organization_id = ?1 AND updated_at >= ?8", narrowed!())
    };
}
macro_rules! paged {
    () => {
        " AND id > ifnull(?10, 0) ORDER BY id LIMIT ?11 OFFSET ?12"
    };
}
macro_rules! counted {
    () => {
        "SELECT count(*) AS total FROM consumers"
    };
}

impl ConsumerFilter {
    fn args(&self, organization: OrganizationId) -> Vec<Argument> {
        vec![
            organization.into(),
            self.email.as_ref().into(),
            self.search.as_ref().into(),
            self.customer_id.as_ref().into(),
            self.order_id.as_ref().into(),
            self.is_enabled.into(),
            self.target.as_ref().into(),
            self.updated_since.into(),
            self.order_grants.as_ref().into(),
        ]
    }
}

/// A page of consumers, the oldest first. What it reads grows with those of the customer, the order, the address or the package,
/// or with those that have changed, when the filter names one of these.
pub fn page(organization: OrganizationId, filter: &ConsumerFilter, page: KeysetPage) -> Query<Vec<ConsumerRow>> {
    let mut args = filter.args(organization);
    args.extend([page.after.into(), page.limit.into(), page.offset.into()]);
    match filter {
        ConsumerFilter { customer_id: Some(_), .. } => {
            Query::all(concat!(consumers!(), of_customer!(), paged!()), args)
        }
        ConsumerFilter { order_id: Some(_), .. } => Query::all(concat!(consumers!(), of_order!(), paged!()), args),
        ConsumerFilter { email: Some(_), .. } => Query::all(concat!(consumers!(), with_email!(), paged!()), args),
        ConsumerFilter { updated_since: Some(_), .. } => Query::all(concat!(consumers!(), changed!(), paged!()), args),
        ConsumerFilter { target: Some(_), .. } => Query::all(concat!(consumers!(), with_target!(), paged!()), args),
        _ => Query::all(concat!(consumers!(), all!(), paged!()), args),
    }
}

/// How many consumers there are in all.
pub fn count(organization: OrganizationId, filter: &ConsumerFilter) -> Query<i64> {
    let args = filter.args(organization);
    match filter {
        ConsumerFilter { customer_id: Some(_), .. } => Query::count(concat!(counted!(), of_customer!()), args),
        ConsumerFilter { order_id: Some(_), .. } => Query::count(concat!(counted!(), of_order!()), args),
        ConsumerFilter { email: Some(_), .. } => Query::count(concat!(counted!(), with_email!()), args),
        ConsumerFilter { updated_since: Some(_), .. } => Query::count(concat!(counted!(), changed!()), args),
        ConsumerFilter { target: Some(_), .. } => Query::count(concat!(counted!(), with_target!()), args),
        _ => Query::count(concat!(counted!(), all!()), args),
    }
}

/// The different grants that were bought with an order, `limit` at most.
pub fn grants_of_order(organization: OrganizationId, order_id: &str, limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT DISTINCT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at
           FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
          WHERE g.order_id = ?2 LIMIT ?3",
        [organization.into(), order_id.into(), limit.into()],
    )
}

/// The permissions of the consumers with these primary keys, `limit` at most: those of one after those of another, each the
/// oldest first.
pub fn permissions_of(organization: OrganizationId, ids: &[i64], limit: i64) -> Query<Vec<PermissionRow>> {
    Query::all(
        concat!(
            permissions!(),
            " WHERE g.consumer_id IN (SELECT value FROM json_each(?2)) ORDER BY g.consumer_id, g.id LIMIT ?3"
        ),
        [organization.into(), json!(ids).to_string().into(), limit.into()],
    )
}
