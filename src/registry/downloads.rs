//! Counting installs that composer reports.

use crate::composer::PackageName;
use crate::registry::App;
use crate::registry::authenticate::Caller;
use crate::store::downloads::{Install, count};
use crate::store::run;

/// Most installs that one report may hold; a run of composer sends one report.
pub const MAX_INSTALLS: usize = 2000;

/// A day, in UTC and without leap seconds.
pub const DAY_SECONDS: i64 = 24 * 3600;

/// Counts `installs` in the background, for versions that the caller sees: others cannot have been installed from
/// here. Unknown ones are passed over.
pub fn count_installs(app: &App, caller: &Caller, installs: Vec<(String, String)>) {
    let view = caller.view(app.now());
    let installs: Vec<Install> = installs
        .into_iter()
        .take(MAX_INSTALLS)
        .filter_map(|(name, version)| Some((PackageName::parse(&name.to_ascii_lowercase()).ok()?, version)))
        .filter(|(name, _)| !matches!(view.scope(name.as_str()), crate::registry::access::Scope::Nothing))
        .map(|(name, version)| Install { name: name.as_str().to_owned(), version })
        .collect();
    if installs.is_empty() {
        return;
    }
    let day = app.now().seconds().div_euclid(DAY_SECONDS);
    let stmt = count(caller.organization_id, &caller.subject.key(), day, &installs);
    let database = app.ports.database.clone();
    app.ports.tasks.wait_until(Box::pin(async move {
        if let Err(error) = run(&*database, stmt).await {
            log::warn!("installs were not counted: {error}");
        }
    }));
}
