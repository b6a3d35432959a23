//! Zips that are more work than they may be, and builds that are cut off: nothing is tried again that cannot succeed.

use std::future::Future;
use std::time::Duration;

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use rostrum::store::sources::archive_builds::{StoredParts, claim, record_parts, release};
use serde_json::{Value, json};

use crate::support::{ADMIN, File, Step, TestRegistry, file, manifest};

/// Files whose paths any pattern of `a*` matches up to its end.
fn files_with_long_paths() -> Vec<File> {
    (0..2_000).map(|number| file(&format!("src/{}{number:04}", "a".repeat(200)), "")).collect()
}

/// A registry with version 1.0.0 of these files, whose sync has run, and no other job.
async fn synced_with(files: &[File]) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(files);
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    let job = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, job).await.expect("synced");
    assert_eq!(registry.last_run()["outcome"], "ok", "{}", registry.last_run());
    (registry, id)
}

/// Downloads the zip, does all jobs, and all that cron asks for during two hours; what the git host was asked meanwhile.
async fn requests_of_two_hours(registry: &TestRegistry) -> Vec<Step> {
    registry.git_host.take_requests();
    let token = registry.reader().await;
    for _ in 0..12 {
        let reply = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await;
        assert_eq!(reply.status, 404, "{}", reply.text());
        registry.advance_seconds(600);
        registry.cron().await;
        registry.run_until_idle().await;
    }
    let requests = registry.git_host.take_requests();
    requests.into_iter().map(|request| request.step).filter(|step| *step == Step::Fetch).collect()
}

