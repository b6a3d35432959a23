//! What an operator sets while the registry runs. A setting is a field of [`Settings`], whose default holds until it is
//! set, and one of [`SettingsChange`]; it is stored as a row of JSON under its name. To add one, follow the others through
//! this file and `http::management::settings`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use composer::{PackageName, excerpt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::read_object;
use crate::ports::{Fault, Job};
use crate::registry::access::actor::Actor;
use crate::registry::access::view::View;
use crate::registry::delivery::downloads::UNUSUAL_NETWORKS;
use crate::registry::identity::tokens::spec::MAX_RATE_LIMIT;
use crate::registry::kernel::address_policy::check_url;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::sources::composer::retract_reserved;
use crate::store::Update;
use crate::store::access::rate_limits::RateLimits;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::operations::settings::{self, SettingRow};
use crate::store::packages::retirement::{Retirement, retire};
use crate::store::sources::upstream_answers::UnsafeZips;
use crate::store::sources::{upstream_answers, upstream_feeds};

const PACKAGIST_URL: &str = "https://repo.packagist.org";

/// How long IP addresses are kept where nothing else is set: long enough to look into how a key got into other hands.
pub const ADDRESS_RETENTION_DAYS: i64 = 90;

/// Ten years.
const MAX_RETENTION_DAYS: i64 = 3650;

/// So many networks of a consumer are noted a day at most: 100 bytes each.
const MAX_UNUSUAL_NETWORKS: i64 = 1000;

const MAX_URL: usize = 2048;
const MAX_VENDORS: usize = 500;

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether packages that nobody else has are mirrored from Packagist.
    pub packagist_mirroring: bool,
    /// Where Packagist is.
    pub packagist_url: String,
    /// Vendors whose packages no public upstream is asked for.
    pub reserved_vendors: Vec<String>,
    /// Whether a version stays what it was when its tag moves.
    pub immutable_tags: bool,
    /// Whether composer is told of every vendor with packages of our own, and of the reserved ones, that all its names are
    /// here.
    pub claim_vendors: bool,
    /// How many requests and downloads credentials without a limit of their own have.
    pub rate_limits: RateLimits,
    /// Whether the zips of versions on the list of malware are refused.
    pub block_malware_downloads: bool,
    /// Whether packages that their upstream has no longer leave the metadata.
    pub retire_vanished_packages: bool,
    /// What becomes of a mirrored zip whose paths or links are not safe everywhere.
    pub mirrored_zips: UnsafeZips,
    /// After how many days IP addresses are forgotten.
    pub address_retention_days: i64,
    /// From how many networks a day the use of a consumer's key is unusual.
    pub unusual_networks: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            packagist_mirroring: false,
            packagist_url: PACKAGIST_URL.to_owned(),
            reserved_vendors: Vec::new(),
            immutable_tags: false,
            claim_vendors: true,
            rate_limits: RateLimits::default(),
            block_malware_downloads: true,
            retire_vanished_packages: false,
            mirrored_zips: UnsafeZips::Warn,
            address_retention_days: ADDRESS_RETENTION_DAYS,
            unusual_networks: UNUSUAL_NETWORKS,
        }
    }
}

impl Settings {
    /// From what is stored; what is not has its default.
    fn read(stored: Vec<SettingRow>) -> Result<Self, Fault> {
        let by_name = stored.into_iter().map(|row| (row.key, row.value)).collect();
        read_object(&by_name).map_err(|error| Fault::new("database", error))
    }

