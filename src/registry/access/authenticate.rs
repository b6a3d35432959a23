//! Who is calling: from a presented token, or a consumer's key pair, to a [`Caller`].
//!
//! A token is looked up in the isolate's cache, then in KV, then in the database; `credential_cache` says how long each
//! copy lives. What KV holds is a copy: a revocation deletes it, and it ends by itself after
//! [`CACHE_TTL`](crate::registry::access::credential_cache::CACHE_TTL). A session's token is for
//! [`session::authenticate_session`]: whether a session is alive is always asked of the database.

use std::sync::Arc;

use crate::registry::access::caller::{Authenticated, Caller};
use crate::registry::access::credential_cache::{look_up, recall};
use crate::registry::access::{failed_credentials, session};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::secrets::{PlainToken, TokenHash, TokenKind, is_key};
use crate::store::query::Batch;

/// What a request presents.
#[derive(Clone)]
pub struct Credential {
    /// The user name, when it came with one. Beside a token it may be any; beside a private key it is the public one.
    pub user: Option<String>,
    /// A token, or a private key.
    pub secret: String,
}

/// Who asks, and where.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// What the request presents, if anything.
    pub credential: Option<&'a Credential>,
    /// The client's IP address.
    pub address: Option<&'a str>,
    /// The slug of the organization that the request names: a user who is in several acts in that one.
    pub organization: Option<&'a str>,
}

impl Credential {
    /// Under which hash it is looked up, and as what; `None` when it is certainly not one of ours.
    fn matching_hash(&self, hash: TokenHash) -> Option<(TokenKind, TokenHash)> {
        match PlainToken::parse(&self.secret) {
            Some((kind @ (TokenKind::Access | TokenKind::Session), _)) => Some((kind, hash)),
            Some((TokenKind::Invitation | TokenKind::Reset, _)) => None,
            None => {
                // A private key may hold colons, and a public one holds none.
                let pair = [self.user.as_deref()?, ":", &self.secret].concat();
                let (public, private) = pair.split_once(':')?;
                (is_key(public) && is_key(private)).then(|| (TokenKind::Access, TokenHash::of_pair(public, private)))
            }
        }
    }
}

/// Finds out who asks.
///
/// `prefetch` is what the caller of this function would ask the database next; when the token has to be looked up there,
/// both go in one round trip.
///
/// # Errors
/// [`Kind::Unauthenticated`] for a missing, malformed, unknown, revoked or expired credential, all in the same words
/// but for the missing, the expired and the disabled one; [`Kind::TooMany`] when too many from this address have failed.
pub async fn authenticate<B: Batch>(
    app: &App,
    asker: Asker<'_>,
    prefetch: Option<B>,
) -> Result<Authenticated<B::Answer>, Failure> {
    let Some(credential) = asker.credential.filter(|credential| !credential.secret.is_empty()) else {
        return Err(Failure::new(
            Kind::Unauthenticated,
            "Authentication required. Send a token as HTTP Basic password (any user name) or as Bearer token.",
        ));
    };
    let hash = TokenHash::of(&credential.secret);
    if app.config.admin_token.as_ref().is_some_and(|admin| admin.matches(&hash)) {
        return Ok(Authenticated { caller: Arc::new(Caller::admin()?), prefetched: None });
    }
    let Some((kind, known_as)) = credential.matching_hash(hash.clone()) else {
        failed_credentials::require_few(app, asker.address)?;
        failed_credentials::record_unknown(app, &hash, asker.address);
        return Err(unauthenticated());
    };
    let Authenticated { caller, prefetched } = match recall(app, &known_as, app.now()) {
        Some(caller) => Authenticated { caller: caller.ok_or_else(unauthenticated)?, prefetched: None },
        None => identify(app, kind, &known_as, asker, prefetch).await?,
    };
    if caller.is_disabled {
        let detail = "This account was disabled. Ask whoever sold you the packages.";
        return Err(Failure::new(Kind::Unauthenticated, detail));
    }
    if caller.expires_at.is_some_and(|end| end <= app.now()) {
        return Err(Failure::new(Kind::Unauthenticated, "This token has expired. Ask for a new one."));
    }
    Ok(Authenticated { caller, prefetched })
}

/// Looks a credential up that memory does not know.
async fn identify<B: Batch>(
    app: &App,
    kind: TokenKind,
    hash: &TokenHash,
    asker: Asker<'_>,
    prefetch: Option<B>,
) -> Result<Authenticated<B::Answer>, Failure> {
    let refused = || if kind == TokenKind::Session { session::ended() } else { unauthenticated() };
    if failed_credentials::is_known_to_fail(app, hash) {
        return Err(refused());
    }
    failed_credentials::admit_credential(app, hash, asker.address).await?;
    let (caller, prefetched) = match kind {
        TokenKind::Session => session::look_up_session(app, hash, asker.organization, prefetch).await?,
        TokenKind::Access | TokenKind::Invitation | TokenKind::Reset => look_up(app, hash, prefetch).await?,
    };
    let Some(caller) = caller else {
        failed_credentials::record_unknown(app, hash, asker.address);
        return Err(refused());
    };
    failed_credentials::recognize(app, hash);
    Ok(Authenticated { caller, prefetched })
}

fn unauthenticated() -> Failure {
    Failure::new(Kind::Unauthenticated, "This token is not valid: it is unknown, mistyped or revoked.")
}
