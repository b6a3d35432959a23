//! Archives that do not fit the memory: built by jobs of their own, some files at a time, and by and by.

use std::time::Duration;

use bytes::Bytes;
use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;

use crate::delivery::dist::listing;
use crate::support::{FaultTiming, File, HostFault, Port, Step, TestRegistry, file, manifest, noise};

/// More than one pack of files may have.
const LARGE_FILE: usize = 13 << 19;
/// More than a part of an upload.
const FILE_OF_A_PART: usize = 11 << 19;

/// Bytes that neither compress nor are like those of [`noise`].
fn other_noise(length: usize) -> Vec<u8> {
    noise(length).into_iter().rev().collect()
}

/// Files whose zip has two parts and a rest, which are fetched one after the other.
fn parted_package() -> Vec<File> {
    with_small_files(vec![file("a.bin", noise(FILE_OF_A_PART)), file("b.bin", other_noise(FILE_OF_A_PART))])
}

fn with_small_files(mut files: Vec<File>) -> Vec<File> {
    files.push(manifest("acme/large"));
    files.push(file("z/empty", ""));
    files.extend((0..40).map(|number| file(&format!("src/{number}.php"), format!("<?php // {number}\n").repeat(50))));
    files.push(File { mode: "120000", ..file("link", "src/1.php") });
    files.push(File { mode: "100755", ..file("bin/run", "#!/bin/sh\n") });
    files
}

/// Files that are more than what is built in one go, two of which are fetched alone.
fn large_package() -> Vec<File> {
    with_small_files(vec![file("a/large.bin", noise(LARGE_FILE)), file("m/large.bin", other_noise(LARGE_FILE))])
}

/// A registry with a package of these files, synced, and nothing built yet.
async fn synced_with(files: &[File]) -> TestRegistry {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/large");
    repo.commit(files);
    repo.tag("1.0.0");
    registry.register(&repo).await;
    let job = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, job).await.expect("synced");
    registry
}

async fn synced() -> TestRegistry {
    synced_with(&large_package()).await
}

/// A registry with such a package, to be built as a large one, and the job that does it.
async fn parted() -> (TestRegistry, Job) {
    let registry = synced_with(&parted_package()).await;
    registry.tasks.lose_jobs();
    let job = forget(&registry);
    (registry, job)
}

/// Forgets everything that was built.
fn forget(registry: &TestRegistry) -> Job {
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    registry.blobs.lose_uploads();
    registry.database.execute(
        "DELETE FROM archive_builds; UPDATE dists SET artifact_sha256 = NULL, error = NULL; DELETE FROM artifacts;
         INSERT INTO archive_builds (dist_id, lease_until, updated_at)
         SELECT d.id, 0, 0 FROM dists d JOIN versions v ON v.id = d.version_id WHERE v.ref_name = 'refs/tags/1.0.0'",
    );
    let row = registry.database.rows("SELECT dist_id FROM archive_builds").remove(0);
    Job::BuildLargeArchive { dist_id: row["dist_id"].as_i64().expect("an id") }
}

async fn zip(registry: &TestRegistry) -> Bytes {
    let token = registry.reader().await;
    registry.get("/dist/acme/large/1.0.0.zip").basic(&token).send().await.expect(200).body
}

fn assert_complete(zip: &[u8]) {
    let listing = listing(zip);
    let files = large_package();
    assert_eq!(listing.len(), files.len());
    for File { path, content, .. } in files {
        assert!(listing[&path].1 == content, "{path}");
    }
}

/// Does what is on the queue, and says how many jobs built large archives.
async fn large_builds(registry: &TestRegistry) -> usize {
    let mut builds = 0;
    while let Some(job) = registry.tasks.next_job() {
        builds += usize::from(matches!(job, Job::BuildLargeArchive { .. }));
        perform(&registry.isolate.app, job).await.expect("it is built");
    }
    builds
}

#[tokio::test]
async fn a_commit_that_does_not_fit_the_memory_is_built_by_a_job_and_nothing_is_left_behind() {
    let registry = synced().await;
    registry.run_until_idle().await;
    let zip = zip(&registry).await;
    assert_complete(&zip);
    assert_eq!(registry.blobs.keys().len(), 1);
    assert_eq!(registry.blobs.open_uploads(), 0);
    for table in ["archive_builds", "archive_parts"] {
        assert_eq!(registry.database.rows(&format!("SELECT * FROM {table}")), [] as [serde_json::Value; 0]);
    }
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/large.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(document.versions("acme/large")[0]["dist"]["shasum"].as_str().map(str::len), Some(40));
}

#[tokio::test]
async fn a_download_waits_for_the_job_that_builds_its_large_zip_and_is_told_when_that_takes_long() {
    let registry = synced().await;
    registry.tasks.lose_jobs();
    let token = registry.reader().await;
    let download = || registry.get("/dist/acme/large/1.0.0.zip").basic(&token).composer().send();
    let time = async {
        while registry.tasks.jobs().is_empty() {
            tokio::task::yield_now().await;
        }
        registry.advance_seconds(61);
    };
    let (reply, ()) = tokio::join!(download(), time);
    let message = "The archive is large and still being built. Try again in a minute.";
    assert_eq!(reply.expect(502).json()["warning"], message);
    assert_complete(&registry.while_jobs_run(download()).await.expect(200).body);
}

