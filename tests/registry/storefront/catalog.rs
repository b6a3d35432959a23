//! What a shop keeps: packages and versions by number, with their zips.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestConsumer, TestRegistry, TestResponse, sha1_of};

fn path(kind: &str, shown: &Value) -> String {
    format!("/{kind}/{}", shown["id"])
}

async fn made(registry: &TestRegistry, name: &str) -> Value {
    registry.storefront_post("/packages", &json!({"name": name})).send().await.expect(201).json()
}

async fn version(registry: &TestRegistry, of: &Value, body: Value) -> TestResponse {
    registry.storefront_post(&format!("/versions/package/{}", of["id"]), &body).send().await
}

async fn file(registry: &TestRegistry, version: &Value, zip: Vec<u8>) -> TestResponse {
    let address = format!("/api/storefront/versions/{}/file", version["id"]);
    registry.put(&address).bearer(ADMIN).body(zip).send().await
}

async fn status(registry: &TestRegistry, path: &str, status: i64) -> TestResponse {
    registry.storefront_patch(path, &json!({"status": status})).send().await
}

async fn published(registry: &TestRegistry, name: &str) -> Vec<String> {
    let reply = registry.get_from_new_isolate(&format!("/p2/{name}.json")).await;
    if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names(name) }
}

fn actions(registry: &TestRegistry) -> Vec<Value> {
    registry
        .database
        .rows("SELECT action FROM audit_log ORDER BY id")
        .into_iter()
        .map(|row| row["action"].clone())
        .collect()
}

#[tokio::test]
async fn no_id_of_a_package_or_a_version_is_given_twice() {
    let registry = TestRegistry::new();
    let number = |shown: &Value| shown["id"].as_i64().expect("a number");
    let mut packages = Vec::new();
    let mut versions = Vec::new();
    for round in 0..3 {
        let name = format!("acme/lib-{round}");
        let package = made(&registry, &name).await;
        packages.push(number(&package));
        for name in ["1.0.0", "2.0.0", "3.0.0"] {
            versions.push(number(&version(&registry, &package, json!({"name": name})).await.expect(201).json()));
        }
        registry.storefront_delete(&format!("/versions/{}", versions.last().expect("one"))).send().await.expect(204);
        let again = version(&registry, &package, json!({"name": "3.0.0"})).await.expect(201).json();
        versions.push(number(&again));
        // Its versions go with it.
        registry.storefront_delete(&path("packages", &package)).send().await.expect(204);
    }
    // What a sync brings gets new ones too, several at once.
    registry.published("acme/synced", &["1.0.0", "2.0.0"]).await;
    let list = registry.storefront_get("/packages").send().await.expect(200).json();
    packages.push(number(&list[0]));
    let synced =
        registry.storefront_get(&format!("/versions{}", path("package", &list[0]))).send().await.expect(200).json();
    versions.extend(synced.as_array().expect("a list").iter().map(number));
    assert_eq!((packages.len(), versions.len()), (4, 15));
    for ids in [packages, versions] {
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    }
}

#[tokio::test]
async fn a_package_is_made_read_changed_and_deleted_as_documented() {
    let registry = TestRegistry::new();
    let body = json!({"name": "acme/lib", "description": "Does it all", "status": 0});
    let made = registry.storefront_post("/packages", &body).send().await.expect(201).json();
    let time = "2026-01-01 00:00:00";
    let shape = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let documented = ["id", "name", "description", "status", "created_at", "updated_at"];
    assert_eq!(shape(&made), [&documented[..], &["uid", "abandoned"]].concat());
    assert_eq!(json!([made["name"], made["description"], made["status"]]), json!(["acme/lib", "Does it all", 0]));
    assert_eq!(made["created_at"].as_str().map(str::len), Some(time.len()));
    let path = path("packages", &made);
    assert_eq!(registry.storefront_get(&path).send().await.expect(200).json(), made);
    let list = registry.storefront_get("/packages").send().await.expect(200);
    assert_eq!((list.header("x-total-count"), list.json()), ("1", json!([made])));

    let changed = json!({"name": "acme/lib", "description": "Does more", "status": 1});
    let changed = registry.storefront_put(&path, &changed).send().await.expect(201).json();
    assert_eq!(json!([changed["id"], changed["description"], changed["status"]]), json!([made["id"], "Does more", 1]));
    let cleared = registry.storefront_patch(&path, &json!({"description": null})).send().await.expect(201).json();
    assert_eq!(json!([cleared["description"], cleared["status"]]), json!([null, 1]));

    registry.storefront_delete(&path).send().await.expect(204);
    for request in [
        registry.storefront_get(&path),
        registry.storefront_delete(&path),
        registry.storefront_patch(&path, &json!({})),
    ] {
        assert_eq!(request.send().await.expect(404).json()["error"], "Package not found");
    }
    assert_eq!(
        actions(&registry),
        [
            "repository.created",
            "package.created",
            "package.changed",
            "package.shown",
            "package.changed",
            "package.deleted"
        ]
    );
}

