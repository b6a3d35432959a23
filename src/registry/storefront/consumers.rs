//! Consumers: the customers of a shop. Each has a key pair, which is the user name and the password of Composer's HTTP
//! Basic. To the registry a key pair is a token without text of its own: it is looked up, cached, limited and
//! revoked like one, and shares its uid with its consumer. The private key is kept sealed too, because the shop shows
//! it to its customer whenever they ask.

use serde_json::{Value, json};

use crate::ports::{DatabaseError, Fault, Millis, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::credential_cache::{end_cached, refresh_all_cached};
use crate::registry::access::issuer::Issuer;
use crate::registry::access::scope::{Permissions, names};
use crate::registry::identity::tokens::spec::MAX_RATE_LIMIT;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::email::Email;
use crate::registry::kernel::entity_tag::{EntityTag, IfMatch};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, is_key, new_key};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumer_keys::{Consumer, seal_row};
use crate::registry::storefront::consumer_seats::{ExcessTokens, excess_tokens};
use crate::registry::storefront::coverage::{self, ShownConsumer, require_covered};
use crate::store::access::tokens::{self, HashedTokenRow};
use crate::store::kernel::webhook_events::notify_disabled;
use crate::store::storefront::consumers::{self, ConsumerRow};
use crate::store::storefront::permission_edits::{self, WrittenPermission};
use crate::store::{OrganizationId, Update};

/// Most tokens of a consumer besides its key pair: each change of it is one or two deletions in KV for each of them, of
/// the 1,000 calls that a request may make.
pub const MAX_SEATS: i64 = 100;

const MAX_EXTERNAL_ID: usize = 255;

/// What is done when a consumer is to be made for a customer who has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnKnownCustomer {
    /// Another one is made.
    #[default]
    Create,
    /// The one that there is is the answer, the oldest of several.
    Return,
    /// The request is refused.
    Refuse,
}

/// What a request to make or to change a consumer says; every field is optional here.
#[derive(Clone, Default)]
pub struct ConsumerSpec {
    /// E-mail address.
    pub email: Option<String>,
    /// The user name; made up when a consumer is made without.
    pub public_key: Option<String>,
    /// The password; made up when a consumer is made without.
    pub private_key: Option<String>,
    /// 1 is enabled, 0 is not.
    pub status: Option<i64>,
    /// The shop's own id of the customer.
    pub customer_id: Update<String>,
    /// The shop's own id of the order.
    pub order_id: Update<String>,
    /// Tokens besides the key pair.
    pub seats: Update<i64>,
    /// Requests an hour of each of its credentials.
    pub rate_limit_max: Update<i64>,
    /// What is done about tokens that are more than the seats.
    pub excess: ExcessTokens,
}

/// Notes an id of the shop's that is empty or too long.
pub fn check_external_id(field: &str, id: &Update<String>, wrong: &mut FieldErrors) {
    if let Update::Set(Some(id)) = id
        && !(1..=MAX_EXTERNAL_ID).contains(&id.chars().count())
    {
        wrong.push(field, format!("must be 1 to {MAX_EXTERNAL_ID} characters"));
    }
}

/// What whoever holds a consumer's credentials may do, as a JSON array of scope names.
pub fn scopes() -> String {
    json!(names(&Permissions::ReadOnly.scopes())).to_string()
}

impl ConsumerSpec {
    fn check(&self) -> Result<(), Failure> {
        if let Some(email) = &self.email {
            Email::parse(email)?;
        }
        let mut wrong = FieldErrors::default();
        if let Some(key) = &self.public_key
            && (!is_key(key) || key.contains(':'))
        {
            wrong.push("public_key", "must be 16 to 255 visible ASCII characters without a colon");
        }
        if let Some(key) = &self.private_key {
            if !is_key(key) {
                wrong.push("private_key", "must be 16 to 255 visible ASCII characters");
            } else if PlainToken::parse(key).is_some() {
                wrong.push("private_key", "must not be a token of this registry");
            }
        }
        wrong.check_enabled(self.status);
        check_external_id("customer_id", &self.customer_id, &mut wrong);
        check_external_id("order_id", &self.order_id, &mut wrong);
        if let Update::Set(Some(seats)) = self.seats
            && !(0..=MAX_SEATS).contains(&seats)
        {
            wrong.push("seats", format!("must be 0 to {MAX_SEATS}, or null for {MAX_SEATS}"));
        }
        if let Update::Set(Some(limit)) = self.rate_limit_max
            && !(1..=MAX_RATE_LIMIT).contains(&limit)
        {
            wrong.push("rate_limit_max", format!("must be between 1 and {MAX_RATE_LIMIT} requests an hour"));
        }
        wrong.into_result()
    }

    /// The fields that the request names, and the tokens that it revokes, for the audit log.
    fn named(&self, freed: &[String]) -> Value {
        let fields = [
            ("email", self.email.is_some()),
            ("public_key", self.public_key.is_some()),
            ("private_key", self.private_key.is_some()),
            ("status", self.status.is_some()),
            ("customer_id", self.customer_id.is_set()),
            ("order_id", self.order_id.is_set()),
            ("seats", self.seats.is_set()),
            ("rate_limit_max", self.rate_limit_max.is_set()),
        ];
        let named: Vec<&str> = fields.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect();
        json!({ "fields": named, "status": self.status, "revoked": freed })
    }

