//! `notify-batch`: what composer has installed.

use axum::extract::Request;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::kit::body::receive_from;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, Uncounted};
use crate::http::kit::response::no_content;
use crate::json::read_bytes;
use crate::registry::delivery::downloads::count_installs;
use crate::registry::kernel::failure::Failure;
use crate::store::delivery::downloads::Install;
use axum::response::Response;

/// Most bytes of a report: 2000 installs of 250 bytes.
const MAX_REPORT_BYTES: usize = 512 << 10;

/// What composer reports at the end of a run.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]}))]
struct Report {
    /// One entry an install.
    downloads: Vec<Download>,
}

/// One install.
#[derive(Debug, Deserialize, ToSchema)]
struct Download {
    /// The package, in any case.
    name: String,
    /// Its normalized version.
    version: String,
}

/// Counts installs, in the background. Composer ignores the answer.
#[utoipa::path(
    post,
    path = "/notify-batch",
    tag = "composer",
    request_body = Report,
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "Not a report")
    )
)]
pub async fn post_notify_batch(
    auth: RequestAuth<Uncounted<PackagesRead>>,
    request: Request,
) -> Result<Response, Failure> {
    let (caller, view) = auth.caller_and_view().await?;
    let received = receive_from(auth.app(), request, MAX_REPORT_BYTES).await?;
    let report: Report = read_bytes(&received.bytes).map_err(|error| {
        Failure::invalid(format!("The report is not {{\"downloads\": [{{name, version}}]}}: {error}"))
    })?;
    let installs = report.downloads.into_iter().map(|Download { name, version }| Install { name, version });
    count_installs(auth.app(), &caller, &view, auth.address(), installs);
    Ok(no_content())
}
