//! The rooms of the crate import only leftwards: `composer`, `git` ← `json`, `ports` ← `store` ← `registry` ← `http` ←
//! `cloudflare`. `composer`, `git` and `json` import no other room, and only `cloudflare` names the `worker` crate.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may import.
const ROOMS: [(&str, &[&str]); 8] = [
    ("composer", &[]),
    ("git", &[]),
    ("json", &[]),
    ("ports", &["composer", "git", "json"]),
    ("store", &["composer", "git", "json", "ports"]),
    ("registry", &["composer", "git", "json", "ports", "store"]),
    ("http", &["composer", "git", "json", "ports", "store", "registry"]),
    ("cloudflare", &["composer", "git", "json", "ports", "store", "registry", "http"]),
];

/// Crates of the platform, which only `cloudflare` may name.
const PLATFORM: [&str; 4] = ["worker", "wasm_bindgen", "js_sys", "web_sys"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(files_below(&path));
        }
    }
    files
}

/// Every file of a room.
fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in [source().join(room), source().join(format!("{room}.rs"))] {
        if path.exists() {
            files.extend(files_below(&path));
        }
    }
    files
}

/// A file's code: comments are cut off, and line breaks and spaces taken out, so that `crate::{a, b}` is one piece.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("UTF-8");
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(|line| line.chars().chain(" ".chars())).collect()
}

/// The rooms that code names after `crate::`, one by one or in braces.
fn imported(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        match rest.strip_prefix('{') {
            None => found.push(first_name(rest)),
            Some(list) => found.extend(names_in_braces(list)),
        }
    }
    found
}

fn first_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of every item of a list in braces, the nested lists left out.
fn names_in_braces(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if depth == 0 && at_start && !c.is_whitespace() => {
                names.push(first_name(&list[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// Whether code names this crate.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        code[at + name.len()..].starts_with("::") && !before.is_some_and(|c| c.is_alphanumeric() || "_:".contains(c))
    })
}

#[test]
fn every_file_is_in_a_room() {
    let mut known: Vec<PathBuf> = ROOMS.iter().flat_map(|(room, _)| files_of(room)).collect();
    known.push(source().join("lib.rs"));
    known.sort();
    let mut all = files_below(&source());
    all.sort();
    assert_eq!(all, known);
    assert!(ROOMS.iter().all(|(room, _)| !files_of(room).is_empty()));
}

#[test]
fn imports_point_only_leftwards() {
    let rooms: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let mut seen = 0;
    for (room, allowed) in ROOMS {
        for path in files_of(room) {
            for name in imported(&code_of(&path)) {
                let is_fine = name == room || !rooms.contains(&name.as_str()) || allowed.contains(&name.as_str());
                assert!(is_fine, "{} imports from {name}", path.display());
                seen += usize::from(rooms.contains(&name.as_str()));
            }
        }
    }
    assert!(seen > 100, "the imports were not recognised: {seen}");
}

#[test]
fn only_the_cloudflare_room_names_the_platform() {
    let mut seen = 0;
    for path in files_below(&source()) {
        let code = code_of(&path);
        let is_inside = path.starts_with(source().join("cloudflare"));
        for name in PLATFORM {
            let named = names_crate(&code, name);
            assert!(is_inside || !named, "{} names {name}", path.display());
            seen += usize::from(named);
        }
    }
    assert!(seen > 3, "the platform's crates were not recognised");
}

#[test]
fn only_the_store_holds_sql_and_only_http_knows_the_router() {
    for (room, _) in ROOMS {
        for path in files_of(room) {
            let code = code_of(&path);
            assert!(room == "store" || !code.contains("Stmt::new("), "{} holds SQL", path.display());
            let may_route = ["http", "cloudflare"].contains(&room);
            assert!(may_route || !names_crate(&code, "axum"), "{} names axum", path.display());
        }
    }
}

#[test]
fn the_reader_of_imports_understands_every_form() {
    let code =
        "use crate::git::Pack; use crate::{ports::Stmt, store::{run, Page}, http}; let x = crate::composer::f();";
    assert_eq!(imported(code), ["git", "ports", "store", "http", "composer"]);
    assert!(names_crate("use worker::Env;", "worker"));
    assert!(!names_crate("a_worker::x, my::worker::x, worker_y::z", "worker"));
}
