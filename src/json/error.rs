//! Why a value cannot be read, with the path of what is wrong.

use std::fmt::{self, Display};

use composer::excerpt;
use serde::de::{Error, Expected, Unexpected};

use super::deserializer::JsonPath;

/// Why a value cannot be read.
#[derive(Debug)]
pub struct JsonError(Box<JsonErrorDetail>);

#[derive(Debug)]
struct JsonErrorDetail {
    /// `a.b[3]`; empty for the value as a whole.
    path: String,
    reason: String,
    /// Whether `path` is only the name of a field that is missing: the object that lacks it does not know its own path,
    /// its caller does.
    is_relative: bool,
}

impl JsonError {
    /// Where in the value: `a.b[3]`; empty for the whole.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What is wrong there.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    fn new(reason: String) -> Self {
        Self(Box::new(JsonErrorDetail { path: String::new(), reason, is_relative: false }))
    }

    /// The same with `path`, unless the path of a value further inside is known already.
    pub(super) fn at(mut self, path: &JsonPath<'_>) -> Self {
        let JsonErrorDetail { path: known, is_relative, .. } = &mut *self.0;
        if *is_relative {
            *known = format!("{path}.{known}");
            *is_relative = false;
        } else if known.is_empty() {
            *known = path.to_string();
        }
        self
    }
}

impl Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JsonErrorDetail { path, reason, .. } = &*self.0;
        if path.is_empty() { f.write_str(reason) } else { write!(f, "`{path}`: {reason}") }
    }
}

impl std::error::Error for JsonError {}

impl Error for JsonError {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<String> = expected.iter().map(|word| format!("`{word}`")).collect();
        let expected = match words.as_slice() {
            [first, second] => format!("{first} or {second}"),
            [] | [_] => words.concat(),
            several => format!("one of {}", several.join(", ")),
        };
        Self::new(format!("unknown variant `{}`, expected {expected}", excerpt(variant)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(Box::new(JsonErrorDetail { path: field.to_owned(), reason: "is missing".to_owned(), is_relative: true }))
    }

    /// As serde words it, but for `null`, which JSON does not call a unit value.
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Unit => Self::new(format!("invalid type: null, expected {expected}")),
            other => Self::new(format!("invalid type: {other}, expected {expected}")),
        }
    }
}
