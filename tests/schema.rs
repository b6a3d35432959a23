//! `schema.sql` is what the migrations add up to.
//!
//! The dump: every table, index, trigger and view of `sqlite_master` with the SQL that made it, tables first, each
//! kind by name; SQLite's own entries are left out. To write it anew after a migration: `UPDATE_SCHEMA=1 cargo test
//! --test schema`, which also writes down the name of the newest migration, so that a build can tell whether it was
//! applied.

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
    migrated_with(None)
}

/// What is there before a migration.
struct Before {
    /// The migration's file name.
    migration: &'static str,
    rows: &'static str,
}

/// A database that had rows before one of its migrations.
fn migrated_with(before: Option<&Before>) -> Connection {
    let connection = Connection::open_in_memory().expect("SQLite opens");
    connection.pragma_update(None, "foreign_keys", true).expect("foreign keys are checked");
    for path in migrations() {
        let sql = fs::read_to_string(&path).expect("UTF-8");
        if let Some(before) = before.filter(|before| path.ends_with(before.migration)) {
            connection.execute_batch(before.rows).expect("rows as they were");
        }
        connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    connection
}

/// The single column of text that a query yields.
fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("valid SQL");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| row.expect("text")).collect()
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
fn the_build_knows_the_newest_migration() {
    let path = root().join("src/store/operations/newest_migration.txt");
    let newest = migrations().pop().expect("there are migrations");
    let expected = format!("{}\n", newest.file_name().expect("a name").to_string_lossy());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &expected).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}: run UPDATE_SCHEMA=1 cargo test --test schema", path.display());
}

#[test]
fn the_dump_can_be_loaded_by_itself_and_is_the_same_again() {
    let connection = Connection::open_in_memory().expect("SQLite opens");
    let text = dump(&migrated());
    connection.execute_batch(&text).expect("it is SQL");
    assert_eq!(dump(&connection), text);
}

#[test]
fn every_migration_has_a_number_of_its_own() {
    let names: Vec<String> =
        migrations().iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    assert!(!names.is_empty());
    let number = |name: &String| {
        let (number, _) = name.split_once('_').expect("a number and a name");
        assert_eq!(number.len(), 4, "{name} should begin with four digits");
        number.parse::<u32>().expect("a number")
    };
    let numbers: Vec<u32> = names.iter().map(number).collect();
    // These were never given away.
    let missing = [14, 15, 19, 20, 21, 23, 24, 25];
    let last = *numbers.last().expect("there are migrations");
    let expected: Vec<u32> = (1..=last).filter(|number| !missing.contains(number)).collect();
    assert_eq!(numbers, expected, "each number once, and none left out: {names:?}");
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
    let connection = migrated_with(Some(&Before {
        migration: "0008_storefront.sql",
        rows: "INSERT INTO tokens (id, uid, organization_id, hash, description, scopes, metadata, created_at)
         VALUES (7, 'u', 1, 'h', 'd', '[]', '{}', 1);
         INSERT INTO grants (id, token_id, target, version_constraint, updates_until, expires_at)
         VALUES (3, 7, 'acme/lib', '5.*', 10, 20), (9, 7, '*', '*', NULL, NULL);",
    }));
    let rows = texts(
        &connection,
        "SELECT json_array(id, token_id, consumer_id, target, version_constraint, updates_until,
                minimum_stability, expires_at) FROM grants ORDER BY id",
    );
    assert_eq!(rows, [r#"[3,7,null,"acme/lib","5.*",10,"dev",20]"#, r#"[9,7,null,"*","*",null,"dev",null]"#]);
}

#[test]
fn what_nobody_could_see_yet_is_released_when_it_is_shown_and_nothing_else_changes() {
    let connection = migrated_with(Some(&Before {
        migration: "0050_released_when_shown.sql",
        rows: "INSERT INTO repositories (id, uid, organization_id, kind, provider, url, created_at)
         VALUES (1, 'r', 1, 'artifact', 'artifact', 'artifact:uploads', 1);
         INSERT INTO packages (id, uid, organization_id, repository_id, name, type, revision, created_at, updated_at)
         VALUES (1, 'p', 1, 1, 'acme/lib', 'library', 1, 1, 1);
         INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at, told_at,
                removed_at, created_at, updated_at)
         VALUES ('a', 1, '1', 'shown', 'upload', 'x', '{}', 5, 5, NULL, 5, 5),
                ('b', 1, '2', 'hidden', 'upload', 'x', '{}', 5, NULL, NULL, 5, 5),
                ('c', 1, '3', 'awaited', 'awaited', '', '{}', 5, NULL, 5, 5, 5),
                ('d', 1, '4', 'tag', 'refs/tags/4', 'x', '{}', 5, NULL, NULL, 5, 5),
                ('e', 1, '5', 'mirrored', '', 'x', '{}', 5, NULL, NULL, 5, 5);",
    }));
    let open = texts(&connection, "SELECT pretty FROM versions WHERE released_when_shown ORDER BY id");
    assert_eq!(open, ["hidden", "awaited"]);
    assert_eq!(texts(&connection, "SELECT DISTINCT released_at || '' FROM versions"), ["5"]);
}

