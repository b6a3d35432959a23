//! Who is calling: from a presented token, or a consumer's key pair, to a [`Caller`].
//!
//! A token is looked up in the isolate's memory, then in KV, then in the database; see `memory` for how long each is
//! believed. What KV holds is a copy: a revocation deletes it, and it ends by itself after [`CACHE_TTL`]. A session's token
//! is [`session::present`]'s: that is never believed without asking.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ports::{Millis, Rows, Stmt};
use crate::registry::App;
use crate::registry::access::{Grant, View, everything};
use crate::registry::failure::{Failure, Kind};
use crate::registry::memory::{CALLER_TTL, Dated};
use crate::registry::secrets::{PlainToken, TokenHash, TokenKind, is_key};
use crate::registry::tokens::Scope;
use crate::registry::users::role::Role;
use crate::registry::users::role_of;
use crate::registry::users::session::{self, Account};
use crate::store::OrganizationId;
use crate::store::tokens::{GrantRow, HashedTokenRow, TokenRow, present};

/// How long KV keeps a token that nobody changes; each time it runs out, the look-up in the database notes that the
/// token was used.
pub const CACHE_TTL: Duration = Duration::from_mins(5);

/// Whose request it is; rate limits and statistics go by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The holder of `ADMIN_TOKEN`.
    Admin,
    /// The holder of a token.
    Token {
        /// Primary key.
        id: i64,
    },
    /// A user who has logged in, in whichever session.
    User {
        /// Primary key.
        id: i64,
    },
}

impl Subject {
    /// `admin`, `token:12` or `user:3`.
    pub fn key(&self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Token { id } => format!("token:{id}"),
            Self::User { id } => format!("user:{id}"),
        }
    }
}

/// An authenticated caller.
#[derive(Debug)]
pub struct Caller {
    /// Whose request it is.
    pub subject: Subject,
    /// Its name in the audit log: `admin`, `token:{uid}`, `user:{uid}`, `consumer:{id}`.
    pub name: String,
    /// The organization that the credential belongs to; `None` is `ADMIN_TOKEN`'s, which belongs to all of them.
    home: Option<OrganizationId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    grants: Vec<Grant>,
    /// What the grants let through; made when it is asked for, and again when a grant has ended or another organization
    /// is asked for.
    view: Mutex<Option<Arc<View>>>,
    /// Requests an hour, when it has a limit of its own.
    pub rate_limit_max: Option<i64>,
    /// When the credential ends.
    pub expires_at: Option<Millis>,
    /// The session's account, when a user calls.
    pub account: Option<Account>,
    /// Up to which role it manages users, if its scopes let it do so at all.
    pub role: Role,
    /// Primary key of the consumer whose key pair or token it is.
    pub consumer_id: Option<i64>,
    /// Whether that consumer is disabled; such a caller is not served.
    is_disabled: bool,
}

impl Caller {
    /// The organization that the credential belongs to; `None` when it belongs to all of them.
    pub fn home(&self) -> Option<OrganizationId> {
        self.home
    }

    /// What the caller sees of `organization` at `now`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a stranger: an organization that is not the caller's is like one that does not exist.
    pub fn view_of(&self, organization: OrganizationId, now: Millis) -> Result<Arc<View>, Failure> {
        if self.home.is_some_and(|home| home != organization) {
            return Err(Failure::not_found("Organization"));
        }
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match &*view {
            Some(view) if view.organization() == organization && view.holds_at(now) => Ok(view.clone()),
            _ => {
                let current = View::at(organization, &self.grants, now);
                let current = if self.consumer_id.is_some() { current.without_source() } else { current };
                Ok(view.insert(Arc::new(current)).clone())
            }
        }
    }

    /// What the caller may see, ended or not.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whose its downloads are: a consumer's, whichever of its tokens it used.
    pub fn counted_as(&self) -> String {
        self.consumer_id.map_or_else(|| self.subject.key(), |id| format!("consumer:{id}"))
    }

