//! Every case of the vectors, which the reference implementation (composer/semver, composer/metadata-minifier and
//! composer itself) produced. A test runs all cases of its list and names all that differ.

use rostrum_composer::compare::compares;
use rostrum_composer::constraint::Operator;
use rostrum_composer::{
    Constraint, InvalidPackageName, Map, NormalizedVersion, PackageName, Stability, branch_alias, expand, is_platform,
    minify, normalize, normalize_branch, numeric_alias_prefix,
};
use serde_json::Value;

fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("vectors are JSON")
}

fn cases(file: &str, list: &str) -> Vec<Value> {
    let cases = vectors(file)[list].as_array().expect("a list of cases").clone();
    assert!(!cases.is_empty(), "{file}.{list} has no cases");
    cases
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {case} is text"))
}

fn stored(version: &str) -> NormalizedVersion {
    NormalizedVersion::from_stored(version.to_owned())
}

/// Runs `actual` on every case and compares with the case's `expected`, or what `wanted` makes of the case.
fn run(cases: &[Value], count: usize, wanted: impl Fn(&Value) -> Value, actual: impl Fn(&Value) -> Value) {
    let differs = |case: &Value| {
        let (wanted, actual) = (wanted(case), actual(case));
        (wanted != actual).then(|| format!("{case}\n  wanted {wanted}\n  got    {actual}"))
    };
    let mismatches: Vec<String> = cases.iter().filter_map(differs).collect();
    assert!(mismatches.is_empty(), "{} of {} differ:\n{}", mismatches.len(), cases.len(), mismatches.join("\n"));
    assert_eq!(cases.len(), count, "the vector file has another number of cases than this test was written for");
}

fn expected(case: &Value) -> Value {
    case["expected"].clone()
}

#[test]
fn versions_normalize_as_in_the_reference() {
    run(&cases("normalize", "normalize"), 119, expected, |case| {
        normalize(text(case, "input")).map_or(Value::Null, |version| version.as_str().into())
    });
    run(&cases("normalize", "is_valid"), 6, expected, |case| normalize(text(case, "input")).is_ok().into());
}

#[test]
fn branches_normalize_as_in_the_reference() {
    run(&cases("normalize", "normalize_branch"), 13, expected, |case| {
        normalize_branch(text(case, "input")).as_str().into()
    });
    run(&cases("normalize", "numeric_alias_prefix"), 8, expected, |case| {
        numeric_alias_prefix(text(case, "input")).map_or(Value::Null, Value::from)
    });
}

#[test]
fn stabilities_are_the_references() {
    run(&cases("normalize", "stability"), 22, expected, |case| Stability::of(text(case, "input")).as_str().into());
    run(&cases("normalize", "normalize_stability"), 11, expected, |case| {
        Stability::parse(text(case, "input")).map_or(Value::Null, |stability| stability.as_str().into())
    });
}

#[test]
fn constraints_have_the_references_string_form_and_tree() {
    let parsed = |case: &Value| Constraint::parse(text(case, "input")).ok().map(|constraint| constraint.to_string());
    let cases = cases("constraints", "parse");
    run(&cases, 276, |case| case["string"].clone(), |case| parsed(case).map_or(Value::Null, Value::from));
    // Our structure is what the string form shows, so the tree is compared by the string it stands for.
    run(
        &cases,
        276,
        |case| shown(&case["tree"]).map_or(Value::Null, Value::from),
        |case| parsed(case).map_or(Value::Null, Value::from),
    );
}

/// The string form of a tree.
fn shown(tree: &Value) -> Option<String> {
    let join = |separator: &str| {
        let parts = tree["constraints"].as_array()?.iter().map(shown).collect::<Option<Vec<_>>>()?;
        Some(format!("[{}]", parts.join(separator)))
    };
    match tree["type"].as_str()? {
        "all" => Some("*".to_owned()),
        "cmp" => Some(format!("{} {}", text(tree, "op"), text(tree, "version"))),
        "and" => join(" "),
        "or" => join(" || "),
        other => panic!("unknown node {other}"),
    }
}

