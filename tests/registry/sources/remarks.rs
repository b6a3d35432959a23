//! Remarks: what operators are told of refs that became versions all the same.

use rostrum::ports::Millis;
use rostrum::store::packages::remarks::{Remark, RemarkKind, RemarksOn, record_of_archives};
use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry, file, manifest};

async fn get(registry: &TestRegistry, path: &str) -> Value {
    registry.get(path).bearer(ADMIN).send().await.expect(200).json()
}

/// The remarks on a ref.
async fn on_ref(registry: &TestRegistry, id: &str, name: &str) -> Value {
    let refs = get(registry, &format!("/api/repositories/{id}/refs")).await;
    let found = refs.as_array().expect("a list").iter().find(|one| one["ref"] == name);
    found.expect("the ref")["remarks"].clone()
}

/// The remarks that a repository's latest runs list, the newest run first.
async fn of_runs(registry: &TestRegistry, id: &str) -> Vec<Value> {
    let runs = get(registry, &format!("/api/repositories/{id}/syncs")).await;
    runs.as_array().expect("a list").iter().map(|run| run["remarks"].clone()).collect()
}

/// How many remarks the list of repositories tells of, and since when.
async fn in_list(registry: &TestRegistry) -> (Value, Value) {
    let listed = get(registry, "/api/repositories").await;
    (listed[0]["remarks"].clone(), listed[0]["last_remark_at"].clone())
}

/// Records what the building of zips found in a commit.
async fn found_in_zip(registry: &TestRegistry, commit: &str, remarks: &[Remark], now: Millis) {
    let about = [RemarksOn { subject: commit.to_owned(), remarks: remarks.to_vec() }];
    let stmts = record_of_archives(1, &about, now);
    registry.isolate.app.ports.database.batch(stmts).await.expect("recorded");
}

#[tokio::test]
async fn a_remark_is_shown_with_its_ref_its_version_its_sync_and_in_the_list_of_repositories() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    assert_eq!(in_list(&registry).await, (json!(0), json!(null)));
    let old = repo.id("main");
    let new = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.0.0");
    registry.advance_seconds(60);
    registry.sync(&id).await;
    let text = format!(
        "The tag was moved from commit {old} to {new} after it had been published. Lock files that name the old commit \
         go on getting its zip."
    );
    let remark = json!({"kind": "moved_tag", "text": text});
    assert_eq!(on_ref(&registry, &id, "refs/tags/1.0.0").await, json!([remark]));
    assert_eq!(on_ref(&registry, &id, "refs/tags/2.0.0").await, json!([]));
    assert_eq!(on_ref(&registry, &id, "refs/heads/main").await, json!([]), "branches are there to be moved");
    let refs = get(&registry, &format!("/api/repositories/{id}/refs")).await;
    assert_eq!(refs[0]["ref"], "refs/tags/1.0.0", "those with remarks come first");
    for path in ["/api/packages/acme/lib", "/api/packages/acme%2Flib/versions"] {
        let reply = get(&registry, path).await;
        let versions = reply.get("versions").unwrap_or(&reply).as_array().expect("a list").clone();
        let remarks: Vec<(&Value, &Value)> = versions.iter().map(|one| (&one["version"], &one["remarks"])).collect();
        let (none, some) = (json!([]), json!([remark]));
        assert_eq!(
            remarks,
            [(&json!("2.0.0"), &none), (&json!("1.0.0"), &some), (&json!("dev-main"), &none)],
            "{path}"
        );
    }
    let version = get(&registry, "/api/packages/acme%2Flib/versions/1.0.0").await;
    assert_eq!(version["remarks"], json!([remark]));
    let listed = json!([{"ref": "refs/tags/1.0.0", "kind": "moved_tag", "text": text}]);
    assert_eq!(of_runs(&registry, &id).await, [listed, json!([])]);
    assert_eq!(in_list(&registry).await, (json!(1), json!(START.seconds() + 60)));

    registry.advance_seconds(60);
    registry.sync(&id).await;
    assert_eq!(of_runs(&registry, &id).await[0], json!([]), "it is not new any more");
    assert_eq!(in_list(&registry).await, (json!(1), json!(START.seconds() + 60)));
    repo.delete("refs/tags/1.0.0");
    registry.sync(&id).await;
    assert_eq!(in_list(&registry).await, (json!(0), json!(null)), "the remark goes with its ref");
    assert_eq!(of_runs(&registry, &id).await[2][0]["kind"], "moved_tag", "and stays in the history");
}

#[tokio::test]
async fn what_the_building_of_a_zip_finds_is_told_on_every_ref_of_the_commit_and_by_the_latest_sync() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let commit = repo.id("main");
    let lost = Remark::new(RemarkKind::LostFiles, "The zip lacks `a\\b`, which would leave its directory on Windows.");
    let pointers = Remark::new(RemarkKind::LfsPointers, "`large.bin` is a pointer of Git LFS.");
    let now = Millis(START.0 + 5000);
    found_in_zip(&registry, &commit, &[lost.clone(), pointers.clone()], now).await;
    let [lost_json, pointers_json] = [&lost, &pointers].map(|remark| json!({"kind": remark.kind, "text": remark.text}));
    for name in ["refs/heads/main", "refs/tags/1.0.0"] {
        assert_eq!(on_ref(&registry, &id, name).await, json!([pointers_json, lost_json]), "{name}");
    }
    let version = get(&registry, "/api/packages/acme%2Flib/versions/dev-main").await;
    assert_eq!(version["remarks"], json!([pointers_json, lost_json]));
    let runs = of_runs(&registry, &id).await;
    let told: Vec<&Value> = runs[0].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(told.len(), 4, "two remarks on two refs: {runs:?}");
    assert_eq!(in_list(&registry).await, (json!(2), json!(START.seconds() + 5)));

    // The same again is not new; what is not found again is taken back.
    found_in_zip(&registry, &commit, std::slice::from_ref(&lost), Millis(START.0 + 9000)).await;
    assert_eq!(of_runs(&registry, &id).await, runs);
    assert_eq!(on_ref(&registry, &id, "refs/heads/main").await, json!([lost_json]));
    assert_eq!(in_list(&registry).await, (json!(1), json!(START.seconds() + 5)));

    // A sync says nothing of commits, and takes nothing back of one that is still there.
    let moved = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    registry.sync(&id).await;
    assert_eq!(on_ref(&registry, &id, "refs/tags/1.0.0").await, json!([lost_json]));
    assert_eq!(on_ref(&registry, &id, "refs/heads/main").await, json!([]));
    repo.delete("refs/tags/1.0.0");
    registry.sync(&id).await;
    assert_eq!(in_list(&registry).await, (json!(0), json!(null)));

    // A zip that was built for a lock file, of a commit that nothing is at any more.
    found_in_zip(&registry, &commit, std::slice::from_ref(&lost), now).await;
    assert_eq!(in_list(&registry).await, (json!(0), json!(null)));
    found_in_zip(&registry, &moved, &[lost], now).await;
    assert_eq!(in_list(&registry).await.0, json!(1));
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM remarks"), [json!({"n": 0})]);
    found_in_zip(&registry, &moved, &[pointers], now).await;
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM remarks"), [json!({"n": 0})], "it came too late");
}

#[test]
fn a_remark_that_no_list_could_show_is_cut_between_characters() {
    let remark = Remark::new(RemarkKind::LostFiles, "ü".repeat(1000));
    assert_eq!(remark.text, format!("{}…", "ü".repeat(500)));
}
