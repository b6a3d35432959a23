//! Roles: what each lets its user do.

use crate::ports::Fault;
use crate::registry::access::scope::Scope;
use crate::registry::kernel::failure::Failure;
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

    /// Reads a role's name from the database.
    pub fn from_stored(name: &str) -> Result<Self, Failure> {
        Self::parse(name).ok_or_else(|| Fault::new("database", format!("`{name}` is no role")).into())
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

    /// All of them, the least first.
    pub fn all() -> impl Iterator<Item = Self> {
        ROLES.iter().map(|(role, _)| *role)
    }
}

/// A user's role in the organization that it was looked up in.
pub fn role_of(user: &UserRow) -> Result<Role, Failure> {
    Role::from_stored(&user.role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::scope::is_read_only;

    #[test]
    fn a_greater_role_may_do_what_a_lesser_one_may() {
        let may = |role: Role, scope| role.scopes().contains(&Scope::Admin) || role.scopes().contains(&scope);
        for pair in ROLES.windows(2) {
            assert!(pair[0].0.scopes().iter().all(|scope| may(pair[1].0, *scope)), "{pair:?}");
        }
        assert!(is_read_only(&Role::Viewer.scopes()));
    }
}