#[test]
fn users_keep_their_role_and_all_that_hangs_on_them_when_they_become_members() {
    let connection = migrated_with(Some(&Before {
        migration: "0013_memberships.sql",
        rows: "INSERT INTO organizations (id, uid, slug, name, created_at) VALUES (2, 'o2', 'second', 'Second', 1);
         INSERT INTO users (id, uid, organization_id, email, name, role, password, session_epoch, blocked_at,
                            totp_secret, totp_enabled_at, totp_last_step, created_at, last_login_at, last_failed_at)
         VALUES (1, 'a', 1, 'a@x', 'A', 'owner', 'pa', 3, NULL, 'v1.sealed', 50, 7, 10, 60, 61),
                (2, 'b', 1, 'b@x', 'B', 'admin', 'pb', 0, 40, NULL, NULL, 0, 20, NULL, NULL),
                (3, 'c', 2, 'c@x', 'C', 'member', 'pc', 0, NULL, NULL, NULL, 0, 30, NULL, NULL),
                (9, 'd', 1, 'd@x', 'D', 'viewer', 'pd', 1, NULL, NULL, NULL, 0, 40, NULL, NULL);
         INSERT INTO recovery_codes (user_id, hash) VALUES (1, 'r1'), (1, 'r2');
         INSERT INTO sessions (id, uid, user_id, hash, epoch, created_at, seen_at, expires_at)
         VALUES (5, 's5', 1, 'h5', 3, 60, 60, 90), (6, 's6', 9, 'h6', 1, 60, 60, 90);
         INSERT INTO invitations (id, uid, organization_id, email, role, hash, invited_by, created_at, expires_at)
         VALUES (4, 'i', 1, 'e@x', 'viewer', 'hi', 1, 60, 90);
         INSERT INTO password_resets (user_id, hash, issued_by, created_at, expires_at) VALUES (9, 'hr', 1, 60, 90);",
    }));
    let memberships =
        texts(&connection, "SELECT json_array(user_id, organization_id, role, created_at) FROM memberships");
    assert_eq!(
        memberships,
        [r#"[1,1,"owner",10]"#, r#"[2,1,"admin",20]"#, r#"[3,2,"member",30]"#, r#"[9,1,"viewer",40]"#]
    );
    let users = texts(
        &connection,
        "SELECT json_array(id, uid, email, name, password, session_epoch, blocked_at, totp_secret, totp_enabled_at,
                totp_last_step, created_at, last_login_at, last_failed_at) FROM users ORDER BY id",
    );
    assert_eq!(
        users,
        [
            r#"[1,"a","a@x","A","pa",3,null,"v1.sealed",50,7,10,60,61]"#,
            r#"[2,"b","b@x","B","pb",0,40,null,null,0,20,null,null]"#,
            r#"[3,"c","c@x","C","pc",0,null,null,null,0,30,null,null]"#,
            r#"[9,"d","d@x","D","pd",1,null,null,null,0,40,null,null]"#,
        ]
    );
    for (what, expected) in [
        ("user_id || hash FROM recovery_codes", &["1r1", "1r2"][..]),
        ("user_id || uid || epoch FROM sessions", &["1s53", "9s61"]),
        ("uid || invited_by FROM invitations", &["i1"]),
        ("user_id || hash || issued_by FROM password_resets", &["9hr1"]),
    ] {
        assert_eq!(texts(&connection, &format!("SELECT {what} ORDER BY 1")), expected, "{what}");
    }
    connection
        .execute_batch("DELETE FROM organizations WHERE id = 2; DELETE FROM users WHERE id = 9")
        .expect("deleted");
    assert_eq!(texts(&connection, "SELECT uid FROM users ORDER BY id"), ["a", "b", "c"], "an account is nobody's");
    assert_eq!(texts(&connection, "SELECT role FROM memberships ORDER BY user_id"), ["owner", "admin"]);
}