    /// Whether the caller holds `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&Scope::Admin) || self.scopes.contains(&scope)
    }

    /// Refuses a caller that does not hold `scope`.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.may(scope) {
            return Ok(());
        }
        let scope = scope.as_str();
        let detail = match self.subject {
            Subject::User { .. } => {
                format!(
                    "The role `{}` lacks the scope `{scope}`. Ask an administrator for another.",
                    self.role.as_str()
                )
            }
            Subject::Admin | Subject::Token { .. } => {
                format!("This token lacks the scope `{scope}`. Use one that has it.")
            }
        };
        Err(Failure::new(Kind::Forbidden, detail))
    }

    fn admin() -> Result<Self, Failure> {
        Ok(Self {
            subject: Subject::Admin,
            name: "admin".to_owned(),
            home: None,
            scopes: vec![Scope::Admin],
            grants: vec![Grant::from_row(everything())?],
            view: Mutex::default(),
            rate_limit_max: None,
            expires_at: None,
            account: None,
            role: Role::Owner,
            consumer_id: None,
            is_disabled: false,
        })
    }

    /// The user of an account. Every role sees every package.
    pub fn of_account(account: Account) -> Result<Self, Failure> {
        let role = role_of(&account.user)?;
        Ok(Self {
            subject: Subject::User { id: account.user.id },
            name: format!("user:{}", account.user.uid),
            home: Some(account.user.organization),
            scopes: role.scopes(),
            grants: vec![Grant::from_row(everything())?],
            view: Mutex::default(),
            rate_limit_max: None,
            expires_at: None,
            account: Some(account),
            role,
            consumer_id: None,
            is_disabled: false,
        })
    }

    fn from_record(record: Record) -> Result<Self, Failure> {
        Ok(Self {
            subject: Subject::Token { id: record.id },
            name: match record.consumer_id {
                Some(id) => format!("consumer:{id}"),
                None => format!("token:{}", record.uid),
            },
            home: Some(record.organization),
            scopes: record.scopes.iter().filter_map(|name| Scope::parse(name)).collect(),
            grants: record.grants.into_iter().map(Grant::from_row).collect::<Result<_, _>>()?,
            view: Mutex::default(),
            rate_limit_max: record.rate_limit_max,
            expires_at: record.expires_at,
            account: None,
            // Whoever may issue tokens is no more than an admin, so neither is a token.
            role: Role::Admin,
            consumer_id: record.consumer_id,
            is_disabled: record.is_disabled,
        })
    }
}

/// What KV holds of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    id: i64,
    uid: String,
    #[serde(rename = "organization_id")]
    organization: OrganizationId,
    scopes: Vec<String>,
    grants: Vec<GrantRow>,
    rate_limit_max: Option<i64>,
    expires_at: Option<Millis>,
    consumer_id: Option<i64>,
    #[serde(default)]
    is_disabled: bool,
}

impl From<TokenRow> for Record {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            uid: row.uid,
            organization: row.organization,
            scopes: row.scopes,
            grants: row.grants,
            rate_limit_max: row.rate_limit_max,
            expires_at: row.expires_at,
            consumer_id: row.consumer_id,
            is_disabled: row.is_disabled,
        }
    }
}

/// The key under which KV holds a token.
pub fn cache_key(hash: &TokenHash) -> String {
    format!("token:{}", hash.as_str())
}

/// The result of [`authenticate`]: the caller, and the rows of the statement that travelled along, when the database
/// had to be asked anyway.
pub struct Authenticated {
    /// Who is calling.
    pub caller: Arc<Caller>,
    /// The rows of the companion statement; `None` when the database was not asked.
    pub rows: Option<Rows>,
}

/// What a request presents.
#[derive(Clone)]
pub struct Credential {
    /// The user name, when it came with one. Beside a token it may be any; beside a private key it is the public one.
    pub user: Option<String>,
    /// A token, or a private key.
    pub secret: String,
}

impl Credential {
    /// Under which hash it is looked up, and as what; `None` when it is certainly not one of ours.
    fn known_by(&self, hash: TokenHash) -> Option<(TokenKind, TokenHash)> {
        match PlainToken::parse(&self.secret) {
            Some((kind @ (TokenKind::Access | TokenKind::Session), _)) => Some((kind, hash)),
            Some((TokenKind::Invitation | TokenKind::Reset, _)) => None,
            None => {
                let user = self.user.as_deref().filter(|user| is_key(user) && is_key(&self.secret))?;
                Some((TokenKind::Access, TokenHash::of_pair(user, &self.secret)))
            }
        }
    }
}

/// Finds out who presents `credential` (`None` when the request has none).
///
/// `companion` is a statement that the caller of this function would run next; when the token has to be looked up in
/// the database, both go in one round trip.
///
/// # Errors
/// [`Kind::Unauthenticated`] for a missing, malformed, unknown, revoked or expired credential, all in the same words
/// but for the missing, the expired and the disabled one.
pub async fn authenticate(
    app: &App,
    credential: Option<&Credential>,
    companion: Option<Stmt>,
) -> Result<Authenticated, Failure> {
    let Some(credential) = credential.filter(|credential| !credential.secret.is_empty()) else {
        return Err(Failure::new(
            Kind::Unauthenticated,
            "Authentication required. Send a token as HTTP Basic password (any user name) or as Bearer token.",
        ));
    };
    let hash = TokenHash::of(&credential.secret);
    if app.config.admin_token.as_ref().is_some_and(|admin| admin.matches(&hash)) {
        return Ok(Authenticated { caller: Arc::new(Caller::admin()?), rows: None });
    }
    let (kind, hash) = credential.known_by(hash).ok_or_else(refused)?;
    if kind == TokenKind::Session {
        return session::present(app, &hash, companion).await;
    }
    let now = app.now();
    let remembered = app
        .memory
        .callers()
        .get(&hash)
        .filter(|entry| entry.is_fresh(now, CALLER_TTL))
        .map(|entry| entry.value.clone());
    let (caller, rows) = match remembered {
        Some(caller) => (caller, None),
        None => look_up(app, &hash, companion).await?,
    };
    let caller = caller.ok_or_else(refused)?;
    if caller.is_disabled {
        let detail = "This account was disabled. Ask whoever sold you the packages.";
        return Err(Failure::new(Kind::Unauthenticated, detail));
    }
    if caller.expires_at.is_some_and(|end| end <= now) {
        return Err(Failure::new(Kind::Unauthenticated, "This token has expired. Ask for a new one."));
    }
    Ok(Authenticated { caller, rows })
}

