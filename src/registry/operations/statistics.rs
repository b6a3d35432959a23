//! Totals for people who run the registry.

use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::day_number;
use crate::registry::kernel::failure::Failure;
use crate::store::operations::statistics::{self, DayRow, RegistryStatistics};

/// How many days are told one by one, today included.
pub const DAYS: i64 = 30;
/// How many packages are told one by one.
const TOP: i64 = 10;

/// Everything that is told of an organization, with a row for each of the last [`DAYS`] days.
pub async fn read(app: &App, view: &View) -> Result<RegistryStatistics, Failure> {
    let now = app.now();
    let today = day_number(now);
    let first = today - DAYS + 1;
    let found = statistics::read(&*app.ports.database, view.organization(), now, first, TOP).await?;
    let count = |day: i64| found.days.iter().find(|row| row.day == day).map_or(0, |row| row.count);
    let days = (first..=today).map(|day| DayRow { day, count: count(day) }).collect();
    Ok(RegistryStatistics { days, ..found })
}
