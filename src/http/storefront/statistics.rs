//! What a consumer installed.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::kit::extract::PathParams;
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::storefront::id_of;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_statistics::of_one_consumer;
use crate::store::storefront::consumer_statistics::ConsumerDownloads;

/// What a consumer installed of one version.
#[derive(Serialize, ToSchema)]
pub struct ConsumerStatisticsView {
    package_id: i64,
    package: String,
    version_id: i64,
    version: String,
    /// How often composer reported an install.
    downloads: i64,
    /// `YYYY-MM-DD HH:MM:SS`, in UTC.
    first_at: String,
    last_at: String,
    /// From which IP address the last one was reported; null when that is not known.
    last_address: Option<String>,
}

impl From<ConsumerDownloads> for ConsumerStatisticsView {
    fn from(row: ConsumerDownloads) -> Self {
        Self {
            package_id: row.package_id,
            package: row.package,
            version_id: row.version_id,
            version: row.pretty.into_string(),
            downloads: row.count,
            first_at: php_date(row.first_at),
            last_at: php_date(row.last_at),
            last_address: row.last_address,
        }
    }
}

/// The versions that a consumer installed, with any of its credentials: how often, when and from where; the latest first.
#[utoipa::path(
    get,
    path = "/consumers/{id}/statistics",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "Versions; `X-Total-Count` says how many there are", body = Vec<ConsumerStatisticsView>),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn list_consumer_statistics(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let app = auth.app();
    let (rows, total) = of_one_consumer(app, &view, id_of(&id, "Consumer")?, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(ConsumerStatisticsView::from), total))
}
