//! What is left when the database or the blob store fail while a shop changes packages and versions.

use serde_json::{Value, json};

use crate::support::faults::break_every_call;
use crate::support::zips::package;
use crate::support::{ADMIN, Ask, Port, World, sha1_of};

/// What the registry knows, and what composer is told; ids and times left out.
async fn state(world: &World) -> Vec<Value> {
    let mut rows = world.database.rows(
        "SELECT name, description, hidden_at IS NOT NULL AS hidden, json_array_length(version_index) AS listed
           FROM packages ORDER BY name",
    );
    rows.extend(world.database.rows(
        "SELECT p.name, v.pretty, v.ref_name, v.hidden_at IS NOT NULL AS hidden, d.artifact_sha256 AS zip
           FROM versions v JOIN packages p ON p.id = v.package_id LEFT JOIN dists d ON d.version_id = v.id
          ORDER BY p.name, v.pretty",
    ));
    let reply = world.fresh("/p2/acme/lib.json").await;
    rows.push(json!(if reply.status == 404 { Vec::new() } else { reply.version_names("acme/lib") }));
    rows
}

fn notes(world: &World) -> usize {
    world.database.rows("SELECT id FROM audit_log WHERE action <> 'repository.created'").len()
}

/// A package with a published version and one that waits for its zip; the ids of all three.
async fn shop() -> (World, [i64; 3]) {
    let world = World::new();
    world.upload("acme/lib", "1.0.0", package("acme/lib", "1")).await.expect(201);
    let lib = world.package_id("acme/lib");
    let path = format!("/versions/package/{lib}");
    world.shop_posts(&path, &json!({"name": "2.0.0", "status": 0})).send().await.expect(201);
    let rows = world.shop_gets(&path).send().await.expect(200).json();
    let ids = [0, 1].map(|at| rows[at]["id"].as_i64().expect("an integer"));
    (world, [lib, ids[0], ids[1]])
}

fn zip_of_the_first() -> String {
    format!("{}.zip", sha1_of(&package("acme/lib", "1")))
}

type Change = fn(&World, [i64; 3]) -> Ask;

/// Each change with its status, and those of asking again when it was done already.
const CHANGES: [(Change, u16, &[u16]); 12] = [
    (|world, _| world.shop_posts("/packages", &json!({"name": "acme/new", "status": 0})), 201, &[409]),
    (|world, [lib, ..]| world.shop_patches(&format!("/packages/{lib}"), &json!({"status": 0})), 201, &[201]),
    (
        |world, [lib, ..]| {
            let body = json!({"status": 0, "description": "Other"});
            world.shop_patches(&format!("/packages/{lib}"), &body)
        },
        201,
        &[201],
    ),
    (|world, [lib, ..]| world.shop_deletes(&format!("/packages/{lib}")), 204, &[404]),
    (|world, [lib, ..]| world.shop_posts(&format!("/versions/package/{lib}"), &json!({"name": "3.0.0"})), 201, &[409]),
    (
        |world, [lib, ..]| {
            let body = json!({"name": "3.0.0", "filename": zip_of_the_first(), "status": 0});
            world.shop_posts(&format!("/versions/package/{lib}"), &body)
        },
        201,
        &[409],
    ),
    (|world, [_, one, _]| world.shop_patches(&format!("/versions/{one}"), &json!({"status": 0})), 200, &[200]),
    (
        |world, [_, _, two]| world.shop_patches(&format!("/versions/{two}"), &json!({"name": "4.0.0", "status": 1})),
        200,
        &[200],
    ),
    (
        |world, [_, _, two]| {
            let body = json!({"filename": zip_of_the_first(), "status": 1});
            world.shop_patches(&format!("/versions/{two}"), &body)
        },
        200,
        &[200],
    ),
    (
        |world, [_, _, two]| {
            let ask = world.put(&format!("/api/storefront/versions/{two}/file"));
            ask.bearer(ADMIN).body(package("acme/lib", "2"))
        },
        201,
        &[200],
    ),
    (|world, [_, one, _]| world.shop_deletes(&format!("/versions/{one}")), 204, &[404]),
    (|world, [_, _, two]| world.shop_deletes(&format!("/versions/{two}")), 204, &[404]),
];

#[tokio::test]
async fn a_change_with_every_call_broken_can_be_asked_for_again_and_is_noted_once() {
    for (index, (change, status, repeated)) in CHANGES.into_iter().enumerate() {
        let (world, ids) = shop().await;
        let before = notes(&world);
        change(&world, ids).send().await.expect(status);
        let (expected, noted) = (state(&world).await, notes(&world) - before);
        assert!(noted > 0, "change {index}");
        let broken = break_every_call(&[Port::Database], async |case| {
            let (world, ids) = shop().await;
            let before = notes(&world);
            case.arm(&world);
            let reply = change(&world, ids).send().await;
            let broken = world.meter.mend() > 0;
            let is_told = reply.status >= 500 || repeated.contains(&reply.status);
            assert!(reply.status == status || broken && is_told, "{index} {case:?}: {}", reply.text());
            let again = change(&world, ids).send().await;
            let as_before = again.status == status || repeated.contains(&again.status);
            assert!(as_before, "{index} {case:?}: {} {}", again.status, again.text());
            assert_eq!(state(&world).await, expected, "{index} {case:?}");
            assert_eq!(notes(&world) - before, noted, "{index} {case:?}");
            broken
        })
        .await;
        assert!(broken >= 2, "{index}: {broken}");
    }
}

#[tokio::test]
async fn when_the_blob_store_fails_a_version_goes_on_waiting_for_its_zip() {
    let broken = break_every_call(&[Port::Blobs], async |case| {
        let (world, [_, one, two]) = shop().await;
        let before = state(&world).await;
        case.arm(&world);
        let zip =
            || world.put(&format!("/api/storefront/versions/{two}/file")).bearer(ADMIN).body(package("acme/lib", "2"));
        let reply = zip().send().await;
        let broken = world.meter.mend() > 0;
        if broken {
            assert_eq!((reply.status, state(&world).await), (500, before), "{case:?}");
        }
        let again = zip().send().await;
        assert_eq!(again.status, if broken { 201 } else { 200 }, "{case:?}");
        world.shop_gets(&format!("/versions/{one}")).send().await.expect(200);
        broken
    })
    .await;
    assert_eq!(broken, 2);
}