#[tokio::test]
async fn a_package_that_cannot_be_one_is_refused_with_the_reason() {
    let registry = TestRegistry::new();
    registry.published("acme/git", &["1.0.0"]).await;
    let lib = made(&registry, "acme/lib").await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "no name"}), "name"),
        (json!({"name": "acme/x", "status": 2}), "status"),
        (json!({"name": "acme/x", "description": "a\nb"}), "description"),
        (json!({"name": "acme/x", "color": "red"}), "color"),
    ] {
        let refused = registry.storefront_post("/packages", &body).send().await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{body}: {refused}");
    }
    for name in ["acme/lib", "acme/git"] {
        let refused = registry.storefront_post("/packages", &json!({"name": name})).send().await.expect(409).json();
        assert_eq!(refused["error"], format!("There is a package {name} already."));
    }
    let path = path("packages", &lib);
    for body in [json!({"name": "no name"}), json!({"status": -1}), json!({"description": "x".repeat(1001)})] {
        registry.storefront_patch(&path, &body).send().await.expect(400);
    }
    let request = || registry.storefront_post("/packages", &json!({"name": "acme/two"}));
    let mut statuses = crate::support::statuses_of_concurrent([request(), request()]).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn a_version_waits_for_its_zip_and_is_published_with_it() {
    let registry = TestRegistry::new();
    let lib = made(&registry, "acme/lib").await;
    let waiting = version(&registry, &lib, json!({"name": "1.2.0"})).await.expect(201).json();
    let shape = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let documented = ["id", "package_id", "name", "filename", "status", "created_at", "updated_at"];
    assert_eq!(shape(&waiting), [&documented[..], &["security_fix", "released_at", "uid", "yanked"]].concat());
    assert_eq!(
        json!([waiting["package_id"], waiting["name"], waiting["filename"], waiting["status"]]),
        json!([lib["id"], "1.2.0", null, 1])
    );
    assert_eq!(published(&registry, "acme/lib").await, [""; 0]);
    registry.get_from_new_isolate("/dist/acme/lib/1.2.0.zip").await.expect(404);
    registry.get("/api/packages/acme%2Flib/versions").bearer(ADMIN).send().await.expect(404);

    let zip = package("acme/lib", "one");
    let done = file(&registry, &waiting, zip.clone()).await.expect(201).json();
    assert_eq!(json!([done["id"], done["filename"]]), json!([waiting["id"], format!("{}.zip", sha1_of(&zip))]));
    assert_eq!(file(&registry, &waiting, zip.clone()).await.expect(200).json(), done);
    file(&registry, &waiting, package("acme/lib", "two")).await.expect(409);
    file(&registry, &waiting, b"no zip".to_vec()).await.expect(400);
    file(&registry, &json!({"id": 99}), zip.clone()).await.expect(404);
    assert_eq!(published(&registry, "acme/lib").await, ["1.2.0"]);
    assert_eq!(registry.get_from_new_isolate("/dist/acme/lib/1.2.0.zip").await.expect(200).body, zip);
    let path = path("versions", &done);
    assert_eq!(registry.storefront_get(&path).send().await.expect(200).json(), done);
    let list = registry.storefront_get(&format!("/versions/package/{}", lib["id"])).send().await.expect(200);
    assert_eq!((list.header("x-total-count"), list.json()), ("1", json!([done])));

    registry.storefront_delete(&path).send().await.expect(204);
    registry.storefront_get(&path).send().await.expect(404);
    assert_eq!(published(&registry, "acme/lib").await, [""; 0]);
    registry.storefront_get(&format!("/packages/{}", lib["id"])).send().await.expect(200);
}

