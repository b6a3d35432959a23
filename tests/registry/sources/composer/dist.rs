//! Zips of mirrored versions: fetched when they are downloaded first, checked, and served from here ever after.

use bytes::Bytes;
use rostrum::ports::PART_BYTES;
use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, SATIS, STALE, read};
use crate::support::{
    ADMIN, Calls, FaultTiming, HostFault, Port, TestRegistry, TestResponse, sha1_of, upstream_version, zip_of,
};

const ZIP_URL: &str = "https://satis.test/zips/vendor/lib/1.0.0.zip";

/// A registry with `vendor/lib` 1.0.0 at an upstream, its zip and the promised hash of that, and a token.
async fn with_zip(zip: &[u8], shasum: &str) -> (TestRegistry, String, String) {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let mut version = upstream_version(SATIS, "vendor/lib", "1.0.0");
    version["dist"]["shasum"] = json!(shasum);
    registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    registry.composer_host.put(ZIP_URL, Bytes::copy_from_slice(zip));
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    let reply = read(&registry, &token, LIB).await.expect(200);
    let url = reply.versions("vendor/lib")[0]["dist"]["url"].as_str().expect("text").to_owned();
    let path = url.strip_prefix("https://registry.test").expect("ours").to_owned();
    registry.composer_host.take_requests();
    (registry, token, path)
}

async fn download(registry: &TestRegistry, token: &str, path: &str) -> TestResponse {
    registry.get(path).basic(token).composer().send().await
}

fn count(registry: &TestRegistry, table: &str) -> i64 {
    registry.database.rows(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().expect("a number")
}

#[track_caller]
fn assert_nothing_was_kept(registry: &TestRegistry) {
    assert_eq!(registry.blobs.keys(), Vec::<String>::new());
    assert_eq!(registry.blobs.open_uploads(), 0, "an upload was left open");
    assert_eq!(count(registry, "artifacts"), 0);
}

/// A zip that takes several parts to store, the last of them not full.
fn large() -> Vec<u8> {
    let byte = |at: usize| at.wrapping_mul(2_654_435_761).to_le_bytes()[3];
    let content: Vec<u8> = (0..PART_BYTES * 2 + 12_345).map(byte).collect();
    zip_of(&content)
}

#[tokio::test]
async fn a_zip_is_fetched_once_and_served_from_here_when_the_upstream_is_gone() {
    for zip in [zip_of(b"{}"), large()] {
        for shasum in [String::new(), sha1_of(&zip)] {
            let (registry, token, path) = with_zip(&zip, &shasum).await;
            let first = download(&registry, &token, &path).await.expect(200);
            assert_eq!(first.body, zip);
            assert_eq!(first.header("etag"), format!("\"{}\"", sha1_of(&zip)));
            assert_eq!(first.header("content-length"), zip.len().to_string());
            assert_eq!(first.header("cache-control"), "private, max-age=31536000, immutable");
            let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&zip));
            assert_eq!(registry.blobs.keys(), [format!("dist/{}/{sha256}.zip", &sha256[..2])], "under its hash");
            assert_eq!(registry.blobs.open_uploads(), 0);
            assert_eq!(registry.composer_host.take_urls(), [ZIP_URL]);
            registry.composer_host.inject_fault(SATIS, HostFault::Unreachable);
            registry.advance_seconds(STALE * 100);
            let (again, calls) = registry.counted(download(&registry, &token, &path)).await;
            assert_eq!(again.expect(200).body, zip);
            assert_eq!((calls.upstream, calls.blob_reads, calls.round_trips), (0, 1, 1));
            let part = registry.get(&path).basic(&token).header("range", "bytes=10-19").send().await.expect(206);
            assert_eq!(part.body, zip[10..20]);
            registry.get(&path).basic(&token).header("if-none-match", first.header("etag")).send().await.expect(304);
        }
    }
}

#[tokio::test]
async fn a_first_download_costs_a_constant_number_of_statements() {
    let (registry, token, path) = with_zip(&zip_of(b"{}"), "").await;
    download(&registry, &token, "/dist/vendor/lib/9.9.9.zip").await.expect(404);
    let (_, calls) = registry.counted(download(&registry, &token, &path)).await;
    let expected =
        Calls { round_trips: 3, statements: 5, blob_reads: 2, blob_writes: 1, upstream: 1, ..Calls::default() };
    assert_eq!(calls, expected, "the dist, its upstream, and the zip that was stored and looked through");
}

