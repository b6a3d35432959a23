//! What packages are made of: rules, zips, composer.json, versions.

use std::io::Cursor;

use composer::{Constraint, Manifest, NormalizedVersion, normalize};
use git::limits::{ATTRIBUTE_RULE_BYTES, ATTRIBUTE_RULES};
use git::{ArchiveWork, Attributes};
use rostrum::registry::sources::uploads::inspect::inspect;
use zip::ZipArchive;

use crate::engine::Target;

#[test]
fn attributes() {
    let words = &[
        "\n",
        "*",
        "**",
        "**/",
        "?",
        "[a-z]",
        "[!",
        "[[:alpha:]]",
        "\\",
        "/",
        "\"",
        " export-ignore",
        " -export-ignore",
        " text=auto",
        " eol=crlf",
        " ident",
        " filter=lfs",
        "[attr]m ",
        " binary",
        "#",
        "!",
        "\0",
    ];
    Target { name: "attributes", words, read: read_attributes }.run();
}

/// Rules, a NUL, and a path that they are asked about.
fn read_attributes(input: &[u8]) {
    let (rules, path) = match input.iter().rposition(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"src/a/b.txt"[..]),
    };
    let mut attributes = Attributes::new();
    let added = attributes.add_file("", rules);
    assert!(attributes.len() <= ATTRIBUTE_RULES);
    if added.is_err() {
        assert!(rules.len() > ATTRIBUTE_RULES.min(ATTRIBUTE_RULE_BYTES));
    }
    for is_dir in [false, true] {
        let mut work = ArchiveWork::new(u64::MAX);
        let asked = attributes.export_ignore(path, is_dir, &mut work).expect("there is no end to it");
        // A rule takes all states of its pattern for each byte of the path, and its attributes.
        let most = (rules.len() as u64 + 2000) * (path.len() as u64 + 4) * 2;
        assert!(work.spent() <= most, "{} steps for {} × {} bytes", work.spent(), rules.len(), path.len());
        let again = attributes.export_ignore(path, is_dir, &mut ArchiveWork::new(work.spent()));
        assert_eq!(again, Ok(asked), "the same work, the same answer");
        if let Some(less) = work.spent().checked_sub(1) {
            assert!(attributes.export_ignore(path, is_dir, &mut ArchiveWork::new(less)).is_err());
        }
    }
}

#[test]
fn zip_inspection() {
    let words = &[
        "PK\x01\x02",
        "PK\x03\x04",
        "PK\x05\x06",
        "PK\x07\x08",
        "../",
        "/",
        "composer.json",
        "a/",
        "\0\0\0\0",
        "C:",
        "..\\",
        "up\x05\0",
    ];
    Target { name: "zip", words, read: read_zip }.run();
}

fn read_zip(input: &[u8]) {
    let Ok(contents) = inspect(input) else { return };
    assert!(contents.manifest.len() <= 200_000);
    let mut zip = ZipArchive::new(Cursor::new(input)).expect("what was inspected is a zip");
    for at in 0..zip.len() {
        let entry = zip.by_index(at).expect("every entry was read");
        let name = entry.name().expect("names are texts");
        assert!(!name.starts_with('/') && !name.contains('\\') && !name.contains('\0'), "{name:?}");
        assert!(name.split('/').all(|part| part != ".." && part != "."), "{name:?}");
    }
}

#[test]
fn composer_json() {
    let words = &[
        "\"name\":",
        "\"acme/lib\"",
        "\"require\":{",
        "\"version\":",
        "\"__unset\"",
        "{}",
        "[]",
        "null",
        ",",
        ":",
        "\"autoload\":{\"psr-4\":{",
        "\"extra\":{\"branch-alias\":{\"dev-main\":\"1.x-dev\"}}",
        "\"archive\":{\"exclude\":[",
        "1e999",
        "-0",
        "\\u0000",
        "\"dist\":{",
        "\"self.version\"",
    ];
    Target { name: "composer-json", words, read: read_composer_json }.run();
}

fn read_composer_json(input: &[u8]) {
    let manifest = match Manifest::parse(input) {
        Ok(manifest) => manifest,
        Err(error) => {
            let told = error.to_string().chars().count();
            return assert!(told < 20 * 1500, "an error of {told} characters");
        }
    };
    let text = serde_json::to_string(manifest.json()).expect("it is JSON");
    let again = Manifest::parse(text.as_bytes()).expect("what was read is a composer.json");
    assert_eq!(manifest.json(), again.json());
}

#[test]
fn constraint() {
    let words = &[
        "^",
        "~",
        ">=",
        "<",
        "!=",
        "||",
        "|",
        ",",
        " ",
        " - ",
        "*",
        ".x",
        "1.2",
        "@dev",
        "dev-main",
        "#abc",
        " as ",
        "-beta1",
        "RC",
        "self.version",
        "99999999999999999999",
    ];
    Target { name: "constraint", words, read: read_constraint }.run();
}

fn read_constraint(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(constraint) = Constraint::parse(text) else { return };
    assert_eq!(constraint.as_written(), text);
    // What is shown need not be a constraint: of `<2p@beta` Composer makes `< 2.0.0.0-patch-beta`, which it does not read.
    let shown = constraint.to_string();
    assert!(shown.len() <= 64 * text.len() + 64, "{text:?} is shown as {shown:?}");
    // What is trimmed at the ends of the whole, or ends it (`as`, `#`), may not stand before an operator. A form feed behind a
    // branch is part of its name for Composer, and before `||` it is a blank.
    if text.contains(char::is_control) {
        return;
    }
    let Ok(twice) = Constraint::parse(&format!("{text} || {text}")) else { return };
    for version in [
        "0.1.0.0",
        "1.0.0.0-beta1",
        "1.2.0.0",
        "1.2.3.0",
        "2.0.0.0-dev",
        "99.0.0.0",
        "dev-main",
        "1.9999999.9999999.9999999-dev",
    ] {
        let version = NormalizedVersion::from_stored(version.to_owned());
        assert_eq!(constraint.matches(&version), twice.matches(&version), "{text:?} once and twice, of {version:?}");
    }
}

#[test]
fn version() {
    let words = &[
        "v", "1.2.3", ".", "-", "_", "+", "dev-", "-dev", "alpha", "beta", "RC", "patch", "p1", "x", "@dev", " as ",
        "20250101", "#", "stable", "master", "\u{e9}",
    ];
    Target { name: "version", words, read: read_version }.run();
}

fn read_version(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(version) = normalize(text) else { return };
    assert!(version.as_str().len() <= 4 * text.len() + 64, "{text:?} grows");
    let _ = version.stability();
    // Once more may change it: Composer makes `1.0.0.0-stable-dev` of one and `1.0.0.0-dev` of that, and takes one `@dev` of many
    // away each time. It comes to an end.
    let mut last = version;
    for _ in 0..=text.len() {
        let again = normalize(last.as_str()).unwrap_or_else(|error| panic!("{text:?} becomes {last:?}, and {error}"));
        if again == last {
            return;
        }
        last = again;
    }
    panic!("{text:?} is another version each time, and now {last:?}");
}