#[tokio::test]
async fn a_version_that_is_hidden_before_its_zip_comes_stays_so_until_it_is_shown() {
    let registry = TestRegistry::new();
    let lib = made(&registry, "acme/lib").await;
    let first = version(&registry, &lib, json!({"name": "1.0.0"})).await.expect(201).json();
    file(&registry, &first, package("acme/lib", "1")).await.expect(201);
    let hidden = version(&registry, &lib, json!({"name": "2.0.0", "status": 0})).await.expect(201).json();
    let hidden = file(&registry, &hidden, package("acme/lib", "2")).await.expect(201).json();
    assert_eq!(hidden["status"], 0);
    assert_eq!(published(&registry, "acme/lib").await, ["1.0.0"]);
    registry.get_from_new_isolate("/dist/acme/lib/2.0.0.zip").await.expect(404);
    let path = path("versions", &hidden);
    assert_eq!(status(&registry, &path, 1).await.expect(200).json()["status"], 1);
    assert_eq!(published(&registry, "acme/lib").await, ["2.0.0", "1.0.0"]);
    registry.get_from_new_isolate("/dist/acme/lib/2.0.0.zip").await.expect(200);
    status(&registry, &path, 0).await.expect(200);
    let noted = actions(&registry).len();
    status(&registry, &path, 0).await.expect(200);
    assert_eq!(actions(&registry).len(), noted, "doing it again is not noted");
    assert_eq!(published(&registry, "acme/lib").await, ["1.0.0"]);
    // Neither another upload nor another version shows it.
    registry.upload("acme/lib", "2.0.0", package("acme/lib", "2")).await.expect(200);
    registry.upload("acme/lib", "1.1.0", package("acme/lib", "1.1")).await.expect(201);
    assert_eq!(published(&registry, "acme/lib").await, ["1.1.0", "1.0.0"]);
}

#[tokio::test]
async fn a_version_may_wait_for_a_zip_that_the_shop_calls_by_a_name_of_its_own() {
    let registry = TestRegistry::new();
    let lib = made(&registry, "acme/lib").await;
    let documented = json!({"name": "8.7.2", "filename": "438411134.zip", "status": 1});
    let waiting = version(&registry, &lib, documented.clone()).await.expect(201).json();
    let shown = |version: &Value| json!([version["name"], version["filename"], version["status"]]);
    assert_eq!(shown(&waiting), json!(["8.7.2", "438411134.zip", 1]));
    assert_eq!(published(&registry, "acme/lib").await, [""; 0]);
    let renamed = json!({"name": "8.7.3", "filename": "438411135.zip"});
    let renamed = registry.storefront_put(&path("versions", &waiting), &renamed).send().await.expect(200).json();
    assert_eq!(shown(&renamed), json!(["8.7.3", "438411135.zip", 1]));
    registry.storefront_put(&path("versions", &waiting), &documented).send().await.expect(200);
    // Either way of uploading completes it, and it goes on being called so.
    registry.upload("acme/lib", "8.7.2", package("acme/lib", "one")).await.expect(201);
    assert_eq!(published(&registry, "acme/lib").await, ["8.7.2"]);
    let done = registry.storefront_put(&path("versions", &waiting), &documented).send().await.expect(200).json();
    assert_eq!(json!([done["id"], shown(&done)]), json!([waiting["id"], shown(&waiting)]));
    let by_hash = json!({"filename": format!("{}.zip", sha1_of(&package("acme/lib", "one")))});
    registry.storefront_put(&path("versions", &waiting), &by_hash).send().await.expect(200);
    let other = json!({"filename": "another.zip"});
    registry.storefront_put(&path("versions", &waiting), &other).send().await.expect(409);
    let second = json!({"name": "8.7.4", "filename": "second.zip"});
    let second = version(&registry, &lib, second).await.expect(201).json();
    let second = file(&registry, &second, package("acme/lib", "two")).await.expect(201).json();
    assert_eq!(second["filename"], "second.zip");
}

