//! What a handler is: an async function of up to five arguments, each of which implements [`Extract`], that returns a
//! response or a failure.
//!
//! axum would instantiate its extractors, its service and its route for the type of every handler. Here that is done
//! once, for [`Endpoint`]; a handler adds nothing but the extraction of its arguments and itself
//! (docs/decisions/0005-handler-shape.md).

use std::future::ready;
use std::mem::{replace, take};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::http::kit::body::{MAX_BODY_BYTES, MAX_PUBLIC_BODY_BYTES, check_json_type, receive};
use crate::http::kit::idempotency;
use crate::http::kit::request_auth::admit;
use crate::http::kit::requirement::{Access, Required};
use crate::http::kit::surface::Surface;
use crate::ports::BoxFuture;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;

/// The future of a handler's response. A failure becomes a response that carries it in its extensions.
pub struct ResponseFuture(BoxFuture<'static, Result<Response, Failure>>);

impl ResponseFuture {
    fn rejected(failure: Failure) -> Self {
        Self(Box::pin(ready(Err(failure))))
    }
}

impl Future for ResponseFuture {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        self.0.as_mut().poll(context).map(IntoResponse::into_response)
    }
}

/// A request from which the arguments of a handler are extracted, one after the other. Its body has been read if an
/// argument needs it.
pub struct BufferedRequest {
    /// Method, URI, headers and extensions.
    pub parts: Parts,
    body: Body,
    bytes: Vec<u8>,
}

impl BufferedRequest {
    /// `request` with its body unread.
    pub fn new(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, bytes: Vec::new() }
    }

    /// The body, for an argument that says [`Extract::READS_BODY`]; for others it is empty.
    pub fn take_body(&mut self) -> Vec<u8> {
        take(&mut self.bytes)
    }
}

/// An extractor: what a handler may have as an argument. It is synchronous, because the body is received before.
pub trait Extract: Sized {
    /// Whether it is made from the body: JSON of at most [`MAX_BODY_BYTES`].
    const READS_BODY: bool = false;
    /// What an operation with it requires of its caller, if it says.
    const REQUIRED: Option<Required> = None;
    /// Whether it is made from the header `Idempotency-Key`, too.
    const TAKES_KEY: bool = false;

    /// Extracts it. A failure is the response to the request.
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure>;
}

/// The failure is left to the handler.
impl<T: Extract> Extract for Result<T, Failure> {
    const READS_BODY: bool = T::READS_BODY;
    const REQUIRED: Option<Required> = T::REQUIRED;
    const TAKES_KEY: bool = T::TAKES_KEY;

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        Ok(T::extract(request))
    }
}

/// What every entry point gives a request.
impl Extract for App {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        request.parts.extensions.get().cloned().ok_or_else(Failure::unwired)
    }
}

impl Extract for Method {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        Ok(request.parts.method.clone())
    }
}

impl Extract for HeaderMap {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        Ok(request.parts.headers.clone())
    }
}

/// The request itself, with its body unread. It leaves nothing for other arguments, so it is the last one.
impl Extract for Request {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let (nothing, ()) = http::Request::new(()).into_parts();
        Ok(Self::from_parts(replace(&mut request.parts, nothing), take(&mut request.body)))
    }
}

/// A function that is a handler; its arguments are the tuple `A`.
pub trait HandlerFn<A> {
    /// Whether one of the arguments is made from the body.
    const READS_BODY: bool;
    /// What it requires of its caller, if one of the arguments says.
    const REQUIRED: Option<Required>;
    /// Whether one of the arguments is made from the header `Idempotency-Key`.
    const TAKES_KEY: bool;

    /// Extracts the arguments and calls the function.
    fn call(&self, request: &mut BufferedRequest) -> ResponseFuture;
}

impl<F, R> HandlerFn<()> for F
where
    F: Fn() -> R,
    R: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    const READS_BODY: bool = false;
    const REQUIRED: Option<Required> = None;
    const TAKES_KEY: bool = false;

    fn call(&self, _: &mut BufferedRequest) -> ResponseFuture {
        ResponseFuture(Box::pin(self()))
    }
}

