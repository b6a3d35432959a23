//! Syncs that overlap, die, fail or are forgotten: leases, back-off, cron and the queue.

use std::time::Duration;

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, FaultTiming, HostFault, Port, Step, TestRegistry, file, manifest};

fn job(registry: &TestRegistry) -> Job {
    let id = registry.database.rows("SELECT max(id) AS id FROM repositories")[0]["id"].as_i64().expect("an id");
    Job::SyncRepository { repository_id: id }
}

#[tokio::test]
async fn a_push_during_a_sync_is_not_lost() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.git_host.pause(Step::Fetch);
    let app = registry.isolate.app.clone();
    let job = registry.tasks.next_job().expect("the first sync");
    let running = tokio::spawn(async move { perform(&app, job).await });
    registry.git_host.until_paused().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "syncing");
    // The refs have been read already: this tag is not among them.
    repo.tag("2.0.0");
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    while let Some(job) = registry.tasks.next_job() {
        perform(&registry.isolate.app, job).await.expect("the lease makes it a job without work");
    }
    assert_eq!(registry.runs().len(), 1, "two syncs never run at once");
    registry.git_host.resume();
    running.await.expect("no panic").expect("synced");
    assert_eq!(registry.repository_view(&id).await["sync_status"], "pending");
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.0.0", "1.0.0", "dev-main"]);
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

/// Begins the sync that is queued, and cuts it off while it fetches.
async fn cut_off_next_sync(registry: &TestRegistry) {
    registry.git_host.pause(Step::Fetch);
    let app = registry.isolate.app.clone();
    let job = registry.tasks.next_job().expect("the sync");
    let running = tokio::spawn(async move { perform(&app, job).await });
    registry.git_host.until_paused().await;
    running.abort();
    assert!(running.await.expect_err("aborted").is_cancelled());
    registry.git_host.resume();
}

#[tokio::test]
async fn a_sync_that_was_cut_off_is_due_again_when_its_lease_is_over() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("2.0.0");
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    cut_off_next_sync(&registry).await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "syncing");
    registry.advance_seconds(15 * 60 - 1);
    assert_eq!(registry.cron().await, 0);
    registry.advance_seconds(1);
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "pending");
    let listed = registry.get("/api/repositories?sync_status=pending").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(listed[0]["id"], id);
    assert_eq!(view["error"], "The last sync was cut off before it ended. It will be tried again.");
    assert_eq!(registry.cron().await, 1);
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    assert_eq!(registry.last_run()["failures"], 1);
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.0.0", "1.0.0", "dev-main"]);
}

#[tokio::test]
async fn a_sync_that_is_cut_off_each_time_rests_longer_each_time() {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["1.0.0"]).await;
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    let mut rests = Vec::new();
    registry.advance_seconds(600);
    assert_eq!(registry.cron().await, 1);
    for _ in 0..9 {
        cut_off_next_sync(&registry).await;
        let mut rest = 0;
        while registry.cron().await == 0 {
            registry.advance_seconds(60);
            registry.tasks.lose_jobs();
            rest += 1;
        }
        rests.push(rest);
    }
    assert_eq!(rests, [15, 30, 60, 120, 240, 480, 960, 960, 960], "minutes");
}

