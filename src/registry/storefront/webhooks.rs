//! Webhooks: where a shop is told what happens, of which events, and the log of it. Sending is `deliveries`'s.

use composer::{Stability, excerpt};
use serde_json::{Value, json};

use crate::ports::{DatabaseError, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::identity::tokens::spec::is_of_names;
use crate::registry::kernel::address_policy::{ForbiddenUrl, check_url};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{is_key, new_key};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::deliveries::{jobs, seal_row};
use crate::store::kernel::name_range::NameRange;
use crate::store::storefront::deliveries::{self, DeliveryId, DeliveryRow};
use crate::store::storefront::webhooks::{self, WebhookChange, WebhookRow};
use crate::store::{Page, Query, Update};

/// What a webhook can be told. A `ping` is told to every one.
pub const EVENTS: [&str; 11] = [
    "version.published",
    "version.withdrawn",
    "tag.moved",
    "download.first",
    "permission.expiring_soon",
    "permission.expired",
    "updates.ending_soon",
    "updates.ended",
    "consumer.disabled",
    "key.unusual",
    "repository.failed",
];

/// Most webhooks of an organization: each event is written once for every one that wants it.
const MAX_WEBHOOKS: i64 = 20;

const MAX_URL: usize = 2000;

/// Most names and patterns of a webhook: each event is compared with all of them.
const MAX_PACKAGES: usize = 100;

/// How many days before an end a webhook is told of it, unless it says.
const LEAD_DAYS: i64 = 14;

/// A year.
const MAX_LEAD_DAYS: i64 = 366;

/// What a request to make or to change a webhook says; every field is optional here.
#[derive(Default)]
pub struct WebhookSpec {
    /// Where it is told.
    pub url: Option<String>,
    /// Of which events.
    pub events: Option<Vec<String>>,
    /// Of which packages: names, and beginnings of names with a `*` behind them.
    pub packages: Update<Vec<String>>,
    /// Composer's name of the least stable versions that it is told of.
    pub stability: Update<String>,
    /// How many days before an end.
    pub lead_days: Option<i64>,
    /// What signs; made up when a webhook is made without.
    pub secret: Option<String>,
    /// 1 is enabled, 0 is not.
    pub status: Option<i64>,
}

fn absent() -> Failure {
    Failure::not_found("Webhook")
}

fn taken(error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Conflict(_) => {
            Failure::new(Kind::Conflict, "There is a webhook with this address already. Change that one.")
        }
        DatabaseError::Fault(fault) => fault.into(),
    }
}

impl WebhookSpec {
    fn check(&self, app: &App, is_new: bool) -> Result<(), Failure> {
        let mut wrong = FieldErrors::default();
        match self.url.as_deref().map(|url| check_url(url, app.address_policy())) {
            None if is_new => wrong.push("url", "is required"),
            Some(Err(ForbiddenUrl::HoldsCredentials)) => {
                wrong.push("url", "must not hold credentials; the signature says who sends");
            }
            Some(Err(error)) => wrong.push("url", error.to_string()),
            _ => {}
        }
        if self.url.as_deref().is_some_and(|url| url.len() > MAX_URL) {
            wrong.push("url", format!("must not be longer than {MAX_URL} bytes"));
        }
        let known = || format!("must name one or more of {}", EVENTS.join(", "));
        match &self.events {
            None if is_new => wrong.push("events", known()),
            Some(events) if events.is_empty() || events.iter().any(|event| !EVENTS.contains(&event.as_str())) => {
                wrong.push("events", known());
            }
            _ => {}
        }
        self.check_filters(&mut wrong);
        if self.secret.as_deref().is_some_and(|secret| !is_key(secret)) {
            wrong.push("secret", "must be 16 to 255 visible ASCII characters");
        }
        wrong.check_enabled(self.status);
        wrong.into_result()
    }

    fn check_filters(&self, wrong: &mut FieldErrors) {
        if let Update::Set(Some(packages)) = &self.packages {
            if packages.is_empty() || packages.len() > MAX_PACKAGES {
                wrong.push("packages", format!("must name 1 to {MAX_PACKAGES} packages, or be null for all"));
            }
            let is_fit = |name: &String| is_of_names(&name.to_ascii_lowercase(), "*") && NameRange::is_exact(name);
            if let Some(odd) = packages.iter().find(|name| !is_fit(name)) {
                let odd = excerpt(odd).escape_default().to_string();
                let detail =
                    "is neither the name of a package nor the beginning of one with `*` behind it, like `acme/*`";
                wrong.push("packages", format!("`{odd}` {detail}"));
            }
        }
        if let Update::Set(Some(stability)) = &self.stability
            && let Err(error) = Stability::parse(stability)
        {
            wrong.push("stability", format!("is wrong: {error}"));
        }
        if self.lead_days.is_some_and(|days| !(1..=MAX_LEAD_DAYS).contains(&days)) {
            wrong.push("lead_days", format!("must be 1 to {MAX_LEAD_DAYS}"));
        }
    }

