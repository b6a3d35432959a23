//! One consumer for each customer of a shop, by the shop's own id of the customer.

use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::entity_tag::IfMatch;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::consumers::{self, ConsumerSpec, Creation, OnKnownCustomer, check_new};
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::entitlements::{self, DraftedEntitlements, ListChange, add, draft};
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
        if let Some(made) = make(app, issuer, consumer, entitlements, strict).await? {
            return Ok(made);
        }
    }
    Err(Failure::concurrent_change("customer"))
}

/// Makes it; `None` when the customer has one meanwhile.
async fn make(
    app: &App,
    issuer: &Issuer,
    spec: ConsumerSpec,
    entitlements: Option<Vec<PermissionSpec>>,
    strict: bool,
) -> Result<Option<PutCustomer>, Failure> {
    check_new(&spec, OnKnownCustomer::Return)?;
    let names_some = entitlements.is_some();
    let consumer = consumers::draft(app, spec).await?;
    let id = consumer.row.id;
    let DraftedEntitlements { permissions, warnings } =
        draft(app, issuer, id, entitlements.unwrap_or_default(), strict).await?;
    match consumers::create(app, issuer, &consumer, OnKnownCustomer::Return, &permissions, None).await? {
        Creation::Known(_) => Ok(None),
        Creation::Made => {
            let permissions = if names_some { Some(entitlements::list(app, issuer, id).await?) } else { None };
            let consumer = ShownConsumer::covered(issuer, consumer);
            Ok(Some(PutCustomer { consumer, permissions, warnings, is_new: true }))
        }
    }
}

async fn change(app: &App, issuer: &Issuer, known: ConsumerRow, spec: CustomerSpec) -> Result<PutCustomer, Failure> {
    let CustomerSpec { consumer, entitlements, if_match, strict } = spec;
    if_match.require("consumer", &consumers::tag_of(&known))?;
    let consumer = if consumers::says_something_new(app, &known, &consumer)? {
        consumers::change(app, issuer, known.id, consumer, &if_match).await?
    } else {
        coverage::get(app, issuer, known.id).await?
    };
    let (mut permissions, mut warnings) = (None, Vec::new());
    if let Some(specs) = entitlements {
        let addition = ListChange { specs, if_match: IfMatch::Anything, strict };
        let edited = add(app, issuer, known.id, addition).await?;
        (permissions, warnings) = (Some(edited.rows), edited.warnings);
    }
    Ok(PutCustomer { consumer, permissions, warnings, is_new: false })
}
