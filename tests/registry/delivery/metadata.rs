//! `packages.json` and the p2 documents, by the rules of the real client (docs/composer-protocol.md, section 0).

use serde_json::{Value, json};

use crate::support::repo::FIRST_COMMIT_SECONDS;
use crate::support::{ADMIN, ORIGIN, START, TestRegistry, TestResponse, file};

/// An HTTP date as unix seconds.
fn seconds(date: &str) -> u64 {
    let date = httpdate::parse_http_date(date).expect("an HTTP date");
    date.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn last_modified(reply: &TestResponse) -> u64 {
    seconds(reply.header("last-modified"))
}

#[tokio::test]
async fn packages_json_holds_absolute_urls_without_credentials_and_no_packages() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("acme/app", &["1.0.0"]).await;
    let token = registry.reader().await;
    let reply = registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    let expected = json!({
        "packages": {},
        "metadata-url": "https://registry.test/p2/%package%.json",
        "available-package-patterns": ["acme/*"],
        "notify-batch": "https://registry.test/notify-batch",
        "search": "https://registry.test/search.json?q=%query%&type=%type%",
        "list": "https://registry.test/list.json",
        "providers-api": "https://registry.test/providers/%package%.json",
        "security-advisories": {"metadata": true, "api-url": "https://registry.test/security-advisories"},
        "filter": {
            "metadata": true, "lists": {"malware": {"enabled": true}},
            "api-url": "https://registry.test/filter-lists",
            "summary-url": "https://registry.test/filter-lists/summary.json",
        },
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    assert_eq!(reply.header("vary"), "User-Agent, Authorization");
    assert!(reply.header("etag").starts_with('"'));
}

#[tokio::test]
async fn a_token_that_sees_nothing_gets_a_pattern_that_matches_nothing() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    assert!(root.get("available-packages").is_none(), "programs take a list for complete, were it empty");
    let patterns = root["available-package-patterns"].as_array().expect("patterns").clone();
    assert_eq!(patterns, [json!("rostrum/has-no-package-for-this-token")]);
    registry.published("acme/lib", &["1.0.0"]).await;
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(root["available-package-patterns"], json!(["acme/*"]));
}

#[tokio::test]
async fn a_p2_document_holds_everything_that_composer_needs_and_what_the_author_wrote() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    let composer_json = r#"{"name":"Acme/Lib","description":"Ours","require":{"php":">=8.1","Acme/Log":"^1"},
        "autoload":{"psr-4":{"Acme\\":"src"}},"config":{"a":1},"extra":{"branch-alias":{"dev-main":"2.x-dev"}}}"#;
    let commit = repo.commit(&[file("composer.json", composer_json.to_lowercase()), file("README.md", "# Lib")]);
    repo.tag("v1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let stable = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let shasum = &registry.database.rows("SELECT sha1 FROM artifacts")[0]["sha1"];
    let time = "2023-11-14T22:13:20Z";
    assert_eq!(FIRST_COMMIT_SECONDS, 1_700_000_000);
    let common = json!({
        "name": "acme/lib", "description": "ours", "require": {"php": ">=8.1", "acme/log": "^1"},
        "autoload": {"psr-4": {"acme\\": "src"}}, "extra": {"branch-alias": {"dev-main": "2.x-dev"}},
        "source": {"type": "git", "url": "https://git.test/acme/lib.git", "reference": commit}, "time": time,
        "published-time": "2026-01-01T00:00:00Z",
    });
    let with = |more: Value| {
        let mut entry = common.clone();
        entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        entry
    };
    let tagged = with(json!({
        "version": "v1.0.0", "version_normalized": "1.0.0.0",
        "dist": {
            "type": "zip", "url": format!("{ORIGIN}/dist/acme/lib/v1.0.0/{commit}.zip"), "reference": commit,
            "shasum": shasum,
        },
    }));
    assert_eq!(stable.versions("acme/lib"), [tagged]);
    assert_eq!(stable.header("cache-control"), "private, no-cache");
    assert_eq!(stable.header("vary"), "User-Agent, Authorization");
    assert_eq!(stable.header("content-type"), "application/json");
    let dev = registry.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
    let main = with(json!({
        "version": "dev-main", "version_normalized": "dev-main", "default-branch": true,
        "dist": {
            "type": "zip", "url": format!("{ORIGIN}/dist/acme/lib/dev-main/%reference%.zip"), "reference": commit,
            "shasum": "",
        },
    }));
    assert_eq!(dev.versions("acme/lib"), [main]);
    assert_eq!(dev.json()["packages"].as_object().expect("an object").keys().collect::<Vec<_>>(), ["acme/lib"]);
}

