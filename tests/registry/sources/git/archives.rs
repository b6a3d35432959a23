//! What is fetched to build archives: whole commits, or only what goes in.

use std::sync::LazyLock;
use std::time::Duration;

use rostrum::ports::JobQueue;
use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::delivery::dist::listing;
use crate::support::{File, HostFault, Repo, Step, TestRegistry, TestResponse, file, noise};

const FILES: usize = 4;
const FILE_BYTES: usize = 13 << 19;

/// Bytes that nothing compresses, 26 MiB: more than may be fetched to build an archive.
static TOO_MUCH: LazyLock<Vec<u8>> = LazyLock::new(|| noise(FILES * FILE_BYTES));

/// A package with everything that decides what its archive holds, in the directory `at` (with a slash at its end).
fn package(at: &str) -> Vec<File> {
    let path = |path: &str| format!("{at}{path}");
    vec![
        file(&path("composer.json"), r#"{"name":"acme/tool","archive":{"exclude":["/docs","*.log","!keep.log"]}}"#),
        file(&path(".gitattributes"), "/tests export-ignore\n*.dist export-ignore\n"),
        file(&path("README.md"), "# Tool"),
        file(&path("docs/index.md"), "# Docs of the tool"),
        file(&path("tests/ToolTest.php"), "<?php // tests"),
        file(&path("phpunit.xml.dist"), "<phpunit/>"),
        file(&path("var/debug.log"), "noise"),
        file(&path("var/keep.log"), "kept"),
        file(&path("src/.gitattributes"), "fixtures export-ignore\n*.dist -export-ignore\n"),
        file(&path("src/Tool.php"), "<?php // tool"),
        file(&path("src/config.dist"), "kept by the deeper file"),
        file(&path("src/fixtures/one.json"), "{}"),
        File { mode: "100755", ..file(&path("bin/tool"), "#!/usr/bin/env php\n") },
        File { mode: "120000", ..file(&path("tool"), "bin/tool") },
        File { mode: "120000", ..file(&path("outside"), "../../other") },
    ]
}

/// What its archive holds.
const ARCHIVED: [&str; 9] = [
    ".gitattributes",
    "README.md",
    "bin/tool",
    "composer.json",
    "src/.gitattributes",
    "src/Tool.php",
    "src/config.dist",
    "tool",
    "var/keep.log",
];

/// Files in the directory `at` that are too large together.
fn too_much(at: &str) -> Vec<File> {
    let pieces = TOO_MUCH.chunks(FILE_BYTES).enumerate();
    pieces.map(|(number, piece)| file(&format!("{at}{number}.bin"), piece)).collect()
}

/// A repository with the package in `packages/tool`, beside `others`.
fn monorepo(registry: &TestRegistry, others: &[File]) -> Repo {
    let repo = registry.git_host.serve("acme/mono");
    repo.commit(&[&package("packages/tool/")[..], others].concat());
    repo.tag("1.0.0");
    repo
}

/// Registers the package in `packages/tool` and syncs it, but builds no archive; says a token.
async fn synced(registry: &TestRegistry, repo: &Repo) -> String {
    synced_as(registry, json!({"url": repo.url, "path": "packages/tool"})).await
}

async fn synced_as(registry: &TestRegistry, spec: Value) -> String {
    registry.register_as(spec).await;
    let job = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, job).await.expect("synced");
    assert_eq!(registry.last_run()["outcome"], "ok", "{}", registry.last_run());
    registry.git_host.take_requests();
    registry.reader().await
}

async fn download(registry: &TestRegistry, token: &str) -> TestResponse {
    registry.get("/dist/acme/tool/1.0.0.zip").basic(token).send().await
}

fn names(zip: &TestResponse) -> Vec<String> {
    listing(&zip.body).into_keys().collect()
}

