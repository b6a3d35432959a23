//! `/api/repositories/{id}/refs`, and zips that are tried again because somebody asks for a sync.

use serde_json::{Value, json};

use crate::support::faults::break_every_call;
use crate::support::{ADMIN, Moment, Port, Repo, Step, World, file, manifest};

async fn refs(world: &World, id: &str, query: &str) -> (Vec<Value>, String) {
    let path = format!("/api/repositories/{id}/refs{query}");
    let reply = world.get(&path).bearer(ADMIN).send().await.expect(200);
    (reply.json().as_array().expect("a list").clone(), reply.header("x-total-count").to_owned())
}

fn view(repo: &Repo, name: &str, version: Option<&str>, reason: Option<&str>) -> Value {
    json!({"ref": name, "commit": repo.id(name), "version": version, "reason": reason})
}

#[tokio::test]
async fn every_ref_is_listed_with_what_became_of_it_those_first_that_became_nothing() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    repo.tag("v1.0.0");
    repo.tag("nonsense");
    repo.tag("1.0.0");
    let id = world.register(&repo).await;
    assert_eq!(refs(&world, &id, "").await, (vec![], "0".to_owned()), "no sync has seen any");
    world.settle().await;
    let (found, total) = refs(&world, &id, "").await;
    assert_eq!(total, "4");
    let reasons = world.skipped();
    let reason = |name: &str| reasons.iter().find(|(skipped, _)| skipped == name).map(|(_, reason)| reason.as_str());
    let expected = [
        view(&repo, "refs/tags/nonsense", None, reason("refs/tags/nonsense")),
        view(&repo, "refs/tags/v1.0.0", None, Some("refs/tags/1.0.0 is the same version and comes first")),
        view(&repo, "refs/heads/main", Some("dev-main"), None),
        view(&repo, "refs/tags/1.0.0", Some("1.0.0"), None),
    ];
    assert_eq!(found, expected);
    assert_eq!(refs(&world, &id, "?limit=1&offset=2").await, (expected[2..3].to_vec(), "4".to_owned()));

    // A sync that finds nothing new tells of no skipped refs; here they still are.
    world.sync(&id).await;
    assert_eq!(world.skipped(), []);
    assert_eq!(refs(&world, &id, "").await.0, expected);

    world.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&json!({"tag_filter": ["v*"]})).send().await;
    world.settle().await;
    let (found, _) = refs(&world, &id, "").await;
    let filtered = Some("no filter of the repository takes it");
    assert_eq!(found[0], view(&repo, "refs/tags/1.0.0", None, filtered));
    assert_eq!(found[3], view(&repo, "refs/tags/v1.0.0", Some("v1.0.0"), None));
}

#[tokio::test]
async fn refs_are_for_those_who_may_read_repositories_and_cost_one_round_trip() {
    let world = World::new();
    let (_, id) = world.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let path = format!("/api/repositories/{id}/refs");
    world.get(&path).send().await.expect(401);
    world.get(&path).bearer(&world.reader().await).send().await.expect(403);
    world.get("/api/repositories/absent/refs").bearer(ADMIN).send().await.expect(404);
    world.get(&format!("{path}?skipped=true")).bearer(ADMIN).send().await.expect(400);
    let (_, calls) = world.counted(refs(&world, &id, "")).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 2));
}

#[tokio::test]
async fn a_zip_that_was_refused_is_tried_again_once_a_sync_is_asked_for() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    repo.commit(&[manifest("acme/lib"), file("large.bin", vec![0; 9 << 20])]);
    repo.tag("1.0.0");
    let id = world.register(&repo).await;
    world.settle().await;
    let download = async || world.another_isolate().get("/dist/acme/lib/1.0.0.zip").bearer(ADMIN).send().await;
    let errors = || world.database.rows("SELECT count(error) AS n FROM dists")[0]["n"].clone();
    download().await.expect(404);
    assert_eq!(errors(), 1);
    world.host.take_steps();
    download().await.expect(404);
    assert_eq!(world.host.take_steps(), [], "nobody asks for it again");

    // The same commit under a limit that lets it pass: here, without what was too large.
    repo.commit(&[manifest("acme/lib"), file("small.php", "<?php")]);
    let small = repo.id("main");
    world.database.execute(&format!("UPDATE dists SET reference = '{small}' WHERE error IS NOT NULL"));
    world.database.execute(&format!("UPDATE versions SET reference = '{small}' WHERE normalized = '1.0.0.0'"));
    download().await.expect(404);
    world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(errors(), 0);
    world.desk.lose_jobs();
    download().await.expect(200);
    assert!(world.host.take_steps().contains(&Step::Fetch));
}

#[tokio::test]
async fn a_sync_is_asked_for_and_refusals_are_forgotten_together_or_not_at_all() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let (_, id) = world.published("acme/lib", &["1.0.0"]).await;
        world.database.execute("UPDATE dists SET error = 'too large'");
        case.arm(&world);
        let reply = world.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await;
        let is_broken = world.meter.mend() > 0;
        assert_eq!(reply.status, if is_broken { 500 } else { 200 }, "{case:?}");
        let done = !(is_broken && case.moment == Moment::Before);
        assert_eq!(world.audited("repository.sync_requested").await.len(), usize::from(done), "{case:?}");
        let errors = world.database.rows("SELECT count(error) AS n FROM dists");
        assert_eq!(errors == [json!({"n": 0})], done, "{case:?}");
        is_broken
    })
    .await;
}
