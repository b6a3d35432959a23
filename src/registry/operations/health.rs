//! Whether the registry can serve: its database answers and has the tables that this build needs.

use std::time::Duration;

use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::Cached;
use crate::store::operations::migrations::{self, NEWEST};

/// How long an isolate remembers the answer: whoever asks more often asks the database nothing.
pub const HEALTH_TTL: Duration = Duration::from_secs(10);

/// How the registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Ok,
    /// It cannot, and why.
    Unavailable(String),
}

/// The last answer of an isolate.
type LastHealth = Option<Cached<Health>>;

/// How the registry is, or was a few seconds ago.
pub async fn health(app: &App) -> Health {
    let now = app.now();
    let last = app.memory.slot::<LastHealth>().lock().clone();
    if let Some(last) = last.filter(|last| last.is_fresh(now, HEALTH_TTL)) {
        return last.value;
    }
    let health = match app.ports.database.ask(migrations::is_newest_applied()).await {
        Ok(true) => Health::Ok,
        Ok(false) => Health::Unavailable(format!(
            "The database lacks the migration `{NEWEST}`, which this version of the registry needs. Apply the migrations: \
             `npm run deploy` does."
        )),
        Err(error) => {
            log::error!("health: {error}");
            let reason = "The database does not answer, or no migration was ever applied to it. The log says more; \
                          `npm run deploy` applies the migrations.";
            Health::Unavailable(reason.to_owned())
        }
    };
    *app.memory.slot::<LastHealth>().lock() = Some(Cached { value: health.clone(), cached_at: now });
    health
}
