//! Mirrored zips whose paths or links are not safe everywhere.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{LIB, SATIS, read};
use crate::support::zips::{ZipEntry, made_on, package, package_with, patched, text, with_file_type, zip_of};
use crate::support::{ADMIN, TestRegistry, TestResponse, upstream_version};

const URL: &str = "https://satis.test/zips/vendor/lib/1.0.0.zip";

/// A registry with `vendor/lib` 1.0.0 at an upstream with this zip, and with this setting.
async fn mirroring(zip: Vec<u8>, setting: &str) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    registry.set(json!({"mirrored_zips": setting})).await;
    registry.composer_host.lazy(SATIS);
    registry.composer_host.publish(SATIS, "vendor/lib", &[upstream_version(SATIS, "vendor/lib", "1.0.0")]);
    registry.composer_host.put(URL, zip);
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    (registry, id)
}

async fn download(registry: &TestRegistry) -> TestResponse {
    let token = registry.reader().await;
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await
}

/// Zips, and what is said of them.
fn unsafe_zips() -> Vec<(Vec<u8>, &'static str)> {
    let plain = || package_with(text("aa/evil.php", "x"));
    let link = |target| package_with(ZipEntry::Link("link", target));
    let many: Vec<String> = (0..51).map(|number| format!("l{number}")).collect();
    let many: Vec<ZipEntry<'_>> = many.iter().map(|name| ZipEntry::Link(name, "a")).collect();
    vec![
        (
            patched(plain(), "aa/evil.php", "../evil.php"),
            "the path ../evil.php is unsafe: it would leave its directory",
        ),
        (patched(plain(), "aa/evil.php", "C:/evil.php"), "it is absolute on Windows"),
        (link("../outside"), "the symlink link is unsafe: its target may lie outside"),
        (made_on(link("/etc/passwd"), 0), "the symlink link is unsafe: its target is absolute"),
        (link(&"x/".repeat(2_500)), "the target of the symlink link is too long, or not readable"),
        (
            with_file_type(package_with(text("link", &"x/".repeat(2_500))), 0o120_777),
            "the target of the symlink link is too long, or not readable",
        ),
        (zip_of(&[text("lib/a.php", ""), ZipEntry::Link("lib/link", "../b")]), "the symlink lib/link is unsafe"),
        (zip_of(&many), "it has more than 50 symlinks"),
    ]
}

#[tokio::test]
async fn an_unsafe_zip_is_handed_out_with_a_remark_or_refused_as_the_setting_says() {
    for (zip, reason) in unsafe_zips() {
        let (registry, _) = mirroring(zip.clone(), "warn").await;
        assert_eq!(download(&registry).await.expect(200).body, zip);
        let remarks = registry.database.rows("SELECT kind, text FROM remarks");
        assert_eq!(remarks[0]["kind"], "unsafe_zip");
        assert!(remarks[0]["text"].to_string().contains(reason), "{remarks:?}");

        let (registry, id) = mirroring(zip, "refuse").await;
        for _ in 0..2 {
            let reply = download(&registry).await.expect(404);
            assert!(reply.text().contains(reason), "{}", reply.text());
        }
        let fetched = registry.composer_host.take_urls().into_iter().filter(|url| url == URL).count();
        assert_eq!(fetched, 1, "what is refused is not asked for again");
        assert_eq!(registry.blobs.keys(), Vec::<String>::new(), "nothing of it is kept");
        registry.set(json!({"mirrored_zips": null})).await;
        registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        download(&registry).await.expect(200);
    }
}

#[tokio::test]
async fn an_ordinary_zip_is_handed_out_without_a_remark() {
    let links = zip_of(&[text("lib/a/b.php", ""), ZipEntry::Link("lib/a/link", "../c"), ZipEntry::Directory("lib/")]);
    for zip in [package("vendor/lib", "note"), links] {
        let (registry, _) = mirroring(zip, "refuse").await;
        download(&registry).await.expect(200);
        assert_eq!(registry.database.rows("SELECT * FROM remarks WHERE kind = 'unsafe_zip'"), [] as [Value; 0]);
    }
}

/// `zip` with another number in its end record: the length of its directory stands at 12, the place of that at 16.
fn with_end(mut zip: Vec<u8>, at: usize, number: u32) -> Vec<u8> {
    let end = zip.len() - 22;
    zip[end + at..end + at + 4].copy_from_slice(&number.to_le_bytes());
    zip
}

/// A zip whose directory has so many entries, all alike; only its first one is there.
fn with_entries(count: usize) -> Vec<u8> {
    let mut zip = zip_of(&[text("a", "")]);
    let end = zip.split_off(zip.len() - 22);
    let at = zip.windows(4).position(|window| window == b"PK\x01\x02").expect("a central header");
    let header = zip.split_off(at);
    zip.extend(header.repeat(count));
    zip.extend(end);
    with_end(zip, 12, u32::try_from(header.len() * count).expect("small"))
}

#[tokio::test]
async fn a_directory_that_lies_or_is_too_large_is_not_believed() {
    let plain = || package("vendor/lib", "note");
    let length = {
        let zip = plain();
        u32::from_le_bytes(*zip[zip.len() - 10..].first_chunk().expect("four bytes"))
    };
    let damaged = "its directory is damaged, or in another form than that of zips below 4 GiB";
    for (zip, reason) in [
        (with_end(plain(), 12, 5 << 20), "it has more than 20000 files and directories"),
        (with_entries(20_001), "it has more than 20000 files and directories"),
        (with_end(plain(), 16, u32::MAX), damaged),
        (with_end(plain(), 12, length + 22), damaged),
        (with_end(plain(), 12, length - 1), damaged),
        (
            with_file_type(package_with(text("device", "")), 0o020_644),
            "the entry device is neither a file nor a directory nor a symlink",
        ),
    ] {
        let (registry, _) = mirroring(zip, "refuse").await;
        let reply = download(&registry).await.expect(404);
        assert!(reply.text().contains(reason), "{reason}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_zip_that_is_refused_stays_where_another_version_has_it() {
    let (registry, id) = mirroring(package_with(ZipEntry::Link("link", "../outside")), "warn").await;
    let stored = download(&registry).await.expect(200).body;
    let versions = ["1.0.0", "1.1.0"].map(|version| upstream_version(SATIS, "vendor/lib", version));
    registry.composer_host.publish(SATIS, "vendor/lib", &versions);
    registry.composer_host.put("https://satis.test/zips/vendor/lib/1.1.0.zip", stored.clone());
    registry.set(json!({"mirrored_zips": "refuse"})).await;
    registry.sync(&id).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await.expect(200);
    registry.get("/dist/vendor/lib/1.1.0.zip").basic(&token).composer().send().await.expect(404);
    assert_eq!(registry.blobs.keys().len(), 1, "it is not to be fetched again");
    assert_eq!(download(&registry).await.expect(200).body, stored);
}
