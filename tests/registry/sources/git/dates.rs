//! The three dates of a version: when it was released, by which it is sold; when its files were made, which composer
//! shows; and when the registry first published what it is, by which composer's cooldown goes.

use std::time::Duration;

use rostrum::ports::Millis;
use rostrum::registry::kernel::dates::{php_date, rfc3339};
use serde_json::{Value, json};

use crate::support::repo::FIRST_COMMIT_SECONDS;
use crate::support::{ADMIN, START, TestConsumer, TestRegistry, file, manifest};

const DAY: Duration = Duration::from_hours(24);

/// A customer whose updates end at a moment.
async fn paid_until(registry: &TestRegistry, moment: Millis) -> TestConsumer {
    let consumer = registry.consumer().await;
    let body = json!({
        "consumer_id": consumer.id, "package": "acme/*", "version": "*", "updates_until": php_date(moment),
    });
    registry.storefront_post("/permissions", &body).send().await.expect(201);
    consumer
}

/// The tagged versions that a customer's composer sees.
async fn visible(registry: &TestRegistry, consumer: &TestConsumer) -> Vec<String> {
    let reply = consumer.get(&registry.another_isolate(), "/p2/acme/lib.json").send().await;
    if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("acme/lib") }
}

/// What composer is told of a version.
async fn entry(registry: &TestRegistry, version: &str) -> Value {
    for part in ["", "~dev"] {
        let reply = registry.get_from_new_isolate(&format!("/p2/acme/lib{part}.json")).await.expect(200);
        if let Some(entry) = reply.versions("acme/lib").into_iter().find(|entry| entry["version"] == version) {
            return entry;
        }
    }
    panic!("there is no {version}")
}

async fn released_at(registry: &TestRegistry, version: &str) -> i64 {
    let path = format!("/api/packages/acme%2Flib/versions/{version}");
    registry.get(&path).bearer(ADMIN).send().await.expect(200).json()["released_at"].as_i64().expect("seconds")
}

#[tokio::test]
async fn a_tag_that_is_pushed_later_is_released_when_it_is_seen_however_old_its_commit_is() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    assert_eq!(released_at(&registry, "1.0.0").await, FIRST_COMMIT_SECONDS, "nobody here has seen its past");
    let consumer = paid_until(&registry, START).await;
    registry.advance(DAY);
    let seen_at = START.seconds() + 24 * 3600;
    let commit = repo.tag("2.0.0");
    registry.sync(&id).await;
    assert_eq!(released_at(&registry, "2.0.0").await, seen_at);
    assert_eq!(visible(&registry, &consumer).await, ["1.0.0"]);
    let isolate = registry.another_isolate();
    for path in [format!("/dist/acme/lib/2.0.0/{commit}.zip"), "/dist/acme/lib/2.0.0.zip".to_owned()] {
        consumer.get(&isolate, &path).send().await.expect(404);
    }
    consumer.get(&isolate, &format!("/dist/acme/lib/1.0.0/{commit}.zip")).send().await.expect(200);
    let renewed = paid_until(&registry, Millis::from_seconds(seen_at)).await;
    assert_eq!(visible(&registry, &renewed).await, ["2.0.0", "1.0.0"]);
    let time = entry(&registry, "2.0.0").await["time"].clone();
    assert_eq!(time, rfc3339(Millis::from_seconds(FIRST_COMMIT_SECONDS)), "its files are as old as before");
}

#[tokio::test]
async fn an_annotated_tag_is_released_by_its_own_date() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let (first, second) = (FIRST_COMMIT_SECONDS + 1000, FIRST_COMMIT_SECONDS + 2000);
    repo.annotated_tag_at("1.0.0", first);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    repo.annotated_tag_at("1.1.0", second);
    registry.sync(&id).await;
    assert_eq!(released_at(&registry, "1.0.0").await, first);
    assert_eq!(released_at(&registry, "1.1.0").await, second);
    let consumer = paid_until(&registry, Millis::from_seconds(first)).await;
    assert_eq!(visible(&registry, &consumer).await, ["1.0.0"]);
}

#[tokio::test]
async fn an_annotated_tags_date_is_read_from_a_server_without_filters_too() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.git_host.forbid_filters(&repo);
    repo.annotated_tag_at("1.0.0", FIRST_COMMIT_SECONDS + 1000);
    repo.annotated_tag_at("1.1.0", FIRST_COMMIT_SECONDS + 2000);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(released_at(&registry, "1.0.0").await, FIRST_COMMIT_SECONDS + 1000);
    assert_eq!(released_at(&registry, "1.1.0").await, FIRST_COMMIT_SECONDS + 2000);
}

