//! `PUT /api/packages/{vendor}/{name}/versions/{version}`: publishing a zip.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{PathParams, StrictQuery};
use crate::http::kit::moment::Moment;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesWrite;
use crate::http::kit::response::with_status;
use crate::http::kit::zip_body::{Zip, ZipForm, receive_zip};
use crate::http::management::versions::RemarkView;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::uploads::address::UploadAddress;
use crate::registry::sources::uploads::{self, Uploaded};

/// A version that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedView {
    /// The version's id.
    id: String,
    name: String,
    /// The version as it is published, which may be spelled otherwise than the address: `1.2.0`, uploaded as `v1.2.0`.
    version: String,
    normalized_version: String,
    /// SHA-1 of the zip: what lock files name the version by, and Composer's checksum.
    reference: String,
    /// SHA-256 of the zip.
    sha256: String,
    /// Bytes of the zip.
    size: i64,
    /// What to know of the zip: paths that differ in case only.
    remarks: Vec<RemarkView>,
}

impl From<Uploaded> for UploadedView {
    fn from(uploaded: Uploaded) -> Self {
        Self {
            id: uploaded.uid,
            name: uploaded.name.as_str().to_owned(),
            version: uploaded.pretty.into_string(),
            normalized_version: uploaded.normalized.as_str().to_owned(),
            reference: uploaded.artifact.sha1.into_string(),
            sha256: uploaded.artifact.sha256,
            size: uploaded.artifact.size,
            remarks: uploaded.remarks.into_iter().map(RemarkView::from).collect(),
        }
    }
}

/// What is said of an upload.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// The date by which the version is sold, for one that was released elsewhere before; not in the future. By default it is
    /// when customers can first have it from here.
    #[param(value_type = Option<String>)]
    released_at: Option<Moment>,
}

/// Publishes a zip as a version of a package. The zip is the body (`curl -T package.zip`), or the one file of a form.
/// Its composer.json, at the top or in the only top-level directory, must state the same name, and the same version if
/// it states one. What is published stays as it is: the same zip again changes nothing, another one is refused. Only a dev
/// version (`dev-main`, `2.x-dev`) takes another zip, as a branch moves on; lock files that name the old one go on getting
/// it.
#[utoipa::path(
    put,
    path = "/packages/{vendor}/{name}/versions/{version}",
    tag = "artifacts",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("name" = String, Path, description = "The package's name without its vendor"),
        ("version" = String, Path, description = "The version: `1.2.0`, `v2.0.0-beta1`, `dev-main`"),
        UploadQuery
    ),
    request_body(
        description = "The zip, of at most 32 MiB",
        content((Zip = "application/zip"), (Zip = "application/octet-stream"), (ZipForm = "multipart/form-data"))
    ),
    responses(
        (status = 200, description = "It is published already, with these very bytes", body = UploadedView),
        (status = 201, description = "Published", body = UploadedView),
        (status = 400, description = "The zip, its composer.json or the address will not do"),
        (status = 403, description = "or does not cover the version"),
        (status = 409, description = "The version is no dev version and has other bytes, or the name belongs to a repository"),
        (status = 502, description = "Archives are being built at the same time; try again")
    )
)]
pub async fn upload_version(
    auth: RequestAuth<PackagesWrite>,
    PathParams([vendor, name, version]): PathParams<3>,
    query: Result<StrictQuery<UploadQuery>, Failure>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let released_at = query?.0.released_at.map(|Moment(moment)| moment);
    let now = auth.app().now();
    let address = UploadAddress::parse(&actor.view, &format!("{vendor}/{name}"), &version, now)?;
    let address = address.released(released_at, now)?;
    let zip = receive_zip(auth.app(), &actor, request).await?;
    let uploaded = uploads::publish(auth.app(), &actor, address, zip).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(with_status(status, &UploadedView::from(uploaded)))
}
