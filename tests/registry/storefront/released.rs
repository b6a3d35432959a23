//! The date by which a version is sold: when customers could first have it, whatever it was before.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, Repo, TestConsumer, TestRegistry, TestResponse, file as git_file, manifest};

const DAY: u64 = 24 * 3600;
/// Every test begins on the first of January 2026.
const DAYS: [&str; 4] = ["2026-01-01 12:00:00", "2026-01-02 12:00:00", "2026-01-03 12:00:00", "2026-01-04 12:00:00"];

async fn a_package(registry: &TestRegistry, body: Value) -> Value {
    registry.storefront_post("/packages", &body).send().await.expect(201).json()
}

async fn make(registry: &TestRegistry, package: &Value, body: Value) -> TestResponse {
    registry.storefront_post(&format!("/versions/package/{}", package["id"]), &body).send().await
}

async fn put_file(registry: &TestRegistry, version: &Value, note: &str) -> Value {
    let address = format!("/api/storefront/versions/{}/file", version["id"]);
    registry.put(&address).bearer(ADMIN).body(package("acme/lib", note)).send().await.expect(201).json()
}

async fn change(registry: &TestRegistry, version: &Value, body: Value) -> TestResponse {
    registry.storefront_patch(&format!("/versions/{}", version["id"]), &body).send().await
}

/// Customers of every version that is released up to each of [`DAYS`].
async fn customers(registry: &TestRegistry) -> Vec<TestConsumer> {
    let mut customers = Vec::new();
    for (number, day) in DAYS.iter().enumerate() {
        let email = format!("{number}@example.com");
        let customer = registry.consumer_as(&json!({ "email": email })).await;
        let body = json!({
            "consumer_id": customer.id, "package": "acme/lib", "version": "*", "updates_until": day,
            "minimum_stability": "dev",
        });
        registry.storefront_post("/permissions", &body).send().await.expect(201);
        customers.push(customer);
    }
    customers
}

/// Which of [`DAYS`] is the first that a version is sold until: what composer reads, what it downloads, and what lists show
/// must go by the same date.
async fn first_day(registry: &TestRegistry, customers: &[TestConsumer], version: &str) -> usize {
    let mut have = Vec::new();
    for customer in customers {
        let isolate = registry.another_isolate();
        let file = if version.starts_with("dev-") { "lib~dev" } else { "lib" };
        let document = customer.get(&isolate, &format!("/p2/acme/{file}.json")).send().await;
        let has = document.status == 200 && document.version_names("acme/lib").iter().any(|name| name == version);
        let zip = customer.get(&isolate, &format!("/dist/acme/lib/{version}.zip")).send().await;
        assert_eq!(zip.status == 200, has, "{version}: its zip goes by another date than the document");
        let listed = customer.get(&isolate, "/api/packages/acme%2Flib/versions").send().await;
        let listed = listed.status == 200
            && listed.json().as_array().expect("a list").iter().any(|one| one["version"] == version);
        assert_eq!(listed, has, "{version}: lists go by another date than the document");
        have.push(has);
    }
    assert!(have.is_sorted(), "{version}: updates until a later day hold less");
    have.iter().filter(|has| !**has).count()
}

#[tokio::test]
async fn a_zip_that_was_uploaded_hidden_is_released_when_it_is_shown_for_the_first_time() {
    let registry = TestRegistry::new();
    let lib = a_package(&registry, json!({"name": "acme/lib"})).await;
    let customers = customers(&registry).await;
    let visible = make(&registry, &lib, json!({"name": "1.0.0"})).await.expect(201).json();
    assert_eq!(put_file(&registry, &visible, "one").await["released_at"], "2026-01-01 00:00:00");
    let hidden = make(&registry, &lib, json!({"name": "2.0.0", "status": 0})).await.expect(201).json();
    assert_eq!(put_file(&registry, &hidden, "two").await["released_at"], json!(null));
    registry.advance_seconds(2 * DAY);
    let shown = change(&registry, &hidden, json!({"status": 1})).await.expect(200).json();
    assert_eq!(shown["released_at"], "2026-01-03 00:00:00");
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 2);
    assert_eq!(first_day(&registry, &customers, "1.0.0").await, 0);
    let entries = registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).versions("acme/lib");
    assert_eq!(entries[0]["published-time"], "2026-01-03T00:00:00Z", "nor has anybody waited for it before");

    // Hidden and shown again, it is what it was.
    change(&registry, &hidden, json!({"status": 0})).await.expect(200);
    registry.advance_seconds(DAY);
    let again = change(&registry, &hidden, json!({"status": 1})).await.expect(200).json();
    assert_eq!(again["released_at"], "2026-01-03 00:00:00");
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 2);
}

