//! One change of many permissions: a hot-fix for everybody who bought the version before it, a year more for an edition.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::entitlements::addition;
use crate::registry::storefront::orders::changed;
use crate::registry::storefront::permission_edits::{Edit, EditOrder, edit};
use crate::registry::storefront::permission_lists::{Portion, portion};
use crate::registry::storefront::permission_spec::{PermissionSpec, StatedPermission, named_by, names};
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::storefront::permission_lists::PermissionFilter;

/// What is done about every permission that a filter lets through.
#[derive(Debug, Clone)]
pub enum BulkAction {
    /// Its consumer is given another, which extends one of the same package, constraint and order.
    Add(PermissionSpec),
    /// It is changed.
    Change(PermissionSpec),
    /// It is taken back.
    Delete,
}

/// A request about many permissions.
pub struct BulkRequest<'a> {
    /// Which permissions.
    pub filter: PermissionFilter<'a>,
    /// What is done.
    pub action: BulkAction,
    /// Whether it is only said what would be done.
    pub is_dry_run: bool,
    /// The consumers behind this one.
    pub after: i64,
}

/// What one request did about many permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkOutcome {
    /// The consumers that have such permissions.
    pub consumers: Vec<i64>,
    /// Permissions that were given.
    pub added: usize,
    /// Permissions that changed.
    pub changed: usize,
    /// Permissions that were taken back.
    pub removed: usize,
    /// Behind which consumer the next request goes on; `None` when all is done.
    pub next: Option<i64>,
}

/// A [`BulkAction`] in which nothing is wrong.
enum CheckedAction {
    Add(StatedPermission),
    Change(PermissionSpec),
    Delete,
}

/// Does something about many permissions, consumer by consumer, as many as one request can change.
pub async fn change_many(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    request: BulkRequest<'_>,
) -> Result<Answer<BulkOutcome>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            let outcome = serde_json::from_value(done.result().clone()).map_err(Failure::internal);
            return DoneRequest::again(outcome);
        }
    };
    let is_dry_run = request.is_dry_run;
    let changed = change_many_once(app, issuer, request, &claim).await;
    let outcome = claim.release_on_failure(app, changed).await?;
    if is_dry_run || outcome.changes_nothing() {
        claim.release(app).await;
    }
    Ok(Answer::first(outcome))
}

impl BulkOutcome {
    fn of(edit: &Edit, consumers: &[i64], next: Option<i64>) -> Self {
        let added = edit.written.iter().filter(|written| written.id.is_none()).count();
        let changed = edit.written.len() - added;
        Self { consumers: consumers.to_vec(), added, changed, removed: edit.removed.len(), next }
    }

    fn changes_nothing(&self) -> bool {
        self.added + self.changed + self.removed == 0
    }
}

async fn change_many_once(
    app: &App,
    issuer: &Issuer,
    request: BulkRequest<'_>,
    claim: &IdempotencyClaim,
) -> Result<BulkOutcome, Failure> {
    let BulkRequest { filter, action, is_dry_run, after } = request;
    let action = check(app, issuer, action).await?;
    let Portion { consumers, next } = portion(app, issuer, &filter, after).await?;
    if consumers.is_empty() {
        return Ok(BulkOutcome { consumers, added: 0, changed: 0, removed: 0, next });
    }
    let plan = |rows: &[PermissionRow]| plan(&filter, &action, rows);
    let keep = |edit: &Edit| claim.keep(json!(BulkOutcome::of(edit, &consumers, next)));
    let order = EditOrder {
        action: "permissions.changed",
        target: filter.order_id.or(filter.target).unwrap_or_default().to_owned(),
        consumers: &consumers,
        strict: false,
        is_carried_out: !is_dry_run,
        keep: &keep,
    };
    let edited = edit(app, issuer, &order, &plan).await?;
    let edit = edited.ok_or_else(|| Failure::concurrent_change("consumers"))?.edit;
    Ok(BulkOutcome::of(&edit, &consumers, next))
}

async fn check(app: &App, issuer: &Issuer, action: BulkAction) -> Result<CheckedAction, Failure> {
    let spec = match action {
        BulkAction::Add(spec) => spec,
        BulkAction::Change(spec) => return Ok(CheckedAction::Change(spec)),
        BulkAction::Delete => return Ok(CheckedAction::Delete),
    };
    let names = names(app.ports.database.ask(named_by(issuer.organization(), [&spec])).await?);
    let mut wrong = FieldErrors::default();
    let stated = spec.check("add".to_owned(), None, &names, &mut wrong);
    wrong.into_result()?;
    Ok(CheckedAction::Add(stated))
}

fn plan(filter: &PermissionFilter<'_>, action: &CheckedAction, rows: &[PermissionRow]) -> Result<Edit, Failure> {
    let such: Vec<PermissionRow> = rows.iter().filter(|row| filter.lets_through(row)).cloned().collect();
    let stated = match action {
        CheckedAction::Change(spec) => return changed(&such, spec),
        CheckedAction::Delete => {
            return Ok(Edit { removed: such.iter().map(|row| row.id).collect(), ..Edit::default() });
        }
        CheckedAction::Add(stated) => stated,
    };
    let mut consumers: Vec<i64> = such.iter().map(|row| row.consumer_id).collect();
    consumers.sort_unstable();
    consumers.dedup();
    let mut edit = Edit::default();
    for id in consumers {
        let own: Vec<PermissionRow> = rows.iter().filter(|row| row.consumer_id == id).cloned().collect();
        let addition = addition(id, &own, std::slice::from_ref(stated));
        edit.written.extend(addition.written);
        edit.named.extend(addition.named);
    }
    Ok(edit)
}
