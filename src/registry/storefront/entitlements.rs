//! What consumers were granted. A permission names a package, or many by a pattern, and limits their versions; the
//! access decision is `access`'s, as for tokens. Here permissions are checked, given, changed and taken back, one by
//! one or as the complete list.

use std::collections::HashMap;

use serde_json::json;

use crate::ports::{DatabaseError, Millis};
use crate::registry::access::grant::check_comparisons;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::tokens::spec::{GrantFields, GrantSpec, MAX_GRANTS};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::absent_consumers::{absent, absent_in_body};
use crate::registry::storefront::consumers::{note, refresh_all_cached};
use crate::registry::storefront::coverage::own;
use crate::store::access::past_grants;
use crate::store::access::tokens::{self, GrantRow};
use crate::store::storefront::consumers::by_id as consumer_by_id;
use crate::store::storefront::entitlements::{self, NamedPackage, PermissionRow};
use crate::store::{OrganizationId, Query, Update};

/// What a request says that a permission should be; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct PermissionSpec {
    /// Whose it is.
    pub consumer_id: Option<i64>,
    /// Primary key of the package, instead of `package`.
    pub package_id: Option<i64>,
    /// The package's name, or a pattern in which `*` stands for any characters.
    pub package: Option<String>,
    /// A Composer constraint.
    pub version: Option<String>,
    /// When it ends.
    pub expires_at: Update<Millis>,
    /// Only versions released up to this moment.
    pub updates_until: Update<Millis>,
    /// Composer's name of a stability.
    pub minimum_stability: Option<String>,
}

type Names = HashMap<i64, String>;

fn no_permission() -> Failure {
    Failure::not_found("Permission")
}

/// The names of the packages that `specs` mean by their ids.
fn named_by<'s>(
    organization: OrganizationId,
    specs: impl IntoIterator<Item = &'s PermissionSpec>,
) -> Query<Vec<NamedPackage>> {
    let ids: Vec<i64> = specs.into_iter().filter_map(|spec| spec.package_id).collect();
    entitlements::packages(organization, json!(ids).to_string())
}

fn names(packages: Vec<NamedPackage>) -> Names {
    packages.into_iter().map(|package| (package.id, package.name)).collect()
}

impl PermissionSpec {
    /// The grant that it is, over `old` when there is one.
    fn check(self, place: String, old: Option<&GrantRow>, names: &Names, wrong: &mut FieldErrors) -> GrantRow {
        let fields = GrantFields { place, pattern: "package", constraint: "version" };
        let target = match (self.package_id, self.package) {
            (Some(id), None) => {
                let name = names.get(&id).cloned();
                if name.is_none() {
                    wrong.push(fields.at("package_id"), "is not the id of a package");
                }
                name
            }
            (None, Some(target)) => Some(target),
            (Some(_), Some(_)) => {
                wrong.push(fields.at("package"), "cannot be combined with `package_id`");
                None
            }
            (None, None) => {
                let kept = old.map(|old| old.target.clone());
                if kept.is_none() {
                    wrong.push(
                        fields.at("package_id"),
                        "is required, or `package` with a name or a pattern like `acme/*`",
                    );
                }
                kept
            }
        };
        let version = self.version.or_else(|| old.map(|old| old.version_constraint.clone()));
        if version.is_none() {
            wrong.push(fields.at("version"), "is required; `*` is every version");
        }
        let over =
            |update: Update<Millis>, kept: Option<Millis>| if update.is_set() { update.into_value() } else { kept };
        let is_pattern = target.as_ref().is_some_and(|target| target.contains('*'));
        // Something that is a name, so that what is wrong is told once.
        let target = target.unwrap_or_else(|| "vendor/package".to_owned());
        let spec = GrantSpec {
            package: Some(target.clone()).filter(|_| !is_pattern),
            pattern: Some(target).filter(|_| is_pattern),
            constraint: version,
            updates_until: over(self.updates_until, old.and_then(|old| old.updates_until)),
            minimum_stability: self.minimum_stability.or_else(|| old.map(|old| old.minimum_stability.clone())),
            expires_at: over(self.expires_at, old.and_then(|old| old.expires_at)),
        };
        spec.check(&fields, wrong)
    }
}

