//! What holds for every input: nothing panics, and what is minified can be expanded again.

use proptest::collection::vec;
use proptest::prelude::*;
use rostrum_composer::{
    Constraint, DocumentForm, DocumentIndex, ExcludeRules, Manifest, Map, NormalizedVersion, PackageName, Stability,
    branch_alias, document_json, expand, manifest_path, minify, normalize, normalize_branch, numeric_alias_prefix,
    php_version_compare, sort_order, version_of_branch,
};
use serde_json::Value;

/// Values that a metadata entry may have; `__unset` at the top level cannot be represented.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let nested_unset = Just(Value::from("__unset"));
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec(("[xyz]", prop_oneof![inner, nested_unset]), 0..3)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn versions() -> impl Strategy<Value = Vec<Map>> {
    vec(vec(("[a-e]", value()), 0..5).prop_map(|pairs| pairs.into_iter().collect::<Map>()), 0..6)
}

/// Text that often looks like a version or a constraint.
fn versionish() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[0-9]{1,4}",
        Just("99999999999999999999".to_owned()),
        proptest::sample::select(vec![
            ".", "-", "_", "+", " ", ",", "|", "||", "^", "~", ">", "<", "=", ">=", "<=", "!=", "<>", "*", "x", "X",
            "v", "@", "#", "dev", "-dev", "dev-", "alpha", "a", "beta", "b", "RC", "rc", "patch", "pl", "p", "stable",
            " as ", " - ", "@dev", "é", "\n", "\t", "master", "release-",
        ])
        .prop_map(str::to_owned),
    ];
    vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn exercise_versions(text: &str) {
    if let Ok(version) = normalize(text) {
        // A normalized version is a version; what it normalizes to may differ once more (`1.0-stable-dev`).
        let _ = version.stability();
        let _ = sort_order(&version, &normalize_branch(text));
    }
    let _ = (normalize_branch(text), numeric_alias_prefix(text), Stability::of(text), version_of_branch(text));
    if let Ok(constraint) = Constraint::parse(text) {
        assert_eq!(constraint.as_written(), text);
        let _ = (
            constraint.to_string(),
            constraint.matches(&normalize_branch("1.x")),
            constraint.intersects(&Constraint::any()),
        );
    }
    let _ = PackageName::parse(text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_minified_expands_to_the_same(versions in versions()) {
        let expanded = expand(minify(versions.clone()));
        prop_assert_eq!(expanded, versions);
    }

    #[test]
    fn minifying_keeps_the_order_of_nested_keys(versions in versions()) {
        let expanded = expand(minify(versions.clone()));
        for (left, right) in expanded.iter().zip(&versions) {
            for (key, value) in left {
                prop_assert_eq!(value.to_string(), right[key].to_string());
            }
        }
    }

    #[test]
    fn a_subset_of_a_document_is_the_document_of_those_versions(versions in versions(), chosen in any::<u8>()) {
        let name = PackageName::parse("acme/lib").expect("a name");
        let text = document_json(&name, versions.clone(), DocumentForm::Minified);
        let positions: Vec<usize> = (0..versions.len()).filter(|position| chosen >> position & 1 == 1).collect();
        // The order of a version's keys is the one that its readers see.
        let read = expand(minify(versions));
        let kept: Vec<Map> = positions.iter().map(|&position| read[position].clone()).collect();
        let index = DocumentIndex::parse(&text, &name).expect("an index");
        let subset = index.subset(&text, &name, &positions, |_, value| Some(value.into()));
        prop_assert_eq!(subset, document_json(&name, kept, DocumentForm::Minified));
    }

    #[test]
    fn no_text_makes_the_index_panic(text in "[\\[\\]{}\\\\\",:a-c0]{0,60}") {
        let name = PackageName::parse("acme/lib").expect("a name");
        let all = document_json(&name, [], DocumentForm::Minified);
        let document = all.replace("[]", &format!("[{text}"));
        if let Some(index) = DocumentIndex::parse(&document, &name) {
            let positions: Vec<usize> = (0..=index.len()).collect();
            index.subset(&document, &name, &positions, |_, value| Some(value.into()));
        }
    }

    #[test]
    fn no_text_makes_the_version_parser_panic(text in any::<String>()) {
        exercise_versions(&text);
    }

    #[test]
    fn no_versionish_text_makes_the_version_parser_panic(text in versionish()) {
        exercise_versions(&text);
    }

    #[test]
    fn no_bytes_make_the_manifest_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }

    #[test]
    fn no_field_makes_the_manifest_reader_panic(
        fields in vec((proptest::sample::select(vec![
            "name", "version", "type", "require", "conflict", "replace", "suggest", "source", "dist", "extra", "autoload",
            "bin", "authors", "support", "funding", "keywords", "license", "archive", "abandoned", "config", "php-ext",
            "homepage", "description", "time", "include-path", "minimum-stability", "target-dir", "scripts",
        ]), value()), 0..6),
        aliases in value(),
    ) {
        let mut json: Map = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let _ = branch_alias(&json);
        json.insert("name".to_owned(), "acme/blog".into());
        json.insert("extra".to_owned(), serde_json::json!({"branch-alias": aliases}));
        let _ = Manifest::parse(Value::Object(json).to_string().as_bytes());
    }

    #[test]
    fn sorting_is_a_total_order(texts in vec(versionish(), 3)) {
        let stored: Vec<_> = texts.into_iter().map(NormalizedVersion::from_stored).collect();
        let order = |left: usize, right: usize| sort_order(&stored[left], &stored[right]);
        prop_assert_eq!(order(0, 1), order(1, 0).reverse());
        if order(0, 1).is_le() && order(1, 2).is_le() {
            prop_assert!(order(0, 2).is_le());
        }
    }

    #[test]
    fn comparing_never_panics(left in any::<String>(), right in versionish()) {
        let _ = (php_version_compare(&left, &right), php_version_compare(&right, &left));
    }

    #[test]
    fn no_archive_layout_or_exclude_rule_panics(
        paths in vec("[a/.*\\\\]{0,6}|composer.json|a/composer.json", 0..4),
        rules in vec("[a/.*?{},!\\[\\]\\\\-]{0,8}", 0..4),
    ) {
        let _ = manifest_path(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let rules = ExcludeRules::parse(&rules);
        for path in paths {
            let _ = rules.excludes(&path, |_| Ok::<(), ()>(()));
        }
    }
}
