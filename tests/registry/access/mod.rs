//! Who may do and see what: grants on every surface, organizations beside each other, rate limits.

mod claims;
mod comparisons;
mod failed_credentials;
mod held;
mod limits;
mod matrix;
mod rate_limits;
mod strangers;
mod tenants;
mod visibility;
