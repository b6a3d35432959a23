//! Packages of other Composer repositories: read when they are asked for first, kept, and asked for again when they are
//! old.

use serde_json::{Value, json};

use crate::support::{
    ADMIN, Calls, ORIGIN, RecordedRequest, START, TestRegistry, TestRequest, TestResponse, upstream_version,
};

pub const SATIS: &str = "https://satis.test";
pub const LIB: &str = "/p2/vendor/lib.json";
pub const LIB_DEV: &str = "/p2/vendor/lib~dev.json";

/// The sync interval, and how long an answer may be handed out while it is asked for again.
pub const INTERVAL: u64 = 600;
pub const STALE: u64 = 6 * INTERVAL;

/// A version of `vendor/lib`.
pub fn version(text: &str) -> Value {
    upstream_version(SATIS, "vendor/lib", text)
}

/// A registry with an upstream that has `vendor/lib` in two versions and a branch, and a token that sees everything.
pub async fn mirroring() -> (TestRegistry, String, String) {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    registry.composer_host.publish(SATIS, "vendor/lib", &[version("v1.1.0"), version("1.0.0"), version("dev-main")]);
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    (registry, id, token)
}

pub async fn read(registry: &TestRegistry, token: &str, path: &str) -> TestResponse {
    registry.get(path).basic(token).composer().send().await
}

#[tokio::test]
async fn a_package_is_read_when_it_is_asked_for_first_and_its_zips_are_ours() {
    let (registry, _, token) = mirroring().await;
    let reply = read(&registry, &token, LIB).await.expect(200);
    let entry = |pretty: &str, normalized: &str| {
        let reference = version(pretty)["dist"]["reference"].as_str().expect("text").to_owned();
        json!({
            "name": "vendor/lib", "version": pretty, "version_normalized": normalized,
            "description": "From upstream", "type": "library",
            "dist": {
                "type": "zip", "url": format!("{ORIGIN}/dist/vendor/lib/{pretty}/{reference}.zip"),
                "reference": reference, "shasum": "",
            },
            "time": "2023-11-14T22:13:20Z",
        })
    };
    assert_eq!(reply.versions("vendor/lib"), [entry("v1.1.0", "1.1.0.0"), entry("1.0.0", "1.0.0.0")]);
    let dev = read(&registry, &token, LIB_DEV).await.expect(200);
    assert_eq!(dev.versions("vendor/lib"), [entry("dev-main", "dev-main")]);
    let requests = registry.composer_host.take_requests();
    let heard_once = |part: &str| RecordedRequest {
        url: format!("{SATIS}/p2/vendor/lib{part}.json"),
        authorization: None,
        is_conditional: false,
        status: 200,
    };
    assert_eq!(requests, [heard_once(""), heard_once("~dev")]);
    let other = registry.get(LIB).bearer(&token).send().await.expect(200).json();
    assert_eq!(other["packages"]["vendor/lib"]["1.0.0"], entry("1.0.0", "1.0.0.0"));
    read(&registry, &token, LIB).await.expect(200);
    assert!(!reply.text().contains("hidden.test"), "clients are not led to the source");
}

#[tokio::test]
async fn the_date_of_publication_is_the_upstreams_and_none_where_it_has_none() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let published = |text: &str, moment: Value| {
        let mut version = version(text);
        version["published-time"] = moment;
        version
    };
    let versions = [
        published("1.3.0", json!("2024-05-06T07:08:09+00:00")),
        published("1.2.0", json!(1_714_979_289)),
        published("1.1.0", json!("soon")),
        version("1.0.0"),
    ];
    registry.composer_host.publish(SATIS, "vendor/lib", &versions);
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    let entries = read(&registry, &token, LIB).await.expect(200).versions("vendor/lib");
    let dates: Vec<Option<&Value>> = entries.iter().map(|entry| entry.get("published-time")).collect();
    assert_eq!(dates, [Some(&json!("2024-05-06T07:08:09+00:00")), Some(&json!(1_714_979_289)), None, None]);
}

