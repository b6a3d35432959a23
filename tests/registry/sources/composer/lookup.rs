//! Packages of other Composer repositories: read when they are asked for first, kept, and asked for again when they are
//! old.

use serde_json::{Value, json};

use crate::support::{ADMIN, Ask, Calls, DAWN, Heard, ORIGIN, Reply, World, upstream_version};

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

/// A world with an upstream that has `vendor/lib` in two versions and a branch, and a token that sees everything.
pub async fn mirroring() -> (World, String, String) {
    let world = World::new();
    world.far.lazy(SATIS);
    world.far.publish(SATIS, "vendor/lib", &[version("v1.1.0"), version("1.0.0"), version("dev-main")]);
    let id = world.upstream(SATIS).await;
    let token = world.reader().await;
    (world, id, token)
}

pub async fn read(world: &World, token: &str, path: &str) -> Reply {
    world.get(path).basic(token).composer().send().await
}

#[tokio::test]
async fn a_package_is_read_when_it_is_asked_for_first_and_its_zips_are_ours() {
    let (world, _, token) = mirroring().await;
    let reply = read(&world, &token, LIB).await.expect(200);
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
    let dev = read(&world, &token, LIB_DEV).await.expect(200);
    assert_eq!(dev.versions("vendor/lib"), [entry("dev-main", "dev-main")]);
    let heard = world.far.take_heard();
    let heard_once = |part: &str| Heard {
        url: format!("{SATIS}/p2/vendor/lib{part}.json"),
        authorization: None,
        is_conditional: false,
        status: 200,
    };
    assert_eq!(heard, [heard_once(""), heard_once("~dev")]);
    let other = world.get(LIB).bearer(&token).send().await.expect(200).json();
    assert_eq!(other["packages"]["vendor/lib"]["1.0.0"], entry("1.0.0", "1.0.0.0"));
    read(&world, &token, LIB).await.expect(200);
    assert!(!reply.text().contains("hidden.test"), "clients are not led to the source");
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
        let (world, _, token) = mirroring().await;
        world.far.publish(SATIS, "vendor/lib", &versions);
        if let Some(document) = document {
            world.far.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
            world.far.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
        }
        texts.push(read(&world, &token, LIB).await.expect(200).text());
        assert_eq!(read(&world, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), Vec::<String>::new());
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
}

#[tokio::test]
async fn a_mirrored_package_costs_what_one_of_our_own_costs() {
    let (world, _, token) = mirroring().await;
    let nothing = Calls::default();
    let cost = async |ask: Ask, status: u16| {
        let (reply, calls) = world.counted(ask.composer().send()).await;
        reply.expect(status);
        calls
    };
    // Once more, so that the token is known.
    read(&world, &token, "/packages.json").await.expect(200);
    let first = cost(world.get(LIB).basic(&token), 200).await;
    assert_eq!((first.round_trips, first.upstream), (4, 2), "look up, compare, publish, read");
    for path in [LIB, LIB_DEV] {
        assert_eq!(cost(world.get(path).basic(&token), 200).await, nothing, "{path}");
        let earlier = read(&world, &token, path).await;
        assert_eq!(cost(world.get(path).basic(&token).since(&earlier), 304).await, nothing, "{path}");
        let cold = world.another_isolate().get(path).basic(&token);
        let expected = Calls { round_trips: 1, statements: 1, cache_reads: 1, cache_lists: 1, ..nothing };
        assert_eq!(cost(cold, 200).await, expected, "{path}");
    }
    let unseen = world.another_isolate().get(LIB).basic(&world.reader().await);
    let calls = cost(unseen, 200).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 2));
    world.advance_seconds(10);
    assert_eq!(cost(world.get(LIB).basic(&token), 200).await, Calls { round_trips: 1, statements: 1, ..nothing });
    let absent = cost(world.get("/p2/vendor/none.json").basic(&token), 404).await;
    assert_eq!((absent.round_trips, absent.upstream), (3, 2), "look up, note, read");
    assert_eq!(cost(world.get("/p2/vendor/none.json").basic(&token), 404).await, nothing);
    let cold = world.another_isolate().get("/p2/vendor/none.json").basic(&token);
    assert_eq!(cost(cold, 404).await.upstream, 0, "everybody knows that it is not there");
}

