//! How a handler hands a port's own stream to the last step of a response.
//!
//! The response carries the stream twice: as an ordinary body, so that it works wherever a body works, and as an
//! extension, so that the bridge to the runtime can take the runtime's stream out before anybody has read from it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;

use crate::ports::{BoxFuture, ByteStream, Fault};

/// The stream behind a response's body, for as long as nobody has taken it.
#[derive(Clone)]
pub struct PassThrough(Arc<Mutex<Option<Box<dyn ByteStream>>>>);

impl PassThrough {
    /// Takes the stream; the response's body is empty from then on.
    pub fn take(&self) -> Option<Box<dyn ByteStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A response whose body is `stream`.
pub fn pass_through(stream: Box<dyn ByteStream>) -> http::Response<Body> {
    let shared = PassThrough(Arc::new(Mutex::new(Some(stream))));
    let mut response = http::Response::new(Body::new(Piecewise::Waiting(shared.clone())));
    response.extensions_mut().insert(shared);
    response
}

/// The stream and what it said.
type Turn = (Box<dyn ByteStream>, Option<Result<Bytes, Fault>>);

/// A port's stream as an HTTP body.
enum Piecewise {
    /// Nobody has read yet.
    Waiting(PassThrough),
    /// Between two pieces.
    Idle(Box<dyn ByteStream>),
    /// The next piece is on its way.
    Reading(BoxFuture<'static, Turn>),
    /// Everything was read.
    Done,
}

impl http_body::Body for Piecewise {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            *self = match std::mem::replace(&mut *self, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Waiting(shared) => shared.take().map_or(Self::Done, Self::Idle),
                Self::Idle(mut stream) => Self::Reading(Box::pin(async move {
                    let piece = stream.next_chunk().await;
                    (stream, piece)
                })),
                Self::Reading(mut turn) => match turn.as_mut().poll(context) {
                    Poll::Pending => {
                        *self = Self::Reading(turn);
                        return Poll::Pending;
                    }
                    Poll::Ready((_, None)) => Self::Done,
                    Poll::Ready((_, Some(Err(fault)))) => return Poll::Ready(Some(Err(fault))),
                    Poll::Ready((stream, Some(Ok(bytes)))) => {
                        *self = Self::Idle(stream);
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                },
            };
        }
    }
}
