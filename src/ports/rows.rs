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
}
