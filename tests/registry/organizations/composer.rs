//! `/org/{organization}`: what composer and other programs are handed there.

use serde_json::{Value, json};

use super::{token, two, upload, within};
use crate::support::{ADMIN, Calls, ORIGIN, TestRegistry, TestResponse, manifest};

#[tokio::test]
async fn a_fresh_registry_has_the_organization_default_which_the_root_serves_too() {
    let registry = TestRegistry::new();
    upload(&registry, "default", "acme/lib", "1.0.0").await;
    let reader = registry.reader().await;
    for path in ["/p2/acme/lib.json", "/org/default/p2/acme/lib.json"] {
        let reply = registry.get(path).basic(&reader).composer().send().await.expect(200);
        assert_eq!(reply.version_names("acme/lib"), ["1.0.0"], "{path}");
    }
}

#[tokio::test]
async fn each_organization_has_its_own_versions_of_a_name() {
    let registry = two().await;
    for (slug, version) in [("default", "1.0.0"), ("acme", "2.0.0")] {
        let reader = token(&registry, slug, json!({})).await;
        let get = |path: &str| registry.get(&format!("/org/{slug}{path}")).basic(&reader).composer();
        let root = get("/packages.json").send().await.expect(200).json();
        let at = format!("{ORIGIN}/org/{slug}");
        assert_eq!(root["metadata-url"], json!(format!("{at}/p2/%package%.json")));
        assert_eq!(root["notify-batch"], json!(format!("{at}/notify-batch")));
        assert_eq!(root["security-advisories"]["api-url"], json!(format!("{at}/security-advisories")));
        assert_eq!(root["packages"], json!({}));
        let document = get("/p2/acme/lib.json").send().await.expect(200);
        assert_eq!(document.version_names("acme/lib"), [version]);
        let url = document.versions("acme/lib")[0]["dist"]["url"].as_str().expect("a URL").to_owned();
        let canonical = url.strip_prefix(&at).expect("below the organization").to_owned();
        assert!(canonical.starts_with(&format!("/dist/acme/lib/{version}/")), "{url}");
        let zip = get(&canonical).send().await.expect(200);
        let by_version = get(&format!("/packages/acme/lib/{version}.zip")).send().await.expect(200);
        assert_eq!(zip.body, by_version.body);
        assert_eq!(get("/list.json").send().await.expect(200).json(), json!({"packageNames": ["acme/lib"]}));
        assert_eq!(get("/search.json?q=lib").send().await.expect(200).json()["total"], json!(1));
    }
}

#[tokio::test]
async fn other_programs_get_every_package_with_every_version_in_one_document() {
    let registry = two().await;
    upload(&registry, "acme", "acme/app", "1.0.0").await;
    upload(&registry, "acme", "acme/lib", "dev-main").await;
    let reader = token(&registry, "acme", json!({})).await;
    let get = |path: &str| registry.get(path).bearer(&reader);
    let inline = get("/org/acme/packages.json").send().await.expect(200);
    assert_eq!(inline.header("content-type"), "application/json");
    assert_eq!(inline.header("vary"), "User-Agent, Authorization");
    let packages = inline.json()["packages"].take();
    assert_eq!(packages.as_object().expect("an object").keys().collect::<Vec<_>>(), ["acme/app", "acme/lib"]);
    let lib = &packages["acme/lib"];
    assert_eq!(lib.as_object().expect("an object").keys().collect::<Vec<_>>(), ["2.0.0", "dev-main"]);
    assert_eq!(lib["2.0.0"]["name"], json!("acme/lib"));
    assert_eq!(lib["dev-main"]["version"], json!("dev-main"));
    for version in ["2.0.0", "dev-main"] {
        let url = format!("{ORIGIN}/org/acme/packages/acme/lib/{version}.zip");
        assert_eq!(lib[version]["dist"]["url"], json!(url));
        get(&url[ORIGIN.len()..]).send().await.expect(200);
    }
    let document = get("/org/acme/p2/acme/lib.json").send().await.expect(200).json();
    assert_eq!(document["packages"]["acme/lib"], *lib, "the package's own document has the same");
    let branches = get("/org/acme/p2/acme/lib~dev.json").send().await.expect(200).json();
    assert_eq!(
        branches["packages"]["acme/lib"].as_object().expect("an object").keys().collect::<Vec<_>>(),
        ["dev-main"]
    );
    registry.head("/org/acme/packages.json").bearer(&reader).send().await.expect(200);
}

