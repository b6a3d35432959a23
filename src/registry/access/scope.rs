//! Scopes: what a credential may do, and their short forms.

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read metadata and download.
    PackagesRead,
    /// Publish.
    PackagesWrite,
    /// Read repositories.
    RepositoriesRead,
    /// Register, sync and remove repositories.
    RepositoriesWrite,
    /// Read tokens.
    TokensRead,
    /// Issue and revoke tokens.
    TokensWrite,
    /// Read the audit log.
    AuditRead,
    /// Read users and invitations.
    UsersRead,
    /// Invite, change and remove users.
    UsersWrite,
    /// Read settings and statistics.
    SettingsRead,
    /// Change settings.
    SettingsWrite,
    /// Read advisories and filter lists.
    AdvisoriesRead,
    /// Write advisories and filter lists.
    AdvisoriesWrite,
    /// Read consumers and what they bought.
    ConsumersRead,
    /// Register consumers and grant them packages.
    ConsumersWrite,
    /// Read through the storefront API.
    StorefrontRead,
    /// Read the private keys of consumers.
    StorefrontKeys,
    /// Change through the storefront API.
    StorefrontWrite,
}

const SCOPES: &[(Scope, &str)] = &[
    (Scope::Admin, "admin"),
    (Scope::PackagesRead, "packages:read"),
    (Scope::PackagesWrite, "packages:write"),
    (Scope::RepositoriesRead, "repositories:read"),
    (Scope::RepositoriesWrite, "repositories:write"),
    (Scope::TokensRead, "tokens:read"),
    (Scope::TokensWrite, "tokens:write"),
    (Scope::AuditRead, "audit:read"),
    (Scope::UsersRead, "users:read"),
    (Scope::UsersWrite, "users:write"),
    (Scope::SettingsRead, "settings:read"),
    (Scope::SettingsWrite, "settings:write"),
    (Scope::AdvisoriesRead, "advisories:read"),
    (Scope::AdvisoriesWrite, "advisories:write"),
    (Scope::ConsumersRead, "consumers:read"),
    (Scope::ConsumersWrite, "consumers:write"),
    (Scope::StorefrontRead, "storefront:read"),
    (Scope::StorefrontKeys, "storefront:keys"),
    (Scope::StorefrontWrite, "storefront:write"),
];

impl Scope {
    /// Reads a scope's name.
    pub fn parse(name: &str) -> Option<Self> {
        SCOPES.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope)
    }

    /// The scope's name.
    pub fn as_str(self) -> &'static str {
        SCOPES.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }

    /// All of them, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Self> {
        SCOPES.iter().map(|(scope, _)| *scope)
    }

    /// The scopes that a name stands for, in a request or in a row: one with all that it contains, or with `*` behind the
    /// colon all of that area; none when there is no such name.
    pub fn named(name: &str) -> Vec<Self> {
        match name.strip_suffix('*').filter(|area| area.ends_with(':')) {
            Some(area) => Self::all().filter(|scope| scope.as_str().starts_with(area)).collect(),
            // Whoever changes consumers can give them keys that they know.
            None if name == Self::StorefrontWrite.as_str() => vec![Self::StorefrontKeys, Self::StorefrontWrite],
            None => Self::parse(name).into_iter().collect(),
        }
    }

    /// The scopes that stored names stand for.
    pub fn of_stored(names: &[String]) -> Vec<Self> {
        let found: Vec<Self> = names.iter().flat_map(|name| Self::named(name)).collect();
        Self::all().filter(|scope| found.contains(scope)).collect()
    }

    fn only_reads(self) -> bool {
        self == Self::StorefrontKeys || self.as_str().ends_with(":read")
    }
}

/// Whether a holder of `scopes` changes nothing; decides which default rate limit applies.
pub fn is_read_only(scopes: &[Scope]) -> bool {
    scopes.iter().all(|scope| scope.only_reads())
}

/// The short forms of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// `packages:read`.
    ReadOnly,
    /// `packages:*` and `repositories:*`.
    Write,
}

impl Permissions {
    /// What it is short for.
    pub fn scopes(self) -> Vec<Scope> {
        match self {
            Self::ReadOnly => vec![Scope::PackagesRead],
            Self::Write => {
                vec![Scope::PackagesRead, Scope::PackagesWrite, Scope::RepositoriesRead, Scope::RepositoriesWrite]
            }
        }
    }

    /// The short form of stored scopes.
    pub fn of(scopes: &[String]) -> Self {
        if is_read_only(&Scope::of_stored(scopes)) { Self::ReadOnly } else { Self::Write }
    }
}

/// The scopes' names.
pub fn names(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
}
