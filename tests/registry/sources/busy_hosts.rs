//! Many repositories that are due at once: how many syncs of one host run at a time, and who is next.

use rostrum::ports::{Job, Millis};
use rostrum::registry::operations::jobs::perform;
use rostrum::registry::sources::runs::{MAX_SYNCS_OF_HOST, claim, finish};
use rostrum::store::sources::sync_runs::{Claim, SyncReport};
use serde_json::json;

use crate::support::{ADMIN, START, Step, TestRegistry, logs};

/// The primary key of the repository with this id.
fn key(registry: &TestRegistry, id: &str) -> i64 {
    let rows = registry.database.rows(&format!("SELECT id FROM repositories WHERE uid = '{id}'"));
    rows[0]["id"].as_i64().expect("an id")
}

/// Another isolate syncs so many repositories of git.test.
async fn under_way(registry: &TestRegistry, count: i64) -> Vec<Claim> {
    let mut claims = Vec::new();
    for number in 0..count {
        let id = registry.register(&registry.repository(&format!("acme/busy-{number}"))).await;
        let claimed = claim(&registry.another_isolate().app, key(registry, &id)).await.expect("the database works");
        claims.push(claimed.expect("claimed"));
    }
    registry.tasks.lose_jobs();
    claims
}

/// What the queue does with a sync of a repository: whether it was begun.
async fn begins(registry: &TestRegistry, id: &str) -> bool {
    let before = registry.runs().len();
    let job = Job::SyncRepository { repository_id: key(registry, id) };
    perform(&registry.isolate.app, job).await.expect("nothing to try again");
    registry.runs().len() > before
}

fn syncs(registry: &TestRegistry) -> Vec<Job> {
    registry.tasks.jobs().into_iter().filter(|job| matches!(job, Job::SyncRepository { .. })).collect()
}

#[tokio::test]
async fn only_a_few_syncs_of_one_host_run_at_once_and_when_one_ends_the_next_begins() {
    let registry = TestRegistry::new();
    under_way(&registry, MAX_SYNCS_OF_HOST - 1).await;
    let last = registry.register(&registry.repository("acme/last")).await;
    let next = registry.register(&registry.repository("acme/next")).await;
    let after = registry.register(&registry.repository("acme/after")).await;
    let upstream = registry.register_as(json!({"kind": "composer", "url": "https://git.test/composer"})).await;
    let elsewhere = registry.register_as(json!({"kind": "composer", "url": "https://git.test:8443"})).await;
    registry.tasks.lose_jobs();

    registry.git_host.pause(Step::Refs);
    let (app, job) = (registry.isolate.app.clone(), Job::SyncRepository { repository_id: key(&registry, &last) });
    let running = tokio::spawn(async move { perform(&app, job).await });
    registry.git_host.until_paused().await;
    for id in [&next, &after, &upstream] {
        assert!(!begins(&registry, id).await, "{id}");
        assert_eq!(registry.repository_view(id).await["sync_status"], "pending");
    }
    assert!(begins(&registry, &elsewhere).await, "another port is another host");

    registry.git_host.resume();
    running.await.expect("no panic").expect("synced");
    assert_eq!(syncs(&registry), [Job::SyncRepository { repository_id: key(&registry, &next) }]);
    registry.run_until_idle().await;
    for id in [&last, &next, &after] {
        assert_eq!(registry.repository_view(id).await["sync_status"], "ok", "one after the other");
    }
    assert_eq!(registry.repository_view(&upstream).await["sync_status"], "failed", "it had its turn too");
    let waiting =
        registry.database.rows("SELECT count(*) AS waiting FROM repositories WHERE waiting_since IS NOT NULL");
    assert_eq!(waiting[0]["waiting"], 0);
}

#[tokio::test]
async fn a_sync_that_somebody_asked_for_is_the_first_of_those_that_wait() {
    let registry = TestRegistry::new();
    let (_, regular) = registry.published("acme/regular", &["1.0.0"]).await;
    let (_, asked_for) = registry.published("acme/asked-for", &["1.0.0"]).await;
    registry.advance_seconds(600);
    let mut claims = under_way(&registry, MAX_SYNCS_OF_HOST).await;
    assert!(!begins(&registry, &regular).await);
    registry.advance_seconds(60);
    registry.post(&format!("/api/repositories/{asked_for}/sync")).bearer(ADMIN).send().await.expect(200);
    assert!(!begins(&registry, &asked_for).await);

    let app = &registry.isolate.app;
    let mut order = Vec::new();
    for id in [&asked_for, &regular] {
        let ended = claims.pop().expect("under way");
        let finished = finish(app, &ended, &SyncReport::default(), Millis::LAST).await.expect("ended");
        order.push(finished.next_waiting);
        claims.extend(claim(app, key(&registry, id)).await.expect("the database works"));
    }
    assert_eq!(order, [Some(key(&registry, &asked_for)), Some(key(&registry, &regular))]);
    let ended = claims.pop().expect("under way");
    let finished = finish(app, &ended, &SyncReport::default(), Millis::LAST).await.expect("ended");
    assert_eq!(finished.next_waiting, None);
}

#[tokio::test]
async fn what_waits_for_a_host_is_told_and_taken_up_when_the_syncs_of_that_host_were_cut_off() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.advance_seconds(600);
    under_way(&registry, MAX_SYNCS_OF_HOST).await;
    registry.cron().await;
    registry.run_until_idle().await;
    assert_eq!(registry.runs().len(), 6, "it waits");
    logs::begin();
    registry.advance_seconds(7 * 60);
    registry.cron().await;
    let told = "WARN 1 syncs have been pending for more than 5 min, the longest for 8 min: they wait for other syncs of the same \
                host to end, of which only a few may run at once";
    assert!(logs::text().contains(told), "{}", logs::text());
    assert!(!logs::text().contains("the queue is behind"), "{}", logs::text());
    registry.run_until_idle().await;
    registry.advance_seconds(8 * 60);
    registry.cron().await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let synced = registry.last_run()["started_at"].as_i64().expect("begun") - START.0;
    assert_eq!(synced / 60_000, 25, "as soon as the leases were over");
}
