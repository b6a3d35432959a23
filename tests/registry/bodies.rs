//! The bodies of requests: whose are received, how much memory they take together, and how long they may take.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rostrum::ports::PART_BYTES;
use rostrum::registry::kernel::body_budget::{MAX_BYTES_IN_FLIGHT, Reservation};
use rostrum::registry::sources::archive_store::BUILD_PERMIT;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::zips::{ZipEntry, package, package_with};
use crate::support::{ADMIN, TestRegistry, TestRequest, TestResponse};

/// A zip of more than a part, that does not shrink.
fn large_zip(seed: u8) -> Vec<u8> {
    let blocks = (0..(6 << 20) / 32_u32).map(|at| Sha256::digest([&[seed][..], &at.to_be_bytes()].concat()));
    package_with(ZipEntry::File("noise", blocks.flatten().collect()))
}

fn put(registry: &TestRegistry, version: &str, token: &str) -> TestRequest {
    registry.put(&format!("/api/packages/acme/lib/versions/{version}")).bearer(token)
}

async fn writer(registry: &TestRegistry) -> String {
    registry.token(&json!({"description": "ci", "permissions": "write"})).await.1
}

/// Carries a request on until it waits for its body, and leaves it there.
fn begin<T>(registry: &TestRegistry, request: &mut Pin<&mut impl Future<Output = T>>) {
    registry.has_waited();
    while !registry.has_waited() {
        let polled = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "it waits for its body");
    }
}

#[tokio::test]
async fn nobody_has_a_body_received_who_may_not_send_it() {
    let registry = TestRegistry::new();
    let reader = registry.reader().await;
    registry.has_waited();
    for (path, token, status) in [
        ("/api/tokens", "forged", 401),
        ("/api/tokens", &*reader, 403),
        ("/api/storefront/consumers", "forged", 401),
        ("/notify-batch", "forged", 401),
        ("/security-advisories", "forged", 401),
        ("/api/encryption/rotate", &*reader, 403),
    ] {
        registry.post(path).bearer(token).held().send().await.expect(status);
    }
    put(&registry, "1.0.0", "forged").held().send().await.expect(401);
    put(&registry, "1.0.0", &reader).held().send().await.expect(403);
    assert!(!registry.has_waited(), "nobody was waited for");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let registry = TestRegistry::new();
    for path in ["/api/tokens", "/notify-batch", "/filter-lists", "/api/auth/login"] {
        let reply = registry.post(path).bearer(ADMIN).body("{").held().send().await.expect(408);
        assert_eq!(reply.json()["code"], "REQUEST_TIMEOUT", "{path}");
        let words = "The request body was not received: it came too slowly: less than 16 KiB a second, or nothing for 10 s. \
                     Send it again.";
        assert_eq!(reply.json()["error"], words, "{path}");
    }
    put(&registry, "1.0.0", ADMIN).body("PK").held().send().await.expect(408);
    // What was stored of a large one is forgotten.
    put(&registry, "1.0.0", ADMIN).body(large_zip(1)).held().send().await.expect(408);
    assert_eq!((registry.blobs.open_uploads(), registry.blobs.keys().len()), (0, 0));
    put(&registry, "1.0.0", ADMIN).body(package("acme/lib", "one")).send().await.expect(201);
}

#[tokio::test]
async fn what_everybody_may_send_is_small() {
    let registry = TestRegistry::new();
    let filled = |bytes: usize| format!(r#"{{"email":"a@b.test","password":"{}"}}"#, "x".repeat(bytes));
    let send = |path: &'static str, body: String| registry.post(path).body(body).send();
    for path in ["/api/auth/login", "/api/auth/accept-invitation", "/api/auth/reset"] {
        let reply = send(path, filled(8 << 10)).await.expect(400);
        assert_eq!(reply.json()["error"], "The request body is larger than 8192 bytes.", "{path}");
    }
    send("/api/auth/login", filled(7 << 10)).await.expect(401);
}

#[tokio::test]
async fn what_says_that_it_is_too_large_is_not_waited_for() {
    let registry = TestRegistry::new();
    registry.has_waited();
    for path in ["/api/tokens", "/notify-batch", "/security-advisories"] {
        let request = registry.post(path).bearer(ADMIN).header("content-length", "1048577").held();
        request.send().await.expect(400);
    }
    let zip = put(&registry, "1.0.0", ADMIN).header("content-length", "33554433").held();
    zip.send().await.expect(400);
    assert!(!registry.has_waited(), "nobody was waited for");
}

#[tokio::test]
async fn a_form_that_never_comes_to_its_zip_is_refused_like_a_large_zip() {
    let registry = TestRegistry::new();
    let mut sent = 0;
    let request = put(&registry, "1.0.0", ADMIN).header("content-type", "multipart/form-data; boundary=x");
    let reply = request.pieces(move || {
        sent += 1;
        match sent {
            1 => Some("--x\r\nContent-Disposition: form-data; name=\"".into()),
            2..=520 => Some(vec![b'a'; 64 << 10].into()),
            _ => None,
        }
    });
    let refused = reply.send().await.expect(400);
    let large = put(&registry, "1.0.0", ADMIN).header("content-length", "33554433").send().await.expect(400);
    assert_eq!(refused.json(), large.json());
}

/// Reserves all memory for bodies but so much of it.
async fn leave(registry: &TestRegistry, bytes: usize) -> Vec<Reservation> {
    let mut taken = Vec::new();
    let mut left = MAX_BYTES_IN_FLIGHT - bytes;
    while left > 0 {
        let part = left.min(PART_BYTES);
        taken.push(Reservation::of(&registry.isolate.app, part).await.expect("there is memory"));
        left -= part;
    }
    taken
}

fn assert_busy(reply: &TestResponse) {
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("BUSY")), "{}", reply.text());
    assert_eq!(reply.header("retry-after"), "5");
}

