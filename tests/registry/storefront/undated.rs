//! Versions of an upstream that does not say when they were released, and customers whose updates have ended.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, SATIS, version};
use crate::support::{ADMIN, TestConsumer, TestRegistry};

/// A version of `vendor/lib` whose `time` is this one.
fn timed(text: &str, time: &Value) -> Value {
    let mut version = version(text);
    version["time"] = time.clone();
    version
}

/// A registry with an upstream that has `vendor/lib` in these versions.
async fn mirroring(versions: &[Value]) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    registry.composer_host.publish(SATIS, "vendor/lib", versions);
    let id = registry.upstream(SATIS).await;
    (registry, id)
}

/// A consumer with updates of the package until a day.
async fn with_updates_until(registry: &TestRegistry, email: &str, day: &str) -> TestConsumer {
    let consumer = registry.consumer_as(&json!({ "email": email })).await;
    let body = json!({
        "consumer_id": consumer.id, "package": "vendor/lib", "version": "*", "updates_until": format!("{day} 00:00:00"),
    });
    registry.storefront_post("/permissions", &body).send().await.expect(201);
    consumer
}

async fn seen(registry: &TestRegistry, consumer: &TestConsumer) -> Vec<String> {
    let reply = consumer.get(&registry.another_isolate(), LIB).send().await;
    if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("vendor/lib") }
}

/// What operators are told of each version: its number, when it counts as released, and the kinds of its remarks.
async fn told(registry: &TestRegistry) -> Vec<(String, i64, Vec<String>)> {
    let versions = registry.get("/api/packages/vendor%2Flib/versions").bearer(ADMIN).send().await.expect(200).json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let kinds =
        |version: &Value| version["remarks"].as_array().expect("a list").iter().map(|one| text(&one["kind"])).collect();
    let one = |version: &Value| {
        (text(&version["version"]), version["released_at"].as_i64().expect("a moment"), kinds(version))
    };
    versions.as_array().expect("a list").iter().map(one).collect()
}

/// 2026-01-01T00:00:00Z, when every test begins.
const FIRST_SEEN: i64 = 1_767_225_600;

#[tokio::test]
async fn a_version_without_a_time_is_not_for_those_whose_updates_ended_before_it_was_first_seen() {
    let versions =
        [timed("2.0.0", &json!("yesterday")), timed("1.1.0", &json!(null)), timed("1.0.0", &json!(1_600_000_000))];
    let (registry, _) = mirroring(&versions).await;
    registry.composer_host.without_validators();
    let ended = with_updates_until(&registry, "a@example.com", "2025-12-31").await;
    let current = with_updates_until(&registry, "b@example.com", "2026-06-01").await;
    assert_eq!(seen(&registry, &ended).await, ["1.0.0"], "the others may have come out later");
    assert_eq!(seen(&registry, &current).await, ["2.0.0", "1.1.0", "1.0.0"]);

    let undated = || vec!["undated".to_owned()];
    let expected = [
        ("2.0.0".to_owned(), FIRST_SEEN, undated()),
        ("1.1.0".to_owned(), FIRST_SEEN, undated()),
        ("1.0.0".to_owned(), 1_600_000_000, Vec::new()),
    ];
    assert_eq!(told(&registry).await, expected);
    let path = "/api/packages/vendor%2Flib/versions/1.1.0";
    let shown = registry.get(path).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(
        shown["remarks"][0]["text"],
        "Its upstream does not say when it was released. For `updates_until` it counts as released at 2026-01-01T00:00:00Z, \
         the latest moment that this can have been."
    );
    let entries = registry.get_from_new_isolate(LIB).await.expect(200).versions("vendor/lib");
    let times: Vec<&Value> = entries.iter().map(|entry| &entry["time"]).collect();
    assert_eq!(times, [&json!(null), &json!(null), &json!("2020-09-13T12:26:40Z")], "no date is made up");
}

#[tokio::test]
async fn a_version_without_a_time_is_no_younger_than_the_document_that_it_was_first_seen_in() {
    // The documents of this upstream were last changed on 2020-09-13.
    let (registry, id) = mirroring(&[timed("1.1.0", &json!(null)), timed("1.0.0", &json!(1_500_000_000))]).await;
    let ended = with_updates_until(&registry, "a@example.com", "2021-01-01").await;
    let long_ended = with_updates_until(&registry, "b@example.com", "2020-01-01").await;
    assert_eq!(seen(&registry, &ended).await, ["1.1.0", "1.0.0"]);
    assert_eq!(seen(&registry, &long_ended).await, ["1.0.0"]);
    assert_eq!(told(&registry).await[0].1, 1_600_000_001);

    // One that comes later was not there before, whatever its document says.
    let later = [timed("1.2.0", &json!(null)), timed("1.1.0", &json!(null)), timed("1.0.0", &json!(1_500_000_000))];
    registry.composer_host.publish(SATIS, "vendor/lib", &later);
    registry.advance_seconds(INTERVAL);
    registry.sync(&id).await;
    assert_eq!(seen(&registry, &ended).await, ["1.1.0", "1.0.0"], "what was decided stays");
    assert_eq!(told(&registry).await[0].1, FIRST_SEEN + i64::try_from(INTERVAL).expect("small"));
    let remarks: Value = serde_json::from_str(registry.last_run()["remarks"].as_str().expect("text")).expect("JSON");
    let text = "1 of its versions do not say when they were released; each says when it counts as released for `updates_until`.";
    assert_eq!(remarks, json!([{"ref": "vendor/lib", "kind": "undated", "text": text}]));
}

#[tokio::test]
async fn a_document_that_is_older_than_a_version_in_it_dates_nothing() {
    let (registry, _) = mirroring(&[timed("2.0.0", &json!(1_650_000_000)), timed("1.0.0", &json!(null))]).await;
    let ended = with_updates_until(&registry, "a@example.com", "2025-01-01").await;
    assert_eq!(seen(&registry, &ended).await, ["2.0.0"]);
    assert_eq!(told(&registry).await[1].1, FIRST_SEEN);
}