#[tokio::test]
async fn the_form_of_an_upstreams_documents_does_not_matter() {
    let versions = [version("v1.1.0"), version("1.0.0")];
    let keyed: serde_json::Map<String, Value> = versions
        .iter()
        .map(|version| (version["version"].as_str().expect("text").to_owned(), version.clone()))
        .collect();
    let mut texts = Vec::new();
    for document in
        [None, Some(json!({"packages": {"vendor/lib": versions}})), Some(json!({"packages": {"Vendor/Lib": keyed}}))]
    {
        let (registry, _, token) = mirroring().await;
        registry.composer_host.publish(SATIS, "vendor/lib", &versions);
        if let Some(document) = document {
            registry.composer_host.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
            registry.composer_host.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
        }
        texts.push(read(&registry, &token, LIB).await.expect(200).text());
        assert_eq!(
            read(&registry, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"),
            Vec::<String>::new()
        );
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
}

#[tokio::test]
async fn a_mirrored_package_costs_what_one_of_our_own_costs() {
    let (registry, _, token) = mirroring().await;
    let nothing = Calls::default();
    let cost = async |request: TestRequest, status: u16| {
        let (reply, calls) = registry.counted(request.composer().send()).await;
        reply.expect(status);
        calls
    };
    // Once more, so that the token is known.
    read(&registry, &token, "/packages.json").await.expect(200);
    let first = cost(registry.get(LIB).basic(&token), 200).await;
    assert_eq!((first.round_trips, first.upstream), (4, 2), "look up, compare, publish, read");
    for path in [LIB, LIB_DEV] {
        assert_eq!(cost(registry.get(path).basic(&token), 200).await, nothing, "{path}");
        let earlier = read(&registry, &token, path).await;
        assert_eq!(cost(registry.get(path).basic(&token).if_modified_since(&earlier), 304).await, nothing, "{path}");
        let cold = registry.another_isolate().get(path).basic(&token);
        let expected = Calls { round_trips: 1, statements: 1, cache_reads: 1, cache_lists: 1, ..nothing };
        assert_eq!(cost(cold, 200).await, expected, "{path}");
    }
    let unseen = registry.another_isolate().get(LIB).basic(&registry.reader().await);
    let calls = cost(unseen, 200).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 2));
    registry.advance_seconds(10);
    assert_eq!(cost(registry.get(LIB).basic(&token), 200).await, Calls { round_trips: 1, statements: 1, ..nothing });
    let absent = cost(registry.get("/p2/vendor/none.json").basic(&token), 404).await;
    assert_eq!((absent.round_trips, absent.upstream), (4, 2), "look up, note, read, and which vendors are claimed");
    assert_eq!(cost(registry.get("/p2/vendor/none.json").basic(&token), 404).await, nothing);
    let cold = registry.another_isolate().get("/p2/vendor/none.json").basic(&token);
    assert_eq!(cost(cold, 404).await.upstream, 0, "everybody knows that it is not there");
}

#[tokio::test]
async fn an_old_answer_is_handed_out_while_it_is_asked_for_again_on_condition() {
    let (registry, _, token) = mirroring().await;
    let first = read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.take_requests();
    registry.advance_seconds(INTERVAL - 1);
    read(&registry, &token, LIB).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.composer_host.take_requests(), [], "it is still fresh");
    registry.advance_seconds(10);
    let again = registry.get(LIB).basic(&token).composer().if_modified_since(&first).send().await.expect(304);
    assert_eq!(registry.composer_host.take_requests(), [], "nobody waits for it");
    registry.run_until_idle().await;
    let requests = registry.composer_host.take_requests();
    assert_eq!(requests.iter().map(|one| (one.is_conditional, one.status)).collect::<Vec<_>>(), [(true, 304); 2]);
    assert_eq!(again.header("last-modified"), first.header("last-modified"));
    read(&registry, &token, LIB).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.composer_host.take_requests(), [], "it is fresh again");

    registry.composer_host.publish(SATIS, "vendor/lib", &[version("1.2.0"), version("v1.1.0"), version("dev-main")]);
    registry.advance_seconds(INTERVAL);
    let stale = read(&registry, &token, LIB).await.expect(200);
    assert_eq!(stale.body, first.body);
    registry.run_until_idle().await;
    let fresh = registry.get(LIB).basic(&token).composer().if_modified_since(&first).send().await.expect(200);
    assert_eq!(fresh.version_names("vendor/lib"), ["1.2.0", "v1.1.0"]);
    assert_ne!(fresh.header("last-modified"), first.header("last-modified"));
    let changed: Vec<u16> = registry.composer_host.take_requests().iter().map(|one| one.status).collect();
    assert_eq!(changed, [200, 200]);
}

