//! JSON that others wrote: bodies, and the documents of upstream repositories.

use composer::{JsonBudget, PackageName, read_included, read_package, read_root};
use rostrum::registry::sources::composer::upstream_version::parse_version;
use serde_json::Value;

use crate::engine::Target;

#[test]
fn json() {
    let words = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\\"",
        "\\\\",
        "\\u00e9",
        "\\ud83d\\ude00",
        "null",
        "true",
        "1e5",
        "-0.0",
        "1E400",
        "{},",
        "\u{feff}",
        " ",
        "\n",
    ];
    Target { name: "json", words, read: read_json }.run();
}

fn read_json(input: &[u8]) {
    let ours = rostrum::json::parse(input);
    let theirs = serde_json::from_slice::<Value>(input);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("only serde_json refuses it: {error}"),
        (Err(error), Ok(_)) => panic!("only we refuse it: {error}"),
    }
    if let Err(error) = &ours {
        assert!(error.to_string().chars().count() < 1000);
    }
    let (strict, _) =
        rostrum::json::read_strictly::<Vec<(String, u8)>>(&ours.unwrap_or_default(), rostrum::json::Spelling::Json);
    if let Err(error) = strict {
        assert!(error.to_string().chars().count() < 1000);
    }
}

#[test]
fn upstream_document() {
    let words = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"packages\":{",
        "\"acme/lib\":",
        "\"minified\":\"composer/2.0\"",
        "\"__unset\"",
        "\"version\":\"1.0\"",
        "\"dist\":{\"type\":\"zip\",\"url\":\"https://h.test/a.zip\",\"reference\":\"a\\nb\"}",
        "\"metadata-url\":\"/p2/%package%.json\"",
        "\"includes\":{",
        "\"providers\":{",
        "\"time\":\"2025-01-01\"",
        "\"require\":{\"php\":\"*\"}",
        "null",
        "\\r\\n",
        "\"security-advisories\":{",
    ];
    Target { name: "upstream-document", words, read: read_upstream_document }.run();
}

fn read_upstream_document(input: &[u8]) {
    let name = PackageName::parse("acme/lib").expect("a name");
    if let Ok((root, file)) = read_root(input) {
        let kept = serde_json::to_string(&root).expect("is kept");
        assert!(kept.len() <= 4 * input.len() + 1000, "{} bytes are kept of {}", kept.len(), input.len());
        assert!(file.packages.len() + file.providers.len() <= input.len());
    }
    let _ = read_included(input);
    let Ok(Some(document)) = read_package(input, &name, &mut JsonBudget::default()) else { return };
    for version in document.versions.take(50) {
        let Ok(parsed) = parse_version(&name, version) else { continue };
        let Some(archive) = parsed.archive else { continue };
        assert!(!archive.url.contains(char::is_control), "{:?}", archive.url);
        assert!(!archive.reference.is_some_and(|reference| reference.contains(char::is_control)));
        assert!(!parsed.version.pretty.contains(char::is_control));
    }
}