#[tokio::test]
async fn an_old_answer_is_handed_out_while_it_is_asked_for_again_on_condition() {
    let (world, _, token) = mirroring().await;
    let first = read(&world, &token, LIB).await.expect(200);
    world.far.take_heard();
    world.advance_seconds(INTERVAL - 1);
    read(&world, &token, LIB).await.expect(200);
    world.settle().await;
    assert_eq!(world.far.take_heard(), [], "it is still fresh");
    world.advance_seconds(10);
    let again = world.get(LIB).basic(&token).composer().since(&first).send().await.expect(304);
    assert_eq!(world.far.take_heard(), [], "nobody waits for it");
    world.settle().await;
    let heard = world.far.take_heard();
    assert_eq!(heard.iter().map(|one| (one.is_conditional, one.status)).collect::<Vec<_>>(), [(true, 304); 2]);
    assert_eq!(again.header("last-modified"), first.header("last-modified"));
    read(&world, &token, LIB).await.expect(200);
    world.settle().await;
    assert_eq!(world.far.take_heard(), [], "it is fresh again");

    world.far.publish(SATIS, "vendor/lib", &[version("1.2.0"), version("v1.1.0"), version("dev-main")]);
    world.advance_seconds(INTERVAL);
    let stale = read(&world, &token, LIB).await.expect(200);
    assert_eq!(stale.body, first.body);
    world.settle().await;
    let fresh = world.get(LIB).basic(&token).composer().since(&first).send().await.expect(200);
    assert_eq!(fresh.version_names("vendor/lib"), ["1.2.0", "v1.1.0"]);
    assert_ne!(fresh.header("last-modified"), first.header("last-modified"));
    let changed: Vec<u16> = world.far.take_heard().iter().map(|one| one.status).collect();
    assert_eq!(changed, [200, 200]);
}

