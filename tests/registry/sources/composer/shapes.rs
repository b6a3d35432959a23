//! Shapes of real registries: what Composer takes from them directly is to be had through a mirror, too.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::sources::composer::lookup::{LIB, LIB_DEV, SATIS, read, version};
use crate::support::{ORIGIN, RecordedRequest, TestRegistry, sha1_of, zip_of};

/// A registry with an upstream whose root has these fields besides `metadata-url`, and that has these versions of
/// `vendor/lib`; and a token.
async fn mirroring(root: Value, versions: &[Value]) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    let mut document = json!({"packages": [], "metadata-url": "/p2/%package%.json"});
    document.as_object_mut().expect("an object").extend(root.as_object().expect("an object").clone());
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &document);
    registry.composer_host.publish(SATIS, "vendor/lib", versions);
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    (registry, token)
}

/// The version `text` with these fields in its dist.
fn with_dist(text: &str, dist: &Value) -> Value {
    let mut version = version(text);
    version["dist"].as_object_mut().expect("an object").extend(dist.as_object().expect("an object").clone());
    version
}

/// The path of the archive of the only version in a document.
async fn dist_path(registry: &TestRegistry, token: &str, document: &str) -> String {
    let versions = read(registry, token, document).await.expect(200).versions("vendor/lib");
    let url = versions[0]["dist"]["url"].as_str().expect("text").to_owned();
    registry.composer_host.take_requests();
    url.strip_prefix(ORIGIN).expect("ours").to_owned()
}

fn skipped(registry: &TestRegistry) -> Vec<Value> {
    registry.database.rows("SELECT skipped, error FROM mirrors WHERE skipped <> '[]' OR error IS NOT NULL")
}

#[tokio::test]
async fn a_mirror_that_is_named_by_a_path_is_asked_at_the_roots_host_first_and_with_its_credentials() {
    let registry = TestRegistry::new();
    let root = json!({
        "packages": [], "metadata-url": "/p2/%package%.json",
        "mirrors": [{"dist-url": "/dl/%package%/%version%/%reference%.%type%", "preferred": true}],
    });
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
    registry.composer_host.publish(SATIS, "vendor/lib", &[with_dist("1.0.0", &json!({"reference": "abc"}))]);
    registry.composer_host.require_bearer(SATIS, "t0ken");
    let zip = zip_of(b"{}");
    registry.composer_host.put(&format!("{SATIS}/dl/vendor/lib/1.0.0.0/abc.zip"), zip.clone());
    registry.upstream_as(json!({"url": SATIS, "auth_credentials": "t0ken"})).await;
    let token = registry.reader().await;
    let path = dist_path(&registry, &token, LIB).await;
    assert_eq!(registry.get(&path).basic(&token).send().await.expect(200).body, zip);
    let asked = RecordedRequest {
        url: format!("{SATIS}/dl/vendor/lib/1.0.0.0/abc.zip"),
        authorization: Some("Bearer t0ken".to_owned()),
        is_conditional: false,
        status: 200,
    };
    assert_eq!(registry.composer_host.take_requests(), [asked]);
}

#[tokio::test]
async fn a_mirrors_address_has_the_md5_of_a_branch_with_a_slash_and_of_a_reference_that_is_no_hash() {
    let (registry, token) = mirroring(
        json!({"mirrors": [{"dist-url": "https://m.test/%version%/%reference%.zip", "preferred": false}]}),
        &[with_dist("dev-feature/x", &json!({"reference": "trunk@5", "url": "https://gone.test/%reference%.zip"}))],
    )
    .await;
    // md5 of `dev-feature/x` and of `trunk@5`
    let (version, reference) = ("c59df8ffc3722ccf3e45eda9c4e4bf20", "efb0c6350d0192565d91e6ee84f5d0c2");
    let zip = zip_of(b"{}");
    registry.composer_host.put(&format!("https://m.test/{version}/{reference}.zip"), zip.clone());
    let path = dist_path(&registry, &token, LIB_DEV).await;
    assert_eq!(registry.get(&path).basic(&token).send().await.expect(200).body, zip);
    let tried = [format!("https://gone.test/{reference}.zip"), format!("https://m.test/{version}/{reference}.zip")];
    assert_eq!(registry.composer_host.take_urls(), tried);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test]
