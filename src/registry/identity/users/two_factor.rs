//! The second factor of an account: proving it, turning it on and off, and its recovery codes.

use serde_json::json;

use crate::ports::Stmt;
use crate::registry::access::account::CurrentUser;
use crate::registry::identity::users::confirmation::{Confirmed, confirm};
use crate::registry::identity::users::second_factor::{
    SecondFactorInput, UnsealedSecret, not_set_up, open, seal_row, wrong_code,
};
use crate::registry::identity::users::totp::{TotpSecret, recovery_codes, recovery_hash};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::Query;
use crate::store::access::users::credentials;
use crate::store::identity::two_factor;

fn is_on() -> Failure {
    Failure::new(Kind::Conflict, "The second factor is on already. Turn it off first to use another app.")
}

fn is_off() -> Failure {
    Failure::new(Kind::Conflict, "The second factor is off. Turn it on with POST /api/auth/2fa/setup and …/enable.")
}

fn note(app: &App, me: &CurrentUser, action: &'static str) -> Result<Stmt, Failure> {
    Ok(me.by.record(app, &AuditEvent { action, target: &me.account.user.uid, label: None, details: json!({}) })?)
}

/// Makes a secret that is not in force until [`enable`]; it replaces one that is not in force either.
pub async fn set_up(app: &App, me: &CurrentUser) -> Result<TotpSecret, Failure> {
    let user = &me.account.user;
    let secret = TotpSecret::generate(&*app.ports.entropy)?;
    let sealed = app
        .config
        .keyring
        .seal(&*app.ports.entropy, &seal_row(&user.uid), &secret.to_stored())
        .map_err(Failure::internal_with_detail)?;
    let batch = (two_factor::prepare_totp(user.id, &sealed), note(app, me, "user.two_factor_prepared")?);
    let (is_prepared, ()) = app.ports.database.ask(batch).await?;
    if is_prepared { Ok(secret) } else { Err(is_on()) }
}

/// Puts the secret in force that [`set_up`] made, for whoever proves with a code that their app has it. The recovery
/// codes, shown once.
pub async fn enable(app: &App, me: &CurrentUser, code: &str) -> Result<Vec<String>, Failure> {
    let user = &me.account.user;
    let row = app.ports.database.ask(credentials(user.id)).await?;
    let row = row.ok_or_else(|| Failure::not_found("User"))?;
    if row.user.totp_enabled_at.is_some() {
        return Err(is_on());
    }
    let UnsealedSecret { secret, sealed } = open(app, &row)?.ok_or_else(not_set_up)?;
    let now = app.now();
    let wrong = "is not what the app should show now. Check the app's clock and secret, and try its next code";
    let step = secret.step_of(code, now, 0).ok_or_else(|| Failure::invalid_field("code", wrong))?;
    let RecoveryCodes { codes, hashes } = new_codes(app)?;
    let batch =
        two_factor::enable_totp(user.id, &sealed, step, &hashes, now, note(app, me, "user.two_factor_enabled")?);
    let (is_enabled, ..) = app.ports.database.ask(batch).await?;
    if is_enabled { Ok(codes) } else { Err(is_on()) }
}

/// Recovery codes.
struct RecoveryCodes {
    /// As they are shown.
    codes: Vec<String>,
    /// Their hashes, as a JSON array.
    hashes: String,
}

fn new_codes(app: &App) -> Result<RecoveryCodes, Failure> {
    let codes = recovery_codes(&*app.ports.entropy)?;
    let hashes: Vec<String> = codes.iter().map(|code| recovery_hash(code)).collect();
    Ok(RecoveryCodes { codes, hashes: json!(hashes).to_string() })
}

/// Turns the second factor off.
pub async fn disable(app: &App, me: &CurrentUser, password: &str, given: &SecondFactorInput) -> Result<(), Failure> {
    let recorded = note(app, me, "user.two_factor_disabled")?;
    spend_on(app, me, password, given, two_factor::disable_totp(me.account.user.id, recorded)).await
}

/// Makes new recovery codes, shown once; the old ones are void.
pub async fn renew_codes(
    app: &App,
    me: &CurrentUser,
    password: &str,
    given: &SecondFactorInput,
) -> Result<Vec<String>, Failure> {
    let RecoveryCodes { codes, hashes } = new_codes(app)?;
    let recorded = note(app, me, "user.recovery_codes_renewed")?;
    spend_on(app, me, password, given, two_factor::replace_codes(me.account.user.id, &hashes, recorded)).await?;
    Ok(codes)
}

/// Runs the statements of `change` right behind the one that spends the second factor; the first of them says whether
/// that was good.
async fn spend_on(
    app: &App,
    me: &CurrentUser,
    password: &str,
    given: &SecondFactorInput,
    change: (Query<bool>, Stmt, Stmt),
) -> Result<(), Failure> {
    if me.account.user.totp_enabled_at.is_none() {
        return Err(is_off());
    }
    let Confirmed { row, factor, attempt } = confirm(app, me, "password", password, Some(given)).await?;
    let spent = two_factor::spend(row.user.id, row.user.session_epoch, &factor);
    let ((), (is_good, ..), _) = app.ports.database.ask((spent, change, attempt.on_success())).await?;
    if is_good { Ok(()) } else { Err(wrong_code()) }
}
