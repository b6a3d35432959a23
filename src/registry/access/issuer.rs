//! Who hands rights on, or manages those who have some: bounded by what they hold themselves.

use std::sync::Arc;

use serde_json::json;

use crate::registry::access::actor::Actor;
use crate::registry::access::caller::Caller;
use crate::registry::access::grant::everything;
use crate::registry::access::rights::{Extent, Lack, Rights};
use crate::registry::access::role::{Role, role_of};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::OrganizationId;
use crate::store::access::tokens::{GrantRow, TokenRow};
use crate::store::access::users::{ManagedUsers, UserRow};

/// Most different grants that are compared with those of a limited credential at once. It has 1,000 at most, so that is two
/// million comparisons; as JSON one takes 255 bytes for its target, 500 for its constraint and some 120 for the rest, so all
/// of them are 1.75 MB of the 2 MB that a value may have.
pub const MAX_COMPARED_GRANTS: i64 = 2000;

/// Who issues, changes or revokes credentials.
#[derive(Clone)]
pub struct Issuer {
    /// For the audit log.
    pub by: Actor,
    /// What bounds them.
    pub caller: Arc<Caller>,
}

fn forbidden(detail: String) -> Failure {
    Failure::new(Kind::Forbidden, detail)
}

impl Issuer {
    /// What they lack of `rights`.
    fn lack_of(&self, rights: &Rights<'_>) -> Option<Lack> {
        Rights::of_caller(&self.caller).lack_of(rights)
    }

    /// Whether they hold as much as anybody can.
    pub fn holds_everything(&self) -> Result<bool, Failure> {
        let all = Rights::of_role(Role::Admin, Extent::One(self.by.organization()))?;
        Ok(self.lack_of(&all).is_none())
    }

    /// Refuses to give a token more than they hold.
    pub fn require(&self, rights: &Rights<'_>) -> Result<(), Failure> {
        match self.lack_of(rights) {
            None => Ok(()),
            Some(lack) => Err(forbidden(told_of_token(&lack))),
        }
    }

    /// Whether they see every version of every package, for as long as they see anything.
    pub fn covers_everything(&self) -> Result<bool, Failure> {
        self.covers_grants(&[everything()])
    }

    /// Whether they see whatever grants let through.
    pub fn covers_grants(&self, grants: &[GrantRow]) -> Result<bool, Failure> {
        let rights = Rights::none(self.by.organization()).with_grants(grants)?;
        Ok(self.lack_of(&rights).is_none())
    }

    /// Those of some grants that let no more through than theirs.
    pub fn covered(&self, grants: Vec<GrantRow>) -> Result<Vec<GrantRow>, Failure> {
        let mut covered = Vec::new();
        for grant in grants {
            if self.covers_grants(std::slice::from_ref(&grant))? {
                covered.push(grant);
            }
        }
        Ok(covered)
    }

    /// Refuses grants that let more through than theirs.
    pub fn check_grants(&self, grants: &[GrantRow]) -> Result<(), Failure> {
        self.require(&Rights::none(self.by.organization()).with_grants(grants)?)
    }

    /// Refuses a token that holds more than they do.
    pub fn check_token(&self, token: &TokenRow) -> Result<(), Failure> {
        let Some(lack) = self.lack_of(&Rights::of_token(token)?) else { return Ok(()) };
        let why = match lack {
            Lack::End(_) => "Yours ends before it does.".to_owned(),
            lack => told_of_token(&lack),
        };
        Err(forbidden(format!("This token holds more than yours. {why}")))
    }

    /// Refuses to make somebody a user with a role that holds more than they do.
    pub fn check_role(&self, role: Role) -> Result<(), Failure> {
        self.check_user(role, &Rights::of_role(role, Extent::One(self.by.organization()))?)
    }

    /// Refuses a user who holds more than they do, here or, if it is about what opens the user's account, anywhere.
    pub fn check_managed(&self, user: &UserRow, is_about_account: bool) -> Result<(), Failure> {
        let rights = if is_about_account { Rights::of_account(user) } else { Rights::of_member(user) }?;
        self.check_user(role_of(user)?, &rights)
    }

    fn check_user(&self, role: Role, rights: &Rights<'_>) -> Result<(), Failure> {
        match self.lack_of(rights) {
            None => Ok(()),
            Some(lack) => Err(forbidden(told_of_user(role, &lack))),
        }
    }

    /// Whom they may manage, for statements that see to it themselves.
    pub fn managed_users(&self) -> Result<ManagedUsers, Failure> {
        let mut roles = Vec::new();
        for role in Role::all() {
            let rights = Rights::of_role(role, Extent::One(self.by.organization()))?;
            if self.lack_of(&rights).is_none() {
                roles.push(role.as_str());
            }
        }
        Ok(ManagedUsers { roles: json!(roles).to_string(), are_only_here: self.caller.home().is_some() })
    }

    /// The organization in which they act.
    pub fn organization(&self) -> OrganizationId {
        self.by.organization()
    }
}

/// Why they cannot give a token what they lack.
fn told_of_token(lack: &Lack) -> String {
    match lack {
        Lack::Scopes(scopes) => {
            format!("Only who holds a scope can hand it on. You lack `{}`.", Lack::scope_list(scopes))
        }
        Lack::Grant(row) => format!(
            "Only who sees packages can let others see them. No grant of yours holds all of `{}` in `{}`.",
            row.target, row.version_constraint
        ),
        Lack::End(own) => {
            let own = own.seconds();
            format!("A token cannot outlive the one that issues it. Set `expires_at` to {own} or earlier.")
        }
        Lack::Ownership | Lack::Organizations => "It belongs to another organization than yours.".to_owned(),
    }
}

/// Why they cannot manage a user with `role`, or make somebody one.
fn told_of_user(role: Role, lack: &Lack) -> String {
    let role = role.as_str();
    match lack {
        Lack::Ownership => format!("Only an owner may manage users who are `{role}`."),
        Lack::Organizations => {
            "This user is in other organizations too, so only `ADMIN_TOKEN` may change what opens the account."
                .to_owned()
        }
        Lack::Scopes(scopes) => format!(
            "Only who may do all that a user who is `{role}` may can manage one. You lack `{}`.",
            Lack::scope_list(scopes)
        ),
        Lack::Grant(_) => {
            "Users see every package for as long as they are users, and your token does not. Use one that does."
                .to_owned()
        }
        Lack::End(_) => {
            "Users do not end, and your token does. Use one without `expires_at` to manage users.".to_owned()
        }
    }
}
