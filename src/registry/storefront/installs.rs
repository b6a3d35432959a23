//! Which versions of a package each consumer installed.

use std::collections::HashMap;

use composer::{NormalizedVersion, PrettyVersion};

use crate::ports::Millis;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::catalog;
use crate::store::storefront::consumer_statistics::{ConsumerInstall, count_installers, installed_versions, installs};
use crate::store::{KeysetPage, KeysetRows};

/// Most consumers of a page.
pub const MAX_INSTALLERS: i64 = 1000;

/// Most versions that are looked through, the latest ones: those that are gone are among them.
const MAX_VERSIONS: i64 = 10_000;

/// Most versions of all consumers of a page: 1 kB each while they are read and 0.2 kB of JSON, so 12 MB. As many as a
/// consumer can have, so that a page that is cut has one consumer at least.
const MAX_INSTALLS: i64 = 10_000;

/// A version that a consumer installed.
pub struct InstalledVersion {
    /// Primary key.
    pub id: i64,
    /// What people read.
    pub pretty: PrettyVersion,
    /// How often.
    pub count: i64,
    /// Since when.
    pub first_at: Millis,
    /// When it was installed last.
    pub last_at: Millis,
}

/// A consumer and what it installed of one package.
pub struct Installer {
    /// Primary key.
    pub consumer_id: i64,
    /// Its e-mail address.
    pub email: String,
    /// The shop's own id of the customer.
    pub customer_id: Option<String>,
    /// The versions.
    pub versions: Vec<InstalledVersion>,
}

/// A page of the consumers that installed a version of a package which `view` sees, the oldest first; with `version` only
/// those of that one. What was hidden meanwhile is told all the same.
pub async fn of_package(
    app: &App,
    view: &View,
    package_id: i64,
    version: Option<&str>,
    page: KeysetPage,
) -> Result<KeysetRows<Installer>, Failure> {
    let organization = view.organization();
    let package = catalog::package(app, view, package_id).await?;
    let filter = view.version_filter(&package.name);
    let asked = version.and_then(|version| composer::normalize_name(version).ok());
    let mut seen = app.ports.database.ask(installed_versions(organization, package_id, MAX_VERSIONS)).await?;
    seen.retain(|one| {
        let normalized = NormalizedVersion::from_stored(one.normalized.clone());
        filter.sees(&normalized, Some(one.released)) && (version.is_none() || asked.as_ref() == Some(&normalized))
    });
    let ids: Vec<i64> = seen.iter().map(|version| version.id).collect();
    let batch = (installs(organization, &ids, page, MAX_INSTALLS + 1), count_installers(organization, &ids));
    let (mut found, total) = app.ports.database.ask(batch).await?;
    let is_cut = i64::try_from(found.len()).is_ok_and(|count| count > MAX_INSTALLS);
    if is_cut && let Some(last) = found.last().map(|install| install.consumer_id) {
        found.retain(|install| install.consumer_id != last);
    }
    let names: HashMap<i64, PrettyVersion> = seen.into_iter().map(|version| (version.id, version.pretty)).collect();
    Ok(KeysetRows { rows: by_consumer(found, &names), total, is_cut })
}

/// The installs of each consumer, which stand one behind another.
fn by_consumer(installs: Vec<ConsumerInstall>, names: &HashMap<i64, PrettyVersion>) -> Vec<Installer> {
    let mut installers: Vec<Installer> = Vec::new();
    for install in installs {
        let Some(pretty) = names.get(&install.version_id).cloned() else { continue };
        let ConsumerInstall { consumer_id, email, customer_id, version_id: id, count, first_at, last_at } = install;
        if installers.last().is_none_or(|last| last.consumer_id != consumer_id) {
            installers.push(Installer { consumer_id, email, customer_id, versions: Vec::new() });
        }
        if let Some(installer) = installers.last_mut() {
            installer.versions.push(InstalledVersion { id, pretty, count, first_at, last_at });
        }
    }
    installers
}
