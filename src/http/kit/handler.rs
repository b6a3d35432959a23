//! What a handler is: an async function of up to five arguments, each [`Take`]n from the request, that answers or fails.
//!
//! axum would make every handler a type of its own all the way down: its extractors, its service, its route. Here
//! all of that is made once, for [`Endpoint`]; a handler adds nothing but taking its arguments and itself.

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

use crate::http::kit::extract::{MAX_BODY_BYTES, read_body};
use crate::ports::BoxFuture;
use crate::registry::failure::Failure;

/// The answer of a handler, on its way.
pub struct Answering(BoxFuture<'static, Result<Response, Failure>>);

impl Answering {
    fn refused(failure: Failure) -> Self {
        Self(Box::pin(ready(Err(failure))))
    }
}

impl Future for Answering {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        self.0.as_mut().poll(context).map(IntoResponse::into_response)
    }
}

/// A request as the arguments of a handler are taken from it, one after the other.
pub struct Incoming {
    /// Its head.
    pub parts: Parts,
    body: Body,
    bytes: Result<Vec<u8>, Failure>,
}

impl Incoming {
    fn new(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, bytes: Ok(Vec::new()) }
    }

    /// The body, for an argument that says [`Take::READS_BODY`]; for others it is empty.
    pub fn body(&mut self) -> Result<Vec<u8>, Failure> {
        replace(&mut self.bytes, Ok(Vec::new()))
    }
}

/// What a handler may take from a request. It waits for nothing: the body is read before.
pub trait Take: Sized {
    /// Whether it is made of the body, of at most [`MAX_BODY_BYTES`].
    const READS_BODY: bool = false;

    /// Takes it. A failure is the answer to the request.
    fn take(incoming: &mut Incoming) -> Result<Self, Failure>;
}

/// The failure is left to the handler, which looks first at who asks.
impl<T: Take> Take for Result<T, Failure> {
    const READS_BODY: bool = T::READS_BODY;

    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        Ok(T::take(incoming))
    }
}

impl Take for Method {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        Ok(incoming.parts.method.clone())
    }
}

impl Take for HeaderMap {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        Ok(incoming.parts.headers.clone())
    }
}

/// All that is left, with the body unread; so it comes last.
impl Take for Request {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let (nothing, ()) = http::Request::new(()).into_parts();
        Ok(Self::from_parts(replace(&mut incoming.parts, nothing), take(&mut incoming.body)))
    }
}

/// A function that answers requests with what it takes from them: a tuple `A`.
pub trait Handle<A> {
    /// Whether one of the arguments is made of the body.
    const READS_BODY: bool;

    /// Takes the arguments and calls the function.
    fn answer(&self, incoming: &mut Incoming) -> Answering;
}

impl<F, R> Handle<()> for F
where
    F: Fn() -> R,
    R: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    const READS_BODY: bool = false;

    fn answer(&self, _: &mut Incoming) -> Answering {
        Answering(Box::pin(self()))
    }
}

macro_rules! handle {
    ($($argument:ident)+) => {
        impl<F, R, $($argument),+> Handle<($($argument,)+)> for F
        where
            F: Fn($($argument),+) -> R,
            R: Future<Output = Result<Response, Failure>> + Send + 'static,
            $($argument: Take,)+
        {
            const READS_BODY: bool = $($argument::READS_BODY)||+;

            #[expect(non_snake_case, reason = "each argument is named like its type")]
            fn answer(&self, incoming: &mut Incoming) -> Answering {
                $(let $argument = match $argument::take(incoming) {
                    Ok(value) => value,
                    Err(failure) => return Answering::refused(failure),
                };)+
                Answering(Box::pin(self($($argument),+)))
            }
        }
    };
}
handle!(A);
handle!(A B);
handle!(A B C);
handle!(A B C D);
handle!(A B C D E);

/// A handler as the router knows it.
#[derive(Clone, Copy)]
pub struct Endpoint {
    reads_body: bool,
    answer: fn(&mut Incoming) -> Answering,
}

impl Endpoint {
    /// The handler that `answer` calls, which is `_handler`; for [`endpoint!`].
    pub const fn new<A, H: Handle<A> + Copy>(_handler: H, answer: fn(&mut Incoming) -> Answering) -> Self {
        Self { reads_body: H::READS_BODY, answer }
    }
}

impl Handler<Self, ()> for Endpoint {
    type Future = Answering;

    fn call(self, request: Request, (): ()) -> Answering {
        let mut incoming = Incoming::new(request);
        if !self.reads_body {
            return (self.answer)(&mut incoming);
        }
        Answering(Box::pin(async move {
            incoming.bytes = read_body(take(&mut incoming.body), MAX_BODY_BYTES).await;
            (self.answer)(&mut incoming).0.await
        }))
    }
}

/// A handler as an [`Endpoint`].
macro_rules! endpoint {
    ($handler:path) => {
        $crate::http::kit::handler::Endpoint::new($handler, |incoming| {
            $crate::http::kit::handler::Handle::answer(&$handler, incoming)
        })
    };
}
pub(crate) use endpoint;
