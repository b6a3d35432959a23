//! Permissions by the order that they were bought with: a refund takes them back, a renewal extends them.

use std::collections::HashMap;

use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::permission_edits::{Edit, EditOrder, Edited, edit, nothing_kept};
use crate::registry::storefront::permission_lists::{Portion, portion};
use crate::registry::storefront::permission_spec::PermissionSpec;
use crate::store::Update;
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::storefront::permission_lists::PermissionFilter;

/// Which permissions an order is.
fn of_order(order_id: &str) -> PermissionFilter<'_> {
    PermissionFilter { order_id: Some(order_id), ..PermissionFilter::default() }
}

/// Those of some permissions that an order is.
fn bought_with(rows: &[PermissionRow], order_id: &str) -> Vec<PermissionRow> {
    rows.iter().filter(|row| of_order(order_id).lets_through(row)).cloned().collect()
}

/// Takes back what was bought with an order: a refund or a chargeback. What was taken back; nothing the second time.
pub async fn revoke_order(app: &App, issuer: &Issuer, order_id: &str) -> Result<Vec<PermissionRow>, Failure> {
    let plan = |rows: &[PermissionRow]| {
        let removed = bought_with(rows, order_id).iter().map(|row| row.id).collect();
        Ok(Edit { removed, ..Edit::default() })
    };
    Ok(edit_order(app, issuer, "order.revoked", order_id, false, &plan)
        .await?
        .map(|edited| edited.removed)
        .unwrap_or_default())
}

/// Changes what was bought with an order: a renewal. Its permissions as they are now.
pub async fn change_order(
    app: &App,
    issuer: &Issuer,
    order_id: &str,
    spec: PermissionSpec,
    strict: bool,
) -> Result<Edited, Failure> {
    let plan = |rows: &[PermissionRow]| changed(&bought_with(rows, order_id), &spec);
    let edited = edit_order(app, issuer, "order.changed", order_id, strict, &plan).await?;
    let mut edited = edited.ok_or_else(|| Failure::not_found("Order"))?;
    let named = match &spec.order_id {
        Update::Set(Some(new)) => new,
        _ => order_id,
    };
    edited.rows = bought_with(&edited.rows, named);
    Ok(edited)
}

/// Edits the permissions of the consumers that have some of an order; `None` when nobody does.
async fn edit_order(
    app: &App,
    issuer: &Issuer,
    action: &'static str,
    order_id: &str,
    strict: bool,
    plan: &(dyn Fn(&[PermissionRow]) -> Result<Edit, Failure> + Send + Sync),
) -> Result<Option<Edited>, Failure> {
    let Portion { consumers, next } = portion(app, issuer, &of_order(order_id), 0).await?;
    if next.is_some() {
        let detail = "Too many consumers have permissions of this order to change them in one request. Change them with \
                      POST /permissions/bulk.";
        return Err(Failure::new(Kind::Conflict, detail));
    }
    if consumers.is_empty() {
        return Ok(None);
    }
    let target = order_id.to_owned();
    let order = EditOrder { action, target, consumers: &consumers, strict, is_carried_out: true, keep: &nothing_kept };
    edit(app, issuer, &order, plan).await
}

/// The edit that changes each of `rows` as a request says. Two that become the same are one.
///
/// # Errors
/// `Invalid` for what is wrong, and for a request that would give them other consumers or packages.
pub fn changed(rows: &[PermissionRow], spec: &PermissionSpec) -> Result<Edit, Failure> {
    if spec.consumer_id.is_some() || spec.package_id.is_some() || spec.package.is_some() {
        let detail = "Permissions that are changed together keep their consumers and packages. Leave `consumer_id`, \
                      `package_id` and `package` out.";
        return Err(Failure::invalid(detail));
    }
    let mut edit = Edit::default();
    let mut kept: Vec<PermissionRow> = Vec::new();
    for row in rows {
        let mut wrong = FieldErrors::default();
        let stated = spec.clone().check(String::new(), Some(row.grant()), &HashMap::new(), &mut wrong);
        wrong.into_result()?;
        let entitlement = stated.over(&row.entitlement);
        let is_there = |other: &PermissionRow| other.consumer_id == row.consumer_id && other.entitlement == entitlement;
        if kept.iter().any(is_there) {
            edit.removed.push(row.id);
        } else {
            edit.change(row, entitlement.clone());
            kept.push(PermissionRow { entitlement, ..row.clone() });
        }
    }
    Ok(edit)
}
