//! Credentials, links and passwords that are wrong: what they cost, and when nobody is asked any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rostrum::ports::{BoxFuture, Fault, RateLimiter};
use rostrum::registry::access::failed_credentials::{MAX_FAILURES_PER_HOST, MAX_FAILURES_PER_SITE};
use rostrum::registry::kernel::secrets::{PlainToken, TokenKind};
use rostrum::store::access::tokens::find_valid;
use serde_json::json;

use crate::support::{ADMIN, Calls, START, TestIsolate, TestRegistry, TestRequest, token_of};

const ATTACKER: &str = "203.0.113.9";

/// A token of the right form that is nobody's.
fn forged(registry: &TestRegistry, kind: TokenKind) -> String {
    let plain = PlainToken::generate(kind, &*registry.isolate.app.ports.entropy).expect("entropy");
    plain.expose().to_owned()
}

fn from(request: TestRequest, address: &str) -> TestRequest {
    request.header("cf-connecting-ip", address)
}

/// Has so many forged tokens fail from an address, each with 401.
async fn fail(registry: &TestRegistry, times: u32, address: impl Fn(u32) -> String) {
    for number in 0..times {
        let token = forged(registry, TokenKind::Access);
        from(registry.get("/packages.json").bearer(&token), &address(number)).send().await.expect(401);
    }
}

async fn exhaust(registry: &TestRegistry) {
    fail(registry, MAX_FAILURES_PER_HOST, |_| ATTACKER.to_owned()).await;
}

#[tokio::test]
async fn a_forged_credential_is_only_read_and_once() {
    let registry = TestRegistry::new();
    let [token, session] = [TokenKind::Access, TokenKind::Session].map(|kind| forged(&registry, kind));
    let looked_up = Calls { round_trips: 1, statements: 1, cache_reads: 1, ..Calls::default() };
    let get = || registry.get("/packages.json");
    for forge in 0..3 {
        let send = || match forge {
            0 => get().bearer(&token).send(),
            1 => get().bearer(&session).send(),
            _ => get().pair("a-public-key-that", "is-not-there-at-all").send(),
        };
        for expected in [looked_up, Calls::default()] {
            let (reply, calls) = registry.counted(send()).await;
            reply.expect(401);
            assert_eq!(calls, expected);
        }
    }
    assert!(registry.tasks.next_background().is_none(), "nothing is to be written either");
    assert!(find_valid("0", START).stmt().sql.starts_with("SELECT"));
}

#[tokio::test]
async fn after_a_hundred_failures_of_an_address_nobody_is_asked_for_a_minute() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let seen = registry.reader().await;
    from(registry.get("/packages.json").basic(&seen), ATTACKER).send().await.expect(200);
    exhaust(&registry).await;
    registry.advance_seconds(20);
    for kind in [TokenKind::Access, TokenKind::Session] {
        let request = from(registry.get("/p2/acme/lib.json").bearer(&forged(&registry, kind)), ATTACKER);
        let (reply, calls) = registry.counted(request.send()).await;
        assert_eq!((reply.header("retry-after"), calls), ("41", Calls::default()));
        assert_eq!(reply.expect(429).json()["code"], "RATE_LIMITED");
    }
    let guess = from(registry.get("/api/tokens").bearer("a-guess-of-the-administrators-token"), ATTACKER);
    guess.send().await.expect(429);

    // Who is known here goes on, also when what is known of them is to be read again; who is not, does elsewhere.
    registry.advance_seconds(35);
    let request = from(registry.get("/packages.json").basic(&seen), ATTACKER);
    assert_eq!(registry.counted(request.send()).await.1.cache_reads, 1, "it was read again");
    from(registry.get("/packages.json").basic(&seen), ATTACKER).send().await.expect(200);
    from(registry.get("/api/tokens").bearer(ADMIN), ATTACKER).send().await.expect(200);
    let made = registry.reader().await;
    from(registry.get("/packages.json").basic(&made), ATTACKER).send().await.expect(200);
    let elsewhere = from(registry.get("/packages.json").bearer(&forged(&registry, TokenKind::Access)), "203.0.113.8");
    elsewhere.send().await.expect(401);
    registry.advance_seconds(5);
    from(registry.get("/packages.json").bearer(&forged(&registry, TokenKind::Access)), ATTACKER)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn an_ipv6_host_is_its_64_and_a_site_its_48() {
    let registry = TestRegistry::new();
    let token = || forged(&registry, TokenKind::Access);
    fail(&registry, MAX_FAILURES_PER_HOST, |number| format!("2001:db8:1:2::{number:x}")).await;
    from(registry.get("/packages.json").bearer(&token()), "2001:db8:1:2:3::4").send().await.expect(429);
    from(registry.get("/packages.json").bearer(&token()), "2001:db8:1:3::1").send().await.expect(401);
    fail(&registry, MAX_FAILURES_PER_SITE, |number| format!("2001:db8:2:{number:x}::1")).await;
    from(registry.get("/packages.json").bearer(&token()), "2001:db8:2:ffff::1").send().await.expect(429);
    from(registry.get("/packages.json").bearer(&token()), "2001:db8:3::1").send().await.expect(401);
}