#[tokio::test]
async fn in_one_go_in_pieces_and_over_several_jobs_the_bytes_are_the_same() {
    let registry = synced_with(&parted_package()).await;
    registry.run_until_idle().await;
    let in_one_go = zip(&registry).await;
    let job = forget(&registry);
    perform(&registry.isolate.app, job).await.expect("built");
    assert!(zip(&registry).await == in_one_go);
    let job = forget(&registry);
    // A job ends after a minute; each answer takes half of it.
    registry.git_host.slow_down(Duration::from_secs(31));
    perform(&registry.isolate.app, job).await.expect("begun");
    assert!(!registry.database.rows("SELECT tag FROM archive_parts").is_empty());
    assert!(large_builds(&registry).await > 0);
    assert!(zip(&registry).await == in_one_go);
}

/// Breaks one call of `port` after the other during a large build, and has the next job go on.
async fn with_each_call_broken(port: Port) {
    let (registry, job) = parted().await;
    perform(&registry.isolate.app, job).await.expect("built");
    let expected = zip(&registry).await;
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let mut nth = 1;
        loop {
            let job = forget(&registry);
            registry.meter.break_nth(port, nth, timing);
            let result = perform(&registry.isolate.app, job.clone()).await;
            if registry.meter.clear_faults() == 0 {
                assert!(result.is_ok() && nth > 3);
                break;
            }
            // The lease of a build that could not give it back ends.
            registry.advance_seconds(200);
            perform(&registry.isolate.app, job).await.expect("built, or begun anew");
            registry.run_until_idle().await;
            assert!(zip(&registry).await == expected, "{port:?} {nth} {timing:?}");
            nth += 1;
        }
    }
}

#[tokio::test]
async fn wherever_the_database_breaks_off_a_large_build_the_next_job_makes_the_same_zip_of_it() {
    with_each_call_broken(Port::Database).await;
}

#[tokio::test]
async fn wherever_the_blob_store_breaks_off_a_large_build_the_next_job_makes_the_same_zip_of_it() {
    with_each_call_broken(Port::Blobs).await;
}

#[tokio::test]
async fn what_the_content_of_files_tells_is_remarked_however_many_jobs_write_them() {
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", "0".repeat(64));
    let pointers = [".gitattributes", "0.lfs", "a.lfs", "z.lfs"].map(|path| match path {
        ".gitattributes" => file(path, "*.lfs filter=lfs\n"),
        path => file(path, &pointer),
    });
    let registry = synced_with(&[&parted_package()[..], &pointers].concat()).await;
    registry.run_until_idle().await;
    let remarks = || registry.database.rows("SELECT kind, text FROM remarks WHERE kind = 'lfs_pointers'");
    let in_one_go = remarks();
    let text = in_one_go[0]["text"].as_str().expect("text");
    assert!(pointers.iter().skip(1).all(|file| text.contains(&file.path)), "{text}");
    let job = forget(&registry);
    registry.database.execute("DELETE FROM remarks");
    registry.git_host.slow_down(Duration::from_secs(31));
    perform(&registry.isolate.app, job).await.expect("begun");
    assert!(!registry.database.rows("SELECT tag FROM archive_parts").is_empty());
    assert!(large_builds(&registry).await > 0);
    assert_eq!(remarks(), in_one_go);
}

#[tokio::test]
async fn a_build_whose_upload_the_store_has_lost_begins_anew() {
    let (registry, job) = parted().await;
    perform(&registry.isolate.app, job).await.expect("built");
    let expected = zip(&registry).await;
    let job = forget(&registry);
    registry.git_host.slow_down(Duration::from_secs(31));
    perform(&registry.isolate.app, job).await.expect("begun");
    assert!(!registry.database.rows("SELECT tag FROM archive_parts").is_empty());
    registry.blobs.lose_uploads();
    registry.git_host.slow_down(Duration::ZERO);
    registry.run_until_idle().await;
    assert!(zip(&registry).await == expected);
}

#[tokio::test]
async fn a_server_that_fails_during_a_large_build_is_asked_again_where_it_failed() {
    let (registry, job) = parted().await;
    perform(&registry.isolate.app, job).await.expect("built");
    let expected = zip(&registry).await;
    for nth in 1..=3 {
        let job = forget(&registry);
        registry.git_host.inject_fault_once_at(Step::Fetch, nth, HostFault::BrokenOff);
        perform(&registry.isolate.app, job.clone()).await.expect_err("it broke off");
        perform(&registry.isolate.app, job).await.expect("built");
        assert!(zip(&registry).await == expected);
    }
}

#[tokio::test]
async fn a_build_that_somebody_else_has_the_lease_of_is_left_to_them_until_it_is_stalled() {
    let (registry, job) = parted().await;
    let now = registry.isolate.app.now();
    registry.database.execute(&format!("UPDATE archive_builds SET lease_until = {}", now.0 + 100_000));
    registry.git_host.take_requests();
    perform(&registry.isolate.app, job).await.expect("left alone");
    assert_eq!(registry.git_host.take_steps(), []);
    registry.advance(Duration::from_mins(20));
    registry.cron().await;
    registry.run_until_idle().await;
    assert!(zip(&registry).await.len() > FILE_OF_A_PART);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM archive_builds"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_server_that_drips_a_large_file_is_given_up() {
    let (registry, job) = parted().await;
    // What is small comes through.
    registry.git_host.drip(2048, Duration::from_secs(10));
    let failure = perform(&registry.isolate.app, job).await.expect_err("it drips");
    let text = format!("{failure:?}");
    assert!(text.contains("the server sends less than 16384 bytes in 60 s"), "{text}");
}