    /// Sets what the request names.
    pub fn apply(self, app: &App, consumer: &mut Consumer) -> Result<(), Failure> {
        self.apply_to_row(&mut consumer.row);
        let row = &mut consumer.row;
        if let Some(key) = self.private_key.filter(|key| *key != consumer.private_key) {
            let sealed = app.config.keyring.seal(&*app.ports.entropy, &seal_row(&row.uid), &key);
            row.private_key = sealed.map_err(Failure::internal_with_detail)?;
            consumer.private_key = key;
        }
        row.updated_at = app.now().max(Millis(row.updated_at.0 + 1));
        Ok(())
    }

    /// Sets all of that which is not sealed.
    fn apply_to_row(&self, row: &mut ConsumerRow) {
        if let Some(email) = &self.email {
            email.trim().clone_into(&mut row.email);
        }
        if let Some(key) = &self.public_key {
            row.public_key.clone_from(key);
        }
        if let Some(status) = self.status {
            row.is_enabled = status == 1;
        }
        if let Update::Set(id) = &self.customer_id {
            row.customer_id.clone_from(id);
        }
        if let Update::Set(id) = &self.order_id {
            row.order_id.clone_from(id);
        }
        if let Update::Set(seats) = self.seats {
            row.seats = seats;
        }
        if let Update::Set(limit) = self.rate_limit_max {
            row.rate_limit_max = limit;
        }
    }
}

/// A failure whose conflict is that of a public key.
fn taken(error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Conflict(_) => {
            Failure::new(Kind::Conflict, "A consumer with this public key exists already. Use another.")
        }
        DatabaseError::Fault(fault) => fault.into(),
    }
}

/// The statement that notes what was done to a consumer.
pub fn note(app: &App, by: &Actor, action: &'static str, id: i64, details: Value) -> Result<Stmt, Failure> {
    Ok(by.record(app, &AuditEvent { action, target: &id.to_string(), label: None, details })?)
}

/// Checks what a request to make a consumer says.
pub fn check_new(spec: &ConsumerSpec, on_known: OnKnownCustomer) -> Result<(), Failure> {
    if spec.email.is_none() {
        return Err(Failure::invalid_field("email", "is required"));
    }
    if on_known != OnKnownCustomer::Create && !matches!(spec.customer_id, Update::Set(Some(_))) {
        return Err(Failure::invalid_field("customer_id", "is required with `on_known_customer`"));
    }
    spec.check()
}

/// Puts a consumer together; nothing of it is stored yet, but its id is given away.
pub async fn draft(app: &App, spec: ConsumerSpec) -> Result<Consumer, Failure> {
    let reserved = app.ports.database.ask(consumers::reserve()).await?;
    let reserved = reserved.ok_or_else(|| Fault::new("database", "no id was given away"))?;
    assemble(app, reserved.last, spec)
}

/// The consumer with an id that was given away; nothing of it is stored yet.
pub fn assemble(app: &App, id: i64, spec: ConsumerSpec) -> Result<Consumer, Failure> {
    let entropy = &*app.ports.entropy;
    let now = app.now();
    let row = ConsumerRow {
        id,
        uid: new_uid(entropy, now)?,
        email: String::new(),
        public_key: new_key(entropy)?,
        private_key: String::new(),
        is_enabled: true,
        customer_id: None,
        order_id: None,
        seats: None,
        rate_limit_max: None,
        created_at: now,
        updated_at: now,
    };
    let mut consumer = Consumer { row, private_key: String::new() };
    let private_key = spec.private_key.clone().map_or_else(|| new_key(entropy), Ok)?;
    ConsumerSpec { private_key: Some(private_key), ..spec }.apply(app, &mut consumer)?;
    Ok(consumer)
}

/// Stores a consumer with its permissions, unless its customer has one and that matters: then it is that one. `keep` goes into
/// the same batch.
///
/// # Errors
/// `Conflict` when the public key is taken, or when the customer has one and the request is to be refused then.
pub async fn insert(
    app: &App,
    issuer: &Issuer,
    consumer: &Consumer,
    on_known: OnKnownCustomer,
    permissions: &[WrittenPermission],
    keep: Option<Stmt>,
) -> Result<Option<ShownConsumer>, Failure> {
    let row = &consumer.row;
    let details = json!({
        "status": i64::from(row.is_enabled), "customer_id": row.customer_id, "order_id": row.order_id,
        "grants": permissions.iter().map(|permission| &permission.entitlement.grant).collect::<Vec<_>>(),
    });
    let recorded = note(app, &issuer.by, "consumer.created", row.id, details)?;
    let batch = (
        consumers::insert(issuer.organization(), row, on_known != OnKnownCustomer::Create),
        recorded,
        keep,
        consumers::insert_keys(issuer.organization(), row, consumer.hash().as_str(), scopes()),
        permission_edits::insert(issuer.organization(), permissions, row.created_at),
        tokens::of_consumer(issuer.organization(), row.id),
        consumers::by_customer(issuer.organization(), row.customer_id.as_deref().unwrap_or_default()),
    );
    let (is_made, .., tokens, known) = app.ports.database.ask(batch).await.map_err(taken)?;
    if is_made {
        refresh_all_cached(app, tokens).await;
        return Ok(None);
    }
    let known = known.ok_or_else(|| Failure::concurrent_change("customer"))?;
    if on_known == OnKnownCustomer::Refuse {
        let message = format!("The customer has the consumer {} already. Give that one another permission.", known.id);
        return Err(Failure::new(Kind::Conflict, message));
    }
    coverage::get(app, issuer, known.id).await.map(Some)
}

