//! What consumers installed.

use composer::NormalizedVersion;

use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::absent_consumers::absent;
use crate::store::Page;
use crate::store::storefront::consumer_statistics::{ConsumerDownloads, of_consumer};
use crate::store::storefront::consumers::by_id;

/// Most versions that are told of one consumer.
const MAX_VERSIONS: i64 = 10_000;

/// A page of the versions that a consumer installed, as far as `view` sees them, the latest first, and how many they are.
/// What was hidden meanwhile is told all the same.
pub async fn of_one_consumer(
    app: &App,
    view: &View,
    consumer_id: i64,
    page: Page,
) -> Result<(Vec<ConsumerDownloads>, i64), Failure> {
    let subject = format!("consumer:{consumer_id}");
    let batch = (by_id(view.organization(), consumer_id), of_consumer(view.organization(), &subject, MAX_VERSIONS));
    let (consumer, rows) = app.ports.database.ask(batch).await?;
    if consumer.is_none() {
        return Err(absent(app, view.organization(), consumer_id).await);
    }
    let sees = |row: &ConsumerDownloads| {
        let version = NormalizedVersion::from_stored(row.normalized.clone());
        view.version_filter(&row.package).sees(&version, Some(row.released))
    };
    Ok(page.of(rows.into_iter().filter(sees).collect()))
}