    /// The packages as they are stored: each with its first and its last name.
    fn stored_packages(&self) -> Update<String> {
        self.packages.clone().map(|packages| {
            let stored = packages.iter().map(|name| {
                let range = NameRange::of(name);
                json!([name.to_ascii_lowercase(), range.first, range.last])
            });
            Value::Array(stored.collect()).to_string()
        })
    }

    /// The least stability as Composer spells it.
    fn stored_stability(&self) -> Update<String> {
        self.stability.clone().map(|text| Stability::parse(&text).unwrap_or(Stability::Stable).as_str().to_owned())
    }

    /// The events in our order, each once, as a JSON array.
    fn events(&self) -> Option<String> {
        let events = self.events.as_ref()?;
        let named: Vec<&str> = EVENTS.into_iter().filter(|event| events.iter().any(|named| named == event)).collect();
        Some(json!(named).to_string())
    }

    /// What the audit log says of it.
    fn details(&self) -> Value {
        let filters = [
            ("packages", self.packages.is_set()),
            ("stability", self.stability.is_set()),
            ("lead_days", self.lead_days.is_some()),
        ];
        let named: Vec<&str> = filters.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect();
        json!({
            "url": self.url, "events": self.events, "secret": self.secret.is_some(), "status": self.status, "filters": named,
        })
    }
}

fn seal(app: &App, uid: &str, secret: &str) -> Result<String, Failure> {
    app.config.keyring.seal(&*app.ports.entropy, &seal_row(uid), secret).map_err(Failure::internal_with_detail)
}

fn note(app: &App, by: &Actor, action: &'static str, uid: &str, details: Value) -> Result<Stmt, Failure> {
    Ok(by.record(app, &AuditEvent { action, target: uid, label: None, details })?)
}

/// All webhooks, the oldest first.
pub async fn list(app: &App, view: &View) -> Result<Vec<WebhookRow>, Failure> {
    Ok(app.ports.database.ask(webhooks::all(view.organization())).await?)
}

/// One webhook.
pub async fn get(app: &App, view: &View, uid: &str) -> Result<WebhookRow, Failure> {
    app.ports.database.ask(webhooks::by_uid(view.organization(), uid)).await?.ok_or_else(absent)
}

/// A webhook that was made.
pub struct CreatedWebhook {
    /// As stored.
    pub row: WebhookRow,
    /// What signs, unless that is another secret by now.
    pub secret: Option<String>,
}

/// Makes a webhook; its secret is in the answer and nowhere else.
pub async fn create(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    spec: WebhookSpec,
) -> Result<Answer<CreatedWebhook>, Failure> {
    spec.check(app, true)?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(made_before(app, &issuer.by, &done).await),
    };
    let made = create_once(app, &issuer.by, spec, &claim).await;
    claim.release_on_failure(app, made).await.map(Answer::first)
}

/// The webhook that a request made before. Its secret is shown while it is the one that signs.
async fn made_before(app: &App, by: &Actor, done: &DoneRequest) -> Result<CreatedWebhook, Failure> {
    let uid = done.uid();
    let look = (webhooks::by_uid(by.organization(), uid), webhooks::sealed_secret(by.organization(), uid));
    let (row, sealed) = app.ports.database.ask(look).await?;
    let (row, sealed) = row.zip(sealed).ok_or_else(absent)?;
    let opened = app.config.keyring.open(&seal_row(uid), &sealed.secret).map_err(Failure::internal_with_detail)?;
    Ok(CreatedWebhook { row, secret: Some(opened).filter(|opened| done.secret() == Some(opened)) })
}

