//! The SQL, in folders by the domains of `registry`: each statement stands beside the function that builds or runs it and the
//! row it yields.
//!
//! Not for decisions: who may see what, and what is written when, is the `registry`'s. Functions that return a [`Query`] or a
//! [`Stmt`](crate::ports::Stmt) are for a use case to put into one batch with others; functions that take a
//! [`Database`](crate::ports::Database) run alone.

pub mod access;
pub mod delivery;
pub mod identity;
pub mod kernel;
pub mod operations;
pub mod organizations;
pub mod packages;
pub mod query;
pub mod retries;
pub mod security;
pub mod sources;
pub mod storefront;

pub use kernel::organizations::OrganizationId;
pub use query::Query;
use serde::{Deserialize, Deserializer};

use crate::json::read_text;

/// Bytes of JSON that travel as one bound parameter: D1 takes 2 MB a value, and a character may need two.
pub const MAX_ARGUMENT_BYTES: usize = 1_000_000;

/// Packs `items` (each one JSON value) into as few JSON arrays as fit [`MAX_ARGUMENT_BYTES`] each, so that a list
/// of any length travels in a number of parameters that grows with its bytes, not with its rows.
pub fn json_arguments(items: impl IntoIterator<Item = serde_json::Value>) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current = String::new();
    for item in items {
        let item = item.to_string();
        if !current.is_empty() && current.len() + item.len() > MAX_ARGUMENT_BYTES {
            current.push(']');
            arguments.push(std::mem::take(&mut current));
        }
        current.push(if current.is_empty() { '[' } else { ',' });
        current.push_str(&item);
    }
    if !current.is_empty() {
        current.push(']');
        arguments.push(current);
    }
    arguments
}

/// A truth value as SQLite keeps it.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    i64::deserialize(deserializer).map(|number| number != 0)
}

/// A column that holds JSON text.
fn json_text<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_text(&text).map_err(serde::de::Error::custom)
}

/// A column that may hold JSON text.
fn optional_json_text<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| read_text(&text).map_err(serde::de::Error::custom)).transpose()
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows at most.
    pub limit: i64,
    /// How many to pass over first.
    pub offset: i64,
}

impl Page {
    /// This part of `rows`, which are the whole list, and how many they are.
    pub fn of<T>(self, rows: Vec<T>) -> (Vec<T>, i64) {
        let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(self.limit).unwrap_or(0);
        (rows.into_iter().skip(skip).take(take).collect(), total)
    }
}

/// A part of a list by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysetPage {
    /// How many rows at most.
    pub limit: i64,
    /// How many to pass over first.
    pub offset: i64,
    /// The id behind which it begins, unless it begins where the list does.
    pub after: Option<i64>,
}

impl KeysetPage {
    /// This part of `rows`, which are the whole list.
    pub fn of<T>(self, mut rows: Vec<T>, id: impl Fn(&T) -> i64) -> KeysetRows<T> {
        let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        rows.retain(|row| self.after.is_none_or(|after| id(row) > after));
        KeysetRows::whole(Page { limit: self.limit, offset: self.offset }.of(rows).0, total)
    }
}

/// A page of a list by id.
pub struct KeysetRows<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// How many rows the list has in all.
    pub total: i64,
    /// Whether the page ends before its limit, because it would be too large.
    pub is_cut: bool,
}

impl<T> KeysetRows<T> {
    /// A page as long as it was asked for.
    pub fn whole(rows: Vec<T>, total: i64) -> Self {
        Self { rows, total, is_cut: false }
    }
}

/// A field of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Update<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is set; `None` clears it.
    Set(Option<T>),
}

impl<T> Update<T> {
    /// What it is set to, if it is.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Keep => None,
            Self::Set(value) => value,
        }
    }

    /// The same field with its value as another type has it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Update<U> {
        match self {
            Self::Keep => Update::Keep,
            Self::Set(value) => Update::Set(value.map(change)),
        }
    }

    /// Whether it changes.
    pub fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_list_is_split_by_bytes_and_loses_nothing() {
        let item = json!("x".repeat(MAX_ARGUMENT_BYTES / 3));
        let arguments = json_arguments(vec![item; 7]);
        assert_eq!(arguments.len(), 4);
        let total: usize = arguments
            .iter()
            .map(|text| serde_json::from_str::<Vec<String>>(text).expect("each argument is a JSON array").len())
            .sum();
        assert_eq!(total, 7);
        assert!(arguments.iter().all(|text| text.len() < 2_000_000));
    }

    #[test]
    fn an_empty_list_needs_no_argument() {
        assert!(json_arguments([]).is_empty());
    }
}
