//! Which keys of `ENCRYPTION_KEY` are in use, and sealing anew with the first of them, so that the others can go.

use std::collections::BTreeMap;

use serde_json::json;

use crate::registry::access::actor::Actor;
use crate::registry::identity::idempotency;
use crate::registry::identity::users::second_factor;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::secrets::SecretError;
use crate::registry::sources::composer::url_login;
use crate::registry::sources::repositories;
use crate::registry::storefront::{consumer_keys, deliveries};
use crate::store::kernel::sealed::{KeyCount, Resealed, SealedColumn, SealedRow};
use crate::store::{self, Query};

/// A sealed column, and what the text of a public id is sealed to.
struct Sealed {
    column: SealedColumn,
    seal_row: fn(&str) -> String,
}

/// Everything that lies sealed. Who seals something new adds it here.
const SEALED: &[Sealed] = &[
    Sealed { column: store::sources::repositories::SEALED, seal_row: repositories::credentials::seal_row },
    Sealed { column: store::sources::host_credentials::SEALED, seal_row: repositories::host_credentials::seal_row },
    Sealed { column: store::sources::dists::SEALED, seal_row: url_login::seal_row },
    Sealed { column: store::identity::two_factor::SEALED, seal_row: second_factor::seal_row },
    Sealed { column: store::identity::idempotency::SEALED, seal_row: idempotency::seal_row },
    Sealed { column: store::storefront::consumers::SEALED, seal_row: consumer_keys::seal_row },
    Sealed { column: store::storefront::webhooks::SEALED, seal_row: deliveries::seal_row },
];

/// Texts of each column that one call seals anew at most.
const BATCH: i64 = 100;

/// A key and what it has sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's id: the first 8 hex digits of its SHA-256.
    pub id: String,
    /// Whether it seals what is new.
    pub seals: bool,
    /// Whether it is in `ENCRYPTION_KEY`.
    pub is_configured: bool,
    /// Column → texts.
    pub sealed: BTreeMap<&'static str, i64>,
}

/// The keys of `ENCRYPTION_KEY` in their order, then those that are gone and have sealed something yet.
pub async fn keys(app: &App) -> Result<Vec<KeyUse>, Failure> {
    let counted = app.ports.database.ask(counts()).await?;
    Ok(uses(app, counted))
}

/// Counts the texts of each of [`SEALED`].
fn counts() -> Vec<Query<Vec<KeyCount>>> {
    SEALED.iter().map(|sealed| (sealed.column.counts)()).collect()
}

/// What [`counts`] yields, by key.
fn uses(app: &App, counted: Vec<Vec<KeyCount>>) -> Vec<KeyUse> {
    let unused = |id: &str, seals, is_configured| {
        let sealed = SEALED.iter().map(|sealed| (sealed.column.name, 0)).collect();
        KeyUse { id: id.to_owned(), seals, is_configured, sealed }
    };
    let mut keys: Vec<KeyUse> =
        app.config.keyring.ids().enumerate().map(|(place, id)| unused(id, place == 0, true)).collect();
    for (Sealed { column, .. }, counts) in SEALED.iter().zip(counted) {
        for KeyCount { key_id, count } in counts {
            let place = keys.iter().position(|key| key.id == key_id).unwrap_or_else(|| {
                keys.push(unused(&key_id, false, false));
                keys.len() - 1
            });
            keys[place].sealed.insert(column.name, count);
        }
    }
    keys
}

/// What one call of [`rotate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Texts that the first key has sealed now.
    pub resealed: usize,
    /// Texts that it has not sealed.
    pub remaining: i64,
    /// Texts that no key opened: they were changed behind the registry's back.
    pub unreadable: usize,
}

/// Seals up to [`BATCH`] texts of each column anew, that others than the first key have sealed. Whoever changes a secret
/// meanwhile wins.
pub async fn rotate(app: &App, by: &Actor) -> Result<Rotated, Failure> {
    let keyring = &app.config.keyring;
    if keyring.ids().next().is_none() {
        return Err(Failure::new(Kind::Conflict, SecretError::NoKey.to_string()));
    }
    let others = json!(keyring.ids().skip(1).collect::<Vec<_>>()).to_string();
    let look_up: Vec<_> = SEALED.iter().map(|sealed| (sealed.column.sealed_by)(others.clone(), BATCH)).collect();
    let found = app.ports.database.ask(look_up).await?;
    let mut changes = Vec::new();
    let mut unreadable = 0;
    for (Sealed { column, seal_row }, rows) in SEALED.iter().zip(found) {
        let asked = rows.len();
        let texts = rows.into_iter().map(|row| reseal(app, *seal_row, row)).filter_map(Result::transpose);
        let texts = texts.collect::<Result<Vec<Resealed>, Failure>>()?;
        unreadable += asked - texts.len();
        let details = json!({ "key": keyring.ids().next(), "texts": texts.len() });
        let event = AuditEvent { action: "encryption.rotated", target: column.name, label: None, details };
        changes.push(((column.replace)(json!(texts).to_string()), by.record(app, &event)?));
    }
    let (replaced, counted) = app.ports.database.ask((changes, counts())).await?;
    let remaining = uses(app, counted).iter().filter(|key| !key.seals).flat_map(|key| key.sealed.values()).sum();
    Ok(Rotated { resealed: replaced.iter().map(|(rows, ())| rows.len()).sum(), remaining, unreadable })
}

/// A text that the first key seals now; `None` when it does not open.
fn reseal(app: &App, seal_row: fn(&str) -> String, row: SealedRow) -> Result<Option<Resealed>, Failure> {
    let SealedRow { uid, sealed } = row;
    let keyring = &app.config.keyring;
    let name = seal_row(&uid);
    match keyring.open(&name, &sealed) {
        Ok(secret) => {
            let new = keyring.seal(&*app.ports.entropy, &name, &secret).map_err(Failure::internal)?;
            Ok(Some(Resealed { uid, old: sealed, new }))
        }
        Err(error) => {
            log::error!("{name} cannot be encrypted again: {error}");
            Ok(None)
        }
    }
}
