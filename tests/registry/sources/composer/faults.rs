//! Upstream repositories that fail or lie, and every call of a port broken once: what was published stays, the owner is
//! told why, and nothing is half-written.

use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, LIB_DEV, SATIS, STALE, mirroring, read, version};
use crate::support::{FaultTiming, HostFault, Port, TestRegistry, logs, upstream_version};

async fn status(registry: &TestRegistry, id: &str) -> (Value, Value) {
    let view = registry.repository_view(id).await;
    (view["sync_status"].clone(), view["error"].clone())
}

/// What a server can do instead of its duty, and what the repository's owner reads.
fn faults() -> Vec<(HostFault, &'static str)> {
    vec![
        (
            HostFault::Status(401),
            "the server refuses the credentials (HTTP 401: in our words); check `auth_credentials`",
        ),
        (
            HostFault::Status(403),
            "the server refuses the credentials (HTTP 403: in our words); check `auth_credentials`",
        ),
        (HostFault::Status(429), "the server has had too many requests (HTTP 429)"),
        (HostFault::Status(500), "the server answers with HTTP 500: in our words"),
        (HostFault::Unreachable, "the server cannot be reached: connection refused"),
        (HostFault::TimedOut, "the server did not answer within 30 s"),
        (HostFault::BrokenOff, "the server's answer broke off: connection reset"),
        (
            HostFault::Redirect("https://10.0.0.1/x".to_owned()),
            "the server redirects to an address that must not lead to a private, loopback or link-local address",
        ),
        (HostFault::Redirect(format!("{SATIS}/p2/loop")), "the server redirects more than 5 times"),
    ]
}