#[tokio::test]
async fn a_version_is_made_of_a_zip_that_the_package_has() {
    let registry = TestRegistry::new();
    let zip = package("acme/lib", "one");
    registry.upload("acme/lib", "1.0.0", zip.clone()).await.expect(201);
    registry.upload("acme/other", "1.0.0", package("acme/other", "one")).await.expect(201);
    let lib = json!({"id": registry.package_id("acme/lib")});
    let name = format!("{}.zip", sha1_of(&zip));
    let made =
        version(&registry, &lib, json!({"name": "1.0.1", "filename": name, "status": 0})).await.expect(201).json();
    assert_eq!(json!([made["name"], made["filename"], made["status"]]), json!(["1.0.1", name, 0]));
    assert_eq!(published(&registry, "acme/lib").await, ["1.0.0"]);
    status(&registry, &path("versions", &made), 1).await.expect(200);
    assert_eq!(published(&registry, "acme/lib").await, ["1.0.1", "1.0.0"]);
    version(&registry, &lib, json!({"name": "1.0.1", "filename": name})).await.expect(409);
    version(&registry, &lib, json!({"name": "v1.0.1"})).await.expect(409);
    let others = format!("{}.zip", sha1_of(&package("acme/other", "one")));
    for unknown in [others.as_str(), "", "a/b.zip", "a\\b.zip", &"a".repeat(256)] {
        let refused = version(&registry, &lib, json!({"name": "3.0.0", "filename": unknown})).await.expect(400).json();
        assert!(refused["details"]["filename"].is_array(), "{refused}");
    }
    let waiting = version(&registry, &lib, json!({"name": "4.0.0"})).await.expect(201).json();
    let renamed = json!({"name": "5.0.0", "filename": name});
    let renamed = registry.storefront_put(&path("versions", &waiting), &renamed).send().await.expect(200).json();
    assert_eq!(json!([renamed["id"], renamed["name"], renamed["filename"]]), json!([waiting["id"], "5.0.0", name]));
    assert_eq!(published(&registry, "acme/lib").await, ["5.0.0", "1.0.1", "1.0.0"]);
    // What is published keeps its zip, also when the package has the other one.
    let second = package("acme/lib", "two");
    registry.upload("acme/lib", "2.0.0", second.clone()).await.expect(201);
    let other = json!({"filename": format!("{}.zip", sha1_of(&second)), "status": 0});
    let refused = registry.storefront_patch(&path("versions", &made), &other).send().await.expect(409).json();
    let words = "The version is published with another zip, which lock files rely on. Make another version.";
    assert_eq!(refused["error"], words);
    let same = json!({"filename": name, "name": "1.0.1", "status": 1});
    let kept = registry.storefront_put(&path("versions", &made), &same).send().await.expect(200).json();
    assert_eq!(json!([kept["filename"], kept["status"]]), json!([name, 1]));
    assert_eq!(published(&registry, "acme/lib").await, ["5.0.0", "2.0.0", "1.0.1", "1.0.0"]);
}

