//! Cron finds what the queue has lost.

use rostrum::ports::Job;
use rostrum::registry::jobs::perform;
use serde_json::json;

use crate::support::{ADMIN, World, file, manifest};

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