#[tokio::test]
async fn while_an_upstream_fails_what_it_said_last_is_shown_and_its_repository_tells_why() {
    for (fault, error) in faults() {
        let (registry, id, token) = mirroring().await;
        let first = read(&registry, &token, LIB).await.expect(200);
        registry.composer_host.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
        registry.composer_host.lazy(SATIS);
        registry.composer_host.inject_fault(SATIS, fault.clone());
        registry.advance_seconds(STALE);
        let shown = read(&registry, &token, LIB).await.expect(200);
        assert_eq!(shown.body, first.body, "{fault:?}");
        registry.run_until_idle().await;
        assert_eq!(status(&registry, &id).await, (json!("failed"), json!(error)), "{fault:?}");
        assert_eq!(read(&registry, &token, LIB).await.expect(200).body, first.body);
        registry.composer_host.recover();
        registry.advance_seconds(INTERVAL);
        registry.cron().await;
        registry.run_until_idle().await;
        assert_eq!(status(&registry, &id).await, (json!("ok"), json!(null)), "{fault:?}");
        registry.advance_seconds(10);
        assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_yet_is_not_said_to_be_absent_while_its_upstream_fails() {
    for (fault, error) in faults() {
        let (registry, id, token) = mirroring().await;
        registry.composer_host.lazy(SATIS);
        registry.composer_host.publish(SATIS, "vendor/other", &[upstream_version(SATIS, "vendor/other", "1.0.0")]);
        registry.composer_host.inject_fault(SATIS, fault.clone());
        let reply = read(&registry, &token, LIB).await.expect(status_of(&fault));
        let words = format!("vendor/lib is not available from its upstream now: {error}");
        assert_eq!(reply.json()["warning"], words, "{fault:?}");
        let asked = registry.composer_host.take_requests().len();
        assert!(asked > 0);
        // Composer repeats it at once, and has more packages to ask for.
        read(&registry, &token, LIB_DEV).await.expect(status_of(&fault));
        let other = read(&registry, &token, "/p2/vendor/other.json").await.expect(status_of(&fault));
        assert_eq!(other.json()["warning"], words.replace("vendor/lib", "vendor/other"), "{fault:?}");
        assert_eq!(
            registry.composer_host.take_requests(),
            [],
            "{fault:?}: a server that has just failed is left alone"
        );
        registry.run_until_idle().await;
        assert_eq!(status(&registry, &id).await, (json!("failed"), json!(error)), "{fault:?}");
        assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
        registry.composer_host.recover();
        registry.advance_seconds(15);
        read(&registry, &token, LIB).await.expect(200);
        assert!(!logs::text().contains("ERROR"), "{}", logs::text());
    }
}

/// What a client is told for want of a package that its upstream fails to tell of.
fn status_of(fault: &HostFault) -> u16 {
    if matches!(fault, HostFault::Status(429)) { 503 } else { 502 }
}

#[tokio::test]
async fn a_name_that_fails_keeps_nobody_from_asking_for_others_and_fails_no_sync() {
    for (fault, error) in faults() {
        let (registry, id, token) = mirroring().await;
        read(&registry, &token, LIB).await.expect(200);
        let other = |version: &str| upstream_version(SATIS, "vendor/other", version);
        registry.composer_host.publish(SATIS, "vendor/other", &[other("1.0.0")]);
        registry.composer_host.publish(SATIS, "vendor/bad", &[upstream_version(SATIS, "vendor/bad", "1.0.0")]);
        registry.composer_host.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
        for part in ["/p2/vendor/bad", "/p2/vendor/lib", "/p2/loop"] {
            registry.composer_host.inject_fault(part, fault.clone());
        }
        for _ in 0..2 {
            let bad = read(&registry, &token, "/p2/vendor/bad.json").await.expect(status_of(&fault));
            assert_eq!(bad.json()["warning"], format!("vendor/bad is not available from its upstream now: {error}"));
        }
        let asked = registry.composer_host.take_urls();
        let roots = asked.iter().filter(|url| url.ends_with("/packages.json")).count();
        assert!(roots == 1 && asked.iter().filter(|url| url.contains("bad.json")).count() <= 2, "{asked:?}");
        let reply = read(&registry, &token, "/p2/vendor/other.json").await.expect(200);
        assert_eq!(reply.version_names("vendor/other"), ["1.0.0"], "{fault:?}");

        registry.composer_host.publish(SATIS, "vendor/other", &[other("2.0.0")]);
        registry.advance_seconds(STALE);
        registry.cron().await;
        registry.run_until_idle().await;
        assert_eq!(status(&registry, &id).await, (json!("ok"), json!(null)), "{fault:?}");
        let told = ["vendor/bad", "vendor/lib"].map(|name| (name.to_owned(), error.to_owned()));
        assert_eq!(registry.skipped(), told, "{fault:?}");
        let reply = read(&registry, &token, "/p2/vendor/other.json").await.expect(200);
        assert_eq!(reply.version_names("vendor/other"), ["2.0.0"], "{fault:?}");
        read(&registry, &token, LIB).await.expect(200);
        assert!(!logs::text().contains("ERROR"), "{}", logs::text());
    }
}

#[tokio::test]
async fn an_upstream_that_fails_at_one_package_after_the_other_fails_its_sync() {
    for (packages, expected) in [(4, "ok"), (5, "failed")] {
        let (registry, id, token) = mirroring().await;
        for number in 1..=packages {
            let name = format!("vendor/p{number}");
            registry.composer_host.publish(SATIS, &name, &[upstream_version(SATIS, &name, "1.0.0")]);
            read(&registry, &token, &format!("/p2/{name}.json")).await.expect(200);
        }
        registry.composer_host.inject_fault("/p2/", HostFault::Status(403));
        registry.advance_seconds(INTERVAL + 1);
        assert_eq!(registry.sync(&id).await["sync_status"], expected, "{packages}");
        registry.composer_host.recover();
        assert_eq!(registry.sync(&id).await["sync_status"], "ok");
        assert_eq!(registry.skipped(), []);
    }
}

#[tokio::test]
async fn a_document_that_is_none_is_refused_with_a_reason_and_nothing_of_it_is_kept() {
    let whole = json!({"packages": {"vendor/lib": [version("2.0.0")]}}).to_string();
    let odd = json!({"packages": {"vendor/lib": [{"version": "nonsense"}, 5]}}).to_string();
    for (body, error) in [
        (Vec::from("<!doctype html>"), "the answer is not JSON (expected value at line 1 column 1)"),
        (whole.as_bytes()[..whole.len() / 2].to_vec(), "the answer is not JSON (EOF while parsing"),
        (
            ["\u{feff}", &whole].concat().into_bytes(),
            "the answer is not JSON (it begins with a byte order mark (UTF-8), which JSON does not allow",
        ),
        (Vec::from("[]"), "the answer is JSON, but not an object"),
        (Vec::from("{\"packages\": 5}"), "`packages` must be an object"),
        (Vec::from("{\"packages\": {\"vendor/lib\": 5}}"), "`packages` must hold lists of versions"),
        (
            odd.into_bytes(),
            "none of its versions can be used; the first, nonsense: invalid version string \\\"nonsense\\\"",
        ),
        (vec![b' '; (8 << 20) + 1], "the server's answer is larger than 8388608 bytes"),
        (b"[".repeat(10_000), "the answer is not JSON (recursion limit exceeded"),
    ] {
        let (registry, id, token) = mirroring().await;
        registry.composer_host.put(&format!("{SATIS}/p2/vendor/lib.json"), body.clone());
        registry.composer_host.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
        let reply = read(&registry, &token, LIB).await.expect(502);
        assert!(reply.text().contains(error), "{}", reply.text());
        assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})], "{error}");
        registry.composer_host.publish(SATIS, "vendor/lib", &[version("1.0.0")]);
        let first = read(&registry, &token, LIB).await.expect(200);
        registry.composer_host.put(&format!("{SATIS}/p2/vendor/lib.json"), body);
        registry.advance_seconds(STALE);
        assert_eq!(read(&registry, &token, LIB).await.expect(200).body, first.body, "{error}");
        registry.advance_seconds(INTERVAL);
        registry.cron().await;
        registry.run_until_idle().await;
        assert_eq!(status(&registry, &id).await.0, "ok", "one broken document is not the server's failure");
        let [(name, reason)] = registry.skipped().try_into().expect("one package");
        assert_eq!(name, "vendor/lib");
        assert!(json!(reason).to_string().contains(error), "{reason}");
    }
}

