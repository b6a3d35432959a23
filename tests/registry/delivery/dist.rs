//! Archives: what is in them, how they are addressed, and what happens while they are built.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::support::{ADMIN, Calls, FaultTiming, File, HostFault, Port, Step, TestRegistry, file, manifest};

/// Path → (mode, content or target) of what is in a built zip below its one directory.
pub fn listing(bytes: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let mut listing = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).expect("an entry");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("intact");
        let mode = file.unix_mode().expect("made on unix");
        let name = file.name().expect("UTF-8");
        let (_, below) = name.split_once('/').expect("in a directory");
        listing.insert(below.to_owned(), (mode, content));
    }
    listing
}

fn sha1(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}

#[tokio::test]
async fn an_archive_is_found_by_version_by_reference_and_by_the_url_in_the_metadata() {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["v1.0.0"]).await;
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let dist = document.versions("acme/lib")[0]["dist"].clone();
    let url = dist["url"].as_str().expect("a URL").strip_prefix("https://registry.test").expect("ours").to_owned();
    let canonical = registry.get(&url).basic(&token).composer().send().await.expect(200);
    assert_eq!(dist["shasum"], sha1(&canonical.body));
    assert_eq!(canonical.header("content-type"), "application/zip");
    assert_eq!(canonical.header("content-length"), canonical.body.len().to_string());
    assert_eq!(canonical.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(canonical.header("accept-ranges"), "bytes");
    assert_eq!(canonical.header("etag"), format!("\"{}\"", sha1(&canonical.body)));
    let file_name = format!("attachment; filename=\"lib-{}.zip\"", &sha1(&canonical.body)[..12]);
    assert_eq!(canonical.header("content-disposition"), file_name);
    assert_eq!(listing(&canonical.body).keys().collect::<Vec<_>>(), ["composer.json", "src/Lib.php"]);
    let reference = repo.id("main");
    for version in ["v1.0.0", "1.0.0", "1.0", "1.0.0.0"] {
        let by_reference = format!("/dist/acme/lib/{version}/{reference}.zip");
        assert_eq!(registry.get(&by_reference).basic(&token).send().await.expect(200).body, canonical.body);
        let by_version = registry.get(&format!("/dist/acme/lib/{version}.zip")).basic(&token).send().await.expect(200);
        assert_eq!(by_version.body, canonical.body);
        assert_eq!(by_version.header("cache-control"), "private, no-cache");
    }
}

#[tokio::test]
async fn tags_and_the_default_branch_are_built_after_the_sync_and_other_branches_on_their_first_download() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.tag("1.1.0");
    repo.commit_to("feature", &[manifest("acme/lib"), file("src/Lib.php", "<?php // feature")]);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    // Both tags and the default branch are one commit, hence one zip.
    let built = registry.database.rows("SELECT sha256, sha1, size FROM artifacts");
    assert_eq!(built.len(), 1);
    let token = registry.reader().await;
    registry.git_host.take_requests();
    let tag = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    let sha256 = hex::encode(Sha256::digest(&tag.body));
    assert_eq!(built, [json!({"sha256": sha256, "sha1": sha1(&tag.body), "size": tag.body.len()})]);
    assert_eq!(registry.blobs.keys(), [format!("dist/{}/{sha256}.zip", &sha256[..2])]);
    let default = registry.get("/dist/acme/lib/dev-main.zip").basic(&token).send().await.expect(200);
    assert_eq!(default.body, tag.body, "the same commit gives the same bytes");
    assert_eq!(registry.git_host.take_steps(), []);
    let branch = registry.get("/dist/acme/lib/dev-feature.zip").basic(&token).send().await.expect(200);
    assert_ne!(branch.body, tag.body);
    assert_eq!(registry.git_host.take_steps(), [Step::Fetch]);
    registry.get("/dist/acme/lib/dev-feature.zip").basic(&token).send().await.expect(200);
    assert_eq!(registry.git_host.take_steps(), []);
}

#[tokio::test]
async fn the_default_branch_is_downloadable_after_a_force_push_and_others_say_that_their_commit_is_gone() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let feature = repo.commit_to("feature", &[manifest("acme/lib"), file("src/Lib.php", "<?php // feature")]);
    let main = repo.id("main");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    // Both are rewritten, and the host removes what no branch has any more.
    for branch in ["main", "feature"] {
        repo.delete(&format!("refs/heads/{branch}"));
        repo.commit_to(branch, &[manifest("acme/lib"), file("new.php", branch)]);
    }
    repo.git(&["-c", "gc.pruneExpire=now", "gc", "--prune=now", "-q"], b"");
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
    let token = registry.reader().await;
    registry.get(&format!("/dist/acme/lib/dev-main/{main}.zip")).basic(&token).send().await.expect(200);
    let gone = format!("/dist/acme/lib/dev-feature/{feature}.zip");
    let reply = registry.get(&gone).basic(&token).composer().send().await.expect(404);
    let expected = format!(
        "Commit {feature} is gone: the git server git.test does not have it (any more), and it was never zipped here. \
         Update the package to a commit that is there."
    );
    assert_eq!((&reply.json()["error"], &reply.json()["warning"]), (&json!(expected), &json!(expected)));
}