fn error(reply: &TestResponse) -> String {
    reply.json()["error"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_package_of_a_repository_beyond_the_limit_is_built_from_three_small_requests() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry, &too_much("other/"));
    let token = synced(&registry, &repo).await;
    let zip = download(&registry, &token).await.expect(200);
    assert_eq!(names(&zip), ARCHIVED);
    let seen = registry.git_host.take_requests();
    assert_eq!(seen.iter().map(|seen| seen.step).collect::<Vec<_>>(), [Step::Fetch; 3]);
    let answered: usize = seen.iter().map(|seen| seen.answered).sum();
    assert!(answered < 4000, "{answered} bytes were sent");
    assert_eq!(download(&registry, &token).await.expect(200).body, zip.body);
    assert_eq!(registry.git_host.take_steps(), []);
}

#[tokio::test]
async fn the_tags_of_a_monorepo_are_built_in_one_go() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry, &too_much("other/"));
    repo.commit(&[&package("packages/tool/")[..], &[file("packages/tool/new.php", "<?php // new")]].concat());
    repo.tag("1.1.0");
    let token = synced(&registry, &repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.git_host.take_steps(), [Step::Fetch; 3]);
    assert_eq!(names(&download(&registry, &token).await.expect(200)), ARCHIVED);
    let newer = registry.get("/dist/acme/tool/1.1.0.zip").basic(&token).send().await.expect(200);
    assert!(names(&newer).contains(&"new.php".to_owned()));
    assert_eq!(registry.git_host.take_steps(), [], "both were built by the job");
}

#[tokio::test]
async fn however_it_was_fetched_the_archive_has_the_same_bytes() {
    // The rules above the package count, too.
    let others = [
        file("other/README.md", "# Next door"),
        file("packages/tool/UPGRADE.md", "# Left out by the root's rules"),
        file(".gitattributes", "UPGRADE.md export-ignore\n"),
    ];
    let mut zips = Vec::new();
    let forbid_all: fn(&TestRegistry, &Repo) = |registry, repo| registry.git_host.forbid_filters(repo);
    let forbid_this_kind: fn(&TestRegistry, &Repo) =
        |registry, repo| registry.git_host.forbid_filter(repo, "blob:none");
    for (limit, requests) in [(None, 3), (Some(forbid_all), 1), (Some(forbid_this_kind), 2)] {
        let registry = TestRegistry::new();
        let repo = monorepo(&registry, &others);
        if let Some(limit) = limit {
            limit(&registry, &repo);
        }
        let token = synced(&registry, &repo).await;
        let zip = download(&registry, &token).await.expect(200);
        assert_eq!(registry.git_host.take_steps(), vec![Step::Fetch; requests]);
        assert_eq!(names(&zip), ARCHIVED);
        zips.push(zip.body);
    }
    assert!(zips[0] == zips[1] && zips[1] == zips[2]);
}

#[tokio::test]
async fn without_partial_clones_a_commit_beyond_the_limit_is_refused_for_good() {
    for (forbid, requests) in [("all", 1), ("blob:none", 2)] {
        let registry = TestRegistry::new();
        let repo = monorepo(&registry, &[]);
        if forbid == "all" {
            registry.git_host.forbid_filters(&repo);
        } else {
            registry.git_host.forbid_filter(&repo, forbid);
        }
        let token = synced(&registry, &repo).await;
        // The sync could not have looked at it either.
        repo.commit(&[&package("packages/tool/")[..], &too_much("other/")].concat());
        let large = repo.tag("1.0.0");
        registry
            .database
            .execute(&format!("UPDATE dists SET reference = '{large}'; UPDATE versions SET reference = '{large}'"));
        registry.tasks.lose_jobs();
        let reply = registry.while_jobs_run(download(&registry, &token)).await.expect(404);
        assert_eq!(
            error(&reply),
            "The archive of version 1.0.0 is not available: git sends more than 24 MiB for its commit, and the server \
             cannot send parts of one (partial clone)"
        );
        // Once within what is built in one go, once within what fits the memory.
        assert_eq!(registry.git_host.take_steps(), vec![Step::Fetch; requests * 2]);
        download(&registry, &token).await.expect(404);
        assert_eq!(registry.git_host.take_steps(), [], "it is not tried again");
    }
}

