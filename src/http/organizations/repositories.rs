//! `/api/organizations/{organization}/repositories`.

use axum::response::Response;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::http::kit::extract::PathParams;
use crate::http::kit::paging::{ListQuery, NoFilter, PageNumber};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{RepositoriesRead, RepositoriesWrite};
use crate::http::kit::response::{Done, message};
use crate::http::organizations::PageMeta;
use crate::ports::Millis;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::repositories::{self, RepositoryFilter, status};
use crate::store::sources::repositories::RepositoryRow;

/// A repository of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationRepository {
    id: String,
    /// `github`, `gitlab`, `bitbucket`, `gitea`, `git`, `composer` or `artifact`
    provider: String,
    /// `owner/repository`
    repo_identifier: String,
    /// `pending`, `syncing`, `ok` or `failed`
    sync_status: &'static str,
    /// ISO 8601; null before the first sync.
    last_synced_at: Option<String>,
}

impl OrganizationRepository {
    fn new(row: RepositoryRow, now: Millis) -> Self {
        let sync_status = status(&row, now).status.as_str();
        Self {
            repo_identifier: repo_identifier(&row.repository.url),
            sync_status,
            last_synced_at: row.last_run.last_synced_at.map(rfc3339),
            provider: row.repository.provider,
            id: row.repository.uid,
        }
    }
}

/// A page of repositories.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
pub struct OrganizationRepositoryPage {
    data: Vec<OrganizationRepository>,
    meta: PageMeta,
}

/// What the repository at `url` is called by its host: `owner/repository`; the whole address of one that has no path.
pub fn repo_identifier(url: &str) -> String {
    let path = Url::parse(url).ok().map(|url| url.path().trim_matches('/').to_owned());
    let path = path.filter(|path| !path.is_empty()).unwrap_or_else(|| url.to_owned());
    path.strip_suffix(".git").map_or(path.clone(), str::to_owned)
}

/// The repositories, in the order in which they were registered.
#[utoipa::path(
    get,
    path = "/{organization}/repositories",
    tag = "organizations",
    params(PageNumber),
    responses(
        (status = 200, description = "A page of them", body = OrganizationRepositoryPage)
    )
)]
pub async fn list_organization_repositories(
    auth: RequestAuth<RepositoriesRead>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = repositories::list(auth.app(), &view, RepositoryFilter::default(), page.rows()).await?;
    let now = auth.app().now();
    Ok(page.respond(rows.into_iter().map(|row| OrganizationRepository::new(row, now)), total))
}

/// Asks for a sync.
#[utoipa::path(
    post,
    path = "/{organization}/repositories/{id}/sync",
    tag = "organizations",
    params(("id" = String, Path, description = "The repository's id")),
    responses(
        (status = 200, description = "It is queued", body = Done, example = json!({"message": "Sync queued successfully"})),
        (status = 404, description = "No such repository"),
        (status = 409, description = "It holds uploaded zips")
    )
)]
pub async fn sync_organization_repository(
    auth: RequestAuth<RepositoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    repositories::request_sync(auth.app(), &actor, &id).await?;
    Ok(message("Sync queued successfully"))
}

#[cfg(test)]
mod tests {
    use super::repo_identifier;

    #[test]
    fn a_repository_is_called_as_by_its_host() {
        for (url, expected) in [
            ("https://github.com/acme/lib.git", "acme/lib"),
            ("https://gitlab.example/group/sub/lib", "group/sub/lib"),
            ("https://repo.example", "https://repo.example"),
            ("artifact:uploads", "uploads"),
        ] {
            assert_eq!(repo_identifier(url), expected);
        }
    }
}
