//! `/api/settings`, and the implicit upstream that they switch on and off.

use serde_json::{Value, json};

use crate::sources::composer::lookup::read;
use crate::support::{ADMIN, FaultTiming, Port, TestRegistry, upstream_version, zip_of};

const PACKAGIST: &str = "https://packagist.test";

async fn settings(registry: &TestRegistry) -> Value {
    registry.get("/api/settings").bearer(ADMIN).send().await.expect(200).json()
}

fn defaults() -> Value {
    json!({
        "packagist_mirroring": false, "packagist_url": "https://repo.packagist.org", "reserved_vendors": [],
        "immutable_tags": false,
        "claim_vendors": true, "block_malware_downloads": true, "retire_vanished_packages": false,
        "mirrored_zips": "warn", "address_retention_days": 90, "unusual_networks": 20,
        "rate_limits": {"read_per_hour": 1000, "write_per_hour": 500, "downloads_per_minute": 100},
    })
}

fn packagist(registry: &TestRegistry, origin: &str, version: &str) {
    registry.composer_host.lazy(origin);
    registry.composer_host.publish(origin, "symfony/console", &[upstream_version(origin, "symfony/console", version)]);
    registry.composer_host.put(&format!("{origin}/zips/symfony/console/{version}.zip"), zip_of(version.as_bytes()));
}