#[test]
fn a_constraint_meets_a_provided_one_as_in_the_reference() {
    let constraint = |pair: &Value| {
        let operator = Operator::parse(pair[0].as_str().expect("operator")).expect("operator");
        Constraint::comparing(operator, &stored(pair[1].as_str().expect("version")))
    };
    let cases = cases("constraints", "match_specific");
    run(
        &cases,
        208,
        |case| case["matches"].clone(),
        |case| constraint(&case["require"]).intersects(&constraint(&case["provide"])).into(),
    );
    // What is provided as `==` is a concrete version.
    let concrete: Vec<Value> = cases.into_iter().filter(|case| case["provide"][0] == "==").collect();
    let count = concrete.len();
    run(
        &concrete,
        count,
        |case| case["matches"].clone(),
        |case| constraint(&case["require"]).matches(&stored(case["provide"][1].as_str().expect("version"))).into(),
    );
}

#[test]
fn versions_compare_as_in_the_reference() {
    run(&cases("constraints", "comparator"), 57, expected, |case| {
        let operator = Operator::parse(text(case, "op")).expect("operator");
        compares(&stored(text(case, "a")), operator, &stored(text(case, "b"))).into()
    });
}

#[test]
fn names_are_accepted_as_in_the_reference_except_platform_names() {
    run(
        &cases("names", "cases"),
        62,
        |case| case["valid_strict"].clone(),
        |case| PackageName::parse(text(case, "name")).is_ok().into(),
    );
    run(&cases("names", "cases"), 62, |case| case["platform"].clone(), |case| is_platform(text(case, "name")).into());
}

#[test]
fn a_refused_name_is_told_the_references_rule() {
    let rule = |error: &str| {
        let rules = [("should have a vendor name", "shape"), ("is reserved", "reserved"), ("end in .json", "json")];
        let found = rules.iter().find(|(words, _)| error.contains(words)).map_or("upper case", |(_, rule)| rule);
        Value::from(found)
    };
    let refused: Vec<Value> = cases("names", "cases").into_iter().filter(|case| case["error"].is_string()).collect();
    let count = refused.len();
    run(
        &refused,
        count,
        |case| rule(text(case, "error")),
        |case| match PackageName::parse(text(case, "name")) {
            Err(InvalidPackageName::Shape { .. }) => "shape".into(),
            Err(InvalidPackageName::Reserved { .. }) => "reserved".into(),
            Err(InvalidPackageName::EndsInJson { .. }) => "json".into(),
            Err(InvalidPackageName::UpperCase { .. }) => "upper case".into(),
            other => panic!("{case}: {other:?}"),
        },
    );
}

#[test]
fn branch_aliases_are_the_references() {
    let wanted = |case: &Value| serde_json::json!([case["alias_normalized"], case["alias_pretty"]]);
    run(&cases("branch_alias", "cases"), 21, wanted, |case| {
        let alias = branch_alias(case["input"].as_object().expect("an entry"));
        alias.map_or(serde_json::json!([null, null]), |alias| {
            serde_json::json!([alias.normalized.as_str(), alias.pretty])
        })
    });
}

/// A list of versions; PHP shows an empty object as `[]`.
fn versions(list: &Value) -> Vec<Map> {
    let object = |entry: &Value| entry.as_object().cloned().unwrap_or_default();
    list.as_array().expect("a list of versions").iter().map(object).collect()
}

fn list(versions: Vec<Map>) -> Value {
    versions.into_iter().map(Value::Object).collect()
}

#[test]
fn metadata_is_minified_as_in_the_reference() {
    let all = cases("minifier", "cases");
    assert_eq!(all.len(), 19);
    let with_source: Vec<Value> = all.iter().filter(|case| case["source"].is_array()).cloned().collect();
    run(
        &with_source,
        with_source.len(),
        |case| list(versions(&case["minified"])),
        |case| list(minify(versions(&case["source"]))),
    );
    run(&all, 19, |case| list(versions(&case["expanded"])), |case| list(expand(versions(&case["minified"]))));
}
