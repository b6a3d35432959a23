//! Rows of the database, and what is read from them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::json::read_object;
use crate::ports::Fault;

/// The rows one statement returned, each an object of column name → value, as D1 hands them out.
#[derive(Debug, Clone, Default)]
pub struct Rows(pub Vec<Map<String, Value>>);

impl Rows {
    /// Every row as `T`.
    pub fn decode<T: DeserializeOwned>(self) -> Result<Vec<T>, Fault> {
        let mut decoded = Vec::with_capacity(self.0.len());
        for row in &self.0 {
            decoded.push(read_object(row).map_err(|error| Fault::new("database", error))?);
        }
        Ok(decoded)
    }

    /// The first row as `T`, if there is one.
    pub fn first<T: DeserializeOwned>(mut self) -> Result<Option<T>, Fault> {
        self.0.truncate(1);
        Ok(self.decode()?.pop())
    }

    /// Every row as `read` makes of it.
    pub fn read<T>(self, read: impl Fn(&mut Row) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.0.into_iter().map(|columns| read(&mut Row(columns))).collect()
    }
}

/// A row, or an object in a JSON column, that is read column by column. A derived reader costs some kilobytes of wasm for
/// each kind of row; these must not be unfolded either.
#[derive(Debug, Clone, Default)]
pub struct Row(pub Map<String, Value>);

impl Row {
    /// The columns of an object; none of anything else.
    #[inline(never)]
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(columns) => Self(columns),
            _ => Self::default(),
        }
    }

    /// A column's value, or `null`.
    #[inline(never)]
    pub fn take(&mut self, column: &str) -> Value {
        self.0.get_mut(column).map(Value::take).unwrap_or_default()
    }

    /// A column's text, if it has one.
    #[inline(never)]
    pub fn text(&mut self, column: &str) -> Option<String> {
        match self.take(column) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A column's text, which must be there.
    #[inline(never)]
    pub fn needed_text(&mut self, column: &str) -> Result<String, Fault> {
        self.text(column).ok_or_else(|| Fault::new("database", format!("no text in column {column}")))
    }

    /// A column's number, if it has one.
    #[inline(never)]
    pub fn number(&self, column: &str) -> Option<i64> {
        self.0.get(column)?.as_i64()
    }

    /// A column's number, which must be there.
    #[inline(never)]
    pub fn needed_number(&self, column: &str) -> Result<i64, Fault> {
        self.number(column).ok_or_else(|| Fault::new("database", format!("no number in column {column}")))
    }

    /// Whether a column holds a truth.
    #[inline(never)]
    pub fn is_true(&self, column: &str) -> bool {
        self.number(column).is_some_and(|number| number != 0)
    }
}