/// Refuses the permissions of a consumer whose constraints take too many comparisons together.
fn check_together<'g>(grants: impl IntoIterator<Item = &'g GrantRow>) -> Result<(), Failure> {
    check_comparisons(grants)
        .map_or(Ok(()), |text| Err(Failure::invalid_field("version", format!("the permissions of a consumer {text}"))))
}

/// A failure whose conflict is that of a permission.
fn taken(error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Conflict(_) => {
            Failure::new(Kind::Conflict, "The consumer has the same permission already. Change that one instead.")
        }
        DatabaseError::Fault(fault) => fault.into(),
    }
}

/// Grants something to a consumer.
pub async fn grant(app: &App, issuer: &Issuer, spec: PermissionSpec) -> Result<PermissionRow, Failure> {
    let organization = issuer.by.organization();
    let consumer_id = spec.consumer_id.ok_or_else(|| Failure::invalid_field("consumer_id", "is required"))?;
    let look = (named_by(organization, [&spec]), entitlements::of_consumer(organization, consumer_id));
    let (packages, others) = app.ports.database.ask(look).await?;
    let names = names(packages);
    let mut wrong = FieldErrors::default();
    let grant = spec.check(String::new(), None, &names, &mut wrong);
    wrong.into_result()?;
    issuer.check_grants(std::slice::from_ref(&grant))?;
    check_together(others.iter().map(|other| &other.grant).chain([&grant]))?;
    let most = i64::try_from(MAX_GRANTS).unwrap_or(i64::MAX);
    let recorded = note(app, &issuer.by, "permission.created", consumer_id, json!(grant))?;
    let batch = (
        entitlements::insert(organization, consumer_id, &grant, app.now(), most),
        recorded,
        entitlements::latest(organization, consumer_id),
        tokens::of_consumer(organization, consumer_id),
    );
    let (is_granted, (), row, tokens) = app.ports.database.ask(batch).await.map_err(taken)?;
    if tokens.is_empty() {
        return Err(absent_in_body(app, organization, consumer_id).await);
    }
    if !is_granted {
        let detail =
            format!("The consumer has {MAX_GRANTS} permissions, which is the maximum. Delete some of them first.");
        return Err(Failure::new(Kind::Conflict, detail));
    }
    refresh_all_cached(app, tokens).await;
    row.ok_or_else(no_permission)
}

/// One permission.
pub async fn get(app: &App, issuer: &Issuer, id: i64) -> Result<PermissionRow, Failure> {
    let found = app.ports.database.ask(entitlements::by_id(issuer.organization(), id)).await?;
    own_one(issuer, found)
}

/// A permission, if it is somebody's to read and to change.
fn own_one(issuer: &Issuer, found: Option<PermissionRow>) -> Result<PermissionRow, Failure> {
    own(issuer, found.into_iter().collect())?.pop().ok_or_else(no_permission)
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, issuer: &Issuer, id: i64, spec: PermissionSpec) -> Result<PermissionRow, Failure> {
    let organization = issuer.by.organization();
    let look = (entitlements::by_id(organization, id), named_by(organization, [&spec]));
    let (old, packages) = app.ports.database.ask(look).await?;
    let (old, names) = (own_one(issuer, old)?, names(packages));
    let consumer_id = spec.consumer_id.unwrap_or(old.consumer_id);
    let mut wrong = FieldErrors::default();
    let grant = spec.check(String::new(), Some(&old.grant), &names, &mut wrong);
    wrong.into_result()?;
    issuer.check_grants(std::slice::from_ref(&grant))?;
    let others = app.ports.database.ask(entitlements::of_consumer(organization, consumer_id)).await?;
    let others = others.iter().filter(|other| other.id != id).map(|other| &other.grant);
    check_together(others.chain([&grant]))?;
    let recorded =
        note(app, &issuer.by, "permission.changed", consumer_id, json!({ "permission": id, "grant": grant }))?;
    // One that is moved ends for whom it was.
    let kept = if consumer_id == old.consumer_id { std::slice::from_ref(&grant) } else { &[] };
    let batch = (
        past_grants::record_of_consumer(organization, old.consumer_id, Some(id), kept, app.now()),
        entitlements::update(organization, &old, consumer_id, &grant, app.now()),
        recorded,
        entitlements::by_id(organization, id),
        tokens::of_consumer(organization, old.consumer_id),
        tokens::of_consumer(organization, consumer_id),
    );
    let ((), is_changed, (), row, old_tokens, new_tokens) = app.ports.database.ask(batch).await.map_err(taken)?;
    if new_tokens.is_empty() {
        return Err(absent_in_body(app, organization, consumer_id).await);
    }
    if !is_changed {
        return Err(Failure::concurrent_change("permission"));
    }
    if consumer_id != old.consumer_id {
        refresh_all_cached(app, old_tokens).await;
    }
    refresh_all_cached(app, new_tokens).await;
    row.ok_or_else(no_permission)
}