    /// Each with its name, as it is stored.
    fn entries(&self) -> [(&'static str, Value); 11] {
        [
            ("packagist_mirroring", json!(self.packagist_mirroring)),
            ("packagist_url", json!(self.packagist_url)),
            ("reserved_vendors", json!(self.reserved_vendors)),
            ("immutable_tags", json!(self.immutable_tags)),
            ("claim_vendors", json!(self.claim_vendors)),
            ("rate_limits", json!(self.rate_limits)),
            ("block_malware_downloads", json!(self.block_malware_downloads)),
            ("retire_vanished_packages", json!(self.retire_vanished_packages)),
            ("mirrored_zips", json!(self.mirrored_zips)),
            ("address_retention_days", json!(self.address_retention_days)),
            ("unusual_networks", json!(self.unusual_networks)),
        ]
    }

    /// Those that are another than in `before`.
    fn changed_since(&self, before: &Self) -> Vec<(&'static str, Value)> {
        let pairs = self.entries().into_iter().zip(before.entries());
        pairs.filter(|(now, then)| now != then).map(|(now, _)| now).collect()
    }
}

/// A request to change settings; what it does not name stays, what it clears gets its default back.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// Whether packages that nobody else has are mirrored from Packagist.
    pub packagist_mirroring: Update<bool>,
    /// Where Packagist is.
    pub packagist_url: Update<String>,
    /// Vendors whose packages no public upstream is asked for.
    pub reserved_vendors: Update<Vec<String>>,
    /// Whether a version stays what it was when its tag moves.
    pub immutable_tags: Update<bool>,
    /// Whether composer is told that all names of our own packages' vendors, and of the reserved ones, are here.
    pub claim_vendors: Update<bool>,
    /// The rate limits of credentials without one of their own.
    pub rate_limits: Update<RateLimitsChange>,
    /// Whether the zips of versions on the list of malware are refused.
    pub block_malware_downloads: Update<bool>,
    /// Whether packages that their upstream has no longer leave the metadata.
    pub retire_vanished_packages: Update<bool>,
    /// What becomes of a mirrored zip whose paths or links are not safe everywhere.
    pub mirrored_zips: Update<UnsafeZips>,
    /// After how many days IP addresses are forgotten.
    pub address_retention_days: Update<i64>,
    /// From how many networks a day the use of a consumer's key is unusual.
    pub unusual_networks: Update<i64>,
}

/// A change of the rate limits; what it does not name stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimitsChange {
    /// Requests an hour of a credential that only reads.
    pub read_per_hour: Option<i64>,
    /// Requests an hour of a credential that may write.
    pub write_per_hour: Option<i64>,
    /// Downloads a minute of one package.
    pub downloads_per_minute: Option<i64>,
}

impl SettingsChange {
    fn apply(self, app: &App, before: &Settings) -> Result<Settings, Failure> {
        let default = Settings::default();
        Ok(Settings {
            packagist_mirroring: chosen(
                self.packagist_mirroring,
                before.packagist_mirroring,
                default.packagist_mirroring,
            ),
            packagist_url: match self.packagist_url {
                Update::Set(Some(url)) => checked_url(app, &url)?,
                update => chosen(update, before.packagist_url.clone(), default.packagist_url),
            },
            reserved_vendors: match self.reserved_vendors {
                Update::Set(Some(vendors)) => checked_vendors(&vendors)?,
                update => chosen(update, before.reserved_vendors.clone(), default.reserved_vendors),
            },
            immutable_tags: chosen(self.immutable_tags, before.immutable_tags, default.immutable_tags),
            claim_vendors: chosen(self.claim_vendors, before.claim_vendors, default.claim_vendors),
            rate_limits: match self.rate_limits {
                Update::Set(Some(change)) => checked_limits(change, before.rate_limits)?,
                update => chosen(update.map(|_| before.rate_limits), before.rate_limits, default.rate_limits),
            },
            block_malware_downloads: chosen(
                self.block_malware_downloads,
                before.block_malware_downloads,
                default.block_malware_downloads,
            ),
            retire_vanished_packages: chosen(
                self.retire_vanished_packages,
                before.retire_vanished_packages,
                default.retire_vanished_packages,
            ),
            mirrored_zips: chosen(self.mirrored_zips, before.mirrored_zips, default.mirrored_zips),
            address_retention_days: within(
                "address_retention_days",
                1..=MAX_RETENTION_DAYS,
                chosen(self.address_retention_days, before.address_retention_days, default.address_retention_days),
            )?,
            unusual_networks: within(
                "unusual_networks",
                2..=MAX_UNUSUAL_NETWORKS,
                chosen(self.unusual_networks, before.unusual_networks, default.unusual_networks),
            )?,
        })
    }
}

fn chosen<T>(update: Update<T>, before: T, default: T) -> T {
    match update {
        Update::Keep => before,
        Update::Set(value) => value.unwrap_or(default),
    }
}

fn within(field: &str, range: RangeInclusive<i64>, number: i64) -> Result<i64, Failure> {
    if range.contains(&number) {
        return Ok(number);
    }
    Err(Failure::invalid_field(field, format!("must be between {} and {}", range.start(), range.end())))
}

