//! Lists and search for those who do not see all versions: what is shown of a package is of the newest one that they see.

use rostrum::store::OrganizationId;
use rostrum::store::Page;
use rostrum::store::packages::lists::{PackageFilter, Sort, SortKey};
use rostrum::store::packages::visible::{InView, dependents, named_in, page, providers, versions_of};
use serde_json::{Value, json};

use crate::support::{ADMIN, Repo, START, TestRegistry, file, manifest};

/// A package whose second version tells other things than its first, and a token that sees only the first.
async fn successor() -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    let first = json!({
        "name": "acme/lib", "description": "The classic", "keywords": ["vintage", "old"], "type": "symfony-bundle",
        "homepage": "https://old.example",
    });
    repo.commit(&[file("composer.json", first.to_string())]);
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    registry.advance_seconds(1000);
    let second = json!({
        "name": "acme/lib", "description": "A secret successor", "keywords": ["unannounced"], "abandoned": "acme/next",
        "homepage": "https://secret.example",
    });
    repo.commit(&[file("composer.json", second.to_string())]);
    repo.tag("2.0.0");
    registry.sync(&id).await;
    let installs = json!({"downloads": [
        {"name": "acme/lib", "version": "1.0.0.0"}, {"name": "acme/lib", "version": "2.0.0.0"},
        {"name": "acme/lib", "version": "2.0.0.0"},
    ]});
    registry.post("/notify-batch").bearer(ADMIN).composer().json(&installs).send().await.expect(204);
    registry.run_until_idle().await;
    let token = limited(&registry, json!([{"package": "acme/lib", "constraint": "1.*"}])).await;
    (registry, token)
}

async fn limited(registry: &TestRegistry, grants: Value) -> String {
    registry.token(&json!({"description": "limited", "grants": grants})).await.1
}

/// The names of the packages that a query lists, and how many there are in all.
async fn listed(registry: &TestRegistry, token: &str, query: &str) -> (Vec<String>, String) {
    let list = registry.get(&format!("/api/packages?{query}")).bearer(token).send().await.expect(200);
    let names = list
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["name"].as_str().expect("text").to_owned())
        .collect();
    (names, list.header("x-total-count").to_owned())
}

#[tokio::test]
async fn all_that_is_shown_of_a_package_is_of_its_newest_visible_version() {
    let (registry, token) = successor().await;
    let shown = json!({
        "name": "acme/lib", "description": "The classic", "type": "symfony-bundle", "latest_version": "1.0.0",
        "abandoned": false, "replacement": null, "abandoned_reason": null, "downloads": 1,
        "created_at": START.seconds(), "updated_at": START.seconds(),
    });
    let list = registry.get("/api/packages").bearer(&token).send().await.expect(200).json();
    let details = registry.get("/api/packages/acme/lib").bearer(&token).send().await.expect(200).json();
    for package in [&list[0], &details] {
        for (field, expected) in shown.as_object().expect("an object") {
            assert_eq!(&package[field], expected, "{field}");
        }
    }
    assert_eq!(details["versions"].as_array().expect("a list").len(), 1);
    let found = registry.get("/search.json?q=acme").bearer(&token).composer().send().await.expect(200).json();
    let expected = json!({
        "name": "acme/lib", "description": "The classic", "url": "https://old.example", "downloads": 1, "favers": 0,
        "repository": "https://git.test/acme/lib.git",
    });
    assert_eq!(found, json!({"total": 1, "results": [expected]}));
    let all = registry.get("/api/packages/acme/lib").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(json!([all["description"], all["downloads"]]), json!(["A secret successor", 3]));
}

#[tokio::test]
async fn nothing_matches_by_what_a_version_says_that_is_not_visible() {
    let (registry, token) = successor().await;
    for (query, is_found) in [
        ("q=secret", false),
        ("q=unannounced", false),
        ("q=classic", true),
        ("q=vintage", true),
        ("q=&type=library", false),
        ("q=&type=symfony-bundle", true),
    ] {
        let found = registry.get(&format!("/search.json?{query}")).bearer(&token).composer().send().await.expect(200);
        assert_eq!(found.json()["total"], i64::from(is_found), "{query}");
        let names = listed(&registry, &token, &query.replace("q=&", "").replace("q=", "search=")).await.0;
        assert_eq!(names.len(), usize::from(is_found), "{query}");
    }
}

