//! What a composer.json may say: which faults refuse it, which only cost a field, and what is read from it.

use rostrum_composer::manifest::{MAX_MANIFEST_BYTES, MAX_MANIFEST_DEPTH};
use rostrum_composer::{InvalidJson, InvalidManifest, Manifest, PackageName};
use serde_json::{Value, json};

/// A composer.json of `acme/blog` with some more fields.
fn blog(more: &Value) -> Result<Manifest, InvalidManifest> {
    let mut json = json!({"name": "acme/blog"});
    for (key, value) in more.as_object().expect("an object") {
        json[key] = value.clone();
    }
    Manifest::parse(json.to_string().as_bytes())
}

/// The fields that are refused.
fn refused(more: &Value) -> Vec<String> {
    match blog(more) {
        Err(InvalidManifest::Invalid(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
        other => panic!("{more}: {other:?}"),
    }
}

#[test]
fn a_file_that_cannot_be_read_says_where_it_is_broken() {
    let error = |bytes: &[u8]| Manifest::parse(bytes).expect_err("unreadable");
    assert!(matches!(
        error(b"{\n  \"name\": ,\n}"),
        InvalidManifest::NotJson(InvalidJson::Syntax { line: 2, column: 11, .. })
    ));
    assert_eq!(error(b"{\"a\": \"\xff\"}"), InvalidManifest::NotUtf8 { offset: 7 });
    for (marked, encoding) in [(&b"\xef\xbb\xbf{}"[..], "UTF-8"), (b"\xff\xfe{\0}\0", "UTF-16LE")] {
        assert_eq!(error(marked), InvalidManifest::NotJson(InvalidJson::ByteOrderMark { encoding }));
    }
    assert_eq!(error(b"[]"), InvalidManifest::NotAnObject { found: "a list" });
    let large = vec![b' '; MAX_MANIFEST_BYTES + 1];
    assert_eq!(error(&large), InvalidManifest::TooLarge { size: MAX_MANIFEST_BYTES + 1, max: MAX_MANIFEST_BYTES });
}

#[test]
fn nesting_is_read_up_to_the_limit_and_refused_beyond() {
    let nested =
        |levels: usize| format!("{{\"name\":\"acme/blog\",\"extra\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(Manifest::parse(nested(MAX_MANIFEST_DEPTH - 1).as_bytes()).is_ok());
    let too_deep = Err(InvalidManifest::TooDeep { max: MAX_MANIFEST_DEPTH });
    assert_eq!(Manifest::parse(nested(MAX_MANIFEST_DEPTH).as_bytes()), too_deep);
    assert_eq!(Manifest::parse("[".repeat(500_000).as_bytes()), too_deep);
    assert!(blog(&json!({"description": "[".repeat(200)})).is_ok(), "brackets in text are not nesting");
}

#[test]
fn a_name_must_be_stated_and_valid() {
    for file in [r"{}", r#"{"name": 7}"#, r#"{"name": "blog"}"#, r#"{"name": "php"}"#] {
        let Err(InvalidManifest::Invalid(violations)) = Manifest::parse(file.as_bytes()) else {
            panic!("{file} must be refused");
        };
        assert_eq!(violations[0].field, "name", "{file}");
    }
    let misspelled = Manifest::parse(br#"{"name": "Acme/Blog"}"#).expect("a name in any case");
    assert_eq!(misspelled.name().map(PackageName::as_str), Some("acme/blog"));
    assert_eq!(misspelled.misspelled_name(), Some("Acme/Blog"));
    assert_eq!(blog(&json!({})).expect("valid").misspelled_name(), None);
}

#[test]
fn a_repository_gives_its_name_to_every_ref() {
    let name = PackageName::parse("acme/blog").expect("name");
    let read = |file: &str| Manifest::parse_as(file.as_bytes(), &name).expect(file);
    assert_eq!(read("{}").name(), None);
    let renamed = read(r#"{"name": "acme/weblog", "version": "not a version"}"#);
    assert_eq!(renamed.name().map(PackageName::as_str), Some("acme/weblog"));
    assert_eq!(renamed.warnings().len(), 1);
    assert_eq!(read(r#"{"name": "Acme/Blog"}"#).name(), Some(&name));
    assert!(Manifest::parse_as(br#"{"require": {"acme/blog": "*"}}"#, &name).is_err(), "requires itself");
}

#[test]
fn faults_that_would_break_the_client_are_refused() {
    for (more, field) in [
        (json!({"version": "oops"}), "version"),
        (json!({"version": []}), "version"),
        (json!({"version": false}), "version"),
        (json!({"require": {"acme/log": "oops!"}}), "require.acme/log"),
        (json!({"require": {"acme/log": 1}}), "require.acme/log"),
        (json!({"require": {"acme/log": "~>1.0"}}), "require.acme/log"),
        (json!({"require": {"acme log": "*"}}), "require.acme log"),
        (json!({"require": ["acme/log"]}), "require"),
        (json!({"require-dev": {"ACME/blog": "*"}}), "require-dev.ACME/blog"),
        (json!({"replace": {"acme/blog": "*"}}), "replace.acme/blog"),
        (json!({"conflict": {"a/b": "*"}, "replace": {"a/b": "*"}}), "conflict.a/b"),
        (json!({"source": {"type": "git", "url": "https://x.test"}}), "source.reference"),
        (json!({"source": {"type": "git", "url": "-x", "reference": "1"}}), "source.url"),
        (json!({"source": "https://x.test"}), "source"),
        (json!({"dist": {"type": "zip", "url": 1}}), "dist.url"),
        (json!({"dist": {"type": "zip"}}), "dist.url"),
        (json!({"dist": {"type": "zip", "url": "https://x.test", "reference": " -1"}}), "dist.reference"),
        (json!({"bin": "../evil"}), "bin"),
        (json!({"bin": ["ok", "a/../../b"]}), "bin"),
        (json!({"bin": [[]]}), "bin"),
        (json!({"type": 1}), "type"),
        (json!({"extra": "x"}), "extra"),
        (json!({"extra": {"branch-alias": "x"}}), "extra.branch-alias"),
        (json!({"autoload": {"psr-5": {}}}), "autoload"),
        (json!({"autoload": {"psr-4": {"Acme": "src"}}}), "autoload.psr-4"),
        (json!({"autoload": {"psr-4": {"Acme\\": "src"}}, "target-dir": "Acme"}), "target-dir"),
        (json!({"autoload-dev": "x"}), "autoload-dev"),
        (json!({"suggest": {"a/b": 1}}), "suggest.a/b"),
        (json!({"minimum-stability": "wild"}), "minimum-stability"),
        (json!({"config": {"platform": {"php": "oops"}}}), "config.platform.php"),
        (json!({"include-path": "lib"}), "include-path"),
        (json!({"archive": {"exclude": ["*a".repeat(5000)]}}), "archive.exclude"),
        (json!({"php-ext": {"extension-name": "x"}}), "php-ext"),
    ] {
        assert_eq!(refused(&more), [field], "{more}");
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let more = json!({"version": "x", "require": {"a/b": "!", "c/d": "!"}, "bin": ".."});
    assert_eq!(refused(&more), ["version", "bin", "require.a/b", "require.c/d"]);
}

#[test]
fn a_bad_constraint_is_named_with_its_link() {
    let error = blog(&json!({"require": {"acme/log": "^1.0 || nope"}})).expect_err("bad constraint").to_string();
    assert!(error.contains("require.acme/log") && error.contains("\"nope\""), "{error}");
}

#[test]
fn faults_of_describing_fields_only_cost_the_field() {
    for (more, left) in [
        (json!({"description": 1}), json!({})),
        (json!({"homepage": "ftp://x.test"}), json!({})),
        (json!({"homepage": "https://"}), json!({})),
        (json!({"keywords": "x"}), json!({})),
        (json!({"keywords": ["ok", "häuser 1", "no!", []]}), json!({"keywords": ["ok", "häuser 1"]})),
        (json!({"license": {"a": 1}}), json!({})),
        (json!({"authors": "me"}), json!({})),
        (
            json!({"authors": [{"name": "A", "email": "nope", "homepage": "nope"}, "B"]}),
            json!({"authors": [{"name": "A"}]}),
        ),
        (json!({"authors": [{"email": "a@example.org"}]}), json!({"authors": [{"email": "a@example.org"}]})),
        (json!({"support": {"email": "nope", "irc": "irc://x.test/c"}}), json!({"support": {"irc": "irc://x.test/c"}})),
        (json!({"funding": [{"type": "x", "url": "nope"}]}), json!({"funding": [{"type": "x"}]})),
        (json!({"type": "a b"}), json!({})),
        (json!({"archive": {"exclude": "x"}}), json!({})),
        (json!({"abandoned": 1}), json!({})),
        (json!({"time": 1}), json!({})),
        (json!({"readme": "__unset"}), json!({})),
        (
            json!({"extra": {"branch-alias": {"dev-main": "2.x-dev", "1.x-dev": "2.x-dev", "dev-a": "2.0", "dev-b": 1}}}),
            json!({"extra": {"branch-alias": {"dev-main": "2.x-dev"}}}),
        ),
        (json!({"require": {"Acme/Log": "*"}}), json!({"require": {"Acme/Log": "*"}})),
    ] {
        let manifest = blog(&more).unwrap_or_else(|error| panic!("{more}: {error}"));
        let mut json = manifest.json().clone();
        json.shift_remove("name");
        assert_eq!(Value::Object(json), left, "{more}");
        let clean = more == left && more.get("require").is_none();
        assert_eq!(manifest.warnings().is_empty(), clean, "{more}: {:?}", manifest.warnings());
    }
}

#[test]
fn null_and_empty_are_as_good_as_absent() {
    let more =
        json!({"require": [], "source": {}, "dist": [], "extra": null, "autoload": [], "bin": null, "suggest": []});
    let manifest = blog(&more).expect("valid");
    assert!(!manifest.json().contains_key("source") && !manifest.json().contains_key("extra"));
    assert!(manifest.warnings().is_empty());
}

#[test]
fn an_object_where_a_list_belongs_is_read_as_its_values() {
    let more = json!({"license": {"a": "MIT"}, "keywords": {"0": "x", "2": "y"}, "authors": {"a": {"name": "A"}}});
    let manifest = blog(&more).expect("valid");
    assert_eq!((manifest.licenses(), manifest.keywords()), (vec!["MIT"], vec!["x", "y"]));
    assert_eq!(manifest.json()["authors"], json!([{"name": "A"}]));
    assert!(manifest.warnings().is_empty());
}

#[test]
fn what_is_asked_for_is_read() {
    let manifest = blog(&json!({
        "version": 1.5, "description": "A blog", "type": "WordPress-Plugin", "homepage": "https://blog.test",
        "keywords": ["blog"], "license": "MIT", "archive": {"exclude": ["/tests", "!keep"]},
        "require": {"php": ">=8.1", "ext-json": "*", "acme/log": "self.version"},
    }))
    .expect("valid");
    assert_eq!(manifest.name().map(PackageName::as_str), Some("acme/blog"));
    assert_eq!(manifest.version(), Some("1.5"));
    assert_eq!(manifest.description(), Some("A blog"));
    assert_eq!(manifest.package_type(), "wordpress-plugin");
    assert_eq!(manifest.homepage(), Some("https://blog.test"));
    assert_eq!((manifest.keywords(), manifest.licenses()), (vec!["blog"], vec!["MIT"]));
    assert_eq!(manifest.archive_excludes(), ["/tests", "!keep"]);
    assert_eq!(manifest.links("require").count(), 3);
    assert!(manifest.warnings().is_empty(), "{:?}", manifest.warnings());
}
