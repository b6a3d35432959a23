//! `notify-batch`: installs are counted in the background, by day, for what the caller may see.

use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, START, TestRegistry};

async fn report(registry: &TestRegistry, token: &str, installs: &Value) {
    let body = json!({"downloads": installs});
    let reply = registry.post("/notify-batch").basic(token).composer().json(&body).send().await.expect(204);
    assert!(reply.body.is_empty());
    registry.run_until_idle().await;
}

/// `[version, day since the first, subject, count]` of every row.
fn counted(registry: &TestRegistry) -> Vec<Value> {
    let first = START.seconds() / 86_400;
    let sql = format!(
        "SELECT json_array(v.normalized, d.day - {first}, d.subject, d.count) AS row FROM downloads d
           JOIN versions v ON v.id = d.version_id ORDER BY d.day, v.normalized, d.subject"
    );
    let rows = registry.database.rows(&sql);
    rows.iter().map(|row| serde_json::from_str(row["row"].as_str().expect("text")).expect("JSON")).collect()
}

#[tokio::test]
async fn installs_are_counted_by_day_version_and_token() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let (first, second) = (registry.reader().await, registry.reader().await);
    let one = json!({"name": "acme/lib", "version": "1.0.0.0"});
    let two = json!({"name": "Acme/Lib", "version": "2.0.0.0", "downloaded": true});
    let dev = json!({"name": "acme/lib", "version": "dev-main"});
    report(&registry, &first, &json!([one, two, dev, one])).await;
    report(&registry, &first, &json!([one])).await;
    report(&registry, &second, &json!([two])).await;
    registry.advance_seconds(86_400);
    report(&registry, &first, &json!([two])).await;
    assert_eq!(
        counted(&registry),
        [
            json!(["1.0.0.0", 0, "token:1", 3]),
            json!(["2.0.0.0", 0, "token:1", 1]),
            json!(["2.0.0.0", 0, "token:2", 1]),
            json!(["dev-main", 0, "token:1", 1]),
            json!(["2.0.0.0", 1, "token:1", 1]),
        ]
    );
    let packages = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(packages[0]["downloads"], 7);
}

#[tokio::test]
async fn what_is_unknown_or_not_visible_is_passed_over() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("other/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    let install = |name: &str, version: &str| json!({"name": name, "version": version});
    let installs = json!([
        install("other/lib", "1.0.0.0"),
        install("acme/lib", "9.0.0.0"),
        install("acme/none", "1.0.0.0"),
        install("nonsense", ""),
        install("acme/lib", "1.0.0.0"),
    ]);
    report(&registry, &token, &installs).await;
    assert_eq!(counted(&registry), [json!(["1.0.0.0", 0, "token:1", 1])]);
    report(&registry, &token, &json!([])).await;
    assert_eq!(counted(&registry).len(), 1);
}

#[tokio::test]
async fn a_report_is_answered_before_it_is_counted_and_costs_one_statement_whatever_its_length() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    let many: Vec<Value> = vec![json!({"name": "acme/lib", "version": "1.0.0.0"}); 3000];
    let body = json!({"downloads": many});
    let (reply, calls) = registry.counted(registry.post("/notify-batch").basic(&token).json(&body).send()).await;
    assert_eq!((reply.status, calls), (204, Calls::default()));
    let ((), calls) = registry.counted(registry.run_until_idle()).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 1));
    assert_eq!(counted(&registry), [json!(["1.0.0.0", 0, "token:1", 2000])], "a report counts so many at most");
}

#[tokio::test]
async fn a_report_that_is_none_is_refused() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    for body in ["", "{}", "[]", r#"{"downloads":5}"#, r#"{"downloads":[{"name":1,"version":"1"}]}"#] {
        let reply = registry.post("/notify-batch").basic(&token).body(body).send().await.expect(400);
        let error = reply.json()["error"].as_str().expect("text").to_owned();
        assert!(error.starts_with(r#"The report is not {"downloads": [{name, version}]}: "#), "{error}");
    }
    registry.post("/notify-batch").body("{}").send().await.expect(401);
    registry.get("/notify-batch").basic(&token).send().await.expect(405);
}

#[tokio::test]
async fn no_answer_to_a_report_holds_a_warning_that_composer_would_print() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    for (credential, status) in [(token.as_str(), 400), ("nobody", 401)] {
        let reply = registry.post("/notify-batch").basic(credential).composer().json(&json!({})).send().await;
        let body = reply.expect(status).json();
        assert!(body["error"].is_string() && body.get("warning").is_none(), "{body}");
    }
}
