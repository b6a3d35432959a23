//! Cron finds what the queue has lost.

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::json;

use crate::support::{ADMIN, Calls, FaultTiming, Port, TestRegistry, file, logs, manifest};

/// A repository with one tag that was synced, and whose job to build archives got lost.
async fn with_lost_archives() -> (TestRegistry, i64) {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.commit(&[manifest("acme/lib"), file("src/A.php", "<?php")]);
    repo.tag("1.0.0");
    registry.post("/api/repositories").bearer(ADMIN).json(&json!({"url": repo.url})).send().await.expect(201);
    let job = registry.tasks.next_job().expect("a sync");
    let Job::SyncRepository { repository_id } = job.clone() else { panic!("{job:?}") };
    perform(&registry.isolate.app, job).await.expect("the sync goes through");
    assert_eq!(registry.tasks.jobs(), [Job::BuildArchives { repository_id }]);
    registry.tasks.lose_jobs();
    (registry, repository_id)
}

async fn shasum(registry: &TestRegistry) -> String {
    let token = registry.reader().await;
    let reply = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    reply.versions("acme/lib")[0]["dist"]["shasum"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn archives_whose_job_was_lost_are_built_after_half_an_hour() {
    let (registry, repository_id) = with_lost_archives().await;
    assert_eq!(shasum(&registry).await, "");
    registry.advance_seconds(20 * 60);
    registry.cron().await;
    assert!(!registry.tasks.jobs().contains(&Job::BuildArchives { repository_id }), "it may still be on its way");
    registry.run_until_idle().await;
    registry.advance_seconds(20 * 60);
    registry.cron().await;
    assert!(registry.tasks.jobs().contains(&Job::BuildArchives { repository_id }));
    registry.run_until_idle().await;
    assert_eq!(shasum(&registry).await.len(), 40);
    registry.advance_seconds(3600);
    registry.cron().await;
    assert!(!registry.tasks.jobs().contains(&Job::BuildArchives { repository_id }), "nothing is behind any more");
}

#[tokio::test]
async fn a_first_download_brings_the_shasum_into_the_metadata() {
    let (registry, _) = with_lost_archives().await;
    let token = registry.reader().await;
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    registry.advance_seconds(60);
    assert_eq!(shasum(&registry).await.len(), 40);
}

#[tokio::test]
async fn old_runs_are_forgotten_but_not_the_latest_nor_the_latest_good_one() {
    let (registry, _) = with_lost_archives().await;
    for _ in 0..3 {
        registry.advance_seconds(3600);
        registry.cron().await;
        registry.run_until_idle().await;
    }
    assert_eq!(registry.runs().len(), 4);
    registry.advance_seconds(40 * 24 * 3600);
    registry.cron().await;
    registry.run_until_idle().await;
    registry.advance_seconds(3600);
    registry.cron().await;
    assert_eq!(registry.runs().len(), 1);
}

/// A registry with this many repositories, none of which was ever synced.
fn with_due_repositories(count: usize) -> TestRegistry {
    let registry = TestRegistry::new();
    registry.database.execute(&format!(
        "WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < {count})
         INSERT INTO repositories (uid, organization_id, kind, provider, url, created_at)
         SELECT 'r' || number, 1, 'git', 'git', 'https://git.test/' || number || '.git', 0 FROM n"
    ));
    registry
}

fn syncs(registry: &TestRegistry) -> Vec<i64> {
    let id = |job| match job {
        Job::SyncRepository { repository_id } => repository_id,
        other => panic!("{other:?}"),
    };
    registry.tasks.jobs().into_iter().map(id).collect()
}

#[tokio::test]
async fn due_repositories_are_queued_by_the_hundred() {
    let registry = with_due_repositories(230);
    let (due, calls) = registry.counted(registry.cron()).await;
    assert_eq!(due, 230);
    assert_eq!(syncs(&registry), (1..=230).collect::<Vec<_>>());
    // Cron tells of permissions that have ended and looks for what is to be told; at the full hour it also looks for lost
    // archives, for old runs, answers, deliveries, past grants, sessions and addresses, for failed logins, for names asked for in
    // vain, and for zips and texts that nobody needs.
    assert_eq!(calls, Calls { round_trips: 6, statements: 25, enqueues: 3, ..Calls::default() });
}

#[tokio::test]
async fn a_call_that_the_queue_loses_keeps_neither_the_others_nor_the_next_tick() {
    for (timing, kept) in [(FaultTiming::Before, 130), (FaultTiming::After, 230)] {
        for nth in 1..=2 {
            let registry = with_due_repositories(230);
            registry.meter.break_nth(Port::Queue, nth, timing);
            assert_eq!(registry.cron().await, 230);
            assert_eq!(registry.meter.clear_faults(), 1);
            assert_eq!(syncs(&registry).len(), kept, "{timing:?} {nth}");
            registry.tasks.lose_jobs();
            assert_eq!(registry.cron().await, 230, "what is not begun is due at the next tick");
            assert_eq!(syncs(&registry).len(), 230);
        }
    }
}

#[tokio::test]
async fn cron_tells_what_has_been_pending_for_minutes_although_it_was_queued_again_and_again() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.register(&registry.repository("acme/other")).await;
    for _ in 0..5 {
        registry.advance_seconds(60);
        registry.tasks.lose_jobs();
        registry.cron().await;
    }
    assert_eq!(logs::text(), "", "five minutes are not yet worth a word");
    registry.advance_seconds(60);
    registry.cron().await;
    let told = "WARN 2 syncs have been pending for more than 5 min, the longest for 6 min: the queue is behind";
    assert!(logs::text().starts_with(told), "{}", logs::text());

    // Once they have run, only what is past its interval for that long is pending.
    registry.run_until_idle().await;
    logs::begin();
    registry.advance_seconds(12 * 60);
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    registry.tasks.lose_jobs();
    registry.cron().await;
    assert!(!logs::text().contains("pending"), "{}", logs::text());
    registry.advance_seconds(4 * 60);
    registry.cron().await;
    assert!(logs::text().contains("2 syncs have been pending for more than 5 min"), "{}", logs::text());
}

#[tokio::test]
async fn cron_tells_of_archives_that_have_to_be_queued_again() {
    let (registry, _) = with_lost_archives().await;
    logs::begin();
    registry.advance_seconds(40 * 60);
    registry.cron().await;
    let told = "the archives of 1 repositories have been pending for more than 30 min: their jobs are queued again";
    assert!(logs::text().contains(told), "{}", logs::text());
}
