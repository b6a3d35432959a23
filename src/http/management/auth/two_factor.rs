//! One's own second factor.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::JsonBody;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::OwnAccount;
use crate::http::kit::response::{Done, message, no_store};
use crate::http::kit::secret::Secret;
use crate::registry::identity::users::second_factor::SecondFactorInput;
use crate::registry::identity::users::two_factor;
use crate::registry::kernel::failure::Failure;

/// A secret for an authenticator app.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    "otpauth_uri": "otpauth://totp/Rostrum:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Rostrum&algorithm=SHA1&digits=6&period=30"
}))]
pub struct TwoFactorView {
    /// To be typed in; shown this once.
    secret: String,
    /// To be shown as a QR code.
    otpauth_uri: String,
}

/// Makes a secret for an authenticator app. It is not asked for until a code of it is shown to `…/enable`.
#[utoipa::path(
    post,
    path = "/2fa/setup",
    tag = "authentication",
    responses(
        (status = 200, description = "The secret", body = TwoFactorView),
        (status = 409, description = "The second factor is on already")
    )
)]
pub async fn set_up_two_factor(auth: RequestAuth<OwnAccount>) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let secret = two_factor::set_up(auth.app(), &me).await?;
    let view = TwoFactorView { secret: secret.to_base32(), otpauth_uri: secret.to_uri(&me.account.user.email) };
    Ok(no_store(StatusCode::OK, &view))
}

/// A code of the app.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"code": "123456"}))]
pub struct CodeRequest {
    /// What the app shows.
    code: Secret,
}

/// Codes that let their owner in without the app.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"recovery_codes": ["abcd-efgh-ijkl-mnop"]}))]
pub struct RecoveryCodesView {
    /// Each works once; shown this once.
    recovery_codes: Vec<String>,
}

/// Turns the second factor on. The answer is the only place that ever shows the recovery codes.
#[utoipa::path(
    post,
    path = "/2fa/enable",
    tag = "authentication",
    request_body = CodeRequest,
    responses(
        (status = 200, description = "The recovery codes", body = RecoveryCodesView),
        (status = 400, description = "The code is wrong, or a field is"),
        (status = 409, description = "It is on already, or was not set up")
    )
)]
pub async fn enable_two_factor(
    auth: RequestAuth<OwnAccount>,
    body: Result<JsonBody<CodeRequest>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let JsonBody(request) = body?;
    let recovery_codes = two_factor::enable(auth.app(), &me, &request.code.0).await?;
    Ok(no_store(StatusCode::OK, &RecoveryCodesView { recovery_codes }))
}

/// The proof that it is the account's owner who asks.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"password": "correct horse battery", "code": "123456"}))]
pub struct ProofRequest {
    password: Secret,
    /// What the app shows.
    code: Option<Secret>,
    /// One of the recovery codes instead.
    recovery_code: Option<Secret>,
}

impl ProofRequest {
    fn into_proof(self) -> Result<(String, SecondFactorInput), Failure> {
        if self.code.is_some() == self.recovery_code.is_some() {
            return Err(Failure::invalid_field("code", "is required, or `recovery_code` instead of it"));
        }
        let given = SecondFactorInput {
            totp_code: self.code.map(|code| code.0),
            recovery_code: self.recovery_code.map(|code| code.0),
        };
        Ok((self.password.0, given))
    }
}

/// Turns the second factor off.
#[utoipa::path(
    post,
    path = "/2fa/disable",
    tag = "authentication",
    request_body = ProofRequest,
    responses(
        (status = 200, description = "It is off", body = Done),
        (status = 400, description = "The password or the code is wrong, or a field is"),
        (status = 409, description = "It is off already"),
        (status = 429, description = "Too many failures, or the account's hour is used up")
    )
)]
pub async fn disable_two_factor(
    auth: RequestAuth<OwnAccount>,
    body: Result<JsonBody<ProofRequest>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let JsonBody(request) = body?;
    let (password, given) = request.into_proof()?;
    two_factor::disable(auth.app(), &me, &password, &given).await?;
    Ok(message("Two-factor authentication is off"))
}

/// Makes new recovery codes; the old ones are void.
#[utoipa::path(
    post,
    path = "/2fa/recovery-codes",
    tag = "authentication",
    request_body = ProofRequest,
    responses(
        (status = 200, description = "The recovery codes", body = RecoveryCodesView),
        (status = 400, description = "The password or the code is wrong, or a field is"),
        (status = 409, description = "The second factor is off"),
        (status = 429, description = "Too many failures, or the account's hour is used up")
    )
)]
pub async fn renew_recovery_codes(
    auth: RequestAuth<OwnAccount>,
    body: Result<JsonBody<ProofRequest>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let JsonBody(request) = body?;
    let (password, given) = request.into_proof()?;
    let recovery_codes = two_factor::renew_codes(auth.app(), &me, &password, &given).await?;
    Ok(no_store(StatusCode::OK, &RecoveryCodesView { recovery_codes }))
}
