//! Syncs that overlap, die, fail or are forgotten: leases, back-off, cron and the queue.

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;

use crate::support::{ADMIN, Moment, Port, Step, Trouble, World, file, manifest};
use crate::sync::versions;

fn job(world: &World) -> Job {
    let id = world.database.rows("SELECT max(id) AS id FROM repositories")[0]["id"].as_i64().expect("an id");
    Job::SyncRepository { repository_id: id }
}

#[tokio::test]
async fn a_push_during_a_sync_is_not_lost() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    repo.tag("1.0.0");
    let id = world.register(&repo).await;
    world.host.hold(Step::Fetch);
    let app = world.isolate.app.clone();
    let job = world.desk.next_job().expect("the first sync");
    let running = tokio::spawn(async move { perform(&app, job).await });
    world.host.until_held().await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "syncing");
    // The refs have been read already: this tag is not among them.
    repo.tag("2.0.0");
    world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    while let Some(job) = world.desk.next_job() {
        perform(&world.isolate.app, job).await.expect("the lease makes it a job without work");
    }
    assert_eq!(world.runs().len(), 1, "two syncs never run at once");
    world.host.let_go();
    running.await.expect("no panic").expect("synced");
    assert_eq!(world.repository_view(&id).await["sync_status"], "pending");
    world.settle().await;
    let token = world.reader().await;
    assert_eq!(versions(&world, &token, "acme/lib").await, ["2.0.0", "1.0.0", "dev-main"]);
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn a_sync_that_was_cut_off_is_due_again_when_its_lease_is_over() {
    let world = World::new();
    let (repo, id) = world.published("acme/lib", &["1.0.0"]).await;
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("2.0.0");
    world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    world.host.hold(Step::Fetch);
    let app = world.isolate.app.clone();
    let job = world.desk.next_job().expect("the sync");
    let running = tokio::spawn(async move { perform(&app, job).await });
    world.host.until_held().await;
    running.abort();
    assert!(running.await.expect_err("aborted").is_cancelled());
    world.host.let_go();
    assert_eq!(world.repository_view(&id).await["sync_status"], "syncing");
    world.advance_seconds(15 * 60 - 1);
    assert_eq!(world.cron().await, 0);
    world.advance_seconds(1);
    let view = world.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_eq!(view["error"], "The last sync was cut off before it ended. It will be tried again.");
    assert_eq!(world.cron().await, 1);
    world.settle().await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
    assert_eq!(world.last_run()["failures"], 1);
    let token = world.reader().await;
    assert_eq!(versions(&world, &token, "acme/lib").await, ["2.0.0", "1.0.0", "dev-main"]);
}