#[tokio::test]
async fn all_bodies_together_fit_the_memory_for_them() {
    let registry = TestRegistry::new();
    let taken = leave(&registry, 64 << 10).await;
    let small = json!({"description": "one", "permissions": "readonly"});
    let create = |body: &serde_json::Value| registry.post("/api/tokens").bearer(ADMIN).json(body);
    // Without a length it may be as large as any.
    assert_busy(&create(&small).send().await);
    let length = small.to_string().len().to_string();
    create(&small).header("content-length", &length).send().await.expect(201);
    let zip = package("acme/lib", "one");
    assert_busy(&put(&registry, "1.0.0", ADMIN).body(zip.clone()).send().await);
    put(&registry, "1.0.0", ADMIN).header("content-length", "600").body(zip.clone()).send().await.expect(201);
    drop(taken);
    put(&registry, "1.1.0", ADMIN).body(package("acme/lib", "two")).send().await.expect(201);
    create(&json!({"description": "two", "permissions": "readonly"})).send().await.expect(201);
}

#[tokio::test]
async fn a_held_upload_keeps_neither_others_nor_the_building_of_archives() {
    let registry = TestRegistry::new();
    let (one, two) = (writer(&registry).await, writer(&registry).await);
    let mut held = pin!(put(&registry, "1.0.0", &one).header("content-length", "33554432").held().send());
    begin(&registry, &mut held);
    put(&registry, "2.0.0", &two).body(large_zip(2)).send().await.expect(201);
    assert!(registry.isolate.app.memory.try_acquire_permit(BUILD_PERMIT, registry.isolate.app.now()).is_some());
    assert_eq!(registry.blobs.keys().iter().filter(|key| key.starts_with("incoming/")).count(), 0);
}

#[tokio::test]
async fn a_token_uploads_one_zip_at_a_time_and_others_wait_for_their_turn() {
    let registry = TestRegistry::new();
    let (one, two) = (writer(&registry).await, writer(&registry).await);
    {
        let mut held = pin!(put(&registry, "1.0.0", &one).body("PK").held().send());
        begin(&registry, &mut held);
        let refused = put(&registry, "2.0.0", &one).body(package("acme/lib", "two")).send().await.expect(429);
        assert_eq!((refused.header("retry-after"), &refused.json()["code"]), ("10", &json!("RATE_LIMITED")));
        put(&registry, "2.0.0", &two).body(package("acme/lib", "two")).send().await.expect(201);
    }
    put(&registry, "3.0.0", &one).body(package("acme/lib", "three")).send().await.expect(201);
}

#[tokio::test]
async fn nothing_of_a_large_zip_stays_but_what_is_published() {
    let registry = TestRegistry::new();
    let zip = large_zip(1);
    let key = |zip: &[u8]| {
        let sha256 = hex::encode(Sha256::digest(zip));
        format!("dist/{}/{sha256}.zip", &sha256[..2])
    };
    put(&registry, "1.0.0", ADMIN).body(zip.clone()).send().await.expect(201);
    assert_eq!(registry.blobs.keys(), [key(&zip)]);
    put(&registry, "1.0.0", ADMIN).body(zip.clone()).send().await.expect(200);
    put(&registry, "1.0.0", ADMIN).body(large_zip(2)).send().await.expect(409);
    let mut damaged = zip.clone();
    damaged.truncate(zip.len() - 1);
    put(&registry, "2.0.0", ADMIN).body(damaged).send().await.expect(400);
    assert_eq!((registry.blobs.keys(), registry.blobs.open_uploads()), (vec![key(&zip)], 0));
    assert_eq!(registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body, zip);
}

/// Whether a request is answered without anybody having to wait for anything, and its answer.
fn answer_at_once(request: TestRequest) -> Option<TestResponse> {
    let mut request = pin!(request.send());
    (0..1000).find_map(|_| match request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => Some(reply),
        Poll::Pending => None,
    })
}

#[tokio::test]
async fn the_memory_of_a_body_is_kept_for_as_long_as_it_comes() {
    let registry = TestRegistry::new();
    let taken = leave(&registry, 1 << 20).await;
    let (app, clock) = (registry.isolate.app.clone(), registry.clock.clone());
    let mut pieces = 64;
    let request = registry.post("/api/tokens").bearer(ADMIN).header("content-length", "1048576");
    let reply = request.pieces(move || {
        clock.advance(Duration::from_millis(1_100));
        for reserved in &taken {
            reserved.renew(app.now());
        }
        let mut one_more = pin!(Reservation::of(&app, 1));
        assert!(one_more.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "{pieces} to come");
        pieces -= 1;
        (pieces >= 0).then(|| vec![b' '; 16 << 10].into())
    });
    // It holds nothing but blanks.
    reply.send().await.expect(400);
}

#[tokio::test]
async fn a_token_waits_with_its_next_zip_for_as_long_as_one_comes() {
    let registry = TestRegistry::new();
    let token = writer(&registry).await;
    let clock = registry.clock.clone();
    let another = || put(&registry, "2.0.0", &token).body(package("acme/lib", "two"));
    let mut others = vec![another(), another()];
    let mut pieces = 64;
    let reply = put(&registry, "1.0.0", &token).pieces(move || {
        clock.advance(Duration::from_millis(1_100));
        pieces -= 1;
        if [60, 0].contains(&pieces) {
            let refused = others.pop().and_then(answer_at_once).expect("an answer");
            assert_eq!(refused.status, 429, "{pieces} to come");
        }
        (pieces >= 0).then(|| vec![b' '; 16 << 10].into())
    });
    reply.send().await.expect(400);
    another().send().await.expect(201);
}
