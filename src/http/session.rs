//! Who is calling, and what is left of their hour.
//!
//! A handler asks its [`Session`] to sign the caller in; the surface's layer then finds the caller's quota and writes
//! it on the response, whatever that is. A `304` is given back: it did no work.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::caching::PRIVATE;
use crate::http::handler::{Incoming, Take};
use crate::http::tenant::Tenant;
use crate::ports::{Rows, Stmt};
use crate::registry::access::View;
use crate::registry::access::account::Me;
use crate::registry::access::actor::Actor;
use crate::registry::access::caller::{Authenticated, Caller, Subject};
use crate::registry::access::scope::Scope;
use crate::registry::authenticate::{Credential, authenticate};
use crate::registry::failure::{Failure, Kind};
use crate::registry::kernel::app::App;
use crate::registry::limit::{self, Quota};
use crate::registry::tokens::Issuer;
use crate::registry::users::Manager;
use crate::store::OrganizationId;

/// Names one request in failures and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The edge's id of the request (`cf-ray`, which it also writes on every answer), or `local`.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.get("cf-ray").cloned().unwrap_or(HeaderValue::from_static("local")))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Where the edge writes the client's IP address; what a client sends under this name does not get through.
const CLIENT_ADDRESS: &str = "cf-connecting-ip";

/// Who signed in during a request, and what that left of their hour.
pub type SignedIn = Arc<Mutex<Option<(Arc<Caller>, Quota)>>>;

/// The request's way to its caller.
#[derive(Clone)]
pub struct Session {
    /// The registry.
    pub app: App,
    tenant: Tenant,
    credential: Option<Credential>,
    address: Option<String>,
    signed_in: SignedIn,
}

impl Session {
    /// Signs the caller in and counts the request.
    async fn sign_in(&self) -> Result<Arc<Caller>, Failure> {
        self.sign_in_with(None).await.map(|(caller, _)| caller)
    }

    /// Signs the caller in and counts the request; when the database has to be asked for the caller, `companion` is
    /// asked in the same round trip, and its rows come back.
    async fn sign_in_with(&self, companion: Option<Stmt>) -> Result<(Arc<Caller>, Option<Rows>), Failure> {
        let Authenticated { caller, rows } = authenticate(&self.app, self.credential.as_ref(), companion).await?;
        let quota = limit::take(&self.app, &caller).await;
        *self.signed_in.lock().unwrap_or_else(PoisonError::into_inner) = Some((caller.clone(), quota));
        match quota.retry_after {
            None => Ok((caller, rows)),
            Some(retry_after) => {
                let who = if caller.account.is_some() { "account" } else { "token" };
                let limit = quota.limit;
                let detail = format!(
                    "This {who} has used its {limit} requests of this hour. Try again in {retry_after} seconds."
                );
                Err(Failure::new(Kind::TooMany { retry_after }, detail))
            }
        }
    }

    /// What `caller` sees of the organization that the request is about.
    async fn view_of(&self, caller: &Caller) -> Result<Arc<View>, Failure> {
        caller.view_of(self.tenant.of(&self.app, caller).await?, self.app.now())
    }

    /// Signs a caller in who must hold `scope`, and is about to read what it sees.
    pub async fn view(&self, scope: Scope) -> Result<Arc<View>, Failure> {
        self.caller_and_view(scope).await.map(|(_, view)| view)
    }

    /// The same, and the caller.
    pub async fn caller_and_view(&self, scope: Scope) -> Result<(Arc<Caller>, Arc<View>), Failure> {
        let caller = self.require(scope).await?;
        let view = self.view_of(&caller).await?;
        Ok((caller, view))
    }

    /// Signs a caller in who must hold `scope`, and is about to read what it sees. When the database has to be asked for
    /// the caller, the statement that `companion` makes for the organization is asked in the same round trip, and its
    /// rows come back.
    pub async fn view_with(
        &self,
        scope: Scope,
        companion: impl FnOnce(OrganizationId) -> Option<Stmt>,
    ) -> Result<(Arc<View>, Option<Rows>), Failure> {
        let (caller, rows) = self.sign_in_with(self.tenant.known().and_then(companion)).await?;
        caller.require(scope)?;
        Ok((self.view_of(&caller).await?, rows))
    }

    /// Signs a caller in who must hold `scope` and is about to change something.
    pub async fn actor(&self, scope: Scope) -> Result<Actor, Failure> {
        let caller = self.require(scope).await?;
        self.actor_of(&caller).await
    }

