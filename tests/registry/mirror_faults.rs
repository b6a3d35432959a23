//! Upstream repositories that fail or lie, and every call of a port broken once: what was published stays, the owner is
//! told why, and nothing is half-written.

use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::mirror::{INTERVAL, LIB, LIB_DEV, SATIS, STALE, mirroring, read, version};
use crate::support::{Moment, Port, Trouble, World, logs};

async fn status(world: &World, id: &str) -> (Value, Value) {
    let view = world.repository_view(id).await;
    (view["sync_status"].clone(), view["error"].clone())
}

/// What a server can do instead of its duty, and what the repository's owner reads.
fn troubles() -> Vec<(Trouble, &'static str)> {
    vec![
        (Trouble::Status(401), "the server refuses the credentials (HTTP 401: in our words); check `auth_credentials`"),
        (Trouble::Status(403), "the server refuses the credentials (HTTP 403: in our words); check `auth_credentials`"),
        (Trouble::Status(429), "the server answers with HTTP 429: in our words"),
        (Trouble::Status(500), "the server answers with HTTP 500: in our words"),
        (Trouble::Unreachable, "the server cannot be reached: connection refused"),
        (Trouble::TimedOut, "the server did not answer within 30 s"),
        (Trouble::BrokenOff, "the server's answer broke off: connection reset"),
        (
            Trouble::Redirect("https://10.0.0.1/x".to_owned()),
            "the server redirects to an address that must not lead to a private, loopback or link-local address",
        ),
        (Trouble::Redirect(format!("{SATIS}/p2/loop")), "the server redirects more than 5 times"),
    ]
}

#[tokio::test]
async fn while_an_upstream_fails_what_it_said_last_is_shown_and_its_repository_tells_why() {
    for (trouble, error) in troubles() {
        let (world, id, token) = mirroring().await;
        let first = read(&world, &token, LIB).await.expect(200);
        world.far.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
        world.far.trouble("/p2/", trouble.clone());
        world.advance_seconds(STALE);
        let shown = read(&world, &token, LIB).await.expect(200);
        assert_eq!(shown.body, first.body, "{trouble:?}");
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("failed"), json!(error)), "{trouble:?}");
        assert_eq!(read(&world, &token, LIB).await.expect(200).body, first.body);
        world.far.recover();
        world.advance_seconds(INTERVAL);
        world.cron().await;
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("ok"), json!(null)), "{trouble:?}");
        world.advance_seconds(10);
        assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_yet_is_not_said_to_be_absent_while_its_upstream_fails() {
    for (trouble, error) in troubles() {
        let (world, id, token) = mirroring().await;
        world.far.trouble("/p2/", trouble.clone());
        let reply = read(&world, &token, LIB).await.expect(502);
        let words = format!("vendor/lib cannot be had from its upstream now: {error}");
        assert_eq!(reply.json()["warning"], words, "{trouble:?}");
        let asked = world.far.take_heard().len();
        assert!(asked > 0);
        // Composer repeats it at once, and has more packages to ask for.
        read(&world, &token, LIB_DEV).await.expect(502);
        read(&world, &token, "/p2/vendor/other.json").await.expect(502);
        assert_eq!(world.far.take_heard(), [], "{trouble:?}: a server that has just failed is left alone");
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("failed"), json!(error)), "{trouble:?}");
        assert_eq!(world.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
        world.far.recover();
        world.advance_seconds(15);
        read(&world, &token, LIB).await.expect(200);
        assert!(!logs::text().contains("ERROR"), "{}", logs::text());
    }
}

#[tokio::test]
async fn a_document_that_is_none_is_refused_with_a_reason_and_nothing_of_it_is_kept() {
    let whole = json!({"packages": {"vendor/lib": [version("2.0.0")]}}).to_string();
    let odd = json!({"packages": {"vendor/lib": [{"version": "nonsense"}, 5]}}).to_string();
    for (body, error) in [
        (Vec::from("<!doctype html>"), "the answer is not JSON (expected value at line 1 column 1)"),
        (whole.as_bytes()[..whole.len() / 2].to_vec(), "the answer is not JSON (EOF while parsing"),
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
        let (world, id, token) = mirroring().await;
        world.far.put(&format!("{SATIS}/p2/vendor/lib.json"), body.clone());
        world.far.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
        let reply = read(&world, &token, LIB).await.expect(502);
        assert!(reply.text().contains(error), "{}", reply.text());
        assert_eq!(world.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})], "{error}");
        world.far.publish(SATIS, "vendor/lib", &[version("1.0.0")]);
        let first = read(&world, &token, LIB).await.expect(200);
        world.far.put(&format!("{SATIS}/p2/vendor/lib.json"), body);
        world.advance_seconds(STALE);
        assert_eq!(read(&world, &token, LIB).await.expect(200).body, first.body, "{error}");
        world.advance_seconds(INTERVAL);
        world.cron().await;
        world.settle().await;
        assert_eq!(status(&world, &id).await.0, "ok", "one broken document is not the server's failure");
        let [(name, reason)] = world.skipped().try_into().expect("one package");
        assert_eq!(name, "vendor/lib");
        assert!(json!(reason).to_string().contains(error), "{reason}");
    }
}

/// The versions of `vendor/lib` in the documents, which must be the live ones in the database, each with a dist.
async fn published(world: &World, token: &str) -> Vec<String> {
    let elsewhere = world.another_isolate();
    let mut shown = Vec::new();
    for path in [LIB, LIB_DEV] {
        let reply = elsewhere.get(path).basic(token).composer().send().await.expect(200);
        shown.extend(reply.version_names("vendor/lib"));
    }
    let mut live: Vec<String> = world
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
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                let case = format!("{port:?} {nth} {moment:?}");
                let (world, _, token) = mirroring().await;
                world.meter.break_nth(port, nth, moment);
                let reply = read(&world, &token, LIB).await;
                let is_broken = world.meter.mend() > 0;
                assert!([200, 500].contains(&reply.status), "{case}");
                assert!(port == Port::Database || reply.status == 200, "{case}");
                let rows = world.database.rows("SELECT count(*) AS n FROM versions");
                assert!([json!({"n": 0}), json!({"n": 3})].contains(&rows[0]), "{case}");
                assert_eq!(published(&world, &token).await, old, "{case}");

                world.far.publish(SATIS, "vendor/lib", &new.map(version));
                world.advance_seconds(STALE);
                world.meter.break_nth(port, nth, moment);
                let reply = read(&world, &token, LIB).await;
                let is_broken_again = world.meter.mend() > 0;
                assert!([200, 500].contains(&reply.status), "{case}");
                assert_eq!(published(&world, &token).await, new, "{case}");
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
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                let case = format!("{port:?} {nth} {moment:?}");
                let (world, id, token) = mirroring().await;
                read(&world, &token, LIB).await.expect(200);
                world.far.publish(SATIS, "vendor/lib", &["2.0.0", "dev-main"].map(version));
                world.advance_seconds(INTERVAL);
                world.cron().await;
                world.meter.break_nth(port, nth, moment);
                let failed = world.settle_with_failures().await;
                let is_broken = world.meter.mend() > 0;
                for (job, _) in failed {
                    perform(&world.isolate.app, job).await.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                }
                world.advance_seconds(20 * 60);
                world.cron().await;
                world.settle().await;
                assert_eq!(status(&world, &id).await, (json!("ok"), json!(null)), "{case}");
                assert_eq!(published(&world, &token).await, ["2.0.0", "dev-main"], "{case}");
                if !is_broken {
                    break;
                }
            }
        }
    }
}
