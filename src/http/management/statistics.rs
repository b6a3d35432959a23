//! `/api/statistics`.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{SettingsRead, Unlimited};
use crate::http::kit::response::ok;
use crate::registry::kernel::dates::start_of_day;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::statistics;
use crate::store::operations::statistics::RegistryStatistics;

/// Repositories by the status of their sync.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RepositoryTotals {
    total: i64,
    pending: i64,
    syncing: i64,
    ok: i64,
    failed: i64,
}

/// Tokens by what has become of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenTotals {
    active: i64,
    expired: i64,
    revoked: i64,
}

/// Installs of one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayTotal {
    /// Unix seconds at which the day begins, in UTC.
    day: i64,
    count: i64,
}

/// Installs that composer reported.
#[derive(Debug, Serialize, ToSchema)]
pub struct DownloadTotals {
    total: i64,
    /// Today and the 29 days before.
    last_30_days: i64,
    /// Each of these days, the latest last.
    per_day: Vec<DayTotal>,
}

/// Zips in the store.
#[derive(Debug, Serialize, ToSchema)]
pub struct StorageTotals {
    archives: i64,
    bytes: i64,
}

/// Installs of one package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageTotal {
    name: String,
    downloads: i64,
    last_30_days: i64,
}

/// Totals of the registry.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsView {
    packages: i64,
    versions: i64,
    repositories: RepositoryTotals,
    tokens: TokenTotals,
    downloads: DownloadTotals,
    storage: StorageTotals,
    /// The ten most installed packages of the last 30 days.
    top_packages: Vec<PackageTotal>,
}

impl From<RegistryStatistics> for StatisticsView {
    fn from(statistics: RegistryStatistics) -> Self {
        let RegistryStatistics { totals, repositories, days, top } = statistics;
        let with = |status: &str| repositories.iter().find(|row| row.status == status).map_or(0, |row| row.count);
        let day = |day: i64, count: i64| DayTotal { day: start_of_day(day).seconds(), count };
        let package = |name, downloads, last_30_days| PackageTotal { name, downloads, last_30_days };
        Self {
            packages: totals.packages,
            versions: totals.versions,
            repositories: RepositoryTotals {
                total: repositories.iter().map(|row| row.count).sum(),
                pending: with("pending"),
                syncing: with("syncing"),
                ok: with("ok"),
                failed: with("failed"),
            },
            tokens: TokenTotals {
                active: totals.tokens_active,
                expired: totals.tokens_expired,
                revoked: totals.tokens_revoked,
            },
            downloads: DownloadTotals {
                total: totals.downloads,
                last_30_days: days.iter().map(|row| row.count).sum(),
                per_day: days.into_iter().map(|row| day(row.day, row.count)).collect(),
            },
            storage: StorageTotals { archives: totals.archives, bytes: totals.archive_bytes },
            top_packages: top.into_iter().map(|row| package(row.name, row.total, row.recent)).collect(),
        }
    }
}

/// How much there is of everything.
#[utoipa::path(
    get,
    path = "/statistics",
    tag = "statistics",
    responses(
        (status = 200, description = "The totals", body = StatisticsView)
    )
)]
pub async fn get_statistics(auth: RequestAuth<Unlimited<SettingsRead>>) -> Result<Response, Failure> {
    let view = auth.view().await?;
    Ok(ok(&StatisticsView::from(statistics::read(auth.app(), &view).await?)))
}
