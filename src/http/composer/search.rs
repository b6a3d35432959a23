//! `list.json` and `search.json`, which `composer search`, `composer show -a` and shell completion request.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::http::composer::schemas::{PackageNames, SearchResults};
use crate::http::kit::extract::{BaseUrl, LenientQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::http::kit::response::ok;
use crate::registry::delivery::root::listed_names;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::store::Page;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort};

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

/// Most packages of one response; composer requests no further pages.
const MAX_RESULTS: i64 = 100;

/// The visible packages whose name or description holds the text.
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
    BaseUrl(base_url): BaseUrl,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let app = auth.app();
    let filter = PackageFilter {
        repository_uid: None,
        search: query.q.as_deref().map(str::trim).filter(|text| !text.is_empty()),
        package_type: query.package_type.as_deref().filter(|text| !text.is_empty()),
    };
    let page = Page { limit: MAX_RESULTS, offset: 0 };
    let (rows, total) = read::list(app, &view, filter, Sort::default(), page).await?;
    let results: Vec<Value> = rows.into_iter().map(|row| search_result(row, &base_url)).collect();
    Ok(ok(&json!({ "results": results, "total": total })))
}

/// A package as composer reads it.
fn search_result(row: PackageRow, base_url: &str) -> Value {
    let mut result = json!({
        "name": row.name,
        "description": row.description.unwrap_or_default(),
        "url": format!("{base_url}/p2/{}.json", row.name),
        "repository": "",
        "downloads": row.downloads,
        "favers": 0,
    });
    match row.abandoned.as_deref() {
        None => {}
        Some("true") => result["abandoned"] = json!(true),
        Some(replacement) => result["abandoned"] = json!(replacement),
    }
    result
}