async fn assert_refused_for_good(registry: &TestRegistry, id: &str, reason: &str) {
    let token = registry.reader().await;
    let reply = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains(reason), "{}", reply.text());
    let refs = registry.get(&format!("/api/repositories/{id}/refs")).bearer(ADMIN).send().await.expect(200).json();
    let tag = refs.as_array().expect("a list").iter().find(|one| one["ref"] == "refs/tags/1.0.0");
    let remarks = &tag.expect("the tag")["remarks"];
    let told = |remark: &Value| remark["kind"] == "unzippable" && remark["text"].to_string().contains(reason);
    assert!(remarks.as_array().expect("a list").iter().any(told), "{remarks}");
    assert_eq!(requests_of_two_hours(registry).await, [], "nothing is fetched for a zip that there never will be");
    assert_eq!(registry.database.rows("SELECT * FROM archive_builds"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_zip_that_is_too_much_work_is_refused_for_good_and_the_version_says_why() {
    let mut files = files_with_long_paths();
    let rules = format!("{}* export-ignore\n", "a*".repeat(125)).repeat(900);
    files.extend([manifest("acme/lib"), file(".gitattributes", rules)]);
    let (registry, id) = synced_with(&files).await;
    registry.run_until_idle().await;
    assert_refused_for_good(&registry, &id, "deciding which files the zip holds is too much work").await;
}

#[tokio::test]
async fn exclude_rules_of_composer_json_are_work_too() {
    let mut files = files_with_long_paths();
    let rules = vec![format!("/src/{}x", "a*".repeat(100)); 38];
    let composer = json!({"name": "acme/lib", "archive": {"exclude": rules}});
    files.push(file("composer.json", composer.to_string()));
    let (registry, id) = synced_with(&files).await;
    registry.run_until_idle().await;
    assert_refused_for_good(&registry, &id, "deciding which files the zip holds is too much work").await;
}

/// Begins `work`, which the git host keeps waiting for objects, and cuts it off.
async fn cut_off<T: Send + 'static>(registry: &TestRegistry, work: impl Future<Output = T> + Send + 'static) {
    registry.git_host.pause(Step::Fetch);
    let running = tokio::spawn(work);
    registry.git_host.until_paused().await;
    running.abort();
    assert!(running.await.is_err_and(|error| error.is_cancelled()));
    registry.git_host.resume();
}

async fn cut_off_job(registry: &TestRegistry, job: Job) {
    let app = registry.isolate.app.clone();
    cut_off(registry, async move { perform(&app, job).await }).await;
    // The permit that it had expires.
    registry.advance_seconds(60);
}

#[tokio::test]
async fn a_build_that_is_cut_off_is_left_to_a_job_of_its_own_which_ends_it() {
    let (registry, _) = synced_with(&[manifest("acme/lib"), file("a.php", "<?php")]).await;
    let build = registry.tasks.next_job().expect("the build");
    cut_off_job(&registry, build.clone()).await;
    registry.advance_seconds(180);
    perform(&registry.isolate.app, build).await.expect("the rest is built");
    let stored_zips = || registry.database.rows("SELECT d.id FROM dists d WHERE d.artifact_sha256 IS NOT NULL").len();
    assert_eq!(stored_zips(), 0, "it is not built together with others again");
    let token = registry.reader().await;
    let download = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send();
    registry.while_jobs_run(download).await.expect(200);
    assert!(stored_zips() > 0);
    for _ in 0..20 {
        registry.advance_seconds(60);
        registry.cron().await;
        registry.run_until_idle().await;
    }
    assert_eq!(registry.database.rows("SELECT * FROM archive_builds"), [] as [Value; 0]);
}

fn has_no_attempts_left(registry: &TestRegistry, dist_id: i64) -> bool {
    let builds = registry.database.rows("SELECT dist_id FROM archive_builds WHERE attempts >= 8");
    builds.iter().any(|build| build["dist_id"] == dist_id)
}

#[tokio::test]
async fn a_build_that_is_cut_off_each_time_is_refused_for_good() {
    let (registry, id) = synced_with(&[manifest("acme/lib"), file("a.php", "<?php")]).await;
    let build = registry.tasks.next_job().expect("the build");
    cut_off_job(&registry, build).await;
    let mut attempts = 0;
    for _ in 0..200 {
        registry.advance_seconds(60);
        registry.cron().await;
        while let Some(job) = registry.tasks.next_job() {
            match job {
                Job::BuildLargeArchive { dist_id } if !has_no_attempts_left(&registry, dist_id) => {
                    attempts += 1;
                    cut_off_job(&registry, job).await;
                }
                job => perform(&registry.isolate.app, job).await.expect("done"),
            }
        }
    }
    assert_eq!(attempts, 14, "of the tag and of the branch seven each: the first attempt was the one in one go");
    assert_refused_for_good(&registry, &id, "begun 8 times and cut off each time").await;
    let again = registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await;
    assert_eq!(again.status, 200);
    registry.run_until_idle().await;
    let token = registry.reader().await;
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
}

#[tokio::test]
async fn the_attempts_at_a_build_are_those_since_it_got_ahead_last() {
    let (registry, _) = synced_with(&[manifest("acme/lib"), file("a.php", "<?php")]).await;
    let dist_id = registry.database.rows("SELECT id FROM dists")[0]["id"].as_i64().expect("a primary key");
    let (database, now) = (&*registry.isolate.app.ports.database, registry.isolate.app.now());
    // Its lease has ended at once: it was cut off.
    let begin = async || {
        let build = database.ask(claim(dist_id, now, now)).await.expect("claimed").expect("nobody has it");
        build.attempts
    };
    assert_eq!([begin().await, begin().await, begin().await], [1, 2, 3]);
    let stored = StoredParts {
        plan: "plan",
        blob_key: "key",
        upload_id: "upload",
        hashes: "[]".to_owned(),
        remarks: "{}".to_owned(),
        new_parts: Vec::new(),
    };
    database.batch(record_parts(dist_id, stored)).await.expect("recorded");
    assert_eq!([begin().await, begin().await], [1, 2]);
    database.batch(vec![release(dist_id, now)]).await.expect("given back");
    assert_eq!(begin().await, 1);
    let later = now.plus(Duration::from_secs(1));
    assert!(database.ask(claim(dist_id, now, later)).await.expect("answered").is_some());
    assert!(database.ask(claim(dist_id, now, later)).await.expect("answered").is_none(), "somebody has it");
}
