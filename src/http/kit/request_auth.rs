//! Authentication of a request, and the rate limit of its caller.
//!
//! A handler has its [`RequestAuth`] authenticate the caller, which counts the request; the surface's layer then finds the
//! caller and what is left in the [`AuthenticatedSlot`], and writes the rate limit headers on the response, whatever that
//! is. The request of a `304` is refunded when memory alone answered it ([`AnsweredFromMemory`]): it did no work. That of an
//! operation which requires [`Uncounted`] is not counted in the first place.
//!
//! [`AnsweredFromMemory`]: crate::http::kit::caching::AnsweredFromMemory
//! [`Uncounted`]: crate::http::kit::requirement::Uncounted

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use composer::PackageName;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::kit::caching::{AnsweredFromMemory, PRIVATE_NO_CACHE};
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::requirement::{
    Access, AdminToken, Counting, OwnAccount, Public, Reach, Required, RequiredScope, Requirement, Uncounted,
};
use crate::http::kit::surface::Surface;
use crate::http::kit::tenant::Tenant;
use crate::ports::Stmt;
use crate::registry::access::account::CurrentUser;
use crate::registry::access::actor::Actor;
use crate::registry::access::authenticate::{Asker, Credential, authenticate};
use crate::registry::access::caller::{Authenticated, Caller, Subject};
use crate::registry::access::issuer::Issuer;
use crate::registry::access::rate_limit::{self, Quota, RateLimit};
use crate::registry::access::scope::Scope;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::OrganizationId;
use crate::store::query::Batch;

/// The id of a request in failures and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The edge's id of the request (`cf-ray`, which it also writes on every response), or `local`.
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

/// The header with the client's IP address. The edge sets it; one that a client sends does not get through.
const CLIENT_ADDRESS_HEADER: &str = "cf-connecting-ip";

/// What is told to a credential that is limited to some packages.
const LIMITED: &str = "This is about the whole organization, and your token is limited to some packages. Use one that is limited to none.";

/// Where a handler leaves the caller that it has authenticated for the layer of the surface; empty until then.
#[derive(Clone, Default)]
pub struct AuthenticatedSlot(Arc<Mutex<Option<CountedCaller>>>);

impl AuthenticatedSlot {
    fn lock(&self) -> MutexGuard<'_, Option<CountedCaller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authenticated caller, and what is left of its rate limits.
struct CountedCaller {
    caller: Arc<Caller>,
    requests: Quota,
    /// Whether this request is among them.
    counting: Counting,
    downloads: Option<Quota>,
}

/// The registry and the caller of a request, who has to meet the requirement `R` of the operation.
pub struct RequestAuth<R> {
    authenticator: Authenticator,
    requirement: PhantomData<R>,
}

impl<R> RequestAuth<R> {
    /// The registry.
    pub fn app(&self) -> &App {
        &self.authenticator.app
    }

    /// The client's IP address, as the edge reports it.
    pub fn address(&self) -> Option<&str> {
        self.authenticator.address.as_deref()
    }

    /// Counts a download of `package` by the caller that was authenticated, if the surface limits downloads.
    pub fn count_download(&self, package: &PackageName) -> impl Future<Output = Result<(), Failure>> {
        self.authenticator.count_download(package)
    }
}

impl<R: Requirement> RequestAuth<Uncounted<R>> {
    /// Counts a request that does not count as a rule, because the limit which bounds those does not bound this one.
    pub fn count_request(&self) -> impl Future<Output = Result<(), Failure>> {
        self.authenticator.count_request()
    }
}

impl<R: RequiredScope> RequestAuth<R> {
    /// Authenticates the caller.
    pub async fn caller(&self) -> Result<Arc<Caller>, Failure> {
        self.authenticator.caller_and_view(R::SCOPE).await.map(|(caller, _)| caller)
    }

    /// Authenticates the caller, and returns its view.
    pub fn view(&self) -> impl Future<Output = Result<Arc<View>, Failure>> {
        self.authenticator.view(R::SCOPE)
    }

    /// Authenticates the caller, and returns it with its view.
    pub fn caller_and_view(&self) -> impl Future<Output = Result<(Arc<Caller>, Arc<View>), Failure>> {
        self.authenticator.caller_and_view(R::SCOPE)
    }

