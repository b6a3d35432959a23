//! Changing what consumers were granted, whichever operation asks for it: their permissions are read, the operation says what is
//! to become of them, and that is written if nobody has changed them meanwhile. So no change is lost, and a limit holds
//! whoever adds the permission that reaches it.

use serde_json::{Value, json};

use crate::ports::{DatabaseError, Stmt};
use crate::registry::access::credential_cache::refresh_all_cached;
use crate::registry::access::grant::check_comparisons;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::tokens::spec::MAX_GRANTS;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::entity_tag::EntityTag;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::coverage::own;
use crate::registry::storefront::permission_warnings::{Warning, warnings};
use crate::store::access::past_grants;
use crate::store::access::tokens::{self, GrantRow};
use crate::store::kernel::audit::is_recorded;
use crate::store::storefront::consumers::existing;
use crate::store::storefront::entitlements::{Entitlement, PermissionRow, of_consumers};
use crate::store::storefront::permission_edits::{self as edits, WrittenPermission};

/// How often an edit is planned that others overtake.
const ATTEMPTS: usize = 5;

/// Most permissions that an audit entry shows whole; of more it has the ids.
const MAX_TOLD: usize = 100;

/// What is to become of permissions.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Those that are taken back, by their primary keys.
    pub removed: Vec<i64>,
    /// Those that change, with their primary keys, and those that are given, without.
    pub written: Vec<WrittenPermission>,
    /// What the request names, whether or not it is there already: it is warned of what nobody can install by it.
    pub named: Vec<GrantRow>,
}

impl Edit {
    /// Has a permission become `entitlement`, unless it is that.
    pub fn change(&mut self, row: &PermissionRow, entitlement: Entitlement) {
        self.change_of(row, row.consumer_id, entitlement);
    }

    /// Has a permission become `entitlement` of a consumer, unless it is that.
    pub fn change_of(&mut self, row: &PermissionRow, consumer_id: i64, entitlement: Entitlement) {
        self.named.push(entitlement.grant.clone());
        if row.consumer_id != consumer_id || row.entitlement != entitlement {
            self.written.push(WrittenPermission { id: Some(row.id), consumer_id, entitlement });
        }
    }

    /// Gives a consumer a permission.
    pub fn add(&mut self, consumer_id: i64, entitlement: Entitlement) {
        self.named.push(entitlement.grant.clone());
        self.written.push(WrittenPermission { id: None, consumer_id, entitlement });
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.written.is_empty()
    }

    /// What they are afterwards that were `rows`, of one consumer.
    fn after<'e>(&'e self, rows: &'e [PermissionRow], consumer_id: i64) -> Vec<&'e GrantRow> {
        let stays = |row: &&PermissionRow| {
            row.consumer_id == consumer_id
                && !self.removed.contains(&row.id)
                && !self.written.iter().any(|written| written.id == Some(row.id))
        };
        let written = self.written.iter().filter(|written| written.consumer_id == consumer_id);
        let stay = rows.iter().filter(stays).map(PermissionRow::grant);
        stay.chain(written.map(|written| &written.entitlement.grant)).collect()
    }

    /// Those of `rows` that end, or let other versions through than before.
    fn ended(&self, rows: &[PermissionRow]) -> Vec<i64> {
        let is_ended = |row: &&PermissionRow| {
            let written = self.written.iter().find(|written| written.id == Some(row.id));
            self.removed.contains(&row.id)
                || written.is_some_and(|to| to.consumer_id != row.consumer_id || to.entitlement.grant != *row.grant())
        };
        rows.iter().filter(is_ended).map(|row| row.id).collect()
    }

