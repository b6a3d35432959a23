//! `list.json`, `search.json` and `providers/…`, which `composer search`, `composer show -a`, shell completion, and the hints
//! about a package that cannot be found request.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::http::composer::schemas::{PackageNames, Providers, SearchResults};
use crate::http::kit::extract::{LenientQuery, PathParams};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::http::kit::response::ok;
use crate::registry::access::view::View;
use crate::registry::delivery::root::listed_names;
use crate::registry::delivery::search;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::provider::Provider;
use crate::registry::packages::support::repository_page;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::packages::lists::PackageRow;
use crate::store::packages::visible::ProviderRow;

/// What narrows a list of names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PackageNamesQuery {
    /// A glob: `acme/*`
    filter: Option<String>,
    /// A vendor
    vendor: Option<String>,
}

/// The names of all visible packages, mirrored ones too.
#[utoipa::path(
    get,
    path = "/list.json",
    tag = "composer",
    params(PackageNamesQuery),
    responses(
        (status = 200, description = "The names", body = PackageNames)
    )
)]
pub async fn list_package_names(
    auth: RequestAuth<PackagesRead>,
    LenientQuery(query): LenientQuery<PackageNamesQuery>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let names = listed_names(auth.app(), &view, query.filter.as_deref(), query.vendor.as_deref()).await?;
    Ok(ok(&json!({ "packageNames": names })))
}

/// What is searched for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// What to look for
    q: Option<String>,
    /// A Composer package type
    #[serde(rename = "type")]
    package_type: Option<String>,
}

/// The visible packages whose name, description or keywords hold every word, the best first; when there is none, those whose
/// names are like the words.
#[utoipa::path(
    get,
    path = "/search.json",
    tag = "composer",
    params(SearchQuery),
    responses(
        (status = 200, description = "The first 100 of them", body = SearchResults)
    )
)]
pub async fn search_packages(
    auth: RequestAuth<PackagesRead>,
    LenientQuery(query): LenientQuery<SearchQuery>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let text = query.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let package_type = query.package_type.as_deref().filter(|text| !text.is_empty());
    let (rows, total) = search::search(auth.app(), &view, text, package_type).await?;
    let results: Vec<Value> = rows.into_iter().map(|row| search_result(row, &view)).collect();
    Ok(ok(&json!({ "results": results, "total": total })))
}

/// A package as composer reads it. Customers are told neither where it comes from nor how often it is installed.
fn search_result(row: PackageRow, view: &View) -> Value {
    let provider = Provider::parse(&row.provider).unwrap_or(Provider::Git);
    let repository =
        Some(row.repository_url.as_str()).filter(|_| view.shows_source() && provider.kind() == RepositoryKind::Git);
    let page = row.homepage.as_deref().or_else(|| repository_page(provider, repository?));
    let mut result = json!({
        "name": row.name,
        "description": row.description.unwrap_or_default(),
        "repository": repository.unwrap_or_default(),
    });
    if view.shows_installs() {
        result["downloads"] = json!(row.downloads);
        result["favers"] = json!(0);
    }
    // An empty one would be printed as an empty link.
    if let Some(page) = page {
        result["url"] = json!(page);
    }
    match row.abandoned.as_deref() {
        None => {}
        Some("true") => result["abandoned"] = json!(true),
        Some(replacement) => result["abandoned"] = json!(replacement),
    }
    result
}

/// The visible packages whose newest version provides a package, such as the virtual `psr/log-implementation`.
#[utoipa::path(
    get,
    path = "/providers/{vendor}/{file}",
    tag = "composer",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("file" = String, Path, description = "`{package}.json`")
    ),
    responses(
        (status = 200, description = "Who provides it, by name", body = Providers),
        (status = 404, description = "The address does not end with `.json`")
    )
)]
pub async fn list_providers(
    auth: RequestAuth<PackagesRead>,
    PathParams([vendor, file]): PathParams<2>,
) -> Result<Response, Failure> {
    providers_of(auth, &format!("{vendor}/{file}")).await
}

/// The visible packages whose newest version provides a platform package, such as `ext-mbstring`.
#[utoipa::path(
    get,
    path = "/providers/{file}",
    tag = "composer",
    params(("file" = String, Path, description = "`{package}.json`")),
    responses(
        (status = 200, description = "Who provides it, by name", body = Providers),
        (status = 404, description = "The address does not end with `.json`")
    )
)]
pub async fn list_platform_providers(
    auth: RequestAuth<PackagesRead>,
    PathParams([file]): PathParams<1>,
) -> Result<Response, Failure> {
    providers_of(auth, &file).await
}

async fn providers_of(auth: RequestAuth<PackagesRead>, file: &str) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let package = file.strip_suffix(".json").ok_or_else(|| Failure::not_found("Package"))?;
    let rows = search::providers(auth.app(), &view, package).await?;
    let provider = |row: ProviderRow| json!({ "name": row.name, "description": row.description.unwrap_or_default(), "type": row.package_type });
    Ok(ok(&json!({ "providers": rows.into_iter().map(provider).collect::<Vec<_>>() })))
}
