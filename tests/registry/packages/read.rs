//! Reading packages: lists, versions, texts, statistics, dependents.

use serde_json::{Value, json};

use crate::support::zips::{text, zip_of};
use crate::support::{ADMIN, START, TestRegistry, TestResponse};

async fn get(registry: &TestRegistry, path: &str) -> TestResponse {
    registry.get(path).bearer(ADMIN).send().await
}

async fn upload(registry: &TestRegistry, name: &str, version: &str, more: Value) {
    let mut manifest = json!({"name": name, "description": format!("The {name}")});
    manifest.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let readme = format!("# {name} {version}\n");
    let mut entries = vec![text("composer.json", &manifest.to_string())];
    entries.push(text("README.md", &readme));
    if version == "1.0.0" {
        entries.push(text("CHANGELOG.rst", "1.0\n===\n"));
    }
    registry.upload(name, version, zip_of(&entries)).await.expect(201);
    registry.advance_seconds(60);
}

/// The field of every entry of a list.
fn column(list: &TestResponse, field: &str) -> Vec<Value> {
    list.json().as_array().expect("a list").iter().map(|entry| entry[field].clone()).collect()
}

#[tokio::test]
async fn a_list_is_sorted_by_what_is_asked() {
    let registry = TestRegistry::new();
    for name in ["acme/b", "acme/c", "acme/a"] {
        upload(&registry, name, "1.0.0", json!({})).await;
    }
    upload(&registry, "acme/c", "1.1.0", json!({})).await;
    let report = json!({"downloads": [{"name": "acme/b", "version": "1.0.0.0"}]});
    registry.post("/notify-batch").bearer(ADMIN).json(&report).send().await.expect(204);
    registry.run_until_idle().await;
    for (query, expected) in [
        ("", ["acme/a", "acme/b", "acme/c"]),
        ("?order=desc", ["acme/c", "acme/b", "acme/a"]),
        ("?sort=name&order=asc", ["acme/a", "acme/b", "acme/c"]),
        ("?sort=created_at", ["acme/a", "acme/c", "acme/b"]),
        ("?sort=created_at&order=asc", ["acme/b", "acme/c", "acme/a"]),
        ("?sort=updated_at", ["acme/c", "acme/a", "acme/b"]),
        ("?sort=downloads", ["acme/b", "acme/a", "acme/c"]),
        ("?sort=downloads&order=asc", ["acme/a", "acme/c", "acme/b"]),
    ] {
        let list = get(&registry, &format!("/api/packages{query}")).await.expect(200);
        assert_eq!(column(&list, "name"), expected, "{query}");
    }
    let page = get(&registry, "/api/packages?sort=updated_at&limit=1&offset=1").await.expect(200);
    assert_eq!((column(&page, "name"), page.header("x-total-count")), (vec![json!("acme/a")], "3"));
    for query in ["?sort=color", "?order=up", "?color=red"] {
        get(&registry, &format!("/api/packages{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn a_package_is_found_by_its_id_and_by_its_name() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    let id = column(&get(&registry, "/api/packages").await, "id").remove(0);
    let by_id = get(&registry, &format!("/api/packages/{}", id.as_str().expect("text"))).await.expect(200);
    assert_eq!(by_id.json()["name"], "acme/lib");
    for path in ["/api/packages/acme%2Flib", "/api/packages/acme/lib"] {
        assert_eq!(get(&registry, path).await.expect(200).body, by_id.body);
    }
    get(&registry, "/api/packages/acme/none").await.expect(404);
}

#[tokio::test]
async fn versions_are_paged_with_what_they_require_the_newest_first() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    upload(&registry, "acme/lib", "dev-main", json!({})).await;
    upload(&registry, "acme/lib", "2.0.0-beta1", json!({"require": {"php": ">=8", "acme/x": "^1"}})).await;
    let all = get(&registry, "/api/packages/acme%2Flib/versions").await.expect(200);
    assert_eq!(all.header("x-total-count"), "3");
    assert_eq!(column(&all, "version"), ["2.0.0-beta1", "1.0.0", "dev-main"]);
    assert_eq!(column(&all, "stability"), ["beta", "stable", "dev"]);
    let first = all.json()[0].clone();
    assert_eq!(first["require"], json!({"php": ">=8", "acme/x": "^1"}));
    assert_eq!((&first["yanked"], &first["released_at"]), (&json!(false), &json!(START.seconds() + 120)));
    assert!(first["size"].as_i64().is_some_and(|size| size > 100) && first["reference"] == first["shasum"]);
    let page = get(&registry, "/api/packages/acme%2Flib/versions?limit=1&offset=1").await.expect(200);
    assert_eq!((column(&page, "version"), page.header("x-total-count")), (vec![json!("1.0.0")], "3"));
    for version in ["2.0.0-beta1", "v2.0.0-BETA1", "2.0.0.0-beta1"] {
        let one = get(&registry, &format!("/api/packages/acme%2Flib/versions/{version}")).await.expect(200).json();
        assert_eq!(one["composer"]["require"], first["require"]);
        assert_eq!(one["id"], first["id"]);
    }
    for version in ["3.0.0", "nonsense"] {
        get(&registry, &format!("/api/packages/acme%2Flib/versions/{version}")).await.expect(404);
    }
    get(&registry, "/api/packages/acme%2Fnone/versions").await.expect(404);
}

#[tokio::test]
async fn texts_are_served_as_they_are_or_as_json() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    upload(&registry, "acme/lib", "2.0.0-beta1", json!({})).await;
    let readme = get(&registry, "/api/packages/acme%2Flib/readme").await.expect(200);
    assert_eq!(readme.header("content-type"), "text/markdown; charset=utf-8");
    assert_eq!((readme.text().as_str(), readme.header("vary")), ("# acme/lib 1.0.0\n", "Accept, Authorization"));
    let beta = get(&registry, "/api/packages/acme%2Flib/readme?version=2.0.0-beta1").await.expect(200);
    assert_eq!(beta.text(), "# acme/lib 2.0.0-beta1\n");
    let request =
        registry.get("/api/packages/acme%2Flib/readme").bearer(ADMIN).header("accept", "application/json;q=0.9");
    let expected = json!({"version": "1.0.0", "name": "README.md", "content": "# acme/lib 1.0.0\n"});
    assert_eq!(request.send().await.expect(200).json(), expected);
    let changelog = get(&registry, "/api/packages/acme%2Flib/changelog").await.expect(200);
    assert_eq!(changelog.header("content-type"), "text/plain; charset=utf-8");
    let none = get(&registry, "/api/packages/acme%2Flib/changelog?version=2.0.0-beta1").await.expect(404);
    assert_eq!(none.json()["error"], "Version 2.0.0-beta1 has no changelog of at most 200 kB.");
    get(&registry, "/api/packages/acme%2Flib/readme?version=9").await.expect(404);
    get(&registry, "/api/packages/acme%2Flib/readme?color=red").await.expect(400);
}

#[tokio::test]
async fn statistics_tell_versions_and_days() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    upload(&registry, "acme/lib", "1.1.0", json!({})).await;
    let install = async |versions: &[&str]| {
        let list: Vec<Value> = versions.iter().map(|v| json!({"name": "acme/lib", "version": v})).collect();
        registry.post("/notify-batch").bearer(ADMIN).json(&json!({"downloads": list})).send().await.expect(204);
        registry.run_until_idle().await;
    };
    install(&["1.0.0.0", "1.0.0.0"]).await;
    registry.advance_seconds(24 * 3600);
    install(&["1.0.0.0", "1.1.0.0"]).await;
    let stats = get(&registry, "/api/packages/acme%2Flib/stats").await.expect(200).json();
    let expected = json!({
        "name": "acme/lib", "total": 4, "from": "2025-12-04", "to": "2026-01-02", "downloads": 4,
        "versions": [
            {"version": "1.1.0", "total": 1, "downloads": 1},
            {"version": "1.0.0", "total": 3, "downloads": 3},
        ],
        "days": [
            {"day": "2026-01-01", "downloads": 2, "versions": {"1.0.0": 2}},
            {"day": "2026-01-02", "downloads": 2, "versions": {"1.0.0": 1, "1.1.0": 1}},
        ],
    });
    assert_eq!(stats, expected);
    let narrow = "/api/packages/acme%2Flib/stats?from=2026-01-02&to=2026-01-05&version=v1.0";
    let stats = get(&registry, narrow).await.expect(200).json();
    assert_eq!((&stats["total"], &stats["downloads"]), (&json!(3), &json!(1)));
    assert_eq!(stats["days"], json!([{"day": "2026-01-02", "downloads": 1, "versions": {"1.0.0": 1}}]));
    for query in ["?from=yesterday", "?from=2026-01-03&to=2026-01-02", "?from=2025-01-01", "?days=3"] {
        get(&registry, &format!("/api/packages/acme%2Flib/stats{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn dependents_are_the_visible_packages_whose_latest_version_requires_it() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    upload(&registry, "acme/app", "1.0.0", json!({"require": {"Acme/Lib": "^1.0"}})).await;
    upload(&registry, "acme/dev", "1.0.0", json!({"require-dev": {"acme/lib": "*"}, "require": []})).await;
    upload(&registry, "acme/former", "1.0.0", json!({"require": {"acme/lib": "*"}})).await;
    upload(&registry, "acme/former", "2.0.0", json!({"require": {"acme/lib-extra": "*"}})).await;
    upload(&registry, "other/app", "1.0.0", json!({"require": {"acme/lib": "~1.0"}})).await;
    let all = get(&registry, "/api/packages/acme%2Flib/dependents").await.expect(200);
    assert_eq!(column(&all, "name"), ["acme/app", "acme/dev", "other/app"]);
    assert_eq!(column(&all, "link"), ["require", "require-dev", "require"]);
    assert_eq!(column(&all, "constraint"), ["^1.0", "*", "~1.0"]);
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    let seen = registry.get("/api/packages/acme%2Flib/dependents?limit=1").bearer(&token).send().await.expect(200);
    assert_eq!((column(&seen, "name"), seen.header("x-total-count")), (vec![json!("acme/app")], "2"));
    assert_eq!(get(&registry, "/api/packages/acme%2Fapp/dependents").await.expect(200).json(), json!([]));
}

#[tokio::test]
async fn what_is_not_visible_reads_like_what_is_not_there() {
    let registry = TestRegistry::new();
    upload(&registry, "other/lib", "1.0.0", json!({})).await;
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    for rest in ["", "/versions", "/versions/1.0.0", "/readme", "/changelog", "/stats", "/dependents"] {
        let hidden = registry.get(&format!("/api/packages/other%2Flib{rest}")).bearer(&token).send().await.expect(404);
        let absent = registry.get(&format!("/api/packages/other%2Fnone{rest}")).bearer(&token).send().await.expect(404);
        assert_eq!(hidden.body, absent.body, "{rest}");
        registry.get(&format!("/api/packages/other%2Flib{rest}")).send().await.expect(401);
    }
    registry.database.execute("UPDATE grants SET target = 'other/lib', version_constraint = '^2.0'");
    let (_, limited) = registry.token(&json!({"description": "b", "allowed_package_prefixes": ["other/lib"]})).await;
    registry.database.execute("UPDATE grants SET version_constraint = '^2.0'");
    registry
        .upload("other/lib", "2.0.0", zip_of(&[text("composer.json", r#"{"name":"other/lib"}"#)]))
        .await
        .expect(201);
    let elsewhere = registry.another_isolate();
    let request = async |path: &str| elsewhere.get(path).bearer(&limited).send().await;
    assert_eq!(column(&request("/api/packages/other%2Flib/versions").await.expect(200), "version"), ["2.0.0"]);
    request("/api/packages/other%2Flib/versions/2.0.0").await.expect(200);
    request("/api/packages/other%2Flib/versions/1.0.0").await.expect(404);
    request("/api/packages/other%2Flib/readme?version=1.0.0").await.expect(404);
    let stats = request("/api/packages/other%2Flib/stats").await.expect(200).json();
    assert_eq!(stats["versions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn each_read_costs_the_same_however_much_there_is() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0", json!({})).await;
    let paths = ["", "/versions", "/versions/1.0.0", "/readme?version=1.0.0", "/stats", "/dependents"];
    let mut few = Vec::new();
    for path in paths {
        few.push(registry.counted(get(&registry, &format!("/api/packages/acme%2Flib{path}"))).await.1);
    }
    for version in 1..20 {
        upload(&registry, "acme/lib", &format!("1.{version}.0"), json!({})).await;
        upload(&registry, &format!("acme/app{version}"), "1.0.0", json!({"require": {"acme/lib": "*"}})).await;
    }
    for (path, few) in paths.iter().zip(few) {
        let (reply, many) = registry.counted(get(&registry, &format!("/api/packages/acme%2Flib{path}"))).await;
        reply.expect(200);
        assert_eq!(many, few, "{path}");
        assert!(many.statements <= 3 && many.round_trips <= 2, "{path}: {many:?}");
    }
}
