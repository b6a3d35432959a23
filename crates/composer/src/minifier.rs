//! Minified metadata (`"minified": "composer/2.0"`): each version as its difference to the one before.
//!
//! The rule is composer/metadata-minifier's. Differences are per top-level key only, and PHP's `!==` decides:
//! types and the order of nested keys count. A value `"__unset"` means "this key is gone", so a real value of
//! that text does not survive from the second version on; manifest validation drops such values.

use serde_json::Value;

use crate::Map;

/// The value that removes a key.
pub const UNSET: &str = "__unset";

/// The same as JSON text.
pub(crate) const UNSET_JSON: &str = "\"__unset\"";

/// Writes each version as its difference to the one before; the first in full.
pub fn minify(versions: Vec<Map>) -> Vec<Map> {
    let mut minifier = Minifier::default();
    versions.into_iter().map(|version| minifier.next(version)).collect()
}

/// Writes one version after the other as its difference to the one before; for lists that need not be in memory as a whole.
#[derive(Debug, Default)]
pub struct Minifier {
    known: Option<Map>,
}

impl Minifier {
    /// The difference of `version` to the one before.
    pub fn next(&mut self, version: Map) -> Map {
        let written = self.known.as_ref().map_or_else(|| version.clone(), |known| difference(known, &version));
        // An empty entry is no base.
        self.known = Some(version).filter(|version| !version.is_empty());
        written
    }
}

fn difference(known: &Map, version: &Map) -> Map {
    let changed = version.iter().filter(|(key, value)| !known.get(*key).is_some_and(|old| identical(old, value)));
    let mut difference: Map = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in known.keys().filter(|key| !version.contains_key(*key)) {
        difference.insert(key.clone(), Value::from(UNSET));
    }
    difference
}

/// PHP's `===` on decoded JSON: the order of keys counts.
fn identical(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let same = |((key, value), (other_key, other)): ((&String, &Value), (&String, &Value))| {
                key == other_key && identical(value, other)
            };
            left.len() == right.len() && left.iter().zip(right).all(same)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(value, other)| identical(value, other))
        }
        _ => left == right,
    }
}

/// Writes each version in full again.
pub fn expand(versions: Vec<Map>) -> Vec<Map> {
    let mut expander = Expander::default();
    versions.into_iter().map(|version| expander.next(version)).collect()
}

/// Writes one version after the other in full again; for lists whose full length nobody has checked yet.
#[derive(Debug, Default)]
pub struct Expander {
    known: Option<Map>,
}

impl Expander {
    /// The version that `difference` makes of the one before.
    pub fn next(&mut self, difference: Map) -> Map {
        let state = match self.known.take() {
            None => difference,
            Some(mut state) => {
                apply(&mut state, difference);
                state
            }
        };
        self.known = Some(state.clone()).filter(|state| !state.is_empty());
        state
    }
}

fn apply(state: &mut Map, difference: Map) {
    for (key, value) in difference {
        if value == UNSET {
            state.shift_remove(&key);
        } else {
            state.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(value: Value) -> Vec<Map> {
        serde_json::from_value(value).expect("a list of objects")
    }

    #[test]
    fn a_removed_key_is_unset() {
        let full = maps(serde_json::json!([{"version": "2", "type": "library"}, {"version": "1"}]));
        let minified =
            maps(serde_json::json!([{"version": "2", "type": "library"}, {"version": "1", "type": "__unset"}]));
        assert_eq!(minify(full.clone()), minified);
        assert_eq!(expand(minified), full);
    }

    #[test]
    fn an_empty_version_starts_over() {
        let full = maps(serde_json::json!([{"version": "2"}, {}, {"version": "2"}]));
        assert_eq!(expand(minify(full.clone())), full);
    }
}
