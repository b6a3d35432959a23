//! `PUT /api/packages/{vendor}/{name}/versions/{version}`: publishing a zip.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use multer::{Constraints, Multipart, SizeLimit};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::composer::shapes::Zip;
use crate::http::extract::PathOf;
use crate::http::management::ErrorBody;
use crate::http::reply::with_status;
use crate::http::session::Session;
use crate::registry::access::scope::Scope;
use crate::registry::failure::Failure;
use crate::registry::uploads::{self, Room, UploadAddress, Uploaded, too_large};

/// What a form says around its zip: headers, boundaries, small fields.
const FORM_BYTES: usize = 64 << 10;

/// A version that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedView {
    /// The version's id.
    id: String,
    name: String,
    version: String,
    normalized_version: String,
    /// SHA-1 of the zip: what lock files name the version by, and Composer's checksum.
    reference: String,
    /// SHA-256 of the zip.
    sha256: String,
    /// Bytes of the zip.
    size: i64,
}

impl From<Uploaded> for UploadedView {
    fn from(uploaded: Uploaded) -> Self {
        Self {
            id: uploaded.uid,
            name: uploaded.name.as_str().to_owned(),
            version: uploaded.pretty,
            normalized_version: uploaded.normalized.as_str().to_owned(),
            reference: uploaded.artifact.sha1,
            sha256: uploaded.artifact.sha256,
            size: uploaded.artifact.size,
        }
    }
}

/// Publishes a zip as a version of a package. The zip is the body (`curl -T package.zip`), or the one file of a form.
/// Its composer.json, at the top or in the only top-level directory, must state the same name, and the same version if
/// it states one. What is published stays as it is: the same zip again changes nothing, another one is refused.
#[utoipa::path(
    put,
    path = "/packages/{vendor}/{name}/versions/{version}",
    tag = "artifacts",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("name" = String, Path, description = "The package's name without its vendor"),
        ("version" = String, Path, description = "The version: `1.2.0`, `v2.0.0-beta1`, `dev-main`")
    ),
    request_body(
        description = "The zip, of at most 32 MiB",
        content((Zip = "application/zip"), (Zip = "application/octet-stream"), (ZipForm = "multipart/form-data"))
    ),
    responses(
        (status = 200, description = "It is published already, with these very bytes", body = UploadedView),
        (status = 201, description = "Published", body = UploadedView),
        (status = 400, description = "The zip, its composer.json or the address will not do", body = ErrorBody),
        (status = 403, description = "The token lacks `packages:write`, or does not cover the version", body = ErrorBody),
        (status = 409, description = "The version has other bytes, or the name belongs to a repository", body = ErrorBody),
        (status = 502, description = "Too many large zips at once; try again", body = ErrorBody)
    )
)]
pub async fn upload_version(
    session: Session,
    PathOf((vendor, name, version)): PathOf<(String, String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let by = session.actor(Scope::PackagesWrite).await?;
    let now = session.app.now();
    let address = UploadAddress::parse(&by.view, &format!("{vendor}/{name}"), &version, now)?;
    let room = uploads::wait_for_room(&session.app, announced(request.headers())).await?;
    let zip = read_zip(request, &room).await?;
    let uploaded = uploads::publish(&session.app, &by, address, zip).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(with_status(status, &UploadedView::from(uploaded)))
}

/// A form with a zip.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form")]
pub struct ZipForm {
    /// The zip.
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// How long the body says it is.
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The zip in a request: the body, or the one file of a form.
pub async fn read_zip(request: Request, room: &Room) -> Result<Bytes, Failure> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
    let boundary = is_form.then(|| multer::parse_boundary(content_type)).transpose();
    let boundary = boundary.map_err(|error| Failure::invalid(format!("The form cannot be read: {error}")))?;
    let expected = announced(request.headers()).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    let mut zip = Gathering { bytes: Vec::with_capacity(expected.min(room.bytes)), limit: room.bytes };
    match boundary {
        Some(boundary) => read_form(request.into_body(), boundary, &mut zip).await?,
        None => read_body(request.into_body(), &mut zip).await?,
    }
    if zip.bytes.is_empty() {
        return Err(Failure::invalid("The request holds no zip. Send it as the body: `curl -T package.zip …`."));
    }
    Ok(Bytes::from(zip.bytes))
}

/// A zip as it comes in.
struct Gathering {
    bytes: Vec<u8>,
    limit: usize,
}

impl Gathering {
    fn add(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + piece.len() > self.limit {
            return Err(too_large());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

async fn read_body(mut body: Body, zip: &mut Gathering) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::invalid(format!("The request body broke off: {error}")))?;
        if let Ok(piece) = frame.into_data() {
            zip.add(&piece)?;
        }
    }
    Ok(())
}

async fn read_form(body: Body, boundary: String, zip: &mut Gathering) -> Result<(), Failure> {
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
        while let Some(piece) = field.chunk().await.map_err(unreadable)? {
            zip.add(&piece)?;
        }
    }
    Ok(())
}
