//! The second factor that somebody gives: whether it is good.

use crate::registry::identity::users::totp::{TotpSecret, recovery_hash};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::access::users::CredentialRow;
use crate::store::identity::two_factor::Factor;

/// What the holder of an account gives as second factor.
#[derive(Clone, Default)]
pub struct SecondFactorInput {
    /// From the app.
    pub totp_code: Option<String>,
    /// From the list.
    pub recovery_code: Option<String>,
}

/// What that is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum SecondFactorProof {
    /// It is good, or none is needed; it is still to be spent.
    Good(Factor),
    /// One is needed.
    Missing,
    /// It is not good.
    Wrong,
}

/// Looks at a second factor without spending it.
pub fn prove(app: &App, row: &CredentialRow, given: &SecondFactorInput) -> Result<SecondFactorProof, Failure> {
    if row.user.totp_enabled_at.is_none() {
        return Ok(SecondFactorProof::Good(Factor::None));
    }
    if let Some(code) = &given.recovery_code {
        let hash = recovery_hash(code);
        let is_good = row.recovery_codes.contains(&hash);
        return Ok(if is_good {
            SecondFactorProof::Good(Factor::RecoveryCode(hash))
        } else {
            SecondFactorProof::Wrong
        });
    }
    let Some(code) = &given.totp_code else { return Ok(SecondFactorProof::Missing) };
    let UnsealedSecret { secret, .. } = open(app, row)?.ok_or_else(not_set_up)?;
    let step = secret.step_of(code, app.now(), row.totp_last_step);
    Ok(step.map_or(SecondFactorProof::Wrong, |step| SecondFactorProof::Good(Factor::Totp(step))))
}

/// What a user's secret is sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("user/{uid}/totp")
}

/// A user's secret.
pub struct UnsealedSecret {
    /// Opened.
    pub secret: TotpSecret,
    /// As it is stored.
    pub sealed: String,
}

/// Opens a user's secret, if there is one.
pub fn open(app: &App, row: &CredentialRow) -> Result<Option<UnsealedSecret>, Failure> {
    let Some(sealed) = row.totp_secret.clone() else { return Ok(None) };
    let opened = app.config.keyring.open(&seal_row(&row.user.uid), &sealed).map_err(Failure::internal)?;
    Ok(Some(UnsealedSecret { secret: TotpSecret::from_stored(&opened)?, sealed }))
}

/// The refusal when there is no secret yet.
pub fn not_set_up() -> Failure {
    Failure::new(Kind::Conflict, "No second factor was set up. Begin with POST /api/auth/2fa/setup.")
}

/// The refusal of a code in a session.
pub fn wrong_code() -> Failure {
    Failure::invalid_field("code", "is wrong, too old or was used before. Wait for the app's next code")
}
