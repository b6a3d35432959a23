//! The second factor of an account: proving it, turning it on and off, and its recovery codes.

use serde_json::json;

use crate::ports::Stmt;
use crate::registry::access::account::Me;
use crate::registry::identity::users::confirmation::confirm;
use crate::registry::identity::users::second_factor::{Given, not_set_up, open, seal_row, wrong_code};
use crate::registry::identity::users::totp::{Secret, recovery_codes, recovery_hash};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::Deed;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::access::users::{CredentialRow, credentials};
use crate::store::identity::two_factor;
use crate::store::run;

fn is_on() -> Failure {
    Failure::new(Kind::Conflict, "The second factor is on already. Turn it off first to use another app.")
}

fn is_off() -> Failure {
    Failure::new(Kind::Conflict, "The second factor is off. Turn it on with POST /api/auth/2fa/setup and …/enable.")
}

fn note(app: &App, me: &Me, action: &'static str) -> Result<Stmt, Failure> {
    Ok(me.by.note(app, &Deed { action, target: &me.account.user.uid, label: None, details: json!({}) })?)
}

/// Makes a secret that is not in force until [`enable`]; it replaces one that is not in force either.
pub async fn set_up(app: &App, me: &Me) -> Result<Secret, Failure> {
    let user = &me.account.user;
    let secret = Secret::generate(&*app.ports.entropy)?;
    let sealed = app
        .config
        .keyring
        .seal(&*app.ports.entropy, &seal_row(&user.uid), &secret.to_stored())
        .map_err(Failure::told)?;
    let batch = vec![two_factor::prepare_totp(user.id, &sealed), note(app, me, "user.two_factor_prepared")?];
    let prepared = app.ports.database.batch(batch).await?.into_iter().next().unwrap_or_default();
    if prepared.0.is_empty() { Err(is_on()) } else { Ok(secret) }
}

/// Puts the secret in force that [`set_up`] made, for whoever proves with a code that their app has it. The recovery
/// codes, shown once.
pub async fn enable(app: &App, me: &Me, code: &str) -> Result<Vec<String>, Failure> {
    let user = &me.account.user;
    let row: Option<CredentialRow> = run(&*app.ports.database, credentials(user.id)).await?.first()?;
    let row = row.ok_or_else(|| Failure::not_found("User"))?;
    if row.user.totp_enabled_at.is_some() {
        return Err(is_on());
    }
    let (secret, sealed) = open(app, &row)?.ok_or_else(not_set_up)?;
    let now = app.now();
    let wrong = "is not what the app should show now. Check the app's clock and secret, and try its next code";
    let step = secret.step_of(code, now, 0).ok_or_else(|| Failure::invalid_field("code", wrong))?;
    let (codes, hashes) = new_codes(app)?;
    let batch =
        two_factor::enable_totp(user.id, &sealed, step, &hashes, now, note(app, me, "user.two_factor_enabled")?);
    let enabled = app.ports.database.batch(batch).await?.into_iter().next().unwrap_or_default();
    if enabled.0.is_empty() { Err(is_on()) } else { Ok(codes) }
}

/// Recovery codes as they are shown, and their hashes as a JSON array.
fn new_codes(app: &App) -> Result<(Vec<String>, String), Failure> {
    let codes = recovery_codes(&*app.ports.entropy)?;
    let hashes: Vec<String> = codes.iter().map(|code| recovery_hash(code)).collect();
    Ok((codes, json!(hashes).to_string()))
}

/// Turns the second factor off.
pub async fn disable(app: &App, me: &Me, password: &str, given: &Given) -> Result<(), Failure> {
    act(app, me, password, given, |spent| {
        let noted = note(app, me, "user.two_factor_disabled")?;
        Ok(two_factor::disable_totp(me.account.user.id, spent, noted))
    })
    .await
}

/// Makes new recovery codes, shown once; the old ones are void.
pub async fn renew_codes(app: &App, me: &Me, password: &str, given: &Given) -> Result<Vec<String>, Failure> {
    let (codes, hashes) = new_codes(app)?;
    act(app, me, password, given, |spent| {
        let noted = note(app, me, "user.recovery_codes_renewed")?;
        Ok(two_factor::replace_codes(me.account.user.id, spent, &hashes, noted))
    })
    .await?;
    Ok(codes)
}

/// Runs the statements that `act` makes of the one that spends the second factor; the second of them yields rows when
/// it was good.
async fn act(
    app: &App,
    me: &Me,
    password: &str,
    given: &Given,
    act: impl FnOnce(Stmt) -> Result<Vec<Stmt>, Failure>,
) -> Result<(), Failure> {
    if me.account.user.totp_enabled_at.is_none() {
        return Err(is_off());
    }
    let (row, factor, attempt) = confirm(app, me, "password", password, Some(given)).await?;
    let mut batch = act(two_factor::spend(row.user.id, row.user.session_epoch, &factor))?;
    batch.extend(attempt.settled());
    let done = app.ports.database.batch(batch).await?.into_iter().nth(1).unwrap_or_default();
    if done.0.is_empty() { Err(wrong_code()) } else { Ok(()) }
}
