//! What is in a zip that is built from a commit, and what operators are told of it.

use serde_json::{Value, json};

use crate::delivery::dist::listing;
use crate::support::{ADMIN, File, TestRegistry, file, manifest};

async fn zip_of(registry: &TestRegistry, version: &str) -> Vec<u8> {
    let token = registry.reader().await;
    registry.get(&format!("/dist/acme/lib/{version}.zip")).basic(&token).send().await.expect(200).body.to_vec()
}

/// Serves `acme/lib` with these files beside its composer.json as version 1.0.0, and builds its zip.
async fn published(registry: &TestRegistry, files: &[File]) -> Vec<u8> {
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[&[manifest("acme/lib")][..], files].concat());
    repo.tag("1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    zip_of(registry, "1.0.0").await
}

/// Kind and text of the remarks on version 1.0.0.
async fn remarks(registry: &TestRegistry) -> Vec<(String, String)> {
    let path = "/api/packages/acme%2Flib/versions/1.0.0";
    let version: Value = registry.get(path).bearer(ADMIN).send().await.expect(200).json();
    let text = |remark: &Value, field: &str| remark[field].as_str().expect("text").to_owned();
    let remarks = version["remarks"].as_array().expect("a list").iter();
    remarks.map(|remark| (text(remark, "kind"), text(remark, "text"))).collect()
}

#[tokio::test]
async fn a_package_of_which_only_one_directory_is_left_keeps_it() {
    let registry = TestRegistry::new();
    let rules = file(".gitattributes", "/composer.json export-ignore\n.gitattributes export-ignore\n");
    let zip = published(&registry, &[rules, file("src/A.php", "<?php")]).await;
    let zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).expect("a zip");
    assert_eq!(zip.file_names_raw().collect::<Vec<_>>(), [b"lib/src/A.php"]);
}

#[tokio::test]
async fn odd_paths_cost_no_version_and_are_told() {
    let registry = TestRegistry::new();
    let zip = published(
        &registry,
        &[
            file("src/Foo.php", "<?php // Foo"),
            file("src/foo.php", "<?php // foo"),
            file(r#""tests/fix\374.txt""#, "kept"),
            file(r#""tests/back\\slash.txt""#, "left out"),
            file(r#""tests/bell\007.txt""#, "left out"),
            File { mode: "120000", ..file("outside", "../../etc") },
        ],
    )
    .await;
    let zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).expect("a zip");
    let names: Vec<&[u8]> = zip.file_names_raw().collect();
    let expected: [&[u8]; 4] = [b"lib/composer.json", b"lib/src/Foo.php", b"lib/src/foo.php", b"lib/tests/fix\xfc.txt"];
    assert_eq!(names, expected);
    let lost = "`outside` is not in the zip, because it is a symlink, and its target may lie outside the package. \
                `tests/back\\\\slash.txt` is not in the zip, because unpacking it would not be safe: a name holds a path \
                separator. `tests/bell\\u{7}.txt` is not in the zip, because unpacking it would not be safe: a name holds \
                a control character.";
    let collision = "`src/foo.php` and `src/Foo.php` differ in case only: on Windows and macOS one of them takes the \
                     other's place.";
    let pair = |kind: &str, text: &str| (kind.to_owned(), text.to_owned());
    assert_eq!(remarks(&registry).await, [pair("case_collisions", collision), pair("lost_files", lost)]);
    let listed = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(listed[0]["remarks"], json!(2));
}

#[tokio::test]
async fn attributes_are_applied_as_git_archive_applies_them() {
    let registry = TestRegistry::new();
    let rules = "[attr]dev export-ignore\n/tests dev\nVERSION export-subst\n*.bat eol=crlf\n*.bin filter=lfs\n\
                 old.txt working-tree-encoding=SJIS\n";
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", "0".repeat(64));
    let zip = published(
        &registry,
        &[
            file(".gitattributes", rules),
            file("VERSION", "$Format:%H %D %cI$\n"),
            file("run.bat", "one\ntwo\n"),
            file("tests/LibTest.php", "<?php"),
            file("data.bin", &pointer),
            file("old.txt", "text"),
        ],
    )
    .await;
    let listing = listing(&zip);
    let paths: Vec<&str> = listing.keys().map(String::as_str).collect();
    assert_eq!(paths, [".gitattributes", "VERSION", "composer.json", "data.bin", "old.txt", "run.bat"]);
    let commit =
        registry.database.rows("SELECT reference FROM versions WHERE pretty = '1.0.0'")[0]["reference"].clone();
    let version = format!("{} tag: 1.0.0 2023-11-14T23:13:20+01:00\n", commit.as_str().expect("an id"));
    assert_eq!(String::from_utf8_lossy(&listing["VERSION"].1), version);
    assert_eq!(listing["run.bat"].1, b"one\r\ntwo\r\n");
    assert_eq!(listing["data.bin"].1, pointer.as_bytes());
    let kinds: Vec<String> = remarks(&registry).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["lfs_pointers", "unconverted"]);
}

#[tokio::test]
async fn a_zip_that_is_stored_stays_what_it_is() {
    let registry = TestRegistry::new();
    published(&registry, &[]).await;
    // As if it had been built before the format changed.
    let (sha256, sha1) = ("b".repeat(64), "c".repeat(40));
    registry.database.execute(&format!(
        "INSERT INTO artifacts (sha256, sha1, size, created_at) VALUES ('{sha256}', '{sha1}', 3, 0);
         UPDATE dists SET artifact_sha256 = '{sha256}'"
    ));
    let key = format!("dist/bb/{sha256}.zip");
    registry.isolate.app.ports.blobs.put(&key, vec![bytes::Bytes::from_static(b"old")]).await.expect("stored");
    registry.run_until_idle().await;
    assert_eq!(zip_of(&registry, "1.0.0").await, b"old");
}
