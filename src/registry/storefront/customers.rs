//! One consumer for each customer of a shop, by the shop's own id of the customer.

use crate::ports::Stmt;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::kernel::app::App;
use crate::registry::kernel::entity_tag::IfMatch;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::consumers::{self, ConsumerSpec, OnKnownCustomer, check_new};
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::entitlements::{self, DraftedEntitlements, IN_A_CONSUMER, ListChange, add, draft};
use crate::registry::storefront::permission_spec::PermissionSpec;
use crate::registry::storefront::permission_warnings::Warning;
use crate::store::Update;
use crate::store::storefront::consumers::{ConsumerRow, by_customer};
use crate::store::storefront::entitlements::PermissionRow;

/// How often it is looked whether the customer has a consumer: somebody else may make or delete it.
const ATTEMPTS: usize = 3;

/// What a customer's consumer is to be.
pub struct CustomerSpec {
    /// What it says of the consumer; the rest stays.
    pub consumer: ConsumerSpec,
    /// What it is to have besides its permissions, if anything.
    pub entitlements: Option<Vec<PermissionSpec>>,
    /// What the consumer must be for it.
    pub if_match: IfMatch,
    /// Whether it is refused when nobody could install anything by one of the permissions.
    pub strict: bool,
}

/// A customer's consumer.
pub struct PutCustomer {
    /// As it is now.
    pub consumer: ShownConsumer,
    /// Its permissions that are somebody's to read, when the request names some.
    pub permissions: Option<Vec<PermissionRow>>,
    /// What nobody can install by those.
    pub warnings: Vec<Warning>,
    /// Whether it was made.
    pub is_new: bool,
}

/// What a new consumer is to be.
pub struct NewConsumer {
    /// What it says of the consumer.
    pub consumer: ConsumerSpec,
    /// What it is to be granted, if anything.
    pub entitlements: Option<Vec<PermissionSpec>>,
    /// What is done when its customer has one.
    pub on_known: OnKnownCustomer,
    /// Whether it is refused when nobody could install anything by one of the permissions.
    pub strict: bool,
}

/// Makes a consumer in one step with its permissions, unless its customer has one and that matters. That one gets the
/// permissions when it is to be the answer.
///
/// # Errors
/// `Conflict` when the public key is taken, or when the customer has one and the request is to be refused then; and see
/// [`idempotency::begin`].
pub async fn create(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    new: NewConsumer,
) -> Result<Answer<PutCustomer>, Failure> {
    check_new(&new.consumer, new.on_known)?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            let names_some = new.entitlements.is_some();
            return DoneRequest::again(made_before(app, issuer, done.id(), names_some).await);
        }
    };
    let (entitlements, strict) = (new.entitlements.clone(), new.strict);
    let made = make(app, issuer, new, &|id| claim.keep(id)).await;
    let known = match claim.release_on_failure(app, made).await? {
        Made::New(made) => return Ok(Answer::first(*made)),
        Made::Known(known) => *known,
    };
    claim.release(app).await;
    with_addition(app, issuer, known, entitlements, strict).await.map(Answer::first)
}

/// A consumer that there is, after what the request names was added to its permissions.
async fn with_addition(
    app: &App,
    issuer: &Issuer,
    consumer: ShownConsumer,
    entitlements: Option<Vec<PermissionSpec>>,
    strict: bool,
) -> Result<PutCustomer, Failure> {
    let (mut permissions, mut warnings) = (None, Vec::new());
    if let Some(specs) = entitlements {
        let addition = ListChange { specs, if_match: IfMatch::Anything, strict, place: IN_A_CONSUMER };
        let edited = add(app, issuer, consumer.row.id, addition).await?;
        (permissions, warnings) = (Some(edited.rows), edited.warnings);
    }
    Ok(PutCustomer { consumer, permissions, warnings, is_new: false })
}

