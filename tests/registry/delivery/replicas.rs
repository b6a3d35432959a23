//! Metadata that an isolate knows is confirmed by a replica of the database, which may be behind.

use serde_json::{Value, json};

use crate::support::{TestIsolate, TestRegistry};

async fn versions(isolate: &TestIsolate, token: &str) -> Vec<String> {
    let reply = isolate.get("/p2/acme/lib.json").basic(token).composer().send().await.expect(200);
    reply.version_names("acme/lib")
}

async fn names(isolate: &TestIsolate, token: &str) -> Value {
    let reply = isolate.get("/list.json").basic(token).composer().send().await.expect(200);
    reply.json()["packageNames"].clone()
}

/// A registry whose replica has 1.0.0 only and whose primary has 1.1.0 and another package too; and an isolate that has
/// read the old state.
async fn behind() -> (TestRegistry, TestIsolate, String) {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let other = registry.another_isolate();
    assert_eq!(versions(&other, &token).await, ["1.0.0"]);
    assert_eq!(names(&other, &token).await, json!(["acme/lib"]));
    registry.database.freeze_replica();
    registry.advance_seconds(5);
    repo.tag("1.1.0");
    registry.sync(&id).await;
    registry.published("acme/more", &["1.0.0"]).await;
    (registry, other, token)
}

#[tokio::test]
async fn an_isolate_that_published_never_goes_back_to_what_a_replica_has() {
    let (registry, _, token) = behind().await;
    for _ in 0..3 {
        assert_eq!(versions(&registry.isolate, &token).await, ["1.1.0", "1.0.0"]);
        assert_eq!(names(&registry.isolate, &token).await, json!(["acme/lib", "acme/more"]));
        registry.advance_seconds(11);
    }
}

#[tokio::test]
async fn another_isolate_sees_what_is_new_when_the_replica_has_it() {
    let (registry, other, token) = behind().await;
    registry.advance_seconds(11);
    assert_eq!(versions(&other, &token).await, ["1.0.0"]);
    assert_eq!(names(&other, &token).await, json!(["acme/lib"]));
    registry.database.freeze_replica();
    registry.advance_seconds(11);
    assert_eq!(versions(&other, &token).await, ["1.1.0", "1.0.0"]);
    assert_eq!(names(&other, &token).await, json!(["acme/lib", "acme/more"]));
}

#[tokio::test]
async fn what_an_isolate_does_not_know_is_read_from_the_primary() {
    let (registry, _, token) = behind().await;
    let cold = registry.another_isolate();
    assert_eq!(versions(&cold, &token).await, ["1.1.0", "1.0.0"]);
    assert_eq!(names(&cold, &token).await, json!(["acme/lib", "acme/more"]));
}
