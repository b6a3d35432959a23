//! Tokens, users and their sessions, and requests that are sent again.

mod idempotency;
mod keyed_operations;
mod link_issuers;
mod links;
mod login;
mod memberships;
mod replays;
mod sessions;
mod token_lists;
mod token_reach;
mod token_rights;
mod token_rotation;
mod tokens;
mod two_factor;
mod user_faults;
mod users;
