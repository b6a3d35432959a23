//! `/health`.

use crate::http::kit::response::ok;
use crate::registry::kernel::failure::Failure;
use axum::response::Response;
use serde_json::json;
use utoipa::ToSchema;

/// How the registry is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
#[schema(example = json!({"status": "ok"}))]
struct Health {
    /// `ok`.
    status: String,
}

/// Whether the registry runs. Asks nothing of the database or the stores.
#[utoipa::path(
    get,
    path = "/health",
    tag = "registry",
    responses((status = 200, description = "It runs", body = Health))
)]
pub async fn get_health() -> Result<Response, Failure> {
    Ok(ok(&json!({ "status": "ok" })))
}
