//! `schema.sql` is what the migrations add up to.
//!
//! The dump: every table, index, trigger and view of `sqlite_master` with the SQL that made it, tables first, each
//! kind by name; SQLite's own entries are left out. To write it anew after a migration: `UPDATE_SCHEMA=1 cargo test
//! --test schema`.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn migrations() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("migrations"))
        .expect("there are migrations")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    paths.sort();
    paths
}

fn migrated() -> Connection {
    let connection = Connection::open_in_memory().expect("SQLite opens");
    connection.pragma_update(None, "foreign_keys", true).expect("foreign keys are checked");
    for path in migrations() {
        let sql = fs::read_to_string(&path).expect("UTF-8");
        connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    connection
}

fn dump(connection: &Connection) -> String {
    let mut statement = connection
        .prepare(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
              ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'trigger' THEN 2 ELSE 3 END, name",
        )
        .expect("valid SQL");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let mut text = String::from(
        "-- What migrations/ add up to. Written by `UPDATE_SCHEMA=1 cargo test --test schema`; change the migrations.\n",
    );
    for sql in rows {
        text.push('\n');
        text.push_str(&sql.expect("text"));
        text.push_str(";\n");
    }
    text
}

#[test]
fn the_schema_is_what_the_migrations_add_up_to() {
    let path = root().join("schema.sql");
    let expected = dump(&migrated());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &expected).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "schema.sql is behind the migrations: run UPDATE_SCHEMA=1 cargo test --test schema");
}

#[test]
fn the_dump_can_be_loaded_by_itself_and_is_the_same_again() {
    let connection = Connection::open_in_memory().expect("SQLite opens");
    let text = dump(&migrated());
    connection.execute_batch(&text).expect("it is SQL");
    assert_eq!(dump(&connection), text);
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let names: Vec<String> =
        migrations().iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    assert!(!names.is_empty());
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name} should be number {number}");
    }
}

#[test]
fn every_foreign_key_can_be_followed_by_an_index() {
    let connection = migrated();
    let mut statement = connection
        .prepare(
            "SELECT t.name, f.\"from\" FROM sqlite_master t, pragma_foreign_key_list(t.name) f
              WHERE t.type = 'table' AND NOT EXISTS (
                SELECT 1 FROM pragma_index_list(t.name) i, pragma_index_info(i.name) c
                 WHERE c.seqno = 0 AND c.name = f.\"from\")
              ORDER BY 1, 2",
        )
        .expect("valid SQL");
    let missing: Vec<String> = statement
        .query_map([], |row| Ok(format!("{}.{}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .expect("rows")
        .map(|row| row.expect("text"))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "deleting a parent would read the whole child table");
}

#[test]
fn grants_of_tokens_outlive_the_migration_that_rebuilds_their_table() {
    let connection = Connection::open_in_memory().expect("SQLite opens");
    connection.pragma_update(None, "foreign_keys", true).expect("foreign keys are checked");
    for path in migrations() {
        let sql = fs::read_to_string(&path).expect("UTF-8");
        if path.ends_with("0008_storefront.sql") {
            connection
                .execute_batch(
                    "INSERT INTO tokens (id, uid, organization_id, hash, description, scopes, metadata, created_at)
                     VALUES (7, 'u', 1, 'h', 'd', '[]', '{}', 1);
                     INSERT INTO grants (id, token_id, target, version_constraint, updates_until, expires_at)
                     VALUES (3, 7, 'acme/lib', '5.*', 10, 20), (9, 7, '*', '*', NULL, NULL);",
                )
                .expect("rows as they were");
        }
        connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let mut statement = connection
        .prepare(
            "SELECT json_array(id, token_id, consumer_id, target, version_constraint, updates_until,
                    minimum_stability, expires_at) FROM grants ORDER BY id",
        )
        .expect("valid SQL");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let rows: Vec<String> = rows.map(|row| row.expect("text")).collect();
    assert_eq!(rows, [r#"[3,7,null,"acme/lib","5.*",10,"dev",20]"#, r#"[9,7,null,"*","*",null,"dev",null]"#]);
}
