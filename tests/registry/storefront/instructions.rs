//! `GET /api/storefront/consumers/{id}/instructions`: what a customer copies into composer, and what is not there to be
//! installed, with the reason. Composer runs the commands in tests/e2e/instructions.test.mjs.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestConsumer, TestRegistry, TestResponse};

async fn told(registry: &TestRegistry, consumer: &TestConsumer, query: &str) -> TestResponse {
    registry.storefront_get(&format!("/consumers/{}/instructions{query}", consumer.id)).send().await
}

async fn permit(registry: &TestRegistry, consumer: &TestConsumer, package: &str, more: Value) {
    let mut body = json!({
        "consumer_id": consumer.id, "package": package, "version": "*", "minimum_stability": "stable",
    });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    registry.storefront_post("/permissions", &body).send().await.expect(201);
}

/// What each permission that lets nothing be installed is told to lack, in their order.
fn codes(told: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let entries = told["unavailable"].as_array().expect("a list");
    entries.iter().map(|one| (text(&one["package"]), text(&one["code"]))).collect()
}

#[tokio::test]
async fn the_instructions_name_just_what_was_bought_and_can_be_installed() {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["1.0.0", "2.0.0"]).await;
    registry.published("acme/second", &["1.0.0"]).await;
    registry.published("other/bundled", &["1.0.0"]).await;
    registry.published("other-vendor/hidden", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    permit(&registry, &consumer, "acme/first", json!({"version": "1.*"})).await;
    permit(&registry, &consumer, "acme/first", json!({"version": "2.*"})).await;
    permit(&registry, &consumer, "acme/announced", json!({"version": "^1"})).await;
    permit(&registry, &consumer, "other/*", json!({})).await;
    permit(&registry, &consumer, "nobody/*", json!({})).await;
    permit(&registry, &consumer, "acme/second", json!({"expires_at": "2020-01-01 00:00:00"})).await;
    let auth =
        json!({"http-basic": {"registry.test": {"username": consumer.public_key, "password": consumer.private_key}}});
    let no_package = "There is no package of this name with a version that can be installed. Check the name.";
    assert_eq!(
        told(&registry, &consumer, "").await.expect(200).json(),
        json!({
            "auth_json": auth,
            "composer_auth": auth.to_string(),
            "repositories": [{"type": "composer", "url": "https://registry.test"}],
            "require": {"acme/first": "1.* || 2.*", "other/bundled": "*"},
            "commands": [
                "composer config repositories.registry-test composer https://registry.test",
                format!("composer config http-basic.registry.test {} {}", consumer.public_key, consumer.private_key),
                "composer require 'acme/first:1.* || 2.*'",
                "composer require other/bundled",
            ],
            "unavailable": [
                {"package": "acme/announced", "version": "^1", "code": "no_package", "reason": no_package},
                {"package": "nobody/*", "version": "*", "code": "no_package", "reason": no_package},
                {
                    "package": "acme/second", "version": "*", "code": "ended",
                    "reason": "The permission ended at 2020-01-01 00:00:00 UTC.",
                },
            ],
        })
    );
    let packages = registry.storefront_get(&format!("/consumers/{}/packages", consumer.id)).send().await.expect(200);
    let names: Vec<Value> =
        packages.json().as_array().expect("a list").iter().map(|package| package["name"].clone()).collect();
    assert_eq!((names, packages.header("x-total-count")), (vec![json!("acme/first"), json!("other/bundled")], "2"));
    let first = &packages.json()[0];
    let expected = json!({
        "id": registry.package_id("acme/first"), "name": "acme/first", "description": first["description"], "status": 1,
        "created_at": first["created_at"], "updated_at": first["updated_at"], "uid": first["uid"], "abandoned": false,
    });
    assert_eq!(*first, expected);
    assert_eq!(first["created_at"].as_str().map(str::len), Some("2018-01-01 00:00:00".len()));
}

