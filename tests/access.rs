//! `docs/access.md` says of every operation who may call it, and what a credential that is limited to some packages has of
//! it. What the handlers' types say is checked here; `tests/registry/access/limits.rs` asks each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rostrum::http::document::operations;
use rostrum::http::kit::requirement::{Access, Reach};
use serde_json::json;

/// What the table says of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    callers: String,
    limited: String,
}

/// The rows of the table by their operation: `GET /api/tokens`.
fn table() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/access.md")).expect("UTF-8");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [operation, callers, limited] = cells[..] else { panic!("three cells: {line}") };
        let row = Row { callers: callers.to_owned(), limited: limited.to_owned() };
        let former = rows.insert(operation.trim_matches('`').to_owned(), row);
        assert_eq!(former, None, "{operation} stands there twice");
    }
    rows
}

fn callers(access: Option<Access>) -> String {
    match access {
        None | Some(Access::Public) => "everybody".to_owned(),
        Some(Access::AdminToken) => "`ADMIN_TOKEN`".to_owned(),
        Some(Access::OwnAccount) => "a session".to_owned(),
        Some(Access::Scope(scope)) => format!("`{}`", scope.as_str()),
    }
}

#[test]
fn every_operation_has_a_row_that_says_who_may_call_it() {
    let mut table = table();
    for operation in operations() {
        let method = json!(operation.method).as_str().expect("text").to_uppercase();
        let name = format!("{method} {}", operation.path);
        let row = table.remove(&name).unwrap_or_else(|| panic!("docs/access.md lacks a row for {name}"));
        assert_eq!(row.callers, callers(operation.access()), "{name}");
        let is_scoped = matches!(operation.access(), Some(Access::Scope(_)));
        assert_eq!(row.limited == "–", !is_scoped, "{name}: {}", row.limited);
        assert_eq!(row.limited == "refused", operation.reach() == Reach::Organization, "{name}: {}", row.limited);
    }
    assert!(table.is_empty(), "there are no such operations: {:?}", table.keys());
}