#[tokio::test]
async fn a_sync_whose_lease_was_taken_over_publishes_nothing() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    repo.commit(&[manifest("acme/lib"), file("slow.php", "<?php")]);
    repo.tag("2.0.0");
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    registry.git_host.pause(Step::Fetch);
    let app = registry.isolate.app.clone();
    let first = registry.tasks.next_job().expect("the sync");
    let slow = tokio::spawn(async move { perform(&app, first).await });
    registry.git_host.until_paused().await;
    registry.advance_seconds(15 * 60);
    repo.delete("refs/tags/2.0.0");
    repo.tag("3.0.0");
    assert_eq!(registry.cron().await, 1);
    registry.run_until_idle().await;
    // The slow one has the old refs in hand.
    registry.git_host.resume();
    slow.await.expect("no panic").expect("a lost lease is nothing to try again");
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["3.0.0", "1.0.0", "dev-main"]);
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn a_failing_repository_rests_longer_each_time_and_recovers() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.git_host.inject_fault(HostFault::Status(401));
    let mut rests = Vec::new();
    registry.advance_seconds(600);
    for _ in 0..10 {
        assert_eq!(registry.cron().await, 1);
        registry.run_until_idle().await;
        let run = registry.last_run();
        assert_eq!(run["outcome"], "failed");
        let rest = run["next_due_at"].as_i64().expect("due") - run["finished_at"].as_i64().expect("ended");
        rests.push(rest / 1000);
        registry.advance(Duration::from_millis(u64::try_from(rest).expect("positive") - 1));
        assert_eq!(registry.cron().await, 0);
        registry.advance(Duration::from_millis(1));
    }
    let longest = [600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 86_400, 86_400];
    let is_near = |(rest, longest): (&i64, &i64)| (longest - 600..=*longest).contains(rest);
    assert!(rests.iter().zip(&longest).all(is_near), "within an interval before {longest:?}: {rests:?}");
    assert!(rests[0] >= 450, "a quarter earlier at most: {rests:?}");
    registry.git_host.recover();
    assert_eq!(registry.sync(&id).await["sync_status"], "ok", "a sync that is asked for does not wait");
    let run = registry.last_run();
    assert_eq!((run["failures"].clone(), run["error"].clone()), (json!(10), json!(null)));
    registry.advance_seconds(600);
    assert_eq!(registry.cron().await, 1);
}

#[tokio::test]
async fn cron_finds_what_the_queue_lost() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.tasks.lose_jobs();
    assert_eq!(registry.repository_view(&id).await["sync_status"], "pending");
    assert_eq!(registry.cron().await, 1);
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    assert_eq!(registry.cron().await, 0);
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    registry.tasks.lose_jobs();
    assert_eq!(registry.cron().await, 1);
}

#[tokio::test]
async fn jobs_that_come_twice_or_too_late_do_no_harm() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let runs = registry.runs().len();
    for _ in 0..3 {
        perform(&registry.isolate.app, job(&registry)).await.expect("nothing to do");
    }
    assert_eq!(registry.runs().len(), runs, "it was not due");
    let stale = job(&registry);
    let Job::SyncRepository { repository_id } = stale else { unreachable!("it is a sync") };
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    perform(&registry.isolate.app, stale).await.expect("nothing to do");
    perform(&registry.isolate.app, Job::BuildArchives { repository_id }).await.expect("nothing to do");
}

#[tokio::test]
async fn a_claim_whose_answer_got_lost_is_carried_on_with() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.meter.break_nth(Port::Database, 1, FaultTiming::After);
    registry.run_until_idle().await;
    assert_eq!(registry.meter.clear_faults(), 1);
    assert_eq!(registry.runs().len(), 1);
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn a_claim_that_was_not_made_is_left_to_the_queue() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.meter.break_nth(Port::Database, 1, FaultTiming::Before);
    let failed = registry.run_until_idle_with_failures().await;
    assert_eq!((failed.len(), registry.meter.clear_faults(), registry.runs().len()), (1, 1, 0));
    assert_eq!(registry.repository_view(&id).await["sync_status"], "pending");
    perform(&registry.isolate.app, failed[0].0.clone()).await.expect("synced");
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_end_that_was_not_noted_is_noted_again_and_forgets_no_push() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let registry = TestRegistry::new();
        let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
        let request = || registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send();
        request().await.expect(200);
        registry.git_host.pause(Step::Refs);
        let app = registry.isolate.app.clone();
        let job = registry.tasks.next_job().expect("the sync");
        let running = tokio::spawn(async move { perform(&app, job).await });
        registry.git_host.until_paused().await;
        request().await.expect(200);
        registry.tasks.lose_jobs();
        registry.meter.break_nth(Port::Database, 1, timing);
        registry.git_host.resume();
        running.await.expect("no panic").expect("the end was noted");
        assert_eq!(registry.meter.clear_faults(), 1);
        assert_eq!(registry.last_run()["outcome"], "ok", "{timing:?}");
        assert_eq!(registry.tasks.jobs().len(), 1, "{timing:?}: the second ask is answered by another sync");
    }
}
