//! `public/api/openapi.json` is what the routes and their handlers say. To write it anew after a change of theirs:
//! `UPDATE_OPENAPI=1 cargo test --test openapi`.

use std::fs;
use std::path::Path;

use rostrum::http::document::document;

#[test]
fn the_api_document_is_what_the_handlers_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("public/api/openapi.json");
    let expected = document().expect("JSON");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &expected).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let command = "UPDATE_OPENAPI=1 cargo test --test openapi";
    assert!(found == expected, "public/api/openapi.json is behind the handlers: run {command}");
}