#[tokio::test]
async fn versions_of_a_hidden_package_are_released_when_it_is_shown_with_them() {
    let registry = TestRegistry::new();
    let lib = a_package(&registry, json!({"name": "acme/lib", "status": 0})).await;
    let customers = customers(&registry).await;
    let first = make(&registry, &lib, json!({"name": "1.0.0"})).await.expect(201).json();
    put_file(&registry, &first, "one").await;
    let second = make(&registry, &lib, json!({"name": "2.0.0", "status": 0})).await.expect(201).json();
    put_file(&registry, &second, "two").await;
    registry.advance_seconds(DAY);
    let path = format!("/packages/{}", lib["id"]);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(201);
    assert_eq!(first_day(&registry, &customers, "1.0.0").await, 1);
    registry.advance_seconds(DAY);
    // What is shown while the package is hidden is shown with it.
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(201);
    assert_eq!(change(&registry, &second, json!({"status": 1})).await.expect(200).json()["released_at"], json!(null));
    registry.advance_seconds(DAY);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(201);
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 3);
    assert_eq!(first_day(&registry, &customers, "1.0.0").await, 1, "its date stays");
}

#[tokio::test]
async fn a_version_that_waits_for_its_zip_is_released_with_it() {
    let registry = TestRegistry::new();
    let lib = a_package(&registry, json!({"name": "acme/lib"})).await;
    let customers = customers(&registry).await;
    let waiting = make(&registry, &lib, json!({"name": "1.0.0", "filename": "one.zip"})).await.expect(201).json();
    assert_eq!(waiting["released_at"], json!(null));
    registry.advance_seconds(DAY);
    change(&registry, &waiting, json!({"name": "1.0.1"})).await.expect(200);
    registry.advance_seconds(DAY);
    assert_eq!(put_file(&registry, &waiting, "one").await["released_at"], "2026-01-03 00:00:00");
    assert_eq!(first_day(&registry, &customers, "1.0.1").await, 2);
}