#[tokio::test]
async fn other_clients_get_the_documented_shape_keyed_by_version() {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["1.0.0", "v1.1.0"]).await;
    let token = registry.reader().await;
    let reply = registry.get("/p2/acme/lib.json").bearer(&token).send().await.expect(200);
    let document = reply.json();
    assert!(document.get("minified").is_none());
    let versions = document["packages"]["acme/lib"].as_object().expect("keyed by version").clone();
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["v1.1.0", "1.0.0"]);
    for (version, entry) in &versions {
        assert_eq!(entry["name"], "acme/lib");
        assert_eq!(entry["version"], *version);
        assert_eq!(entry["dist"]["url"], format!("{ORIGIN}/dist/acme/lib/{version}/{}.zip", repo.id("main")));
    }
    let composer = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(composer.versions("acme/lib"), versions.values().cloned().collect::<Vec<_>>());
    for header in ["etag", "last-modified"] {
        assert_ne!(composer.header(header), reply.header(header), "equal validators never stand for different bodies");
    }
    let request = || registry.get("/p2/acme/lib.json").basic(&token);
    request().composer().if_modified_since(&reply).send().await.expect(200);
    request().if_modified_since(&composer).send().await.expect(200);
    request().if_modified_since(&reply).send().await.expect(304);
    request().composer().if_modified_since(&composer).send().await.expect(304);
}

#[tokio::test]
async fn every_url_begins_with_the_public_url_when_there_is_one() {
    let registry = TestRegistry::with(|config| config.public_url = Some("https://packages.example/php".to_owned()));
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    for key in ["metadata-url", "notify-batch", "search", "list"] {
        let url = root[key].as_str().expect("a URL");
        assert!(url.starts_with("https://packages.example/php/"), "{url}");
    }
    let p2 = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let url = p2.versions("acme/lib")[0]["dist"]["url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with("https://packages.example/php/dist/acme/lib/1.0.0/"), "{url}");
}

#[tokio::test]
async fn the_scheme_that_a_proxy_tells_counts_when_it_is_trusted() {
    for (trusted, told, expected) in [
        (true, "http", "http://registry.test/list.json"),
        (true, "https", "https://registry.test/list.json"),
        (true, "javascript", "https://registry.test/list.json"),
        (false, "http", "https://registry.test/list.json"),
    ] {
        let registry = TestRegistry::with(|config| config.trust_proxy = trusted);
        let request = registry.get("/packages.json").bearer(ADMIN).header("x-forwarded-proto", told);
        assert_eq!(request.send().await.expect(200).json()["list"], expected, "{trusted} {told}");
    }
}

#[tokio::test]
async fn only_exactly_the_same_date_is_not_modified_and_that_answer_is_empty() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    for path in ["/packages.json", "/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        let full = registry.get(path).basic(&token).composer().send().await.expect(200);
        let unchanged = registry.get(path).basic(&token).composer().if_modified_since(&full).send().await.expect(304);
        assert!(unchanged.body.is_empty());
        for header in ["last-modified", "etag", "cache-control", "vary"] {
            assert_eq!(unchanged.header(header), full.header(header), "{path} {header}");
        }
        for offset in [-1, 1, 100_000] {
            let seconds = i64::try_from(last_modified(&full)).expect("small") + offset;
            let date = rostrum::http::kit::caching::http_date(seconds);
            let request = registry.get(path).basic(&token).composer().header("if-modified-since", &date);
            assert_eq!(request.send().await.expect(200).body, full.body, "{path} {offset}");
        }
        registry.get(path).basic(&token).composer().header("if-modified-since", "nonsense").send().await.expect(200);
        let etag = full.header("etag");
        registry.get(path).basic(&token).composer().header("if-none-match", etag).send().await.expect(304);
        registry.get(path).basic(&token).composer().header("if-none-match", "\"x\"").send().await.expect(200);
    }
}

#[tokio::test]
async fn head_says_the_same_as_get_without_the_body() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    for path in ["/packages.json", "/p2/acme/lib.json"] {
        let get = registry.get(path).basic(&token).composer().send().await.expect(200);
        let head = registry.head(path).basic(&token).composer().send().await.expect(200);
        assert!(head.body.is_empty());
        for header in ["last-modified", "etag", "cache-control", "vary", "content-type"] {
            assert_eq!(head.header(header), get.header(header), "{path} {header}");
        }
        assert_eq!(head.header("content-length"), get.body.len().to_string());
        registry.head(path).basic(&token).composer().if_modified_since(&get).send().await.expect(304);
    }
    registry.head("/p2/other/none.json").basic(&token).composer().send().await.expect(404);
}

