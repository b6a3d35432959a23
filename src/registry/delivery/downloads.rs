//! Counting installs that composer reports, and telling what was counted.

use std::collections::{BTreeMap, HashMap};

use composer::PackageName;
use serde_json::json;

use crate::registry::access::caller::{Caller, Subject};
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::day_number;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::network::Network;
use crate::registry::packages::read::visible_package;
use crate::store::delivery::downloads::{By, Days, Install, count, count_for_seat, of_versions};
use crate::store::kernel::webhook_events::{KeyUse, note_network, notify_first_downloads};
use crate::store::packages::versions::SlimVersion;

/// From how many networks a day a consumer's key is used unusually, where nothing else is set: more than a person with a laptop, a
/// telephone and a build server has in a day.
pub const UNUSUAL_NETWORKS: i64 = 20;

/// Most installs that one report may hold; a run of composer sends one report.
pub const MAX_INSTALLS: usize = 2000;

/// Counts `installs` in the background, for versions that the caller sees: others cannot have been installed from
/// here. Unknown ones are passed over. `address` is the client's.
pub fn count_installs(
    app: &App,
    caller: &Caller,
    view: &View,
    address: Option<&str>,
    installs: impl IntoIterator<Item = Install>,
) {
    let installs: Vec<Install> = installs
        .into_iter()
        .take(MAX_INSTALLS)
        .filter_map(|install| {
            let name = PackageName::parse_ignoring_case(&install.name).ok()?;
            let is_visible = !matches!(view.version_filter(name.as_str()), VersionFilter::Nothing);
            is_visible.then(|| Install { name: name.as_str().to_owned(), version: install.version })
        })
        .collect();
    if installs.is_empty() {
        return;
    }
    let (organization, subject) = (view.organization(), caller.rate_limit_subject());
    let (now, day) = (app.now(), today(app));
    let notification = caller.consumer_id.map(|consumer_id| {
        let list = json!(installs).to_string();
        notify_first_downloads(organization, consumer_id, list, now)
    });
    let network = Network::of_host(address);
    let key_use = caller.consumer_id.filter(|_| network != Network::Unknown).map(|consumer_id| {
        let by = KeyUse { consumer_id, network: &network.to_string(), at: now, day, unusual: UNUSUAL_NETWORKS };
        note_network(organization, by)
    });
    let by = By { subject: &subject, consumer_id: caller.consumer_id, address, at: now, day };
    let seat = match (&caller.subject, caller.consumer_id) {
        (Subject::Token { id }, Some(_)) => Some(count_for_seat(organization, *id, now, &installs)),
        _ => None,
    };
    let batch = (notification, key_use, count(organization, by, &installs), seat);
    let database = app.ports.database.clone();
    app.ports.tasks.wait_until(Box::pin(async move {
        if let Err(error) = database.ask(batch).await {
            log::warn!("installs were not counted: {error}");
        }
    }));
}

/// Most days that are told one by one.
pub const MAX_DAYS: i64 = 100;

/// How often a version was installed.
#[derive(Debug, Clone)]
pub struct VersionInstalls {
    /// What people read.
    pub version: String,
    /// Installs of all time.
    pub total: i64,
    /// Installs of the asked days.
    pub in_days: i64,
}

/// How often a package was installed, as far as a view sees its versions.
#[derive(Debug, Clone, Default)]
pub struct PackageDownloadStatistics {
    /// The package's name.
    pub name: String,
    /// Each version; newest first.
    pub versions: Vec<VersionInstalls>,
    /// Day → version → installs; days and versions without any are left out.
    pub days: BTreeMap<i64, BTreeMap<String, i64>>,
}

/// Today.
pub fn today(app: &App) -> i64 {
    day_number(app.now())
}

/// How often a package, named by its public id or its name, was installed: each version that `view` sees, or the named
/// one alone.
pub async fn statistics(
    app: &App,
    view: &View,
    key: &str,
    version: Option<&str>,
    days: Days,
) -> Result<PackageDownloadStatistics, Failure> {
    let mut seen = visible_package(app, view, key).await?;
    if let Some(version) = version {
        seen.versions = vec![seen.version(version)?.clone()];
    }
    view.require_installs()?;
    let ids: Vec<i64> = seen.versions.iter().map(|row| row.id).collect();
    let names: HashMap<i64, &str> = seen.versions.iter().map(|row| (row.id, row.pretty.as_str())).collect();
    let (mut ever, mut in_days) = (HashMap::new(), HashMap::<i64, i64>::new());
    let mut by_day = BTreeMap::<i64, BTreeMap<String, i64>>::new();
    for row in of_versions(&*app.ports.database, view.organization(), &ids, days).await? {
        let Some(day) = row.day else {
            ever.insert(row.version_id, row.count);
            continue;
        };
        *in_days.entry(row.version_id).or_default() += row.count;
        let name = names.get(&row.version_id).copied().unwrap_or_default();
        by_day.entry(day).or_default().insert(name.to_owned(), row.count);
    }
    let of = |counts: &HashMap<i64, i64>, id| counts.get(&id).copied().unwrap_or_default();
    let installs = |row: &SlimVersion| VersionInstalls {
        version: row.pretty.to_string(),
        total: of(&ever, row.id),
        in_days: of(&in_days, row.id),
    };
    let versions = seen.versions.iter().map(installs).collect();
    Ok(PackageDownloadStatistics { name: seen.package.name, versions, days: by_day })
}