#[tokio::test]
async fn bytes_that_are_not_the_promised_ones_are_neither_served_nor_kept() {
    for zip in [zip_of(b"{}"), large()] {
        let (registry, token, path) = with_zip(&zip, &"a".repeat(40)).await;
        for _ in 0..2 {
            let reply = download(&registry, &token, &path).await.expect(502);
            let words = format!(
                "The archive of vendor/lib 1.0.0 is not available from its upstream: its SHA-1 is {}, but the upstream's \
                 metadata promises {}; nothing of it was kept",
                sha1_of(&zip),
                "a".repeat(40),
            );
            assert_eq!(reply.json()["warning"], words);
            assert_nothing_was_kept(&registry);
        }
        // The upstream puts it right.
        let mut version = upstream_version(SATIS, "vendor/lib", "1.0.0");
        version["dist"]["shasum"] = json!(sha1_of(&zip));
        registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
        registry.advance_seconds(STALE);
        assert_eq!(read(&registry, &token, LIB).await.versions("vendor/lib")[0]["dist"]["shasum"], sha1_of(&zip));
        assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip);
    }
}

#[tokio::test]
async fn an_archive_that_was_made_anew_is_taken_once_the_metadata_promises_it() {
    let old = zip_of(b"{\"old\":1}");
    let (registry, token, path) = with_zip(&old, &sha1_of(&old)).await;
    // Its upstream builds it anew, from the same commit.
    let zip = zip_of(b"{\"new\":1}");
    let mut version = upstream_version(SATIS, "vendor/lib", "1.0.0");
    version["dist"]["shasum"] = json!(sha1_of(&zip));
    registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    registry.composer_host.put(ZIP_URL, Bytes::from(zip.clone()));
    let refused = download(&registry, &token, &path).await.expect(502);
    assert!(refused.json()["warning"].as_str().expect("text").contains("promises"), "what was just read is believed");
    registry.advance_seconds(60);
    registry.composer_host.take_urls();
    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip);
    let urls = registry.composer_host.take_urls();
    let metadata = [format!("{SATIS}/p2/vendor/lib.json"), format!("{SATIS}/p2/vendor/lib~dev.json")];
    assert_eq!(urls, [&[ZIP_URL.to_owned()][..], &metadata, &[ZIP_URL.to_owned()]].concat());
    assert_eq!(read(&registry, &token, LIB).await.versions("vendor/lib")[0]["dist"]["shasum"], sha1_of(&zip));
}