#[tokio::test]
async fn more_tags_than_one_job_takes_are_all_built() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 45);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let unbuilt = "SELECT count(*) AS n FROM dists d JOIN versions v ON v.id = d.version_id
                    WHERE v.ref_name LIKE 'refs/tags/%' AND d.artifact_sha256 IS NULL";
    assert_eq!(registry.database.rows(unbuilt), [json!({"n": 0})]);
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let versions = document.versions("acme/lib");
    assert_eq!(versions.len(), 45);
    for version in &versions {
        assert_eq!(version["dist"]["shasum"].as_str().map(str::len), Some(40), "{}", version["version"]);
    }
}

#[tokio::test]
async fn the_same_commit_gives_the_same_bytes_in_another_registry() {
    let mut archives = Vec::new();
    for _ in 0..2 {
        let registry = TestRegistry::new();
        registry.advance_seconds(archives.len() as u64 * 1000);
        registry.published("acme/lib", &["1.0.0"]).await;
        let token = registry.reader().await;
        archives.push(registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200).body);
    }
    assert_eq!(archives[0], archives[1]);
}

#[tokio::test]
async fn what_the_author_excludes_is_not_in_the_archive_and_modes_are_kept() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    let composer_json = r#"{"name":"acme/lib","archive":{"exclude":["/docs","*.log"]}}"#;
    repo.commit(&[
        file("composer.json", composer_json),
        file(".gitattributes", "/tests export-ignore\n.gitattributes export-ignore\n"),
        file("tests/LibTest.php", "<?php"),
        file("docs/index.md", "# Docs"),
        file("var/debug.log", "noise"),
        File { mode: "100755", ..file("bin/lib", "#!/usr/bin/env php\n") },
        File { mode: "120000", ..file("link.php", "src/Lib.php") },
        file("src/Lib.php", "<?php"),
    ]);
    repo.tag("1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let zip = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    let listing = listing(&zip.body);
    assert_eq!(listing.keys().collect::<Vec<_>>(), ["bin/lib", "composer.json", "link.php", "src/Lib.php"]);
    assert_eq!(listing["bin/lib"].0, 0o100_755);
    assert_eq!(listing["src/Lib.php"].0, 0o100_644);
    assert_eq!(listing["link.php"], (0o120_777, b"src/Lib.php".to_vec()));
}

#[tokio::test]
async fn head_range_and_etag_work_as_for_any_file() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let path = "/dist/acme/lib/1.0.0.zip";
    let whole = registry.get(path).basic(&token).send().await.expect(200);
    let size = whole.body.len();
    let (head, calls) = registry.counted(registry.head(path).basic(&token).send()).await;
    let head = head.expect(200);
    assert!(head.body.is_empty());
    assert_eq!(calls.blob_reads, 0);
    for header in ["content-length", "content-type", "etag", "cache-control", "accept-ranges"] {
        assert_eq!(head.header(header), whole.header(header));
    }
    for (range, from, to) in [("bytes=0-9", 0, 10), ("bytes=10-", 10, size), ("bytes=-5", size - 5, size)] {
        let part = registry.get(path).basic(&token).header("range", range).send().await.expect(206);
        assert_eq!(part.body, whole.body[from..to]);
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{size}", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
    }
    let outside = registry.get(path).basic(&token).header("range", &format!("bytes={size}-")).send().await.expect(416);
    assert_eq!(outside.header("content-range"), format!("bytes */{size}"));
    assert_eq!(outside.json()["code"], "RANGE_NOT_SATISFIABLE");
    let etag = whole.header("etag").to_owned();
    let request = registry.get(path).basic(&token).header("if-none-match", &etag);
    let (unchanged, calls) = registry.counted(request.send()).await;
    assert!(unchanged.expect(304).body.is_empty());
    assert_eq!(calls.blob_reads, 0);
    let fresh = registry.get(path).basic(&token).header("range", "bytes=0-9").header("if-range", &etag);
    fresh.send().await.expect(206);
    let stale = registry.get(path).basic(&token).header("range", "bytes=0-9").header("if-range", "\"old\"");
    assert_eq!(stale.send().await.expect(200).body, whole.body);
}