#[tokio::test]
async fn a_requirement_says_how_stable_when_betas_are_sold_and_when_there_is_nothing_else() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0-beta1", "3.0.0-RC1"]).await;
    registry.published("acme/new", &["1.0.0-alpha1"]).await;
    for (package, version, stability, expected) in [
        ("acme/lib", "1.*", "stable", Some("1.*")),
        ("acme/lib", "*", "beta", Some("*@beta")),
        ("acme/lib", "1.* || 2.*", "beta", Some("1.* || 2.*@beta")),
        ("acme/lib", ">=1.0 <3.0", "alpha", Some(">=1.0 <3.0, @alpha")),
        ("acme/lib", "2.0.0-beta1", "beta", Some("2.0.0-beta1")),
        // The default once: branches are not pressed on those who have it.
        ("acme/lib", "1.*", "dev", Some("1.*")),
        ("acme/lib", "3.*", "dev", Some("3.*@RC")),
        ("acme/lib", "dev-main", "dev", Some("dev-main")),
        ("acme/new", "*", "dev", Some("*@alpha")),
        ("acme/new", "*", "beta", None),
    ] {
        let consumer = registry.consumer().await;
        permit(&registry, &consumer, package, json!({"version": version, "minimum_stability": stability})).await;
        let told = told(&registry, &consumer, "").await.expect(200).json();
        assert_eq!(told["require"].get(package).and_then(Value::as_str), expected, "{version} {stability}");
    }
    // Composer knows one flag for each package.
    let consumer = registry.consumer().await;
    permit(&registry, &consumer, "acme/lib", json!({"version": "1.*"})).await;
    permit(&registry, &consumer, "acme/lib", json!({"version": "2.*", "minimum_stability": "beta"})).await;
    assert_eq!(told(&registry, &consumer, "").await.json()["require"], json!({"acme/lib": "1.* || 2.*@beta"}));
}

#[tokio::test]
async fn what_cannot_be_installed_is_told_with_the_reason() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let mut ids = Vec::new();
    for version in ["1.0.0", "1.1.0-beta1", "2.0.0", "3.0.0", "4.0.0"] {
        registry.upload("acme/lib", version, package("acme/lib", version)).await.expect(201);
    }
    registry.upload("acme/hidden", "1.0.0", package("acme/hidden", "one")).await.expect(201);
    let path = format!("/versions/package/{}", registry.package_id("acme/lib"));
    for version in registry.storefront_get(&path).send().await.expect(200).json().as_array().expect("a list") {
        ids.push(version["id"].clone());
    }
    registry.storefront_patch(&format!("/versions/{}", ids[2]), &json!({"status": 0})).send().await.expect(200);
    let yank = "/api/packages/acme%2Flib/versions/3.0.0/yank";
    registry.post(yank).bearer(ADMIN).send().await.expect(200);
    let hidden = format!("/packages/{}", registry.package_id("acme/hidden"));
    registry.storefront_patch(&hidden, &json!({"status": 0})).send().await.expect(201);
    registry.storefront_post("/packages", &json!({"name": "acme/empty"})).send().await.expect(201);
    registry.database.execute(
        "INSERT INTO dists (version_id, reference, error, created_at)
         SELECT id, 'other', 'too large', 1 FROM versions WHERE pretty = '4.0.0';
         UPDATE versions SET reference = 'other' WHERE pretty = '4.0.0';",
    );
    let expected = [
        ("acme/lib", json!({"version": "9.*"}), "no_version", "No version of the package matches."),
        (
            "acme/lib",
            json!({"version": ">1.0 <2.0"}),
            "too_unstable",
            "What matches is less stable than the permission's minimum_stability, stable.",
        ),
        (
            "acme/lib",
            json!({"version": "1.*", "updates_until": "2025-06-30 23:59:59"}),
            "updates_ended",
            "What matches was released after the updates had ended at 2025-06-30 23:59:59 UTC.",
        ),
        (
            "acme/lib",
            json!({"version": "2.*"}),
            "hidden",
            "What matches is hidden: its status, or that of the package, is 0.",
        ),
        ("acme/lib", json!({"version": "3.*"}), "yanked", "What matches was yanked."),
        (
            "acme/lib",
            json!({"version": "4.*"}),
            "no_zip",
            "There is no zip of what matches. The package's details say why.",
        ),
        ("acme/hidden", json!({}), "hidden", "What matches is hidden: its status, or that of the package, is 0."),
        ("acme/empty", json!({}), "no_version", "No version of the package matches."),
    ];
    for (package, more, ..) in &expected {
        permit(&registry, &consumer, package, more.clone()).await;
    }
    let answer = told(&registry, &consumer, "").await.expect(200).json();
    assert_eq!((answer["require"].clone(), answer["commands"].as_array().map(Vec::len)), (json!({}), Some(2)));
    let unavailable = answer["unavailable"].as_array().expect("a list");
    assert_eq!(unavailable.len(), expected.len());
    for ((package, _, code, reason), found) in expected.iter().zip(unavailable) {
        assert_eq!(json!([found["package"], found["code"], found["reason"]]), json!([package, code, reason]));
    }

    registry.storefront_patch(&format!("/consumers/{}", consumer.id), &json!({"status": 0})).send().await.expect(200);
    permit(&registry, &consumer, "acme/lib", json!({})).await;
    let disabled = told(&registry, &consumer, "").await.expect(200).json();
    assert_eq!(disabled["require"], json!({}));
    assert!(codes(&disabled).iter().all(|(_, code)| code == "consumer_disabled"), "{disabled}");
}

