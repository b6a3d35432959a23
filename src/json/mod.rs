//! Reads JSON that others wrote: bodies and queries of requests, what upstream servers say, rows of the database and
//! their JSON columns. It is the only way to read JSON that others send.
//!
//! People correct what they sent by what they are told. So an error names the path of the value that is wrong
//! (`` `grants[2].package`: invalid type: null, expected a string ``), and a request is refused with every field that
//! nobody knows, the nested ones too. `serde_json` tells neither: its errors know a line and a column at most, and
//! `deny_unknown_fields` stops at the first field and does not say in which object it stands. `serde_path_to_error` and
//! `serde_ignored` each do one half of it; neither gives a missing field a path of its own, nor reads the numbers of a
//! query from text. So there is a `Deserializer` of our own over the parsed value.
//!
//! What we wrote ourselves (a rendered document, a cached record, a queued job) may be read with `serde_json` directly, and
//! Composer's documents are read by `composer`, which knows their rules.
//!
//! * `deserializer`: how a value is read, and the path to it.
//! * `error`: what is told when that fails.

mod deserializer;
mod error;

use composer::JsonBudget;
use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};

use deserializer::{Context, JsonPath, Node, ObjectReader};
pub use error::JsonError;

/// Any JSON of a size that takes no more memory than there is.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    composer::parse_json(bytes).map_err(JsonError::custom)
}

/// Reads `T` from JSON text that we wrote ourselves; fields that it does not know are passed over.
pub fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let value = composer::parse_json_within(text.as_bytes(), &mut JsonBudget::unbounded());
    read(&value.map_err(JsonError::custom)?)
}

/// The same of what others wrote.
pub fn read_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    read(&parse(bytes)?)
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, JsonError> {
    T::deserialize(Node { value, path: &JsonPath::Whole, context: &Context::default() })
}

/// Reads `T` from an object; fields that it does not know are passed over.
pub fn read_object<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, JsonError> {
    T::deserialize(ObjectReader { fields, path: &JsonPath::Whole, context: &Context::default() })
}

/// How numbers and truths are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As JSON has them.
    Json,
    /// Or in texts, as in a query, and the one for the other: `"1"`, `"true"`, and `true` for 1.
    Loose,
}

/// Reads `T`, and names the fields that it does not know, each with its path.
pub fn read_strictly<T: DeserializeOwned>(value: &Value, spelling: Spelling) -> (Result<T, JsonError>, Vec<String>) {
    let context = Context { is_loose: spelling == Spelling::Loose, ..Context::default() };
    let read = T::deserialize(Node { value, path: &JsonPath::Whole, context: &context });
    (read, context.unknown.into_inner())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        pairs: Vec<(String, i64)>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        count: i64,
        form: Form,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        InPieces,
    }

    fn wrong(value: &Value) -> String {
        read::<Sample>(value).expect_err("refused").to_string()
    }

    #[test]
    fn a_value_is_read_into_its_type() {
        let value = json!({"name": "a", "inner": {"count": -1, "form": "in_pieces"}, "pairs": [["b", 2]]});
        let inner = Some(Inner { count: -1, form: Form::InPieces });
        assert_eq!(
            read::<Sample>(&value).expect("read"),
            Sample { name: "a".into(), inner, pairs: vec![("b".into(), 2)] }
        );
        assert_eq!(read::<Value>(&value).expect("read"), value);
        assert_eq!(read::<f64>(&json!(1.5)).expect("read").to_string(), "1.5");
        assert_eq!(read::<u64>(&json!(u64::MAX)).expect("read"), u64::MAX);
        assert_eq!(read::<Option<i64>>(&json!(null)).expect("read"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_innermost_path() {
        assert_eq!(wrong(&json!([])), "invalid type: sequence, expected struct Sample");
        assert_eq!(wrong(&json!({})), "`name`: is missing");
        assert_eq!(wrong(&json!({"name": null})), "`name`: invalid type: null, expected a string");
        assert_eq!(wrong(&json!({"name": "a", "inner": {"count": 1}})), "`inner.form`: is missing");
        assert_eq!(
            wrong(&json!({"name": "a", "inner": {"count": 1, "form": "whole"}})),
            "`inner.form`: unknown variant `whole`, expected `in_pieces`"
        );
        assert_eq!(
            wrong(&json!({"name": "a", "pairs": [["b", 1], ["c", "2"]]})),
            "`pairs[1][1]`: invalid type: string \"2\", expected i64"
        );
        assert_eq!(
            wrong(&json!({"name": "a", "pairs": [["b"]]})),
            "`pairs[0]`: invalid length 1, expected a tuple of size 2"
        );
    }

    #[test]
    fn unknown_fields_are_named_where_that_matters() {
        let value = json!({"name": "a", "x": {"y": 1}, "inner": {"count": 1, "form": "in_pieces", "z": null}});
        let (read, unknown) = read_strictly::<Sample>(&value, Spelling::Json);
        read.expect("read");
        assert_eq!(unknown, ["x", "inner.z"]);
    }

    #[test]
    fn numbers_and_truths_are_read_from_texts_and_from_each_other_only_where_that_is_asked_for() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Query {
            limit: Option<i64>,
            all: Option<bool>,
        }
        let of = |limit, all| Query { limit: Some(limit), all: Some(all) };
        for (value, expected) in [
            (json!({"limit": "20", "all": "true"}), of(20, true)),
            (json!({"limit": true, "all": 1}), of(1, true)),
            (json!({"limit": false, "all": "0"}), of(0, false)),
            (json!({"limit": 3, "all": false}), of(3, false)),
        ] {
            let (query, unknown) = read_strictly::<Query>(&value, Spelling::Loose);
            assert_eq!((query.expect("read"), unknown), (expected, Vec::new()));
        }
        for wrong in [json!({"limit": "many"}), json!({"limit": ""}), json!({"all": 2}), json!({"all": "yes"})] {
            read_strictly::<Query>(&wrong, Spelling::Loose).0.expect_err("refused");
        }
        for (loose, reason) in [
            (json!({"limit": "20"}), "`limit`: invalid type: string \"20\", expected i64"),
            (json!({"limit": true}), "`limit`: invalid type: boolean `true`, expected i64"),
            (json!({"all": 1}), "`all`: invalid type: integer `1`, expected a boolean"),
        ] {
            assert_eq!(read::<Query>(&loose).expect_err("refused").to_string(), reason);
            read_strictly::<Query>(&loose, Spelling::Json).0.expect_err("refused");
        }
    }
}
