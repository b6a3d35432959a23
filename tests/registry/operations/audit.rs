//! The audit log: every mutation leaves one entry, what was refused leaves none, and nothing takes an entry back.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry};

async fn log(registry: &TestRegistry, query: &str) -> Vec<Value> {
    let reply = registry.get(&format!("/api/audit-log{query}")).bearer(ADMIN).send().await.expect(200);
    reply.json().as_array().expect("a list").clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn every_mutation_is_noted_with_who_what_when_and_from_where() {
    let registry = TestRegistry::new();
    let made = registry
        .post("/api/tokens")
        .bearer(ADMIN)
        .header("cf-connecting-ip", "203.0.113.9")
        .json(&json!({"description": "CI", "permissions": "write", "allowed_package_prefixes": ["acme/"]}))
        .send()
        .await
        .expect(201);
    let id = made.id();
    let entries = log(&registry, "").await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let mut entry = entry.clone();
    assert!(entry["id"].take().is_string());
    let details = entry["details"].take();
    assert_eq!(details["grants"][0]["target"], "acme/*");
    let expected = json!({
        "id": null, "at": START.seconds(), "actor": "admin", "address": "203.0.113.9", "action": "token.created",
        "target": id, "label": "CI", "details": null,
    });
    assert_eq!(entry, expected);

    let writer = made.json()["token"].as_str().expect("the token").to_owned();
    let repo = registry.repository("acme/lib");
    let spec = json!({"url": repo.url, "auth_credentials": "s3cret-token"});
    let repository = registry.post("/api/repositories").bearer(&writer).json(&spec).send().await.expect(201).id();
    registry.post(&format!("/api/repositories/{repository}/sync")).bearer(&writer).send().await.expect(200);
    registry.delete(&format!("/api/repositories/{repository}")).bearer(&writer).send().await.expect(200);
    let change = json!({"metadata": {"order": 1}, "expires_at": null});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&change).send().await.expect(200);
    registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);

    let entries = log(&registry, "").await;
    let expected = [
        "token.revoked",
        "token.changed",
        "repository.removed",
        "repository.sync_requested",
        "repository.created",
        "token.created",
    ];
    assert_eq!(actions(&entries), expected);
    assert_eq!(entries[1]["details"], json!({"fields": ["expires_at", "metadata"]}));
    assert_eq!(entries[4]["actor"], json!(format!("token:{id}")));
    assert_eq!(entries[4]["label"], json!(repo.url));
    let text = json!(entries).to_string();
    assert!(!text.contains("s3cret-token") && !text.contains(&writer), "{text}");
}

#[tokio::test]
async fn what_was_refused_or_did_not_happen_is_not_noted() {
    let registry = TestRegistry::new();
    let reader = registry.reader().await;
    let before = log(&registry, "").await.len();
    registry.post("/api/tokens").bearer(ADMIN).json(&json!({"description": ""})).send().await.expect(400);
    registry.post("/api/tokens").bearer(&reader).json(&json!({"description": "x"})).send().await.expect(403);
    registry.delete("/api/tokens/nobody").bearer(ADMIN).send().await.expect(404);
    registry.patch("/api/tokens/nobody").bearer(ADMIN).json(&json!({"description": "x"})).send().await.expect(404);
    registry.delete("/api/repositories/nobody").bearer(ADMIN).send().await.expect(404);
    registry.post("/api/repositories/nobody/sync").bearer(ADMIN).send().await.expect(404);
    assert_eq!(log(&registry, "").await.len(), before);
}

#[tokio::test]
async fn a_conflict_leaves_one_entry_for_the_one_that_was_made() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let spec = json!({"url": repo.url});
    registry.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201);
    registry.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(409);
    assert_eq!(actions(&log(&registry, "").await), ["repository.created"]);
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_or_shorten_the_log() {
    for sql in [
        "UPDATE audit_log SET actor = 'nobody'",
        "UPDATE audit_log SET target = 'nothing', address = NULL",
        "UPDATE audit_log SET at = 0",
        "UPDATE audit_log SET address = '192.0.2.1'",
        "UPDATE audit_log SET label = 'another'",
        "UPDATE audit_log SET details = '{}'",
        "DELETE FROM audit_log",
    ] {
        let registry = TestRegistry::new();
        registry.reader().await;
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| registry.database.execute(sql)));
        let told = *refused.expect_err(sql).downcast::<String>().expect("text");
        assert!(told.ends_with("the audit log is append-only"), "{told}");
    }
    // What is personal can go, and says so.
    let registry = TestRegistry::new();
    registry.reader().await;
    registry.database.execute(r#"UPDATE audit_log SET address = NULL, label = NULL, details = '{"erased":true}'"#);
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let registry = TestRegistry::new();
    for name in ["a", "b", "c"] {
        registry.token(&json!({"description": name})).await;
        registry.advance_seconds(10);
    }
    let second = START.seconds() + 10;
    assert_eq!(log(&registry, &format!("?since={second}")).await.len(), 2);
    assert_eq!(log(&registry, &format!("?until={second}")).await.len(), 1);
    assert_eq!(log(&registry, "?action=token.").await.len(), 3);
    assert_eq!(log(&registry, "?action=repository.").await.len(), 0);
    assert_eq!(log(&registry, "?actor=admin").await.len(), 3);
    assert_eq!(log(&registry, "?actor=nobody").await.len(), 0);
    let page = registry.get("/api/audit-log?limit=1&offset=1").bearer(ADMIN).send().await.expect(200);
    assert_eq!(page.header("x-total-count"), "3");
    assert_eq!(page.json()[0]["label"], "b");
    registry.get("/api/audit-log?color=red").bearer(ADMIN).send().await.expect(400);
}

#[tokio::test]
async fn an_export_holds_one_entry_a_line() {
    let registry = TestRegistry::new();
    registry.token(&json!({"description": "a"})).await;
    registry.token(&json!({"description": "b"})).await;
    let reply = registry.get("/api/audit-log/export").bearer(ADMIN).send().await.expect(200);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let text = reply.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, log(&registry, "").await);
}

#[tokio::test]
async fn the_log_is_for_those_who_may_read_it() {
    let registry = TestRegistry::new();
    let reader = registry.reader().await;
    registry.get("/api/audit-log").bearer(&reader).send().await.expect(403);
    registry.get("/api/audit-log/export").bearer(&reader).send().await.expect(403);
    registry.get("/api/audit-log").send().await.expect(401);
}
