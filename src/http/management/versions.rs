//! `/api/packages/{id}/versions`, and the texts of a version.

use axum::response::{IntoResponse, Response};
use composer::NormalizedVersion;
use composer::Shasum;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{PathParams, StrictQuery};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, PackagesWrite};
use crate::http::kit::response::{Done, message, ok};
use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::manage_versions::{VersionChange, change_version};
use crate::registry::packages::read;
use crate::registry::packages::released::undated;
use crate::registry::packages::revise::ManagedBy;
use crate::store::packages::remarks::{Remark, RemarkKind};
use crate::store::packages::versions::VersionRow;

/// A version of a package.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    id: String,
    version: String,
    normalized_version: String,
    /// `stable`, `RC`, `beta`, `alpha` or `dev`.
    stability: &'static str,
    /// Commit id, or SHA-1 of the uploaded zip.
    reference: String,
    default_branch: bool,
    /// Whether it was taken out of the metadata; lock files that name it still work.
    yanked: bool,
    /// Unix seconds.
    yanked_at: Option<i64>,
    /// SHA-1 of its zip, once that is built.
    shasum: Option<String>,
    /// Bytes of its zip, once that is built.
    size: Option<i64>,
    /// Why its zip cannot be built.
    dist_error: Option<String>,
    /// README, CHANGELOG and licence files that it has.
    files: Vec<String>,
    /// What operators should know of it.
    remarks: Vec<RemarkView>,
    /// Unix seconds; what `updates_until` of grants goes by.
    released_at: i64,
    /// Whether grants let it through whose `updates_until` ended before it was released.
    security_fix: bool,
}

impl From<VersionRow> for VersionView {
    fn from(row: VersionRow) -> Self {
        let undated = row.is_undated.then(|| undated(row.released.at));
        Self {
            id: row.uid,
            stability: NormalizedVersion::from_stored(row.normalized.clone()).stability().as_str(),
            version: row.pretty.into_string(),
            normalized_version: row.normalized,
            reference: row.reference.into_string(),
            default_branch: row.is_default_branch,
            yanked: row.yanked_at.is_some(),
            yanked_at: row.yanked_at.map(Millis::seconds),
            shasum: row.shasum.map(Shasum::into_string),
            size: row.size,
            dist_error: row.dist_error,
            files: row.files.into_iter().map(|(_, name)| name).collect(),
            remarks: row.remarks.into_iter().chain(undated).map(RemarkView::from).collect(),
            released_at: row.released.at.seconds(),
            security_fix: row.released.security_fix,
        }
    }
}

/// What operators should know of a version or of the ref that it comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemarkView {
    /// `moved_tag`, `lower_cased_name`, `renamed`, `lost_files`, `lfs_pointers`, `submodules`, `case_collisions`,
    /// `unconverted`, `unzippable`, `host_zip`, `unusable_dist`, `unreachable_dist`, `unsafe_zip` or `undated`.
    #[schema(value_type = String)]
    kind: RemarkKind,
    /// Whole sentences.
    text: String,
}

impl From<Remark> for RemarkView {
    fn from(Remark { kind, text }: Remark) -> Self {
        Self { kind, text }
    }
}

/// A version with what it requires.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequiringVersionView {
    #[serde(flatten)]
    version: VersionView,
    /// Package → constraint.
    #[schema(value_type = Object)]
    require: Map<String, Value>,
}

/// A version with its composer.json.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionDetails {
    #[serde(flatten)]
    version: RequiringVersionView,
    /// composer.json, as its author wrote it.
    #[schema(value_type = Object)]
    composer: Map<String, Value>,
}

impl From<VersionRow> for VersionDetails {
    fn from(mut row: VersionRow) -> Self {
        let manifest = row.manifest.take().unwrap_or_default();
        let composer: Map<String, Value> = serde_json::from_str(&manifest).unwrap_or_default();
        let require = composer.get("require").and_then(Value::as_object).cloned().unwrap_or_default();
        Self { version: RequiringVersionView { version: row.into(), require }, composer }
    }
}

/// The visible versions of a package, newest first, the yanked ones among them.
#[utoipa::path(
    get,
    path = "/packages/{id}/versions",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<RequiringVersionView>),
        (status = 404, description = "No such package")
    )
)]
pub async fn list_versions(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = read::version_page(auth.app(), &view, &id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(|row| VersionDetails::from(row).version), total))
}

/// One version with its composer.json.
#[utoipa::path(
    get,
    path = "/packages/{id}/versions/{version}",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        ("version" = String, Path, description = "The version")
    ),
    responses(
        (status = 200, description = "The version", body = VersionDetails),
        (status = 404, description = "No such package or version")
    )
)]
pub async fn get_version(
    auth: RequestAuth<PackagesRead>,
    PathParams([id, version]): PathParams<2>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let row = read::version(auth.app(), &view, &id, &version).await?;
    Ok(ok(&VersionDetails::from(row)))
}