#[tokio::test]
async fn a_version_that_cannot_be_one_is_refused_with_the_reason() {
    let registry = TestRegistry::new();
    let lib = made(&registry, "acme/lib").await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "one"}), "name"),
        (json!({"name": " 1.0"}), "name"),
        (json!({"name": "1.0", "status": 5}), "status"),
        (json!({"name": "1.0", "color": 5}), "color"),
    ] {
        let refused = version(&registry, &lib, body.clone()).await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{body}: {refused}");
    }
    let done = version(&registry, &lib, json!({"name": "1.0"})).await.expect(201).json();
    let waiting = version(&registry, &lib, json!({"name": "2.0"})).await.expect(201).json();
    registry.storefront_patch(&path("versions", &waiting), &json!({"name": "1.0.0"})).send().await.expect(409);
    file(&registry, &done, package("acme/lib", "1")).await.expect(201);
    registry.storefront_patch(&path("versions", &done), &json!({"name": "3.0"})).send().await.expect(400);
    registry.storefront_patch(&path("versions", &done), &json!({"name": "v1.0.0"})).send().await.expect(200);
    registry.published("acme/git", &["1.0.0"]).await;
    let git = json!({"id": registry.package_id("acme/git")});
    version(&registry, &git, json!({"name": "9.0.0"})).await.expect(409);
    version(&registry, &json!({"id": 77}), json!({"name": "9.0.0"})).await.expect(404);
    let request = || registry.storefront_post(&format!("/versions/package/{}", lib["id"]), &json!({"name": "7.0"}));
    let mut statuses = crate::support::statuses_of_concurrent([request(), request()]).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn only_who_may_write_and_sees_it_changes_anything() {
    let registry = TestRegistry::new();
    let lib = made(&registry, "acme/lib").await;
    let done = version(&registry, &lib, json!({"name": "1.0"})).await.expect(201).json();
    file(&registry, &done, package("acme/lib", "1")).await.expect(201);
    let (_, reader) = registry.token(&json!({"description": "r", "scopes": ["storefront:read"]})).await;
    let elsewhere = json!({"description": "w", "scopes": ["storefront:read", "storefront:write"],
                           "allowed_package_prefixes": ["other/"]});
    let (_, elsewhere) = registry.token(&elsewhere).await;
    let patch = |token: &str, path: &str| {
        registry.patch(&format!("/api/storefront{path}")).bearer(token).json(&json!({"status": 0})).send()
    };
    for path in [path("packages", &lib), path("versions", &done)] {
        patch(&reader, &path).await.expect(403);
        patch(&elsewhere, &path).await.expect(404);
        registry.get(&format!("/api/storefront{path}")).bearer(&elsewhere).send().await.expect(404);
        registry.get(&format!("/api/storefront{path}")).bearer(&reader).send().await.expect(200);
        registry.get(&format!("/api/storefront{path}")).send().await.expect(401);
    }
    let list = registry.get("/api/storefront/packages").bearer(&elsewhere).send().await.expect(200);
    assert_eq!((list.header("x-total-count"), list.json()), ("0", json!([])));
    let body = json!({"name": "acme/new"});
    registry.post("/api/storefront/packages").bearer(&elsewhere).json(&body).send().await.expect(403);
    assert_eq!(published(&registry, "acme/lib").await, ["1.0"]);
}

#[tokio::test]
async fn what_a_sync_finds_does_not_show_what_is_hidden() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    let package = registry.package_id("acme/lib");
    let versions = registry.storefront_get(&format!("/versions/package/{package}")).send().await.expect(200).json();
    let of = |name: &str| {
        let found = versions.as_array().into_iter().flatten().find(|version| version["name"] == name);
        path("versions", found.expect("a version"))
    };
    status(&registry, &of("1.1.0"), 0).await.expect(200);
    repo.tag("2.0.0");
    registry.sync(&id).await;
    assert_eq!(published(&registry, "acme/lib").await, ["2.0.0", "1.0.0"]);
    // A tag that goes and comes back is hidden as before.
    repo.delete("refs/tags/1.1.0");
    registry.sync(&id).await;
    repo.tag("1.1.0");
    registry.sync(&id).await;
    assert_eq!(published(&registry, "acme/lib").await, ["2.0.0", "1.0.0"]);
    registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(404);

    let whole = format!("/packages/{package}");
    status(&registry, &whole, 0).await.expect(201);
    repo.tag("3.0.0");
    registry.sync(&id).await;
    assert_eq!(published(&registry, "acme/lib").await, [""; 0]);
    assert_eq!(status(&registry, &whole, 1).await.expect(201).json()["description"], "A library");
    assert_eq!(published(&registry, "acme/lib").await, ["3.0.0", "2.0.0", "1.0.0"]);
    registry.storefront_delete(&whole).send().await.expect(409);
    registry.storefront_delete(&of("1.0.0")).send().await.expect(409);
}

