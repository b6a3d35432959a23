//! Permissions one by one: given, read, changed and taken back. A permission names a package, or many by a pattern, and limits
//! their versions; the access decision is `access`'s, as for tokens.

use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::kernel::app::App;
use crate::registry::kernel::entity_tag::{EntityTag, IfMatch};
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::absent_consumers::absent_in_body;
use crate::registry::storefront::coverage::own;
use crate::registry::storefront::permission_edits::{Edit, EditOrder, edit, nothing_kept, taken};
use crate::registry::storefront::permission_spec::{PermissionSpec, named_by, names};
use crate::registry::storefront::permission_warnings::{Warning, warnings};
use crate::store::storefront::entitlements::{self, PermissionRow};
use crate::store::storefront::permission_edits::keep_latest;

fn no_permission() -> Failure {
    Failure::not_found("Permission")
}

/// A permission that was given or changed.
pub struct WarnedPermission {
    /// As stored.
    pub row: PermissionRow,
    /// What nobody can install by it.
    pub warnings: Vec<Warning>,
}

/// The tag of a permission.
pub fn tag_of(row: &PermissionRow) -> EntityTag {
    EntityTag::of(&(row.id, row.updated_at))
}

fn order<'a>(action: &'static str, consumers: &'a [i64], target: i64, strict: bool) -> EditOrder<'a> {
    EditOrder { action, target: target.to_string(), consumers, strict, is_carried_out: true, keep: &nothing_kept }
}

/// Grants something to a consumer.
pub async fn grant(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    spec: PermissionSpec,
    strict: bool,
) -> Result<Answer<WarnedPermission>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(granted_before(app, issuer, done.id()).await),
    };
    let granted = grant_once(app, issuer, spec, strict, &claim).await;
    claim.release_on_failure(app, granted).await.map(Answer::first)
}

/// A permission that was given before, as it is now.
async fn granted_before(app: &App, issuer: &Issuer, id: i64) -> Result<WarnedPermission, Failure> {
    let row = get(app, issuer, id).await?;
    let warnings = warnings(app, issuer.organization(), std::slice::from_ref(row.grant())).await?;
    Ok(WarnedPermission { row, warnings })
}

async fn grant_once(
    app: &App,
    issuer: &Issuer,
    spec: PermissionSpec,
    strict: bool,
    claim: &IdempotencyClaim,
) -> Result<WarnedPermission, Failure> {
    let organization = issuer.organization();
    let consumer_id = spec.consumer_id.ok_or_else(|| Failure::invalid_field("consumer_id", "is required"))?;
    let names = names(app.ports.database.ask(named_by(organization, [&spec])).await?);
    let mut wrong = FieldErrors::default();
    let stated = spec.check(String::new(), None, &names, &mut wrong);
    wrong.into_result()?;
    let entitlement = stated.into_new();
    let plan = |rows: &[PermissionRow]| {
        if rows.iter().any(|row| is_same(row, &entitlement)) {
            return Err(taken());
        }
        let mut edit = Edit::default();
        edit.add(consumer_id, entitlement.clone());
        Ok(edit)
    };
    let consumers = [consumer_id];
    let keep = |_: &Edit| claim.keep_with(|request| keep_latest(organization, request, consumer_id));
    let order = EditOrder { keep: &keep, ..order("permission.created", &consumers, consumer_id, strict) };
    let Some(edited) = edit(app, issuer, &order, &plan).await? else {
        return Err(absent_in_body(app, organization, consumer_id).await);
    };
    let row = edited.rows.into_iter().rfind(|row| row.entitlement == entitlement).ok_or_else(no_permission)?;
    Ok(WarnedPermission { row, warnings: edited.warnings })
}

/// Whether a permission is just what another is to be, whatever the shop notes beside.
fn is_same(row: &PermissionRow, other: &entitlements::Entitlement) -> bool {
    *row.grant() == other.grant && row.entitlement.order_id == other.order_id
}

/// One permission.
pub async fn get(app: &App, issuer: &Issuer, id: i64) -> Result<PermissionRow, Failure> {
    let found = app.ports.database.ask(entitlements::by_id(issuer.organization(), id)).await?;
    own(issuer, found.into_iter().collect())?.pop().ok_or_else(no_permission)
}

/// Changes what the request names, and nothing else.
pub async fn change(
    app: &App,
    issuer: &Issuer,
    id: i64,
    spec: PermissionSpec,
    if_match: &IfMatch,
    strict: bool,
) -> Result<WarnedPermission, Failure> {
    let organization = issuer.organization();
    let known = get(app, issuer, id).await?;
    let names = names(app.ports.database.ask(named_by(organization, [&spec])).await?);
    let consumer_id = spec.consumer_id.unwrap_or(known.consumer_id);
    let mut consumers = vec![known.consumer_id, consumer_id];
    consumers.dedup();
    let plan = |rows: &[PermissionRow]| {
        let old = rows.iter().find(|row| row.id == id).ok_or_else(no_permission)?;
        if_match.require("permission", &tag_of(old))?;
        let mut wrong = FieldErrors::default();
        let stated = spec.clone().check(String::new(), Some(old.grant()), &names, &mut wrong);
        wrong.into_result()?;
        let mut edit = Edit::default();
        edit.change_of(old, consumer_id, stated.over(&old.entitlement));
        Ok(edit)
    };
    let order = order("permission.changed", &consumers, consumer_id, strict);
    let Some(edited) = edit(app, issuer, &order, &plan).await? else {
        return Err(absent_in_body(app, organization, consumer_id).await);
    };
    let row = edited.rows.into_iter().find(|row| row.id == id).ok_or_else(no_permission)?;
    Ok(WarnedPermission { row, warnings: edited.warnings })
}

/// Takes a permission back.
pub async fn revoke(app: &App, issuer: &Issuer, id: i64, if_match: &IfMatch) -> Result<(), Failure> {
    let known = get(app, issuer, id).await?;
    let plan = |rows: &[PermissionRow]| {
        let old = rows.iter().find(|row| row.id == id).ok_or_else(no_permission)?;
        if_match.require("permission", &tag_of(old))?;
        Ok(Edit { removed: vec![id], ..Edit::default() })
    };
    let consumers = [known.consumer_id];
    let order = order("permission.deleted", &consumers, known.consumer_id, false);
    edit(app, issuer, &order, &plan).await?.map(|_| ()).ok_or_else(no_permission)
}
