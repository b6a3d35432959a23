//! `/health`.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::kit::response::{ok, with_status};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::health::{Health, health};

/// How the registry is.
#[derive(Serialize, ToSchema)]
#[schema(as = Health, example = json!({"status": "ok"}))]
pub struct HealthView {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// Why it is unavailable, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whether the registry can serve: its database answers and has all migrations. It is asked at most every ten seconds by
/// each instance, with one cheap statement.
#[utoipa::path(
    get,
    path = "/health",
    tag = "registry",
    responses(
        (status = 200, description = "It can", body = HealthView),
        (status = 503, description = "It cannot, and why", body = HealthView)
    )
)]
pub async fn get_health(app: App) -> Result<Response, Failure> {
    Ok(match health(&app).await {
        Health::Ok => ok(&HealthView { status: "ok", reason: None }),
        Health::Unavailable(reason) => {
            let view = HealthView { status: "unavailable", reason: Some(reason) };
            with_status(StatusCode::SERVICE_UNAVAILABLE, &view)
        }
    })
}
