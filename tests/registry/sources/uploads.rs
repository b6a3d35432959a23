//! Uploaded zips: what is published, what is refused, and that a version stays what it is.

use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::support::faults::{InjectedFault, count, with_every_call_failing};
use crate::support::zips::{ZipEntry, package, package_with, patched, text, zip_of};
use crate::support::{ADMIN, FaultTiming, Port, TestRegistry, TestResponse};

async fn upload(registry: &TestRegistry, version: &str, zip: impl Into<bytes::Bytes>) -> TestResponse {
    registry.upload("acme/lib", version, zip).await
}

/// The `error` of a refusal.
fn words(reply: &TestResponse) -> String {
    reply.json()["error"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_zip_becomes_a_version_that_composer_reads_and_downloads() {
    let registry = TestRegistry::new();
    let zip = package("acme/lib", "one");
    let (sha1, sha256) = (hex::encode(Sha1::digest(&zip)), hex::encode(Sha256::digest(&zip)));
    let reply = upload(&registry, "v1.0.0", zip.clone()).await.expect(201);
    let mut body = reply.json();
    assert!(body["id"].take().is_string());
    let expected = json!({
        "id": null, "name": "acme/lib", "version": "v1.0.0", "normalized_version": "1.0.0.0", "reference": sha1,
        "sha256": sha256, "size": zip.len(), "remarks": [],
    });
    assert_eq!(body, expected);
    assert_eq!(registry.blobs.keys(), [format!("dist/{}/{sha256}.zip", &sha256[..2])]);

    let entry = registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).versions("acme/lib").remove(0);
    let url = format!("https://registry.test/dist/acme/lib/v1.0.0/{sha1}.zip");
    assert_eq!(entry["dist"], json!({"type": "zip", "url": url, "reference": sha1, "shasum": sha1}));
    assert_eq!((entry["version"].as_str(), entry["version_normalized"].as_str()), (Some("v1.0.0"), Some("1.0.0.0")));
    assert_eq!(entry["time"], "2026-01-01T00:00:00Z");
    assert_eq!(entry["published-time"], "2026-01-01T00:00:00Z");
    assert_eq!((entry.get("source"), &entry["description"]), (None, &json!("Uploaded")));
    let path = url.strip_prefix("https://registry.test").expect("ours");
    assert_eq!(registry.get_from_new_isolate(path).await.expect(200).body, zip);
    assert_eq!(registry.listed_names(ADMIN).await, json!(["acme/lib"]));

    let files = registry
        .database
        .rows("SELECT f.kind, f.name, t.content FROM version_files f JOIN texts t ON t.sha256 = f.text_sha256");
    assert_eq!(files, [json!({"kind": "readme", "name": "README.md", "content": "# Read me\n"})]);
    let [repository] = &registry
        .get("/api/repositories")
        .bearer(ADMIN)
        .send()
        .await
        .expect(200)
        .json()
        .as_array()
        .expect("a list")
        .clone()[..]
    else {
        panic!("one repository");
    };
    assert_eq!((&repository["kind"], &repository["sync_status"]), (&json!("artifact"), &json!("ok")));
}

#[tokio::test]
async fn several_versions_and_packages_share_the_organizations_one_repository() {
    let registry = TestRegistry::new();
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    upload(&registry, "1.1.0", package("acme/lib", "two")).await.expect(201);
    upload(&registry, "dev-main", package("acme/lib", "three")).await.expect(201);
    let other = registry.put("/api/packages/acme/other/versions/1.0.0").bearer(ADMIN);
    other.body(package("acme/other", "one")).send().await.expect(201);
    assert_eq!(registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib"), ["1.1.0", "1.0.0"]);
    assert_eq!(registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.version_names("acme/lib"), ["dev-main"]);
    assert_eq!(count(&registry, "repositories"), 1);
    let actions = registry.database.rows("SELECT action, label FROM audit_log ORDER BY id");
    let label = |at: usize| actions[at]["label"].as_str();
    assert_eq!(actions.len(), 5, "{actions:?}");
    assert_eq!(actions[0]["action"], "repository.created");
    assert_eq!((actions[1]["action"].as_str(), label(1)), (Some("version.uploaded"), Some("acme/lib 1.0.0")));
}

#[tokio::test]
async fn the_same_bytes_change_nothing_and_others_are_refused() {
    let registry = TestRegistry::new();
    let first = upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201).json();
    let before = registry.database.rows("SELECT revision FROM organizations");
    registry.advance_seconds(60);
    for spelling in ["1.0.0", "v1.0", "1.0.0.0"] {
        let again = upload(&registry, spelling, package("acme/lib", "one")).await.expect(200).json();
        assert_eq!(again["id"], first["id"]);
        let other = upload(&registry, spelling, package("acme/lib", "two")).await.expect(409);
        let expected = format!(
            "Version {spelling} of acme/lib is published already, with other bytes. Lock files rely on them: publish \
             the change as a new version."
        );
        assert_eq!(words(&other), expected);
    }
    assert_eq!(registry.database.rows("SELECT revision FROM organizations"), before);
    assert_eq!((count(&registry, "versions"), count(&registry, "artifacts"), registry.blobs.keys().len()), (1, 1, 1));
}

#[tokio::test]
async fn a_form_with_one_file_is_as_good_as_a_body() {
    let registry = TestRegistry::new();
    let zip = package("acme/lib", "one");
    let form = |field: &str, more: &str| {
        let mut body = format!("--b\r\nContent-Disposition: form-data; {field}\r\n\r\n").into_bytes();
        body.extend(&zip);
        body.extend(format!("\r\n{more}--b--\r\n").as_bytes());
        body
    };
    let send = async |body: Vec<u8>, boundary: &str| {
        let request = registry.put("/api/packages/acme/lib/versions/1.0.0").bearer(ADMIN);
        request.header(CONTENT_TYPE, &format!("multipart/form-data{boundary}")).body(body).send().await
    };
    let file = r#"name="file"; filename="lib.zip""#;
    let reply = send(form(file, ""), "; boundary=b").await.expect(201);
    assert_eq!(reply.json()["sha256"], hex::encode(Sha256::digest(&zip)));
    let second = "--b\r\nContent-Disposition: form-data; name=\"color\"\r\n\r\nred\r\n";
    let refused = send(form(file, second), "; boundary=b").await.expect(400);
    assert_eq!(refused.json()["details"], json!({"color": ["the form holds one file, the zip, and nothing else"]}));
    send(form(r#"name="file""#, ""), "; boundary=b").await.expect(400);
    send(form(file, ""), "").await.expect(400);
    send(form(file, ""), "; boundary=other").await.expect(400);
    send(
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\ncut off".to_vec(),
        "; boundary=b",
    )
    .await
    .expect(400);
}

#[tokio::test]
async fn composer_json_may_lie_in_the_only_top_level_directory() {
    let registry = TestRegistry::new();
    let manifest = r#"{"name":"acme/lib","version":"1.0"}"#;
    let zip = zip_of(&[
        ZipEntry::Directory("lib-1.0/"),
        text("lib-1.0/composer.json", manifest),
        text("lib-1.0/CHANGELOG.md", "# 1.0\n"),
        ZipEntry::Link("lib-1.0/bin/run", "../src/run.php"),
        text("lib-1.0/src/run.php", "<?php\n"),
        text("lib-1.0/docs/README.md", "not the package's own"),
    ]);
    upload(&registry, "1.0.0", zip).await.expect(201);
    let files = registry.database.rows("SELECT kind, name FROM version_files");
    assert_eq!(files, [json!({"kind": "changelog", "name": "CHANGELOG.md"})]);
}

#[tokio::test]
async fn a_zip_that_is_unsafe_to_unpack_is_refused_with_the_reason() {
    let plain = || package_with(text("aa/evil.php", "x"));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            patched(plain(), "aa/evil.php", "../evil.php"),
            "the path ../evil.php is unsafe: it would leave its directory",
        ),
        (patched(plain(), "aa/evil.php", "a/../vl.php"), "it would leave its directory"),
        (patched(plain(), "aa/evil.php", "/a/evil.php"), "it would leave its directory"),
        (patched(plain(), "aa/evil.php", "C:/evil.php"), "it is absolute on Windows"),
        (patched(plain(), "aa/evil.php", "aa\\evil.php"), "a name holds a path separator"),
        (patched(plain(), "aa/evil.php", "aa/ev\0l.php"), "a name holds a control character"),
        (patched(plain(), "aa/evil.php", ".git/config"), "it would reach a repository's own files"),
        (package_with(ZipEntry::Link("link", "../outside")), "the symlink link is unsafe: its target may lie outside"),
        (package_with(ZipEntry::Link("link", "/etc/passwd")), "the symlink link is unsafe: its target is absolute"),
        (package_with(text("composer.json/a", "{}")), "another path is the same, or is the same where case is ignored"),
        (package_with(text("Composer.json/a", "{}")), "another path is the same, or is the same where case is ignored"),
        (
            zip_of(&[text("composer.json", "{}"), ZipEntry::Link("a", "b"), text("a/c", "written through the link")]),
            "another path is the same, or is the same where case is ignored",
        ),
        (
            patched(
                zip_of(&[text("composer.json", r#"{"name":"acme/lib"}"#), text("composer.jsoX", "{}")]),
                "composer.jsoX",
                "composer.json",
            ),
            "it is not a valid zip file",
        ),
        ([b"#!/bin/sh\n".to_vec(), plain()].concat(), "10 bytes stand before the zip"),
        (plain()[..plain().len() - 30].to_vec(), "it is not a valid zip file"),
        (b"not a zip".to_vec(), "it is not a valid zip file"),
        (package_with(ZipEntry::File("zeros", vec![0; 8 << 20])), "it unpacks to more than "),
        (zip_of(&[text("README.md", "x")]), "the archive has no composer.json"),
        (zip_of(&[text("a/composer.json", "{}"), text("b/x", "")]), "more than one top-level entry"),
        (zip_of(&[text("composer.json", &" ".repeat(200_001))]), "its composer.json is larger than 200000 bytes"),
    ];
    for (zip, reason) in cases {
        let registry = TestRegistry::new();
        let refused = upload(&registry, "1.0.0", zip).await.expect(400);
        assert!(words(&refused).contains(reason), "{} / {reason}", words(&refused));
        assert!(words(&refused).starts_with("This zip cannot be published: "));
        assert_eq!(
            (count(&registry, "versions"), count(&registry, "artifacts"), registry.blobs.keys().len()),
            (0, 0, 0)
        );
    }
}

#[tokio::test]
async fn a_zip_that_lies_about_its_sizes_or_content_is_refused() {
    let registry = TestRegistry::new();
    let zip = package_with(text("src/a.php", "content that is long enough to be told apart"));
    // The last byte of the first entry's compressed data.
    let second = zip.windows(4).rposition(|window| window == b"PK\x03\x04").expect("a header");
    let mut damaged = zip.clone();
    damaged[second - 1] ^= 0xff;
    upload(&registry, "1.0.0", damaged).await.expect(400);
    // The central directory says other sizes than the local headers.
    let central = zip.windows(4).position(|window| window == b"PK\x01\x02").expect("a header");
    let mut lying = zip.clone();
    lying[central + 24] ^= 1;
    upload(&registry, "1.0.0", lying).await.expect(400);
    // A count of entries that nobody could hold in memory.
    let header = &zip[central..central + 46];
    let many = [zip.clone(), header.repeat(40_001)].concat();
    let refused = upload(&registry, "1.0.0", many).await.expect(400);
    assert!(words(&refused).contains("more than 20000 files"), "{}", words(&refused));
    assert_eq!(count(&registry, "artifacts"), 0);
}

#[tokio::test]
async fn a_zip_of_more_than_32_mib_is_refused_before_it_is_read() {
    let registry = TestRegistry::new();
    let reply = registry.put("/api/packages/acme/lib/versions/1.0.0").bearer(ADMIN);
    let reply = reply.header("content-length", "33554433").body("x").send().await.expect(400);
    assert_eq!(words(&reply), "The zip is larger than 33554432 bytes. Leave out what is not needed to run it.");
    let unannounced = upload(&registry, "1.0.0", vec![0; (32 << 20) + 1]).await.expect(400);
    assert_eq!(words(&unannounced), words(&reply));
    let understated =
        registry.put("/api/packages/acme/lib/versions/1.0.0").bearer(ADMIN).header("content-length", "10");
    understated.body(vec![0; (4 << 20) + 1]).send().await.expect(400);
    let empty = upload(&registry, "1.0.0", "").await.expect(400);
    assert_eq!(words(&empty), "The request holds no zip. Send it as the body: `curl -T package.zip …`.");
}

#[tokio::test]
async fn composer_json_must_fit_the_address() {
    let registry = TestRegistry::new();
    let zip = |manifest: &str| zip_of(&[text("composer.json", manifest)]);
    let named = upload(&registry, "1.0.0", zip(r#"{"name":"acme/other"}"#)).await.expect(400);
    assert_eq!(words(&named), "`name`: composer.json says acme/other, the address acme/lib; they must be the same");
    let versioned = upload(&registry, "1.0.0", zip(r#"{"name":"acme/lib","version":"1.0.1"}"#)).await.expect(400);
    assert_eq!(words(&versioned), "`version`: composer.json says 1.0.1, the address 1.0.0; they must agree");
    let invalid = upload(&registry, "1.0.0", zip(r#"{"name":"acme/lib","require":{"a/b":"^^1"}}"#)).await.expect(400);
    assert!(words(&invalid).starts_with("composer.json cannot be published: require.a/b"), "{}", words(&invalid));
    upload(&registry, "1.0.0", zip("{")).await.expect(400);
    let marked = upload(&registry, "1.0.0", zip("\u{feff}{\"name\":\"acme/lib\"}")).await.expect(400);
    assert!(words(&marked).contains("it begins with a byte order mark (UTF-8)"), "{}", words(&marked));
    upload(&registry, "1.0.0", zip(r#"{"name":"acme/lib","version":"v1.0"}"#)).await.expect(201);
    for version in ["nonsense", "1.0%20", "%01", "1..2"] {
        let refused = upload(&registry, version, package("acme/lib", "one")).await.expect(400);
        assert!(refused.json()["details"]["version"].is_array(), "{version}");
    }
    let name =
        registry.put("/api/packages/acme%20/lib/versions/1.0.0").bearer(ADMIN).body("x").send().await.expect(400);
    assert!(name.json()["details"]["name"].is_array());
}

#[tokio::test]
async fn only_who_may_write_and_covers_the_name_publishes() {
    let registry = TestRegistry::new();
    let spec = json!({"description": "w", "permissions": "write", "allowed_package_prefixes": ["acme/l"]});
    let (_, writer) = registry.token(&spec).await;
    let send = async |token: Option<&str>, name: &str| {
        let request = registry.put(&format!("/api/packages/{name}/versions/1.0.0")).body(package(name, "one"));
        match token {
            Some(token) => request.bearer(token).send().await,
            None => request.send().await,
        }
    };
    send(None, "acme/lib").await.expect(401);
    send(Some(&registry.reader().await), "acme/lib").await.expect(403);
    let elsewhere = send(Some(&writer), "acme/other").await.expect(403);
    let expected = "This token does not cover version 1.0.0 of acme/other. Use one whose grants do.";
    assert_eq!(words(&elsewhere), expected);
    assert_eq!(count(&registry, "packages"), 0);
    send(Some(&writer), "acme/lib").await.expect(201);
}

#[tokio::test]
async fn a_name_has_one_source() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let refused = upload(&registry, "2.0.0", package("acme/lib", "one")).await.expect(409);
    let expected = "acme/lib is published from a repository. Remove that first, or take another name.";
    assert_eq!(words(&refused), expected);
    let other = registry.put("/api/packages/acme/mine/versions/1.0.0").bearer(ADMIN);
    other.body(package("acme/mine", "one")).send().await.expect(201);
    let repo = registry.repository("acme/mine");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "failed");
    assert_eq!(registry.get_from_new_isolate("/p2/acme/mine.json").await.version_names("acme/mine"), ["1.0.0"]);
}

#[tokio::test]
async fn a_name_that_was_only_mirrored_belongs_to_who_uploads_it() {
    let registry = TestRegistry::new();
    registry.database.execute(
        "INSERT INTO repositories (id, uid, organization_id, kind, provider, url, created_at)
         VALUES (7, 'r', 1, 'composer', 'composer', 'https://upstream.test', 0);
         INSERT INTO packages (id, uid, organization_id, repository_id, name, type, revision, version_index, created_at, updated_at)
         VALUES (7, 'p', 1, 7, 'acme/lib', 'library', 1, '[[\"9.0.0.0\",0,\"9.0.0\"]]', 0, 0);
         INSERT INTO versions (id, uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at, created_at, updated_at)
         VALUES (7, 'v', 7, '1.0.0.0', '1.0.0', '', 'a', '{}', 0, 0, 0), (8, 'w', 7, '9.0.0.0', '9.0.0', '', 'b', '{}', 0, 0, 0)",
    );
    let made = upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    assert_eq!(made.id(), "v");
    assert_eq!(registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib"), ["1.0.0"]);
    assert_eq!(
        registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body,
        package("acme/lib", "one")
    );
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(200);
    assert_eq!(upload(&registry, "9.0.0", package("acme/lib", "nine")).await.expect(201).id(), "w");
    upload(&registry, "9.0.0", package("acme/lib", "ten")).await.expect(409);
    assert_eq!(registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib"), ["9.0.0", "1.0.0"]);
}

#[tokio::test]
async fn the_repository_of_uploads_has_nothing_to_sync() {
    let registry = TestRegistry::new();
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    let list: Value = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    let path = format!("/api/repositories/{}", list[0]["id"].as_str().expect("an id"));
    for refused in
        [registry.post(&format!("{path}/sync")), registry.post(&format!("{path}/verify")), registry.patch(&path)]
    {
        let reply = refused.bearer(ADMIN).json(&json!({})).send().await.expect(409);
        assert_eq!(
            words(&reply),
            "This repository holds uploaded zips: there is nothing to sync, to verify or to change."
        );
    }
    let kind = registry.get("/api/repositories?kind=artifact").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(kind, list);
    assert_eq!(registry.cron().await, 0);
    assert_eq!(registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'repository.sync_requested'").len(), 0);
}

#[tokio::test]
async fn the_repository_for_uploads_can_be_made_before_the_first_of_them() {
    let registry = TestRegistry::new();
    let register = async |body: Value| registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await;
    for (field, value) in [
        ("url", json!("https://git.test/acme/lib.git")),
        ("vcs_type", json!("git")),
        ("auth_credentials", json!("secret")),
        ("path", json!("a")),
        ("tag_filter", json!(["*"])),
        ("package_filter", json!(["acme/*"])),
    ] {
        let refused = register(json!({"kind": "artifact", field: value})).await.expect(400).json();
        let named: Vec<&String> = refused["details"].as_object().expect("fields").keys().collect();
        assert_eq!(named, [if field == "auth_credentials" { "credential_type" } else { field }], "{refused}");
    }
    let made = register(json!({"kind": "artifact"})).await.expect(201);
    let view = made.json();
    assert_eq!(
        (&view["kind"], &view["sync_status"], &view["package"]),
        (&json!("artifact"), &json!("ok"), &json!(null))
    );
    assert_eq!(registry.tasks.jobs(), [], "there is nothing to sync");
    let again = register(json!({"kind": "artifact"})).await.expect(409).json();
    assert_eq!(again["error"], "This repository is registered already. Use that one, or remove it first.");
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    let list = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(list, json!([view]));
    let packages = registry.get(&format!("/api/packages?repo_id={}", made.id())).bearer(ADMIN).send().await.expect(200);
    assert_eq!(packages.json()[0]["name"], "acme/lib");
    let git = registry.register_as(json!({"url": "https://git.test/acme/other.git"})).await;
    let change = json!({"vcs_type": "artifact"});
    registry.patch(&format!("/api/repositories/{git}")).bearer(ADMIN).json(&change).send().await.expect(400);
}

#[tokio::test]
async fn of_two_uploads_at_once_one_is_published() {
    let registry = TestRegistry::new();
    let (one, two) = tokio::join!(
        upload(&registry, "1.0.0", package("acme/lib", "one")),
        upload(&registry, "1.0.0", package("acme/lib", "two"))
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.text(), two.text());
    let (one, two) = tokio::join!(
        upload(&registry, "2.0.0", package("acme/lib", "same")),
        upload(&registry, "2.0.0", package("acme/lib", "same"))
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201], "{} {}", one.text(), two.text());
    let (one, two, three) = tokio::join!(
        upload(&registry, "3.0.0", package("acme/lib", "3.0")),
        upload(&registry, "3.1.0", package("acme/lib", "3.1")),
        upload(&registry, "3.2.0", package("acme/lib", "3.2"))
    );
    assert_eq!([one.status, two.status, three.status], [201, 201, 201]);
    let versions = registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib");
    assert_eq!(versions, ["3.2.0", "3.1.0", "3.0.0", "2.0.0", "1.0.0"]);
}

#[tokio::test]
async fn large_zips_are_read_one_after_the_other() {
    let registry = TestRegistry::new();
    let noise = |seed: u8| -> Vec<u8> {
        let blocks = (0..(5 << 20) / 32_u32).map(|at| Sha256::digest([&[seed][..], &at.to_be_bytes()].concat()));
        blocks.flatten().collect()
    };
    let zip = |seed| package_with(ZipEntry::File("noise", noise(seed)));
    let (one, two) = tokio::join!(upload(&registry, "1.0.0", zip(1)), upload(&registry, "2.0.0", zip(2)));
    assert_eq!((one.status, two.status), (201, 201));
}

#[tokio::test]
async fn uploading_with_every_call_broken_publishes_all_or_nothing() {
    let broken = with_every_call_failing(&[Port::Database, Port::Blobs], async |case: InjectedFault| {
        let registry = TestRegistry::new();
        upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
        case.arm(&registry);
        let reply = upload(&registry, "1.1.0", package("acme/lib", "two")).await;
        let broken = registry.meter.clear_faults() > 0;
        let names = registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib");
        match reply.status {
            201 => assert_eq!(names, ["1.1.0", "1.0.0"], "{case:?}"),
            500 => assert_eq!(names, ["1.0.0"], "{case:?}: all or nothing"),
            status => panic!("{case:?}: {status}"),
        }
        assert_eq!(count(&registry, "versions"), i64::try_from(names.len()).expect("few"), "{case:?}");
        // An answer that got lost is found again.
        let lost = case.port == Port::Database && case.nth == 3 && case.timing == FaultTiming::After;
        assert!(reply.status == 201 || broken && !lost, "{case:?}");
        let again = upload(&registry, "1.1.0", package("acme/lib", "two")).await;
        assert_eq!(again.status, if reply.status == 201 { 200 } else { 201 }, "{case:?}");
        let zip = registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200);
        assert_eq!(zip.body, package("acme/lib", "two"), "{case:?}");
        broken
    })
    .await;
    assert!(broken >= 8, "{broken}");
}

#[tokio::test]
async fn an_upload_that_the_database_fails_to_write_is_a_fault_and_no_conflict() {
    let registry = TestRegistry::new();
    registry.database.execute("DROP TABLE version_files");
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(500);
    assert_eq!(count(&registry, "packages"), 0);
    // And so is one of a package that is there.
    registry.database.execute("CREATE TABLE version_files (version_id, kind, name, text_sha256)");
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    registry.database.execute("DROP TABLE version_files");
    upload(&registry, "1.1.0", package("acme/lib", "two")).await.expect(500);
}

#[tokio::test]
async fn an_upload_costs_the_same_however_many_versions_there_are() {
    let registry = TestRegistry::new();
    for version in 1..=20 {
        upload(&registry, &format!("1.{version}.0"), package("acme/lib", &version.to_string())).await.expect(201);
    }
    let (_, late) = registry.counted(upload(&registry, "2.0.0", package("acme/lib", "late"))).await;
    let (_, later) = registry.counted(upload(&registry, "2.1.0", package("acme/lib", "later"))).await;
    assert_eq!((late.round_trips, late.blob_writes), (3, 1));
    assert_eq!(late, later);
}

#[tokio::test]
async fn an_uploaded_zip_that_the_store_has_lost_is_told_as_such() {
    let registry = TestRegistry::new();
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    registry.blobs.blobs.lock().expect("not poisoned").clear();
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(500);
}

#[tokio::test]
async fn a_package_holds_five_thousand_versions_and_not_one_more() {
    let registry = TestRegistry::new();
    upload(&registry, "1.0.0", package("acme/lib", "one")).await.expect(201);
    registry.database.execute(
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at,
                created_at, updated_at)
         SELECT 'uid' || n, package_id, n || '.0.0.0', n || '.0.0', ref_name, reference, manifest, released_at,
                created_at, updated_at FROM versions, n",
    );
    let id = registry.storefront_get("/packages").send().await.expect(200).json()[0]["id"].clone();
    let awaited = |name: &str| registry.storefront_post(&format!("/versions/package/{id}"), &json!({"name": name}));
    let made = awaited("5000.0.0").send().await.expect(201).json();
    let full = "acme/lib has 5000 versions already. Delete some of them first.";
    assert_eq!(words(&awaited("5001.0.0").send().await.expect(409)), full);
    registry.storefront_delete(&format!("/versions/{}", made["id"])).send().await.expect(204);
    upload(&registry, "5000.0.0", package("acme/lib", "last")).await.expect(201);
    assert_eq!(words(&upload(&registry, "5001.0.0", package("acme/lib", "more")).await.expect(409)), full);
    assert_eq!(registry.database.rows("SELECT count(*) AS number FROM versions"), [json!({"number": 5000})]);
}
