//! Consumers that move in from another system, many at once, with the keys that their customers have and the dates from then. A line
//! that cannot be taken does not stop the others, and one that was taken before changes nothing.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{DatabaseError, Fault, Millis};
use crate::registry::access::failed_credentials::recognize;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::secrets::TokenHash;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::consumer_keys::Consumer;
use crate::registry::storefront::consumers::{ConsumerSpec, OnKnownCustomer, assemble, check_new, scopes};
use crate::registry::storefront::entitlements::{IN_A_CONSUMER, addition, state_list};
use crate::registry::storefront::permission_edits::check;
use crate::registry::storefront::permission_spec::{Names, PermissionSpec, named_by, names};
use crate::store::Update;
use crate::store::storefront::consumer_imports::{self as imports, HashedKeys, KnownConsumer};
use crate::store::storefront::consumers::ConsumerRow;
use crate::store::storefront::permission_edits::{self, WrittenPermission};

/// Most consumers of one import.
pub const MAX_LINES: usize = 1000;
/// Most permissions of all of them: 0.5 kB each as they are written, so 5 MB.
const MAX_PERMISSIONS: usize = 10_000;
/// How often an import is planned that others overtake.
const ATTEMPTS: usize = 3;

/// A consumer that moves in.
#[derive(Clone)]
pub struct ImportLine {
    /// What it is to be.
    pub consumer: ConsumerSpec,
    /// What it is to be granted.
    pub entitlements: Vec<PermissionSpec>,
    /// When it was made elsewhere.
    pub created_at: Option<Millis>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportResult {
    /// The consumer was made.
    Created,
    /// There is such a consumer already, which stays as it is.
    Exists,
    /// Something is wrong with it.
    Refused,
}

/// What is said of a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportedLine {
    /// What became of it.
    pub result: ImportResult,
    /// Primary key of the consumer.
    pub id: Option<i64>,
    /// What is wrong with it, as a whole and by field.
    pub failure: Option<LineFailure>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineFailure {
    /// In words.
    pub error: String,
    /// By field.
    pub details: BTreeMap<String, Vec<String>>,
}

impl ImportedLine {
    fn of(result: ImportResult, id: i64) -> Self {
        Self { result, id: Some(id), failure: None }
    }

    fn refused(failure: &Failure) -> Self {
        let failure = LineFailure { error: failure.detail.clone(), details: failure.fields.clone() };
        Self { result: ImportResult::Refused, id: None, failure: Some(failure) }
    }
}

/// Imports consumers; a line of which something is wrong already says so.
///
/// # Errors
/// `Conflict` when others go on making such consumers; and see [`idempotency::begin`].
pub async fn import(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    lines: Vec<Result<ImportLine, Failure>>,
) -> Result<Answer<Vec<ImportedLine>>, Failure> {
    let permissions: usize = lines.iter().flatten().map(|line| line.entitlements.len()).sum();
    if lines.len() > MAX_LINES || permissions > MAX_PERMISSIONS {
        let detail = format!(
            "An import takes {MAX_LINES} consumers with {MAX_PERMISSIONS} permissions together at most. Send the rest with another \
             request."
        );
        return Err(Failure::invalid(detail));
    }
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            return DoneRequest::again(serde_json::from_value(done.result().clone()).map_err(Failure::internal));
        }
    };
    let imported = import_once(app, issuer, &lines, &claim).await;
    let imported = claim.release_on_failure(app, imported).await?;
    if imported.iter().all(|line| line.result != ImportResult::Created) {
        claim.release(app).await;
    }
    Ok(Answer::first(imported))
}

async fn import_once(
    app: &App,
    issuer: &Issuer,
    lines: &[Result<ImportLine, Failure>],
    claim: &IdempotencyClaim,
) -> Result<Vec<ImportedLine>, Failure> {
    for _ in 0..ATTEMPTS {
        let plan = plan(app, issuer, lines).await?;
        if plan.consumers.is_empty() {
            return Ok(plan.lines);
        }
        match carry_out(app, issuer, &plan, claim).await? {
            Written::All => return Ok(plan.lines),
            Written::Overtaken => {}
        }
    }
    Err(Failure::concurrent_change("consumers"))
}