#[test]
fn versions_keep_their_release_when_it_becomes_a_date_of_its_own() {
    let connection = migrated_with(Some(&Before {
        migration: "0018_released.sql",
        rows: "INSERT INTO repositories (id, uid, organization_id, kind, provider, url, created_at)
         VALUES (1, 'r', 1, 'git', 'git', 'https://git.test/lib', 1);
         INSERT INTO packages (id, uid, organization_id, repository_id, name, type, revision, created_at, updated_at)
         VALUES (1, 'p', 1, 1, 'acme/lib', 'library', 1, 1, 1);
         INSERT INTO versions (id, uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at,
                               created_at, updated_at)
         VALUES (1, 'v1', 1, '1.0.0.0', '1.0.0', 'refs/tags/1.0.0', 'new', '{}', 10, 50, 70),
                (2, 'v2', 1, '2.0.0.0', '2.0.0', 'awaited', '', '{}', 60, 60, 60);
         INSERT INTO dists (version_id, reference, created_at) VALUES (1, 'old', 50), (1, 'new', 65);",
    }));
    let rows = texts(
        &connection,
        "SELECT json_array(uid, released_at, made_at, published_at, security_fix_at) FROM versions ORDER BY id",
    );
    assert_eq!(rows, [r#"["v1",10,10,65,null]"#, r#"["v2",60,60,60,null]"#]);
}

#[test]
fn links_that_tokens_have_issued_end_with_these() {
    let connection = migrated_with(Some(&Before {
        migration: "0044_link_issuers.sql",
        rows: "INSERT INTO users (id, uid, email, name, password, created_at)
         VALUES (1, 'a', 'a@x', 'A', 'p', 1), (2, 'b', 'b@x', 'B', 'p', 1), (3, 'c', 'c@x', 'C', 'p', 1);
         INSERT INTO tokens (id, uid, organization_id, hash, description, scopes, metadata, created_at)
         VALUES (7, 't7', 1, 'h7', 'd', '[]', '{}', 1), (8, 't8', 1, 'h8', 'd', '[]', '{}', 1);
         INSERT INTO invitations (id, uid, organization_id, email, role, hash, invited_by, created_at, expires_at)
         VALUES (1, 'i1', 1, 'd@x', 'viewer', 'h1', NULL, 60, 90), (2, 'i2', 1, 'e@x', 'viewer', 'h2', NULL, 60, 90),
                (3, 'i3', 1, 'f@x', 'viewer', 'h3', 1, 60, 90);
         INSERT INTO password_resets (user_id, hash, issued_by, created_at, expires_at)
         VALUES (1, 'r1', NULL, 60, 90), (2, 'r2', NULL, 60, 90), (3, 'r3', 1, 60, 90);
         INSERT INTO audit_log (uid, organization_id, at, actor, action, target, details)
         VALUES ('1', 1, 60, 'token:t7', 'invitation.created', 'i1', '{}'),
                ('2', 1, 60, 'admin', 'invitation.created', 'i2', '{}'),
                ('3', 1, 60, 'user:a', 'invitation.created', 'i3', '{}'),
                ('4', 1, 50, 'token:t7', 'user.reset_link_issued', 'a', '{}'),
                ('5', 1, 60, 'token:t8', 'user.reset_link_issued', 'a', '{}'),
                ('6', 1, 50, 'token:t7', 'user.reset_link_issued', 'b', '{}'),
                ('7', 1, 60, 'admin', 'user.reset_link_issued', 'b', '{}'),
                ('8', 1, 60, 'user:a', 'user.reset_link_issued', 'c', '{}');",
    }));
    let invitations = texts(&connection, "SELECT json_array(uid, invited_by, token_id) FROM invitations ORDER BY id");
    assert_eq!(invitations, [r#"["i1",null,7]"#, r#"["i2",null,null]"#, r#"["i3",1,null]"#]);
    let resets =
        texts(&connection, "SELECT json_array(hash, issued_by, token_id) FROM password_resets ORDER BY user_id");
    assert_eq!(resets, [r#"["r1",null,8]"#, r#"["r2",null,null]"#, r#"["r3",1,null]"#]);
}

#[test]
fn whoever_changes_consumers_keeps_what_shows_their_keys() {
    let connection = migrated_with(Some(&Before {
        migration: "0045_storefront_keys.sql",
        rows: r#"INSERT INTO tokens (id, uid, organization_id, hash, description, scopes, metadata, created_at)
         VALUES (1, 'a', 1, 'a', 'd', '["storefront:read","storefront:write"]', '{}', 1),
                (2, 'b', 1, 'b', 'd', '["storefront:write"]', '{}', 1),
                (3, 'c', 1, 'c', 'd', '["storefront:read"]', '{}', 1), (4, 'd', 1, 'd', 'd', '["admin"]', '{}', 1);"#,
    }));
    let scopes = texts(&connection, "SELECT scopes FROM tokens ORDER BY id");
    let expected = [
        r#"["storefront:read","storefront:write","storefront:keys"]"#,
        r#"["storefront:write","storefront:keys"]"#,
        r#"["storefront:read"]"#,
        r#"["admin"]"#,
    ];
    assert_eq!(scopes, expected);
}