    /// Authenticates the caller, and returns its view. If the database has to be asked for the caller, what `prefetch` asks
    /// about the organization goes along in the same round trip, and what it yields is returned.
    pub fn view_with<B: Batch>(
        &self,
        prefetch: impl FnOnce(OrganizationId) -> Option<B>,
    ) -> impl Future<Output = Result<(Arc<View>, Option<B::Answer>), Failure>> {
        let prefetch = self.authenticator.tenant.known().and_then(prefetch);
        self.authenticator.view_with(R::SCOPE, prefetch)
    }

    /// Authenticates the caller, who is about to change something.
    pub fn actor(&self) -> impl Future<Output = Result<Actor, Failure>> {
        self.authenticator.actor(R::SCOPE)
    }

    /// Authenticates the caller, who is about to issue, change or revoke credentials.
    pub fn issuer(&self) -> impl Future<Output = Result<Issuer, Failure>> {
        self.authenticator.issuer(R::SCOPE)
    }
}

impl RequestAuth<OwnAccount> {
    /// Authenticates the user by a session.
    pub fn current_user(&self) -> impl Future<Output = Result<CurrentUser, Failure>> {
        self.authenticator.current_user()
    }
}

impl RequestAuth<AdminToken> {
    /// Authenticates the holder of `ADMIN_TOKEN`.
    pub fn administrator(&self) -> impl Future<Output = Result<Actor, Failure>> {
        self.authenticator.administrator()
    }
}

impl RequestAuth<Public> {
    /// An actor that is not authenticated: for what a password or a link opens.
    pub fn anonymous(&self) -> Actor {
        let address = self.authenticator.address.clone();
        Actor::without_view(Tenant::OF_ANONYMOUS, "anonymous".to_owned(), address)
    }
}

impl<R: Requirement> Extract for RequestAuth<R> {
    const REQUIRED: Option<Required> = Some(R::REQUIRED);

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        Ok(Self { authenticator: Authenticator::extract(request, R::REQUIRED)?, requirement: PhantomData })
    }
}

/// Authenticates the caller of a request before its handler does, who then finds it authenticated.
///
/// # Errors
/// The refusal of who does not meet what is `required`.
pub async fn admit(request: &mut BufferedRequest, required: Required) -> Result<(), Failure> {
    Authenticator::extract(request, required)?.admit(required.access).await.map(drop)
}

/// What authenticates the caller of a request, whatever the operation requires. It is not generic, so that its code
/// exists once.
struct Authenticator {
    app: App,
    surface: &'static Surface,
    required: Required,
    tenant: Tenant,
    credential: Option<Credential>,
    address: Option<String>,
    authenticated: AuthenticatedSlot,
}

impl Authenticator {
    /// Authenticates the caller and counts the request.
    async fn authenticate(&self) -> Result<Arc<Caller>, Failure> {
        self.authenticate_with(None::<Stmt>).await.map(|(caller, _)| caller)
    }

    /// Authenticates the caller and counts the request, once. If the database has to be asked for the caller, `prefetch` goes
    /// along in the same round trip, and what it yields is returned.
    async fn authenticate_with<B: Batch>(
        &self,
        prefetch: Option<B>,
    ) -> Result<(Arc<Caller>, Option<B::Answer>), Failure> {
        if let Some(counted) = &*self.authenticated.lock() {
            return Ok((counted.caller.clone(), None));
        }
        let asker = Asker {
            credential: self.credential.as_ref(),
            address: self.address.as_deref(),
            organization: self.tenant.slug(),
        };
        let Authenticated { caller, prefetched } = authenticate(&self.app, asker, prefetch).await?;
        let (limit, counting) = (self.surface.limits.requests.of(&caller), self.required.counting);
        let quota = match counting {
            Counting::Counted => rate_limit::consume(&self.app, &caller, limit, None).await,
            Counting::Uncounted => rate_limit::peek(&self.app, &caller, limit).await,
        };
        let refusal = refusal_of_request(&caller, limit, &quota);
        *self.authenticated.lock() =
            Some(CountedCaller { caller: caller.clone(), requests: quota, counting, downloads: None });
        match refusal {
            None => Ok((caller, prefetched)),
            Some(failure) => Err(failure),
        }
    }

