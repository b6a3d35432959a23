//! Packages of other Composer repositories: read when they are asked for first, kept, and asked for again when they are
//! old.

use serde_json::{Value, json};

use crate::support::{ADMIN, Ask, Calls, DAWN, Heard, ORIGIN, Reply, Trouble, World, logs, upstream_version};

pub const SATIS: &str = "https://satis.test";
pub const LIB: &str = "/p2/vendor/lib.json";
pub const LIB_DEV: &str = "/p2/vendor/lib~dev.json";

/// The sync interval, and how long an answer may be handed out while it is asked for again.
pub const INTERVAL: u64 = 600;
pub const STALE: u64 = 6 * INTERVAL;

fn version(text: &str) -> Value {
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

async fn status(world: &World, id: &str) -> (Value, Value) {
    let view = world.repository_view(id).await;
    (view["sync_status"].clone(), view["error"].clone())
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
    assert_eq!((first.round_trips, first.upstream), (2, 2), "what is known, and what was learnt");
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
    assert_eq!((absent.round_trips, absent.upstream), (2, 2));
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

/// What a server can do instead of its duty, and what the repository's owner reads.
fn troubles() -> Vec<(Trouble, &'static str)> {
    vec![
        (Trouble::Status(401), "the server refuses the credentials (HTTP 401: in our words); check `auth_credentials`"),
        (Trouble::Status(403), "the server refuses the credentials (HTTP 403: in our words); check `auth_credentials`"),
        (Trouble::Status(429), "the server answers with HTTP 429: in our words"),
        (Trouble::Status(500), "the server answers with HTTP 500: in our words"),
        (Trouble::Unreachable, "the server cannot be reached: connection refused"),
        (Trouble::TimedOut, "the server did not answer within 30 s"),
        (Trouble::BrokenOff, "the server's answer broke off: connection reset"),
        (
            Trouble::Redirect("https://10.0.0.1/x".to_owned()),
            "the server redirects to an address that must not lead to a private, loopback or link-local address",
        ),
        (Trouble::Redirect(format!("{SATIS}/p2/loop")), "the server redirects more than 5 times"),
    ]
}

#[tokio::test]
async fn while_an_upstream_fails_what_it_said_last_is_shown_and_its_repository_tells_why() {
    for (trouble, error) in troubles() {
        let (world, id, token) = mirroring().await;
        let first = read(&world, &token, LIB).await.expect(200);
        world.far.publish(SATIS, "vendor/lib", &[version("2.0.0")]);
        world.far.trouble("/p2/", trouble.clone());
        world.advance_seconds(STALE);
        let shown = read(&world, &token, LIB).await.expect(200);
        assert_eq!(shown.body, first.body, "{trouble:?}");
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("failed"), json!(error)), "{trouble:?}");
        assert_eq!(read(&world, &token, LIB).await.expect(200).body, first.body);
        world.far.recover();
        world.advance_seconds(INTERVAL);
        world.cron().await;
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("ok"), json!(null)), "{trouble:?}");
        world.advance_seconds(10);
        assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_yet_is_not_said_to_be_absent_while_its_upstream_fails() {
    for (trouble, error) in troubles() {
        let (world, id, token) = mirroring().await;
        world.far.trouble("/p2/", trouble.clone());
        let reply = read(&world, &token, LIB).await.expect(502);
        let words = format!("vendor/lib cannot be had from its upstream now: {error}");
        assert_eq!(reply.json()["warning"], words, "{trouble:?}");
        let asked = world.far.take_heard().len();
        assert!(asked > 0);
        // Composer repeats it at once, and has more packages to ask for.
        read(&world, &token, LIB_DEV).await.expect(502);
        read(&world, &token, "/p2/vendor/other.json").await.expect(502);
        assert_eq!(world.far.take_heard(), [], "{trouble:?}: a server that has just failed is left alone");
        world.settle().await;
        assert_eq!(status(&world, &id).await, (json!("failed"), json!(error)), "{trouble:?}");
        assert_eq!(world.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
        world.far.recover();
        world.advance_seconds(15);
        read(&world, &token, LIB).await.expect(200);
        assert!(!logs::text().contains("ERROR"), "{}", logs::text());
    }
}

#[tokio::test]
async fn a_document_that_is_none_is_refused_with_a_reason_and_nothing_of_it_is_kept() {
    let whole = json!({"packages": {"vendor/lib": [version("2.0.0")]}}).to_string();
    let odd = json!({"packages": {"vendor/lib": [{"version": "nonsense"}, 5]}}).to_string();
    for (body, error) in [
        (Vec::from("<!doctype html>"), "the answer is not JSON (expected value at line 1 column 1)"),
        (whole.as_bytes()[..whole.len() / 2].to_vec(), "the answer is not JSON (EOF while parsing"),
        (Vec::from("[]"), "the answer is JSON, but not an object"),
        (Vec::from("{\"packages\": 5}"), "`packages` must be an object"),
        (Vec::from("{\"packages\": {\"vendor/lib\": 5}}"), "`packages` must hold lists of versions"),
        (
            odd.into_bytes(),
            "none of its versions can be used; the first, nonsense: invalid version string \\\"nonsense\\\"",
        ),
        (vec![b' '; (8 << 20) + 1], "the server's answer is larger than 8388608 bytes"),
        (b"[".repeat(10_000), "the answer is not JSON (recursion limit exceeded"),
    ] {
        let (world, id, token) = mirroring().await;
        world.far.put(&format!("{SATIS}/p2/vendor/lib.json"), body.clone());
        world.far.remove(&format!("{SATIS}/p2/vendor/lib~dev.json"));
        let reply = read(&world, &token, LIB).await.expect(502);
        assert!(reply.text().contains(error), "{}", reply.text());
        assert_eq!(world.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})], "{error}");
        world.far.publish(SATIS, "vendor/lib", &[version("1.0.0")]);
        let first = read(&world, &token, LIB).await.expect(200);
        world.far.put(&format!("{SATIS}/p2/vendor/lib.json"), body);
        world.advance_seconds(STALE);
        assert_eq!(read(&world, &token, LIB).await.expect(200).body, first.body, "{error}");
        world.advance_seconds(INTERVAL);
        world.cron().await;
        world.settle().await;
        assert_eq!(status(&world, &id).await.0, "ok", "one broken document is not the server's failure");
        let [(name, reason)] = world.skipped().try_into().expect("one package");
        assert_eq!(name, "vendor/lib");
        assert!(json!(reason).to_string().contains(error), "{reason}");
    }
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
