//! Proving again who one is, before a change that a stolen session must not make.

use crate::registry::access::account::CurrentUser;
use crate::registry::identity::users::password::{self, PasswordCheck};
use crate::registry::identity::users::second_factor::{SecondFactorInput, SecondFactorProof, prove, wrong_code};
use crate::registry::identity::users::throttle::{self, LoginAttempt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::access::users::{CredentialRow, credentials};
use crate::store::identity::two_factor::Factor;

/// Somebody who has proved again who they are.
pub struct Confirmed {
    /// Their user.
    pub row: CredentialRow,
    /// The second factor that they gave; it is still to be spent.
    pub factor: Factor,
    /// The attempt, which is still to be settled.
    pub attempt: LoginAttempt,
}

/// Has the holder of a session prove again who they are. A stolen session is not to be turned into an account: wrong
/// answers count as failed logins.
///
/// # Errors
/// A wrong password is told of the request's field `field`, a wrong or missing second factor (if `given` is some) of
/// the field `code`.
pub async fn confirm(
    app: &App,
    me: &CurrentUser,
    field: &str,
    password: &str,
    given: Option<&SecondFactorInput>,
) -> Result<Confirmed, Failure> {
    let user = &me.account.user;
    let attempt = LoginAttempt::new(&user.email, me.by.address.as_deref());
    let row = throttle::begin(app, &me.by, &attempt, credentials(user.id)).await?;
    let row = row.ok_or_else(|| Failure::not_found("User"))?;
    if password::verify(Some(&row.password), password)? == PasswordCheck::Wrong {
        throttle::failed(app, &me.by, Some(&row), "password").await?;
        return Err(Failure::invalid_field(field, "is not the password of this account"));
    }
    let proof = given.map_or(Ok(SecondFactorProof::Good(Factor::None)), |given| prove(app, &row, given))?;
    match proof {
        SecondFactorProof::Good(factor) => Ok(Confirmed { row, factor, attempt }),
        SecondFactorProof::Missing | SecondFactorProof::Wrong => {
            throttle::failed(app, &me.by, Some(&row), "code").await?;
            Err(wrong_code())
        }
    }
}
