//! The database: D1.

use wasm_bindgen::JsValue;
use worker::D1Database;
use worker::send::SendFuture;

use crate::ports::{Argument, BoxFuture, Database, DatabaseError, Fault, Rows, Stmt};

/// What SQLite says when a `UNIQUE` or `PRIMARY KEY` constraint refuses a row.
const UNIQUE_REFUSAL: &str = "UNIQUE constraint failed";

/// One D1 database.
pub struct D1(D1Database);

impl D1 {
    /// The port on `database`.
    pub fn new(database: D1Database) -> Self {
        Self(database)
    }

    async fn run(&self, stmts: Vec<Stmt>) -> worker::Result<Vec<Rows>> {
        let prepared = stmts
            .into_iter()
            .map(|stmt| self.0.prepare(stmt.sql).bind(&stmt.args.iter().map(js_value).collect::<Vec<_>>()))
            .collect::<worker::Result<Vec<_>>>()?;
        let results = self.0.batch(prepared).await?;
        results.into_iter().map(|result| Ok(Rows(result.results()?))).collect()
    }
}

impl Database for D1 {
    fn batch(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        Box::pin(SendFuture::new(async move {
            if stmts.is_empty() {
                return Ok(Vec::new());
            }
            self.run(stmts).await.map_err(|error| refusal(&error))
        }))
    }
}

/// A parameter as D1 takes it. D1 knows no big integers: an `i64` travels as a double.
#[expect(clippy::cast_precision_loss, reason = "the port promises integers within ±2^53")]
fn js_value(value: &Argument) -> JsValue {
    match value {
        Argument::Null => JsValue::NULL,
        Argument::Integer(number) => JsValue::from_f64(*number as f64),
        Argument::Text(text) => JsValue::from_str(text),
    }
}

/// D1's error as the port's. D1 has no error codes, only SQLite's sentence.
fn refusal(error: &worker::Error) -> DatabaseError {
    let reason = match error {
        worker::Error::D1(inner) => AsRef::<js_sys::Error>::as_ref(inner).message().into(),
        other => other.to_string(),
    };
    if reason.contains(UNIQUE_REFUSAL) {
        DatabaseError::Conflict(reason)
    } else {
        DatabaseError::Fault(Fault::new("database", reason))
    }
}
