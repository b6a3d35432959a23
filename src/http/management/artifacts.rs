//! `/api/artifacts`: the zips, and the removal of old uploads.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::JsonBody;
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, PackagesWrite};
use crate::http::kit::response::ok;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::artifacts::{self, Cleanup, CleanupSpec};
use crate::store::sources::artifacts::{ArtifactFilter, ArtifactRow, UploadedVersion, Use};

/// A zip.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArtifactView {
    sha256: String,
    /// Composer's checksum.
    sha1: String,
    /// Bytes.
    size: i64,
    /// The versions that need it; lock files may name earlier commits of a branch, which count too.
    versions: Vec<UseView>,
    /// Unix seconds of when it was stored last.
    created_at: i64,
}

/// A version that needs a zip.
#[derive(Debug, Serialize, ToSchema)]
struct UseView {
    name: String,
    version: String,
}

impl From<Use> for UseView {
    fn from(used: Use) -> Self {
        Self { name: used.name, version: used.pretty.into_string() }
    }
}

impl From<ArtifactRow> for ArtifactView {
    fn from(row: ArtifactRow) -> Self {
        Self {
            sha256: row.sha256,
            sha1: row.sha1.into_string(),
            size: row.size,
            versions: row.uses.into_iter().map(UseView::from).collect(),
            created_at: row.created_at.seconds(),
        }
    }
}

/// Which zips are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ArtifactsQuery {
    /// Only those of the package of this name
    package: Option<String>,
    /// Those that nobody needs
    unused: Option<bool>,
}

impl ArtifactsQuery {
    fn store_filter(&self) -> Result<ArtifactFilter<'_>, Failure> {
        match (self.package.as_deref(), self.unused) {
            (Some(_), Some(true)) => {
                Err(Failure::invalid_field("unused", "cannot be asked for together with `package`"))
            }
            (Some(package), _) => Ok(ArtifactFilter::UsedBy(package)),
            (None, Some(true)) => Ok(ArtifactFilter::Unused),
            (None, _) => Ok(ArtifactFilter::Used),
        }
    }
}

/// The zips that visible versions need, the latest first. Those that nobody needs (`unused=true`) are removed by
/// themselves, an hour after they were stored at the earliest; only a token for all packages is shown them.
#[utoipa::path(
    get,
    path = "/artifacts",
    tag = "artifacts",
    params(ArtifactsQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<ArtifactView>)
    )
)]
pub async fn list_artifacts(
    auth: RequestAuth<PackagesRead>,
    query: Result<ListQuery<ArtifactsQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let (rows, total) = artifacts::list(auth.app(), &view, filter.store_filter()?, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(ArtifactView::from), total))
}

/// Which uploaded versions are to go; of `keep_versions` and `older_than_days` one is needed.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"package": "acme/*", "keep_versions": 10, "older_than_days": 365, "dry_run": true}))]
pub struct CleanupRequest {
    /// Whether the response only reports what would be removed; true by default.
    dry_run: Option<bool>,
    /// How many of a package's newest versions stay; 1 when only an age is given.
    #[schema(minimum = 0)]
    keep_versions: Option<u32>,
    /// Only versions that were uploaded longer ago.
    #[schema(minimum = 0)]
    older_than_days: Option<u32>,
    /// Only packages that match; `*` stands for any characters. Every package by default.
    package: Option<String>,
}

impl From<CleanupRequest> for CleanupSpec {
    fn from(request: CleanupRequest) -> Self {
        Self {
            dry_run: request.dry_run.unwrap_or(true),
            keep_versions: request.keep_versions.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            older_than_days: request.older_than_days,
            package: request.package.unwrap_or_else(|| "*".to_owned()),
        }
    }
}

/// What was removed, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct CleanupView {
    /// Whether nothing was removed.
    dry_run: bool,
    versions: Vec<CleanedView>,
    /// Zips that nobody needs then; they leave the store after 30 days, as long as the database can be restored.
    zips: usize,
    /// Their bytes.
    bytes: i64,
    /// Whether there is more to remove: ask again.
    more: bool,
}

/// A version that was removed, or would be.
#[derive(Debug, Serialize, ToSchema)]
struct CleanedView {
    name: String,
    version: String,
    /// Bytes of its zip.
    size: i64,
    /// Unix seconds.
    released_at: i64,
}

impl From<UploadedVersion> for CleanedView {
    fn from(row: UploadedVersion) -> Self {
        Self {
            name: row.name,
            version: row.pretty.into_string(),
            size: row.size,
            released_at: row.released.at.seconds(),
        }
    }
}

impl CleanupView {
    fn new(cleanup: Cleanup, dry_run: bool) -> Self {
        Self {
            dry_run,
            versions: cleanup.versions.into_iter().map(CleanedView::from).collect(),
            zips: cleanup.zips,
            bytes: cleanup.bytes,
            more: cleanup.more,
        }
    }
}

/// Deletes old uploaded versions, or reports which it would delete: at most ten packages' a call. What comes from a
/// repository stays.
#[utoipa::path(
    post,
    path = "/artifacts/cleanup",
    tag = "artifacts",
    request_body = CleanupRequest,
    responses(
        (status = 200, description = "What was deleted, or would be", body = CleanupView),
        (status = 400, description = "A field is wrong, unknown or missing"),
        (status = 409, description = "Others keep publishing one of the packages")
    )
)]
pub async fn clean_up_artifacts(
    auth: RequestAuth<PackagesWrite>,
    body: Result<JsonBody<CleanupRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let spec = CleanupSpec::from(request);
    let cleanup = artifacts::clean_up(auth.app(), &actor, &spec).await?;
    Ok(ok(&CleanupView::new(cleanup, spec.dry_run)))
}
