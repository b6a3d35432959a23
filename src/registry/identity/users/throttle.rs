//! Login throttling: ten failures of an account, or fifty from an address, and nothing more is let through for the rest
//! of their quarter of an hour.
//!
//! The counters stand in the database, so they hold across isolates, and an attempt is counted before its password is
//! looked at, so that many at once do not slip through together. An account counts by the address that was typed in,
//! known or not: the answers are the same. A login that succeeds begins to count its account anew and gives its own
//! attempt back to the address. Whoever knows an account's address can keep its user out for as long as they go on
//! trying; sessions are not affected, and neither is `ADMIN_TOKEN`. Before the database is asked at all, each isolate counts what
//! fails from a network ([`failed_credentials`]).

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ports::{Millis, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::failed_credentials;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::network::Network;
use crate::store::Query;
use crate::store::access::users::{CredentialRow, touch_failed};
use crate::store::identity::throttles::{self, ThrottleLimit};

/// Failures of an account in a window.
pub const MAX_FAILURES_PER_ACCOUNT: i64 = 10;
/// Failures from an address in a window: many people may share one.
pub const MAX_FAILURES_PER_ADDRESS: i64 = 50;
/// From the first failure on.
pub const WINDOW: Duration = Duration::from_mins(15);

/// One attempt to prove who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAttempt {
    account: String,
    address: String,
}

impl LoginAttempt {
    /// An attempt on the account with this normalized e-mail address, from this IP address.
    pub fn new(email: &str, address: Option<&str>) -> Self {
        let account = format!("account:{}", hex::encode(Sha256::digest(email.as_bytes())));
        Self { account, address: format!("address:{}", Network::of_host(address)) }
    }

    /// The statements that settle an attempt that was good.
    pub fn on_success(&self) -> [Stmt; 2] {
        [throttles::clear(&self.account), throttles::refund(&self.account, &self.address)]
    }

    /// The statement that takes an attempt back that was neither good nor bad.
    pub fn refund_stmt(&self) -> Stmt {
        throttles::refund(&self.account, &self.address)
    }

    /// Begins to count the account anew.
    pub fn cleared(&self) -> Stmt {
        throttles::clear(&self.account)
    }
}

/// Counts an attempt and looks up whom it is on, in one round trip.
///
/// # Errors
/// [`Kind::TooMany`] when the account or the address has had its failures.
pub async fn begin(
    app: &App,
    by: &Actor,
    attempt: &LoginAttempt,
    credentials: Query<Option<CredentialRow>>,
) -> Result<Option<CredentialRow>, Failure> {
    failed_credentials::admit(app, by.address.as_deref()).await?;
    let now = app.now();
    let ends_at = now.plus(WINDOW);
    let gate = ThrottleLimit { key: &attempt.address, most: MAX_FAILURES_PER_ADDRESS };
    let batch = (
        throttles::clean(now),
        throttles::count(&attempt.address, now, ends_at, None),
        throttles::count(&attempt.account, now, ends_at, Some(gate)),
        credentials,
    );
    let ((), address, account, user) = app.ports.database.ask(batch).await?;
    if let Some(tally) = address.filter(|tally| tally.attempts > MAX_FAILURES_PER_ADDRESS) {
        let shown = attempt.address.trim_start_matches("address:");
        failed_credentials::record_failure(app, by.address.as_deref());
        note_lockout(app, by, &attempt.address, MAX_FAILURES_PER_ADDRESS, Some(shown)).await?;
        return Err(too_many(now, tally.ends_at));
    }
    if let Some(tally) = account.filter(|tally| tally.attempts > MAX_FAILURES_PER_ACCOUNT) {
        let known = user.as_ref().map(|row| row.user.uid.as_str());
        failed_credentials::record_failure(app, by.address.as_deref());
        note_lockout(app, by, &attempt.account, MAX_FAILURES_PER_ACCOUNT, known).await?;
        return Err(too_many(now, tally.ends_at));
    }
    Ok(user)
}

fn too_many(now: Millis, ends_at: Millis) -> Failure {
    let retry_after = (ends_at.0 - now.0).div_euclid(1000).max(0) + 1;
    Failure::new(Kind::TooMany { retry_after }, format!("Too many failed logins. Try again in {retry_after} seconds."))
}

/// Notes the first refusal of a window. What was typed in for an account that does not exist may be anything, a
/// password too: that is not noted.
async fn note_lockout(app: &App, by: &Actor, key: &str, most: i64, target: Option<&str>) -> Result<(), Failure> {
    let recorded = target
        .map(|target| by.record(app, &AuditEvent { action: "login.locked", target, label: None, details: json!({}) }))
        .transpose()?;
    app.ports.database.ask((throttles::is_first_beyond(key, most), recorded)).await?;
    Ok(())
}

/// Notes an attempt that failed: with its account, if there is one. So the log grows by at most [`MAX_FAILURES_PER_ACCOUNT`]
/// entries a user and window.
pub async fn failed(app: &App, by: &Actor, user: Option<&CredentialRow>, reason: &str) -> Result<(), Failure> {
    failed_credentials::record_failure(app, by.address.as_deref());
    let target = user.map_or("", |row| row.user.uid.as_str());
    let event = AuditEvent { action: "login.failed", target, label: None, details: json!({ "reason": reason }) };
    // For an account that does not exist the same statements run, and change nothing.
    let batch = [touch_failed(user.map(|row| row.user.id), app.now()), by.record(app, &event)?];
    app.ports.database.ask(batch).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together() {
        let of = |address| LoginAttempt::new("a@example.org", address).address;
        assert_eq!(of(Some("2001:db8:1:2:3:4:5:6")), "address:2001:db8:1:2::/64");
        assert_eq!(of(Some("203.0.113.9")), "address:203.0.113.9");
        assert_eq!(of(None), "address:unknown");
    }
}