fn refused() -> Failure {
    Failure::new(Kind::Unauthenticated, "This token is not valid: it is unknown, mistyped or revoked.")
}

/// Asks KV, then the database, and remembers the answer.
async fn look_up(
    app: &App,
    hash: &TokenHash,
    companion: Option<Stmt>,
) -> Result<(Option<Arc<Caller>>, Option<Rows>), Failure> {
    let now = app.now();
    let cached = app.ports.cache.get(&cache_key(hash)).await.unwrap_or_else(|fault| {
        log::warn!("token look-up goes to the database: {fault}");
        None
    });
    if let Some(record) = cached.and_then(|text| serde_json::from_str::<Record>(&text).ok()) {
        return remember(app, hash, Some(record)).map(|caller| (caller, None));
    }
    let mut stmts = vec![present(hash.as_str(), now)];
    stmts.extend(companion);
    let mut results = app.ports.database.batch(stmts).await?.into_iter();
    let record = results.next().unwrap_or_default().first::<TokenRow>()?.map(Record::from);
    if let Some(record) = &record {
        store_in_cache(app, hash, record).await;
    }
    Ok((remember(app, hash, record)?, results.next()))
}

fn remember(app: &App, hash: &TokenHash, record: Option<Record>) -> Result<Option<Arc<Caller>>, Failure> {
    let caller = record.map(Caller::from_record).transpose()?.map(Arc::new);
    app.memory.callers().put(hash.clone(), Dated { value: caller.clone(), read_at: app.now() });
    Ok(caller)
}

async fn store_in_cache(app: &App, hash: &TokenHash, record: &Record) {
    let value = serde_json::json!(record).to_string();
    if let Err(fault) = app.ports.cache.put(&cache_key(hash), value, CACHE_TTL, None).await {
        log::warn!("a token was not cached: {fault}");
    }
}

/// How long KV may go on handing out what it held before a change.
const CACHE_SPREAD: Duration = Duration::from_mins(1);

/// Takes note of what a token has become, or that it was revoked: here at once, in KV as fast as KV spreads it. Until
/// then this isolate goes by its own memory, because KV may still show it the old copy. When KV fails, its copy ends
/// by itself after [`CACHE_TTL`]; the change in the database stands either way. The secret before a rotation is the
/// same token until its time is over.
pub async fn learn(app: &App, row: HashedTokenRow) {
    let HashedTokenRow { hash, previous_hash, previous_until, token } = row;
    let is_live = token.revoked_at.is_none();
    if let Some(previous_hash) = previous_hash {
        let ends = previous_until.filter(|end| is_live && app.now() < *end);
        let previous = ends.map(|end| {
            let expires_at = Some(token.expires_at.map_or(end, |own| own.min(end)));
            TokenRow { expires_at, ..token.clone() }
        });
        learn_by(app, &TokenHash::from_stored(previous_hash), previous).await;
    }
    learn_by(app, &TokenHash::from_stored(hash), is_live.then_some(token)).await;
}

/// The same of one secret; `None` is not valid any more.
pub async fn learn_by(app: &App, hash: &TokenHash, token: Option<TokenRow>) {
    let known_for = if token.is_some() { CACHE_SPREAD } else { CACHE_TTL };
    let caller = token.map(|row| Caller::from_record(row.into()).map(Arc::new)).transpose();
    match caller {
        Ok(value) => {
            let read_at = app.now().plus(known_for);
            app.memory.callers().put(hash.clone(), Dated { value, read_at });
        }
        Err(failure) => {
            log::error!("a changed token cannot be read: {failure:?}");
            app.memory.callers().pop(hash);
        }
    }
    if let Err(fault) = app.ports.cache.delete(&cache_key(hash)).await {
        log::error!("a changed token may be believed for {} s more: {fault}", CACHE_TTL.as_secs());
    }
}
