//! The database port on in-memory SQLite, as strict as D1.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rostrum::ports::{Argument, BoxFuture, Database, DatabaseError, Fault, Rows, Stmt};
use rostrum::store::query::Batch;
use rostrum::store::retries::all_only_read;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::limits::Limit;
use rusqlite::types::{Value as SqlValue, ValueRef};
use serde_json::{Map, Number, Value as Json};

use super::meter::{Port, PortMeter};

/// D1's limits, as the runtime sets them on SQLite itself.
const LIMITS: [(Limit, usize); 9] = [
    (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (Limit::SQLITE_LIMIT_COLUMN, 100),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMETERS),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
];
const MAX_PARAMETERS: usize = 100;
const MAX_VALUE_BYTES: usize = 2_000_000;
const MAX_SAFE_INTEGER: i64 = 1 << 53;

/// The statements of a batch, in their order.
pub fn statements(batch: impl Batch) -> Vec<Stmt> {
    let mut stmts = Vec::new();
    batch.add_to(&mut stmts);
    stmts
}

/// A database with every migration applied.
pub struct Sqlite {
    connection: Mutex<Connection>,
    /// What reads that may be behind see, once it is frozen.
    replica: Mutex<Option<Connection>>,
    meter: PortMeter,
}

impl Sqlite {
    pub fn new(meter: PortMeter) -> Self {
        let connection = Connection::open_in_memory().expect("SQLite opens");
        connection.pragma_update(None, "foreign_keys", true).expect("foreign keys are checked");
        for (limit, value) in LIMITS {
            let value = i32::try_from(value).expect("a small number");
            connection.set_limit(limit, value).expect("SQLite knows the limit");
        }
        connection.execute_batch(MIGRATIONS_TABLE).expect("a new table");
        for (name, sql) in migrations() {
            connection.execute_batch(&sql).expect("the migration applies");
            connection.execute("INSERT INTO d1_migrations (name) VALUES (?1)", [name]).expect("a new migration");
        }
        Self { connection: Mutex::new(connection), replica: Mutex::default(), meter }
    }

    /// From now on reads that may be behind see what is there now.
    pub fn freeze_replica(&self) {
        *self.replica.lock().expect("not poisoned") = Some(self.copy());
    }

    /// A copy of it as it is now, for [`Sqlite::put_back`].
    pub fn copy(&self) -> Connection {
        let mut copy = Connection::open_in_memory().expect("SQLite opens");
        copy_all(&self.connection.lock().expect("not poisoned"), &mut copy);
        copy
    }

    /// Makes it again what it was when it was copied.
    pub fn put_back(&self, copy: &Connection) {
        copy_all(copy, &mut self.connection.lock().expect("not poisoned"));
    }