/// Takes a permission back.
pub async fn revoke(app: &App, issuer: &Issuer, id: i64) -> Result<(), Failure> {
    let organization = issuer.by.organization();
    let old = get(app, issuer, id).await?;
    let details = json!({ "permission": id, "grant": old.grant });
    let recorded = note(app, &issuer.by, "permission.deleted", old.consumer_id, details)?;
    let batch = (
        past_grants::record_of_consumer(organization, old.consumer_id, Some(id), &[], app.now()),
        entitlements::delete(organization, old.consumer_id, id),
        recorded,
        tokens::of_consumer(organization, old.consumer_id),
    );
    let ((), is_deleted, (), tokens) = app.ports.database.ask(batch).await?;
    refresh_all_cached(app, tokens).await;
    if is_deleted { Ok(()) } else { Err(no_permission()) }
}

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

/// Makes a list the complete list of a consumer's permissions that are somebody's to change; others stay. What is on it
/// already stays as it is, id and all, so that doing it twice does nothing more.
pub async fn set(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    specs: Vec<PermissionSpec>,
) -> Result<Vec<PermissionRow>, Failure> {
    if specs.len() > MAX_GRANTS {
        return Err(Failure::invalid(format!("A consumer has at most {MAX_GRANTS} permissions.")));
    }
    let organization = issuer.by.organization();
    let names = names(app.ports.database.ask(named_by(organization, &specs)).await?);
    let mut wrong = FieldErrors::default();
    let mut grants: Vec<GrantRow> = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let place = format!("[{index}]");
        if spec.consumer_id.is_some_and(|id| id != consumer_id) {
            wrong.push(format!("{place}.consumer_id"), "is not the consumer in the address");
        }
        let grant = spec.check(place, None, &names, &mut wrong);
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    wrong.into_result()?;
    issuer.check_grants(&grants)?;
    check_together(&grants)?;
    let recorded = note(app, &issuer.by, "entitlements.set", consumer_id, json!({ "grants": grants }))?;
    let only = keep_others(app, issuer, consumer_id, &mut grants).await?;
    let [change, delete, insert] =
        entitlements::replace(organization, consumer_id, &grants, only.as_deref(), app.now());
    let batch = (
        change,
        recorded,
        past_grants::record_of_consumer(organization, consumer_id, None, &grants, app.now()),
        delete,
        insert,
        entitlements::of_consumer(organization, consumer_id),
        tokens::of_consumer(organization, consumer_id),
    );
    let (.., rows, tokens) = app.ports.database.ask(batch).await?;
    if tokens.is_empty() {
        return Err(absent(app, organization, consumer_id).await);
    }
    refresh_all_cached(app, tokens).await;
    own(issuer, rows)
}

/// Adds to `grants` those of a consumer that are not somebody's to change; the primary keys of those that are, as a JSON array,
/// unless all are.
async fn keep_others(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    grants: &mut Vec<GrantRow>,
) -> Result<Option<String>, Failure> {
    if issuer.covers_everything()? {
        return Ok(None);
    }
    let mut own = Vec::new();
    for row in app.ports.database.ask(entitlements::of_consumer(issuer.organization(), consumer_id)).await? {
        if issuer.covers_grants(std::slice::from_ref(&row.grant))? {
            own.push(row.id);
        } else {
            grants.push(row.grant);
        }
    }
    if grants.len() > MAX_GRANTS {
        let detail =
            format!("The consumer has permissions besides yours. Together a consumer has at most {MAX_GRANTS}.");
        return Err(Failure::new(Kind::Conflict, detail));
    }
    Ok(Some(json!(own).to_string()))
}
