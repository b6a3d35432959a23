//! Receiving the body of a request: within the isolate's memory for bodies, and at a pace.
//!
//! A body is received only for who may send it: its caller is authenticated first, by
//! [`crate::http::kit::handler::Endpoint`] or by the handler.

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http_body_util::BodyExt;

use crate::registry::kernel::app::App;
use crate::registry::kernel::body_budget::Reservation;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::pace::{Pace, TooSlow};

/// Most bytes of a JSON body.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Most bytes of a JSON body that everybody may send: of a login, an invitation, a reset, each some hundred bytes.
pub const MAX_PUBLIC_BODY_BYTES: usize = 8 << 10;

/// What a browser says of every request (Fetch Metadata): from whose page it comes.
pub const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The `Content-Length` of a request.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that is being received.
pub struct Reception<'a> {
    app: &'a App,
    pace: Pace,
    memory: Reservation,
}

impl<'a> Reception<'a> {
    /// Waits for the memory of a body of which `bytes` are in memory at a time.
    pub async fn begin(app: &'a App, bytes: usize) -> Result<Self, Failure> {
        let memory = Reservation::of(app, bytes).await?;
        Ok(Self { app, pace: Pace::of_client(app), memory })
    }

    /// What `next` waits for, unless it comes too slowly.
    pub async fn wait<T>(&self, next: impl Future<Output = T>) -> Result<T, Failure> {
        self.pace.hold(&*self.app.ports.clock, next).await.map_err(too_slow)
    }

    /// Notes that `bytes` have come.
    pub fn note(&mut self, bytes: usize) {
        self.pace.note(bytes);
        self.memory.renew(self.app.now());
    }

    /// The next piece of `body`.
    pub async fn next_piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.wait(body.frame()).await? {
            let frame = frame.map_err(|error| Failure::invalid(format!("The request body broke off: {error}")))?;
            if let Ok(piece) = frame.into_data() {
                self.note(piece.len());
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

fn too_slow(reason: TooSlow) -> Failure {
    Failure::new(Kind::RequestTimeout, format!("The request body was not received: {reason}. Send it again."))
}

/// A body that is in memory as a whole.
pub struct ReceivedBody {
    /// It.
    pub bytes: Vec<u8>,
    /// Its memory, to be given back when the request is answered.
    pub memory: Reservation,
}

/// Receives a body of at most `limit` bytes.
///
/// # Errors
/// `Invalid` when it is larger or breaks off, `RequestTimeout` when it comes too slowly, `Busy` when there is no memory.
pub async fn receive(app: &App, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<ReceivedBody, Failure> {
    let too_large = || Failure::invalid(format!("The request body is larger than {limit} bytes."));
    let announced = content_length(headers).map_or(Some(limit), |bytes| usize::try_from(bytes).ok());
    let expected = announced.filter(|bytes| *bytes <= limit).ok_or_else(too_large)?;
    let mut reception = Reception::begin(app, expected).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reception.next_piece(&mut body).await? {
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(ReceivedBody { bytes, memory: reception.memory })
}

/// Receives the body of a request whose handler does so itself, of at most `limit` bytes; see [`receive`].
pub async fn receive_from(app: &App, request: Request, limit: usize) -> Result<ReceivedBody, Failure> {
    let (parts, body) = request.into_parts();
    receive(app, &parts.headers, body, limit).await
}

/// Checks that a browser says of a body that it is JSON. A page of another site can have it send any other type without
/// asking us first, and nothing else of ours sends one.
pub fn check_json_type(headers: &HeaderMap) -> Result<(), Failure> {
    let is_browser = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !is_browser || essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let detail = "A browser has to send this body as JSON: with the header `Content-Type: application/json`.";
    Err(Failure::new(Kind::UnsupportedMediaType, detail))
}