async fn archives_of_other_kinds_are_passed_through_as_they_are() {
    let xz = [&[0xfd, b'7', b'z', b'X', b'Z', 0][..], b"...", b"YZ"].concat();
    for (kind, url, bytes, ending, media_type) in [
        ("tar", "https://cdn.test/lib.tar.gz", gzip(b"a tar"), ".tar.gz", "application/x-tar"),
        ("tar", "https://cdn.test/lib?id=1", gzip(b"a tar"), ".tar", "application/x-tar"),
        ("gzip", "https://cdn.test/tool.phar.gz", gzip(b"<?php"), "/tool.phar.gz", "application/gzip"),
        ("xz", "https://cdn.test/lib.tar.xz", xz, ".xz", "application/x-xz"),
    ] {
        let dist = json!({"type": kind, "url": url, "shasum": sha1_of(&bytes)});
        let (registry, token) = mirroring(json!({}), &[with_dist("1.0.0", &dist)]).await;
        registry.composer_host.put(url, bytes.clone());
        let shown = read(&registry, &token, LIB).await.expect(200).versions("vendor/lib")[0]["dist"].clone();
        assert_eq!((&shown["type"], &shown["shasum"]), (&json!(kind), &json!(sha1_of(&bytes))), "{url}");
        let path = dist_path(&registry, &token, LIB).await;
        assert!(path.ends_with(ending), "{path}");
        for _ in 0..2 {
            let reply = registry.get(&path).basic(&token).composer().send().await.expect(200);
            assert_eq!((reply.body.clone(), reply.header("content-type")), (Bytes::from(bytes.clone()), media_type));
        }
        assert_eq!(registry.composer_host.take_urls(), [url], "it is fetched once");
        assert_eq!(skipped(&registry), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn what_is_no_archive_of_its_kind_is_neither_served_nor_kept() {
    for kind in ["tar", "gzip", "xz"] {
        let dist = json!({"type": kind, "url": "https://cdn.test/lib"});
        let (registry, token) = mirroring(json!({}), &[with_dist("1.0.0", &dist)]).await;
        registry.composer_host.put("https://cdn.test/lib", "<!doctype html><title>Sign in</title>");
        let path = dist_path(&registry, &token, LIB).await;
        let reply = registry.get(&path).basic(&token).composer().send().await.expect(502);
        let words = format!("what the upstream sends is not a complete {kind}");
        assert!(reply.json()["warning"].as_str().expect("text").ends_with(&words), "{}", reply.text());
        assert_eq!(registry.blobs.keys(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_version_without_a_zip_between_others_takes_none_of_theirs() {
    for nothing in [json!(null), json!("__unset")] {
        let (registry, token) = mirroring(json!({}), &[]).await;
        let mut oldest = version("1.0.0");
        oldest.as_object_mut().expect("an object").remove("name");
        let versions = json!([version("3.0.0"), {"version": "2.0.0", "dist": nothing}, oldest]);
        let document = json!({"minified": "composer/2.0", "packages": {"vendor/lib": versions}});
        registry.composer_host.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
        let reply = read(&registry, &token, LIB).await.expect(200);
        assert_eq!(reply.version_names("vendor/lib"), ["3.0.0", "1.0.0"]);
        let references: Vec<Value> =
            reply.versions("vendor/lib").iter().map(|version| version["dist"]["reference"].clone()).collect();
        let expected = ["3.0.0", "1.0.0"].map(|text| version(text)["dist"]["reference"].clone());
        assert_eq!(references, expected, "{nothing}");
        let kept = &skipped(&registry)[0]["skipped"];
        assert_eq!(*kept, json!(r#"[["2.0.0","it has no zip"]]"#));
    }
}

#[tokio::test]
async fn a_version_that_is_written_twice_is_no_alarm_and_two_that_clash_are_one() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    // Gitea answers both addresses with everything, keyed by version.
    let keyed = json!({"1.0.0": version("1.0.0"), "v1.0.0": version("1.0.0"), "dev-main": version("dev-main")});
    for part in ["", "~dev"] {
        let document = json!({"packages": {"vendor/lib": keyed}});
        registry.composer_host.put_json(&format!("{SATIS}/p2/vendor/lib{part}.json"), &document);
    }
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
    assert_eq!(read(&registry, &token, LIB_DEV).await.expect(200).version_names("vendor/lib"), ["dev-main"]);
    assert_eq!(skipped(&registry), Vec::<Value>::new());

    let (registry, token) = mirroring(json!({}), &[version("1.0.0"), version("v1.0.0")]).await;
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
    let kept = &skipped(&registry)[0]["skipped"];
    assert_eq!(*kept, json!(r#"[["v1.0.0","another version before it is the same one"]]"#));
}

#[tokio::test]
async fn what_is_compressed_by_deflate_is_read() {
    let deflate = |content: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    };
    let (registry, token) = mirroring(json!({}), &[]).await;
    let document = json!({"packages": {"vendor/lib": [version("1.0.0")]}}).to_string();
    let url = format!("{SATIS}/p2/vendor/lib.json");
    registry.composer_host.put_encoded(&url, Some("deflate"), deflate(document.as_bytes()));
    let zip = zip_of(b"{}");
    let zip_url = format!("{SATIS}/zips/vendor/lib/1.0.0.zip");
    registry.composer_host.put_encoded(&zip_url, Some("deflate"), deflate(&zip));
    let path = dist_path(&registry, &token, LIB).await;
    assert_eq!(registry.get(&path).basic(&token).send().await.expect(200).body, zip);
    registry.composer_host.put_encoded(&format!("{SATIS}/p2/vendor/new.json"), Some("zstd"), "…");
    let refused = read(&registry, &token, "/p2/vendor/new.json").await.expect(502);
    assert!(refused.text().contains("compressed as `zstd`, which is not understood here"), "{}", refused.text());
}

#[tokio::test]
async fn a_login_in_the_address_of_a_zip_goes_to_its_host_and_is_shown_to_nobody() {
    let dist = json!({"url": "https://jo:s%40cret@cdn.test/lib.zip"});
    let (registry, token) = mirroring(json!({}), &[with_dist("1.0.0", &dist)]).await;
    registry.composer_host.require_basic("https://cdn.test", "jo", "s@cret");
    let zip = zip_of(b"{}");
    registry.composer_host.put("https://cdn.test/lib.zip", zip.clone());
    let path = dist_path(&registry, &token, LIB).await;
    for column in ["versions.manifest FROM versions", "documents.body FROM documents", "dists.upstream_urls FROM dists"]
    {
        let rows = registry.database.rows(&format!("SELECT {column}"));
        assert!(!rows.is_empty() && !json!(rows).to_string().contains("cret"), "{column}");
    }
    let sealed = registry.database.rows("SELECT upstream_login FROM dists")[0]["upstream_login"].clone();
    assert!(sealed.as_str().expect("text").starts_with("v1."), "{sealed}");
    assert_eq!(registry.get(&path).basic(&token).send().await.expect(200).body, zip);

    let (registry, token) =
        mirroring(json!({}), &[with_dist("1.0.0", &json!({"url": "https://jo:s@cdn.test/lib.zip"}))]).await;
    registry.composer_host.require_basic("https://cdn.test", "jo", "another");
    let path = dist_path(&registry, &token, LIB).await;
    let refused = registry.get(&path).basic(&token).composer().send().await.expect(502);
    assert!(!refused.text().contains("jo:"), "{}", refused.text());
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_found_by_what_upstream_has_normalized() {
    let mut odd = version("2.0 (final)");
    odd["version_normalized"] = json!("2.0.0.0");
    odd["dist"]["url"] = json!("https://cdn.test/lib.zip");
    odd["require-dev"] = json!({"no name": "*", "vendor/test": "*"});
    let (registry, token) = mirroring(json!({}), &[odd]).await;
    registry.composer_host.put("https://cdn.test/lib.zip", zip_of(b"{}"));
    let shown = read(&registry, &token, LIB).await.expect(200).versions("vendor/lib")[0].clone();
    assert_eq!((&shown["version"], &shown["version_normalized"]), (&json!("2.0 (final)"), &json!("2.0.0.0")));
    assert_eq!(shown["require-dev"], json!({"vendor/test": "*"}));
    let path = dist_path(&registry, &token, LIB).await;
    registry.get(&path).basic(&token).send().await.expect(200);
}
