//! Who installs a package, and who requires it.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{PathParams, StrictQuery};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::http::kit::response::ok;
use crate::registry::delivery::downloads::{MAX_DAYS, PackageDownloadStatistics, statistics, today};
use crate::registry::kernel::dates::{day as day_text, day_number, read_day, start_of_day};
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::store::delivery::downloads::Days;
use crate::store::packages::visible::DependentRow;

/// Days that are counted if the request does not say which.
const DEFAULT_DAYS: i64 = 30;

/// Which installs are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    /// First day, `2026-01-31`; 29 days before the last by default
    from: Option<String>,
    /// Last day; today by default
    to: Option<String>,
    /// Only this version
    version: Option<String>,
}

impl StatisticsQuery {
    /// The asked days; up to `today` and thirty of them when the query does not say.
    fn days(&self, today: i64) -> Result<Days, Failure> {
        let last = self.to.as_deref().map_or(Ok(today), |text| parse_day("to", text))?;
        let first = self.from.as_deref().map_or(Ok(last - DEFAULT_DAYS + 1), |text| parse_day("from", text))?;
        if first > last || last - first >= MAX_DAYS {
            let reason = format!("must not be after `to`, nor more than {} days before it", MAX_DAYS - 1);
            return Err(Failure::invalid_field("from", reason));
        }
        Ok(Days { first, last })
    }
}

fn parse_day(field: &str, text: &str) -> Result<i64, Failure> {
    let midnight = read_day(text).ok_or_else(|| Failure::invalid_field(field, "must be a day, like 2026-01-31"))?;
    Ok(day_number(midnight))
}

fn day_string(day: i64) -> String {
    day_text(start_of_day(day))
}

/// Installs of a package, as composer reports them; those of versions that the caller does not see are not counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageStatisticsView {
    name: String,
    /// Installs of all time.
    total: i64,
    /// First day, UTC.
    from: String,
    /// Last day, UTC.
    to: String,
    /// Installs of these days.
    downloads: i64,
    /// Newest first.
    versions: Vec<VersionCount>,
    /// Each day on which there were any.
    days: Vec<DayCount>,
}

/// Installs of a version.
#[derive(Debug, Serialize, ToSchema)]
struct VersionCount {
    version: String,
    /// Installs of all time.
    total: i64,
    /// Installs of the asked days.
    downloads: i64,
}

/// Installs of a day.
#[derive(Debug, Serialize, ToSchema)]
struct DayCount {
    /// UTC.
    day: String,
    downloads: i64,
    /// Version → installs.
    versions: BTreeMap<String, i64>,
}

impl PackageStatisticsView {
    fn new(counted: PackageDownloadStatistics, range: Days) -> Self {
        let versions: Vec<VersionCount> = counted
            .versions
            .into_iter()
            .map(|row| VersionCount { version: row.version, total: row.total, downloads: row.in_days })
            .collect();
        let days = counted.days.into_iter().map(|(day, versions)| DayCount {
            day: day_string(day),
            downloads: versions.values().sum(),
            versions,
        });
        Self {
            name: counted.name,
            total: versions.iter().map(|version| version.total).sum(),
            from: day_string(range.first),
            to: day_string(range.last),
            downloads: versions.iter().map(|version| version.downloads).sum(),
            versions,
            days: days.collect(),
        }
    }
}

/// How often a package was installed: each visible version, and each day of a range of at most 100.
#[utoipa::path(
    get,
    path = "/packages/{id}/stats",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        StatisticsQuery
    ),
    responses(
        (status = 200, description = "The installs", body = PackageStatisticsView),
        (status = 403, description = "or is a customer's"),
        (status = 404, description = "No such package or version")
    )
)]
pub async fn get_package_stats(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<StatisticsQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let StrictQuery(query) = query?;
    let app = auth.app();
    let days = query.days(today(app))?;
    let counted = statistics(app, &view, &id, query.version.as_deref(), days).await?;
    Ok(ok(&PackageStatisticsView::new(counted, days)))
}

/// A package that requires another.
#[derive(Debug, Serialize, ToSchema)]
pub struct DependentView {
    /// The package's id.
    id: String,
    name: String,
    /// Its latest version.
    version: String,
    /// `require` or `require-dev`.
    link: String,
    /// Which versions it requires.
    constraint: String,
}

impl From<DependentRow> for DependentView {
    fn from(row: DependentRow) -> Self {
        Self {
            id: row.uid,
            name: row.name,
            version: row.pretty.into_string(),
            link: row.link,
            constraint: row.constraint,
        }
    }
}

/// The visible packages whose latest version requires this one, by name.
#[utoipa::path(
    get,
    path = "/packages/{id}/dependents",
    tag = "packages",
    params(
        ("id" = String, Path, description = "The package's id, or `vendor%2Fname`"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<DependentView>),
        (status = 404, description = "No such package")
    )
)]
pub async fn list_dependents(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = read::dependents(auth.app(), &view, &id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(DependentView::from), total))
}