#[tokio::test]
async fn an_annotated_tag_with_a_date_that_cannot_be_true_is_released_as_if_it_had_none() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let absurd = [0, 1_000_000_000, FIRST_COMMIT_SECONDS - 1, START.seconds() + 3600];
    for (number, seconds) in (0..).zip(absurd) {
        repo.annotated_tag_at(&format!("1.{number}.0"), seconds);
    }
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    registry.advance_seconds(600);
    for (number, seconds) in (0..).zip(absurd) {
        repo.annotated_tag_at(&format!("2.{number}.0"), seconds);
    }
    registry.sync(&id).await;
    for number in 0..absurd.len() {
        assert_eq!(released_at(&registry, &format!("1.{number}.0")).await, FIRST_COMMIT_SECONDS);
        assert_eq!(released_at(&registry, &format!("2.{number}.0")).await, START.seconds() + 600);
    }
}

#[tokio::test]
async fn a_version_keeps_its_release_when_its_tag_moves_or_goes_and_comes_back() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    let old = repo.id("main");
    registry.advance(DAY);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.0.0");
    repo.annotated_tag_at("1.1.0", START.seconds());
    registry.sync(&id).await;
    for version in ["1.0.0", "1.1.0"] {
        assert_eq!(released_at(&registry, version).await, FIRST_COMMIT_SECONDS, "{version}");
        let moved_at = Millis::from_seconds(START.seconds() + 24 * 3600);
        assert_eq!(entry(&registry, version).await["published-time"], rfc3339(moved_at), "{version}");
    }
    repo.delete("refs/tags/1.0.0");
    registry.sync(&id).await;
    registry.advance(DAY);
    repo.tag_at("1.0.0", &old);
    registry.sync(&id).await;
    assert_eq!(released_at(&registry, "1.0.0").await, FIRST_COMMIT_SECONDS);
}

#[tokio::test]
async fn a_branch_is_released_anew_each_time_it_moves() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &[]).await;
    assert_eq!(released_at(&registry, "dev-main").await, FIRST_COMMIT_SECONDS);
    registry.advance(DAY);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    registry.sync(&id).await;
    let moved_at = START.seconds() + 24 * 3600;
    assert_eq!(released_at(&registry, "dev-main").await, moved_at);
    let entry = entry(&registry, "dev-main").await;
    assert_eq!(entry["published-time"], rfc3339(Millis::from_seconds(moved_at)));
    assert_eq!(entry["time"], rfc3339(Millis::from_seconds(FIRST_COMMIT_SECONDS + 60)));
}

#[tokio::test]
async fn a_package_that_is_renamed_is_not_released_again() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    registry.advance(DAY);
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("2.0.0");
    registry.sync(&id).await;
    assert_eq!(released_at(&registry, "1.0.0").await, FIRST_COMMIT_SECONDS);
    assert_eq!(released_at(&registry, "2.0.0").await, START.seconds() + 24 * 3600);
}

#[tokio::test]
async fn the_dates_of_composer_json_are_shown_and_decide_nothing() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    let stated = r#"{"name":"acme/lib","time":"2015-01-01 10:00:00","published-time":"2015-01-01T00:00:00+00:00"}"#;
    repo.commit(&[file("composer.json", stated)]);
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    registry.advance(DAY);
    repo.tag("1.1.0");
    registry.sync(&id).await;
    for (version, days) in [("1.0.0", 0), ("1.1.0", 1)] {
        let entry = entry(&registry, version).await;
        assert_eq!(entry["time"], "2015-01-01T10:00:00Z", "{version}");
        let seen_at = Millis::from_seconds(START.seconds() + days * 24 * 3600);
        assert_eq!(entry["published-time"], rfc3339(seen_at), "{version}");
    }
    assert_eq!(released_at(&registry, "1.0.0").await, FIRST_COMMIT_SECONDS);
    assert_eq!(released_at(&registry, "1.1.0").await, START.seconds() + 24 * 3600);
    let consumer = paid_until(&registry, Millis::from_seconds(FIRST_COMMIT_SECONDS - 1)).await;
    assert_eq!(visible(&registry, &consumer).await, Vec::<String>::new());
}