fn checked_url(app: &App, url: &str) -> Result<String, Failure> {
    if url.len() > MAX_URL {
        return Err(Failure::invalid_field("packagist_url", format!("must not be longer than {MAX_URL} characters")));
    }
    let url = check_url(url, app.address_policy())
        .map_err(|error| Failure::invalid_field("packagist_url", error.to_string()))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn checked_vendors(vendors: &[String]) -> Result<Vec<String>, Failure> {
    let refuse = |detail: String| Err(Failure::invalid_field("reserved_vendors", detail));
    if vendors.len() > MAX_VENDORS {
        return refuse(format!("must not hold more than {MAX_VENDORS} vendors"));
    }
    let checked: BTreeSet<String> = vendors.iter().map(|vendor| vendor.to_ascii_lowercase()).collect();
    if let Some(odd) = checked.iter().find(|vendor| PackageName::parse(&format!("{vendor}/x")).is_err()) {
        return refuse(format!(
            "`{}` is not a vendor, which is the part of a package name before the slash",
            excerpt(odd).escape_default()
        ));
    }
    Ok(checked.into_iter().collect())
}

fn checked_limits(change: RateLimitsChange, before: RateLimits) -> Result<RateLimits, Failure> {
    let mut wrong = FieldErrors::default();
    let mut checked = |field: &str, limit: Option<i64>, before: i64| {
        let limit = limit.unwrap_or(before);
        if !(1..=MAX_RATE_LIMIT).contains(&limit) {
            wrong.push(format!("rate_limits.{field}"), format!("must be between 1 and {MAX_RATE_LIMIT}"));
        }
        limit
    };
    let limits = RateLimits {
        read_per_hour: checked("read_per_hour", change.read_per_hour, before.read_per_hour),
        write_per_hour: checked("write_per_hour", change.write_per_hour, before.write_per_hour),
        downloads_per_minute: checked("downloads_per_minute", change.downloads_per_minute, before.downloads_per_minute),
    };
    wrong.into_result()?;
    Ok(limits)
}

/// The settings of an organization.
pub async fn get(app: &App, view: &View) -> Result<Settings, Failure> {
    Ok(Settings::read(app.ports.database.ask(settings::all(view.organization())).await?)?)
}

/// Changes what the request names; the settings as they are then. What mirroring no longer covers leaves the metadata,
/// and what was downloaded before stays downloadable.
pub async fn change(app: &App, by: &Actor, change: SettingsChange) -> Result<Settings, Failure> {
    let organization = by.organization();
    let database = &app.ports.database;
    let batch = (settings::all(organization), settings::packagist_repository(organization));
    let (stored, packagist) = database.ask(batch).await?;
    let before = Settings::read(stored)?;
    let after = change.apply(app, &before)?;
    let rows = after.changed_since(&before);
    if rows.is_empty() {
        return Ok(after);
    }
    let now = app.now();
    let details: Map<String, Value> = rows.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let event =
        AuditEvent { action: "settings.changed", target: "settings", label: None, details: Value::Object(details) };
    let has_moved = before.packagist_url != after.packagist_url;
    let left = packagist.filter(|_| has_moved || !after.packagist_mirroring);
    let batch = (
        settings::set(organization, &rows, now),
        by.record(app, &event)?,
        organizations::touch(organization, Touched::Names, now),
        left.map(|repository| {
            (
                retire(organization, &[Retirement::all(repository.id)], now),
                upstream_answers::delete_answers(organization, repository.id),
                upstream_feeds::forget(organization, repository.id),
            )
        }),
        settings::apply_packagist(organization, &new_uid(&*app.ports.entropy, now)?, PACKAGIST_URL, now),
        settings::packagist_repository(organization),
    );
    let (.., packagist) = database.ask(batch).await?;
    app.memory.invalidate_published(by.organization());
    if let (true, Some(repository)) = (after.packagist_mirroring, packagist) {
        app.enqueue(Job::SyncRepository { repository_id: repository.id }, Duration::ZERO).await;
    }
    if let Err(failure) = retract_reserved(app, organization, None).await {
        log::warn!("packages of reserved vendors stay listed until their upstream's next sync: {failure:?}");
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_has_its_default_and_only_what_differs_is_written() {
        let row = |key: &str, value| SettingRow { key: key.to_owned(), value };
        let stored = vec![row("packagist_mirroring", json!(true)), row("of_a_later_version", json!(1))];
        let read = Settings::read(stored).expect("settings");
        assert_eq!(read, Settings { packagist_mirroring: true, ..Settings::default() });
        assert_eq!(read.changed_since(&Settings::default()), [("packagist_mirroring", json!(true))]);
        assert_eq!(read.changed_since(&read), []);
    }

    #[test]
    fn vendors_are_lowercased_sorted_and_checked() {
        let vendors =
            |list: &[&str]| checked_vendors(&list.iter().map(|vendor| (*vendor).to_owned()).collect::<Vec<_>>());
        assert_eq!(vendors(&["Zend", "acme", "ACME"]).expect("vendors"), ["acme", "zend"]);
        for odd in ["acme/lib", "", "a b", "acme/*"] {
            assert!(vendors(&[odd]).is_err(), "{odd}");
        }
    }
}
