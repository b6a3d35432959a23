//! Upstreams that mean harm: documents that take many times the memory of their text, bodies that never end, texts that end in
//! headers.

use std::time::Duration;

use serde_json::json;

use crate::sources::composer::lookup::{LIB, SATIS, read};
use crate::support::{TestRegistry, upstream_version, zip_of};

const OTHER: &str = "https://other.test";

/// A registry with `vendor/lib` at an upstream, in these versions with these addresses of their zips.
async fn with_versions(versions: &[&str]) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let versions: Vec<_> = versions.iter().map(|version| upstream_version(SATIS, "vendor/lib", version)).collect();
    for version in &versions {
        let url = version["dist"]["url"].as_str().expect("an address");
        registry.composer_host.put(url, zip_of(url.as_bytes()));
    }
    registry.composer_host.publish(SATIS, "vendor/lib", &versions);
    let id = registry.upstream(SATIS).await;
    (registry, id)
}

#[tokio::test]
async fn a_document_of_millions_of_values_is_refused_before_it_takes_their_memory() {
    let (registry, _) = with_versions(&["1.0.0"]).await;
    let many = format!(r#"{{"packages": {{"vendor/lib": [{}{{}}]}}}}"#, "{},".repeat(2_600_000));
    registry.composer_host.put(&format!("{SATIS}/p2/vendor/lib.json"), many);
    let token = registry.reader().await;
    let reply = read(&registry, &token, LIB).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("it has more than 250000 values"), "{}", reply.text());
}

#[tokio::test]
async fn versions_that_a_minified_document_repeats_beyond_measure_are_left_out_and_told() {
    let (registry, id) = with_versions(&["1.0.0"]).await;
    let mut first = upstream_version(SATIS, "vendor/lib", "1.0.0");
    first["extra"] = json!(vec![0; 20_000]);
    let others = (1..300).map(|minor| format!(r#",{{"version":"1.{minor}.0","version_normalized":"1.{minor}.0.0"}}"#));
    let others: String = others.collect();
    let document = format!(r#"{{"minified":"composer/2.0","packages":{{"vendor/lib":[{first}{others}]}}}}"#);
    registry.composer_host.put(&format!("{SATIS}/p2/vendor/lib.json"), document);
    let token = registry.reader().await;
    let names = read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib");
    assert!((90..100).contains(&names.len()), "2,000,000 values, 20,000 in each: {}", names.len());
    registry.sync(&id).await;
}

#[tokio::test]
async fn a_zip_that_drips_is_given_up() {
    let (registry, _) = with_versions(&["1.0.0"]).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.drip_upstreams(1, Duration::from_secs(2));
    let reply = registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(502);
    assert!(reply.text().contains("the server sends less than 16384 bytes in 60 s"), "{}", reply.text());
    assert_eq!(registry.blobs.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_document_that_drips_is_given_up() {
    let (registry, _) = with_versions(&["1.0.0"]).await;
    let token = registry.reader().await;
    registry.drip_upstreams(1, Duration::from_secs(2));
    let reply = read(&registry, &token, LIB).await;
    assert!(reply.text().contains("the server sends less than 16384 bytes in 60 s"), "{}", reply.text());
}

#[tokio::test]
async fn a_slow_upstream_leaves_places_for_the_zips_of_others() {
    let versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    let (registry, _) = with_versions(&versions).await;
    registry.composer_host.lazy(OTHER);
    let version = upstream_version(OTHER, "other/lib", "1.0.0");
    registry.composer_host.put(version["dist"]["url"].as_str().expect("an address"), zip_of(b"{}"));
    registry.composer_host.publish(OTHER, "other/lib", &[version]);
    registry.upstream(OTHER).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    read(&registry, &token, "/p2/other/lib.json").await.expect(200);
    registry.composer_host.pause_all(&format!("{SATIS}/zips/"));
    let slow = versions.map(|version| registry.get(&format!("/dist/vendor/lib/{version}.zip")).basic(&token).send());
    let slow = slow.map(tokio::spawn);
    registry.composer_host.until_paused().await;
    for _ in 0..500 {
        // The others come as far as they can.
        tokio::task::yield_now().await;
    }
    registry.get("/dist/other/lib/1.0.0.zip").basic(&token).send().await.expect(200);
    registry.composer_host.resume();
    for download in slow {
        download.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_place_is_kept_for_as_long_as_its_zip_comes() {
    let (registry, _) = with_versions(&["1.0.0"]).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.put(&format!("{SATIS}/zips/vendor/lib/1.0.0.zip"), zip_of(&vec![b' '; 2 << 20]));
    registry.drip_upstreams(32 << 10, Duration::from_secs(3));
    let app = &registry.isolate.app;
    let begun_at = app.now();
    let download = tokio::spawn(registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).send());
    while app.now() < begun_at.plus(Duration::from_secs(90)) {
        tokio::task::yield_now().await;
    }
    let upstream = &registry.database.rows("SELECT id FROM repositories")[0]["id"];
    for place in [format!("archive-of:{upstream}:1"), "archive:1".to_owned()] {
        assert!(app.memory.try_acquire_permit(&place, app.now()).is_none(), "{place}");
    }
    download.await.expect("no panic").expect(200);
}

#[tokio::test]
async fn control_characters_in_what_ends_in_headers_and_addresses_are_refused() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let mut versions = Vec::new();
    for (version, field, evil) in [
        ("1.1.0", "reference", "abc\r\nSet-Cookie: a=b"),
        ("1.2.0", "reference", "a\u{0}b"),
        ("1.3.0", "url", "https://satis.test/zips/a\r\nb.zip"),
        ("1.4.0", "url", "https://satis.test/zips/a\tb.zip"),
    ] {
        let mut entry = upstream_version(SATIS, "vendor/lib", version);
        entry["dist"][field] = json!(evil);
        versions.push(entry);
    }
    versions.push(upstream_version(SATIS, "vendor/lib", "1.0.0"));
    registry.composer_host.publish(SATIS, "vendor/lib", &versions);
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    let reply = read(&registry, &token, LIB).await.expect(200);
    assert_eq!(reply.version_names("vendor/lib"), ["1.0.0"]);
    // An address with line breaks in it is none, whatever names it.
    registry.composer_host.put_json(
        &format!("{OTHER}/packages.json"),
        &json!({"packages": [], "metadata-url": "/p2/%package%\r\n.json"}),
    );
    registry.upstream(OTHER).await;
    let reply = read(&registry, &token, "/p2/other/lib.json").await;
    assert!(reply.text().contains("is not a URL"), "{}", reply.text());
}
