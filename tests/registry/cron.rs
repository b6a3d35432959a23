//! Cron finds what the queue has lost.

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;

use crate::support::{ADMIN, Calls, Moment, Port, World, file, manifest};

/// A repository with one tag that was synced, and whose job to build archives got lost.
async fn with_lost_archives() -> (World, i64) {
    let world = World::new();
    let repo = world.repository("acme/lib");
    repo.commit(&[manifest("acme/lib"), file("src/A.php", "<?php")]);
    repo.tag("1.0.0");
    world.post("/api/repositories").bearer(ADMIN).json(&json!({"url": repo.url})).send().await.expect(201);
    let job = world.desk.next_job().expect("a sync");
    let Job::SyncRepository { repository_id } = job.clone() else { panic!("{job:?}") };
    perform(&world.isolate.app, job).await.expect("the sync goes through");
    assert_eq!(world.desk.jobs(), [Job::BuildArchives { repository_id }]);
    world.desk.lose_jobs();
    (world, repository_id)
}

async fn shasum(world: &World) -> String {
    let token = world.reader().await;
    let reply = world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    reply.versions("acme/lib")[0]["dist"]["shasum"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn archives_whose_job_was_lost_are_built_after_half_an_hour() {
    let (world, repository_id) = with_lost_archives().await;
    assert_eq!(shasum(&world).await, "");
    world.advance_seconds(20 * 60);
    world.cron().await;
    assert!(!world.desk.jobs().contains(&Job::BuildArchives { repository_id }), "it may still be on its way");
    world.settle().await;
    world.advance_seconds(20 * 60);
    world.cron().await;
    assert!(world.desk.jobs().contains(&Job::BuildArchives { repository_id }));
    world.settle().await;
    assert_eq!(shasum(&world).await.len(), 40);
    world.advance_seconds(3600);
    world.cron().await;
    assert!(!world.desk.jobs().contains(&Job::BuildArchives { repository_id }), "nothing is behind any more");
}

#[tokio::test]
async fn a_first_download_brings_the_shasum_into_the_metadata() {
    let (world, _) = with_lost_archives().await;
    let token = world.reader().await;
    world.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    world.settle().await;
    world.advance_seconds(60);
    assert_eq!(shasum(&world).await.len(), 40);
}

#[tokio::test]
async fn old_runs_are_forgotten_but_not_the_latest_nor_the_latest_good_one() {
    let (world, _) = with_lost_archives().await;
    for _ in 0..3 {
        world.advance_seconds(3600);
        world.cron().await;
        world.settle().await;
    }
    assert_eq!(world.runs().len(), 4);
    world.advance_seconds(40 * 24 * 3600);
    world.cron().await;
    world.settle().await;
    world.advance_seconds(3600);
    world.cron().await;
    assert_eq!(world.runs().len(), 1);
}

/// A world with this many repositories, none of which was ever synced.
fn with_due_repositories(count: usize) -> World {
    let world = World::new();
    world.database.execute(&format!(
        "WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < {count})
         INSERT INTO repositories (uid, organization_id, kind, provider, url, created_at)
         SELECT 'r' || number, 1, 'git', 'git', 'https://git.test/' || number || '.git', 0 FROM n"
    ));
    world
}

fn syncs(world: &World) -> Vec<i64> {
    let id = |job| match job {
        Job::SyncRepository { repository_id } => repository_id,
        other => panic!("{other:?}"),
    };
    world.desk.jobs().into_iter().map(id).collect()
}

#[tokio::test]
async fn due_repositories_are_queued_by_the_hundred() {
    let world = with_due_repositories(230);
    let (due, calls) = world.counted(world.cron()).await;
    assert_eq!(due, 230);
    assert_eq!(syncs(&world), (1..=230).collect::<Vec<_>>());
    // Cron tells of permissions that have ended and looks for what is to be told; at the full hour it also looks for lost
    // archives, for old runs, answers and deliveries, for names asked for in vain, and for zips and texts that nobody
    // needs.
    assert_eq!(calls, Calls { round_trips: 5, statements: 11, enqueues: 3, ..Calls::default() });
}

#[tokio::test]
async fn a_call_that_the_queue_loses_keeps_neither_the_others_nor_the_next_tick() {
    for (moment, kept) in [(Moment::Before, 130), (Moment::After, 230)] {
        for nth in 1..=2 {
            let world = with_due_repositories(230);
            world.meter.break_nth(Port::Queue, nth, moment);
            assert_eq!(world.cron().await, 230);
            assert_eq!(world.meter.mend(), 1);
            assert_eq!(syncs(&world).len(), kept, "{moment:?} {nth}");
            world.desk.lose_jobs();
            assert_eq!(world.cron().await, 230, "what is not begun is due at the next tick");
            assert_eq!(syncs(&world).len(), 230);
        }
    }
}