#[tokio::test]
async fn the_document_of_everything_has_what_the_token_sees() {
    let registry = two().await;
    for version in ["2.1.0", "3.0.0"] {
        upload(&registry, "acme", "acme/lib", version).await;
    }
    upload(&registry, "acme", "acme/secret", "1.0.0").await;
    let grants = json!([{"package": "acme/lib", "constraint": "2.*"}]);
    let limited = token(&registry, "acme", json!({ "grants": grants })).await;
    let packages = registry.get("/org/acme/packages.json").bearer(&limited).send().await.expect(200).json();
    let packages = packages["packages"].as_object().expect("an object").clone();
    assert_eq!(packages.keys().collect::<Vec<_>>(), ["acme/lib"]);
    assert_eq!(packages["acme/lib"].as_object().expect("an object").keys().collect::<Vec<_>>(), ["2.1.0", "2.0.0"]);
    let nothing = token(&registry, "acme", json!({ "grants": [{"package": "acme/lib", "constraint": "9.*"}] })).await;
    let packages = registry.get("/org/acme/packages.json").bearer(&nothing).send().await.expect(200).json();
    assert_eq!(packages, json!({"packages": {}}));
}

#[tokio::test]
async fn the_document_of_everything_takes_few_statements_however_many_packages_there_are() {
    let registry = TestRegistry::new();
    registry.organization("acme").await;
    for number in 0..60 {
        upload(&registry, "acme", &format!("acme/p{number}"), "1.0.0").await;
    }
    let reader = token(&registry, "acme", json!({})).await;
    let request = || registry.get("/org/acme/packages.json").bearer(&reader);
    request().send().await.expect(200);
    let (reply, calls) = registry.counted(request().send()).await;
    assert_eq!(reply.json()["packages"].as_object().map(serde_json::Map::len), Some(60));
    assert_eq!((calls.round_trips, calls.statements), (2, 3));
}

#[tokio::test]
async fn the_document_of_everything_is_sent_again_when_a_version_came_or_another_token_asks() {
    let registry = two().await;
    let reader = token(&registry, "acme", json!({})).await;
    let path = "/org/acme/packages.json";
    let first = registry.get(path).bearer(&reader).send().await.expect(200);
    let has = |token: &str, of: &TestResponse| {
        registry.get(path).bearer(token).header("if-none-match", of.header("etag")).if_modified_since(of)
    };
    let unchanged = has(&reader, &first).send().await.expect(304);
    assert!(unchanged.body.is_empty());
    let grants = json!({"grants": [{"package": "acme/lib", "constraint": "9.*"}]});
    let limited = token(&registry, "acme", grants).await;
    has(&limited, &first).send().await.expect(200);
    upload(&registry, "acme", "acme/lib", "2.1.0").await;
    let second = has(&reader, &first).send().await.expect(200);
    assert_ne!(first.header("etag"), second.header("etag"));
}

#[tokio::test]
async fn a_customer_is_not_told_where_the_sources_are() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("lib");
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let get = |path: &str| registry.get(path).pair(&consumer.public_key, &consumer.private_key);
    let whole = get("/org/default/packages.json").send().await.expect(200).json();
    let version = &whole["packages"]["acme/lib"]["1.0.0"];
    assert_eq!(version["source"], Value::Null);
    assert_eq!(version["dist"]["url"], json!(format!("{ORIGIN}/org/default/packages/acme/lib/1.0.0.zip")));
}

#[tokio::test]
async fn failures_are_a_message_and_the_warning_that_composer_prints() {
    let registry = two().await;
    let refused = registry.get("/org/acme/packages.json").composer().send().await.expect(401);
    assert!(refused.header("www-authenticate").starts_with("Basic "));
    let body = refused.json();
    assert_eq!(body["message"], body["warning"]);
    assert_eq!(body["errors"], json!({}));
    let reader = token(&registry, "acme", json!({})).await;
    let absent = registry.get("/org/acme/p2/acme/none.json").bearer(&reader).send().await.expect(404).json();
    assert_eq!(absent["message"], json!("Package acme/none not found"));
    let report =
        registry.post("/org/acme/notify-batch").basic(&reader).body("nonsense").send().await.expect(400).json();
    assert!(report.get("warning").is_none(), "{report}");
    registry
        .get("/org/acme/packages.json")
        .basic(&reader)
        .header("user-agent", "Composer/1.10")
        .send()
        .await
        .expect(406);
}

