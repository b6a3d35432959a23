//! All that is known of a consumer, for the person that it is.

use serde_json::Value;

use crate::ports::Millis;
use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::coverage::require_covered;
use crate::store::storefront::consumer_erasure::{KnownDownload, KnownEntry, downloads, history, own_rows};
use crate::store::storefront::consumers::{ConsumerRow, by_id};

/// Most versions and days of installs that are told: some 200 bytes each, 2 MB.
pub const MAX_DOWNLOADS: i64 = 10_000;

/// Most entries of every other list. A consumer has 1,000 permissions at most, and of the rest as many have 300 kB.
pub const MAX_ENTRIES: i64 = 1_000;

/// Most bytes of the events that webhooks were told of, and of the entries of the audit log, each of which may list a thousand
/// permissions.
const MAX_HISTORY_BYTES: i64 = 1_000_000;

/// What is known of a consumer.
pub struct ConsumerExport {
    /// When that was looked up.
    pub at: Millis,
    /// Whether the lists hold everything.
    pub is_complete: bool,
    /// The consumer.
    pub consumer: ConsumerRow,
    /// What became part of it.
    pub merged: Vec<Value>,
    /// Its tokens.
    pub tokens: Vec<Value>,
    /// Its permissions.
    pub permissions: Vec<Value>,
    /// The networks in which its keys were used today.
    pub networks: Vec<Value>,
    /// What it installed.
    pub downloads: Vec<Value>,
    /// What goes beyond its permissions of now, for who sees everything.
    pub history: Option<ConsumerHistory>,
}

/// What was done with a consumer, and told of it.
pub struct ConsumerHistory {
    /// What it was granted once.
    pub past_permissions: Vec<Value>,
    /// What webhooks were told of.
    pub events: Vec<Value>,
    /// What the audit log says.
    pub audit_log: Vec<Value>,
}

/// The entries of a list, and whether they are all.
fn told(entries: Vec<KnownEntry>, is_complete: &mut bool) -> Vec<Value> {
    let total = entries.first().map_or(0, |entry| entry.total);
    *is_complete &= i64::try_from(entries.len()).is_ok_and(|told| told >= total);
    entries.into_iter().map(|known| known.entry).collect()
}

/// All that is known of a consumer. Who is limited to some packages is told what it installed of these, and nothing of what
/// was granted, told or done before, which may be about others.
pub async fn export(app: &App, issuer: &Issuer, id: i64) -> Result<ConsumerExport, Failure> {
    require_covered(app, issuer, id).await?;
    let (organization, view) = (issuer.organization(), &issuer.by.view);
    let batch = (
        by_id(organization, id),
        own_rows(organization, id, MAX_ENTRIES),
        downloads(organization, id, MAX_DOWNLOADS),
        history(organization, id, MAX_ENTRIES, MAX_HISTORY_BYTES),
    );
    let (consumer, [merged, tokens, permissions, networks], downloads, [past, events, entries]) =
        app.ports.database.ask(batch).await?;
    let Some(consumer) = consumer else { return Err(absent(app, organization, id).await) };
    let mut is_complete = downloads.first().is_none_or(|first| first.known.total <= MAX_DOWNLOADS);
    let sees = |row: &KnownDownload| view.version_filter(&row.package).sees(&row.version(), Some(row.released));
    let sees_everything = issuer.covers_everything()?;
    let downloads =
        downloads.into_iter().filter(|row| sees_everything || sees(row)).map(|row| row.known.entry).collect();
    let [merged, tokens, permissions, networks] =
        [merged, tokens, permissions, networks].map(|list| told(list, &mut is_complete));
    let history = if sees_everything {
        let [past_permissions, events, audit_log] = [past, events, entries].map(|list| told(list, &mut is_complete));
        Some(ConsumerHistory { past_permissions, events, audit_log })
    } else {
        is_complete = false;
        None
    };
    Ok(ConsumerExport {
        at: app.now(),
        is_complete,
        consumer,
        merged,
        tokens,
        permissions,
        networks,
        downloads,
        history,
    })
}