#[tokio::test]
async fn one_bad_client_that_repeats_itself_locks_nobody_out() {
    let registry = TestRegistry::new();
    let token = forged(&registry, TokenKind::Access);
    for _ in 0..3 * MAX_FAILURES_PER_HOST {
        from(registry.get("/packages.json").bearer(&token), ATTACKER).send().await.expect(401);
        from(registry.get("/packages.json").bearer("no-token-at-all"), ATTACKER).send().await.expect(401);
    }
    from(registry.get("/packages.json").bearer(&forged(&registry, TokenKind::Access)), ATTACKER)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn forged_credentials_displace_no_caller() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    fail(&registry, 5_000, |number| format!("10.0.{}.{}", number / 256, number % 256)).await;
    let (reply, calls) = registry.counted(registry.get("/packages.json").basic(&token).send()).await;
    reply.expect(200);
    assert_eq!(calls, Calls::default());
}

#[tokio::test]
async fn links_and_passwords_count_too_and_are_refused_before_anybody_is_asked() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let invitation =
        json!({"token": forged(&registry, TokenKind::Invitation), "name": "A", "password": "long enough, is it"});
    let reset = json!({"token": forged(&registry, TokenKind::Reset), "password": "long enough, is it"});
    let requests = || {
        [
            (registry.post("/api/auth/accept-invitation").json(&invitation), 404),
            (registry.post("/api/auth/reset").json(&reset), 404),
            (registry.login(&owner.email, "a wrong password", &json!({})), 401),
        ]
    };
    for (request, status) in requests() {
        from(request, ATTACKER).send().await.expect(status);
    }
    fail(&registry, MAX_FAILURES_PER_HOST - 3, |_| ATTACKER.to_owned()).await;
    for (request, _) in requests() {
        let (reply, calls) = registry.counted(from(request, ATTACKER).send()).await;
        assert_eq!(calls, Calls::default());
        reply.expect(429).header("retry-after");
    }
    // Who has a session goes on with it, and whoever logs in elsewhere too.
    from(registry.get("/api/auth/me").bearer(&owner.token), ATTACKER).send().await.expect(200);
    from(registry.login(&owner.email, crate::support::PASSWORD, &json!({})), "203.0.113.8").send().await.expect(200);
}

#[tokio::test]
async fn when_the_minute_is_over_failures_are_counted_from_the_beginning() {
    let registry = TestRegistry::new();
    for _ in 0..3 {
        exhaust(&registry).await;
        let one_more = from(registry.get("/packages.json").bearer(&forged(&registry, TokenKind::Access)), ATTACKER);
        one_more.send().await.expect(429);
        registry.advance_seconds(61);
    }
}

#[tokio::test]
async fn what_has_not_even_the_form_of_a_credential_counts_too() {
    let registry = TestRegistry::new();
    for number in 0..MAX_FAILURES_PER_HOST {
        let guess = from(registry.get("/packages.json").bearer(&format!("a-guess-{number}")), ATTACKER);
        guess.send().await.expect(401);
    }
    from(registry.get("/packages.json").bearer("one-more"), ATTACKER).send().await.expect(429);
}