#[tokio::test]
async fn when_one_of_the_two_documents_has_changed_both_are_read() {
    let (registry, _, token) = mirroring().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.take_requests();
    let document = json!({"packages": {"vendor/lib": [version("2.0.0"), version("1.0.0")]}});
    registry.composer_host.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
    registry.advance_seconds(STALE);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0", "1.0.0"]);
    assert_eq!(read(&registry, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), ["dev-main"]);
    let requests: Vec<(bool, u16)> =
        registry.composer_host.take_requests().iter().map(|one| (one.is_conditional, one.status)).collect();
    assert_eq!(requests, [(true, 200), (true, 304), (false, 200)]);
    registry.composer_host.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
    registry.advance_seconds(STALE);
    assert_eq!(read(&registry, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_asked_for_first() {
    let (registry, _, token) = mirroring().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
    registry.advance_seconds(STALE);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
}

#[tokio::test]
async fn a_server_without_validators_is_understood_to_say_the_same_again() {
    let (registry, _, token) = mirroring().await;
    registry.composer_host.without_validators();
    let first = read(&registry, &token, LIB).await.expect(200);
    let revision = || registry.database.rows("SELECT revision FROM packages");
    let before = revision();
    registry.advance_seconds(STALE);
    let again = registry.get(LIB).basic(&token).composer().if_modified_since(&first).send().await.expect(304);
    assert_eq!(again.body.len(), 0);
    assert_eq!(revision(), before, "nothing was written");
    registry.advance_seconds(INTERVAL - 1);
    registry.composer_host.take_requests();
    read(&registry, &token, LIB).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.composer_host.take_requests(), []);
}

#[tokio::test]
async fn a_name_that_no_upstream_has_is_absent_until_it_is_asked_for_again() {
    let (registry, _, token) = mirroring().await;
    let path = "/p2/vendor/new.json";
    read(&registry, &token, path).await.expect(404);
    registry.composer_host.publish(SATIS, "vendor/new", &[upstream_version(SATIS, "vendor/new", "1.0.0")]);
    registry.advance_seconds(INTERVAL - 1);
    read(&registry, &token, path).await.expect(404);
    assert_eq!(registry.composer_host.take_requests().len(), 2);
    // A minute more, in which the isolate believes what it knows.
    registry.advance_seconds(10);
    read(&registry, &token, path).await.expect(200);
}

#[tokio::test]
async fn what_an_upstream_no_longer_has_leaves_the_metadata_if_the_setting_says_so_and_what_it_only_claims_is_claimed()
{
    let (registry, _, token) = mirroring().await;
    registry.set(json!({"retire_vanished_packages": true})).await;
    read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(STALE);
    read(&registry, &token, LIB).await.expect(404);
    assert_eq!(registry.database.rows("SELECT version_index FROM packages"), [json!({"version_index": "[]"})]);
    let listed = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200);
    assert_eq!(listed.json(), json!([]));
    registry.composer_host.publish(SATIS, "vendor/lib", &[]);
    registry.advance_seconds(STALE);
    for path in [LIB, LIB_DEV] {
        let claim = read(&registry, &token, path).await.expect(200);
        assert_eq!(claim.json(), json!({"minified": "composer/2.0", "packages": {"vendor/lib": []}}));
        assert_eq!(claim.header("last-modified"), "Thu, 01 Jan 1970 00:00:01 GMT");
    }
    registry.composer_host.publish(SATIS, "vendor/lib", &[version("3.0.0")]);
    registry.advance_seconds(STALE);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["3.0.0"]);
}

#[tokio::test]
async fn a_version_that_would_break_its_package_is_left_out_and_named_in_the_sync_history() {
    let (registry, id, token) = mirroring().await;
    let mut broken = version("1.0.0");
    broken["require"] = json!({"vendor/log": "no constraint!"});
    let mut path = version("0.9.0");
    path["dist"]["type"] = json!("path");
    registry.composer_host.publish(SATIS, "vendor/lib", &[version("2.0.0"), broken, path, version("2.0")]);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    registry.sync(&id).await;
    let skipped = registry.skipped();
    let names: Vec<&str> = skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["vendor/lib 1.0.0", "vendor/lib 0.9.0", "vendor/lib 2.0"]);
    assert_eq!(skipped[1].1, "its archive is a `path`; only zip, tar, gzip and xz are mirrored");
    assert_eq!(skipped[2].1, "another version before it is the same one");
    let runs = registry.get(&format!("/api/repositories/{id}/syncs")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(runs[0]["skipped"][1], json!({"ref": "vendor/lib 0.9.0", "reason": skipped[1].1}));
}

#[tokio::test]
async fn two_requests_at_once_ask_the_upstream_once() {
    let (registry, _, token) = mirroring().await;
    registry.composer_host.pause("/p2/vendor/lib.json");
    let second = async {
        registry.composer_host.until_paused().await;
        let asking = read(&registry, &token, LIB_DEV);
        let letting_go = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            registry.composer_host.resume();
        };
        tokio::join!(asking, letting_go).0
    };
    let (stable, dev) = tokio::join!(read(&registry, &token, LIB), second);
    assert_eq!(stable.expect(200).version_names("vendor/lib"), ["v1.1.0", "1.0.0"]);
    assert_eq!(dev.expect(200).version_names("vendor/lib"), ["dev-main"]);
    assert_eq!(registry.composer_host.take_requests().len(), 2);
}

