//! `/health`.

use axum::response::Json;
use serde_json::{Value, json};

/// Whether the registry runs. Asks nothing of the database or the stores.
#[utoipa::path(
    get,
    path = "/health",
    tag = "registry",
    responses((status = 200, description = "`{\"status\": \"ok\"}`")),
    security(())
)]
pub async fn get_health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
