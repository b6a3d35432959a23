//! `/api/repositories/monorepo`.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::kit::extract::JsonBody;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::RepositoriesWrite;
use crate::http::kit::response::ok;
use crate::http::management::repositories::body::{RepositoryView, parse_protocol, parse_provider};
use crate::http::management::repositories::host_credentials::{HostCredentialRequest, given};
use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::repositories::RepositorySpec;
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::repositories::monorepo::{Monorepo, SkippedDirectory, register_all};
use crate::store::Update;

/// A request to register all packages of a monorepo.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "url": "https://github.com/org/monorepo", "path": "packages/*", "tag_prefix": "{directory}-v",
    "auth_credentials": "ghp_xxx"
}))]
pub struct MonorepoRequest {
    /// Address of the git repository, as for a single one.
    url: String,
    /// `git`, `github`, `gitlab`, `bitbucket` or `gitea`; without it, the host's name tells.
    vcs_type: Option<String>,
    /// `none`, `token` or `basic`; follows from the credentials if it is absent.
    credential_type: Option<String>,
    /// The token; or `user:password`; or an object `{token}` or `{username, password}`. Never shown again.
    #[schema(value_type = Option<Value>)]
    auth_credentials: Option<Value>,
    /// Credentials for other hosts, as for a single repository.
    #[serde(default)]
    host_credentials: Vec<HostCredentialRequest>,
    /// The directories of the packages: `packages/*`. Each `*` stands for any characters of one name.
    path: String,
    /// What the tags of each package begin with: `{directory}-v`, where `{directory}` stands for the last name of its
    /// directory and `{package}` for its name without the vendor. Without it, every tag is one of every package.
    tag_prefix: Option<String>,
    /// Only tags that match one of these globs become versions.
    tag_filter: Option<Vec<String>>,
    /// Only branches that match one of these globs become versions.
    branch_filter: Option<Vec<String>>,
    /// Which address of the repository developers are shown: `https` (the default) or `ssh`.
    source_protocol: Option<String>,
    /// Whether zips have the files that Git LFS keeps in place of the pointers to them; false is the default.
    lfs: Option<bool>,
}

impl MonorepoRequest {
    fn into_spec(self) -> Result<RepositorySpec, Failure> {
        Ok(RepositorySpec {
            url: Some(self.url),
            provider: parse_provider(None, self.vcs_type.as_deref())?,
            credentials: Credentials::read(self.credential_type.as_deref(), self.auth_credentials.as_ref())?,
            host_credentials: given(self.host_credentials),
            path: Some(self.path),
            tag_prefix: self.tag_prefix,
            tag_filter: self.tag_filter,
            branch_filter: self.branch_filter,
            package_filter: None,
            source_protocol: parse_protocol(&Update::Set(self.source_protocol))?.into_value(),
            lfs: self.lfs,
        })
    }
}

/// What was registered of a monorepo.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonorepoView {
    /// A repository for each package; their syncs are pending.
    repositories: Vec<RepositoryView>,
    /// The directories that were not registered.
    skipped: Vec<SkippedDirectoryView>,
}

/// A directory that was not registered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"path": "packages/docs", "reason": "it has no composer.json"}))]
pub struct SkippedDirectoryView {
    /// From the root of the repository.
    path: String,
    /// Why.
    reason: String,
}

impl MonorepoView {
    fn new(monorepo: Monorepo, now: Millis) -> Self {
        let skipped = |SkippedDirectory { path, reason }| SkippedDirectoryView { path, reason };
        Self {
            repositories: monorepo.repositories.into_iter().map(|row| RepositoryView::new(row, now)).collect(),
            skipped: monorepo.skipped.into_iter().map(skipped).collect(),
        }
    }
}

/// Registers each package of a git repository that has several, and asks for their first syncs: the directories of its
/// default branch that `path` matches and whose composer.json names a package. What is registered already stays as it is,
/// so the call can be repeated when there are new packages.
#[utoipa::path(
    post,
    path = "/repositories/monorepo",
    tag = "repositories",
    request_body = MonorepoRequest,
    responses(
        (status = 200, description = "What was registered, and what was not", body = MonorepoView),
        (status = 502, description = "The git server does not answer, or not as one"),
        (status = 503, description = "The git server has had too many requests")
    )
)]
pub async fn register_monorepo(
    auth: RequestAuth<RepositoriesWrite>,
    body: Result<JsonBody<MonorepoRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let monorepo = register_all(auth.app(), &actor, request.into_spec()?).await?;
    Ok(ok(&MonorepoView::new(monorepo, auth.app().now())))
}