    async fn actor_of(&self, caller: &Caller) -> Result<Actor, Failure> {
        let view = self.view_of(caller).await?;
        Ok(Actor { view, name: caller.name.clone(), address: self.address.clone() })
    }

    /// The same of a caller who is about to issue, change or revoke tokens.
    pub async fn issuer(&self, scope: Scope) -> Result<Issuer, Failure> {
        let caller = self.require(scope).await?;
        Ok(Issuer { by: self.actor_of(&caller).await?, caller })
    }

    /// Signs a caller in who may manage users.
    pub async fn manager(&self) -> Result<Manager, Failure> {
        let caller = self.require(Scope::UsersWrite).await?;
        let user_id = caller.account.as_ref().map(|account| account.user.id);
        Ok(Manager { by: self.actor_of(&caller).await?, role: caller.role, user_id })
    }

    /// Signs in a user who has logged in, for what is only about their own account.
    pub async fn me(&self) -> Result<Me, Failure> {
        let caller = self.sign_in().await?;
        let Some(account) = caller.account.clone() else {
            return Err(Failure::new(
                Kind::Forbidden,
                "This is about a user's own account. Send the token of a session, from POST /api/auth/login.",
            ));
        };
        Ok(Me { by: self.actor_of(&caller).await?, account })
    }

    /// Signs the administrator in.
    pub async fn administrator(&self) -> Result<Actor, Failure> {
        let caller = self.sign_in().await?;
        if caller.subject != Subject::Admin {
            return Err(Failure::new(Kind::Forbidden, "Only ADMIN_TOKEN may do this."));
        }
        self.actor_of(&caller).await
    }

    /// The client's IP address, as the edge tells it.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Whoever asks, without signing in: for what a password or a link opens.
    pub fn visitor(&self) -> Actor {
        Actor::without_view(Tenant::OF_VISITORS, "anonymous".to_owned(), self.address.clone())
    }

    /// Signs a caller in who must hold `scope`.
    pub async fn require(&self, scope: Scope) -> Result<Arc<Caller>, Failure> {
        let caller = self.sign_in().await?;
        caller.require(scope)?;
        Ok(caller)
    }
}

impl Take for Session {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let parts = &incoming.parts;
        let app = parts.extensions.get::<App>().cloned();
        let signed_in = parts.extensions.get::<SignedIn>().cloned();
        let (Some(app), Some(signed_in)) = (app, signed_in) else {
            return Err(Failure::unwired());
        };
        let tenant = Tenant::take(incoming)?;
        let parts = &incoming.parts;
        let address = parts.headers.get(CLIENT_ADDRESS).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { app, tenant, credential: credential(&parts.headers), address, signed_in })
    }
}

/// What a request presents: user name and password of Basic, or the Bearer token.
fn credential(headers: &HeaderMap) -> Option<Credential> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential { user: None, secret: rest.trim().to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credential { user: Some(user.to_owned()), secret: password.to_owned() })
}

/// Writes the caller's quota on the response to a caller, and keeps it out of shared caches.
pub fn show_quota(app: &App, signed_in: &SignedIn, response: &mut Response) {
    let Some((caller, mut quota)) = signed_in.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    if response.status() == StatusCode::NOT_MODIFIED {
        quota = limit::give_back(app, &caller, quota);
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(PRIVATE);
    for (name, value) in [
        ("x-ratelimit-limit", quota.limit),
        ("x-ratelimit-remaining", quota.remaining),
        ("x-ratelimit-reset", quota.reset),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(value).expect("a header"));
        headers
    }

    fn presented(value: &str) -> Option<(Option<String>, String)> {
        credential(&header(value)).map(|credential| (credential.user, credential.secret))
    }

    #[test]
    fn user_and_password_are_taken_from_basic_and_a_token_alone_from_bearer() {
        let basic = STANDARD.encode("anybody:s3cret:with:colons");
        let both = (Some("anybody".to_owned()), "s3cret:with:colons".to_owned());
        assert_eq!(presented(&format!("Basic {basic}")), Some(both));
        assert_eq!(presented("bearer  t0ken "), Some((None, "t0ken".to_owned())));
        for other in ["Digest x", "Basic", "Basic %%%", "token x"] {
            assert_eq!(presented(other), None, "{other}");
        }
    }
}
