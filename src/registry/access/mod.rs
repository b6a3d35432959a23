//! What a credential may do and see: grants, scopes, roles, the view, who is calling, and how often they may.

pub mod account;
pub mod actor;
pub mod authenticate;
pub mod availability;
pub mod caller;
pub mod caller_cache;
pub mod credential_cache;
pub mod denial;
pub mod failed_credentials;
pub mod grant;
pub mod issuer;
pub mod rate_limit;
pub mod rights;
pub mod role;
pub mod scope;
pub mod session;
pub mod targets;
pub mod view;
