//! The one refusal: what went wrong in words for the user, and privately why.
//!
//! Use cases return it, the `http` room renders it in its surface's dialect. The `source` is for the operator's log
//! and never leaves the registry.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::ports::{DatabaseError, Fault};

/// How long a server is left alone that has had too many requests, and does not say how long.
const DEFAULT_BUSY_WAIT: Duration = Duration::from_secs(15);

/// The field that tells what an organization is called by now.
const MOVED_TO: &str = "organization";

/// What sort of refusal it is; decides the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No credentials, or ones that are wrong, expired or revoked.
    Unauthenticated,
    /// A login with a wrong password or code.
    WrongCredentials,
    /// A login that lacks the code of its second factor.
    TwoFactorRequired,
    /// Good credentials that may not do this.
    Forbidden,
    /// There is no such thing, or the caller may not know that there is.
    NotFound,
    /// It is at another address by now, which `fields` tells.
    Moved,
    /// It is there, and is not handed out any more.
    Gone,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The client cannot be served at all (Composer 1).
    NotAcceptable,
    /// It contradicts what is there.
    Conflict,
    /// It is not as the request says that it must be: `If-Match`.
    PreconditionFailed,
    /// The request is wrong; `fields` may say where.
    Invalid,
    /// The body of the request is of another type than is read here.
    UnsupportedMediaType,
    /// The body of the request did not come in time.
    RequestTimeout,
    /// The asked range lies outside a blob of `size` bytes.
    RangeNotSatisfiable {
        /// Bytes.
        size: u64,
    },
    /// The caller has used up its quota.
    TooMany {
        /// Seconds until there is one again.
        retry_after: i64,
    },
    /// Somebody else's server failed us.
    Upstream,
    /// Somebody else's server has had too many requests.
    UpstreamBusy {
        /// Seconds until it may be asked again.
        retry_after: i64,
    },
    /// The registry has no room for the request just now.
    Busy {
        /// Seconds until there may be.
        retry_after: i64,
    },
    /// The registry failed.
    Internal,
}

impl Kind {
    /// Somebody else's server is to be left alone for so long, or for a while when it does not say how long.
    pub fn upstream_busy(retry_after: Option<Duration>) -> Self {
        let seconds = retry_after.unwrap_or(DEFAULT_BUSY_WAIT).as_secs();
        Self::UpstreamBusy { retry_after: i64::try_from(seconds).unwrap_or(i64::MAX).max(1) }
    }
}

/// A refusal. Boxed: nearly every `?` of the registry hands one on, and a pointer keeps that small.
#[derive(Debug, Clone)]
pub struct Failure(Box<FailureDetail>);

/// What a [`Failure`] says.
#[derive(Debug, Clone)]
pub struct FailureDetail {
    /// What sort it is.
    pub kind: Kind,
    /// What was wrong and what to do, for the user.
    pub detail: String,
    /// Field name → what is wrong with it.
    pub fields: BTreeMap<String, Vec<String>>,
    /// Why, for the log.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A refusal of `kind` in the user's words.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::with_source(kind, detail.into(), None)
    }

    fn with_source(kind: Kind, detail: String, source: Option<Arc<dyn Error + Send + Sync>>) -> Self {
        Self(Box::new(FailureDetail { kind, detail, fields: BTreeMap::new(), source }))
    }

    /// The request is wrong.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail)
    }

    /// One field of the request is wrong.
    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::invalid(format!("`{field}`: {detail}")).with_field(field, detail)
    }

    /// There is no such `what`.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} not found"))
    }

    /// The organization that was asked for is called `slug` by now.
    pub fn moved(slug: &str) -> Self {
        let detail = format!("This organization is called `{slug}` by now. Use that in the address.");
        Self::new(Kind::Moved, detail).with_field(MOVED_TO, slug)
    }

    /// What the organization is called by now that was asked for under another slug.
    pub fn moved_to(&self) -> Option<&str> {
        let told = self.fields.get(MOVED_TO).filter(|_| self.kind == Kind::Moved)?;
        told.first().map(String::as_str)
    }

    /// `what` changed between the look at it and the change of it.
    pub fn concurrent_change(what: &str) -> Self {
        let message = format!("Another request changed the {what} at the same time. Read it again and retry.");
        Self::new(Kind::Conflict, message)
    }

    /// The registry failed; `source` goes to the log.
    pub fn internal(source: impl Error + Send + Sync + 'static) -> Self {
        let detail = "The registry failed to answer. Try again; if it keeps failing, tell its operator the request id.";
        Self::with_source(Kind::Internal, detail.to_owned(), Some(Arc::new(source)))
    }

    /// The registry failed, and `source` tells the user all there is to say.
    pub fn internal_with_detail(source: impl Error + Send + Sync + 'static) -> Self {
        Self::with_source(Kind::Internal, source.to_string(), Some(Arc::new(source)))
    }

    /// A request came without what the entry point gives every one.
    pub fn unwired() -> Self {
        Self::new(Kind::Internal, "The registry is not set up correctly: the request does not carry its state.")
    }

    /// The same refusal, saying more of one field.
    #[must_use]
    pub fn with_field(mut self, field: &str, detail: impl Into<String>) -> Self {
        self.fields.entry(field.to_owned()).or_default().push(detail.into());
        self
    }
}

impl Deref for Failure {
    type Target = FailureDetail;

    fn deref(&self) -> &FailureDetail {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut FailureDetail {
        &mut self.0
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::internal(fault)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::internal(error)
    }
}
