//! The database: D1.
//!
//! What changes something, and what has to see every change, goes to the primary. What may be behind goes to the nearest
//! replica (if the operator has switched read replication on), in a session that begins where this isolate's last change
//! ended, so that nobody misses what they have just done.

use std::sync::{Mutex, PoisonError};

use wasm_bindgen::JsValue;
use worker::send::SendFuture;
use worker::{D1Database, D1DatabaseSession, D1PreparedStatement, D1Result, D1SessionBookmark, D1SessionConstraint};

use super::clock::WallClock;
use super::entropy::WebCrypto;
use crate::ports::{Argument, BoxFuture, Database, DatabaseError, Fault, Rows, Stmt};
use crate::store::retries::{Repeatable, all_only_read};

/// What SQLite says when a `UNIQUE` or `PRIMARY KEY` constraint refuses a row.
const UNIQUE_REFUSAL: &str = "UNIQUE constraint failed";

/// One D1 database.
pub struct D1 {
    database: D1Database,
    /// Where this isolate's last change ended.
    last_change: Mutex<Option<D1SessionBookmark>>,
}

impl D1 {
    /// The port on `database`.
    pub fn new(database: D1Database) -> Self {
        Self { database, last_change: Mutex::default() }
    }

    /// Runs `stmts` on the primary.
    async fn run(&self, stmts: &[Stmt]) -> worker::Result<Vec<Rows>> {
        if all_only_read(stmts) {
            let prepared = prepared(stmts, |sql| self.database.prepare(sql))?;
            return rows(self.database.batch(prepared).await?);
        }
        let session = self.database.with_session_constraint(D1SessionConstraint::FirstPrimary)?;
        let results = run_in(&session, stmts).await?;
        self.remember(session.get_bookmark()?);
        Ok(results)
    }

    /// Runs `stmts` on a replica that is not behind this isolate's last change.
    async fn run_on_replica(&self, stmts: &[Stmt]) -> worker::Result<Vec<Rows>> {
        let last_change = self.last_change.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let session = match last_change {
            Some(bookmark) => self.database.with_session(Some(&bookmark))?,
            None => self.database.with_session_constraint(D1SessionConstraint::FirstUnconstrained)?,
        };
        run_in(&session, stmts).await
    }

    /// Bookmarks are in the order of time; changes may end in another order than they began.
    fn remember(&self, bookmark: Option<D1SessionBookmark>) {
        let mut last_change = self.last_change.lock().unwrap_or_else(PoisonError::into_inner);
        *last_change = last_change.take().max(bookmark);
    }
}

impl Database for D1 {
    fn batch(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        Box::pin(SendFuture::new(async move {
            if stmts.is_empty() {
                return Ok(Vec::new());
            }
            let run = async || self.run(&stmts).await.map_err(|error| refusal(&error));
            Repeatable::of(&stmts).run(&WallClock, &WebCrypto, run).await
        }))
    }

    fn batch_on_replica(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        Box::pin(SendFuture::new(async move {
            let run = async || self.run_on_replica(&stmts).await.map_err(|error| refusal(&error));
            Repeatable::of(&stmts).run(&WallClock, &WebCrypto, run).await
        }))
    }
}

async fn run_in(session: &D1DatabaseSession, stmts: &[Stmt]) -> worker::Result<Vec<Rows>> {
    rows(session.batch(prepared(stmts, |sql| session.prepare(sql))?).await?)
}

fn prepared(
    stmts: &[Stmt],
    prepare: impl Fn(&'static str) -> D1PreparedStatement,
) -> worker::Result<Vec<D1PreparedStatement>> {
    stmts.iter().map(|stmt| prepare(stmt.sql).bind(&stmt.args.iter().map(js_value).collect::<Vec<_>>())).collect()
}

fn rows(results: Vec<D1Result>) -> worker::Result<Vec<Rows>> {
    results.into_iter().map(|result| Ok(Rows(result.results()?))).collect()
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
