//! Whoever has issued a link, and whether they still hold what it hands on: a link ends with its issuer.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ports::Millis;
use crate::registry::access::caller::Subject;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::rights::{Extent, Rights};
use crate::registry::access::role::Role;
use crate::registry::access::scope::Scope;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::identity::invitations;
use crate::store::identity::link_issuers::{LinkIssuer, NewLinkIssuer};

/// Which `ADMIN_TOKEN` is set: what its holder has issued ends when there is another.
fn admin_key(app: &App) -> Option<String> {
    let token = app.config.admin_token.as_ref()?;
    Some(hex::encode(&Sha256::digest(["links:", token.as_str()].concat())[..8]))
}

/// Who issues a link, as it is stored.
pub fn new_issuer(app: &App, issuer: &Issuer) -> NewLinkIssuer {
    match issuer.caller.subject {
        Subject::User { id } => NewLinkIssuer::User(id),
        Subject::Token { id } => NewLinkIssuer::Token(id),
        Subject::Admin => NewLinkIssuer::Admin(admin_key(app).unwrap_or_default()),
    }
}

/// What the issuer of a link holds now; `None` is nothing, because they are gone or manage no users any more.
fn rights_of(app: &App, organization: OrganizationId, issuer: &LinkIssuer) -> Result<Option<Rights<'static>>, Failure> {
    let rights = if issuer.user_id.is_some() {
        let Some(role) = &issuer.user_role else { return Ok(None) };
        Rights::of_role(Role::from_stored(role)?, Extent::One(organization))?
    } else if issuer.token_id.is_some() {
        let Some(token) = &issuer.token else { return Ok(None) };
        Rights::of_stored_token(organization, &token.scopes, &token.grants, token.expires_at)?
    } else {
        // Of older links it is not known which one it was.
        let is_current = issuer.admin_key.as_ref().is_none_or(|key| Some(key) == admin_key(app).as_ref());
        if !is_current {
            return Ok(None);
        }
        Rights::of_role(Role::Owner, Extent::Several)?
    };
    let managing = Rights { scopes: vec![Scope::UsersWrite].into(), ..Rights::none(organization) };
    Ok(Some(rights).filter(|rights| rights.lack_of(&managing).is_none()))
}

/// Whether the issuer of a link of an organization still holds what it hands on.
pub fn still_holds(
    app: &App,
    organization: OrganizationId,
    issuer: &LinkIssuer,
    handed_on: &Rights<'_>,
) -> Result<bool, Failure> {
    Ok(rights_of(app, organization, issuer)?.is_some_and(|rights| rights.lack_of(handed_on).is_none()))
}

/// The invitations that their issuers could not issue now, for the statements that leave them out.
pub async fn void_invitations(app: &App, organization: OrganizationId, now: Millis) -> Result<Vec<Value>, Failure> {
    let mut void = Vec::new();
    for inviting in app.ports.database.ask(invitations::issuers(organization, now)).await? {
        let handed_on = Rights::of_role(Role::from_stored(&inviting.role)?, Extent::One(organization))?;
        if !still_holds(app, organization, &inviting.issuer, &handed_on)? {
            void.push(inviting.issuer.links(&inviting.role));
        }
    }
    Ok(void)
}