/// What an import is going to write, and what it says of each line then.
struct ImportPlan {
    lines: Vec<ImportedLine>,
    consumers: Vec<Consumer>,
    permissions: Vec<WrittenPermission>,
}

fn text_of(update: &Update<String>) -> Option<&str> {
    match update {
        Update::Set(Some(text)) => Some(text),
        _ => None,
    }
}

async fn plan(app: &App, issuer: &Issuer, lines: &[Result<ImportLine, Failure>]) -> Result<ImportPlan, Failure> {
    let organization = issuer.organization();
    let good = || lines.iter().flatten();
    let keys: Vec<&str> = good().filter_map(|line| line.consumer.public_key.as_deref()).collect();
    let customers: Vec<&str> = good().filter_map(|line| text_of(&line.consumer.customer_id)).collect();
    let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let look = (
        imports::known(organization, &keys, &customers),
        named_by(organization, good().flat_map(|line| &line.entitlements)),
        imports::reserve_many(count),
    );
    let (known, packages, reserved) = app.ports.database.ask(look).await?;
    let last = reserved.ok_or_else(|| Fault::new("database", "no ids were given away"))?.last;
    let (mut seen, names) = (KnownConsumers::of(known), names(packages));
    let mut plan = ImportPlan { lines: Vec::new(), consumers: Vec::new(), permissions: Vec::new() };
    for (id, line) in (last - count + 1..).zip(lines) {
        let line = line.as_ref().map_err(Clone::clone).and_then(|line| seen.place(line).map(|place| (line, place)));
        let drafted = match line {
            Ok((_, Place::Taken(id))) => {
                plan.lines.push(ImportedLine::of(ImportResult::Exists, id));
                continue;
            }
            Ok((line, Place::Free)) => draft(app, issuer, line, id, &names),
            Err(failure) => Err(failure),
        };
        match drafted {
            Ok((consumer, permissions)) => {
                seen.note(&consumer.row, consumer.hash().as_str());
                plan.lines.push(ImportedLine::of(ImportResult::Created, id));
                plan.consumers.push(consumer);
                plan.permissions.extend(permissions);
            }
            Err(failure) if failure.kind == Kind::Internal => return Err(failure),
            Err(failure) => plan.lines.push(ImportedLine::refused(&failure)),
        }
    }
    Ok(plan)
}

/// Puts the consumer of a line together with its permissions.
fn draft(
    app: &App,
    issuer: &Issuer,
    line: &ImportLine,
    id: i64,
    names: &Names,
) -> Result<(Consumer, Vec<WrittenPermission>), Failure> {
    let mut wrong = FieldErrors::default();
    wrong.check_moment("created_at", line.created_at);
    let stated = state_list(None, IN_A_CONSUMER, line.entitlements.clone(), names, &mut wrong);
    wrong.into_result()?;
    let edit = addition(id, &[], &stated);
    check(issuer, &[id], &[], false, &edit)?;
    let mut consumer = assemble(app, id, line.consumer.clone())?;
    consumer.row.created_at = line.created_at.unwrap_or(consumer.row.created_at);
    Ok((consumer, edit.written))
}

/// Whether there is the consumer of a line.
enum Place {
    /// There is none.
    Free,
    /// It is this one.
    Taken(i64),
}

/// The consumers that lines may be, by what tells them apart.
struct KnownConsumers {
    by_key: HashMap<String, KnownConsumer>,
    by_customer: HashMap<String, i64>,
}

impl KnownConsumers {
    fn of(known: Vec<KnownConsumer>) -> Self {
        let mut all = Self { by_key: HashMap::new(), by_customer: HashMap::new() };
        for consumer in known {
            if let Some(customer) = consumer.customer_id.clone().filter(|_| consumer.is_own) {
                all.by_customer.entry(customer).or_insert(consumer.id);
            }
            all.by_key.insert(consumer.public_key.clone(), consumer);
        }
        all
    }