#[tokio::test]
async fn a_version_that_moves_here_is_sold_by_the_date_that_its_shop_states() {
    let registry = TestRegistry::new();
    registry.advance_seconds(3 * DAY);
    let lib = a_package(&registry, json!({"name": "acme/lib"})).await;
    let customers = customers(&registry).await;
    // Stated when it is made, before its zip is there.
    let made = json!({"name": "1.0.0", "released_at": "2026-01-01 13:00:00"});
    let made = make(&registry, &lib, made).await.expect(201).json();
    assert_eq!(made["released_at"], "2026-01-01 13:00:00");
    assert_eq!(put_file(&registry, &made, "one").await["released_at"], "2026-01-01 13:00:00");
    assert_eq!(first_day(&registry, &customers, "1.0.0").await, 1);
    // With a zip that the package has.
    let filename =
        registry.storefront_get(&format!("/versions/{}", made["id"])).send().await.json()["filename"].clone();
    let copy = json!({"name": "1.0.1", "filename": filename, "released_at": "2026-01-02T14:00:00+01:00"});
    let copy = make(&registry, &lib, copy).await.expect(201).json();
    assert_eq!(copy["released_at"], "2026-01-02 13:00:00");
    assert_eq!(first_day(&registry, &customers, "1.0.1").await, 2);
    // Stated of one that waits, and taken back.
    let waiting = make(&registry, &lib, json!({"name": "1.1.0"})).await.expect(201).json();
    let dated = change(&registry, &waiting, json!({"released_at": 1_767_225_600})).await.expect(200).json();
    assert_eq!(dated["released_at"], "2026-01-01 00:00:00");
    assert_eq!(change(&registry, &waiting, json!({"security_fix": false})).await.expect(200).json(), dated);
    assert_eq!(
        change(&registry, &waiting, json!({"released_at": null})).await.expect(200).json()["released_at"],
        json!(null)
    );
    assert_eq!(put_file(&registry, &waiting, "two").await["released_at"], "2026-01-04 00:00:00");
    // Stated of one that is hidden, and shown by the same request.
    let hidden = make(&registry, &lib, json!({"name": "1.2.0", "status": 0})).await.expect(201).json();
    put_file(&registry, &hidden, "three").await;
    change(&registry, &hidden, json!({"released_at": "2026-01-03"})).await.expect(200);
    let back = change(&registry, &hidden, json!({"released_at": null})).await.expect(200).json();
    assert_eq!(back["released_at"], json!(null));
    let shown = change(&registry, &hidden, json!({"released_at": "2026-01-02", "status": 1})).await.expect(200).json();
    assert_eq!(shown["released_at"], "2026-01-02 23:59:59");
    assert_eq!(first_day(&registry, &customers, "1.2.0").await, 2);
    // Stated with an upload.
    let address = "/api/packages/acme/lib/versions/1.3.0?released_at=2026-01-01+13:00:00";
    let upload = || registry.put(address).bearer(ADMIN).body(package("acme/lib", "four"));
    upload().send().await.expect(201);
    upload().send().await.expect(200);
    assert_eq!(first_day(&registry, &customers, "1.3.0").await, 1);
    let other = registry.put(&address.replace("2026", "2025")).bearer(ADMIN).body(package("acme/lib", "four"));
    other.send().await.expect(409);
    let audited = registry.database.rows(
        "SELECT label, action, json_extract(details, '$.released_at') AS date FROM audit_log
          WHERE json_extract(details, '$.released_at') IS NOT NULL ORDER BY id",
    );
    let of = |label: &str, action: &str, date: &str| json!({"label": format!("acme/lib {label}"), "action": action, "date": date});
    let expected = [
        of("1.0.0", "version.created", "2026-01-01T13:00:00Z"),
        of("1.0.1", "version.uploaded", "2026-01-02T13:00:00Z"),
        of("1.1.0", "version.changed", "2026-01-01T00:00:00Z"),
        of("1.2.0", "version.release_dated", "2026-01-03T23:59:59Z"),
        of("1.2.0", "version.release_dated", "2026-01-02T23:59:59Z"),
        of("1.3.0", "version.uploaded", "2026-01-01T13:00:00Z"),
    ];
    assert_eq!(audited, expected);
}

#[tokio::test]
async fn the_date_of_a_version_that_could_be_seen_stays() {
    let registry = TestRegistry::new();
    let lib = a_package(&registry, json!({"name": "acme/lib"})).await;
    let version = make(&registry, &lib, json!({"name": "1.0.0"})).await.expect(201).json();
    put_file(&registry, &version, "one").await;
    registry.advance_seconds(DAY);
    for status in [1, 0] {
        change(&registry, &version, json!({"status": status})).await.expect(200);
        for other in [json!("2025-06-01"), json!(null)] {
            let refused =
                change(&registry, &version, json!({"released_at": other, "status": 1})).await.expect(409).json();
            let words = "Version 1.0.0 of acme/lib could be installed since 2026-01-01 00:00:00 UTC, which stays the date by \
                         which it is sold. Another one can be given as long as nobody could see the version.";
            assert_eq!(refused["error"], words);
        }
        let same = json!({"released_at": "2026-01-01 00:00:00"});
        let same = change(&registry, &version, same).await.expect(200).json();
        assert_eq!(json!([same["released_at"], same["status"]]), json!(["2026-01-01 00:00:00", status]));
    }
}