#[tokio::test]
async fn a_package_is_not_listed_when_all_that_is_visible_of_it_is_yanked() {
    let (registry, token) = successor().await;
    registry.post("/api/packages/acme%2Flib/versions/1.0.0/yank").bearer(ADMIN).send().await.expect(200);
    assert_eq!(listed(&registry, &token, "").await, (vec![], "0".to_owned()));
    assert_eq!(registry.listed_names(&token).await, json!([]));
    let details = registry.get("/api/packages/acme/lib").bearer(&token).send().await.expect(200).json();
    assert_eq!(json!([details["description"], details["latest_version"]]), json!(["The classic", null]));
}

#[tokio::test]
async fn hidden_and_removed_versions_do_not_speak_for_their_package() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "1.1.0", "1.2.0", "2.0.0"]).await;
    let token = limited(&registry, json!([{"package": "acme/lib", "constraint": "1.*"}])).await;
    let latest = async || {
        let list = registry.get("/api/packages").bearer(&token).send().await.expect(200).json();
        list[0]["latest_version"].as_str().expect("a version").to_owned()
    };
    assert_eq!(latest().await, "1.2.0");
    let path = format!("/versions/package/{}", registry.package_id("acme/lib"));
    let versions = registry.storefront_get(&path).send().await.expect(200).json();
    let newest = versions.as_array().expect("a list").iter().find(|version| version["name"] == "1.2.0");
    let path = format!("/versions/{}", newest.expect("the version")["id"]);
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
    assert_eq!(latest().await, "1.1.0");
    repo.delete("refs/tags/1.1.0");
    registry.sync(&id).await;
    assert_eq!(latest().await, "1.0.0");
}

/// The names of those who provide `psr/log-implementation`, and of those who require `acme/base`.
async fn providers_and_dependents(registry: &TestRegistry, token: &str) -> Value {
    let providers = registry.get("/providers/psr/log-implementation.json").bearer(token).composer().send().await;
    let dependents = registry.get("/api/packages/acme%2Fbase/dependents").bearer(token).send().await;
    let names = |list: &Value, key: &str| -> Value {
        list.as_array().expect("a list").iter().map(|row| json!([row["name"], row[key]])).collect()
    };
    let providers = names(&providers.expect(200).json()["providers"], "description");
    json!([providers, names(&dependents.expect(200).json(), "version")])
}

#[tokio::test]
async fn providers_and_dependents_are_those_whose_newest_visible_version_says_so() {
    let registry = TestRegistry::new();
    registry.published("acme/base", &["1.0.0"]).await;
    let linked = |name: &str| {
        let (provide, require) = (json!({"psr/log-implementation": "1.0"}), json!({"acme/base": "*"}));
        json!({"name": name, "description": "Linked", "provide": provide, "require": require})
    };
    let other = |name: &str| json!({"name": name, "description": "Other"});
    for (name, first, second) in [
        ("acme/once", linked("acme/once"), other("acme/once")),
        ("acme/since", other("acme/since"), linked("acme/since")),
    ] {
        let repo = registry.git_host.serve(name);
        for (tag, composer) in [("1.0.0", first), ("2.0.0", second)] {
            repo.commit(&[file("composer.json", composer.to_string())]);
            repo.tag(tag);
        }
        registry.register(&repo).await;
        registry.run_until_idle().await;
    }
    let grants = json!([{"package": "acme/base"}, {"package": "acme/once", "constraint": "1.*"},
                        {"pattern": "acme/s*", "constraint": "1.*"}]);
    let token = limited(&registry, grants).await;
    let once = json!([[["acme/once", "Linked"]], [["acme/once", "1.0.0"]]]);
    let since = json!([[["acme/since", "Linked"]], [["acme/since", "2.0.0"]]]);
    assert_eq!(providers_and_dependents(&registry, &token).await, once);
    assert_eq!(providers_and_dependents(&registry, ADMIN).await, since);
    let whole = limited(&registry, json!([{"pattern": "acme/*"}])).await;
    assert_eq!(providers_and_dependents(&registry, &whole).await, since);
    for name in ["acme/once", "acme/since"] {
        let path = format!("/versions/package/{}", registry.package_id(name));
        let versions = registry.storefront_get(&path).send().await.expect(200).json();
        let newest = versions.as_array().expect("a list").iter().find(|version| version["name"] == "2.0.0");
        let path = format!("/versions/{}", newest.expect("the version")["id"]);
        registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
    }
    assert_eq!(providers_and_dependents(&registry, ADMIN).await, once, "what is hidden says nothing");
}

