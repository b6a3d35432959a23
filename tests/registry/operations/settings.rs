//! `/api/settings`, and the implicit upstream that they switch on and off.

use serde_json::{Value, json};

use crate::sources::composer::lookup::read;
use crate::support::{ADMIN, Moment, Port, World, upstream_version, zip_of};

const PACKAGIST: &str = "https://packagist.test";

async fn settings(world: &World) -> Value {
    world.get("/api/settings").bearer(ADMIN).send().await.expect(200).json()
}

fn defaults() -> Value {
    json!({"packagist_mirroring": false, "packagist_url": "https://repo.packagist.org", "reserved_vendors": []})
}

fn packagist(world: &World, origin: &str, version: &str) {
    world.far.lazy(origin);
    world.far.publish(origin, "symfony/console", &[upstream_version(origin, "symfony/console", version)]);
    world.far.put(&format!("{origin}/zips/symfony/console/{version}.zip"), zip_of(version.as_bytes()));
}

#[tokio::test]
async fn settings_have_defaults_and_are_changed_one_by_one() {
    let world = World::new();
    assert_eq!(settings(&world).await, defaults());
    let change = json!({"reserved_vendors": ["Zend", "acme", "acme"]});
    let reply = world.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(200);
    let mut expected = defaults();
    expected["reserved_vendors"] = json!(["acme", "zend"]);
    assert_eq!(reply.json(), expected);
    assert_eq!(settings(&world).await, expected);
    world.patch("/api/settings").bearer(ADMIN).json(&json!({"packagist_url": PACKAGIST})).send().await.expect(200);
    expected["packagist_url"] = json!(PACKAGIST);
    assert_eq!(settings(&world).await, expected);
    let reset = json!({"packagist_url": null, "reserved_vendors": null, "packagist_mirroring": null});
    world.patch("/api/settings").bearer(ADMIN).json(&reset).send().await.expect(200);
    assert_eq!(settings(&world).await, defaults());
    let log = world.get("/api/audit-log?action=settings.").bearer(ADMIN).send().await.expect(200).json();
    let details: Vec<&Value> = log.as_array().expect("a list").iter().map(|entry| &entry["details"]).collect();
    assert_eq!(details.len(), 3);
    assert_eq!(details[2], &json!({"reserved_vendors": ["acme", "zend"]}));
    assert_eq!(log[0]["target"], "settings");
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted() {
    let world = World::new();
    for change in [json!({}), json!({"packagist_mirroring": false}), json!({"reserved_vendors": null})] {
        world.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(200);
    }
    assert_eq!(world.database.rows("SELECT * FROM audit_log"), Vec::<Value>::new());
    assert_eq!(world.database.rows("SELECT * FROM settings"), Vec::<Value>::new());
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name_and_change_nothing() {
    let world = World::new();
    let too_many: Vec<String> = (0..501).map(|number| format!("v{number}")).collect();
    for (body, field) in [
        (json!({"packagist_mirroring": "yes"}), "packagist_mirroring"),
        (json!({"packagist_url": "http://repo.packagist.org"}), "packagist_url"),
        (json!({"packagist_url": "https://127.0.0.1"}), "packagist_url"),
        (json!({"packagist_url": "https://ada:word@repo.test"}), "packagist_url"),
        (json!({"packagist_url": format!("https://repo.test/{}", "x".repeat(2048))}), "packagist_url"),
        (json!({"reserved_vendors": "acme"}), "reserved_vendors"),
        (json!({"reserved_vendors": ["acme/*"]}), "reserved_vendors"),
        (json!({"reserved_vendors": [""]}), "reserved_vendors"),
        (json!({"reserved_vendors": too_many}), "reserved_vendors"),
        (json!({"packagist_mirroring": true, "mirroring": true}), "mirroring"),
    ] {
        let reply = world.patch("/api/settings").bearer(ADMIN).json(&body).send().await.expect(400).json();
        assert_eq!(reply["code"], "INVALID_REQUEST");
        assert!(reply["details"].get(field).is_some(), "{field}: {reply}");
    }
    assert_eq!(settings(&world).await, defaults());
    for method in [http::Method::GET, http::Method::PATCH] {
        world.isolate.ask(method.clone(), "/api/settings").send().await.expect(401);
        let (_, writer) = world.token(&json!({"description": "a", "permissions": "write"})).await;
        world.isolate.ask(method, "/api/settings").bearer(&writer).json(&json!({})).send().await.expect(403);
    }
}

#[tokio::test]
async fn packagist_is_mirrored_when_that_is_switched_on_and_only_then() {
    let world = World::new();
    packagist(&world, PACKAGIST, "7.0.0");
    let token = world.reader().await;
    let path = "/p2/symfony/console.json";
    read(&world, &token, path).await.expect(404);
    world.set(json!({"packagist_url": PACKAGIST})).await;
    read(&world, &token, path).await.expect(404);
    assert_eq!(world.far.take_heard(), []);
    assert_eq!(world.get("/api/repositories").bearer(ADMIN).send().await.json(), json!([]));
    world.set(json!({"packagist_mirroring": true})).await;
    let reply = read(&world, &token, path).await.expect(200);
    assert_eq!(reply.version_names("symfony/console"), ["7.0.0"]);
    world.get("/dist/symfony/console/7.0.0.zip").basic(&token).send().await.expect(200);

    let listed = world.get("/api/repositories?kind=composer").bearer(ADMIN).send().await.expect(200).json();
    let view = &listed[0];
    assert_eq!(
        (&view["provider"], &view["url"], &view["path"]),
        (&json!("packagist"), &json!(PACKAGIST), &json!(null))
    );
    assert_eq!(view["sync_status"], "ok");
    let one = format!("/api/repositories/{}", view["id"].as_str().expect("an id"));
    for ask in [world.delete(&one), world.patch(&one).json(&json!({"package_filter": ["a/*"]}))] {
        let refused = ask.bearer(ADMIN).send().await.expect(409).json();
        assert!(refused["error"].as_str().is_some_and(|text| text.contains("/api/settings")), "{refused}");
    }
    let seen = world.post(&format!("{one}/verify")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(seen["ok"], true);
    world.far.take_heard();

    world.set(json!({"packagist_mirroring": false})).await;
    read(&world, &token, path).await.expect(404);
    assert_eq!(world.far.take_heard(), []);
    assert_eq!(world.get("/api/packages").bearer(ADMIN).send().await.json(), json!([]));
    world.advance_seconds(24 * 3600);
    assert_eq!(world.cron().await, 0, "it is not synced either");
    world.get("/dist/symfony/console/7.0.0.zip").basic(&token).send().await.expect(200);
    let again = json!({"packagist_mirroring": true});
    world.set(again).await;
    read(&world, &token, path).await.expect(200);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM repositories"), [json!({"n": 1})]);
}

#[tokio::test]
async fn another_address_of_packagist_leaves_nothing_of_the_old_one_behind() {
    let world = World::new();
    let (old, new) = (PACKAGIST, "https://mirror.test");
    packagist(&world, old, "7.0.0");
    packagist(&world, new, "8.0.0");
    world.set(json!({"packagist_mirroring": true, "packagist_url": old})).await;
    let token = world.reader().await;
    let path = "/p2/symfony/console.json";
    assert_eq!(read(&world, &token, path).await.version_names("symfony/console"), ["7.0.0"]);
    world.set(json!({"packagist_url": new})).await;
    assert_eq!(read(&world, &token, path).await.expect(200).version_names("symfony/console"), ["8.0.0"]);
    assert!(world.far.take_urls().iter().all(|url| url.starts_with(new)));
}

#[tokio::test]
async fn a_repository_with_packagists_address_may_be_registered_beside_it() {
    let world = World::new();
    packagist(&world, PACKAGIST, "7.0.0");
    world.set(json!({"packagist_mirroring": true, "packagist_url": PACKAGIST})).await;
    world.upstream_as(json!({"url": PACKAGIST, "package_filter": ["symfony/*"]})).await;
    // A fork of one package reserves its vendor; a filter that names the vendor lets the rest of it through again.
    world.published("symfony/fork", &["1.0.0"]).await;
    let token = world.reader().await;
    read(&world, &token, "/p2/symfony/console.json").await.expect(200);
}

#[tokio::test]
async fn two_that_switch_it_on_at_once_make_one_upstream() {
    let world = World::new();
    let ask = || world.patch("/api/settings").bearer(ADMIN).json(&json!({"packagist_mirroring": true})).send();
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    assert_eq!([one.status, two.status, three.status], [200; 3]);
    assert_eq!(world.database.rows("SELECT provider FROM repositories"), [json!({"provider": "packagist"})]);
}

#[tokio::test]
async fn every_call_broken_once_changes_settings_as_a_whole_or_not_at_all() {
    for port in [Port::Database, Port::Queue] {
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                let world = World::new();
                packagist(&world, PACKAGIST, "7.0.0");
                let change =
                    json!({"packagist_mirroring": true, "packagist_url": PACKAGIST, "reserved_vendors": ["acme"]});
                let ask = || world.patch("/api/settings").bearer(ADMIN).json(&change).send();
                world.meter.break_nth(port, nth, moment);
                let reply = ask().await;
                let is_broken = world.meter.mend() > 0;
                let stored = world.database.rows("SELECT count(*) AS n FROM settings")[0]["n"].as_i64();
                let repositories = world.database.rows("SELECT count(*) AS n FROM repositories")[0]["n"].as_i64();
                assert!([(Some(0), Some(0)), (Some(3), Some(1))].contains(&(stored, repositories)), "{port:?} {nth}");
                assert!(reply.status == 200 || (is_broken && reply.status == 500), "{port:?} {nth} {moment:?}");
                ask().await.expect(200);
                world.settle().await;
                let token = world.reader().await;
                read(&world, &token, "/p2/symfony/console.json").await.expect(200);
                if !is_broken {
                    break;
                }
            }
        }
    }
}