#[tokio::test]
async fn a_date_that_cannot_be_one_is_refused_with_the_reason() {
    let registry = TestRegistry::new();
    let lib = a_package(&registry, json!({"name": "acme/lib"})).await;
    let hidden = make(&registry, &lib, json!({"name": "1.0.0", "status": 0})).await.expect(201).json();
    put_file(&registry, &hidden, "one").await;
    for (date, reason) in [
        (json!("2026-01-01"), "must not lie in the future; hide the version (\"status\": 0) until it is to be sold"),
        (json!(0), "must not lie before 1995-06-08, when there was no PHP; null leaves the date open"),
        (
            json!("soon"),
            "must be a moment: `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601 like `2028-01-01T00:00:00+01:00`, unix \
                         seconds, or a day, which stands for its last second in UTC",
        ),
    ] {
        for refused in [
            make(&registry, &lib, json!({"name": "2.0.0", "released_at": date})).await,
            change(&registry, &hidden, json!({"released_at": date})).await,
        ] {
            assert_eq!(refused.expect(400).json()["details"]["released_at"], json!([reason]), "{date}");
        }
    }
    let address = "/api/packages/acme/lib/versions/3.0.0";
    for query in ["?released_at=2027-01-01", "?released_at=", "?released=2025-01-01"] {
        let request = registry.put(&format!("{address}{query}")).bearer(ADMIN).body(package("acme/lib", "three"));
        request.send().await.expect(400);
    }
}

/// A repository whose package is hidden, with a tag that is there in its first sync.
async fn hidden_repository(registry: &TestRegistry) -> (Repo, String, String) {
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let path = format!("/packages/{}", registry.package_id("acme/lib"));
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(201);
    (repo, id, path)
}

#[tokio::test]
async fn a_tag_that_states_no_date_is_released_when_its_package_is_shown() {
    let registry = TestRegistry::new();
    let customers = customers(&registry).await;
    let (repo, id, path) = hidden_repository(&registry).await;
    registry.advance_seconds(DAY);
    repo.tag("2.0.0");
    // 2026-01-01 13:00:00
    repo.annotated_tag_at("3.0.0", 1_767_272_400);
    registry.sync(&id).await;
    registry.advance_seconds(DAY);
    registry.sync(&id).await;
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(201);
    assert_eq!(first_day(&registry, &customers, "1.0.0").await, 0, "the first sync goes by the commit");
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 2);
    assert_eq!(first_day(&registry, &customers, "3.0.0").await, 1, "an annotated tag goes by its own date");
    // It stays when the tag goes and comes back.
    registry.advance_seconds(DAY);
    repo.delete("refs/tags/2.0.0");
    registry.sync(&id).await;
    repo.tag("2.0.0");
    registry.sync(&id).await;
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 2);
}

#[tokio::test]
async fn a_branch_that_moves_while_it_is_hidden_is_released_when_it_is_shown() {
    let registry = TestRegistry::new();
    let customers = customers(&registry).await;
    let (repo, id, path) = hidden_repository(&registry).await;
    registry.advance_seconds(DAY);
    repo.commit(&[manifest("acme/lib"), git_file("new.php", "<?php")]);
    registry.sync(&id).await;
    registry.advance_seconds(DAY);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(201);
    assert_eq!(first_day(&registry, &customers, "dev-main").await, 2);
}

#[tokio::test]
async fn a_tag_of_a_hidden_package_can_be_dated_and_keeps_the_date() {
    let registry = TestRegistry::new();
    let customers = customers(&registry).await;
    let (repo, id, path) = hidden_repository(&registry).await;
    registry.advance_seconds(3 * DAY);
    repo.tag("2.0.0");
    registry.sync(&id).await;
    let versions = format!("/versions{path}").replace("packages", "package");
    let versions = registry.storefront_get(&versions).send().await.expect(200).json();
    let version = versions.as_array().expect("a list").iter().find(|one| one["name"] == "2.0.0").expect("one").clone();
    change(&registry, &version, json!({"released_at": "2026-01-01 13:00:00"})).await.expect(200);
    repo.commit(&[manifest("acme/lib"), git_file("new.php", "<?php")]);
    repo.tag("2.0.0");
    registry.sync(&id).await;
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(201);
    assert_eq!(first_day(&registry, &customers, "2.0.0").await, 1);
}

#[tokio::test]
async fn a_dev_version_that_is_uploaded_anew_is_released_anew() {
    let registry = TestRegistry::new();
    let customers = customers(&registry).await;
    registry.upload("acme/lib", "dev-main", package("acme/lib", "one")).await.expect(201);
    registry.advance_seconds(2 * DAY);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(201);
    assert_eq!(first_day(&registry, &customers, "dev-main").await, 2);
}