#[tokio::test]
async fn a_strangers_organization_is_like_one_that_is_not_there() {
    let registry = two().await;
    let stranger = token(&registry, "default", json!({})).await;
    registry.get("/org/default/packages.json").basic(&stranger).composer().send().await.expect(200);
    for path in ["packages.json", "p2/acme/lib.json", "list.json", "packages/acme/lib/2.0.0.zip"] {
        let mut met = Vec::new();
        for slug in ["acme", "nowhere"] {
            let request = registry.get(&format!("/org/{slug}/{path}")).basic(&stranger).composer();
            let (reply, calls) = registry.counted(request.send()).await;
            let mut headers = reply.headers.clone();
            headers.remove("x-ratelimit-remaining");
            met.push((reply.status, reply.text(), headers, calls));
        }
        assert_eq!(met[0].0, 404, "{path}");
        assert_eq!(met[0], met[1], "{path}");
    }
}

#[tokio::test]
async fn warm_metadata_of_an_organization_asks_nobody() {
    let registry = two().await;
    let reader = token(&registry, "acme", json!({})).await;
    for path in ["/org/acme/packages.json", "/org/acme/p2/acme/lib.json"] {
        registry.get(path).basic(&reader).composer().send().await.expect(200);
        registry.run_until_idle().await;
        let (reply, calls) = registry.counted(registry.get(path).basic(&reader).composer().send()).await;
        reply.expect(200);
        assert_eq!(
            (calls.round_trips, calls.cache_reads, calls.cache_writes, calls.blob_reads),
            (0, 0, 0, 0),
            "{path}"
        );
    }
}

#[tokio::test]
async fn cold_metadata_of_an_organization_takes_one_statement_once_kv_knows_the_token() {
    let registry = two().await;
    let reader = token(&registry, "acme", json!({})).await;
    let path = "/org/acme/p2/acme/lib.json";
    let ask = async || {
        let isolate = registry.another_isolate();
        let (reply, calls) = registry.counted(isolate.get(path).basic(&reader).composer().send()).await;
        reply.expect(200);
        registry.run_until_idle().await;
        (calls.round_trips, calls.statements)
    };
    assert_eq!(ask().await, (2, 2), "the token, and then the document of its organization");
    assert_eq!(ask().await, (1, 1));
}

#[tokio::test]
async fn a_thousand_requests_a_minute_and_what_a_credential_says_of_its_own() {
    let registry = two().await;
    let (free, own) =
        (token(&registry, "acme", json!({})).await, token(&registry, "acme", json!({"rate_limit_max": 7})).await);
    let quota = async |token: &str| {
        let reply = registry.get("/org/acme/list.json").bearer(token).send().await.expect(200);
        (reply.header("x-ratelimit-limit").to_owned(), reply.header("x-ratelimit-remaining").to_owned())
    };
    assert_eq!(quota(&free).await, ("1000".to_owned(), "999".to_owned()));
    assert_eq!(quota(&own).await, ("7".to_owned(), "6".to_owned()));
    registry.get("/packages.json").bearer(&own).send().await;
    assert_eq!(quota(&own).await.1, "4", "the limit of a credential holds wherever it is used");
}

#[tokio::test]
async fn a_hundred_downloads_a_minute_of_each_package() {
    let registry = two().await;
    let reader = token(&registry, "acme", json!({})).await;
    let download = || registry.get("/org/acme/packages/acme/lib/2.0.0.zip").basic(&reader).composer();
    for _ in 0..100 {
        download().send().await.expect(200);
    }
    let refused = download().send().await.expect(429);
    assert_eq!(refused.header("x-ratelimit-limit"), "100");
    registry.get("/org/acme/p2/acme/lib.json").basic(&reader).composer().send().await.expect(200);
    registry.advance_seconds(60);
    download().send().await.expect(200);
}

#[tokio::test]
async fn an_install_counts_in_its_organization() {
    let registry = two().await;
    let reader = token(&registry, "acme", json!({})).await;
    let report =
        json!({"downloads": [{"name": "acme/lib", "version": "2.0.0.0"}, {"name": "acme/lib", "version": "1.0.0.0"}]});
    registry.post("/org/acme/notify-batch").basic(&reader).composer().json(&report).send().await.expect(204);
    registry.run_until_idle().await;
    for (slug, expected) in [("acme", 1), ("default", 0)] {
        let packages = within(registry.get("/api/packages"), slug).send().await.expect(200).json();
        assert_eq!(packages[0]["downloads"], json!(expected), "{slug}");
    }
    let calls: Calls = registry.counted(registry.get("/health").send()).await.1;
    assert_eq!(calls.enqueues, 0);
    registry.get("/org/acme/packages.json").bearer(ADMIN).composer().send().await.expect(200);
}
