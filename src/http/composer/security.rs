//! `/security-advisories` and `/filter-lists`: the security notices for the packages of a project, as `composer audit`
//! and `composer install` request them.

use axum::extract::Request;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::http::composer::schemas::{AdvisoriesByPackage, FilterAnswer, FilterSummary};
use crate::http::kit::body::receive_from;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, Uncounted};
use crate::http::kit::response::ok;
use crate::json::read_bytes;
use crate::registry::kernel::failure::Failure;
use crate::registry::security::feed::{filter_of, filter_summary, full_advisories};

/// Most bytes of a request: 5000 packages.
const MAX_REQUEST_BYTES: usize = 512 << 10;
/// Most packages of a request.
const MAX_PACKAGES: usize = 5000;
/// What composer writes before a package's name.
const PURL_PREFIX: &str = "pkg://composer/";

fn bounded(names: Vec<String>) -> Result<Vec<String>, Failure> {
    if names.len() > MAX_PACKAGES {
        return Err(Failure::invalid(format!("Ask for at most {MAX_PACKAGES} packages at a time.")));
    }
    Ok(names)
}

/// The values of `packages[]` and `packages[0]`, … in a form.
fn packages_of(form: &[u8]) -> Vec<String> {
    url::form_urlencoded::parse(form)
        .filter(|(key, _)| key == "packages" || (key.starts_with("packages[") && key.ends_with(']')))
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Security advisories.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"packages[0]": "acme/lib"}))]
#[expect(dead_code, reason = "only describes the form")]
struct AdvisoryQuestion {
    /// Package names, as `packages[]` or `packages[0]`, `packages[1]`, …
    #[schema(rename = "packages[]")]
    packages: Vec<String>,
}

/// The advisories of a project's packages, in full.
#[utoipa::path(
    post,
    path = "/security-advisories",
    tag = "composer",
    request_body(content = AdvisoryQuestion, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The advisories of those packages that have some", body = AdvisoriesByPackage),
        (status = 400, description = "Too much is asked")
    )
)]
pub async fn post_security_advisories(
    auth: RequestAuth<Uncounted<PackagesRead>>,
    request: Request,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let received = receive_from(auth.app(), request, MAX_REQUEST_BYTES).await?;
    let names = bounded(packages_of(&received.bytes))?;
    let advisories = full_advisories(auth.app(), &view, &names).await?;
    Ok(ok(&json!({ "advisories": advisories })))
}

/// Which entries of filter lists are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"packages": ["pkg://composer/acme/lib"], "lists": ["malware"]}))]
struct FilterQuestion {
    /// `pkg://composer/{vendor}/{package}`.
    packages: Vec<String>,
    /// All lists when it is left out.
    #[serde(default)]
    lists: Vec<String>,
}

/// What stands on the filter lists of a project's packages.
#[utoipa::path(
    post,
    path = "/filter-lists",
    tag = "composer",
    request_body = FilterQuestion,
    responses(
        (status = 200, description = "The entries of those packages", body = FilterAnswer),
        (status = 400, description = "Not a question, or too much is asked")
    )
)]
pub async fn post_filter_lists(
    auth: RequestAuth<Uncounted<PackagesRead>>,
    request: Request,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let received = receive_from(auth.app(), request, MAX_REQUEST_BYTES).await?;
    let question: FilterQuestion = read_bytes(&received.bytes).map_err(|error| {
        Failure::invalid(format!("The question is not {{\"packages\": […], \"lists\": […]}}: {error}"))
    })?;
    let plain = |purl: String| purl.strip_prefix(PURL_PREFIX).map_or(purl.clone(), str::to_owned);
    let names = bounded(question.packages.into_iter().map(plain).collect())?;
    let lists = bounded(question.lists)?;
    let filter = filter_of(auth.app(), &view, &names, &lists).await?;
    Ok(ok(&json!({ "filter": filter })))
}

/// Every filter list in brief.
#[utoipa::path(
    get,
    path = "/filter-lists/summary.json",
    tag = "composer",
    responses(
        (status = 200, description = "The constraints of every list, by package", body = FilterSummary)
    )
)]
pub async fn get_filter_summary(auth: RequestAuth<Uncounted<PackagesRead>>) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let summary = filter_summary(auth.app(), &view).await?;
    Ok(ok(&json!({ "filter": summary })))
}

#[cfg(test)]
mod tests {
    use super::packages_of;

    #[test]
    fn packages_are_read_with_and_without_an_index() {
        let form = b"packages%5B0%5D=acme%2Flib&packages%5B%5D=acme/app&other=1&packages[7]=a%2Fb";
        assert_eq!(packages_of(form), ["acme/lib", "acme/app", "a/b"]);
    }
}