#[tokio::test]
async fn what_the_archives_leave_out_may_exceed_the_limit() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/tool");
    repo.commit(&[&package("")[..], &too_much("tests/large/")].concat());
    repo.tag("1.0.0");
    repo.commit(&[&package("")[..], &too_much("tests/large/"), &[file("new.php", "<?php // new")]].concat());
    repo.tag("1.1.0");
    let token = synced_as(&registry, json!({"url": repo.url})).await;
    registry.run_until_idle().await;
    // Whole commits first, for both tags; then trees, rules and files for both.
    assert_eq!(registry.git_host.take_steps(), [Step::Fetch; 4]);
    assert_eq!(names(&download(&registry, &token).await.expect(200)), ARCHIVED);
    registry.get("/dist/acme/tool/1.1.0.zip").basic(&token).send().await.expect(200);
    assert_eq!(registry.git_host.take_steps(), []);
}

#[tokio::test]
async fn an_object_that_the_server_withholds_condemns_nothing() {
    for path in ["src/.gitattributes", "composer.json", "src/Tool.php"] {
        let registry = TestRegistry::new();
        let repo = monorepo(&registry, &[]);
        let token = synced(&registry, &repo).await;
        let id = repo.git(&["rev-parse", &format!("main:packages/tool/{path}")], b"");
        registry.git_host.withhold(&repo, Some(&id));
        let reply = download(&registry, &token).await.expect(502);
        assert_eq!(
            error(&reply),
            format!(
                "The archive cannot be built now, because its repository does not deliver: the git server git.test \
                 did not send the object {id}, although it was asked for it"
            )
        );
        registry.run_until_idle().await;
        assert_eq!(registry.database.rows("SELECT count(error) AS n FROM dists"), [json!({"n": 0})], "{path}");
        assert!(registry.blobs.keys().is_empty());
        registry.git_host.withhold(&repo, None);
        assert_eq!(names(&download(&registry, &token).await.expect(200)), ARCHIVED);
    }
}

#[tokio::test]
async fn each_request_may_fail_and_the_next_download_gets_the_archive() {
    let faults = [
        HostFault::Status(500),
        HostFault::Unreachable,
        HostFault::BrokenOff,
        HostFault::Truncated,
        HostFault::Corrupted,
    ];
    for nth in 1..=3 {
        for fault in &faults {
            let registry = TestRegistry::new();
            let repo = monorepo(&registry, &[]);
            let token = synced(&registry, &repo).await;
            registry.git_host.inject_fault_from(Step::Fetch, nth, fault.clone());
            let reply = download(&registry, &token).await.expect(502);
            assert_eq!(reply.json()["code"], "UPSTREAM_FAILED", "{nth} {fault:?}");
            assert!(registry.blobs.keys().is_empty());
            registry.git_host.recover();
            assert_eq!(names(&download(&registry, &token).await.expect(200)), ARCHIVED, "{nth} {fault:?}");
        }
    }
}

#[tokio::test]
async fn an_object_that_the_server_lacks_is_named_with_the_server_and_asked_for_again() {
    let lacking = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
    let words = format!("ERR upload-pack: not our ref {lacking}");
    let answer = format!("{:04x}{words}", words.len() + 4).into_bytes();
    // Trees, rules, files; then the whole commit, which is too large.
    for nth in 2..=3 {
        let registry = TestRegistry::new();
        let repo = monorepo(&registry, &too_much("other/"));
        let token = synced(&registry, &repo).await;
        registry.git_host.inject_fault_once_at(Step::Fetch, nth, HostFault::Says(answer.clone()));
        let reply = download(&registry, &token).await.expect(502);
        assert_eq!(
            error(&reply),
            format!(
                "The archive cannot be built now, because its repository does not deliver: the git server git.test does \
                 not have the object {lacking}, which other objects of the repository name"
            ),
            "{nth}"
        );
        assert_eq!(registry.database.rows("SELECT count(error) AS n FROM dists"), [json!({"n": 0})]);
        assert_eq!(names(&download(&registry, &token).await.expect(200)), ARCHIVED);
    }
}