#[tokio::test]
async fn who_is_not_shown_keys_gets_commands_with_a_place_for_the_password() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer_as(&json!({"email": "one@example.com", "seats": 1})).await;
    permit(&registry, &consumer, "acme/lib", json!({})).await;
    let (_, reader) = registry.token(&json!({"description": "support", "scopes": ["storefront:read"]})).await;
    let path = format!("/api/storefront/consumers/{}/instructions", consumer.id);
    let told_support = registry.get(&path).bearer(&reader).send().await.expect(200);
    assert!(!told_support.text().contains(&consumer.private_key));
    let told_support = told_support.json();
    assert_eq!(json!([told_support["auth_json"], told_support["composer_auth"]]), json!([null, null]));
    let login = format!("composer config http-basic.registry.test {} '<password>'", consumer.public_key);
    assert_eq!(told_support["commands"][1], login);

    // A seat's token is shown by nothing but the answer that made it.
    let made = registry.storefront_post(&format!("/consumers/{}/tokens", consumer.id), &json!({"description": "Ann"}));
    let made = made.send().await.expect(201).json();
    let query = format!("?token={}", made["id"].as_str().expect("an id"));
    let seat = told(&registry, &consumer, &query).await.expect(200).json();
    assert_eq!(json!([seat["auth_json"], seat["composer_auth"]]), json!([null, null]));
    assert_eq!(
        seat["commands"],
        json!([
            "composer config repositories.registry-test composer https://registry.test",
            "composer config http-basic.registry.test token '<password>'",
            "composer require acme/lib",
        ])
    );
    for query in ["?token=", "?token=0198c6f0-0000-7000-8000-000000000000"] {
        told(&registry, &consumer, query).await.expect(404);
    }
    told(&registry, &consumer, "?seat=1").await.expect(400);
    let another = registry.consumer_as(&json!({"email": "two@example.com"})).await;
    told(&registry, &another, &query).await.expect(404);
}

#[tokio::test]
async fn the_instructions_take_the_same_statements_however_much_was_bought() {
    let registry = TestRegistry::new();
    let (few, many) = (registry.consumer().await, registry.consumer().await);
    for number in 0..6 {
        let name = format!("acme/lib-{number}");
        registry.published(&name, &["1.0.0", "2.0.0"]).await;
        permit(&registry, &many, &name, json!({"version": "1.*"})).await;
    }
    permit(&registry, &few, "acme/lib-0", json!({"version": "1.*"})).await;
    let (_, of_few) = registry.counted(told(&registry, &few, "")).await;
    let (answer, of_many) = registry.counted(told(&registry, &many, "")).await;
    assert_eq!(answer.expect(200).json()["require"].as_object().map(serde_json::Map::len), Some(6));
    assert_eq!(of_many.statements, of_few.statements);
}