    /// What the audit log says of it.
    fn details(&self, rows: &[PermissionRow]) -> Value {
        let removed: Vec<&PermissionRow> = rows.iter().filter(|row| self.removed.contains(&row.id)).collect();
        if removed.len() + self.written.len() > MAX_TOLD {
            let changed: Vec<i64> = self.written.iter().filter_map(|written| written.id).collect();
            return json!({ "removed": self.removed, "changed": changed, "added": self.written.len() - changed.len() });
        }
        let told = |id: Option<i64>, consumer_id: i64, said: &Entitlement| {
            let mut told = json!({ "consumer_id": consumer_id, "grant": said.grant, "order_id": said.order_id });
            if let Some(id) = id {
                told["permission"] = json!(id);
            }
            told
        };
        let written = |is_new: bool| {
            let such = self.written.iter().filter(move |written| written.id.is_none() == is_new);
            such.map(|written| told(written.id, written.consumer_id, &written.entitlement)).collect::<Vec<_>>()
        };
        let removed = removed.into_iter().map(|row| told(Some(row.id), row.consumer_id, &row.entitlement));
        json!({ "removed": removed.collect::<Vec<_>>(), "changed": written(false), "added": written(true) })
    }
}

/// What makes the statement that keeps what an edit did for a request with a key, if it has one.
pub type Keep<'a> = dyn Fn(&Edit) -> Option<Stmt> + Send + Sync + 'a;

/// Of a request that has no key.
pub fn nothing_kept(_: &Edit) -> Option<Stmt> {
    None
}

/// What an edit is for.
pub struct EditOrder<'a> {
    /// For the audit log: `permission.created`.
    pub action: &'static str,
    /// For the audit log: the id of the consumer, or of the order.
    pub target: String,
    /// Primary keys of the consumers whose permissions it is about.
    pub consumers: &'a [i64],
    /// Whether it is refused when nobody could install anything by a permission that it names.
    pub strict: bool,
    /// Whether it is carried out; otherwise only said.
    pub is_carried_out: bool,
    /// What is kept of it behind the note.
    pub keep: &'a Keep<'a>,
}

/// What came of an edit.
pub struct Edited {
    /// The permissions of its consumers that are somebody's to read, as they are now, the oldest first.
    pub rows: Vec<PermissionRow>,
    /// What was done.
    pub edit: Edit,
    /// Those that were taken back, as they were.
    pub removed: Vec<PermissionRow>,
    /// What nobody can install by what the request names.
    pub warnings: Vec<Warning>,
}

/// The tag of a list of permissions.
pub fn tag_of(rows: &[PermissionRow]) -> EntityTag {
    EntityTag::of(&rows.iter().map(|row| (row.id, row.updated_at)).collect::<Vec<_>>())
}

/// Edits permissions as `plan` says, which is asked with those that are somebody's to change; `None` when one of the consumers
/// is not there.
///
/// # Errors
/// As `plan`; `Forbidden` for what lets more through than theirs; `Conflict` when a consumer would have too many, or the very
/// same twice, or when others go on changing them.
pub async fn edit(
    app: &App,
    issuer: &Issuer,
    order: &EditOrder<'_>,
    plan: &(dyn Fn(&[PermissionRow]) -> Result<Edit, Failure> + Send + Sync),
) -> Result<Option<Edited>, Failure> {
    for _ in 0..ATTEMPTS {
        let Some(rows) = read(app, issuer, order.consumers).await? else { return Ok(None) };
        let own_rows = own(issuer, rows.clone())?;
        let edit = plan(&own_rows)?;
        check(issuer, order.consumers, &rows, own_rows.len() < rows.len(), &edit)?;
        let warnings = warnings(app, issuer.organization(), &edit.named).await?;
        if order.strict {
            Warning::refuse(&warnings)?;
        }
        let removed = own_rows.iter().filter(|row| edit.removed.contains(&row.id)).cloned().collect();
        let edited = Edited { rows: own_rows, edit, removed, warnings };
        if edited.edit.is_empty() || !order.is_carried_out {
            return Ok(Some(edited));
        }
        let (note, noted) = note(app, issuer, order, &rows, &edited.edit)?;
        match carry_out(app, issuer, order, &rows, &edited.edit, noted).await {
            Ok(rows) => return Ok(Some(Edited { rows: own(issuer, rows)?, ..edited })),
            Err(DatabaseError::Conflict(_)) => return Err(taken()),
            Err(DatabaseError::Fault(fault)) => {
                // It was overtaken, or the database failed, or only its answer was lost.
                let Some(now) = read(app, issuer, order.consumers).await? else { return Ok(None) };
                if app.ports.database.ask(is_recorded(issuer.organization(), &note)).await? {
                    refresh(app, issuer, order.consumers).await?;
                    return Ok(Some(Edited { rows: own(issuer, now)?, ..edited }));
                }
                if now == rows {
                    return Err(fault.into());
                }
            }
        }
    }
    Err(Failure::concurrent_change("permissions"))
}

