//! Upstreams that have had too many requests: they are asked little at a time, waited for if that is short, and left
//! alone for as long as they ask.

use serde_json::json;

use crate::sources::composer::lookup::{INTERVAL, LIB, SATIS, mirroring, read, version};
use crate::support::{ADMIN, HostFault, START, Step, TestRegistry, send_concurrently, upstream_version, zip_of};

#[tokio::test]
async fn forty_packages_at_once_wait_for_an_upstream_that_wants_them_slower() {
    let (registry, _, token) = mirroring().await;
    let names: Vec<String> = (0..40).map(|number| format!("vendor/p{number}")).collect();
    for name in &names {
        registry.composer_host.publish(SATIS, name, &[upstream_version(SATIS, name, "1.0.0")]);
    }
    read(&registry, &token, "/packages.json").await.expect(200);
    registry.composer_host.limit_rate(10, 6, "2");
    let requests = names.iter().map(|name| registry.get(&format!("/p2/{name}.json")).basic(&token).composer());
    for (name, reply) in names.iter().zip(send_concurrently(requests).await) {
        assert_eq!(reply.expect(200).version_names(name), ["1.0.0"]);
    }
    let refused = registry.composer_host.take_requests().iter().filter(|request| request.status == 429).count();
    assert_eq!(refused, 6);
    assert!(registry.has_slept(2), "they waited for as long as they were asked to");
    let most = registry.composer_host.most_under_way();
    assert!((2..=8).contains(&most), "{most} requests at once");
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_long_rest_is_left_alone_and_composer_is_told_for_how_long() {
    for (status, retry_after) in [(429, "120"), (503, "120"), (429, "Thu, 01 Jan 2026 00:02:00 GMT")] {
        let (registry, _, token) = mirroring().await;
        registry.composer_host.inject_fault("/p2/vendor/lib", HostFault::Busy(status, retry_after.to_owned()));
        let reply = read(&registry, &token, LIB).await.expect(503);
        assert_eq!(reply.header("retry-after"), "120");
        let words = format!("the server has had too many requests (HTTP {status}) and asks to wait 120 s");
        assert_eq!(
            reply.json()["warning"],
            format!("vendor/lib is not available from its upstream now: {words}"),
            "{retry_after}"
        );
        assert!(!registry.has_slept(120), "nobody waits so long");
        registry.composer_host.take_requests();
        registry.advance_seconds(50);
        assert_eq!(read(&registry, &token, LIB).await.expect(503).header("retry-after"), "70");
        assert_eq!(registry.composer_host.take_requests(), []);
        registry.advance_seconds(10);
        registry.composer_host.recover();
        read(&registry, &token, LIB).await.expect(200);
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up_after_three_attempts() {
    let (registry, _, token) = mirroring().await;
    registry.composer_host.inject_fault("/p2/vendor/lib", HostFault::Busy(429, "1".to_owned()));
    assert_eq!(read(&registry, &token, LIB).await.expect(503).header("retry-after"), "1");
    let urls = registry.composer_host.take_urls();
    assert_eq!(urls.iter().filter(|url| url.contains("/p2/")).count(), 3, "{urls:?}");
}

#[tokio::test]
async fn a_sync_of_an_upstream_that_asks_for_a_long_rest_is_repeated_only_after_it() {
    let (registry, id, token) = mirroring().await;
    registry.composer_host.inject_fault(SATIS, HostFault::Busy(503, "3600".to_owned()));
    let view = registry.sync(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_eq!(view["error"], "the server has had too many requests (HTTP 503) and asks to wait 3600 s");
    assert_eq!(registry.last_run()["next_due_at"], json!(START.0 + 3_600_000));
    registry.advance_seconds(INTERVAL + 60);
    assert_eq!(registry.cron().await, 0);
    let reply = read(&registry, &token, LIB).await.expect(503);
    assert_eq!(reply.header("retry-after"), "3600");
}

#[tokio::test]
async fn a_zip_is_waited_for_like_a_document() {
    let (registry, _, token) = mirroring().await;
    let url = format!("{SATIS}/zips/vendor/lib/1.0.0.zip");
    registry.composer_host.put(&url, zip_of(b"{}"));
    read(&registry, &token, LIB).await.expect(200);
    let dist = version("1.0.0")["dist"]["reference"].as_str().expect("text").to_owned();
    let dist = format!("/dist/vendor/lib/1.0.0/{dist}.zip");
    registry.composer_host.inject_fault("/zips/", HostFault::Busy(429, "90".to_owned()));
    let reply = registry.get(&dist).basic(&token).send().await.expect(503);
    assert_eq!(reply.header("retry-after"), "90");
    registry.composer_host.recover();
    registry.composer_host.limit_rate(0, 1, "7");
    registry.get(&dist).basic(&token).send().await.expect(200);
    assert!(registry.has_slept(7));
}

#[tokio::test]
async fn a_git_server_is_waited_for_like_an_upstream() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.git_host.inject_fault_once(Step::Capabilities, HostFault::Busy(429, "5".to_owned()));
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    assert!(registry.has_slept(5));
    registry.git_host.inject_fault_once(Step::Refs, HostFault::Busy(429, "86400".to_owned()));
    let view = registry.sync(&id).await;
    assert_eq!(view["error"], "the server has had too many requests (HTTP 429) and asks to wait 86400 s");
    assert_eq!(registry.last_run()["next_due_at"], json!(START.0 + 86_400_000));
    let shown = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(shown[0]["sync_status"], "failed");
}
