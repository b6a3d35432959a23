//! All that a consumer was granted: read, set as the complete list, and added to.

use serde_json::json;

use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::identity::tokens::spec::MAX_GRANTS;
use crate::registry::kernel::app::App;
use crate::registry::kernel::entity_tag::IfMatch;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::coverage::own;
use crate::registry::storefront::permission_edits::{Edit, EditOrder, Edited, Keep, check, edit, nothing_kept, tag_of};
use crate::registry::storefront::permission_spec::{Names, PermissionSpec, StatedPermission, named_by, names};
use crate::registry::storefront::permission_warnings::{Warning, warnings};
use crate::store::Update;
use crate::store::access::tokens::GrantRow;
use crate::store::storefront::consumers::by_id as consumer_by_id;
use crate::store::storefront::entitlements::{self, Entitlement, PermissionRow};
use crate::store::storefront::permission_edits::WrittenPermission;

/// What the list is called in a request about a consumer.
pub const IN_A_CONSUMER: &str = "entitlements";

/// The permissions of a consumer that are somebody's to read, the oldest first.
pub async fn list(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<Vec<PermissionRow>, Failure> {
    let organization = issuer.organization();
    let batch = (consumer_by_id(organization, consumer_id), entitlements::of_consumer(organization, consumer_id));
    match app.ports.database.ask(batch).await? {
        (Some(_), rows) => own(issuer, rows),
        (None, _) => Err(absent(app, organization, consumer_id).await),
    }
}

/// The permissions of a consumer that name a package and are somebody's to read, the oldest first.
pub async fn of_package(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    package_id: i64,
) -> Result<Vec<PermissionRow>, Failure> {
    let organization = issuer.organization();
    let batch = (
        consumer_by_id(organization, consumer_id),
        entitlements::packages(organization, json!([package_id]).to_string()),
        entitlements::of_consumer(organization, consumer_id),
    );
    let (consumer, packages, rows) = app.ports.database.ask(batch).await?;
    if packages.is_empty() {
        return Err(Failure::not_found("Package"));
    }
    if consumer.is_none() {
        return Err(absent(app, organization, consumer_id).await);
    }
    own(issuer, rows.into_iter().filter(|row| row.package_id == Some(package_id)).collect())
}

/// Checks the permissions that a request lists; `consumer_id` is whose they are to be, when that is known.
pub async fn check_list(
    app: &App,
    issuer: &Issuer,
    consumer_id: Option<i64>,
    place: &str,
    specs: Vec<PermissionSpec>,
) -> Result<Vec<StatedPermission>, Failure> {
    if specs.len() > MAX_GRANTS {
        return Err(Failure::invalid(format!("A consumer has at most {MAX_GRANTS} permissions.")));
    }
    let names = names(app.ports.database.ask(named_by(issuer.organization(), &specs)).await?);
    let mut wrong = FieldErrors::default();
    let stated = state_list(consumer_id, place, specs, &names, &mut wrong);
    wrong.into_result()?;
    Ok(stated)
}

/// The permissions that a request lists at `place`, as [`check_list`] has them; notes what is wrong with each.
pub fn state_list(
    consumer_id: Option<i64>,
    place: &str,
    specs: Vec<PermissionSpec>,
    names: &Names,
    wrong: &mut FieldErrors,
) -> Vec<StatedPermission> {
    let mut stated = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        if spec.consumer_id.is_some_and(|id| consumer_id != Some(id)) {
            let text =
                if consumer_id.is_some() { "is not the consumer in the address" } else { "must be left out here" };
            wrong.push(format!("{place}.consumer_id"), text);
        }
        stated.push(spec.check(place, None, names, wrong));
    }
    stated
}

/// What a request says of a consumer's whole list of permissions.
pub struct ListChange {
    /// The permissions that it lists.
    pub specs: Vec<PermissionSpec>,
    /// What the list must be for it.
    pub if_match: IfMatch,
    /// Whether it is refused when nobody could install anything by one of them.
    pub strict: bool,
    /// What the list is called in the request, if it is not all of it.
    pub place: &'static str,
}

/// Makes a list the complete list of a consumer's permissions that are somebody's to change; others stay. What is on it
/// already stays, id and all, so that doing it twice does nothing more.
pub async fn set(app: &App, issuer: &Issuer, consumer_id: i64, change: ListChange) -> Result<Edited, Failure> {
    edit_list(app, issuer, consumer_id, change, ("entitlements.set", replacement), &nothing_kept).await
}

/// Adds permissions to a consumer's: one of the same package, constraint and order is extended, and none is shortened, so
/// that doing it twice does nothing more.
pub async fn add(app: &App, issuer: &Issuer, consumer_id: i64, change: ListChange) -> Result<Edited, Failure> {
    edit_list(app, issuer, consumer_id, change, ("entitlements.added", addition), &nothing_kept).await
}

/// The same for a request with a key.
pub async fn add_for_key(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    consumer_id: i64,
    change: ListChange,
) -> Result<Answer<Edited>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(unedited(app, issuer, done.id()).await),
    };
    let keep = |_: &Edit| claim.keep(consumer_id);
    let added = edit_list(app, issuer, consumer_id, change, ("entitlements.added", addition), &keep).await;
    let edited = claim.release_on_failure(app, added).await?;
    if edited.edit.is_empty() {
        claim.release(app).await;
    }
    Ok(Answer::first(edited))
}