/// Changes a version, and responds with the version as it is then.
async fn change_and_show(
    auth: &RequestAuth<PackagesWrite>,
    [id, version]: [String; 2],
    change: VersionChange,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    change_version(auth.app(), &actor, ManagedBy::Operator, &id, &version, change).await?;
    let row = read::version(auth.app(), &actor.view, &id, &version).await?;
    Ok(ok(&VersionDetails::from(row)))
}

/// Takes a version out of the metadata: nobody comes to require it any more. Whoever has it in a lock file goes on
/// downloading it. A yanked version stays yanked whatever a sync finds.
#[utoipa::path(
    post,
    path = "/packages/{id}/versions/{version}/yank",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        ("version" = String, Path, description = "The version")
    ),
    responses(
        (status = 200, description = "The version, yanked", body = VersionDetails),
        (status = 404, description = "No such package or version"),
        (status = 409, description = "The package is mirrored")
    )
)]
pub async fn yank_version(
    auth: RequestAuth<PackagesWrite>,
    PathParams(address): PathParams<2>,
) -> Result<Response, Failure> {
    change_and_show(&auth, address, VersionChange::Yank).await
}

/// Puts a yanked version back into the metadata.
#[utoipa::path(
    post,
    path = "/packages/{id}/versions/{version}/unyank",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        ("version" = String, Path, description = "The version")
    ),
    responses(
        (status = 200, description = "The version, as it was before it was yanked", body = VersionDetails),
        (status = 404, description = "No such package or version"),
        (status = 409, description = "The package is mirrored")
    )
)]
pub async fn unyank_version(
    auth: RequestAuth<PackagesWrite>,
    PathParams(address): PathParams<2>,
) -> Result<Response, Failure> {
    change_and_show(&auth, address, VersionChange::Unyank).await
}

/// Deletes an uploaded version: nobody can download it any more, and its number is free again. With the last version,
/// the package goes. To keep lock files working, yank it instead.
#[utoipa::path(
    delete,
    path = "/packages/{id}/versions/{version}",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        ("version" = String, Path, description = "The version")
    ),
    responses(
        (status = 200, description = "Deleted", body = Done),
        (status = 404, description = "No such package or version"),
        (status = 409, description = "It comes from a repository, whose next sync would bring it back")
    )
)]
pub async fn delete_version(
    auth: RequestAuth<PackagesWrite>,
    PathParams([id, version]): PathParams<2>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    change_version(auth.app(), &actor, ManagedBy::Operator, &id, &version, VersionChange::Delete).await?;
    Ok(message("Version deleted"))
}

/// Whose text is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TextQuery {
    /// The latest by default
    version: Option<String>,
}

/// A text with its version.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextView {
    version: String,
    /// The file's name.
    name: String,
    /// The text.
    content: String,
}

async fn text_response(
    auth: &RequestAuth<PackagesRead>,
    id: &str,
    query: Result<StrictQuery<TextQuery>, Failure>,
    headers: &HeaderMap,
    kind: &'static str,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let StrictQuery(query) = query?;
    let (version, text) = read::text(auth.app(), &view, id, query.version.as_deref(), kind).await?;
    let wants_json = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|range| range.split(';').next().unwrap_or_default().trim() == "application/json")
    });
    let mut response = if wants_json {
        ok(&TextView { version, name: text.name, content: text.content })
    } else {
        let kind = text.name.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase());
        let is_markdown = matches!(kind.as_deref(), None | Some("md" | "markdown"));
        let media_type = if is_markdown { "text/markdown; charset=utf-8" } else { "text/plain; charset=utf-8" };
        ([(CONTENT_TYPE, HeaderValue::from_static(media_type))], text.content).into_response()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Authorization"));
    Ok(response)
}

/// The README of a version, as its author wrote it; as JSON with version and file name when `Accept` asks for that.
#[utoipa::path(
    get,
    path = "/packages/{id}/readme",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        TextQuery
    ),
    responses(
        (
            status = 200,
            description = "The text; `text/plain` when the file is no Markdown",
            content((String = "text/markdown"), (String = "text/plain"), (TextView = "application/json"))
        ),
        (status = 404, description = "No such package or version, or it has no README")
    )
)]
pub async fn get_readme(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
    headers: HeaderMap,
    query: Result<StrictQuery<TextQuery>, Failure>,
) -> Result<Response, Failure> {
    text_response(&auth, &id, query, &headers, "readme").await
}

/// The CHANGELOG of a version, in the same forms as the README.
#[utoipa::path(
    get,
    path = "/packages/{id}/changelog",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        TextQuery
    ),
    responses(
        (
            status = 200,
            description = "The text; `text/plain` when the file is no Markdown",
            content((String = "text/markdown"), (String = "text/plain"), (TextView = "application/json"))
        ),
        (status = 404, description = "No such package or version, or it has no CHANGELOG")
    )
)]
pub async fn get_changelog(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
    headers: HeaderMap,
    query: Result<StrictQuery<TextQuery>, Failure>,
) -> Result<Response, Failure> {
    text_response(&auth, &id, query, &headers, "changelog").await
}