/// One consumer, opened, with its live tokens.
pub async fn get(app: &App, organization: OrganizationId, id: i64) -> Result<(Consumer, Vec<HashedTokenRow>), Failure> {
    let look = (consumers::by_id(organization, id), tokens::of_consumer(organization, id));
    match app.ports.database.ask(look).await? {
        (Some(row), tokens) => Ok((Consumer::open(app, row)?, tokens)),
        (None, _) => Err(absent(app, organization, id).await),
    }
}

/// Whether a request would change a consumer. Its private key is only opened when the request names one.
pub fn says_something_new(app: &App, known: &ConsumerRow, spec: &ConsumerSpec) -> Result<bool, Failure> {
    spec.check()?;
    let mut row = known.clone();
    spec.apply_to_row(&mut row);
    let has_new_key = match &spec.private_key {
        Some(key) => *key != Consumer::open(app, known.clone())?.private_key,
        None => false,
    };
    Ok(has_new_key || row != *known)
}

/// The tag of what can be changed of a consumer; its permissions have their own.
pub fn tag_of(row: &ConsumerRow) -> EntityTag {
    EntityTag::of(&ConsumerRow { updated_at: Millis(0), ..row.clone() })
}

/// Changes what the request names, and nothing else. When there are more tokens than seats then, the least recently used ones are
/// revoked if that is wanted.
pub async fn change(
    app: &App,
    issuer: &Issuer,
    id: i64,
    spec: ConsumerSpec,
    if_match: &IfMatch,
) -> Result<ShownConsumer, Failure> {
    spec.check()?;
    let covered = require_covered(app, issuer, id).await?;
    let organization = issuer.organization();
    let (old, mut gone) = get(app, organization, id).await?;
    if_match.require("consumer", &tag_of(&old.row))?;
    let freed = match spec.seats {
        Update::Set(Some(seats)) => excess_tokens(&gone, &old.row.uid, seats, spec.excess)?,
        _ => Vec::new(),
    };
    let recorded = note(app, &issuer.by, "consumer.changed", id, spec.named(&freed))?;
    let mut new = old.clone();
    spec.apply(app, &mut new)?;
    let hash = new.hash();
    let has_new_keys = old.hash() != hash;
    let is_disabled = old.row.is_enabled && !new.row.is_enabled;
    let batch = (
        covered.guard(),
        consumers::update(organization, &old.row, &new.row, &freed),
        recorded,
        is_disabled.then(|| notify_disabled(organization, id, app.now())),
        consumers::free_seats(organization, &new.row, &freed, app.now()),
        consumers::update_keys(organization, &new.row, hash.as_str()),
        tokens::of_consumer(organization, id),
    );
    let outcome = app.ports.database.ask(batch).await.map_err(taken);
    let (_, is_changed, .., tokens) = covered.outcome(outcome).await?;
    if !is_changed {
        return Err(Failure::concurrent_change("consumer"));
    }
    gone.retain(|row| freed.contains(&row.token.uid) || (has_new_keys && row.token.uid == old.row.uid));
    end_cached(app, gone, app.now()).await;
    refresh_all_cached(app, tokens).await;
    Ok(ShownConsumer::changed(new))
}

/// Deletes a consumer: its credentials end, and what it was granted is gone.
pub async fn delete(app: &App, issuer: &Issuer, id: i64, if_match: &IfMatch) -> Result<(), Failure> {
    let covered = require_covered(app, issuer, id).await?;
    let organization = issuer.organization();
    let known = if *if_match == IfMatch::Anything { None } else { Some(get(app, organization, id).await?.0.row) };
    if let Some(row) = &known {
        if_match.require("consumer", &tag_of(row))?;
    }
    let dated = known.map(|row| row.updated_at);
    let recorded = note(app, &issuer.by, "consumer.deleted", id, json!({}))?;
    let delete = consumers::delete(organization, id, dated);
    let batch = (covered.guard(), tokens::of_consumer(organization, id), delete, recorded);
    let (_, known, is_deleted, ()) = covered.outcome(app.ports.database.ask(batch).await).await?;
    if !is_deleted {
        return Err(if dated.is_some() && !known.is_empty() {
            Failure::concurrent_change("consumer")
        } else {
            absent(app, organization, id).await
        });
    }
    end_cached(app, known, app.now()).await;
    Ok(())
}
