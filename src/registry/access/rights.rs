//! Rights, and the one decision whether somebody holds enough to hand some on, or to manage who has them. Whatever gives,
//! changes or takes rights asks here: tokens, users and their roles, invitations, links to a new password, and what was
//! issued before and is used now.

use std::borrow::Cow;
use std::sync::Arc;

use crate::ports::Millis;
use crate::registry::access::caller::Caller;
use crate::registry::access::grant::{Grant, everything, read_grants};
use crate::registry::access::role::{Role, role_of};
use crate::registry::access::scope::Scope;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::access::tokens::{GrantRow, TokenRow};
use crate::store::access::users::UserRow;

/// Where rights hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// In one organization.
    One(OrganizationId),
    /// In more than that.
    Several,
}

/// What somebody may do, or is to be given.
#[derive(Debug, Clone)]
pub struct Rights<'a> {
    /// What may be done.
    pub scopes: Cow<'a, [Scope]>,
    /// With what.
    pub grants: Cow<'a, [Arc<Grant>]>,
    /// Until when.
    pub expires_at: Option<Millis>,
    /// Whether users who are owners are managed too: that is no scope.
    pub manages_owners: bool,
    /// Where.
    pub extent: Extent,
}

/// What somebody lacks who does not hold as much as others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The right to manage owners.
    Ownership,
    /// An account in other organizations.
    Organizations,
    /// Scopes.
    Scopes(Vec<Scope>),
    /// All that this grant lets through.
    Grant(Box<GrantRow>),
    /// Time: they end at this moment.
    End(Millis),
}

impl Lack {
    /// The scopes as a sentence lists them.
    pub fn scope_list(scopes: &[Scope]) -> String {
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join("`, `")
    }
}

impl Rights<'static> {
    /// Those of nobody: nothing, and not even for a while.
    pub fn none(organization: OrganizationId) -> Self {
        Self {
            scopes: Cow::Borrowed(&[]),
            grants: Cow::Borrowed(&[]),
            expires_at: Some(Millis(0)),
            manages_owners: false,
            extent: Extent::One(organization),
        }
    }

    /// All that a user with this role may do, whose account does not end.
    pub fn of_role(role: Role, extent: Extent) -> Result<Self, Failure> {
        Ok(Self {
            scopes: role.scopes().into(),
            grants: vec![Arc::new(Grant::from_row(&everything())?)].into(),
            expires_at: None,
            manages_owners: role == Role::Owner,
            extent,
        })
    }

    /// What a user may do in the organization that it was looked up in.
    pub fn of_member(user: &UserRow) -> Result<Self, Failure> {
        Self::of_role(role_of(user)?, Extent::One(user.organization))
    }

    /// What opens a user's account lets do.
    pub fn of_account(user: &UserRow) -> Result<Self, Failure> {
        let extent = if user.organizations > 1 { Extent::Several } else { Extent::One(user.organization) };
        Self::of_role(role_of(user)?, extent)
    }

    /// What the holder of a token may do.
    pub fn of_token(token: &TokenRow) -> Result<Self, Failure> {
        Self::of_stored_token(token.organization, &token.scopes, &token.grants, token.expires_at)
    }

    /// What the holder of a token may do that is stored with these scopes and grants, and this end.
    pub fn of_stored_token(
        organization: OrganizationId,
        scopes: &[String],
        grants: &[GrantRow],
        expires_at: Option<Millis>,
    ) -> Result<Self, Failure> {
        let scopes = Scope::of_stored(scopes).into();
        Ok(Self { scopes, expires_at, ..Self::none(organization).with_grants(grants)? })
    }

    /// These, with grants.
    pub fn with_grants(self, rows: &[GrantRow]) -> Result<Self, Failure> {
        Ok(Self { grants: read_grants(rows.to_vec(), |_| None)?.into(), ..self })
    }
}

impl<'a> Rights<'a> {
    /// What a caller may do.
    pub fn of_caller(caller: &'a Caller) -> Self {
        Self {
            scopes: Cow::Borrowed(&caller.scopes),
            grants: Cow::Borrowed(caller.grants()),
            expires_at: caller.expires_at,
            manages_owners: caller.role == Role::Owner,
            extent: caller.home().map_or(Extent::Several, Extent::One),
        }
    }

    /// The decision: what whoever holds these lacks of `others`, first of all; `None` when they hold all of that.
    pub fn lack_of(&self, others: &Rights<'_>) -> Option<Lack> {
        if others.manages_owners && !self.manages_owners {
            return Some(Lack::Ownership);
        }
        if self.extent != Extent::Several && self.extent != others.extent {
            return Some(Lack::Organizations);
        }
        let holds = |scope: &Scope| self.scopes.contains(&Scope::Admin) || self.scopes.contains(scope);
        let lacking: Vec<Scope> = others.scopes.iter().copied().filter(|scope| !holds(scope)).collect();
        if !lacking.is_empty() {
            return Some(Lack::Scopes(lacking));
        }
        let includes = |other: &&Arc<Grant>| self.grants.iter().any(|own| own.includes(other));
        if let Some(grant) = others.grants.iter().find(|other| !includes(other)) {
            return Some(Lack::Grant(Box::new(grant.row())));
        }
        self.expires_at.filter(|own| others.expires_at.is_none_or(|end| end > *own)).map(Lack::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::grant::packages;

    const HERE: Extent = Extent::One(OrganizationId::ROOT);

    fn role(role: Role) -> Rights<'static> {
        Rights::of_role(role, HERE).expect("rights")
    }

    #[test]
    fn a_greater_role_holds_what_a_lesser_one_does_and_not_the_other_way_round() {
        let roles = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
        for one in roles {
            for other in roles {
                assert_eq!(role(one).lack_of(&role(other)).is_none(), one >= other, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn each_part_of_rights_can_be_lacking() {
        let all = Rights { extent: Extent::Several, ..role(Role::Owner) };
        let acme = || Rights::none(OrganizationId::ROOT).with_grants(&[packages("acme/*")]).expect("grants");
        for (less, expected) in [
            (Rights { manages_owners: false, ..all.clone() }, Lack::Ownership),
            (Rights { extent: HERE, ..all.clone() }, Lack::Organizations),
            (Rights { scopes: vec![Scope::UsersWrite].into(), ..all.clone() }, Lack::Scopes(vec![Scope::Admin])),
            (Rights { grants: acme().grants, ..all.clone() }, Lack::Grant(Box::new(everything()))),
            (Rights { expires_at: Some(Millis(5)), ..all.clone() }, Lack::End(Millis(5))),
        ] {
            assert_eq!(less.lack_of(&all), Some(expected));
            assert_eq!(all.lack_of(&less), None);
            assert_eq!(less.lack_of(&less), None);
            assert_eq!(less.lack_of(&Rights::none(OrganizationId::ROOT)), None);
        }
    }
}