#[tokio::test]
async fn a_sync_whose_lease_was_taken_over_publishes_nothing() {
    let world = World::new();
    let (repo, id) = world.published("acme/lib", &["1.0.0"]).await;
    repo.commit(&[manifest("acme/lib"), file("slow.php", "<?php")]);
    repo.tag("2.0.0");
    world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    world.host.hold(Step::Fetch);
    let app = world.isolate.app.clone();
    let first = world.desk.next_job().expect("the sync");
    let slow = tokio::spawn(async move { perform(&app, first).await });
    world.host.until_held().await;
    world.advance_seconds(15 * 60);
    repo.delete("refs/tags/2.0.0");
    repo.tag("3.0.0");
    assert_eq!(world.cron().await, 1);
    world.settle().await;
    // The slow one has the old refs in hand.
    world.host.let_go();
    slow.await.expect("no panic").expect("a lost lease is nothing to try again");
    world.settle().await;
    let token = world.reader().await;
    assert_eq!(versions(&world, &token, "acme/lib").await, ["3.0.0", "1.0.0", "dev-main"]);
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn a_failing_repository_rests_longer_each_time_and_recovers() {
    let world = World::new();
    let (_, id) = world.published("acme/lib", &["1.0.0"]).await;
    world.host.trouble(Trouble::Status(401));
    let mut rests = Vec::new();
    world.advance_seconds(600);
    for _ in 0..10 {
        assert_eq!(world.cron().await, 1);
        world.settle().await;
        let run = world.last_run();
        assert_eq!(run["outcome"], "failed");
        let rest = (run["next_due_at"].as_i64().expect("due") - run["finished_at"].as_i64().expect("ended")) / 1000;
        rests.push(rest);
        world.advance_seconds(u64::try_from(rest).expect("positive") - 1);
        assert_eq!(world.cron().await, 0);
        world.advance_seconds(1);
    }
    assert_eq!(rests, [600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 86_400, 86_400]);
    world.host.recover();
    assert_eq!(world.sync(&id).await["sync_status"], "ok", "a sync that is asked for does not wait");
    let run = world.last_run();
    assert_eq!((run["failures"].clone(), run["error"].clone()), (json!(10), json!(null)));
    world.advance_seconds(600);
    assert_eq!(world.cron().await, 1);
}

#[tokio::test]
async fn cron_finds_what_the_queue_lost() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let id = world.register(&repo).await;
    world.desk.lose_jobs();
    assert_eq!(world.repository_view(&id).await["sync_status"], "pending");
    assert_eq!(world.cron().await, 1);
    world.settle().await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
    assert_eq!(world.cron().await, 0);
    world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    world.desk.lose_jobs();
    assert_eq!(world.cron().await, 1);
}

#[tokio::test]
async fn jobs_that_come_twice_or_too_late_do_no_harm() {
    let world = World::new();
    let (_, id) = world.published("acme/lib", &["1.0.0"]).await;
    let runs = world.runs().len();
    for _ in 0..3 {
        perform(&world.isolate.app, job(&world)).await.expect("nothing to do");
    }
    assert_eq!(world.runs().len(), runs, "it was not due");
    let stale = job(&world);
    let Job::SyncRepository { repository_id } = stale else { unreachable!("it is a sync") };
    world.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    perform(&world.isolate.app, stale).await.expect("nothing to do");
    perform(&world.isolate.app, Job::BuildArchives { repository_id }).await.expect("nothing to do");
}

#[tokio::test]
async fn a_claim_whose_answer_got_lost_is_carried_on_with() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let id = world.register(&repo).await;
    world.meter.break_nth(Port::Database, 1, Moment::After);
    world.settle().await;
    assert_eq!(world.meter.mend(), 1);
    assert_eq!(world.runs().len(), 1);
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn a_claim_that_was_not_made_is_left_to_the_queue() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let id = world.register(&repo).await;
    world.meter.break_nth(Port::Database, 1, Moment::Before);
    let failed = world.settle_with_failures().await;
    assert_eq!((failed.len(), world.meter.mend(), world.runs().len()), (1, 1, 0));
    assert_eq!(world.repository_view(&id).await["sync_status"], "pending");
    perform(&world.isolate.app, failed[0].0.clone()).await.expect("synced");
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_end_that_was_not_noted_is_noted_again_and_forgets_no_push() {
    for moment in [Moment::Before, Moment::After] {
        let world = World::new();
        let (_, id) = world.published("acme/lib", &["1.0.0"]).await;
        let ask = || world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send();
        ask().await.expect(200);
        world.host.hold(Step::Refs);
        let app = world.isolate.app.clone();
        let job = world.desk.next_job().expect("the sync");
        let running = tokio::spawn(async move { perform(&app, job).await });
        world.host.until_held().await;
        ask().await.expect(200);
        world.desk.lose_jobs();
        world.meter.break_nth(Port::Database, 1, moment);
        world.host.let_go();
        running.await.expect("no panic").expect("the end was noted");
        assert_eq!(world.meter.mend(), 1);
        assert_eq!(world.last_run()["outcome"], "ok", "{moment:?}");
        assert_eq!(world.desk.jobs().len(), 1, "{moment:?}: the second ask is answered by another sync");
    }
}