#[tokio::test]
async fn a_homepage_is_shown_to_who_sees_a_part_as_it_is_to_who_sees_all() {
    let long = format!("https://long.example/{}", "x".repeat(500));
    for (homepage, is_shown) in [
        ("https://web.example", true),
        ("http://web.example", true),
        ("javascript:alert(1)", false),
        ("see https://web.example", false),
        (&*long, false),
    ] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        repo.commit(&[file("composer.json", json!({"name": "acme/lib", "homepage": homepage}).to_string())]);
        repo.tag("1.0.0");
        repo.tag("2.0.0");
        registry.register(&repo).await;
        registry.run_until_idle().await;
        let token = limited(&registry, json!([{"package": "acme/lib", "constraint": "1.*"}])).await;
        let url = async |token: &str| {
            let found = registry.get("/search.json?q=acme").bearer(token).composer().send().await.expect(200).json();
            found["results"][0]["url"].clone()
        };
        assert_eq!(url(&token).await, url(ADMIN).await, "{homepage}");
        assert_eq!(url(&token).await == homepage, is_shown, "{homepage}");
    }
}

#[tokio::test]
async fn ten_thousand_packages_are_looked_through_for_who_does_not_see_them_whole() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    many_packages(&registry, 10_001);
    let token = limited(&registry, json!([{"pattern": "acme/*", "constraint": "1.*"}])).await;
    let list = registry.get("/api/packages?limit=1").bearer(&token).send().await.expect(200);
    assert_eq!(list.header("x-total-count"), "10000");
}

/// Adds so many packages with one version each.
fn many_packages(registry: &TestRegistry, count: usize) {
    registry.database.execute(&format!(
        r#"INSERT INTO packages (uid, organization_id, repository_id, name, type, revision, version_index, created_at, updated_at)
           WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {count})
           SELECT 'many' || n.value, 1, r.id, 'acme/p' || n.value, 'library', 1, '[["1.0.0.0",0,"1.0.0",0]]', 0, 0
             FROM n, repositories r;
           INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at, created_at,
                  updated_at)
           SELECT 'v' || id, id, '1.0.0.0', '1.0.0', 'refs/tags/1.0.0', 'c', '{{}}', 0, 0, 0
             FROM packages WHERE substr(uid, 1, 4) = 'many'"#
    ));
}

/// Twelve packages, of which a token sees some whole and of some a part; the repositories with their ids.
async fn shop() -> (TestRegistry, String, Vec<(Repo, String)>) {
    let registry = TestRegistry::new();
    let mut repositories = Vec::new();
    for number in 0..12 {
        repositories.push(registry.published(&format!("acme/p{number:02}"), &["1.0.0", "2.0.0"]).await);
        registry.advance_seconds(10);
    }
    let token = limited(
        &registry,
        json!([
            {"pattern": "acme/p0*", "constraint": "1.*"}, {"package": "acme/p03"}, {"pattern": "*p1*"},
            {"package": "acme/p05", "constraint": "9.*"}, {"pattern": "other/*", "constraint": "1.*"},
        ]),
    )
    .await;
    (registry, token, repositories)
}

#[tokio::test]
async fn the_pages_of_a_limited_list_hold_each_package_once_and_count_them_all() {
    let (registry, token, _) = shop().await;
    let all: Vec<String> = (0..12).map(|number| format!("acme/p{number:02}")).collect();
    for (sort, is_reversed) in
        [("name", false), ("name&order=desc", true), ("created_at&order=asc", false), ("updated_at", true)]
    {
        let mut found = Vec::new();
        for offset in [0, 5, 10, 15] {
            let (names, total) = listed(&registry, &token, &format!("sort={sort}&limit=5&offset={offset}")).await;
            assert_eq!(total, "12");
            found.extend(names);
        }
        if is_reversed {
            found.reverse();
        }
        assert_eq!(found, all, "{sort}");
    }
    let rows = registry.get("/api/packages").bearer(&token).send().await.expect(200).json();
    let latest: Vec<&Value> = rows.as_array().expect("a list").iter().map(|row| &row["latest_version"]).collect();
    let is_whole = |number: usize| number == 3 || number >= 10;
    assert!(
        latest.iter().enumerate().all(|(number, shown)| **shown == if is_whole(number) { "2.0.0" } else { "1.0.0" })
    );
    assert_eq!(registry.listed_names(&token).await, json!(all));
}

