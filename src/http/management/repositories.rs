//! `/api/repositories`.

use axum::response::{Json, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::extract::{JsonBody, PageQuery, PathOf, StrictQuery};
use crate::http::management::{ErrorBody, list};
use crate::http::session::Session;
use crate::ports::Millis;
use crate::registry::failure::Failure;
use crate::registry::repositories::{self, Credentials, Provider, RepositorySpec, run_status, status};
use crate::registry::tokens::Scope;
use crate::store::repositories::RepositoryRow;
use crate::store::sync_runs::RunRow;

/// A request to register a repository.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "url": "https://github.com/org/repo", "vcs_type": "github", "credential_type": "token",
    "auth_credentials": "ghp_xxx"
}))]
pub struct RepositoryRequest {
    /// https address of the repository, without credentials.
    url: String,
    /// `git` (the default), `github`, `gitlab`, `bitbucket` or `gitea`.
    vcs_type: Option<String>,
    /// `none`, `token` or `basic`; told by the credentials when it is absent.
    credential_type: Option<String>,
    /// The token; or `user:password`; or an object `{token}` or `{username, password}`. Never shown again.
    #[schema(value_type = Option<Value>)]
    auth_credentials: Option<Value>,
    /// The package's directory, when it is not the root of the repository.
    path: Option<String>,
    /// Only tags that match one of these globs become versions.
    tag_filter: Option<Vec<String>>,
    /// Only branches that match one of these globs become versions.
    branch_filter: Option<Vec<String>>,
}

impl TryFrom<RepositoryRequest> for RepositorySpec {
    type Error = Failure;

    fn try_from(request: RepositoryRequest) -> Result<Self, Failure> {
        let provider = match request.vcs_type.as_deref() {
            None => Provider::Git,
            Some(name) => Provider::parse(name).ok_or_else(|| {
                let detail =
                    format!("`{}` is none of `git`, `github`, `gitlab`, `bitbucket`, `gitea`", name.escape_default());
                Failure::invalid_field("vcs_type", detail)
            })?,
        };
        let credentials = Credentials::read(request.credential_type.as_deref(), request.auth_credentials.as_ref())?;
        Ok(Self {
            url: request.url,
            provider,
            credentials,
            path: request.path,
            tag_filter: request.tag_filter,
            branch_filter: request.branch_filter,
        })
    }
}

/// A repository, without its credentials.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepositoryView {
    id: String,
    url: String,
    /// `git`: packages come from a git repository.
    kind: String,
    /// As it was given.
    vcs_type: String,
    /// The host's kind.
    provider: String,
    credential_type: String,
    path: Option<String>,
    tag_filter: Option<Vec<String>>,
    branch_filter: Option<Vec<String>>,
    /// The package it publishes.
    package: Option<String>,
    /// `pending`, `syncing`, `ok` or `failed`.
    sync_status: &'static str,
    /// Unix seconds of the last sync that went through.
    last_synced_at: Option<i64>,
    /// Why the last sync failed.
    error: Option<String>,
    /// Unix seconds.
    created_at: i64,
}

impl RepositoryView {
    fn new(row: RepositoryRow, now: Millis) -> Self {
        let (sync_status, error) = status(&row, now);
        let (sync_status, error) = (sync_status.as_str(), error.map(str::to_owned));
        let globs = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            id: row.uid,
            url: row.url,
            kind: row.kind,
            vcs_type: row.provider.clone(),
            provider: row.provider,
            credential_type: row.credential_type,
            path: Some(row.path).filter(|path| !path.is_empty()),
            tag_filter: globs(row.tag_filter),
            branch_filter: globs(row.branch_filter),
            package: row.package_name,
            sync_status,
            last_synced_at: row.last_run.last_synced_at.map(Millis::seconds),
            error,
            created_at: row.created_at.seconds(),
        }
    }
}

/// One sync of a repository.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRunView {
    id: String,
    /// `syncing`, `ok` or `failed`.
    status: &'static str,
    /// Why it failed.
    error: Option<String>,
    /// Unix seconds.
    started_at: i64,
    /// Unix seconds.
    finished_at: Option<i64>,
    /// Milliseconds from beginning to end.
    duration_ms: Option<i64>,
    /// Requests sent to the git server.
    requests: i64,
    /// Bytes received from it.
    received_bytes: i64,
    /// Versions that appeared.
    added: i64,
    /// Versions whose commit changed.
    changed: i64,
    /// Versions that vanished.
    removed: i64,
    /// Refs that did not become versions.
    skipped: Vec<SkippedView>,
}

/// A ref that did not become a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct SkippedView {
    /// Its full name.
    r#ref: String,
    /// Why.
    reason: String,
}