#[tokio::test]
async fn what_is_not_there_is_a_404_whatever_its_address() {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let (known, unknown) = (repo.id("main"), "0".repeat(40));
    for path in [
        format!("/dist/acme/lib/1.0.0/{unknown}.zip"),
        format!("/dist/acme/lib/2.0.0/{known}.zip"),
        format!("/dist/acme/none/1.0.0/{known}.zip"),
        "/dist/acme/lib/2.0.0.zip".to_owned(),
        "/dist/acme/lib/nonsense.zip".to_owned(),
        "/dist/acme/lib/1.0.0.tar".to_owned(),
        "/dist/acme/lib/1.0.0@dev.zip".to_owned(),
        "/dist/acme/lib/..%2f..%2fsecret.zip".to_owned(),
        "/dist/acme/lib/%00.zip".to_owned(),
        format!("/dist/acme/lib/{}.zip", "9".repeat(300)),
        "/dist/acme/lib/".to_owned(),
    ] {
        let reply = registry.get(&path).basic(&token).send().await.expect(404);
        assert_eq!(reply.json()["code"], "NOT_FOUND", "{path}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    registry.get("/dist/acme/lib/1.0.0.zip").send().await.expect(401);
}

#[tokio::test]
async fn branches_with_slashes_and_signs_are_downloadable_by_the_url_in_their_metadata() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    for branch in ["feature/a", "fix/ä+b", "x%y", "a@b"] {
        repo.branch(branch);
    }
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
    let versions = document.versions("acme/lib");
    assert_eq!(versions.len() + registry.skipped().len(), 5, "{:?}", registry.skipped());
    assert!(versions.len() >= 4);
    for version in versions {
        let url = version["dist"]["url"].as_str().expect("a URL");
        let path = url.strip_prefix("https://registry.test").expect("ours");
        registry.get(path).basic(&token).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_tree_that_is_too_large_is_refused_with_the_limit_and_spares_the_others() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.commit_of_many_files("acme/lib", 100_001);
    repo.tag("2.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let token = registry.reader().await;
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    for path in ["/dist/acme/lib/2.0.0.zip", "/dist/acme/lib/dev-main.zip", "/dist/acme/lib/2.0.0.zip"] {
        let reply = registry.get(path).basic(&token).composer().send().await.expect(404);
        let error = reply.json()["error"].as_str().expect("text").to_owned();
        assert!(
            error.contains("is not available") && error.contains("more than 100000 files and directories"),
            "{error}"
        );
        assert_eq!(reply.json()["warning"], error);
    }
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(document.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    let packages = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    let path = format!("/api/packages/{}", packages[0]["id"].as_str().expect("an id"));
    let details = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    assert!(details["versions"][0]["dist_error"].as_str().is_some_and(|error| error.contains("100000")));
}

/// A registry whose only archive has not been built yet, a reader, and the path of the archive.
async fn unbuilt() -> (TestRegistry, String, &'static str) {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.branch("feature");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    registry.database.execute("UPDATE dists SET artifact_sha256 = NULL; DELETE FROM artifacts");
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    let token = registry.reader().await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    (registry, token, "/dist/acme/lib/dev-feature.zip")
}

#[tokio::test]
async fn whatever_breaks_while_an_archive_is_built_the_next_download_gets_it() {
    for port in [Port::Database, Port::Blobs] {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            let mut nth = 1;
            loop {
                let (registry, token, path) = unbuilt().await;
                registry.meter.break_nth(port, nth, timing);
                let reply = registry.get(path).basic(&token).send().await;
                if registry.meter.clear_faults() == 0 {
                    assert!(reply.status == 200 && nth > 1);
                    break;
                }
                assert_eq!(reply.status, 500, "{port:?} {nth} {timing:?}");
                assert_eq!(reply.json()["code"], "INTERNAL_ERROR");
                assert!(!reply.text().contains("broken by the test"));
                let again = registry.get(path).basic(&token).send().await.expect(200);
                assert_eq!(listing(&again.body).len(), 2);
                assert_eq!(registry.blobs.keys().len(), 1, "no blob is left over");
                nth += 1;
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_deliver_is_a_502_that_passes() {
    for fault in [
        HostFault::Status(401),
        HostFault::Status(404),
        HostFault::Unreachable,
        HostFault::TimedOut,
        HostFault::BrokenOff,
    ] {
        let (registry, token, path) = unbuilt().await;
        registry.git_host.inject_fault(fault.clone());
        let reply = registry.get(path).basic(&token).composer().send().await.expect(502);
        let body = reply.json();
        let error = body["error"].as_str().expect("text");
        let start = "The archive cannot be built now, because its repository does not deliver: ";
        assert!(error.starts_with(start), "{fault:?}: {error}");
        assert_eq!((&body["code"], &body["warning"]), (&json!("UPSTREAM_FAILED"), &body["error"]));
        registry.git_host.recover();
        registry.get(path).basic(&token).composer().send().await.expect(200);
    }
}

#[tokio::test]
async fn a_damaged_pack_does_not_condemn_the_archive_for_ever() {
    for fault in [HostFault::Truncated, HostFault::Corrupted, HostFault::Html] {
        let (registry, token, path) = unbuilt().await;
        registry.git_host.inject_fault(fault.clone());
        let reply = registry.get(path).basic(&token).composer().send().await;
        assert!(reply.status >= 400, "{fault:?}");
        registry.git_host.recover();
        let again = registry.get(path).basic(&token).composer().send().await;
        assert_eq!(again.status, 200, "{fault:?}: {}", again.text());
    }
}

#[tokio::test]
async fn two_first_downloads_at_once_get_the_same_archive() {
    let (registry, token, path) = unbuilt().await;
    let (first, second) =
        tokio::join!(registry.get(path).basic(&token).send(), registry.get(path).basic(&token).send());
    assert_eq!(first.expect(200).body, second.expect(200).body);
    assert_eq!(registry.blobs.keys().len(), 1);
}

#[tokio::test]
async fn a_zip_that_is_gone_from_the_blob_store_is_built_again() {
    let (registry, token, path) = unbuilt().await;
    let first = registry.get(path).basic(&token).send().await.expect(200);
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    let again = registry.get(path).basic(&token).send().await.expect(200);
    assert_eq!(again.body, first.body);
    let (_, calls) = registry.counted(registry.get(path).basic(&token).send()).await;
    assert_eq!(calls, Calls { round_trips: 1, statements: 1, blob_reads: 1, ..Calls::default() });
}

#[tokio::test]
async fn a_zip_that_is_gone_and_cannot_be_built_now_is_told_as_such() {
    let (registry, token, path) = unbuilt().await;
    registry.get(path).basic(&token).send().await.expect(200);
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    registry.git_host.inject_fault(HostFault::Status(500));
    let reply = registry.get(path).basic(&token).send().await.expect(502);
    assert_eq!(reply.json()["code"], "UPSTREAM_FAILED");
}

#[tokio::test]
async fn branches_are_zipped_when_their_metadata_is_handed_out_and_not_by_the_request() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let feature = repo.commit_to("feature", &[manifest("acme/lib"), file("src/Lib.php", "<?php // feature")]);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let unbuilt = || registry.database.rows("SELECT reference FROM dists WHERE artifact_sha256 IS NULL");
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(unbuilt(), [json!({"reference": feature})], "nobody was told of branches");
    registry.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(unbuilt().len(), 1);
    registry.run_until_idle().await;
    assert_eq!(unbuilt(), [] as [serde_json::Value; 0]);
    // Once: neither this isolate nor another one asks for it again.
    for isolate in [registry.isolate.clone(), registry.another_isolate()] {
        isolate.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
        while let Some(work) = registry.tasks.next_background() {
            work.await;
        }
        assert_eq!(registry.tasks.jobs(), []);
    }
}

#[tokio::test]
async fn a_version_that_there_will_never_be_a_zip_of_is_installed_from_source_or_left_out_with_the_reason() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.commit(&[manifest("acme/lib"), file("second.php", "<?php")]);
    repo.tag("2.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let reason = "there are more than 100000 files and directories";
    registry.database.execute(&format!(
        "UPDATE dists SET artifact_sha256 = NULL, error = '{reason}'
          WHERE version_id = (SELECT id FROM versions WHERE normalized = '2.0.0.0')"
    ));
    let row = registry.database.rows("SELECT repository_id FROM packages").remove(0);
    let repository_id = row["repository_id"].as_i64().expect("an id");
    perform(&registry.isolate.app, Job::BuildArchives { repository_id }).await.expect("rendered");
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let versions = document.versions("acme/lib");
    assert_eq!(document.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    assert!(versions[0].get("dist").is_none() && versions[0]["source"]["url"].is_string());
    assert!(versions[1]["dist"]["url"].is_string());
    // A customer is not shown where the sources are, so could not install it.
    let customer = registry.consumer().await;
    registry.grant(&customer, "acme/lib", "*").await;
    let document = customer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
    assert_eq!(document.version_names("acme/lib"), ["1.0.0"]);
    let reply = customer.get(&registry.isolate, "/dist/acme/lib/2.0.0.zip").send().await.expect(404);
    assert_eq!(reply.json()["warning"], format!("The archive of version 2.0.0 is not available: {reason}"));
}