    /// Asks the database behind the registry's back; not counted.
    pub fn rows(&self, sql: &str) -> Vec<Json> {
        let connection = self.connection.lock().expect("not poisoned");
        let rows = query(&connection, sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.0.into_iter().map(Json::Object).collect()
    }

    /// How SQLite would carry `stmt` out, a step a line; not counted.
    pub fn plan(&self, stmt: &Stmt) -> String {
        let connection = self.connection.lock().expect("not poisoned");
        let sql = format!("EXPLAIN QUERY PLAN {}", stmt.sql);
        let rows = query(&connection, &sql, &stmt.args).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let steps: Vec<&str> = rows.0.iter().map(|row| row["detail"].as_str().expect("text")).collect();
        steps.join("\n")
    }

    /// Changes the database behind the registry's back; not counted.
    pub fn execute(&self, sql: &str) {
        let connection = self.connection.lock().expect("not poisoned");
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Counts a batch that keeps D1's limits.
    fn count(&self, stmts: &[Stmt]) {
        stmts.iter().for_each(check_limits);
        self.meter.count(|calls| {
            calls.round_trips += 1;
            calls.statements += stmts.len();
        });
        let bytes = |argument: &Argument| if let Argument::Text(text) = argument { text.len() } else { 0 };
        self.meter.note_batch(stmts.iter().flat_map(|stmt| &stmt.args).map(bytes).sum());
    }

    fn transaction(connection: &mut Connection, stmts: &[Stmt]) -> Result<Vec<Rows>, DatabaseError> {
        let transaction = connection.transaction().map_err(|error| refusal(&error))?;
        let results = stmts.iter().map(|stmt| query(&transaction, stmt.sql, &stmt.args)).collect::<Result<Vec<_>, _>>();
        match results {
            Ok(results) => transaction.commit().map(|()| results).map_err(|error| refusal(&error)),
            Err(error) => Err(refusal(&error)),
        }
    }
}

fn copy_all(from: &Connection, to: &mut Connection) {
    let copy = Backup::new(from, to).expect("a backup");
    copy.run_to_completion(i32::MAX, Duration::ZERO, None).expect("everything is copied");
}

impl Database for Sqlite {
    fn batch(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        Box::pin(async move {
            if stmts.is_empty() {
                return Ok(Vec::new());
            }
            self.count(&stmts);
            let run = || Self::transaction(&mut self.connection.lock().expect("not poisoned"), &stmts);
            self.meter.run(Port::Database, run).await?
        })
    }

    fn batch_on_replica(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        Box::pin(async move {
            assert!(all_only_read(&stmts), "a replica is only read: {stmts:?}");
            if self.replica.lock().expect("not poisoned").is_none() {
                return self.batch(stmts).await;
            }
            self.count(&stmts);
            let run = || {
                let mut replica = self.replica.lock().expect("not poisoned");
                Self::transaction(replica.as_mut().expect("it is never thawed"), &stmts)
            };
            self.meter.run(Port::Database, run).await?
        })
    }
}

/// Where wrangler notes which migrations it has applied.
const MIGRATIONS_TABLE: &str = "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";

/// The name and the SQL of every migration, in their order.
fn migrations() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("there are migrations")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("UTF-8"))).collect()
}

fn check_limits(stmt: &Stmt) {
    assert!(stmt.args.len() <= MAX_PARAMETERS, "D1 binds at most {MAX_PARAMETERS} parameters: {}", stmt.sql);
    for arg in &stmt.args {
        match arg {
            Argument::Text(text) => assert!(text.len() <= MAX_VALUE_BYTES, "D1 takes 2 MB a value: {}", stmt.sql),
            Argument::Integer(number) => assert!(number.abs() <= MAX_SAFE_INTEGER, "not exact as a double: {number}"),
            Argument::Null => {}
        }
    }
}

fn query(connection: &Connection, sql: &str, args: &[Argument]) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query(rusqlite::params_from_iter(args.iter().map(bound)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut object = Map::new();
        for (index, name) in names.iter().enumerate() {
            object.insert(name.clone(), handed_out(row.get_ref(index)?));
        }
        found.push(object);
    }
    Ok(Rows(found))
}

/// D1 binds every number as a double.
#[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
fn bound(value: &Argument) -> SqlValue {
    match value {
        Argument::Null => SqlValue::Null,
        Argument::Integer(number) => SqlValue::Real(*number as f64),
        Argument::Text(text) => SqlValue::Text(text.clone()),
    }
}

/// D1 hands every number out as JavaScript's one kind of number: whole doubles look like integers.
fn handed_out(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        #[expect(clippy::cast_possible_truncation, reason = "only when it is whole")]
        ValueRef::Real(number) if number.fract() == 0.0 => (number as i64).into(),
        ValueRef::Real(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        ValueRef::Text(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(_) => panic!("the schema has no blobs"),
    }
}

fn refusal(error: &rusqlite::Error) -> DatabaseError {
    let reason = error.to_string();
    if reason.contains("UNIQUE constraint failed") {
        DatabaseError::Conflict(reason)
    } else {
        DatabaseError::Fault(Fault::new("database", reason))
    }
}
