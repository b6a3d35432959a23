//! What somebody has of consumers: whoever sees all that a consumer was granted works on it, and is shown its private key
//! with the scope for that. Of every other consumer they have the permissions that they see all of, and no key.

use std::collections::HashSet;

use serde_json::json;

use crate::ports::Stmt;
use crate::registry::access::issuer::{Issuer, MAX_COMPARED_GRANTS};
use crate::registry::access::scope::Scope;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumer_keys::Consumer;
use crate::store::access::tokens::GrantRow;
use crate::store::storefront::consumers::{ConsumerRow, by_id};
use crate::store::storefront::entitlements::{self, PermissionRow};
use crate::store::storefront::permission_edits::guard;

/// A consumer as somebody is shown it.
#[derive(Clone)]
pub struct ShownConsumer {
    /// As stored.
    pub row: ConsumerRow,
    /// The password of its Basic credentials, for those who may see it.
    pub private_key: Option<String>,
}

impl ShownConsumer {
    /// A consumer that its caller has made or changed: whoever may do that may see keys ([`Scope::named`]).
    pub fn changed(Consumer { row, private_key }: Consumer) -> Self {
        Self { row, private_key: Some(private_key) }
    }

    fn open(app: &App, issuer: &Issuer, row: ConsumerRow, is_covered: bool) -> Result<Self, Failure> {
        if is_covered && issuer.caller.may(Scope::StorefrontKeys) {
            return Consumer::open(app, row).map(Self::changed);
        }
        Ok(Self { row, private_key: None })
    }
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

/// A consumer that somebody covers. What is written of it holds only while that is so: each batch of theirs begins with
/// [`CoveredConsumer::guard`].
pub struct CoveredConsumer<'a> {
    app: &'a App,
    issuer: &'a Issuer,
    id: i64,
    /// What it was granted when that was looked at; `None` when it does not matter.
    known: Option<Vec<PermissionRow>>,
}

impl CoveredConsumer<'_> {
    /// The statement that aborts its batch when the consumer was granted something else meanwhile.
    pub fn guard(&self) -> Option<Stmt> {
        self.known.as_ref().map(|known| guard(self.issuer.organization(), &[self.id], known))
    }

    /// The outcome of a batch with the guard: when it failed because somebody else has granted something, that is said.
    ///
    /// # Errors
    /// `Forbidden` or `Conflict` then, and `NotFound` when the consumer is gone.
    pub async fn outcome<T>(&self, outcome: Result<T, impl Into<Failure>>) -> Result<T, Failure> {
        let failure = match (outcome, &self.known) {
            (Ok(result), _) => return Ok(result),
            (Err(failure), None) => return Err(failure.into()),
            (Err(failure), Some(_)) => failure.into(),
        };
        let Self { app, issuer, id, known } = self;
        let organization = issuer.organization();
        let look = (by_id(organization, *id), entitlements::of_consumer(organization, *id));
        let (consumer, now) = app.ports.database.ask(look).await?;
        if consumer.is_none() {
            return Err(absent(app, organization, *id).await);
        }
        if known.as_ref() == Some(&now) {
            return Err(failure);
        }
        check_covered(issuer, &now)?;
        Err(Failure::concurrent_change("consumer"))
    }
}

/// Refuses a consumer that is not covered.
///
/// # Errors
/// `Forbidden`; one that is not there is for the use case to miss.
pub async fn require_covered<'a>(app: &'a App, issuer: &'a Issuer, id: i64) -> Result<CoveredConsumer<'a>, Failure> {
    if issuer.covers_everything()? {
        return Ok(CoveredConsumer { app, issuer, id, known: None });
    }
    let known = app.ports.database.ask(entitlements::of_consumer(issuer.organization(), id)).await?;
    check_covered(issuer, &known)?;
    Ok(CoveredConsumer { app, issuer, id, known: Some(known) })
}

fn check_covered(issuer: &Issuer, permissions: &[PermissionRow]) -> Result<(), Failure> {
    let grants: Vec<GrantRow> = permissions.iter().map(|permission| permission.grant().clone()).collect();
    if issuer.covers_grants(&grants)? {
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
