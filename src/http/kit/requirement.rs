//! What an operation requires of its caller. It is part of a handler's signature (`RequestAuth<PackagesRead>`), so that
//! what is checked and what the API document says cannot differ.

use std::marker::PhantomData;

use crate::registry::access::scope::Scope;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without credentials.
    Public,
    /// The holder of `ADMIN_TOKEN`.
    AdminToken,
    /// A user, by a session, for their own account.
    OwnAccount,
    /// Whoever has this scope.
    Scope(Scope),
}

/// Whether a request counts against the rate limit of all requests of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// It does, and is refused when none is left.
    Counted,
    /// It does not: another limit bounds it, or composer sends it by itself and cannot send it again.
    Uncounted,
}

/// How much of the organization the caller of an operation has to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Whatever it sees: the operation goes no further than its view.
    View,
    /// Everything: the operation is about the whole organization, so a credential that is limited to some packages is refused.
    Organization,
}

/// What an operation requires of its caller, as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// Who may call it.
    pub access: Access,
    /// Whether it counts.
    pub counting: Counting,
    /// How much its caller has to see.
    pub reach: Reach,
}

/// A type that names who may call an operation.
pub trait Requirement {
    /// Who may call it.
    const ACCESS: Access;
    /// Whether it counts.
    const COUNTING: Counting = Counting::Counted;
    /// How much its caller has to see.
    const REACH: Reach = Reach::View;
    /// All of it.
    const REQUIRED: Required = Required { access: Self::ACCESS, counting: Self::COUNTING, reach: Self::REACH };
}

/// A type that names a scope which an operation requires.
pub trait RequiredScope: Requirement {
    /// The scope.
    const SCOPE: Scope;
}

/// Whoever meets `R` may call it, as often as they like as far as the limit of all requests goes.
pub struct Uncounted<R>(PhantomData<R>);

impl<R: Requirement> Requirement for Uncounted<R> {
    const ACCESS: Access = R::ACCESS;
    const COUNTING: Counting = Counting::Uncounted;
    const REACH: Reach = R::REACH;
}

impl<R: RequiredScope> RequiredScope for Uncounted<R> {
    const SCOPE: Scope = R::SCOPE;
}

/// Whoever meets `R` and sees the whole organization may call it.
pub struct Unlimited<R>(PhantomData<R>);

impl<R: Requirement> Requirement for Unlimited<R> {
    const ACCESS: Access = R::ACCESS;
    const COUNTING: Counting = R::COUNTING;
    const REACH: Reach = Reach::Organization;
}

impl<R: RequiredScope> RequiredScope for Unlimited<R> {
    const SCOPE: Scope = R::SCOPE;
}

/// Everybody may call it.
pub struct Public;

impl Requirement for Public {
    const ACCESS: Access = Access::Public;
}

/// Only the holder of `ADMIN_TOKEN` may call it.
pub struct AdminToken;

impl Requirement for AdminToken {
    const ACCESS: Access = Access::AdminToken;
}

/// Users may call it, for their own account.
pub struct OwnAccount;

impl Requirement for OwnAccount {
    const ACCESS: Access = Access::OwnAccount;
}

macro_rules! required_scopes {
    ($($scope:ident)+) => {$(
        #[doc = concat!("Callers with [`Scope::", stringify!($scope), "`] may call it.")]
        pub struct $scope;

        impl Requirement for $scope {
            const ACCESS: Access = Access::Scope(Scope::$scope);
        }

        impl RequiredScope for $scope {
            const SCOPE: Scope = Scope::$scope;
        }
    )+};
}
required_scopes!(
    Admin PackagesRead PackagesWrite RepositoriesRead RepositoriesWrite TokensRead TokensWrite AuditRead UsersRead
    UsersWrite SettingsRead SettingsWrite AdvisoriesRead AdvisoriesWrite StorefrontRead StorefrontWrite
);