    /// Notes a consumer that a line is going to make.
    fn note(&mut self, row: &ConsumerRow, hash: &str) {
        if let Some(customer) = row.customer_id.clone() {
            self.by_customer.entry(customer).or_insert(row.id);
        }
        let (id, public_key) = (row.id, row.public_key.clone());
        let consumer = KnownConsumer {
            id,
            public_key: public_key.clone(),
            customer_id: row.customer_id.clone(),
            hash: hash.to_owned(),
            is_own: true,
        };
        self.by_key.insert(public_key, consumer);
    }

    /// Whether there is the consumer of a line, which is checked.
    fn place(&self, line: &ImportLine) -> Result<Place, Failure> {
        let spec = &line.consumer;
        check_new(spec, OnKnownCustomer::Create)?;
        let customer = text_of(&spec.customer_id);
        let Some(public_key) = spec.public_key.as_deref() else {
            let customer = customer.ok_or_else(|| {
                let detail =
                    "is required, or `customer_id`: by one of them the consumer is known when it is imported again";
                Failure::invalid_field("public_key", detail)
            })?;
            return Ok(self.by_customer.get(customer).map_or(Place::Free, |id| Place::Taken(*id)));
        };
        let Some(known) = self.by_key.get(public_key) else {
            return match customer.and_then(|customer| self.by_customer.get(customer)) {
                None => Ok(Place::Free),
                Some(id) => {
                    let detail = format!("The customer has the consumer {id} already, with another public key.");
                    Err(Failure::new(Kind::Conflict, detail))
                }
            };
        };
        let is_same = |private_key: &str| TokenHash::of_pair(public_key, private_key).as_str() == known.hash;
        if !known.is_own || !spec.private_key.as_deref().is_none_or(is_same) {
            let detail = "A consumer with this public key exists already, with another private key.";
            return Err(Failure::new(Kind::Conflict, detail));
        }
        Ok(Place::Taken(known.id))
    }
}

/// What came of writing.
enum Written {
    /// All of it is there.
    All,
    /// Somebody else has made such a consumer meanwhile.
    Overtaken,
}

async fn carry_out(
    app: &App,
    issuer: &Issuer,
    plan: &ImportPlan,
    claim: &IdempotencyClaim,
) -> Result<Written, Failure> {
    let (organization, now) = (issuer.organization(), app.now());
    let rows: Vec<ConsumerRow> = plan.consumers.iter().map(|consumer| consumer.row.clone()).collect();
    let hashes: Vec<TokenHash> = plan.consumers.iter().map(Consumer::hash).collect();
    let keys = rows.iter().zip(&hashes).map(|(row, hash)| HashedKeys { consumer_id: row.id, hash: hash.as_str() });
    let keys: Vec<HashedKeys<'_>> = keys.collect();
    let (first, last) = (rows.first().map_or(0, |row| row.id), rows.last().map_or(0, |row| row.id));
    let details = json!({
        "consumers": rows.len(), "permissions": plan.permissions.len(), "first": first, "last": last
    });
    let event = AuditEvent { action: "consumers.imported", target: &first.to_string(), label: None, details };
    let mut writes = imports::insert_many(organization, &rows);
    writes.push(issuer.by.record(app, &event)?);
    writes.extend(claim.keep(json!(plan.lines)));
    writes.extend(imports::insert_keys(organization, &keys, &scopes()));
    writes.extend(permission_edits::insert(organization, &plan.permissions, now));
    writes.push(imports::date_permissions(organization, first, last, now));
    match app.ports.database.ask(writes).await {
        Ok(_) => {}
        Err(DatabaseError::Conflict(_)) => return Ok(Written::Overtaken),
        Err(DatabaseError::Fault(fault)) => return Err(fault.into()),
    }
    for hash in &hashes {
        recognize(app, hash);
    }
    Ok(Written::All)
}
