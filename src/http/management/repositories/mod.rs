//! `/api/repositories`.

mod body;
mod host_credentials;
pub mod monorepo;

use axum::response::Response;

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{RepositoriesRead, RepositoriesWrite};
use crate::http::kit::response::{Done, created, message, ok};
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::repositories;
use crate::registry::sources::repositories::change::change;
use crate::registry::sources::repositories::verify::verify;

use body::{RefView, RepositoriesQuery, RepositoryRequest, RepositoryView, SyncRunView, VerificationView};

/// Repositories in the order in which they were registered.
#[utoipa::path(
    get,
    path = "/repositories",
    tag = "repositories",
    params(RepositoriesQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<RepositoryView>)
    )
)]
pub async fn list_repositories(
    auth: RequestAuth<RepositoriesRead>,
    query: Result<ListQuery<RepositoriesQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let (rows, total) = repositories::list(auth.app(), &view, filter.store_filter()?, page.rows()).await?;
    let now = auth.app().now();
    Ok(page.respond(rows.into_iter().map(|row| RepositoryView::new(row, now)), total))
}

/// Registers a repository and asks for its first sync. The one for uploaded zips, which has none, is also made by the
/// first upload.
#[utoipa::path(
    post,
    path = "/repositories",
    tag = "repositories",
    request_body = RepositoryRequest,
    responses(
        (status = 201, description = "The repository; its sync is pending", body = RepositoryView),
        (status = 409, description = "It is registered already")
    )
)]
pub async fn create_repository(
    auth: RequestAuth<RepositoriesWrite>,
    body: Result<JsonBody<RepositoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = repositories::register(auth.app(), &actor, request.into_spec()?).await?;
    Ok(created(&RepositoryView::new(row, auth.app().now())))
}

/// One repository.
#[utoipa::path(
    get,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "The repository", body = RepositoryView),
        (status = 404, description = "No such repository")
    )
)]
pub async fn get_repository(
    auth: RequestAuth<RepositoriesRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let row = repositories::get(auth.app(), &view, &id).await?;
    Ok(ok(&RepositoryView::new(row, auth.app().now())))
}

/// Changes what the request names and asks for a sync.
#[utoipa::path(
    patch,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    request_body = RepositoryRequest,
    responses(
        (status = 200, description = "The repository as it is now", body = RepositoryView),
        (status = 404, description = "No such repository"),
        (status = 409, description = "Another repository has this URL and path, or this one was changed meanwhile")
    )
)]
pub async fn update_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<RepositoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = change(auth.app(), &actor, &id, request.into_change()?).await?;
    Ok(ok(&RepositoryView::new(row, auth.app().now())))
}

/// Replaces everything about a repository but its kind: what the request does not name gets its default back, less
/// credentials whose `credential_type` is named.
#[utoipa::path(
    put,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    request_body = RepositoryRequest,
    responses(
        (status = 200, description = "The repository as it is now", body = RepositoryView),
        (status = 404, description = "No such repository"),
        (status = 409, description = "Another repository has this URL and path, or this one was changed meanwhile")
    )
)]
pub async fn replace_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<RepositoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = change(auth.app(), &actor, &id, request.into_replacement()?).await?;
    Ok(ok(&RepositoryView::new(row, auth.app().now())))
}

/// Tries a repository out with its credentials, and says what is there. Nothing is imported.
#[utoipa::path(
    post,
    path = "/repositories/{id}/verify",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "What it answered, or why it could not be read", body = VerificationView),
        (status = 404, description = "No such repository"),
        (status = 409, description = "It holds uploaded zips")
    )
)]
pub async fn verify_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    Ok(ok(&VerificationView::from(verify(auth.app(), &view, &id).await?)))
}

/// Removes a repository with its packages: they leave the metadata, and their archives can no longer be downloaded.
#[utoipa::path(
    delete,
    path = "/repositories/{id}",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "Removed", body = Done),
        (status = 404, description = "No such repository"),
        (status = 409, description = "It stands for Packagist, which the settings switch off")
    )
)]
pub async fn delete_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    repositories::remove(auth.app(), &actor, &id).await?;
    Ok(message("Repository removed"))
}

/// Asks for a sync. When one is running already, another follows it, so that no push is lost. Zips that were refused for
/// their size are tried again when they are next asked for.
#[utoipa::path(
    post,
    path = "/repositories/{id}/sync",
    tag = "repositories",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "The repository; its sync is pending, or another one is running", body = RepositoryView),
        (status = 404, description = "No such repository"),
        (status = 409, description = "It holds uploaded zips")
    )
)]
pub async fn sync_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let row = repositories::request_sync(auth.app(), &actor, &id).await?;
    Ok(ok(&RepositoryView::new(row, auth.app().now())))
}

/// The syncs of a repository, newest first: what each did, which refs it skipped for which reason, and which remarks were
/// new.
#[utoipa::path(
    get,
    path = "/repositories/{id}/syncs",
    tag = "repositories",
    params(
        ("id" = String, Path, description = "The repository's id"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<SyncRunView>),
        (status = 404, description = "No such repository")
    )
)]
pub async fn list_syncs(
    auth: RequestAuth<RepositoriesRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = repositories::history(auth.app(), &view, &id, page.rows()).await?;
    let now = auth.app().now();
    Ok(page.respond(rows.into_iter().map(|row| SyncRunView::new(row, now)), total))
}

/// The refs of a git repository as the last sync saw them, those first that became no version, then those with remarks:
/// what each is published as, or why it is not. The filters of the repository leave refs out here too, with that reason.
#[utoipa::path(
    get,
    path = "/repositories/{id}/refs",
    tag = "repositories",
    params(
        ("id" = String, Path, description = "The repository's id"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<RefView>),
        (status = 404, description = "No such repository")
    )
)]
pub async fn list_refs(
    auth: RequestAuth<RepositoriesRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = repositories::refs(auth.app(), &view, &id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(RefView::from), total))
}
