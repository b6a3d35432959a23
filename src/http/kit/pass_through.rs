//! Streaming responses, of which a port's stream passes through untouched.
//!
//! Such a response carries the stream twice: as an ordinary body, which works everywhere, and as an extension, from
//! which the bridge to the runtime takes the runtime's own stream before anybody has read from it.

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
    let mut response = http::Response::new(Body::new(ChunkedBody::Waiting(shared.clone())));
    response.extensions_mut().insert(shared);
    response
}

/// A response whose body is a stream that we write ourselves, which is read as one.
pub fn streamed(stream: Box<dyn ByteStream>) -> http::Response<Body> {
    http::Response::new(Body::new(ChunkedBody::Idle(stream)))
}

/// The stream, and the chunk that it yielded.
type ChunkState = (Box<dyn ByteStream>, Option<Result<Bytes, Fault>>);

/// A port's stream as an HTTP body.
enum ChunkedBody {
    /// Nobody has read yet.
    Waiting(PassThrough),
    /// Between two chunks.
    Idle(Box<dyn ByteStream>),
    /// The next chunk is being read.
    Reading(BoxFuture<'static, ChunkState>),
    /// Everything was read.
    Done,
}

impl http_body::Body for ChunkedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            *self = match std::mem::replace(&mut *self, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Waiting(shared) => shared.take().map_or(Self::Done, Self::Idle),
                Self::Idle(mut stream) => Self::Reading(Box::pin(async move {
                    let chunk = stream.next_chunk().await;
                    (stream, chunk)
                })),
                Self::Reading(mut state) => match state.as_mut().poll(context) {
                    Poll::Pending => {
                        *self = Self::Reading(state);
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