async fn create_once(
    app: &App,
    by: &Actor,
    spec: WebhookSpec,
    claim: &IdempotencyClaim,
) -> Result<CreatedWebhook, Failure> {
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let noted = note(app, by, "webhook.created", &uid, spec.details())?;
    let events = spec.events().unwrap_or_default();
    let (packages, stability) = (spec.stored_packages(), spec.stored_stability());
    let secret = match spec.secret {
        Some(secret) => secret,
        None => new_key(&*app.ports.entropy)?,
    };
    let sealed = seal(app, &uid, &secret)?;
    let url = spec.url.unwrap_or_default();
    let row = WebhookRow {
        uid,
        url,
        events,
        packages: packages.into_value(),
        stability: stability.into_value(),
        lead_days: spec.lead_days.unwrap_or(LEAD_DAYS),
        is_enabled: spec.status != Some(0),
        created_at: now,
        updated_at: now,
    };
    let keep = claim.keep_secret(app, row.uid.as_str(), &secret)?;
    let batch = (webhooks::insert(by.organization(), &row, &sealed, MAX_WEBHOOKS), noted, keep);
    let (is_made, ..) = app.ports.database.ask(batch).await.map_err(taken)?;
    if !is_made {
        let detail = format!("There are {MAX_WEBHOOKS} webhooks, which is the maximum. Delete some of them first.");
        return Err(Failure::new(Kind::Conflict, detail));
    }
    Ok(CreatedWebhook { row, secret: Some(secret) })
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, by: &Actor, uid: &str, spec: WebhookSpec) -> Result<WebhookRow, Failure> {
    spec.check(app, false)?;
    let noted = note(app, by, "webhook.changed", uid, spec.details())?;
    let change = WebhookChange {
        events: spec.events(),
        packages: spec.stored_packages(),
        stability: spec.stored_stability(),
        lead_days: spec.lead_days,
        secret: spec.secret.as_deref().map(|secret| seal(app, uid, secret)).transpose()?,
        is_enabled: spec.status.map(|status| status == 1),
        url: spec.url,
    };
    let organization = by.organization();
    let batch = (webhooks::update(organization, uid, change, app.now()), noted, webhooks::by_uid(organization, uid));
    let (.., row) = app.ports.database.ask(batch).await.map_err(taken)?;
    row.ok_or_else(absent)
}

/// Deletes a webhook with its log.
pub async fn delete(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    let noted = note(app, by, "webhook.deleted", uid, json!({}))?;
    let (is_deleted, ()) = app.ports.database.ask((webhooks::delete(by.organization(), uid), noted)).await?;
    if is_deleted { Ok(()) } else { Err(absent()) }
}

/// A page of a webhook's log, the latest first, and how many entries there are in all.
pub async fn log(app: &App, view: &View, uid: &str, page: Page) -> Result<(Vec<DeliveryRow>, i64), Failure> {
    let batch = (webhooks::by_uid(view.organization(), uid), deliveries::page(view.organization(), uid, page));
    let (webhook, entries) = app.ports.database.ask(batch).await?;
    webhook.ok_or_else(absent)?;
    Ok(entries)
}

/// Has a webhook told that it is being tried.
pub async fn ping(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    uid: &str,
) -> Result<Answer<DeliveryRow>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(delivery(app, &issuer.by, uid, done.id()).await),
    };
    let noted = note(app, &issuer.by, "webhook.tested", uid, json!({}))?;
    let write = deliveries::ping(issuer.organization(), uid, app.now());
    let written = notify(app, &issuer.by, uid, (write, claim.keep_inserted()), noted, None).await;
    claim.release_on_failure(app, written).await.map(Answer::first)
}

/// Has a delivery sent again, with its id, whatever became of it.
pub async fn redeliver(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    uid: &str,
    id: i64,
) -> Result<Answer<DeliveryRow>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(delivery(app, &issuer.by, uid, done.id()).await),
    };
    let noted = note(app, &issuer.by, "webhook.redelivered", uid, json!({ "delivery": id }))?;
    let write = deliveries::redeliver(issuer.organization(), uid, id, app.now());
    let written = notify(app, &issuer.by, uid, (write, claim.keep(id)), noted, Some(id)).await;
    claim.release_on_failure(app, written).await.map(Answer::first)
}

fn no_delivery() -> Failure {
    Failure::not_found("Delivery")
}

/// One delivery of a webhook.
async fn delivery(app: &App, by: &Actor, uid: &str, id: i64) -> Result<DeliveryRow, Failure> {
    let found = app.ports.database.ask(deliveries::by_id(by.organization(), uid, Some(id))).await?;
    found.ok_or_else(no_delivery)
}

async fn notify(
    app: &App,
    by: &Actor,
    uid: &str,
    write: (Query<Option<DeliveryId>>, Option<Stmt>),
    noted: Stmt,
    id: Option<i64>,
) -> Result<DeliveryRow, Failure> {
    let organization = by.organization();
    let batch = (write, noted, webhooks::by_uid(organization, uid), deliveries::by_id(organization, uid, id));
    let ((written, _), (), webhook, row) = app.ports.database.ask(batch).await?;
    if !webhook.ok_or_else(absent)?.is_enabled {
        return Err(Failure::new(Kind::Conflict, "This webhook is disabled. Set its `status` to 1 first."));
    }
    let row = row.ok_or_else(no_delivery)?;
    app.enqueue_all(&jobs(written), std::time::Duration::ZERO).await;
    Ok(row)
}
