//! `list.json`, `search.json` and `/api/packages`.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry, file};

async fn package(registry: &TestRegistry, json: &Value) {
    let name = json["name"].as_str().expect("a name");
    let repo = registry.git_host.serve(name);
    repo.commit(&[file("composer.json", json.to_string())]);
    repo.tag("1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
}

async fn shop() -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    package(
        &registry,
        &json!({"name": "acme/blog", "description": "Writes 100% of posts", "homepage": "https://blog.example"}),
    )
    .await;
    package(&registry, &json!({"name": "acme/cart", "type": "symfony-bundle", "abandoned": "acme/basket", "keywords": ["Mail queue", 7]})).await;
    package(&registry, &json!({"name": "other/log", "description": "Logs", "abandoned": true})).await;
    let token = registry.reader().await;
    (registry, token)
}

#[tokio::test]
async fn the_list_is_narrowed_by_glob_and_by_vendor() {
    let (registry, token) = shop().await;
    for (query, names) in [
        ("", json!(["acme/blog", "acme/cart", "other/log"])),
        ("?filter=acme/*", json!(["acme/blog", "acme/cart"])),
        ("?filter=*%2F*log", json!(["acme/blog", "other/log"])),
        ("?filter=ACME/blog", json!(["acme/blog"])),
        ("?filter=acme/blo", json!([])),
        ("?vendor=acme", json!(["acme/blog", "acme/cart"])),
        ("?vendor=acm", json!([])),
        ("?vendor=other&filter=*/blog", json!([])),
    ] {
        let reply = registry.get(&format!("/list.json{query}")).basic(&token).composer().send().await.expect(200);
        assert_eq!(reply.json(), json!({"packageNames": names}), "{query}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_search_finds_text_in_names_and_descriptions() {
    let (registry, token) = shop().await;
    let find = async |query: &str| {
        let request = registry.get(&format!("/search.json?{query}")).basic(&token).composer();
        let found = request.send().await.expect(200).json();
        let results = found["results"].as_array().expect("a list").clone();
        assert_eq!(found["total"], results.len());
        results.iter().map(|result| result["name"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        find("q=log").await,
        ["other/log", "acme/blog"],
        "a whole part of the name is better than a piece of it"
    );
    assert_eq!(find("q=posts+blog").await, ["acme/blog"], "words stand apart");
    assert_eq!(find("q=posts+cart").await, Vec::<String>::new(), "all of them are looked for");
    assert_eq!(find("q=mail+queue").await, ["acme/cart"], "in keywords, too");
    assert_eq!(find("q=blgo").await, ["acme/blog"], "what is not found as it is written may be misspelled");
    assert_eq!(find("q=blgo&type=symfony-bundle").await, Vec::<String>::new());
    assert_eq!(find("q=POSTS").await, ["acme/blog"]);
    assert_eq!(find("q=100%25").await, ["acme/blog"]);
    assert_eq!(find("q=%25").await, ["acme/blog"], "a percent sign is no wildcard");
    assert_eq!(find("q=_").await, Vec::<String>::new());
    assert_eq!(find("q=").await.len(), 3);
    assert_eq!(find("q=&type=symfony-bundle").await, ["acme/cart"]);
    assert_eq!(find("q=blog&type=symfony-bundle").await, Vec::<String>::new());
    assert_eq!(find("q=%27%20OR%201%3D1%20--").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_result_has_what_composer_shows() {
    let (registry, token) = shop().await;
    let found = registry.get("/search.json?q=acme").basic(&token).composer().send().await.expect(200).json();
    let expected = json!({"total": 2, "results": [
        {
            "name": "acme/blog", "description": "Writes 100% of posts", "url": "https://blog.example",
            "repository": "https://git.test/acme/blog.git", "downloads": 0, "favers": 0,
        },
        {
            "name": "acme/cart", "description": "",
            "repository": "https://git.test/acme/cart.git", "downloads": 0, "favers": 0, "abandoned": "acme/basket",
        },
    ]});
    assert_eq!(found, expected);
    let found = registry.get("/search.json?q=other").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(found["results"][0]["abandoned"], true);
}

#[tokio::test]
async fn a_result_leads_to_the_page_of_the_repository_for_those_alone_who_are_shown_the_source() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[file("composer.json", r#"{"name":"acme/lib","homepage":"javascript:alert(1)"}"#)]);
    repo.tag("1.0.0");
    registry.register_as(json!({"url": repo.url, "vcs_type": "gitlab"})).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let found = registry.get("/search.json?q=lib").basic(&token).composer().send().await.expect(200).json();
    let page = repo.url.trim_end_matches(".git").to_owned();
    assert_eq!(json!([found["results"][0]["url"], found["results"][0]["repository"]]), json!([page, repo.url]));
    let consumer = registry.consumer_as(&json!({"email": "one@example.com"})).await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let found = consumer.get(&registry.isolate, "/search.json?q=lib").send().await.expect(200).json();
    assert_eq!(json!([found["results"][0]["url"], found["results"][0]["repository"]]), json!([null, ""]));
}

#[tokio::test]
async fn composer_is_told_which_visible_packages_provide_another_one() {
    let registry = TestRegistry::new();
    let provide = json!({"psr/Log-Implementation": "1.0", "ext-mbstring": "*"});
    package(&registry, &json!({"name": "acme/log", "description": "Logs", "provide": provide})).await;
    package(&registry, &json!({"name": "other/log", "provide": {"psr/log-implementation": "1.0"}})).await;
    let (_, limited) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    let ask = async |name: &str, token: &str| {
        registry.get(&format!("/providers/{name}.json")).basic(token).composer().send().await.expect(200).json()
    };
    let ours = json!({"name": "acme/log", "description": "Logs", "type": "library"});
    let theirs = json!({"name": "other/log", "description": "", "type": "library"});
    let all = registry.reader().await;
    assert_eq!(ask("psr/log-implementation", &all).await, json!({"providers": [ours, theirs]}));
    assert_eq!(ask("psr/log-implementation", &limited).await, json!({"providers": [ours]}));
    assert_eq!(ask("ext-mbstring", &all).await, json!({"providers": [ours]}));
    assert_eq!(ask("psr/cache-implementation", &all).await, json!({"providers": []}));
    registry.get("/providers/psr/log").basic(&all).composer().send().await.expect(404);
}

#[tokio::test]
async fn packages_are_listed_with_every_field_and_shown_with_their_versions() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.tag("2.0.0-beta1");
    repo.branch("feature");
    let repository = registry.register(&repo).await;
    registry.run_until_idle().await;
    let list = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200);
    assert_eq!(list.header("x-total-count"), "1");
    let mut package = list.json()[0].clone();
    let id = package["id"].as_str().expect("an id").to_owned();
    let mut expected = json!({
        "id": id, "repo_id": repository, "name": "acme/lib", "description": "A library", "type": "library",
        "latest_version": "1.0.0", "abandoned": false, "replacement": null, "abandoned_reason": null, "downloads": 0,
        "created_at": START.seconds(), "updated_at": START.seconds(),
    });
    assert_eq!(package, expected);
    let details = registry.get(&format!("/api/packages/{id}")).bearer(ADMIN).send().await.expect(200).json();
    let stored = registry.database.rows("SELECT uid, normalized FROM versions");
    let uid =
        |normalized: &str| stored.iter().find(|row| row["normalized"] == normalized).expect("stored")["uid"].clone();
    let artifact = &registry.database.rows("SELECT sha1, size FROM artifacts")[0];
    let version = |pretty: &str, normalized: &str, built: bool| {
        json!({
            "id": uid(normalized), "version": pretty, "normalized_version": normalized, "reference": repo.id("main"),
            "stability": match pretty {
                "1.0.0" => "stable",
                "2.0.0-beta1" => "beta",
                _ => "dev",
            },
            "yanked": false, "yanked_at": null,
            "default_branch": pretty == "dev-main", "shasum": if built { &artifact["sha1"] } else { &Value::Null },
            "size": if built { &artifact["size"] } else { &Value::Null }, "dist_error": null, "files": [], "remarks": [],
            "released_at": crate::support::repo::FIRST_COMMIT_SECONDS, "security_fix": false,
        })
    };
    expected["versions"] = json!([
        version("2.0.0-beta1", "2.0.0.0-beta1", true),
        version("1.0.0", "1.0.0.0", true),
        version("dev-feature", "dev-feature", false),
        version("dev-main", "dev-main", true),
    ]);
    assert_eq!(details, expected);
    package["id"] = json!("00000000-0000-7000-8000-000000000009");
    let missing = format!("/api/packages/{}", package["id"].as_str().expect("an id"));
    let reply = registry.get(&missing).bearer(ADMIN).send().await.expect(404);
    assert_eq!(reply.json(), json!({"error": "Package not found", "code": "NOT_FOUND", "details": {}}));
}

#[tokio::test]
async fn packages_are_narrowed_by_repository_text_and_type() {
    let (registry, _) = shop().await;
    let names = async |query: &str| {
        let list = registry.get(&format!("/api/packages?{query}")).bearer(ADMIN).send().await.expect(200);
        let rows = list.json().as_array().expect("a list").clone();
        (rows.iter().map(|row| row["name"].clone()).collect::<Vec<_>>(), list.header("x-total-count").to_owned())
    };
    let repositories = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    let cart = repositories[1]["id"].as_str().expect("an id");
    assert_eq!(names(&format!("repo_id={cart}")).await, (vec![json!("acme/cart")], "1".to_owned()));
    assert_eq!(names("repo_id=nonsense").await, (vec![], "0".to_owned()));
    assert_eq!(names("search=LOG").await, (vec![json!("acme/blog"), json!("other/log")], "2".to_owned()));
    assert_eq!(names("type=symfony-bundle").await, (vec![json!("acme/cart")], "1".to_owned()));
    assert_eq!(names("limit=1&offset=1").await, (vec![json!("acme/cart")], "3".to_owned()));
}