#[tokio::test]
async fn when_one_of_the_two_documents_has_changed_both_are_read() {
    let (world, _, token) = mirroring().await;
    read(&world, &token, LIB).await.expect(200);
    world.far.take_heard();
    let document = json!({"packages": {"vendor/lib": [version("2.0.0"), version("1.0.0")]}});
    world.far.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
    world.advance_seconds(STALE);
    assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0", "1.0.0"]);
    assert_eq!(read(&world, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), ["dev-main"]);
    let heard: Vec<(bool, u16)> = world.far.take_heard().iter().map(|one| (one.is_conditional, one.status)).collect();
    assert_eq!(heard, [(true, 200), (true, 304), (false, 200)]);
    world.far.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
    world.advance_seconds(STALE);
    assert_eq!(read(&world, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_asked_for_first() {
    let (world, _, token) = mirroring().await;
    read(&world, &token, LIB).await.expect(200);
    world.far.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
    world.advance_seconds(STALE);
    assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
}

#[tokio::test]
async fn a_server_without_validators_is_understood_to_say_the_same_again() {
    let (world, _, token) = mirroring().await;
    world.far.without_validators();
    let first = read(&world, &token, LIB).await.expect(200);
    let revision = || world.database.rows("SELECT revision FROM packages");
    let before = revision();
    world.advance_seconds(STALE);
    let again = world.get(LIB).basic(&token).composer().since(&first).send().await.expect(304);
    assert_eq!(again.body.len(), 0);
    assert_eq!(revision(), before, "nothing was written");
    world.advance_seconds(INTERVAL - 1);
    world.far.take_heard();
    read(&world, &token, LIB).await.expect(200);
    world.settle().await;
    assert_eq!(world.far.take_heard(), []);
}

#[tokio::test]
async fn a_name_that_no_upstream_has_is_absent_until_it_is_asked_for_again() {
    let (world, _, token) = mirroring().await;
    let path = "/p2/vendor/new.json";
    read(&world, &token, path).await.expect(404);
    world.far.publish(SATIS, "vendor/new", &[upstream_version(SATIS, "vendor/new", "1.0.0")]);
    world.advance_seconds(INTERVAL - 1);
    read(&world, &token, path).await.expect(404);
    assert_eq!(world.far.take_heard().len(), 2);
    // A minute more, in which the isolate believes what it knows.
    world.advance_seconds(10);
    read(&world, &token, path).await.expect(200);
}

#[tokio::test]
async fn what_an_upstream_no_longer_has_leaves_the_metadata_and_what_it_only_claims_is_claimed() {
    let (world, _, token) = mirroring().await;
    read(&world, &token, LIB).await.expect(200);
    world.far.unpublish(SATIS, "vendor/lib");
    world.advance_seconds(STALE);
    read(&world, &token, LIB).await.expect(404);
    assert_eq!(world.database.rows("SELECT version_index FROM packages"), [json!({"version_index": "[]"})]);
    let listed = world.get("/api/packages").bearer(ADMIN).send().await.expect(200);
    assert_eq!(listed.json(), json!([]));
    world.far.publish(SATIS, "vendor/lib", &[]);
    world.advance_seconds(STALE);
    for path in [LIB, LIB_DEV] {
        let claim = read(&world, &token, path).await.expect(200);
        assert_eq!(claim.json(), json!({"minified": "composer/2.0", "packages": {"vendor/lib": []}}));
        assert_eq!(claim.header("last-modified"), "Thu, 01 Jan 1970 00:00:01 GMT");
    }
    world.far.publish(SATIS, "vendor/lib", &[version("3.0.0")]);
    world.advance_seconds(STALE);
    assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["3.0.0"]);
}

#[tokio::test]
async fn a_version_that_would_break_its_package_is_left_out_and_named_in_the_sync_history() {
    let (world, id, token) = mirroring().await;
    let mut broken = version("1.0.0");
    broken["require"] = json!({"vendor/log": "no constraint!"});
    let mut tar = version("0.9.0");
    tar["dist"]["type"] = json!("tar");
    world.far.publish(SATIS, "vendor/lib", &[version("2.0.0"), broken, tar, version("2.0")]);
    assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    world.sync(&id).await;
    let skipped = world.skipped();
    let names: Vec<&str> = skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["vendor/lib 1.0.0", "vendor/lib 0.9.0", "vendor/lib 2.0"]);
    assert_eq!(skipped[1].1, "its archive is a tar; only zips are mirrored");
    assert_eq!(skipped[2].1, "another version before it is the same one");
    let runs = world.get(&format!("/api/repositories/{id}/syncs")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(runs[0]["skipped"][1], json!({"ref": "vendor/lib 0.9.0", "reason": skipped[1].1}));
}

#[tokio::test]
async fn two_requests_at_once_ask_the_upstream_once() {
    let (world, _, token) = mirroring().await;
    world.far.hold("/p2/vendor/lib.json");
    let second = async {
        world.far.until_held().await;
        let asking = read(&world, &token, LIB_DEV);
        let letting_go = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            world.far.let_go();
        };
        tokio::join!(asking, letting_go).0
    };
    let (stable, dev) = tokio::join!(read(&world, &token, LIB), second);
    assert_eq!(stable.expect(200).version_names("vendor/lib"), ["v1.1.0", "1.0.0"]);
    assert_eq!(dev.expect(200).version_names("vendor/lib"), ["dev-main"]);
    assert_eq!(world.far.take_heard().len(), 2);
}

#[tokio::test]
async fn two_isolates_that_read_a_package_at_once_agree() {
    let (world, _, token) = mirroring().await;
    world.get("/packages.json").basic(&token).send().await.expect(200);
    let elsewhere = world.another_isolate();
    world.far.hold("/p2/vendor/lib.json");
    let other = async {
        world.far.until_held().await;
        let reply = elsewhere.get(LIB).basic(&token).composer().send().await;
        world.far.let_go();
        reply
    };
    let (one, other) = tokio::join!(read(&world, &token, LIB), other);
    let (one, other) = (one.expect(200), other.expect(200));
    assert_eq!(one.body, other.body);
    assert_eq!(one.header("last-modified"), other.header("last-modified"));
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 3})]);
}