impl SyncRunView {
    fn new(row: RunRow, now: Millis) -> Self {
        let (status, error) = run_status(&row, now);
        let (status, error) = (status.as_str(), error.map(str::to_owned));
        Self {
            id: row.uid,
            status,
            error,
            started_at: row.started_at.seconds(),
            finished_at: row.finished_at.map(Millis::seconds),
            duration_ms: row.finished_at.map(|end| end.0 - row.started_at.0),
            requests: row.requests,
            received_bytes: row.received_bytes,
            added: row.added,
            changed: row.changed,
            removed: row.removed,
            skipped: row
                .skipped
                .into_iter()
                .map(|skipped| SkippedView { r#ref: skipped.name, reason: skipped.reason })
                .collect(),
        }
    }
}

/// Repositories in the order in which they were registered.
#[utoipa::path(
    get,
    path = "/repositories",
    tag = "repositories",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 1000, 100 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<RepositoryView>),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:read`", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn list_repositories(
    session: Session,
    query: Result<StrictQuery<PageQuery>, Failure>,
) -> Result<Response, Failure> {
    let caller = session.require(Scope::RepositoriesRead).await?;
    let StrictQuery(query) = query?;
    let page = query.page()?;
    let (rows, total) = repositories::list(&session.app, caller.organization_id, page).await?;
    let now = session.app.now();
    Ok(list(rows.into_iter().map(|row| RepositoryView::new(row, now)).collect(), total))
}

/// Registers a repository and asks for its first sync.
#[utoipa::path(
    post,
    path = "/repositories",
    tag = "repositories",
    request_body = RepositoryRequest,
    responses(
        (status = 201, description = "The repository; its sync is pending", body = RepositoryView),
        (status = 400, description = "A field is wrong or unknown", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:write`", body = ErrorBody),
        (status = 409, description = "URL and path are registered already", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn create_repository(
    session: Session,
    body: Result<JsonBody<RepositoryRequest>, Failure>,
) -> Result<(StatusCode, Json<RepositoryView>), Failure> {
    let by = session.actor(Scope::RepositoriesWrite).await?;
    let JsonBody(request) = body?;
    let row = repositories::register(&session.app, &by, request.try_into()?).await?;
    Ok((StatusCode::CREATED, Json(RepositoryView::new(row, session.app.now()))))
}

/// One repository.
#[utoipa::path(
    get,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "The repository", body = RepositoryView),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:read`", body = ErrorBody),
        (status = 404, description = "No such repository", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn get_repository(session: Session, PathOf(id): PathOf<String>) -> Result<Json<RepositoryView>, Failure> {
    let caller = session.require(Scope::RepositoriesRead).await?;
    let row = repositories::get(&session.app, caller.organization_id, &id).await?;
    Ok(Json(RepositoryView::new(row, session.app.now())))
}

/// Removes a repository with its packages: they leave the metadata, and their archives can no longer be downloaded.
#[utoipa::path(
    delete,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "Removed"),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:write`", body = ErrorBody),
        (status = 404, description = "No such repository", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn delete_repository(session: Session, PathOf(id): PathOf<String>) -> Result<Json<Value>, Failure> {
    let by = session.actor(Scope::RepositoriesWrite).await?;
    repositories::remove(&session.app, &by, &id).await?;
    Ok(Json(json!({ "message": "Repository removed" })))
}

/// Asks for a sync. When one is running already, another follows it, so that no push is lost.
#[utoipa::path(
    post,
    path = "/repositories/{id}/sync",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "The repository; its sync is pending, or another one is running", body = RepositoryView),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:write`", body = ErrorBody),
        (status = 404, description = "No such repository", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn sync_repository(session: Session, PathOf(id): PathOf<String>) -> Result<Json<RepositoryView>, Failure> {
    let by = session.actor(Scope::RepositoriesWrite).await?;
    let row = repositories::request_sync(&session.app, &by, &id).await?;
    Ok(Json(RepositoryView::new(row, session.app.now())))
}

/// The syncs of a repository, newest first: what each did, and which refs it skipped for which reason.
#[utoipa::path(
    get,
    path = "/repositories/{id}/syncs",
    tag = "repositories",
    params(
        ("id" = String, Path, description = "The repository's id"),
        ("limit" = Option<i64>, Query, description = "1 to 1000, 100 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<SyncRunView>),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `repositories:read`", body = ErrorBody),
        (status = 404, description = "No such repository", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn list_syncs(
    session: Session,
    PathOf(id): PathOf<String>,
    query: Result<StrictQuery<PageQuery>, Failure>,
) -> Result<Response, Failure> {
    let caller = session.require(Scope::RepositoriesRead).await?;
    let StrictQuery(query) = query?;
    let page = query.page()?;
    let (rows, total) = repositories::history(&session.app, caller.organization_id, &id, page).await?;
    let now = session.app.now();
    Ok(list(rows.into_iter().map(|row| SyncRunView::new(row, now)).collect(), total))
}
