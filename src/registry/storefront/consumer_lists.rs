//! Consumers in pages: those that a shop looks for, with what they were granted if it asks for that.

use std::collections::HashMap;

use serde_json::json;

use crate::registry::access::grant::packages;
use crate::registry::access::issuer::{Issuer, MAX_COMPARED_GRANTS};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::coverage::{ShownConsumer, own, shown};
use crate::store::storefront::consumer_lists::{
    ConsumerFilter, count, grants_of_order, page as page_of, permissions_of,
};
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::{KeysetPage, KeysetRows};

/// Most consumers of a page with their permissions.
pub const MAX_WITH_PERMISSIONS: i64 = 1000;

/// Most permissions of a page: 1.5 kB each while they are read and 0.4 kB of JSON, so 19 MB. A consumer has 1,000 at most, so that a
/// page that is cut has nine consumers at least.
const MAX_PERMISSIONS: i64 = 10_000;

/// A consumer of a list.
pub struct ListedConsumer {
    /// It.
    pub shown: ShownConsumer,
    /// Its permissions that are somebody's to read, if they were asked for.
    pub permissions: Option<Vec<PermissionRow>>,
}

impl From<ShownConsumer> for ListedConsumer {
    fn from(shown: ShownConsumer) -> Self {
        Self { shown, permissions: None }
    }
}

/// Refuses to tell who was granted a package that somebody does not see all of.
fn check_target(issuer: &Issuer, filter: &ConsumerFilter) -> Result<(), Failure> {
    let Some(target) = &filter.target else { return Ok(()) };
    if issuer.covers_grants(&[packages(target)])? {
        return Ok(());
    }
    let detail = format!(
        "Your token does not see every version of `{target}`, so it is not told who was granted it. Use one that does."
    );
    Err(Failure::new(Kind::Forbidden, detail))
}

/// The same filter for somebody, who learns of an order by those permissions alone that they cover.
async fn bounded(app: &App, issuer: &Issuer, filter: &ConsumerFilter) -> Result<ConsumerFilter, Failure> {
    let mut filter = filter.clone();
    if let Some(order_id) = &filter.order_id
        && !issuer.covers_everything()?
    {
        let bought = grants_of_order(issuer.organization(), order_id, MAX_COMPARED_GRANTS);
        let covered = issuer.covered(app.ports.database.ask(bought).await?)?;
        filter.order_grants = Some(json!(covered).to_string());
    }
    Ok(filter)
}

/// A page of consumers, the oldest first. One has 10,000 at most: 20 MB, half of it as the database hands them over.
pub async fn list(
    app: &App,
    issuer: &Issuer,
    filter: &ConsumerFilter,
    page: KeysetPage,
) -> Result<KeysetRows<ListedConsumer>, Failure> {
    check_target(issuer, filter)?;
    let filter = &bounded(app, issuer, filter).await?;
    let organization = issuer.organization();
    let batch = (page_of(organization, filter, page), count(organization, filter));
    let (rows, total) = app.ports.database.ask(batch).await?;
    let consumers = shown(app, issuer, rows).await?.into_iter().map(ListedConsumer::from).collect();
    Ok(KeysetRows::whole(consumers, total))
}

/// The same page with the permissions of its consumers. It ends earlier when these are too many.
pub async fn with_permissions(
    app: &App,
    issuer: &Issuer,
    mut list: KeysetRows<ListedConsumer>,
) -> Result<KeysetRows<ListedConsumer>, Failure> {
    let ids: Vec<i64> = list.rows.iter().map(|listed| listed.shown.row.id).collect();
    let found = permissions_of(issuer.organization(), &ids, MAX_PERMISSIONS + 1);
    let found = app.ports.database.ask(found).await?;
    if i64::try_from(found.len()).is_ok_and(|count| count > MAX_PERMISSIONS)
        && let Some(last) = found.last().map(|permission| permission.consumer_id)
    {
        list.rows.retain(|listed| listed.shown.row.id < last);
        list.is_cut = true;
    }
    let mut by_consumer: HashMap<i64, Vec<PermissionRow>> = HashMap::new();
    for permission in own(issuer, found)? {
        by_consumer.entry(permission.consumer_id).or_default().push(permission);
    }
    for listed in &mut list.rows {
        listed.permissions = Some(by_consumer.remove(&listed.shown.row.id).unwrap_or_default());
    }
    Ok(list)
}