#[tokio::test]
async fn lists_and_search_show_what_was_mirrored_and_the_details_are_those_of_any_package() {
    let (world, id, token) = mirroring().await;
    world.published("acme/own", &["1.0.0"]).await;
    read(&world, &token, LIB).await.expect(200);
    let listed = world.get(&format!("/api/packages?repo_id={id}")).bearer(ADMIN).send().await.expect(200).json();
    let [package] = listed.as_array().expect("a list").as_slice() else { panic!("{listed}") };
    assert_eq!((&package["name"], &package["latest_version"]), (&json!("vendor/lib"), &json!("v1.1.0")));
    assert_eq!(package["created_at"], DAWN.seconds());
    let path = format!("/api/packages/{}", package["id"].as_str().expect("an id"));
    let details = world.get(&path).bearer(ADMIN).send().await.expect(200).json();
    let versions = details["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[0]["reference"], version("v1.1.0")["dist"]["reference"]);
    assert_eq!(versions[0]["released_at"], 1_700_000_000);
    let found = world.get("/search.json?q=upstream").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(found["results"][0]["name"], "vendor/lib");
    let report = json!({"downloads": [{"name": "vendor/lib", "version": "1.1.0.0"}]});
    world.post("/notify-batch").basic(&token).composer().json(&report).send().await.expect(204);
    world.settle().await;
    let again = world.get("/api/packages?search=vendor").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(again[0]["downloads"], 1);
    let names = world.get("/list.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(names["packageNames"], json!(["acme/own"]), "what upstreams have is nowhere in full");
}

#[tokio::test]
async fn a_version_without_a_time_was_released_when_it_was_first_seen() {
    let (world, _, token) = mirroring().await;
    let mut undated = version("1.0.0");
    undated.as_object_mut().expect("an object").remove("time");
    world.far.publish(SATIS, "vendor/lib", &[undated.clone()]);
    let time = |reply: &Reply| reply.versions("vendor/lib").pop().expect("a version")["time"].clone();
    assert_eq!(time(&read(&world, &token, LIB).await.expect(200)), "2026-01-01T00:00:00Z");
    world.far.publish(SATIS, "vendor/lib", &[version("2.0.0"), undated]);
    world.advance_seconds(STALE);
    assert_eq!(time(&read(&world, &token, LIB).await.expect(200)), "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_sync_asks_for_the_oldest_answers_again_and_for_no_more_than_fifty() {
    let (world, id, token) = mirroring().await;
    for number in 0..60 {
        let name = format!("vendor/p{number}");
        world.far.publish(SATIS, &name, &[upstream_version(SATIS, &name, "1.0.0")]);
        read(&world, &token, &format!("/p2/{name}.json")).await.expect(200);
        world.advance_seconds(1);
    }
    world.advance_seconds(INTERVAL);
    world.far.take_heard();
    world.far.publish(SATIS, "vendor/p3", &[upstream_version(SATIS, "vendor/p3", "2.0.0")]);
    world.far.unpublish(SATIS, "vendor/p4");
    let (_, calls) = world.counted(world.sync(&id)).await;
    let urls = world.far.take_urls();
    assert_eq!(urls.len(), 1 + 2 * 50, "{urls:?}");
    assert!(
        urls.contains(&format!("{SATIS}/p2/vendor/p0.json")) && !urls.contains(&format!("{SATIS}/p2/vendor/p55.json"))
    );
    assert!(calls.round_trips < 20, "{calls:?}");
    let run = world.last_run();
    assert_eq!((&run["added"], &run["removed"], &run["requests"]), (&json!(1), &json!(1), &json!(101)));
    world.advance_seconds(10);
    assert_eq!(read(&world, &token, "/p2/vendor/p3.json").await.expect(200).version_names("vendor/p3"), ["2.0.0"]);
    read(&world, &token, "/p2/vendor/p4.json").await.expect(404);
}

#[tokio::test]
async fn names_that_were_asked_for_in_vain_are_forgotten_after_a_day() {
    let (world, _, token) = mirroring().await;
    read(&world, &token, LIB).await.expect(200);
    read(&world, &token, "/p2/vendor/none.json").await.expect(404);
    let names = || world.database.rows("SELECT name FROM mirrors ORDER BY name");
    assert_eq!(names(), [json!({"name": "vendor/lib"}), json!({"name": "vendor/none"})]);
    world.advance_seconds(25 * 3600);
    world.cron().await;
    assert_eq!(names(), [json!({"name": "vendor/lib"})]);
}