#[tokio::test]
async fn what_is_visible_is_found_out_once_for_a_revision_and_the_grants_on_it() {
    let (registry, token, repositories) = shop().await;
    let trips = async |path: &str| {
        let (reply, calls) = registry.counted(registry.get(path).bearer(&token).composer().send()).await;
        reply.expect(200);
        (calls.round_trips, calls.statements)
    };
    trips("/packages.json").await;
    for path in ["/api/packages", "/search.json?q=acme", "/api/packages?sort=downloads"] {
        assert_eq!(trips(path).await, (2, 3), "{path}: who may be meant, and a page with their number");
    }
    let (repo, id) = &repositories[0];
    repo.commit(&[manifest("acme/p00")]);
    repo.tag("1.1.0");
    registry.sync(id).await;
    assert_eq!(trips("/api/packages").await, (3, 4), "the versions of the one that has changed");
    let rows = registry.get("/api/packages?limit=1").bearer(&token).send().await.expect(200).json();
    assert_eq!(rows[0]["latest_version"], "1.1.0");
}

#[tokio::test]
async fn the_versions_of_a_thousand_packages_or_of_a_mebibyte_of_indexes_are_read_at_once() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    many_packages(&registry, 1000);
    let token = limited(&registry, json!([{"pattern": "acme/*", "constraint": "1.*"}])).await;
    registry.get("/p2/acme/lib.json").bearer(&token).composer().send().await.expect(200);
    let look = async || {
        let (reply, calls) = registry.counted(registry.get("/api/packages?limit=1").bearer(&token).send()).await;
        assert_eq!(reply.expect(200).header("x-total-count"), "1001");
        calls.round_trips
    };
    assert_eq!((look().await, look().await), (4, 2), "1,001 packages are two looks, once");
    registry.database.execute(
        "UPDATE packages SET revision = 2, version_index = '[' || printf('%600000s', '') || substr(version_index, 2)
          WHERE uid IN ('many1', 'many2', 'many3')",
    );
    assert_eq!((look().await, look().await), (5, 2), "each of the large ones by itself");
}

#[tokio::test]
async fn who_sees_packages_whole_costs_no_look_at_their_versions() {
    let (registry, ..) = shop().await;
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/p1"]})).await;
    registry.get("/packages.json").bearer(&token).composer().send().await.expect(200);
    let (reply, calls) = registry.counted(registry.get("/api/packages").bearer(&token).send()).await;
    assert_eq!((reply.header("x-total-count"), calls.round_trips, calls.statements), ("2", 1, 2));
}

#[test]
fn only_the_packages_that_are_meant_are_looked_at() {
    let registry = TestRegistry::new();
    let (root, ranges) = (OrganizationId::ROOT, r#"[["acme/","acme/~"]]"#.to_owned());
    let view = InView { whole: ranges.clone(), others: "[[1,2,[[1,2]]]]".to_owned() };
    let sort = Sort { key: SortKey::Downloads, descending: true };
    let (rows, total) = page(root, PackageFilter::default(), sort, Page { limit: 10, offset: 0 }, &view);
    for stmt in [
        rows.stmt().clone(),
        total.stmt().clone(),
        providers(root, "psr/log", 10, &view).stmt().clone(),
        dependents(root, "acme/lib", 10, &view).stmt().clone(),
        named_in(root, ranges, 10).stmt().clone(),
        versions_of(root, "[1]".to_owned()).stmt().clone(),
    ] {
        let plan = registry.database.plan(&stmt);
        for table in ["p", "packages", "v", "o", "versions", "d", "downloads"] {
            let is_scanned = plan.lines().any(|line| line.trim() == format!("SCAN {table}"));
            assert!(!is_scanned, "{table}: {}\n{plan}", stmt.sql);
        }
    }
}