/// A consumer's permissions as they are, with what is to be said of them.
pub async fn unedited(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<Edited, Failure> {
    let rows = list(app, issuer, consumer_id).await?;
    let grants: Vec<GrantRow> = rows.iter().map(|row| row.grant().clone()).collect();
    let warnings = warnings(app, issuer.organization(), &grants).await?;
    Ok(Edited { rows, edit: Edit::default(), removed: Vec::new(), warnings })
}

/// How a list of permissions is changed: the action in the audit log, and the edit that what a request states makes of what there is.
type ListAction = (&'static str, fn(i64, &[PermissionRow], &[StatedPermission]) -> Edit);

async fn edit_list(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    change: ListChange,
    (action, changed): ListAction,
    keep: &Keep<'_>,
) -> Result<Edited, Failure> {
    let stated = check_list(app, issuer, Some(consumer_id), change.place, change.specs).await?;
    let plan = |rows: &[PermissionRow]| {
        change.if_match.require("list of permissions", &tag_of(rows))?;
        Ok(changed(consumer_id, rows, &stated))
    };
    let (target, consumers) = (consumer_id.to_string(), [consumer_id]);
    let order = EditOrder { action, target, consumers: &consumers, strict: change.strict, is_carried_out: true, keep };
    let edited = edit(app, issuer, &order, &plan).await?;
    match edited {
        Some(edited) => Ok(edited),
        None => Err(absent(app, issuer.organization(), consumer_id).await),
    }
}

/// What a consumer is made with.
pub struct DraftedEntitlements {
    /// Its permissions.
    pub permissions: Vec<WrittenPermission>,
    /// What nobody can install by them.
    pub warnings: Vec<Warning>,
}

/// Checks what a consumer about to be made is to be granted; `consumer_id` is the one that it is going to have.
pub async fn draft(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    specs: Vec<PermissionSpec>,
    strict: bool,
) -> Result<DraftedEntitlements, Failure> {
    if specs.is_empty() {
        return Ok(DraftedEntitlements { permissions: Vec::new(), warnings: Vec::new() });
    }
    let stated = check_list(app, issuer, None, IN_A_CONSUMER, specs).await?;
    let edit = addition(consumer_id, &[], &stated);
    check(issuer, &[consumer_id], &[], false, &edit)?;
    let warnings = warnings(app, issuer.organization(), &edit.named).await?;
    if strict {
        Warning::refuse(&warnings)?;
    }
    Ok(DraftedEntitlements { permissions: edit.written, warnings })
}

/// The edit after which a consumer has just what is stated, of what is somebody's to change. Each permission that is
/// stated takes over one that says the same, else one of the same package, constraint and order.
pub fn replacement(consumer_id: i64, rows: &[PermissionRow], stated: &[StatedPermission]) -> Edit {
    let mut edit = Edit::default();
    let mut left: Vec<&PermissionRow> = rows.iter().collect();
    let mut open: Vec<&StatedPermission> = Vec::new();
    for one in stated {
        let same = left
            .iter()
            .position(|row| one.is_about(&row.entitlement) && one.clone().over(&row.entitlement) == row.entitlement);
        match same {
            Some(place) => {
                edit.named.push(one.grant.clone());
                left.remove(place);
            }
            None => open.push(one),
        }
    }
    for one in open {
        match left.iter().position(|row| one.is_about(&row.entitlement)) {
            Some(place) => {
                let row = left.remove(place);
                edit.change(row, one.clone().over(&row.entitlement));
            }
            None => add_once(&mut edit, consumer_id, rows, one.clone().into_new()),
        }
    }
    edit.removed = left.into_iter().map(|row| row.id).collect();
    edit
}

/// The edit after which a consumer has what is stated besides what it has.
pub fn addition(consumer_id: i64, rows: &[PermissionRow], stated: &[StatedPermission]) -> Edit {
    let mut edit = Edit::default();
    let mut rows = rows.to_vec();
    for one in stated {
        // What names no order is of none: another order's refund is not to take it back.
        let mut one = one.clone();
        one.order_id = Update::Set(one.order_id.into_value());
        match rows.iter_mut().find(|row| one.is_about(&row.entitlement)) {
            Some(row) => {
                let extended = one.extending(&row.entitlement);
                edit.written.retain(|written| written.id != Some(row.id));
                edit.change(row, extended.clone());
                row.entitlement = extended;
            }
            None => add_once(&mut edit, consumer_id, &rows, one.into_new()),
        }
    }
    edit
}

/// Gives a permission, unless the same list gives it already.
fn add_once(edit: &mut Edit, consumer_id: i64, rows: &[PermissionRow], entitlement: Entitlement) {
    let is_there = edit.written.iter().any(|written| written.entitlement == entitlement)
        || rows.iter().any(|row| row.entitlement == entitlement && !edit.removed.contains(&row.id));
    if !is_there {
        edit.add(consumer_id, entitlement);
    }
}