#[tokio::test]
async fn settings_have_defaults_and_are_changed_one_by_one() {
    let registry = TestRegistry::new();
    assert_eq!(settings(&registry).await, defaults());
    let change = json!({"reserved_vendors": ["Zend", "acme", "acme"]});
    let reply = registry.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(200);
    let mut expected = defaults();
    expected["reserved_vendors"] = json!(["acme", "zend"]);
    assert_eq!(reply.json(), expected);
    assert_eq!(settings(&registry).await, expected);
    registry.patch("/api/settings").bearer(ADMIN).json(&json!({"packagist_url": PACKAGIST})).send().await.expect(200);
    expected["packagist_url"] = json!(PACKAGIST);
    assert_eq!(settings(&registry).await, expected);
    let reset = json!({"packagist_url": null, "reserved_vendors": null, "packagist_mirroring": null});
    registry.patch("/api/settings").bearer(ADMIN).json(&reset).send().await.expect(200);
    assert_eq!(settings(&registry).await, defaults());
    let log = registry.get("/api/audit-log?action=settings.").bearer(ADMIN).send().await.expect(200).json();
    let details: Vec<&Value> = log.as_array().expect("a list").iter().map(|entry| &entry["details"]).collect();
    assert_eq!(details.len(), 3);
    assert_eq!(details[2], &json!({"reserved_vendors": ["acme", "zend"]}));
    assert_eq!(log[0]["target"], "settings");
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted() {
    let registry = TestRegistry::new();
    for change in [
        json!({}),
        json!({"packagist_mirroring": false}),
        json!({"reserved_vendors": null}),
        json!({"claim_vendors": true}),
    ] {
        registry.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(200);
    }
    assert_eq!(registry.database.rows("SELECT * FROM audit_log"), Vec::<Value>::new());
    assert_eq!(registry.database.rows("SELECT * FROM settings"), Vec::<Value>::new());
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name_and_change_nothing() {
    let registry = TestRegistry::new();
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
        (json!({"claim_vendors": ["acme"]}), "claim_vendors"),
        (json!({"rate_limits": {"read_per_hour": 0}}), "rate_limits.read_per_hour"),
        (json!({"rate_limits": {"downloads_per_minute": 1_000_000_001}}), "rate_limits.downloads_per_minute"),
        (json!({"rate_limits": {"read": 1}}), "rate_limits.read"),
        (json!({"packagist_mirroring": true, "mirroring": true}), "mirroring"),
    ] {
        let reply = registry.patch("/api/settings").bearer(ADMIN).json(&body).send().await.expect(400).json();
        assert_eq!(reply["code"], "INVALID_REQUEST");
        assert!(reply["details"].get(field).is_some(), "{field}: {reply}");
    }
    assert_eq!(settings(&registry).await, defaults());
    for method in [http::Method::GET, http::Method::PATCH] {
        registry.isolate.request(method.clone(), "/api/settings").send().await.expect(401);
        let (_, writer) = registry.token(&json!({"description": "a", "permissions": "write"})).await;
        registry.isolate.request(method, "/api/settings").bearer(&writer).json(&json!({})).send().await.expect(403);
    }
}

#[tokio::test]
async fn packagist_is_mirrored_when_that_is_switched_on_and_only_then() {
    let registry = TestRegistry::new();
    packagist(&registry, PACKAGIST, "7.0.0");
    let token = registry.reader().await;
    let path = "/p2/symfony/console.json";
    read(&registry, &token, path).await.expect(404);
    registry.set(json!({"packagist_url": PACKAGIST})).await;
    read(&registry, &token, path).await.expect(404);
    assert_eq!(registry.composer_host.take_requests(), []);
    assert_eq!(registry.get("/api/repositories").bearer(ADMIN).send().await.json(), json!([]));
    registry.set(json!({"packagist_mirroring": true})).await;
    let reply = read(&registry, &token, path).await.expect(200);
    assert_eq!(reply.version_names("symfony/console"), ["7.0.0"]);
    registry.get("/dist/symfony/console/7.0.0.zip").basic(&token).send().await.expect(200);

    let listed = registry.get("/api/repositories?kind=composer").bearer(ADMIN).send().await.expect(200).json();
    let view = &listed[0];
    assert_eq!(
        (&view["provider"], &view["url"], &view["path"]),
        (&json!("packagist"), &json!(PACKAGIST), &json!(null))
    );
    assert_eq!(view["sync_status"], "ok");
    let one = format!("/api/repositories/{}", view["id"].as_str().expect("an id"));
    for request in [registry.delete(&one), registry.patch(&one).json(&json!({"package_filter": ["a/*"]}))] {
        let refused = request.bearer(ADMIN).send().await.expect(409).json();
        assert!(refused["error"].as_str().is_some_and(|text| text.contains("/api/settings")), "{refused}");
    }
    let seen = registry.post(&format!("{one}/verify")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(seen["ok"], true);
    registry.composer_host.take_requests();

    registry.set(json!({"packagist_mirroring": false})).await;
    read(&registry, &token, path).await.expect(404);
    assert_eq!(registry.composer_host.take_requests(), []);
    assert_eq!(registry.get("/api/packages").bearer(ADMIN).send().await.json(), json!([]));
    registry.advance_seconds(24 * 3600);
    assert_eq!(registry.cron().await, 0, "it is not synced either");
    registry.get("/dist/symfony/console/7.0.0.zip").basic(&token).send().await.expect(200);
    let again = json!({"packagist_mirroring": true});
    registry.set(again).await;
    read(&registry, &token, path).await.expect(200);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM repositories"), [json!({"n": 1})]);
}

#[tokio::test]
async fn another_address_of_packagist_leaves_nothing_of_the_old_one_behind() {
    let registry = TestRegistry::new();
    let (old, new) = (PACKAGIST, "https://mirror.test");
    packagist(&registry, old, "7.0.0");
    packagist(&registry, new, "8.0.0");
    registry.set(json!({"packagist_mirroring": true, "packagist_url": old})).await;
    let token = registry.reader().await;
    let path = "/p2/symfony/console.json";
    assert_eq!(read(&registry, &token, path).await.version_names("symfony/console"), ["7.0.0"]);
    registry.set(json!({"packagist_url": new})).await;
    assert_eq!(read(&registry, &token, path).await.expect(200).version_names("symfony/console"), ["8.0.0"]);
    assert!(registry.composer_host.take_urls().iter().all(|url| url.starts_with(new)));
}

#[tokio::test]
async fn a_repository_with_packagists_address_may_be_registered_beside_it() {
    let registry = TestRegistry::new();
    packagist(&registry, PACKAGIST, "7.0.0");
    registry.set(json!({"packagist_mirroring": true, "packagist_url": PACKAGIST})).await;
    registry.upstream_as(json!({"url": PACKAGIST, "package_filter": ["symfony/*"]})).await;
    // A fork of one package reserves its vendor; a filter that names the vendor lets the rest of it through again.
    registry.published("symfony/fork", &["1.0.0"]).await;
    let token = registry.reader().await;
    read(&registry, &token, "/p2/symfony/console.json").await.expect(200);
}

#[tokio::test]
async fn two_that_switch_it_on_at_once_make_one_upstream() {
    let registry = TestRegistry::new();
    let request = || registry.patch("/api/settings").bearer(ADMIN).json(&json!({"packagist_mirroring": true})).send();
    let (one, two, three) = tokio::join!(request(), request(), request());
    assert_eq!([one.status, two.status, three.status], [200; 3]);
    assert_eq!(registry.database.rows("SELECT provider FROM repositories"), [json!({"provider": "packagist"})]);
}

#[tokio::test]
async fn every_call_broken_once_changes_settings_as_a_whole_or_not_at_all() {
    for port in [Port::Database, Port::Queue] {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                let registry = TestRegistry::new();
                packagist(&registry, PACKAGIST, "7.0.0");
                let change =
                    json!({"packagist_mirroring": true, "packagist_url": PACKAGIST, "reserved_vendors": ["acme"]});
                let request = || registry.patch("/api/settings").bearer(ADMIN).json(&change).send();
                registry.meter.break_nth(port, nth, timing);
                let reply = request().await;
                let is_broken = registry.meter.clear_faults() > 0;
                let stored = registry.database.rows("SELECT count(*) AS n FROM settings")[0]["n"].as_i64();
                let repositories = registry.database.rows("SELECT count(*) AS n FROM repositories")[0]["n"].as_i64();
                assert!([(Some(0), Some(0)), (Some(3), Some(1))].contains(&(stored, repositories)), "{port:?} {nth}");
                assert!(reply.status == 200 || (is_broken && reply.status == 500), "{port:?} {nth} {timing:?}");
                request().await.expect(200);
                registry.run_until_idle().await;
                let token = registry.reader().await;
                read(&registry, &token, "/p2/symfony/console.json").await.expect(200);
                if !is_broken {
                    break;
                }
            }
        }
    }
}