#[tokio::test]
async fn what_is_no_complete_zip_is_neither_served_nor_kept() {
    let words =
        |problem: &str| format!("The archive of vendor/lib 1.0.0 is not available from its upstream: {problem}");
    for zip in [zip_of(b"{}"), large()] {
        for (fault, problem) in [
            (HostFault::Html, "what the upstream sends is not a complete zip"),
            (HostFault::Truncated, "what the upstream sends is not a complete zip"),
            (HostFault::BrokenOff, "the server's answer broke off: connection reset"),
            (HostFault::TimedOut, "the server did not answer within 30 s"),
            (HostFault::Status(404), "the server answers with HTTP 404: in our words"),
            (HostFault::Status(500), "the server answers with HTTP 500: in our words"),
            (
                HostFault::Redirect("http://10.0.0.1/x.zip".to_owned()),
                "the server redirects to an address that must start with https://",
            ),
        ] {
            let (registry, token, path) = with_zip(&zip, "").await;
            registry.composer_host.inject_fault("/zips/", fault.clone());
            let reply = download(&registry, &token, &path).await.expect(502);
            assert_eq!(reply.json()["error"], words(problem), "{fault:?}");
            assert_nothing_was_kept(&registry);
            registry.composer_host.recover();
            assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_length_than_it_says_is_not_taken() {
    let (registry, token, path) = with_zip(&zip_of(b"{}"), "").await;
    registry.composer_host.say_length(Some(1));
    download(&registry, &token, &path).await.expect(502);
    assert_nothing_was_kept(&registry);
    registry.composer_host.say_length(Some(600 << 20));
    let words = "The archive of version 1.0.0 is not available: it is larger than 536870912 bytes";
    for _ in 0..2 {
        assert_eq!(download(&registry, &token, &path).await.expect(404).json()["error"], words);
    }
    assert_eq!(registry.composer_host.take_requests().len(), 2, "what is too large is not asked for again");
    assert_nothing_was_kept(&registry);
}

#[tokio::test]
async fn a_zip_of_unknown_length_is_taken() {
    let (registry, token, path) = with_zip(&zip_of(b"{}"), "").await;
    registry.composer_host.say_length(None);
    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip_of(b"{}"));
}

#[tokio::test]
async fn downloads_at_the_same_time_neither_disturb_each_other_nor_leave_anything_behind() {
    for zip in [zip_of(b"{}"), large()] {
        let (registry, token, path) = with_zip(&zip, "").await;
        let isolates: Vec<_> = (0..3).map(|_| registry.another_isolate()).collect();
        let request = |isolate: usize| isolates[isolate].get(&path).basic(&token).composer().send();
        let replies = tokio::join!(request(0), request(0), request(1), request(1), request(2), request(2), request(2));
        for reply in [replies.0, replies.1, replies.2, replies.3, replies.4, replies.5, replies.6] {
            assert_eq!(reply.expect(200).body, zip);
        }
        assert_eq!((registry.blobs.keys().len(), count(&registry, "artifacts")), (1, 1));
        assert_eq!(registry.blobs.open_uploads(), 0);
    }
}

#[tokio::test]
async fn of_two_different_zips_for_one_address_the_first_is_it_for_good() {
    let (registry, token, path) = with_zip(&zip_of(b"{\"a\":1}"), "").await;
    let elsewhere = registry.another_isolate();
    registry.composer_host.pause(ZIP_URL);
    let faster = async {
        registry.composer_host.until_paused().await;
        let reply = elsewhere.get(&path).basic(&token).send().await.expect(200);
        registry.composer_host.put(ZIP_URL, zip_of(b"{\"b\":2}"));
        registry.composer_host.resume();
        reply
    };
    let (slower, faster) = tokio::join!(download(&registry, &token, &path), faster);
    assert_eq!(slower.expect(200).body, faster.body);
    assert_eq!((registry.blobs.keys().len(), count(&registry, "artifacts")), (1, 1), "the other one is nobody's");
}

#[tokio::test]
async fn a_lost_blob_is_fetched_again_and_has_to_be_the_same() {
    let zip = zip_of(b"{}");
    let (registry, token, path) = with_zip(&zip, "").await;
    download(&registry, &token, &path).await.expect(200);
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip);
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    registry.composer_host.put(ZIP_URL, zip_of(b"{\"another\": true}"));
    download(&registry, &token, &path).await.expect(502);
    assert_eq!(registry.blobs.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_zip_that_is_here_keeps_its_hash_whatever_the_upstream_says_later() {
    let zip = zip_of(b"{}");
    let (registry, token, path) = with_zip(&zip, "").await;
    download(&registry, &token, &path).await.expect(200);
    let mut version = upstream_version(SATIS, "vendor/lib", "1.0.0");
    version["dist"]["shasum"] = json!("b".repeat(40));
    registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    registry.advance_seconds(STALE);
    let dist = read(&registry, &token, LIB).await.expect(200).versions("vendor/lib")[0]["dist"].clone();
    assert_eq!(dist["shasum"], sha1_of(&zip));
    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip);
}

#[tokio::test]
async fn a_branch_that_moved_leaves_its_old_zip_downloadable() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let branch = |commit: &str, zip: &[u8]| {
        let mut version = upstream_version(SATIS, "vendor/lib", "dev-main");
        let url = format!("{SATIS}/zips/{commit}.zip");
        version["dist"] = json!({"type": "zip", "url": url, "reference": commit.repeat(40), "shasum": ""});
        registry.composer_host.put(&url, zip.to_vec());
        registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    };
    let (old, new) = (zip_of(b"{\"old\":1}"), zip_of(b"{\"new\":1}"));
    branch("a", &old);
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    let path = |commit: &str| format!("/dist/vendor/lib/dev-main/{}.zip", commit.repeat(40));
    branch("b", &new);
    registry.advance_seconds(STALE);
    read(&registry, &token, LIB).await.expect(200);
    assert_eq!(download(&registry, &token, &path("b")).await.expect(200).body, new);
    assert_eq!(download(&registry, &token, &path("a")).await.expect(200).body, old, "its address is still known");
    registry.set(json!({"retire_vanished_packages": true})).await;
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(STALE);
    read(&registry, &token, LIB).await.expect(404);
    for (commit, zip) in [("a", &old), ("b", &new)] {
        assert_eq!(&download(&registry, &token, &path(commit)).await.expect(200).body, zip);
    }
}

#[tokio::test]
async fn a_mirror_of_archives_is_tried_in_the_order_that_composer_tries_it() {
    let registry = TestRegistry::new();
    let root = json!({
        "metadata-url": "/p2/%package%.json",
        "mirrors": [
            {"dist-url": "https://late.test/%package%/%version%.%type%", "preferred": false},
            {"dist-url": "https://early.test/%package%/%version%/%reference%.zip", "preferred": true},
        ],
    });
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
    let version = upstream_version(SATIS, "vendor/lib", "1.0.0");
    let reference = version["dist"]["reference"].as_str().expect("text").to_owned();
    registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    let (early, late) = (
        format!("https://early.test/vendor/lib/1.0.0.0/{reference}.zip"),
        "https://late.test/vendor/lib/1.0.0.0.zip".to_owned(),
    );
    registry.composer_host.put(&late, zip_of(b"{}"));
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.take_requests();
    download(&registry, &token, "/dist/vendor/lib/1.0.0.zip").await.expect(200);
    assert_eq!(registry.composer_host.take_urls(), [early, ZIP_URL.to_owned(), late]);
}

#[tokio::test]
async fn every_call_broken_once_leaves_a_whole_zip_or_none() {
    for zip in [zip_of(b"{}"), large()] {
        for port in [Port::Database, Port::Blobs] {
            for timing in [FaultTiming::Before, FaultTiming::After] {
                let mut broken = 0;
                for nth in 1.. {
                    let (registry, token, path) = with_zip(&zip, "").await;
                    registry.meter.break_nth(port, nth, timing);
                    let reply = download(&registry, &token, &path).await;
                    if registry.meter.clear_faults() == 0 {
                        assert_eq!(reply.expect(200).body, zip);
                        break;
                    }
                    broken += 1;
                    let case = format!("{port:?} {nth} {timing:?}");
                    assert_eq!(reply.status, 500, "{case}");
                    let named: Vec<Value> = registry.database.rows("SELECT sha256 FROM artifacts");
                    assert!(named.len() <= registry.blobs.keys().len(), "{case}: what is named is there");
                    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip, "{case}");
                    let kept = registry.blobs.keys();
                    assert_eq!((count(&registry, "artifacts"), kept.len()), (1, 1), "{case}: {kept:?}");
                }
                assert!(broken >= 2, "{port:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_asked_any_more_serves_only_what_is_here() {
    let zip = zip_of(b"{}");
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    registry.composer_host.publish(
        SATIS,
        "vendor/lib",
        &["2.0.0", "1.0.0"].map(|text| upstream_version(SATIS, "vendor/lib", text)),
    );
    registry.composer_host.put(ZIP_URL, zip.clone());
    registry.set(json!({"packagist_mirroring": true, "packagist_url": SATIS})).await;
    let token = registry.reader().await;
    let versions = read(&registry, &token, LIB).await.expect(200).versions("vendor/lib");
    let path = |at: usize| {
        let url = versions[at]["dist"]["url"].as_str().expect("text");
        url.strip_prefix("https://registry.test").expect("ours").to_owned()
    };
    download(&registry, &token, &path(1)).await.expect(200);
    registry.set(json!({"packagist_mirroring": false})).await;
    read(&registry, &token, LIB).await.expect(404);
    assert_eq!(download(&registry, &token, &path(1)).await.expect(200).body, zip);
    download(&registry, &token, &path(0)).await.expect(404);
    assert_eq!(registry.composer_host.take_requests(), []);
    registry.advance_seconds(INTERVAL);
    registry.set(json!({"packagist_mirroring": true})).await;
    read(&registry, &token, LIB).await.expect(200);
    assert_eq!(download(&registry, &token, &path(1)).await.expect(200).body, zip);
    assert_eq!(
        registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json().as_array().map(Vec::len),
        Some(1)
    );
}