#[tokio::test]
async fn two_isolates_that_read_a_package_at_once_agree() {
    let (registry, _, token) = mirroring().await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    let elsewhere = registry.another_isolate();
    registry.composer_host.pause("/p2/vendor/lib.json");
    let other = async {
        registry.composer_host.until_paused().await;
        let reply = elsewhere.get(LIB).basic(&token).composer().send().await;
        registry.composer_host.resume();
        reply
    };
    let (one, other) = tokio::join!(read(&registry, &token, LIB), other);
    let (one, other) = (one.expect(200), other.expect(200));
    assert_eq!(one.body, other.body);
    assert_eq!(one.header("last-modified"), other.header("last-modified"));
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 3})]);
}

#[tokio::test]
async fn lists_and_search_show_what_was_mirrored_and_the_details_are_those_of_any_package() {
    let (registry, id, token) = mirroring().await;
    registry.published("acme/own", &["1.0.0"]).await;
    read(&registry, &token, LIB).await.expect(200);
    let listed = registry.get(&format!("/api/packages?repo_id={id}")).bearer(ADMIN).send().await.expect(200).json();
    let [package] = listed.as_array().expect("a list").as_slice() else { panic!("{listed}") };
    assert_eq!((&package["name"], &package["latest_version"]), (&json!("vendor/lib"), &json!("v1.1.0")));
    assert_eq!(package["created_at"], START.seconds());
    let path = format!("/api/packages/{}", package["id"].as_str().expect("an id"));
    let details = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    let versions = details["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[0]["reference"], version("v1.1.0")["dist"]["reference"]);
    assert_eq!(versions[0]["released_at"], 1_700_000_000);
    let found = registry.get("/search.json?q=upstream").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(found["results"][0]["name"], "vendor/lib");
    let report = json!({"downloads": [{"name": "vendor/lib", "version": "1.1.0.0"}]});
    registry.post("/notify-batch").basic(&token).composer().json(&report).send().await.expect(204);
    registry.run_until_idle().await;
    let again = registry.get("/api/packages?search=vendor").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(again[0]["downloads"], 1);
    let names = registry.get("/list.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(
        names["packageNames"],
        json!(["acme/own", "vendor/lib"]),
        "what is mirrored, not all that upstreams have"
    );
}

#[tokio::test]
async fn a_sync_asks_for_the_oldest_answers_again_and_for_no_more_than_fifty() {
    let (registry, _, token) = mirroring().await;
    registry.set(json!({"retire_vanished_packages": true})).await;
    for number in 0..60 {
        let name = format!("vendor/p{number}");
        registry.composer_host.publish(SATIS, &name, &[upstream_version(SATIS, &name, "1.0.0")]);
        read(&registry, &token, &format!("/p2/{name}.json")).await.expect(200);
        registry.advance_seconds(1);
    }
    registry.advance_seconds(INTERVAL);
    registry.composer_host.take_requests();
    registry.composer_host.publish(SATIS, "vendor/p3", &[upstream_version(SATIS, "vendor/p3", "2.0.0")]);
    registry.composer_host.unpublish(SATIS, "vendor/p4");
    registry.cron().await;
    let ((), calls) = registry.counted(registry.run_until_idle()).await;
    let urls = registry.composer_host.take_urls();
    assert_eq!(urls.len(), 1 + 2 * 50, "{urls:?}");
    assert!(
        urls.contains(&format!("{SATIS}/p2/vendor/p0.json")) && !urls.contains(&format!("{SATIS}/p2/vendor/p55.json"))
    );
    assert!(calls.round_trips < 20, "{calls:?}");
    let run = registry.last_run();
    assert_eq!((&run["added"], &run["removed"], &run["requests"]), (&json!(1), &json!(1), &json!(101)));
    registry.advance_seconds(10);
    assert_eq!(read(&registry, &token, "/p2/vendor/p3.json").await.expect(200).version_names("vendor/p3"), ["2.0.0"]);
    read(&registry, &token, "/p2/vendor/p4.json").await.expect(404);
}

#[tokio::test]
async fn names_that_were_asked_for_in_vain_are_forgotten_after_a_day() {
    let (registry, _, token) = mirroring().await;
    read(&registry, &token, LIB).await.expect(200);
    read(&registry, &token, "/p2/vendor/none.json").await.expect(404);
    let names = || registry.database.rows("SELECT name FROM mirrors ORDER BY name");
    assert_eq!(names(), [json!({"name": "vendor/lib"}), json!({"name": "vendor/none"})]);
    registry.advance_seconds(25 * 3600);
    registry.cron().await;
    assert_eq!(names(), [json!({"name": "vendor/lib"})]);
}