/// The versions of `vendor/lib` in the documents, which must be the live ones in the database, each with a dist.
async fn published(registry: &TestRegistry, token: &str) -> Vec<String> {
    let elsewhere = registry.another_isolate();
    let mut shown = Vec::new();
    for path in [LIB, LIB_DEV] {
        let reply = elsewhere.get(path).basic(token).composer().send().await.expect(200);
        shown.extend(reply.version_names("vendor/lib"));
    }
    let mut live: Vec<String> = registry
        .database
        .rows(
            "SELECT v.pretty FROM versions v JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
              WHERE v.removed_at IS NULL",
        )
        .iter()
        .map(|row| row["pretty"].as_str().expect("text").to_owned())
        .collect();
    live.sort_unstable();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, live);
    shown
}

#[tokio::test]
async fn every_call_broken_once_publishes_a_package_as_a_whole_or_not_at_all() {
    let old = ["v1.1.0", "1.0.0", "dev-main"];
    let new = ["2.0.0", "1.0.0", "dev-main"];
    for port in [Port::Database, Port::Cache] {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                let case = format!("{port:?} {nth} {timing:?}");
                let (registry, _, token) = mirroring().await;
                registry.meter.break_nth(port, nth, timing);
                let reply = read(&registry, &token, LIB).await;
                let is_broken = registry.meter.clear_faults() > 0;
                assert!([200, 500].contains(&reply.status), "{case}");
                assert!(port == Port::Database || reply.status == 200, "{case}");
                let rows = registry.database.rows("SELECT count(*) AS n FROM versions");
                assert!([json!({"n": 0}), json!({"n": 3})].contains(&rows[0]), "{case}");
                assert_eq!(published(&registry, &token).await, old, "{case}");

                registry.composer_host.publish(SATIS, "vendor/lib", &new.map(version));
                registry.advance_seconds(STALE);
                registry.meter.break_nth(port, nth, timing);
                let reply = read(&registry, &token, LIB).await;
                let is_broken_again = registry.meter.clear_faults() > 0;
                assert!([200, 500].contains(&reply.status), "{case}");
                assert_eq!(published(&registry, &token).await, new, "{case}");
                if !is_broken && !is_broken_again {
                    assert!(nth > 1, "{case}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn every_call_broken_once_syncs_an_upstream_in_the_end() {
    for port in [Port::Database, Port::Queue] {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                let case = format!("{port:?} {nth} {timing:?}");
                let (registry, id, token) = mirroring().await;
                read(&registry, &token, LIB).await.expect(200);
                registry.composer_host.publish(SATIS, "vendor/lib", &["2.0.0", "dev-main"].map(version));
                registry.advance_seconds(INTERVAL);
                registry.cron().await;
                registry.meter.break_nth(port, nth, timing);
                let failed = registry.run_until_idle_with_failures().await;
                let is_broken = registry.meter.clear_faults() > 0;
                for (job, _) in failed {
                    perform(&registry.isolate.app, job).await.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                }
                registry.advance_seconds(20 * 60);
                registry.cron().await;
                registry.run_until_idle().await;
                assert_eq!(status(&registry, &id).await, (json!("ok"), json!(null)), "{case}");
                assert_eq!(published(&registry, &token).await, ["2.0.0", "dev-main"], "{case}");
                if !is_broken {
                    break;
                }
            }
        }
    }
}
