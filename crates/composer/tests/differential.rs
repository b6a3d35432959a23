//! The same questions to this crate and to the reference implementation.

mod reference;

use rostrum_composer::{
    Constraint, ExcludeRules, NormalizedVersion, Stability, normalize, normalize_branch, numeric_alias_prefix,
    php_version_compare, version_of_branch,
};
use serde_json::{Value, json};

fn answer_version(version: &str) -> Value {
    let branch = normalize_branch(version);
    let as_constraint = Constraint::parse(branch.as_str()).ok().map(|constraint| constraint.to_string());
    // A branch may be left out for another reason too: what requires it may mean another version.
    assert!(as_constraint.is_some() || version_of_branch(version).is_err(), "{version}");
    json!([
        normalize(version).ok().map(|version| version.to_string()),
        branch.as_str(),
        numeric_alias_prefix(version),
        Stability::of(version).as_str(),
        as_constraint,
    ])
}

fn pair(question: &Value) -> (&str, &str) {
    (question[0].as_str().expect("text"), question[1].as_str().expect("text"))
}

fn answer_constraint(question: &Value) -> Value {
    Constraint::parse(text_of(question)).map_or(Value::Null, |constraint| constraint.to_string().into())
}

/// `Constraint::matches`, of a normalized version.
fn answer_matches(question: &Value) -> Value {
    let (version, constraint) = pair(question);
    let version = NormalizedVersion::from_stored(version.to_owned());
    Constraint::parse(constraint).map_or(Value::Null, |constraint| constraint.matches(&version).into())
}

/// `Semver::satisfies`, of a version as people write it.
fn answer_satisfies(question: &Value) -> Value {
    let (version, constraint) = pair(question);
    let version = normalize(version).expect("a version");
    Constraint::parse(constraint).map_or(Value::Null, |constraint| constraint.matches(&version).into())
}

fn answer_compare(question: &Value) -> Value {
    let (left, right) = pair(question);
    (php_version_compare(left, right) as i8).into()
}

fn answer_excludes(question: &Value) -> Value {
    let rules: Vec<String> = serde_json::from_value(question[0].clone()).expect("rules");
    let path = question[1].as_str().expect("a path");
    ExcludeRules::parse(&rules).excludes(path, |_| Ok::<(), ()>(())).unwrap_or_default().into()
}

fn text_of(question: &Value) -> &str {
    question.as_str().expect("text")
}

#[test]
fn random_questions_get_the_references_answers() {
    reference::compare(
        &reference::questions(),
        &[
            ("versions", &|question| answer_version(text_of(question))),
            ("constraints", &answer_constraint),
            ("matches", &answer_matches),
            ("satisfies", &answer_satisfies),
            ("compare", &answer_compare),
            ("excludes", &answer_excludes),
        ],
    );
}
