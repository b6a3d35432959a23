//! The zip in a request: its body, or the one file of a form.

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use multer::{Constraints, Multipart, SizeLimit};
use utoipa::ToSchema;

use crate::registry::kernel::failure::Failure;
use crate::registry::sources::uploads::{UploadPermit, too_large};

/// Most bytes of a form around its zip: headers and boundaries.
const FORM_BYTES: usize = 64 << 10;

/// A zip.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Zip(());

/// A form with a zip.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form")]
pub struct ZipForm {
    /// The zip.
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// The `Content-Length` of a request.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The zip in a request: the body, or the one file of a form.
pub async fn read_zip(request: Request, permit: &UploadPermit) -> Result<Bytes, Failure> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
    let boundary = is_form.then(|| multer::parse_boundary(content_type)).transpose();
    let boundary = boundary.map_err(|error| Failure::invalid(format!("The form cannot be read: {error}")))?;
    let expected = content_length(request.headers()).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    let mut zip = ZipBuffer { bytes: Vec::with_capacity(expected.min(permit.bytes)), limit: permit.bytes };
    match boundary {
        Some(boundary) => read_form(request.into_body(), boundary, &mut zip).await?,
        None => read_whole_body(request.into_body(), &mut zip).await?,
    }
    if zip.bytes.is_empty() {
        return Err(Failure::invalid("The request holds no zip. Send it as the body: `curl -T package.zip …`."));
    }
    Ok(Bytes::from(zip.bytes))
}

/// The part of a zip that has been received.
struct ZipBuffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl ZipBuffer {
    fn add(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + chunk.len() > self.limit {
            return Err(too_large());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

async fn read_whole_body(mut body: Body, zip: &mut ZipBuffer) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::invalid(format!("The request body broke off: {error}")))?;
        if let Ok(chunk) = frame.into_data() {
            zip.add(&chunk)?;
        }
    }
    Ok(())
}

async fn read_form(body: Body, boundary: String, zip: &mut ZipBuffer) -> Result<(), Failure> {
    let unreadable = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { .. } => too_large(),
        error => Failure::invalid(format!("The form cannot be read: {error}")),
    };
    let whole = u64::try_from(zip.limit + FORM_BYTES).unwrap_or(u64::MAX);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(whole));
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut is_first = true;
    while let Some(mut field) = form.next_field().await.map_err(unreadable)? {
        if field.file_name().is_none() || !is_first {
            let name = field.name().unwrap_or_default().escape_default().to_string();
            return Err(Failure::invalid_field(&name, "the form holds one file, the zip, and nothing else"));
        }
        is_first = false;
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            zip.add(&chunk)?;
        }
    }
    Ok(())
}