macro_rules! impl_handler_fn {
    ($($argument:ident)+) => {
        impl<F, R, $($argument),+> HandlerFn<($($argument,)+)> for F
        where
            F: Fn($($argument),+) -> R,
            R: Future<Output = Result<Response, Failure>> + Send + 'static,
            $($argument: Extract,)+
        {
            const READS_BODY: bool = $($argument::READS_BODY)||+;
            const TAKES_KEY: bool = $($argument::TAKES_KEY)||+;
            const REQUIRED: Option<Required> = {
                let mut required = None;
                $(if $argument::REQUIRED.is_some() {
                    required = $argument::REQUIRED;
                })+
                required
            };

            #[expect(non_snake_case, reason = "each argument is named like its type")]
            fn call(&self, request: &mut BufferedRequest) -> ResponseFuture {
                $(let $argument = match $argument::extract(request) {
                    Ok(value) => value,
                    Err(failure) => return ResponseFuture::rejected(failure),
                };)+
                ResponseFuture(Box::pin(self($($argument),+)))
            }
        }
    };
}
impl_handler_fn!(A);
impl_handler_fn!(A B);
impl_handler_fn!(A B C);
impl_handler_fn!(A B C D);
impl_handler_fn!(A B C D E);

/// What an endpoint does about the header `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It heeds it.
    Takes,
    /// It refuses it.
    Refuses,
    /// It has another refusal for every request.
    Ignores,
}

/// A handler as axum's router takes it.
#[derive(Clone, Copy)]
pub struct Endpoint {
    reads_body: bool,
    /// What it requires of its caller.
    pub required: Option<Required>,
    /// What it does about the header `Idempotency-Key`.
    pub key_use: KeyUse,
    call: fn(&mut BufferedRequest) -> ResponseFuture,
}

impl Endpoint {
    /// The endpoint of `_handler`, which is what `call` calls; for [`endpoint!`].
    pub const fn new<A, H: HandlerFn<A> + Copy>(_handler: H, call: fn(&mut BufferedRequest) -> ResponseFuture) -> Self {
        let key_use = if H::TAKES_KEY { KeyUse::Takes } else { KeyUse::Refuses };
        Self { reads_body: H::READS_BODY, required: H::REQUIRED, key_use, call }
    }

    /// The same for requests that lead nowhere.
    #[must_use]
    pub const fn as_fallback(self) -> Self {
        Self { key_use: KeyUse::Ignores, ..self }
    }
}

impl Handler<Self, ()> for Endpoint {
    type Future = ResponseFuture;

    fn call(self, request: Request, (): ()) -> ResponseFuture {
        let mut request = BufferedRequest::new(request);
        // Outside of the surfaces nobody would render the refusal.
        if self.key_use == KeyUse::Refuses
            && Surface::of(&request.parts).is_ok()
            && let Err(failure) = idempotency::refuse(&request.parts)
        {
            return ResponseFuture::rejected(failure);
        }
        if !self.reads_body {
            return (self.call)(&mut request);
        }
        ResponseFuture(Box::pin(self.call_with_body(request)))
    }
}

impl Endpoint {
    /// Receives the body for the handler: after its caller was authenticated, so that nobody else has us keep one.
    async fn call_with_body(self, mut request: BufferedRequest) -> Result<Response, Failure> {
        let limit = match self.required.filter(|required| required.access != Access::Public) {
            Some(required) => {
                admit(&mut request, required).await?;
                MAX_BODY_BYTES
            }
            None => MAX_PUBLIC_BODY_BYTES,
        };
        let app = App::extract(&mut request)?;
        let received = receive(&app, &request.parts.headers, take(&mut request.body), limit).await?;
        if !received.bytes.is_empty() {
            check_json_type(&request.parts.headers)?;
        }
        request.bytes = received.bytes;
        let _memory = received.memory;
        (self.call)(&mut request).0.await
    }
}

/// A handler as an [`Endpoint`].
macro_rules! endpoint {
    ($handler:path) => {
        $crate::http::kit::handler::Endpoint::new($handler, |request| {
            $crate::http::kit::handler::HandlerFn::call(&$handler, request)
        })
    };
}
pub(crate) use endpoint;