#[tokio::test]
async fn who_was_known_and_is_revoked_is_a_stranger() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a", "permissions": "readonly"})).await;
    let get = || from(registry.get("/packages.json").basic(&token), ATTACKER).send();
    get().await.expect(200);
    let elsewhere = registry.another_isolate();
    let revoke = elsewhere.request(http::Method::DELETE, &format!("/api/tokens/{id}")).bearer(ADMIN);
    revoke.send().await.expect(200);
    registry.advance_seconds(31);
    get().await.expect(401);
    fail(&registry, MAX_FAILURES_PER_HOST - 1, |_| ATTACKER.to_owned()).await;
    registry.advance_seconds(31);
    get().await.expect(429);
}

#[tokio::test]
async fn who_got_a_credential_here_is_known_however_it_was_made() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let path = format!("/consumers/{}", consumer.id);
    let (id, _) = registry.token(&json!({"description": "a", "permissions": "readonly"})).await;
    let rotated = registry.post(&format!("/api/tokens/{id}/rotate")).bearer(ADMIN).json(&json!({})).send().await;
    let keys = json!({"private_key": "another-key-of-the-consumer"});
    let changed = registry.storefront_patch(&path, &keys).send().await.expect(200).json();
    let seat = json!({"description": "a seat"});
    let seat = registry.storefront_post(&format!("{path}/tokens"), &seat).send().await.expect(201);
    // By then nobody goes by the change itself any more.
    registry.advance_seconds(91);
    exhaust(&registry).await;
    for reply in [seat, rotated] {
        let request = registry.get("/packages.json").basic(&token_of(&reply));
        from(request, ATTACKER).send().await.expect(200);
    }
    let public_key = changed["public_key"].as_str().expect("a key");
    let request = registry.get("/packages.json").pair(public_key, "another-key-of-the-consumer");
    from(request, ATTACKER).send().await.expect(200);
}

/// A binding that lets so many through, and then none; without a number it fails.
struct Limiter {
    most: Option<usize>,
    asked: AtomicUsize,
}

impl RateLimiter for Limiter {
    fn is_within_limit(&self, key: &str) -> BoxFuture<'_, Result<bool, Fault>> {
        assert_eq!(key, ATTACKER);
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let outcome =
            self.most.map(|most| asked < most).ok_or_else(|| Fault::new("rate limiter", "broken by the test"));
        Box::pin(std::future::ready(outcome))
    }
}

/// The registry's isolate with a binding.
fn limited(registry: &TestRegistry, most: Option<usize>) -> (TestIsolate, Arc<Limiter>) {
    let limiter = Arc::new(Limiter { most, asked: AtomicUsize::new(0) });
    let mut isolate = registry.another_isolate();
    isolate.app.ports.rate_limiter = Some(limiter.clone());
    (isolate, limiter)
}

#[tokio::test]
async fn the_binding_is_asked_for_what_the_isolate_does_not_know_and_its_no_holds_for_a_minute() {
    let registry = TestRegistry::new();
    let [one, other] = [registry.reader().await, registry.reader().await];
    let (isolate, limiter) = limited(&registry, Some(1));
    let get = |token: &str| from(isolate.get("/packages.json").basic(token), ATTACKER).send();
    for _ in 0..3 {
        get(&one).await.expect(200);
    }
    assert_eq!(limiter.asked.load(Ordering::Relaxed), 1);
    for _ in 0..3 {
        let (reply, calls) = registry.counted(get(&other)).await;
        assert_eq!((reply.expect(429).header("retry-after"), calls), ("61", Calls::default()));
    }
    assert_eq!(limiter.asked.load(Ordering::Relaxed), 2, "it is left alone");
    get(&one).await.expect(200);
    get("no token at all").await.expect(429);
}

#[tokio::test]
async fn a_binding_that_fails_refuses_nobody() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    let (isolate, limiter) = limited(&registry, None);
    from(isolate.get("/packages.json").basic(&token), ATTACKER).send().await.expect(200);
    assert_eq!(limiter.asked.load(Ordering::Relaxed), 1);
}
