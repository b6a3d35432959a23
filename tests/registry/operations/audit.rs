//! The audit log: every mutation leaves one entry, what was refused leaves none, and nothing takes an entry back.

use serde_json::{Value, json};

use crate::support::{ADMIN, DAWN, World};

async fn log(world: &World, query: &str) -> Vec<Value> {
    let reply = world.get(&format!("/api/audit-log{query}")).bearer(ADMIN).send().await.expect(200);
    reply.json().as_array().expect("a list").clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn every_mutation_is_noted_with_who_what_when_and_from_where() {
    let world = World::new();
    let made = world
        .post("/api/tokens")
        .bearer(ADMIN)
        .header("cf-connecting-ip", "203.0.113.9")
        .json(&json!({"description": "CI", "permissions": "write", "allowed_package_prefixes": ["acme/"]}))
        .send()
        .await
        .expect(201);
    let id = made.id();
    let entries = log(&world, "").await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let mut entry = entry.clone();
    assert!(entry["id"].take().is_string());
    let details = entry["details"].take();
    assert_eq!(details["grants"][0]["target"], "acme/*");
    let expected = json!({
        "id": null, "at": DAWN.seconds(), "actor": "admin", "address": "203.0.113.9", "action": "token.created",
        "target": id, "label": "CI", "details": null,
    });
    assert_eq!(entry, expected);

    let writer = made.json()["token"].as_str().expect("the token").to_owned();
    let repo = world.repository("acme/lib");
    let spec = json!({"url": repo.url, "auth_credentials": "s3cret-token"});
    let repository = world.post("/api/repositories").bearer(&writer).json(&spec).send().await.expect(201).id();
    world.post(&format!("/api/repositories/{repository}/sync")).bearer(&writer).send().await.expect(200);
    world.delete(&format!("/api/repositories/{repository}")).bearer(&writer).send().await.expect(200);
    let change = json!({"metadata": {"order": 1}, "expires_at": null});
    world.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&change).send().await.expect(200);
    world.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);

    let entries = log(&world, "").await;
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
    let world = World::new();
    let reader = world.reader().await;
    let before = log(&world, "").await.len();
    world.post("/api/tokens").bearer(ADMIN).json(&json!({"description": ""})).send().await.expect(400);
    world.post("/api/tokens").bearer(&reader).json(&json!({"description": "x"})).send().await.expect(403);
    world.delete("/api/tokens/nobody").bearer(ADMIN).send().await.expect(404);
    world.patch("/api/tokens/nobody").bearer(ADMIN).json(&json!({"description": "x"})).send().await.expect(404);
    world.delete("/api/repositories/nobody").bearer(ADMIN).send().await.expect(404);
    world.post("/api/repositories/nobody/sync").bearer(ADMIN).send().await.expect(404);
    assert_eq!(log(&world, "").await.len(), before);
}

#[tokio::test]
async fn a_conflict_leaves_one_entry_for_the_one_that_was_made() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let spec = json!({"url": repo.url});
    world.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201);
    world.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(409);
    assert_eq!(actions(&log(&world, "").await), ["repository.created"]);
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_or_shorten_the_log() {
    let world = World::new();
    world.reader().await;
    for sql in ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log"] {
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.database.execute(sql)));
        assert!(refused.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.token(&json!({"description": name})).await;
        world.advance_seconds(10);
    }
    let second = DAWN.seconds() + 10;
    assert_eq!(log(&world, &format!("?since={second}")).await.len(), 2);
    assert_eq!(log(&world, &format!("?until={second}")).await.len(), 1);
    assert_eq!(log(&world, "?action=token.").await.len(), 3);
    assert_eq!(log(&world, "?action=repository.").await.len(), 0);
    assert_eq!(log(&world, "?actor=admin").await.len(), 3);
    assert_eq!(log(&world, "?actor=nobody").await.len(), 0);
    let page = world.get("/api/audit-log?limit=1&offset=1").bearer(ADMIN).send().await.expect(200);
    assert_eq!(page.header("x-total-count"), "3");
    assert_eq!(page.json()[0]["label"], "b");
    world.get("/api/audit-log?color=red").bearer(ADMIN).send().await.expect(400);
}

#[tokio::test]
async fn an_export_holds_one_entry_a_line() {
    let world = World::new();
    world.token(&json!({"description": "a"})).await;
    world.token(&json!({"description": "b"})).await;
    let reply = world.get("/api/audit-log/export").bearer(ADMIN).send().await.expect(200);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let text = reply.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, log(&world, "").await);
}

#[tokio::test]
async fn the_log_is_for_those_who_may_read_it() {
    let world = World::new();
    let reader = world.reader().await;
    world.get("/api/audit-log").bearer(&reader).send().await.expect(403);
    world.get("/api/audit-log/export").bearer(&reader).send().await.expect(403);
    world.get("/api/audit-log").send().await.expect(401);
}
