//! `d1_migrations`, in which wrangler (and `npm start`) notes the migrations that it has applied.

use crate::store::Query;

/// The file name of the newest migration that this build was made with. `UPDATE_SCHEMA=1 cargo test --test schema` writes
/// it down.
pub const NEWEST: &str = include_str!("newest_migration.txt").trim_ascii();

// Across organizations: the tables are those of all.

/// Whether [`NEWEST`] has been applied.
pub fn is_newest_applied() -> Query<bool> {
    Query::any("SELECT 1 FROM d1_migrations WHERE name = ?1", [NEWEST.into()])
}
