//! What a handler is: an async function of up to five arguments, each [`Take`]n from the request, whose result is an
//! answer.
//!
//! axum would make every handler a type of its own all the way down: its extractors, its service, its route. Here
//! all of that is made once, for [`Endpoint`]; a handler adds nothing but taking its arguments and itself. That is half
//! the size, and one box less on the way of every request.

use std::future::ready;
use std::mem::take;

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::http::extract::{MAX_BODY_BYTES, read_body};
use crate::ports::BoxFuture;
use crate::registry::failure::Failure;

/// The answer of a handler, on its way.
pub type Answering = BoxFuture<'static, Response>;

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

    /// The body, for an argument that says [`Take::READS_BODY`]; of others it is empty.
    pub fn body(&mut self) -> Result<Vec<u8>, Failure> {
        std::mem::replace(&mut self.bytes, Ok(Vec::new()))
    }
}

/// What a handler may take from a request. It waits for nothing: a body is there before.
pub trait Take: Sized {
    /// Whether the body, of at most [`MAX_BODY_BYTES`], is to be read before.
    const READS_BODY: bool = false;

    /// Takes it. A failure is the answer to the request.
    fn take(incoming: &mut Incoming) -> Result<Self, Failure>;
}

/// The failure is the handler's to answer with, when it has looked at who asks.
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

/// All that is left, the body unread; so it comes last.
impl Take for Request {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let (nothing, ()) = http::Request::new(()).into_parts();
        let parts = std::mem::replace(&mut incoming.parts, nothing);
        Ok(Self::from_parts(parts, take(&mut incoming.body)))
    }
}

/// A function that answers requests with what it takes from them; `A` is a tuple of what that is.
pub trait Handle<A>: Sized {
    /// Whether one of the arguments is made of the body.
    const READS_BODY: bool;

    /// Takes the arguments and calls the function.
    fn answer(self, incoming: &mut Incoming) -> Answering;
}

fn refused(failure: Failure) -> Answering {
    Box::pin(ready(failure.into_response()))
}

macro_rules! handle {
    ($($argument:ident)*) => {
        impl<F, R, $($argument),*> Handle<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> R,
            R: Future<Output: IntoResponse> + Send + 'static,
            $($argument: Take,)*
        {
            const READS_BODY: bool = false $(|| $argument::READS_BODY)*;

            #[expect(non_snake_case, reason = "one name for the type and the value")]
            fn answer(self, incoming: &mut Incoming) -> Answering {
                $(let $argument = match $argument::take(incoming) {
                    Ok(value) => value,
                    Err(failure) => return refused(failure),
                };)*
                let answer = self($($argument),*);
                Box::pin(async move { answer.await.into_response() })
            }
        }
    };
}
handle!();
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
    /// The handler that `answer` calls; `_handler` is the same one. For [`endpoint!`].
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
        Box::pin(async move {
            incoming.bytes = read_body(take(&mut incoming.body), MAX_BODY_BYTES).await;
            (self.answer)(&mut incoming).await
        })
    }
}

/// A handler as an [`Endpoint`].
macro_rules! endpoint {
    ($handler:path) => {
        $crate::http::handler::Endpoint::new($handler, |incoming| {
            $crate::http::handler::Handle::answer($handler, incoming)
        })
    };
}
pub(crate) use endpoint;
