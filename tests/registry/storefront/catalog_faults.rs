//! What is left when the database or the blob store fail while a shop changes packages and versions.

use serde_json::{Value, json};

use crate::support::faults::with_every_call_failing;
use crate::support::zips::package;
use crate::support::{ADMIN, Port, TestRegistry, TestRequest, sha1_of};

/// What the registry knows, and what composer is told; ids and times left out.
async fn state(registry: &TestRegistry) -> Vec<Value> {
    let mut rows = registry.database.rows(
        "SELECT name, description, hidden_at IS NOT NULL AS hidden, json_array_length(version_index) AS listed
           FROM packages ORDER BY name",
    );
    rows.extend(registry.database.rows(
        "SELECT p.name, v.pretty, v.ref_name, v.hidden_at IS NOT NULL AS hidden, d.artifact_sha256 AS zip
           FROM versions v JOIN packages p ON p.id = v.package_id LEFT JOIN dists d ON d.version_id = v.id
          ORDER BY p.name, v.pretty",
    ));
    let reply = registry.get_from_new_isolate("/p2/acme/lib.json").await;
    rows.push(json!(if reply.status == 404 { Vec::new() } else { reply.version_names("acme/lib") }));
    rows
}

fn notes(registry: &TestRegistry) -> usize {
    registry.database.rows("SELECT id FROM audit_log WHERE action <> 'repository.created'").len()
}

/// A package with a published version and one that waits for its zip; the ids of all three.
async fn shop() -> (TestRegistry, [i64; 3]) {
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "1.0.0", package("acme/lib", "1")).await.expect(201);
    let lib = registry.package_id("acme/lib");
    let path = format!("/versions/package/{lib}");
    registry.storefront_post(&path, &json!({"name": "2.0.0", "status": 0})).send().await.expect(201);
    let rows = registry.storefront_get(&path).send().await.expect(200).json();
    let ids = [0, 1].map(|at| rows[at]["id"].as_i64().expect("an integer"));
    (registry, [lib, ids[0], ids[1]])
}

fn zip_of_the_first() -> String {
    format!("{}.zip", sha1_of(&package("acme/lib", "1")))
}

type Change = fn(&TestRegistry, [i64; 3]) -> TestRequest;

/// Each change with its status, and those of asking again when it was done already.
const CHANGES: [(Change, u16, &[u16]); 12] = [
    (|registry, _| registry.storefront_post("/packages", &json!({"name": "acme/new", "status": 0})), 201, &[409]),
    (|registry, [lib, ..]| registry.storefront_patch(&format!("/packages/{lib}"), &json!({"status": 0})), 201, &[201]),
    (
        |registry, [lib, ..]| {
            let body = json!({"status": 0, "description": "Other"});
            registry.storefront_patch(&format!("/packages/{lib}"), &body)
        },
        201,
        &[201],
    ),
    (|registry, [lib, ..]| registry.storefront_delete(&format!("/packages/{lib}")), 204, &[404]),
    (
        |registry, [lib, ..]| registry.storefront_post(&format!("/versions/package/{lib}"), &json!({"name": "3.0.0"})),
        201,
        &[409],
    ),
    (
        |registry, [lib, ..]| {
            let body = json!({"name": "3.0.0", "filename": zip_of_the_first(), "status": 0});
            registry.storefront_post(&format!("/versions/package/{lib}"), &body)
        },
        201,
        &[409],
    ),
    (
        |registry, [_, one, _]| registry.storefront_patch(&format!("/versions/{one}"), &json!({"status": 0})),
        200,
        &[200],
    ),
    (
        |registry, [_, _, two]| {
            registry.storefront_patch(&format!("/versions/{two}"), &json!({"name": "4.0.0", "status": 1}))
        },
        200,
        &[200],
    ),
    (
        |registry, [_, _, two]| {
            let body = json!({"filename": zip_of_the_first(), "status": 1});
            registry.storefront_patch(&format!("/versions/{two}"), &body)
        },
        200,
        &[200],
    ),
    (
        |registry, [_, _, two]| {
            let request = registry.put(&format!("/api/storefront/versions/{two}/file"));
            request.bearer(ADMIN).body(package("acme/lib", "2"))
        },
        201,
        &[200],
    ),
    (|registry, [_, one, _]| registry.storefront_delete(&format!("/versions/{one}")), 204, &[404]),
    (|registry, [_, _, two]| registry.storefront_delete(&format!("/versions/{two}")), 204, &[404]),
];

#[tokio::test]
async fn a_change_with_every_call_broken_can_be_asked_for_again_and_is_noted_once() {
    for (index, (change, status, repeated)) in CHANGES.into_iter().enumerate() {
        let (registry, ids) = shop().await;
        let before = notes(&registry);
        change(&registry, ids).send().await.expect(status);
        let (expected, noted) = (state(&registry).await, notes(&registry) - before);
        assert!(noted > 0, "change {index}");
        let broken = with_every_call_failing(&[Port::Database], async |case| {
            let (registry, ids) = shop().await;
            let before = notes(&registry);
            case.arm(&registry);
            let reply = change(&registry, ids).send().await;
            let broken = registry.meter.clear_faults() > 0;
            let is_told = reply.status >= 500 || repeated.contains(&reply.status);
            assert!(reply.status == status || broken && is_told, "{index} {case:?}: {}", reply.text());
            let again = change(&registry, ids).send().await;
            let as_before = again.status == status || repeated.contains(&again.status);
            assert!(as_before, "{index} {case:?}: {} {}", again.status, again.text());
            assert_eq!(state(&registry).await, expected, "{index} {case:?}");
            assert_eq!(notes(&registry) - before, noted, "{index} {case:?}");
            broken
        })
        .await;
        assert!(broken >= 2, "{index}: {broken}");
    }
}

#[tokio::test]
async fn when_the_blob_store_fails_a_version_goes_on_waiting_for_its_zip() {
    let broken = with_every_call_failing(&[Port::Blobs], async |case| {
        let (registry, [_, one, two]) = shop().await;
        let before = state(&registry).await;
        case.arm(&registry);
        let zip = || {
            registry.put(&format!("/api/storefront/versions/{two}/file")).bearer(ADMIN).body(package("acme/lib", "2"))
        };
        let reply = zip().send().await;
        let broken = registry.meter.clear_faults() > 0;
        if broken {
            assert_eq!((reply.status, state(&registry).await), (500, before), "{case:?}");
        }
        let again = zip().send().await;
        assert_eq!(again.status, if broken { 201 } else { 200 }, "{case:?}");
        registry.storefront_get(&format!("/versions/{one}")).send().await.expect(200);
        broken
    })
    .await;
    assert_eq!(broken, 2);
}
