//! `docs/access.md` says of every operation who may call it, and what a credential that is limited to some packages has of
//! it; `docs/storefront.md` which scopes a shop needs for what. What the handlers' types say is checked here; `tests/registry/access/limits.rs` asks each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rostrum::http::document::operations;
use rostrum::http::kit::requirement::{Access, Reach};
use rostrum::registry::access::scope::Scope;
use serde_json::json;

/// What the table says of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    callers: String,
    limited: String,
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).expect("UTF-8")
}

/// The rows of the table by their operation: `GET /api/tokens`.
fn table() -> BTreeMap<String, Row> {
    let text = document("access.md");
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

#[test]
fn the_guide_for_shops_names_every_scope_of_the_storefront_with_operations_that_need_just_it() {
    let text = document("storefront.md");
    let (_, section) = text.split_once("\n## Which scopes a shop needs\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next section");
    let table = table();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let (scope, text) = line.trim_matches('|').split_once(" | ").expect("two cells");
        let scope = scope.trim().trim_matches('`');
        assert!(!Scope::named(scope).is_empty(), "there is no scope {scope}");
        let operations: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|code| code.contains(" /")).collect();
        for operation in &operations {
            let row = table.get(*operation).unwrap_or_else(|| panic!("there is no operation {operation}"));
            assert_eq!(row.callers, format!("`{scope}`"), "{operation}");
        }
        rows.insert(scope.to_owned(), operations.len());
    }
    for scope in Scope::all().map(Scope::as_str).filter(|scope| scope.starts_with("storefront:")) {
        assert!(rows.contains_key(scope), "the guide does not say what {scope} is for");
    }
    assert!(rows.values().sum::<usize>() > 15, "{rows:?}");
}
