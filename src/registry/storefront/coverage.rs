//! What somebody has of consumers: whoever sees all that a consumer was granted works on it, and is shown its private key
//! with the scope for that. Of every other consumer they have the permissions that they see all of, and no key.

use std::collections::HashSet;

use serde_json::json;

use crate::registry::access::issuer::{Issuer, MAX_COMPARED_GRANTS};
use crate::registry::access::scope::Scope;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumer_keys::Consumer;
use crate::store::access::tokens::GrantRow;
use crate::store::storefront::consumers::{ConsumerRow, by_id};
use crate::store::storefront::entitlements::{self, PermissionRow};

/// A consumer as somebody is shown it.
#[derive(Clone)]
pub struct ShownConsumer {
    /// As stored.
    pub row: ConsumerRow,
    /// The password of its Basic credentials, for those who may see it.
    pub private_key: Option<String>,
}

impl ShownConsumer {
    /// A consumer that its caller covers.
    pub fn covered(issuer: &Issuer, Consumer { row, private_key }: Consumer) -> Self {
        Self { row, private_key: Some(private_key).filter(|_| may_see_keys(issuer)) }
    }

    fn open(app: &App, issuer: &Issuer, row: ConsumerRow, is_covered: bool) -> Result<Self, Failure> {
        if is_covered && may_see_keys(issuer) {
            return Ok(Self::covered(issuer, Consumer::open(app, row)?));
        }
        Ok(Self { row, private_key: None })
    }
}

fn may_see_keys(issuer: &Issuer) -> bool {
    issuer.caller.may(Scope::StorefrontKeys)
}

/// Which of these consumers are covered, by primary key.
async fn covered_ids(app: &App, issuer: &Issuer, ids: Vec<i64>) -> Result<HashSet<i64>, Failure> {
    if issuer.covers_everything()? {
        return Ok(ids.into_iter().collect());
    }
    let (organization, ids) = (issuer.organization(), json!(ids).to_string());
    // Consumers that have others, beyond these, are not covered.
    let different = entitlements::different(organization, &ids, MAX_COMPARED_GRANTS);
    let covered = issuer.covered(app.ports.database.ask(different).await?)?;
    let consumers = app.ports.database.ask(entitlements::holders_of_nothing_else(organization, &ids, &covered)).await?;
    Ok(consumers.into_iter().map(|consumer| consumer.id).collect())
}

/// Consumers as somebody is shown them.
pub async fn shown(app: &App, issuer: &Issuer, rows: Vec<ConsumerRow>) -> Result<Vec<ShownConsumer>, Failure> {
    let covered = covered_ids(app, issuer, rows.iter().map(|row| row.id).collect()).await?;
    rows.into_iter()
        .map(|row| {
            let is_covered = covered.contains(&row.id);
            ShownConsumer::open(app, issuer, row, is_covered)
        })
        .collect()
}

/// One consumer as somebody is shown it.
pub async fn get(app: &App, issuer: &Issuer, id: i64) -> Result<ShownConsumer, Failure> {
    match app.ports.database.ask(by_id(issuer.organization(), id)).await? {
        Some(row) => shown(app, issuer, vec![row]).await?.pop().ok_or_else(|| Failure::not_found("Consumer")),
        None => Err(absent(app, issuer.organization(), id).await),
    }
}

/// Whether somebody covers a consumer; of one that is not there, whether they would cover it.
async fn is_covered(app: &App, issuer: &Issuer, id: i64) -> Result<bool, Failure> {
    let permissions = app.ports.database.ask(entitlements::of_consumer(issuer.organization(), id)).await?;
    let grants: Vec<GrantRow> = permissions.into_iter().map(|permission| permission.entitlement.grant).collect();
    issuer.covers_grants(&grants)
}

/// Refuses a consumer that is not covered.
///
/// # Errors
/// `Forbidden`; one that is not there is for the use case to miss.
pub async fn require_covered(app: &App, issuer: &Issuer, id: i64) -> Result<(), Failure> {
    if issuer.covers_everything()? || is_covered(app, issuer, id).await? {
        return Ok(());
    }
    let detail = "This consumer was granted what your token does not see, so only its permissions that your token sees are \
                  yours to read and to change. Use a token that sees all of it.";
    Err(Failure::new(Kind::Forbidden, detail))
}

/// Those permissions that are somebody's to read and to change.
pub fn own(issuer: &Issuer, rows: Vec<PermissionRow>) -> Result<Vec<PermissionRow>, Failure> {
    if issuer.covers_everything()? {
        return Ok(rows);
    }
    let mut own = Vec::new();
    for row in rows {
        if issuer.covers_grants(std::slice::from_ref(row.grant()))? {
            own.push(row);
        }
    }
    Ok(own)
}
