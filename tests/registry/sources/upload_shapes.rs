//! Zips as other programs write them: what `ZipArchive` of PHP and `unzip` agree on is published, the rest is refused by name.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::zips::{ZipEntry, package_with, patched, text, zip_of};
use crate::support::{ADMIN, TestRegistry};

const MANIFEST: &str = r#"{"name":"acme/lib"}"#;

async fn refusal(zip: Vec<u8>) -> String {
    let refused = TestRegistry::new().upload("acme/lib", "1.0.0", zip).await.expect(400);
    refused.json()["error"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_directory_that_composer_would_not_strip_is_refused_with_what_stands_beside_it() {
    let beside =
        |other: &str| zip_of(&[text("lib/composer.json", MANIFEST), text("lib/src/a.php", ""), text(other, "")]);
    for (other, named) in [("__MACOSX/lib/._composer.json", "__MACOSX/"), ("__MACOSX", "__MACOSX")] {
        let expected = format!(
            "This zip cannot be published: beside the directory lib/ there is {named}, so that composer would install \
             the package one directory too deep; remove that (`zip -d package.zip '{named}*'`), or put composer.json at \
             the top"
        );
        assert_eq!(refusal(beside(other)).await, expected);
    }
    // What composer itself passes over.
    TestRegistry::new().upload("acme/lib", "1.0.0", beside(".DS_Store")).await.expect(201);
    // Nothing is stripped here, whatever else there is.
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "1.0.0", package_with(text("__MACOSX/._composer.json", ""))).await.expect(201);
}

#[tokio::test]
async fn zips_of_streams_large_ones_stored_ones_and_those_with_a_comment_are_published() {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let write = |options: SimpleFileOptions| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content) in [("composer.json", MANIFEST), ("src/caf\u{e9}.php", "<?php")] {
            zip.start_file(path, options).expect("begins");
            zip.write_all(content.as_bytes()).expect("is written");
        }
        zip
    };
    let finish = |zip: ZipWriter<Cursor<Vec<u8>>>| zip.finish().expect("ends").into_inner();
    let mut commented = write(options);
    commented.set_comment("0123456789abcdef0123456789abcdef01234567").expect("is short");
    let mut streamed = Vec::new();
    let mut stream = ZipWriter::new_stream(&mut streamed);
    stream.start_file("composer.json", options).expect("begins");
    stream.write_all(MANIFEST.as_bytes()).expect("is written");
    stream.finish().expect("ends");
    for zip in [
        finish(write(options.compression_method(CompressionMethod::Stored))),
        finish(write(options.large_file(true))),
        finish(commented),
        streamed,
    ] {
        TestRegistry::new().upload("acme/lib", "1.0.0", zip).await.expect(201);
    }
}

#[tokio::test]
async fn names_that_php_and_unzip_read_differently_are_refused_by_name() {
    let named = |bytes: &[u8]| patched(package_with(text("src/cafX.php", "")), "src/cafX.php", bytes);
    let refused = "This zip cannot be published: the name src/caf\\x82.php is not UTF-8";
    assert_eq!(refusal(named(b"src/caf\x82.php")).await, refused, "code page 437");
    let backslash = "This zip cannot be published: the path src\\\\cafX.php is unsafe: a name holds a path separator";
    assert_eq!(refusal(named(b"src\\cafX.php")).await, backslash);
}

#[tokio::test]
async fn what_is_no_zip_and_a_composer_json_without_content_are_told() {
    let tar = [b"composer.json".to_vec(), vec![0; 1011]].concat();
    assert!(refusal(tar).await.starts_with("This zip cannot be published: it is not a valid zip file"));
    let empty = "composer.json is empty; it has to state the package's name at least";
    assert_eq!(refusal(zip_of(&[text("composer.json", "")])).await, empty);
}

#[tokio::test]
async fn paths_that_differ_in_case_only_are_published_and_told() {
    let registry = TestRegistry::new();
    let zip = zip_of(&[
        text("composer.json", MANIFEST),
        text("src/Foo.php", "1"),
        text("src/foo.php", "2"),
        ZipEntry::Directory("Icons/"),
        text("icons/a.svg", ""),
    ]);
    let uploaded = registry.upload("acme/lib", "1.0.0", zip.clone()).await.expect(201).json();
    let told = "`src/foo.php` and `src/Foo.php` differ in case only: on Windows and macOS one of them takes the other's \
                place.";
    let remarks = json!([{"kind": "case_collisions", "text": told}]);
    assert_eq!(uploaded["remarks"], remarks);
    let again = registry.upload("acme/lib", "1.0.0", zip.clone()).await.expect(200).json();
    assert_eq!(again["remarks"], remarks);
    let details: Value = registry.get("/api/packages/acme%2Flib").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(details["versions"][0]["remarks"], remarks);
    assert_eq!(registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body, zip);
}