#[tokio::test]
async fn a_document_gets_a_later_date_with_every_publish_even_within_one_second() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("acme/other", &["1.0.0"]).await;
    let token = registry.reader().await;
    let request = async |path: &str| registry.get(path).basic(&token).composer().send().await.expect(200);
    let mut before = last_modified(&request("/p2/acme/lib.json").await);
    let other = request("/p2/acme/other.json").await;
    let root = request("/packages.json").await;
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        repo.tag(version);
        registry.sync(&id).await;
        let document = request("/p2/acme/lib.json").await;
        assert!(last_modified(&document) > before, "{version}");
        assert_eq!(document.version_names("acme/lib")[0], version);
        before = last_modified(&document);
    }
    let still = request("/p2/acme/other.json").await;
    assert_eq!(still.header("last-modified"), other.header("last-modified"), "nothing of that package has changed");
    let still = request("/packages.json").await;
    assert_eq!(still.header("last-modified"), root.header("last-modified"), "no name has appeared or gone");
    registry.published("acme/third", &["1.0.0"]).await;
    assert!(last_modified(&request("/packages.json").await) > last_modified(&root));
    let (_, gone) = registry.published("acme/fourth", &["1.0.0"]).await;
    let with_it = request("/packages.json").await;
    registry.delete(&format!("/api/repositories/{gone}")).bearer(ADMIN).send().await.expect(200);
    let without_it = request("/packages.json").await;
    assert!(last_modified(&without_it) > last_modified(&with_it));
    assert_eq!(registry.listed_names(&token).await, json!(["acme/lib", "acme/other", "acme/third"]));
}

#[tokio::test]
async fn the_date_is_that_of_the_publish_when_the_clock_has_moved_on() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.advance_seconds(5000);
    repo.tag("1.1.0");
    registry.sync(&id).await;
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let at = u64::try_from(START.seconds()).expect("after 1970") + 5000;
    // The eager build of the archive publishes once more.
    assert_eq!(last_modified(&document), at + 1);
}

#[tokio::test]
async fn two_views_of_one_document_have_different_dates() {
    let registry = TestRegistry::new();
    let (repo, _) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a"})).await;
    let wide = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(wide.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    // The storefront's grants: limited by version, which no prefix can express.
    registry.database.execute("UPDATE grants SET target = 'acme/lib', version_constraint = '1.*'");
    let elsewhere = registry.another_isolate();
    registry.advance_seconds(400);
    let narrow =
        elsewhere.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&wide).send().await.expect(200);
    assert_eq!(narrow.version_names("acme/lib"), ["1.0.0"]);
    assert_ne!(narrow.header("last-modified"), wide.header("last-modified"));
    assert_ne!(narrow.header("etag"), wide.header("etag"));
    elsewhere.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&narrow).send().await.expect(304);
    // No dev version is covered, but the name stays claimed.
    let dev = elsewhere.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(dev.json()["packages"], json!({"acme/lib": []}));
    let id = repo.id("main");
    let hidden = elsewhere.get(&format!("/dist/acme/lib/2.0.0/{id}.zip")).basic(&token).send().await.expect(404);
    let absent = elsewhere.get(&format!("/dist/acme/lib/3.0.0/{id}.zip")).basic(&token).send().await.expect(404);
    assert_eq!(hidden.text(), absent.text().replace("3.0.0", "2.0.0"));
    elsewhere.get(&format!("/dist/acme/lib/1.0.0/{id}.zip")).basic(&token).send().await.expect(200);
    let details = elsewhere.get("/api/packages").bearer(&token).send().await.expect(200).json();
    assert_eq!(details[0]["latest_version"], "1.0.0");
    registry.database.execute("UPDATE grants SET version_constraint = '3.*'");
    registry.advance_seconds(400);
    for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        elsewhere.get(path).basic(&token).composer().send().await.expect_claim("acme/lib");
        elsewhere.get(path).basic(&token).send().await.expect(404);
    }
    let list = elsewhere.get("/list.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(list["packageNames"], json!([]));
}

