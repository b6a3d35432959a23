//! An authenticated caller: whose request it is, what it may do, what it sees.

use std::sync::{Arc, Mutex, PoisonError};

use composer::Constraint;
use serde::{Deserialize, Serialize};

use crate::ports::Millis;
use crate::registry::access::account::Account;
use crate::registry::access::grant::{Grant, everything, read_grants};
use crate::registry::access::role::{Role, role_of};
use crate::registry::access::scope::Scope;
use crate::registry::access::view::View;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::OrganizationId;
use crate::store::access::past_grants::GrantHolder;
use crate::store::access::rate_limits::RateLimits;
use crate::store::access::tokens::{GrantRow, TokenRow};

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
    /// What that was called when the credential was looked up; `None` when nobody has told.
    slug: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    grants: Vec<Arc<Grant>>,
    /// What the grants let through; made when it is asked for, and again when a grant has ended or another organization
    /// is asked for.
    view: Mutex<Option<Arc<View>>>,
    /// Requests an hour, when it has a limit of its own.
    pub rate_limit_max: Option<i64>,
    /// What holds where it has none.
    pub rate_limits: RateLimits,
    /// When the credential ends.
    pub expires_at: Option<Millis>,
    /// The session's account, when a user calls.
    pub account: Option<Account>,
    /// Up to which role it manages users, if its scopes let it do so at all.
    pub role: Role,
    /// Primary key of the consumer whose key pair or token it is.
    pub consumer_id: Option<i64>,
    /// Whether that consumer is disabled; such a caller is not served.
    pub is_disabled: bool,
}

impl Caller {
    /// The organization that the credential belongs to; `None` when it belongs to all of them.
    pub fn home(&self) -> Option<OrganizationId> {
        self.home
    }

    /// The organization that the credential belongs to, if it was called `slug` when the credential was looked up.
    pub fn home_called(&self, slug: &str) -> Option<OrganizationId> {
        self.home.filter(|_| self.slug.as_deref() == Some(slug))
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
            Some(view) if view.organization() == organization && view.is_valid_at(now) => Ok(view.clone()),
            _ => {
                let current = View::new(organization, &self.grants, now);
                let current = match (self.consumer_id, &self.subject) {
                    (Some(id), _) => current.held_by(GrantHolder::Consumer(id)).without_source(),
                    (None, Subject::Token { id }) => current.held_by(GrantHolder::Token(*id)),
                    (None, Subject::Admin | Subject::User { .. }) => current,
                };
                Ok(view.insert(Arc::new(current)).clone())
            }
        }
    }

    /// What the caller may see, ended or not.
    pub fn grants(&self) -> &[Arc<Grant>] {
        &self.grants
    }

    /// About how many bytes of memory it takes with its view, besides the constraints of its grants.
    pub fn bytes(&self) -> usize {
        let scopes = self.scopes.capacity() * size_of::<Scope>();
        let grants: usize = self.grants.iter().map(|grant| grant.bytes()).sum();
        let texts = self.name.capacity() + self.slug.as_ref().map_or(0, String::capacity);
        size_of::<Self>() + size_of::<View>() + texts + scopes + grants
    }

    /// The constraint of each of its grants.
    pub fn constraints(&self) -> impl Iterator<Item = &Arc<Constraint>> {
        self.grants.iter().map(|grant| &grant.versions)
    }

    /// Whose its downloads are: a consumer's, whichever of its tokens it used.
    pub fn rate_limit_subject(&self) -> String {
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

    /// The holder of `ADMIN_TOKEN`.
    pub fn admin() -> Result<Self, Failure> {
        Ok(Self {
            subject: Subject::Admin,
            name: "admin".to_owned(),
            home: None,
            slug: None,
            scopes: vec![Scope::Admin],
            grants: vec![Arc::new(Grant::from_row(&everything())?)],
            view: Mutex::default(),
            rate_limit_max: None,
            rate_limits: RateLimits::default(),
            expires_at: None,
            account: None,
            role: Role::Owner,
            consumer_id: None,
            is_disabled: false,
        })
    }

    /// The user of an account, as a member of an organization that is called `slug`. Every role sees every package.
    pub fn of_account(account: Account, slug: Option<String>) -> Result<Self, Failure> {
        let role = role_of(&account.user)?;
        Ok(Self {
            subject: Subject::User { id: account.user.id },
            name: format!("user:{}", account.user.uid),
            home: Some(account.user.organization),
            slug,
            scopes: role.scopes(),
            grants: vec![Arc::new(Grant::from_row(&everything())?)],
            view: Mutex::default(),
            rate_limit_max: None,
            rate_limits: account.rate_limits,
            expires_at: None,
            account: Some(account),
            role,
            consumer_id: None,
            is_disabled: false,
        })
    }

    /// The holder of a token; constraints that are `known` are not parsed again.
    pub fn from_record(
        record: CachedCredential,
        known: impl Fn(&str) -> Option<Arc<Constraint>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            subject: Subject::Token { id: record.id },
            name: match record.consumer_id {
                Some(id) => format!("consumer:{id}"),
                None => format!("token:{}", record.uid),
            },
            home: Some(record.organization),
            slug: record.organization_slug,
            scopes: Scope::of_stored(&record.scopes),
            grants: read_grants(record.grants, known)?,
            view: Mutex::default(),
            rate_limit_max: record.rate_limit_max,
            rate_limits: record.rate_limits,
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
pub struct CachedCredential {
    id: i64,
    uid: String,
    #[serde(rename = "organization_id")]
    organization: OrganizationId,
    organization_slug: Option<String>,
    scopes: Vec<String>,
    grants: Vec<GrantRow>,
    rate_limit_max: Option<i64>,
    #[serde(default)]
    rate_limits: RateLimits,
    expires_at: Option<Millis>,
    consumer_id: Option<i64>,
    #[serde(default)]
    is_disabled: bool,
}

impl From<TokenRow> for CachedCredential {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            uid: row.uid,
            organization: row.organization,
            organization_slug: row.organization_slug,
            scopes: row.scopes,
            grants: row.grants,
            rate_limit_max: row.rate_limit_max,
            rate_limits: row.rate_limits.unwrap_or_default(),
            expires_at: row.expires_at,
            consumer_id: row.consumer_id,
            is_disabled: row.is_disabled,
        }
    }
}

/// The result of `authenticate`: the caller, and what the statements that travelled along yield, when the database had
/// to be asked anyway.
pub struct Authenticated<T> {
    /// Who is calling.
    pub caller: Arc<Caller>,
    /// What the prefetch yields; `None` when the database was not asked.
    pub prefetched: Option<T>,
}
