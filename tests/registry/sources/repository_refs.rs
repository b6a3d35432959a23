//! `/api/repositories/{id}/refs`, and zips that are tried again because somebody asks for a sync.

use serde_json::{Value, json};

use crate::support::faults::with_every_call_failing;
use crate::support::{ADMIN, FaultTiming, Port, Repo, Step, TestRegistry, file, manifest};

async fn refs(registry: &TestRegistry, id: &str, query: &str) -> (Vec<Value>, String) {
    let path = format!("/api/repositories/{id}/refs{query}");
    let reply = registry.get(&path).bearer(ADMIN).send().await.expect(200);
    (reply.json().as_array().expect("a list").clone(), reply.header("x-total-count").to_owned())
}

fn view(repo: &Repo, name: &str, version: Option<&str>, reason: Option<&str>) -> Value {
    json!({"ref": name, "commit": repo.id(name), "version": version, "reason": reason, "remarks": []})
}

#[tokio::test]
async fn every_ref_is_listed_with_what_became_of_it_those_first_that_became_nothing() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("v1.0.0");
    repo.tag("nonsense");
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    assert_eq!(refs(&registry, &id, "").await, (vec![], "0".to_owned()), "no sync has seen any");
    registry.run_until_idle().await;
    let (found, total) = refs(&registry, &id, "").await;
    assert_eq!(total, "4");
    let reasons = registry.skipped();
    let reason = |name: &str| reasons.iter().find(|(skipped, _)| skipped == name).map(|(_, reason)| reason.as_str());
    let expected = [
        view(&repo, "refs/tags/nonsense", None, reason("refs/tags/nonsense")),
        view(&repo, "refs/tags/v1.0.0", None, Some("refs/tags/1.0.0 is the same version and comes first")),
        view(&repo, "refs/heads/main", Some("dev-main"), None),
        view(&repo, "refs/tags/1.0.0", Some("1.0.0"), None),
    ];
    assert_eq!(found, expected);
    assert_eq!(refs(&registry, &id, "?limit=1&offset=2").await, (expected[2..3].to_vec(), "4".to_owned()));

    // A sync that finds nothing new tells of no skipped refs; here they still are.
    registry.sync(&id).await;
    assert_eq!(registry.skipped(), []);
    assert_eq!(refs(&registry, &id, "").await.0, expected);

    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&json!({"tag_filter": ["v*"]})).send().await;
    registry.run_until_idle().await;
    let (found, _) = refs(&registry, &id, "").await;
    let filtered = Some("no filter of the repository takes it");
    assert_eq!(found[0], view(&repo, "refs/tags/1.0.0", None, filtered));
    assert_eq!(found[3], view(&repo, "refs/tags/v1.0.0", Some("v1.0.0"), None));
}

#[tokio::test]
async fn refs_are_for_those_who_may_read_repositories_and_cost_one_round_trip() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let path = format!("/api/repositories/{id}/refs");
    registry.get(&path).send().await.expect(401);
    registry.get(&path).bearer(&registry.reader().await).send().await.expect(403);
    registry.get("/api/repositories/absent/refs").bearer(ADMIN).send().await.expect(404);
    registry.get(&format!("{path}?skipped=true")).bearer(ADMIN).send().await.expect(400);
    let (_, calls) = registry.counted(refs(&registry, &id, "")).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 2));
}

#[tokio::test]
async fn a_zip_that_was_refused_is_tried_again_once_a_sync_is_asked_for() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.commit_of_many_files("acme/lib", 100_001);
    repo.tag("1.0.0");
    let small = repo.commit(&[manifest("acme/lib"), file("small.php", "<?php")]);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    let download = async || registry.another_isolate().get("/dist/acme/lib/1.0.0.zip").bearer(ADMIN).send().await;
    let errors = || registry.database.rows("SELECT count(error) AS n FROM dists")[0]["n"].clone();
    download().await.expect(404);
    assert_eq!(errors(), 1);
    registry.git_host.take_steps();
    download().await.expect(404);
    assert_eq!(registry.git_host.take_steps(), [], "nobody asks for it again");

    // The same commit under a limit that lets it pass: here, without what was too large.
    registry.database.execute(&format!("UPDATE dists SET reference = '{small}' WHERE error IS NOT NULL"));
    registry.database.execute(&format!("UPDATE versions SET reference = '{small}' WHERE normalized = '1.0.0.0'"));
    download().await.expect(404);
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(errors(), 0);
    registry.tasks.lose_jobs();
    download().await.expect(200);
    assert!(registry.git_host.take_steps().contains(&Step::Fetch));
}

#[tokio::test]
async fn a_sync_is_asked_for_and_refusals_are_forgotten_together_or_not_at_all() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
        registry.database.execute("UPDATE dists SET error = 'too large'");
        case.arm(&registry);
        let reply = registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await;
        let is_broken = registry.meter.clear_faults() > 0;
        assert_eq!(reply.status, if is_broken { 500 } else { 200 }, "{case:?}");
        let done = !(is_broken && case.timing == FaultTiming::Before);
        assert_eq!(registry.audited("repository.sync_requested").await.len(), usize::from(done), "{case:?}");
        let errors = registry.database.rows("SELECT count(error) AS n FROM dists");
        assert_eq!(errors == [json!({"n": 0})], done, "{case:?}");
        is_broken
    })
    .await;
}