async fn read(app: &App, issuer: &Issuer, consumers: &[i64]) -> Result<Option<Vec<PermissionRow>>, Failure> {
    let (organization, ids) = (issuer.organization(), json!(consumers).to_string());
    let batch = (existing(organization, &ids), of_consumers(organization, &ids));
    let (found, rows) = app.ports.database.ask(batch).await?;
    Ok((found.len() == consumers.len()).then_some(rows))
}

/// Takes note of what the credentials of consumers have become.
async fn refresh(app: &App, issuer: &Issuer, consumers: &[i64]) -> Result<(), Failure> {
    let tokens = tokens::of_consumers(issuer.organization(), &json!(consumers).to_string());
    refresh_all_cached(app, app.ports.database.ask(tokens).await?).await;
    Ok(())
}

/// A failure for a permission that a consumer has already.
pub fn taken() -> Failure {
    Failure::new(Kind::Conflict, "The consumer has the same permission already. Change that one instead.")
}

/// Refuses an edit after which a consumer has too many permissions or such that take too long to compare, and one that lets
/// more through than its caller sees.
pub fn check(
    issuer: &Issuer,
    consumers: &[i64],
    rows: &[PermissionRow],
    has_others: bool,
    edit: &Edit,
) -> Result<(), Failure> {
    let written: Vec<GrantRow> = edit.written.iter().map(|written| written.entitlement.grant.clone()).collect();
    if written.is_empty() {
        return Ok(());
    }
    issuer.check_grants(&written)?;
    for consumer_id in consumers {
        let after = edit.after(rows, *consumer_id);
        if after.len() > MAX_GRANTS && edit.written.iter().any(|written| written.id.is_none()) {
            let detail = if has_others {
                format!("The consumer has permissions besides yours. Together a consumer has at most {MAX_GRANTS}.")
            } else {
                format!("The consumer has {MAX_GRANTS} permissions, which is the maximum. Delete some of them first.")
            };
            return Err(Failure::new(Kind::Conflict, detail));
        }
        if let Some(text) = check_comparisons(after) {
            return Err(Failure::invalid_field("version", format!("the permissions of a consumer {text}")));
        }
    }
    Ok(())
}

/// The statement that notes an edit, and the public id of the note.
fn note(
    app: &App,
    issuer: &Issuer,
    order: &EditOrder<'_>,
    rows: &[PermissionRow],
    edit: &Edit,
) -> Result<(String, Stmt), Failure> {
    let details = edit.details(rows);
    let event = AuditEvent { action: order.action, target: &order.target, label: None, details };
    Ok(issuer.by.record_known(app, &event)?)
}

async fn carry_out(
    app: &App,
    issuer: &Issuer,
    order: &EditOrder<'_>,
    rows: &[PermissionRow],
    edit: &Edit,
    noted: Stmt,
) -> Result<Vec<PermissionRow>, DatabaseError> {
    let (organization, now) = (issuer.organization(), app.now());
    let ids = json!(order.consumers).to_string();
    let (changed, added): (Vec<_>, Vec<_>) = edit.written.iter().cloned().partition(|written| written.id.is_some());
    let mut writes = vec![
        edits::guard(organization, order.consumers, rows),
        past_grants::record_of_consumers(organization, &edit.ended(rows), now),
        edits::delete(organization, &edit.removed),
    ];
    writes.extend(edits::update(organization, &changed, now));
    writes.extend(edits::insert(organization, &added, now));
    writes.push(edits::date_consumers(organization, order.consumers, now));
    writes.push(noted);
    writes.extend((order.keep)(edit));
    let batch = (writes, of_consumers(organization, &ids), tokens::of_consumers(organization, &ids));
    let (_, rows, tokens) = app.ports.database.ask(batch).await?;
    refresh_all_cached(app, tokens).await;
    Ok(rows)
}