#[tokio::test]
async fn both_documents_of_a_package_claim_its_name_when_only_one_has_versions() {
    let registry = TestRegistry::new();
    registry.published("acme/dev-only", &[]).await;
    let token = registry.reader().await;
    let empty = json!({"acme/dev-only": []});
    let stable = registry.get("/p2/acme/dev-only.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(stable.json()["packages"], empty);
    let dev = registry.get("/p2/acme/dev-only~dev.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(dev.version_names("acme/dev-only"), ["dev-main"]);

    let repo = registry.repository("acme/stable-only");
    repo.tag("1.0.0");
    registry.register_as(json!({"url": repo.url, "branch_filter": ["nothing"]})).await;
    registry.run_until_idle().await;
    let dev = registry.get("/p2/acme/stable-only~dev.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(dev.json()["packages"], json!({"acme/stable-only": []}));
    let stable = registry.get("/p2/acme/stable-only.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(stable.version_names("acme/stable-only"), ["1.0.0"]);
}

#[tokio::test]
async fn what_is_no_package_here_is_a_404_whatever_its_name() {
    let registry = TestRegistry::new();
    registry.set(json!({"claim_vendors": false})).await;
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let long = "a".repeat(300);
    for name in [
        "acme/none",
        "other/lib",
        "acme/..",
        "acme/..%2flib",
        "%2e%2e/lib",
        "acme/lib%00",
        "ac%00me/lib",
        "acme/lib~dev~dev",
        "acme/%ff",
        "acme/l%20b",
        &format!("acme/{long}"),
        &format!("{long}/lib"),
        "acme/lib.json",
    ] {
        for suffix in [".json", "~dev.json"] {
            let reply = registry.get(&format!("/p2/{name}{suffix}")).basic(&token).composer().send().await.expect(404);
            let body = reply.json();
            assert_eq!(body["code"], "NOT_FOUND", "{name}{suffix}");
            assert_eq!(body["error"], body["warning"], "{name}{suffix}");
            assert!(reply.find_header("last-modified").is_none());
        }
    }
    for path in ["/p2/acme/lib", "/p2/acme/lib.xml", "/p2/acme", "/p2", "/nothing", "/"] {
        registry.get(path).basic(&token).composer().send().await.expect(404);
    }
    registry.post("/p2/acme/lib.json").basic(&token).composer().send().await.expect(405);
}

#[tokio::test]
async fn composer_1_is_told_to_update_itself() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    for path in ["/packages.json", "/p2/acme/lib.json"] {
        let request = registry.get(path).basic(&token).header("user-agent", "Composer/1.10.27 (Linux; PHP 7.4)");
        let words = "This registry serves Composer 2 and later. Update with `composer self-update --2`.";
        let expected = json!({"error": words, "code": "NOT_ACCEPTABLE", "details": {}, "warning": words});
        assert_eq!(request.send().await.expect(406).json(), expected);
    }
    let request = registry.get("/packages.json").basic(&token).header("user-agent", "Composer/10.0.1 (Linux)");
    request.send().await.expect(200);
}

#[tokio::test]
async fn another_isolate_sees_a_publish_within_the_bound() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let elsewhere = registry.another_isolate();
    let request = async |path: &str| elsewhere.get(path).basic(&token).composer().send().await;
    assert_eq!(request("/p2/acme/lib.json").await.version_names("acme/lib"), ["1.0.0"]);
    request("/p2/acme/new.json").await.expect_claim("acme/new");
    request("/packages.json").await.expect(200);
    repo.tag("1.1.0");
    registry.sync(&id).await;
    registry.published("acme/new", &["1.0.0"]).await;
    let here = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(here.version_names("acme/lib"), ["1.1.0", "1.0.0"]);
    registry.advance_seconds(9);
    assert_eq!(request("/p2/acme/lib.json").await.version_names("acme/lib"), ["1.0.0"]);
    registry.advance_seconds(1);
    let there = request("/p2/acme/lib.json").await;
    assert_eq!((there.body.clone(), there.header("last-modified")), (here.body.clone(), here.header("last-modified")));
    assert_eq!(request("/p2/acme/new.json").await.expect(200).version_names("acme/new"), ["1.0.0"]);
    assert_eq!(request("/list.json").await.json()["packageNames"], json!(["acme/lib", "acme/new"]));
}

#[tokio::test]
async fn a_document_larger_than_one_database_value_arrives_whole() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/big");
    for number in 0..24 {
        let text = format!("{number}").repeat(45_000);
        let json = json!({"name": "acme/big", "extra": {"text": text, "ä": "ö".repeat(20_000)}});
        repo.commit(&[file("composer.json", json.to_string())]);
        repo.tag(&format!("1.{number}.0"));
    }
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["error"], json!(null));
    let parts = &registry.database.rows("SELECT count(*) AS n FROM documents WHERE stability = 'stable'")[0]["n"];
    assert!(parts.as_i64().is_some_and(|parts| parts > 1), "{parts}");
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/big.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(document.version_names("acme/big").len(), 24);
}
