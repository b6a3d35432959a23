//! What fails: credentials that are nobody's, wrong passwords, links that are not valid. Whoever sends many of them is
//! refused before anybody is asked.
//!
//! Failures are counted by network ([`Network`]), in each isolate by itself, from the first one on for [`WINDOW`]. Where
//! the Rate Limiting binding is bound, it is asked besides before a credential that the isolate does not know is looked
//! up, so that all isolates of a place count together; that one counts look-ups, good ones too, and has a limit for that.
//!
//! What this isolate knows is never refused: a credential that it has recognised before or has issued, fresh in its memory
//! or not ([`recognize`]), and `ADMIN_TOKEN`. So one bad client behind an address that many share locks out, for the rest of
//! its minute, only what this isolate has not seen yet. A credential that has failed a moment ago fails again without a
//! look-up, and is not counted again: a build server with a revoked token locks out nobody.

use std::time::Duration;

use crate::ports::Millis;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::CountedCache;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::network::Network;
use crate::registry::kernel::secrets::TokenHash;

/// From the first failure on.
pub const WINDOW: Duration = Duration::from_mins(1);
/// Failures in a window from one host: an IPv4 address or an IPv6 /64. A look-up is one read of KV and one statement, so a
/// host causes fewer than two of each a second.
pub const MAX_FAILURES_PER_HOST: u32 = 100;
/// Failures in a window from an IPv6 /48: ten hosts' worth.
pub const MAX_FAILURES_PER_SITE: u32 = 1_000;
/// How long a credential that is nobody's is known to be.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(30);

/// 4,096 networks × some 100 B = 0.4 MB.
const MAX_NETWORKS: usize = 4_096;
/// 4,096 hashes × some 200 B = 0.8 MB.
const MAX_UNKNOWN: usize = 4_096;
/// 16,384 hashes × some 200 B = 3.2 MB: as many credentials as one isolate may come to serve.
const MAX_RECOGNIZED: usize = 16_384;

/// Failures of networks in their windows.
type Failures = CountedCache<Network, Window, MAX_NETWORKS>;

/// Credentials that are nobody's, and since when that is known. They have a cache of their own, so that they displace no caller.
#[derive(Default)]
struct UnknownCredentials(CountedCache<TokenHash, Millis, MAX_UNKNOWN>);

/// Credentials that were found once, or issued.
#[derive(Default)]
struct RecognizedCredentials(CountedCache<TokenHash, (), MAX_RECOGNIZED>);

struct Window {
    failures: u32,
    ends_at: Millis,
}

/// Notes that a credential is somebody's: it was found, or was issued a moment ago.
pub fn recognize(app: &App, hash: &TokenHash) {
    app.memory.slot::<UnknownCredentials>().lock().0.pop(hash);
    app.memory.slot::<RecognizedCredentials>().lock().0.put(hash.clone(), ());
}

/// Whether a credential was found to be nobody's less than [`UNKNOWN_TTL`] ago.
pub fn is_known_to_fail(app: &App, hash: &TokenHash) -> bool {
    let (unknown, now) = (app.memory.slot::<UnknownCredentials>(), app.now());
    let mut unknown = unknown.lock();
    unknown.0.get(hash).is_some_and(|since| now < since.plus(UNKNOWN_TTL))
}

/// Notes that a credential is nobody's, and counts it, once as long as that is known.
pub fn record_unknown(app: &App, hash: &TokenHash, address: Option<&str>) {
    if is_known_to_fail(app, hash) {
        return;
    }
    app.memory.slot::<RecognizedCredentials>().lock().0.pop(hash);
    app.memory.slot::<UnknownCredentials>().lock().0.put(hash.clone(), app.now());
    record_failure(app, address);
}

/// Counts a failure from an address.
pub fn record_failure(app: &App, address: Option<&str>) {
    let (failures, now) = (app.memory.slot::<Failures>(), app.now());
    let mut failures = failures.lock();
    for (network, _) in limits_of(address) {
        let window = failures.get_or_insert_mut(network, || Window::starting_at(now));
        if window.ends_at <= now {
            *window = Window::starting_at(now);
        }
        window.failures = window.failures.saturating_add(1);
    }
}

impl Window {
    fn starting_at(now: Millis) -> Self {
        Self { failures: 0, ends_at: now.plus(WINDOW) }
    }
}

/// The networks of an address, and how often each may fail.
fn limits_of(address: Option<&str>) -> impl Iterator<Item = (Network, u32)> {
    let (host, site) = (Network::of_host(address), Network::of_site(address));
    let site = (site != host).then_some((site, MAX_FAILURES_PER_SITE));
    std::iter::once((host, MAX_FAILURES_PER_HOST)).chain(site)
}

/// Refuses an address whose networks have had their failures, without asking anybody.
///
/// # Errors
/// [`Kind::TooMany`], until the window ends.
pub fn require_few(app: &App, address: Option<&str>) -> Result<(), Failure> {
    let (failures, now) = (app.memory.slot::<Failures>(), app.now());
    let mut failures = failures.lock();
    for (network, most) in limits_of(address) {
        let window = failures.get(&network).filter(|window| window.failures >= most && now < window.ends_at);
        if let Some(window) = window {
            return Err(too_many(now, window.ends_at));
        }
    }
    Ok(())
}

/// Lets a secret be looked at that comes from an address, unless too many from there have failed.
///
/// # Errors
/// [`Kind::TooMany`], for a minute at most.
pub async fn admit(app: &App, address: Option<&str>) -> Result<(), Failure> {
    require_few(app, address)?;
    let Some(limiter) = &app.ports.rate_limiter else { return Ok(()) };
    let site = Network::of_site(address);
    match limiter.is_within_limit(&site.to_string()).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let now = app.now();
            let window = Window { failures: u32::MAX, ends_at: now.plus(WINDOW) };
            app.memory.slot::<Failures>().lock().put(site, window);
            Err(too_many(now, now.plus(WINDOW)))
        }
        Err(fault) => {
            log::warn!("failing credentials are counted in this isolate alone: {fault}");
            Ok(())
        }
    }
}

/// The same of a credential, unless this isolate has recognised it before.
///
/// # Errors
/// As [`admit`].
pub async fn admit_credential(app: &App, hash: &TokenHash, address: Option<&str>) -> Result<(), Failure> {
    let is_recognized = app.memory.slot::<RecognizedCredentials>().lock().0.get(hash).is_some();
    if is_recognized { Ok(()) } else { admit(app, address).await }
}

fn too_many(now: Millis, ends_at: Millis) -> Failure {
    let retry_after = ends_at.seconds() - now.seconds() + 1;
    let detail = format!(
        "Too many credentials from your network were not valid. Try again in {retry_after} seconds, and correct those that are wrong."
    );
    Failure::new(Kind::TooMany { retry_after }, detail)
}
