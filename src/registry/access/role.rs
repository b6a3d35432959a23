//! Roles: what each lets its user do, and whom it may manage.

use crate::registry::access::scope::Scope;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::access::users::UserRow;

/// A user's role; a greater one may do more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads packages and repositories, and changes nothing but its own account.
    Viewer,
    /// Changes packages and repositories too, and reads tokens.
    Member,
    /// Does everything but manage owners.
    Admin,
    /// Does everything.
    Owner,
}

const ROLES: [(Role, &str); 4] =
    [(Role::Viewer, "viewer"), (Role::Member, "member"), (Role::Admin, "admin"), (Role::Owner, "owner")];

impl Role {
    /// Reads a role's name.
    pub fn parse(name: &str) -> Option<Self> {
        ROLES.iter().find(|(_, known)| *known == name).map(|(role, _)| *role)
    }

    /// The role's name.
    pub fn as_str(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    /// What its users may do besides looking after their own account.
    pub fn scopes(self) -> Vec<Scope> {
        match self {
            Self::Viewer => {
                vec![Scope::PackagesRead, Scope::RepositoriesRead, Scope::AdvisoriesRead]
            }
            Self::Member => vec![
                Scope::PackagesRead,
                Scope::PackagesWrite,
                Scope::RepositoriesRead,
                Scope::RepositoriesWrite,
                Scope::TokensRead,
                Scope::AdvisoriesRead,
                Scope::AdvisoriesWrite,
            ],
            Self::Admin | Self::Owner => vec![Scope::Admin],
        }
    }

    /// Whether it may make, change and remove users of `other`: nobody manages those above.
    pub fn manages(self, other: Self) -> bool {
        self >= Self::Admin && self >= other
    }

    /// The names of all roles that it manages, as a JSON array.
    pub fn managed(self) -> String {
        let names: Vec<&str> = ROLES.iter().filter(|(role, _)| self.manages(*role)).map(|(_, name)| *name).collect();
        serde_json::json!(names).to_string()
    }

    /// Refuses to give, or to touch a user with, a role above this one.
    pub fn require_over(self, other: Self) -> Result<(), Failure> {
        if self.manages(other) {
            return Ok(());
        }
        Err(Failure::new(Kind::Forbidden, format!("Only an owner may manage users who are `{}`.", other.as_str())))
    }
}

/// A user's role in the organization that it was looked up in.
pub fn role_of(user: &UserRow) -> Result<Role, Failure> {
    let unknown = || crate::ports::Fault::new("database", format!("the role of user {} is unknown", user.id));
    Role::parse(&user.role).ok_or_else(|| unknown().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::scope::is_read_only;

    #[test]
    fn nobody_manages_those_above_and_only_admins_and_owners_manage_anybody() {
        for (role, managed) in [
            (Role::Viewer, "[]"),
            (Role::Member, "[]"),
            (Role::Admin, r#"["viewer","member","admin"]"#),
            (Role::Owner, r#"["viewer","member","admin","owner"]"#),
        ] {
            assert_eq!(role.managed(), managed, "{role:?}");
        }
    }

    #[test]
    fn a_greater_role_may_do_what_a_lesser_one_may() {
        let may = |role: Role, scope| role.scopes().contains(&Scope::Admin) || role.scopes().contains(&scope);
        for pair in ROLES.windows(2) {
            assert!(pair[0].0.scopes().iter().all(|scope| may(pair[1].0, *scope)), "{pair:?}");
        }
        assert!(is_read_only(&Role::Viewer.scopes()));
    }
}