/// The consumer that a request made before, as it is now; with its permissions when the request names some.
async fn made_before(app: &App, issuer: &Issuer, id: i64, names_some: bool) -> Result<PutCustomer, Failure> {
    let consumer = coverage::get(app, issuer, id).await?;
    let (mut permissions, mut warned) = (None, Vec::new());
    if names_some {
        let edited = entitlements::unedited(app, issuer, id).await?;
        (permissions, warned) = (Some(edited.rows), edited.warnings);
    }
    Ok(PutCustomer { consumer, permissions, warnings: warned, is_new: true })
}

/// Makes the consumer of a customer, in one step with its permissions, or changes it and adds to its permissions. Doing it
/// twice does nothing more.
pub async fn put(app: &App, issuer: &Issuer, customer_id: &str, spec: CustomerSpec) -> Result<PutCustomer, Failure> {
    let CustomerSpec { mut consumer, entitlements, if_match, strict } = spec;
    if matches!(&consumer.customer_id, Update::Set(id) if id.as_deref() != Some(customer_id)) {
        return Err(Failure::invalid_field("customer_id", "is not the customer in the address: leave it out"));
    }
    consumer.customer_id = Update::Set(Some(customer_id.to_owned()));
    for _ in 0..ATTEMPTS {
        let known = app.ports.database.ask(by_customer(issuer.organization(), customer_id)).await?;
        let (consumer, entitlements) = (consumer.clone(), entitlements.clone());
        if let Some(row) = known {
            return change(app, issuer, row, CustomerSpec { consumer, entitlements, if_match, strict }).await;
        }
        if if_match != IfMatch::Anything {
            let detail = "This customer has no consumer yet. Leave `If-Match` out to make it.";
            return Err(Failure::new(Kind::PreconditionFailed, detail));
        }
        let new = NewConsumer { consumer, entitlements, on_known: OnKnownCustomer::Return, strict };
        check_new(&new.consumer, new.on_known)?;
        if let Made::New(made) = make(app, issuer, new, &|_| None).await? {
            return Ok(*made);
        }
    }
    Err(Failure::concurrent_change("customer"))
}

/// What came of making a consumer.
enum Made {
    /// It was made.
    New(Box<PutCustomer>),
    /// Its customer has this one.
    Known(Box<ShownConsumer>),
}

/// Makes a consumer; `keep` says what goes into the same batch.
async fn make(
    app: &App,
    issuer: &Issuer,
    new: NewConsumer,
    keep: &(dyn Fn(i64) -> Option<Stmt> + Send + Sync),
) -> Result<Made, Failure> {
    let NewConsumer { consumer: spec, entitlements, on_known, strict } = new;
    let names_some = entitlements.is_some();
    let consumer = consumers::draft(app, spec).await?;
    let id = consumer.row.id;
    let DraftedEntitlements { permissions, warnings } =
        draft(app, issuer, id, entitlements.unwrap_or_default(), strict).await?;
    if let Some(known) = consumers::insert(app, issuer, &consumer, on_known, &permissions, keep(id)).await? {
        return Ok(Made::Known(Box::new(known)));
    }
    let permissions = if names_some { Some(entitlements::list(app, issuer, id).await?) } else { None };
    let consumer = ShownConsumer::changed(consumer);
    Ok(Made::New(Box::new(PutCustomer { consumer, permissions, warnings, is_new: true })))
}

async fn change(app: &App, issuer: &Issuer, known: ConsumerRow, spec: CustomerSpec) -> Result<PutCustomer, Failure> {
    let CustomerSpec { consumer, entitlements, if_match, strict } = spec;
    if_match.require("consumer", &consumers::tag_of(&known))?;
    let consumer = if consumers::says_something_new(app, &known, &consumer)? {
        consumers::change(app, issuer, known.id, consumer, &if_match).await?
    } else {
        coverage::get(app, issuer, known.id).await?
    };
    with_addition(app, issuer, consumer, entitlements, strict).await
}
