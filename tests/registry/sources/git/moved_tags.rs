//! Tags that move after they were published, and packages that another repository publishes already.

use serde_json::{Value, json};

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, Repo, Step, TestRegistry, file, logs, manifest};

/// The commit that a version is published from.
async fn reference(registry: &TestRegistry, version: &str) -> String {
    let path = format!("/api/packages/acme%2Flib/versions/{version}");
    let reply = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    reply["reference"].as_str().expect("text").to_owned()
}

/// The details of the audit log's entries of moved tags, the latest first.
async fn audited_moves(registry: &TestRegistry) -> Vec<Value> {
    registry.audited("tag.moved").await.into_iter().map(|entry| entry["details"].clone()).collect()
}

/// What webhooks are to be told of moved tags.
fn announced(registry: &TestRegistry) -> Vec<Value> {
    let rows = registry.database.rows("SELECT payload FROM webhook_deliveries WHERE event = 'tag.moved' ORDER BY id");
    rows.iter().map(|row| serde_json::from_str(row["payload"].as_str().expect("text")).expect("JSON")).collect()
}

async fn remarks(registry: &TestRegistry, id: &str, name: &str) -> Vec<String> {
    let path = format!("/api/repositories/{id}/refs");
    let refs = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    let found = refs.as_array().expect("a list").iter().find(|one| one["ref"] == name).expect("the ref").clone();
    let remarks = found["remarks"].as_array().expect("a list").clone();
    remarks.iter().map(|remark| remark["text"].as_str().expect("text").to_owned()).collect()
}

/// A registry with a webhook for moved tags, and a repository whose tag 1.0.0 has moved since it was published.
async fn moved(immutable: bool) -> (TestRegistry, Repo, String, String, String) {
    let registry = TestRegistry::new();
    registry.set(json!({ "immutable_tags": immutable })).await;
    let hook = json!({"url": "https://shop.test/hook", "events": ["tag.moved"]});
    registry.post("/api/storefront/webhooks").bearer(ADMIN).json(&hook).send().await.expect(201);
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let old = repo.id("main");
    let new = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.0.0");
    registry.sync(&id).await;
    (registry, repo, id, old, new)
}

#[tokio::test]
async fn a_moved_tag_is_followed_and_told_in_the_audit_log_and_to_webhooks() {
    let (registry, _, id, old, new) = moved(false).await;
    assert_eq!(reference(&registry, "1.0.0").await, new);
    let told = json!({"ref": "refs/tags/1.0.0", "from": old, "to": new, "followed": true});
    assert_eq!(audited_moves(&registry).await, [told]);
    let entry = registry.audited("tag.moved").await.remove(0);
    assert_eq!(
        (&entry["actor"], &entry["target"], &entry["label"]),
        (&json!(format!("repository:{id}")), &json!(id), &json!("acme/lib 1.0.0"))
    );
    let tag = json!({"version": "1.0.0", "from": old, "to": new, "followed": true});
    assert_eq!(announced(&registry), [json!({"package": "acme/lib", "tags": [tag]})]);
    registry.sync(&id).await;
    assert_eq!(announced(&registry).len(), 1, "a move is told once");
}

#[tokio::test]
async fn with_immutable_tags_a_moved_tag_is_told_once_and_not_followed() {
    let (registry, repo, id, old, new) = moved(true).await;
    assert_eq!(reference(&registry, "1.0.0").await, old);
    assert_eq!(reference(&registry, "dev-main").await, new, "branches are there to be moved");
    let told = json!({"ref": "refs/tags/1.0.0", "from": old, "to": new, "followed": false});
    assert_eq!(audited_moves(&registry).await, [told]);
    assert_eq!(announced(&registry)[0]["tags"][0]["followed"], false);
    let text = remarks(&registry, &id, "refs/tags/1.0.0").await;
    assert_eq!(
        text,
        [format!(
            "The tag was moved from commit {old} to {new} after it had been published. The version stays what it was, \
             because of the setting immutable_tags."
        )]
    );

    // Another change of the repository tells nothing anew, and takes nothing back.
    repo.tag("3.0.0");
    registry.sync(&id).await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["3.0.0", "2.0.0", "1.0.0", "dev-main"]);
    assert_eq!((audited_moves(&registry).await.len(), announced(&registry).len()), (1, 1));
    assert_eq!(remarks(&registry, &id, "refs/tags/1.0.0").await, text);

    // A tag that is deleted and made again elsewhere does not come back as another version.
    repo.delete("refs/tags/1.0.0");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["3.0.0", "2.0.0", "dev-main"]);
    repo.tag("1.0.0");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["3.0.0", "2.0.0", "dev-main"]);
    let skipped = registry.skipped();
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].1.contains(&format!("published from commit {old}, deleted, and made again")), "{skipped:?}");

    // Without the setting it is followed with the next sync, and that is told.
    registry.set(json!({"immutable_tags": null})).await;
    registry.sync(&id).await;
    assert_eq!(reference(&registry, "1.0.0").await, new);
    let told = audited_moves(&registry).await;
    assert_eq!((told.len(), &told[0]["followed"]), (2, &json!(true)));
}

#[tokio::test]
async fn a_second_repository_of_a_package_adds_nothing_and_asks_for_refs_only() {
    let registry = TestRegistry::new();
    let (_, first) = registry.published("acme/lib", &["1.0.0"]).await;
    let fork = registry.git_host.serve("acme/fork");
    fork.commit(&[manifest("acme/lib")]);
    fork.tag("9.0.0");
    let id = registry.register(&fork).await;
    registry.run_until_idle().await;
    let error = "the package acme/lib is published by another repository already; remove that one first, or delete the package if it was renamed there";
    let numbers = |run: &Value| ["added", "changed", "removed"].map(|key| run[key].as_i64().expect("a number"));
    for _ in 0..2 {
        let run = registry.last_run();
        assert_eq!((&run["outcome"], &run["error"], numbers(&run)), (&json!("failed"), &json!(error), [0, 0, 0]));
        registry.git_host.take_requests();
        registry.sync(&id).await;
        assert_eq!(registry.git_host.take_steps(), [Step::Refs], "nothing has changed");
    }
    assert!(!logs::text().contains("malformed JSON"), "{}", logs::text());
    fork.tag("9.1.0");
    registry.sync(&id).await;
    assert_eq!(registry.repository_view(&id).await["error"], error);
    assert_eq!(numbers(&registry.last_run()), [0, 0, 0]);

    registry.delete(&format!("/api/repositories/{first}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
    assert_eq!(numbers(&registry.last_run()), [3, 0, 0]);
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["9.1.0", "9.0.0", "dev-main"]);
}