    async fn count_request(&self) -> Result<(), Failure> {
        let caller = self.authenticated_caller()?;
        let limit = self.surface.limits.requests.of(&caller);
        let quota = rate_limit::consume(&self.app, &caller, limit, None).await;
        let refusal = refusal_of_request(&caller, limit, &quota);
        if let Some(counted) = &mut *self.authenticated.lock() {
            (counted.requests, counted.counting) = (quota, Counting::Counted);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// The caller that was authenticated.
    fn authenticated_caller(&self) -> Result<Arc<Caller>, Failure> {
        let caller = self.authenticated.lock().as_ref().map(|counted| counted.caller.clone());
        caller.ok_or_else(Failure::unwired)
    }

    async fn count_download(&self, package: &PackageName) -> Result<(), Failure> {
        let Some(limit) = self.surface.limits.downloads else { return Ok(()) };
        let caller = self.authenticated_caller()?;
        let quota = rate_limit::consume(&self.app, &caller, limit, Some(package)).await;
        let (max, retry_after) = (quota.limit, quota.retry_after);
        if let Some(counted) = &mut *self.authenticated.lock() {
            counted.downloads = Some(quota);
        }
        let Some(retry_after) = retry_after else { return Ok(()) };
        let (package, window) = (package.as_str(), limit.window().as_str());
        let detail = format!(
            "This token has used its {max} downloads of `{package}` of this {window}. Try again in {retry_after} seconds."
        );
        Err(Failure::new(Kind::TooMany { retry_after }, detail))
    }

    /// The view of `caller` of the organization that the request is about, if it sees as much of that as it has to.
    async fn view_of(&self, caller: &Caller) -> Result<Arc<View>, Failure> {
        let view = caller.view_of(self.tenant.of(&self.app, caller).await?, self.app.now())?;
        if self.required.reach == Reach::Organization {
            view.require_everything(LIMITED)?;
        }
        Ok(view)
    }

    async fn view(&self, scope: Scope) -> Result<Arc<View>, Failure> {
        self.caller_and_view(scope).await.map(|(_, view)| view)
    }

    async fn caller_and_view(&self, scope: Scope) -> Result<(Arc<Caller>, Arc<View>), Failure> {
        let caller = self.require(scope).await?;
        let view = self.view_of(&caller).await?;
        Ok((caller, view))
    }

    async fn view_with<B: Batch>(
        &self,
        scope: Scope,
        prefetch: Option<B>,
    ) -> Result<(Arc<View>, Option<B::Answer>), Failure> {
        let (caller, prefetched) = self.authenticate_with(prefetch).await?;
        caller.require(scope)?;
        Ok((self.view_of(&caller).await?, prefetched))
    }

    async fn actor(&self, scope: Scope) -> Result<Actor, Failure> {
        let caller = self.require(scope).await?;
        self.actor_of(&caller).await
    }

    async fn actor_of(&self, caller: &Caller) -> Result<Actor, Failure> {
        let view = self.view_of(caller).await?;
        Ok(Actor { view, name: caller.name.clone(), address: self.address.clone() })
    }

    async fn issuer(&self, scope: Scope) -> Result<Issuer, Failure> {
        let caller = self.require(scope).await?;
        Ok(Issuer { by: self.actor_of(&caller).await?, caller })
    }

    async fn current_user(&self) -> Result<CurrentUser, Failure> {
        let caller = self.admit(Access::OwnAccount).await?;
        let account = caller.account.clone().ok_or_else(Failure::unwired)?;
        Ok(CurrentUser { by: self.actor_of(&caller).await?, account })
    }

    async fn administrator(&self) -> Result<Actor, Failure> {
        let caller = self.admit(Access::AdminToken).await?;
        self.actor_of(&caller).await
    }

    async fn require(&self, scope: Scope) -> Result<Arc<Caller>, Failure> {
        self.admit(Access::Scope(scope)).await
    }

    /// Authenticates the caller, who has to be one of those that have `access`.
    async fn admit(&self, access: Access) -> Result<Arc<Caller>, Failure> {
        let caller = self.authenticate().await?;
        match access {
            Access::Scope(scope) => caller.require(scope)?,
            Access::AdminToken if caller.subject != Subject::Admin => {
                return Err(Failure::new(Kind::Forbidden, "Only ADMIN_TOKEN may do this."));
            }
            Access::OwnAccount if caller.account.is_none() => {
                return Err(Failure::new(
                    Kind::Forbidden,
                    "This is about a user's own account. Send the token of a session, from POST /api/auth/login.",
                ));
            }
            Access::AdminToken | Access::OwnAccount | Access::Public => {}
        }
        Ok(caller)
    }
}

impl Authenticator {
    fn extract(request: &mut BufferedRequest, required: Required) -> Result<Self, Failure> {
        let (tenant, app) = (Tenant::extract(request)?, App::extract(request)?);
        let parts = &request.parts;
        let authenticated = parts.extensions.get::<AuthenticatedSlot>().cloned().ok_or_else(Failure::unwired)?;
        let address = parts.headers.get(CLIENT_ADDRESS_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (surface, credential) = (Surface::of(parts)?, credential_of(&parts.headers));
        Ok(Self { app, surface, required, tenant, credential, address, authenticated })
    }
}

/// The refusal of a request when nothing was left of the limit for it.
fn refusal_of_request(caller: &Caller, limit: RateLimit, quota: &Quota) -> Option<Failure> {
    let retry_after = quota.retry_after?;
    let holder = if caller.account.is_some() { "account" } else { "token" };
    let (max, window) = (quota.limit, limit.window().as_str());
    let detail =
        format!("This {holder} has used its {max} requests of this {window}. Try again in {retry_after} seconds.");
    Some(Failure::new(Kind::TooMany { retry_after }, detail))
}

/// The credential of a request: user name and password of Basic, or the Bearer token.
fn credential_of(headers: &HeaderMap) -> Option<Credential> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential { user: None, secret: rest.trim().to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    // A user name may hold colons, and a token holds none. A private key may even end with some.
    let colon = decoded.trim_end_matches(':').rfind(':').or_else(|| decoded.find(':'))?;
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    Some(Credential { user: Some(user.to_owned()), secret: password.to_owned() })
}

/// Writes the rate limit headers on the response to an authenticated caller, and keeps it out of shared caches. Of two
/// limits, the headers are about the one of which less is left.
pub fn write_rate_limit_headers(app: &App, authenticated: &AuthenticatedSlot, response: &mut Response) {
    let Some(counted) = authenticated.lock().take() else { return };
    let CountedCaller { mut requests, counting, downloads, .. } = counted;
    let is_free = response.extensions().get::<AnsweredFromMemory>().is_some();
    if is_free && response.status() == StatusCode::NOT_MODIFIED && counting == Counting::Counted {
        requests = rate_limit::refund(app, requests);
    }
    let quota = downloads.into_iter().fold(requests, |least, quota| {
        if quota.retry_after.is_some() || quota.remaining < least.remaining { quota } else { least }
    });
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(PRIVATE_NO_CACHE);
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
        credential_of(&header(value)).map(|credential| (credential.user, credential.secret))
    }

    #[test]
    fn user_and_password_are_taken_from_basic_and_a_token_alone_from_bearer() {
        let basic = STANDARD.encode("any:body:s3cret");
        let both = (Some("any:body".to_owned()), "s3cret".to_owned());
        assert_eq!(presented(&format!("Basic {basic}")), Some(both));
        assert_eq!(presented("bearer  t0ken "), Some((None, "t0ken".to_owned())));
        for (pair, user, password) in [("key:ends::", "key", "ends::"), ("user:", "user", ""), (":t0ken", "", "t0ken")]
        {
            let basic = format!("Basic {}", STANDARD.encode(pair));
            assert_eq!(presented(&basic), Some((Some(user.to_owned()), password.to_owned())));
        }
        for other in ["Digest x", "Basic", "Basic %%%", "token x"] {
            assert_eq!(presented(other), None, "{other}");
        }
    }
}
