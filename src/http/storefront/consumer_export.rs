//! All that is known of a consumer, for the person that it is.

use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::kit::extract::PathParams;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::kit::response::ok;
use crate::http::storefront::consumer_body::ConsumerView;
use crate::http::storefront::id_of;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_export::{ConsumerExport, export};
use crate::registry::storefront::coverage::ShownConsumer;

/// All that is known of a consumer.
#[derive(Serialize, ToSchema)]
pub struct ConsumerExportView {
    /// `YYYY-MM-DD HH:MM:SS`, in UTC, like every time here.
    exported_at: String,
    /// Whether that is all: not when a list has more than 1,000 entries, or `downloads` more than 10,000, and not for a token that
    /// is limited to some packages.
    complete: bool,
    /// Without its private key, which says nothing of anybody.
    consumer: ConsumerView,
    /// The consumers that became part of it: `consumer_id`, `merged_at`.
    #[schema(value_type = Vec<Object>)]
    merged: Vec<Value>,
    /// Its tokens and its key pair, revoked ones too: `id`, `description`, `created_at`, `last_used_at`, `downloads`,
    /// `last_download_at`, `revoked_at`.
    #[schema(value_type = Vec<Object>)]
    tokens: Vec<Value>,
    /// Its permissions.
    #[schema(value_type = Vec<Object>)]
    permissions: Vec<Value>,
    /// The networks in which its keys were used today: `day`, `network`.
    #[schema(value_type = Vec<Object>)]
    networks: Vec<Value>,
    /// What it installed, by version and day, the latest first: `package`, `version`, `day`, `downloads`, `first_at`, `last_at`,
    /// `last_address`.
    #[schema(value_type = Vec<Object>)]
    downloads: Vec<Value>,
    /// What it was granted once; null for a token that is limited to some packages, and so are those that follow.
    #[schema(value_type = Option<Vec<Object>>)]
    past_permissions: Option<Vec<Value>>,
    /// What webhooks were told of it in the last 30 days.
    #[schema(value_type = Option<Vec<Object>>)]
    events: Option<Vec<Value>>,
    /// What the audit log says of it: `at`, `actor`, `address` (of who did it), `action`, `details`.
    #[schema(value_type = Option<Vec<Object>>)]
    audit_log: Option<Vec<Value>>,
}

impl From<ConsumerExport> for ConsumerExportView {
    fn from(export: ConsumerExport) -> Self {
        let (past_permissions, events, audit_log) = match export.history {
            Some(history) => (Some(history.past_permissions), Some(history.events), Some(history.audit_log)),
            None => (None, None, None),
        };
        Self {
            exported_at: php_date(export.at),
            complete: export.is_complete,
            consumer: ShownConsumer { row: export.consumer, private_key: None }.into(),
            merged: export.merged,
            tokens: export.tokens,
            permissions: export.permissions,
            networks: export.networks,
            downloads: export.downloads,
            past_permissions,
            events,
            audit_log,
        }
    }
}

/// All that is known of a consumer, for the person that it is. Its private key is not among it.
#[utoipa::path(
    get,
    path = "/consumers/{id}/export",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "What is known", body = ConsumerExportView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn export_consumer(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    Ok(ok(&ConsumerExportView::from(export(auth.app(), &issuer, id_of(&id, "Consumer")?).await?)))
}