#[tokio::test]
async fn a_job_that_builds_archives_ends_by_time_and_the_next_one_goes_on() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 45);
    registry.register(&repo).await;
    let unbuilt = || registry.database.rows("SELECT id FROM dists WHERE artifact_sha256 IS NULL").len();
    let sync = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, sync).await.expect("synced");
    registry.git_host.slow_down(Duration::from_secs(61));
    let job = registry.tasks.next_job().expect("the builds");
    perform(&registry.isolate.app, job.clone()).await.expect("built");
    assert_eq!(unbuilt(), 46 - 20);
    assert_eq!(registry.tasks.jobs(), std::slice::from_ref(&job));
    registry.git_host.slow_down(Duration::ZERO);
    perform(&registry.isolate.app, job).await.expect("built");
    assert_eq!(unbuilt(), 0, "as many as there are in the time");
}

#[tokio::test]
async fn a_sync_waits_for_no_build_whatever_is_being_built() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 20);
    registry.register(&repo).await;
    let sync = registry.tasks.next_job_of(JobQueue::Jobs).expect("the sync");
    perform(&registry.isolate.app, sync).await.expect("synced");
    let other = registry.repository("acme/other");
    registry.register(&other).await;
    registry.git_host.pause(Step::Fetch);
    let job = registry.tasks.next_job_of(JobQueue::Builds).expect("the builds");
    let meanwhile = async {
        registry.git_host.until_paused().await;
        let mut jobs = 0;
        while let Some(sync) = registry.tasks.next_job_of(JobQueue::Jobs) {
            perform(&registry.isolate.app, sync).await.expect("done");
            jobs += 1;
        }
        assert_eq!(jobs, 1, "the sync");
        let built = registry.database.rows("SELECT id FROM dists WHERE artifact_sha256 IS NOT NULL");
        assert_eq!(built, [] as [serde_json::Value; 0], "the build has not got ahead");
        let token = registry.reader().await;
        registry.get("/p2/acme/other~dev.json").basic(&token).composer().send().await.expect(200);
        registry.git_host.resume();
    };
    let (built, ()) = tokio::join!(perform(&registry.isolate.app, job), meanwhile);
    built.expect("built");
}

#[tokio::test]
async fn a_download_goes_before_the_tags_that_are_being_zipped() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 20);
    registry.register(&repo).await;
    let other = registry.repository("acme/other");
    other.branch("feature");
    registry.register(&other).await;
    for _ in 0..2 {
        let sync = registry.tasks.next_job().expect("a sync");
        perform(&registry.isolate.app, sync).await.expect("synced");
    }
    let token = registry.reader().await;
    registry.git_host.pause(Step::Fetch);
    let job = registry.tasks.next_job().expect("the builds");
    let download = async {
        registry.git_host.until_paused().await;
        let reply = registry.get("/dist/acme/other/dev-feature.zip").basic(&token).send();
        let unbuilt = "SELECT id FROM dists d WHERE d.artifact_sha256 IS NULL";
        let resume = async {
            // The download is waiting by then.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            registry.git_host.resume();
        };
        let (reply, ()) = tokio::join!(reply, resume);
        reply.expect(200);
        registry.database.rows(unbuilt).len()
    };
    let (built, unbuilt) = tokio::join!(perform(&registry.isolate.app, job.clone()), download);
    built.expect("it gave way");
    assert!(unbuilt >= 20, "only one of the tags came first: {unbuilt} are left");
    assert!(registry.tasks.jobs().contains(&job), "the rest is left to another job");
}