#[tokio::test]
async fn a_shop_reads_what_a_consumer_installed_when_and_from_where() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let (consumer, other) = (registry.consumer().await, registry.consumer().await);
    for one in [&consumer, &other] {
        registry.grant(one, "acme/lib", "*").await;
    }
    let installs = async |who: &TestConsumer, address: &str, versions: &[&str]| {
        let entries: Vec<Value> =
            versions.iter().map(|version| json!({"name": "acme/lib", "version": version})).collect();
        let request = registry.post("/notify-batch").pair(&who.public_key, &who.private_key).composer();
        let request = request.header("cf-connecting-ip", address).json(&json!({ "downloads": entries }));
        request.send().await.expect(204);
        registry.run_until_idle().await;
    };
    let path = format!("/consumers/{}/statistics", consumer.id);
    let told = async || registry.storefront_get(&path).send().await.expect(200).json();
    assert_eq!(told().await, json!([]));
    installs(&consumer, "203.0.113.1", &["1.0.0.0", "2.0.0.0"]).await;
    installs(&other, "203.0.113.9", &["1.0.0.0"]).await;
    let first = told().await[0]["first_at"].clone();
    registry.advance_seconds(60);
    installs(&consumer, "203.0.113.2", &["2.0.0.0"]).await;
    registry.advance_seconds(24 * 3600);
    installs(&consumer, "203.0.113.3", &["2.0.0.0"]).await;
    let found = told().await;
    let row =
        |version: &str| found.as_array().into_iter().flatten().find(|row| row["version"] == version).expect("a row");
    let two = row("2.0.0");
    assert_eq!(found.as_array().map(Vec::len), Some(2));
    assert_eq!(json!([two["package"], two["package_id"]]), json!(["acme/lib", registry.package_id("acme/lib")]));
    assert_eq!(json!([two["downloads"], two["first_at"], two["last_address"]]), json!([3, first, "203.0.113.3"]));
    assert_ne!(two["first_at"], two["last_at"]);
    let one = row("1.0.0");
    assert_eq!(json!([one["downloads"], one["last_at"], one["last_address"]]), json!([1, first, "203.0.113.1"]));
    registry.storefront_get("/consumers/99/statistics").send().await.expect(404);
    let page = registry.storefront_get(&format!("{path}?limit=1")).send().await.expect(200);
    assert_eq!((page.header("x-total-count"), page.json()), ("2", json!([two])));
}

#[tokio::test]
async fn what_is_hidden_is_not_there_for_operators_to_change() {
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "1.0.0", package("acme/lib", "1")).await.expect(201);
    let id = registry.package_id("acme/lib");
    let versions = registry.storefront_get(&format!("/versions/package/{id}")).send().await.expect(200).json();
    let (whole, one) = (format!("/packages/{id}"), path("versions", &versions[0]));
    for hidden in [&whole, &one] {
        registry.storefront_patch(hidden, &json!({"status": 0})).send().await;
        let noted = actions(&registry).len();
        let address = "/api/packages/acme%2Flib";
        let version = format!("{address}/versions/1.0.0");
        registry.patch(address).bearer(ADMIN).json(&json!({"abandoned": true})).send().await.expect(404);
        registry.delete(address).bearer(ADMIN).send().await.expect(404);
        registry.post(&format!("{version}/yank")).bearer(ADMIN).send().await.expect(404);
        registry.delete(&version).bearer(ADMIN).send().await.expect(404);
        assert_eq!(actions(&registry).len(), noted);
        registry.storefront_patch(hidden, &json!({"status": 1})).send().await;
        assert_eq!(published(&registry, "acme/lib").await, ["1.0.0"]);
    }
}

#[tokio::test]
async fn a_limited_shop_lists_the_packages_of_its_grants_and_reads_versions_of_none_that_it_sees_whole() {
    let registry = TestRegistry::new();
    for name in ["acme/a", "acme/b", "acme/c", "other/d"] {
        registry.published(name, &["1.0.0", "2.0.0"]).await;
    }
    let list = async |grants: Value| {
        let spec = json!({"description": "a shop", "scopes": ["storefront:*"], "grants": grants});
        let (_, token) = registry.token(&spec).await;
        registry.get("/api/storefront/packages").bearer(&token).send().await.expect(200);
        let request = registry.get("/api/storefront/packages?limit=2").bearer(&token);
        let (reply, calls) = registry.counted(request.send()).await;
        let page = reply.expect(200);
        let rows = page.json();
        let names: Vec<&Value> = rows.as_array().expect("a page").iter().map(|row| &row["name"]).collect();
        (json!(names), page.header("x-total-count").to_owned(), calls.statements)
    };
    assert_eq!(list(json!([{"pattern": "acme/*"}])).await, (json!(["acme/a", "acme/b"]), "3".to_owned(), 2));
    let part = json!([{"pattern": "acme/*", "constraint": "1.*"}, {"package": "acme/c"}, {"package": "other/d", "constraint": "9.*"}]);
    assert_eq!(list(part).await, (json!(["acme/a", "acme/b"]), "3".to_owned(), 3));
}
