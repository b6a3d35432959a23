//! The rooms of the crate import only leftwards: `json`, `ports` ← `store` ← `registry` ← `http` ← `cloudflare`, and only
//! `cloudflare` names the `worker` crate. `composer` and `git` are crates of their own, which cannot import a room; they
//! depend on nothing that does I/O, and do none themselves.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may import.
const ROOMS: [(&str, &[&str]); 6] = [
    ("json", &[]),
    ("ports", &["json"]),
    ("store", &["json", "ports"]),
    ("registry", &["json", "ports", "store"]),
    ("http", &["json", "ports", "store", "registry"]),
    ("cloudflare", &["json", "ports", "store", "registry", "http"]),
];

/// Each crate under crates/, and all that it may depend on: formats, codecs and derives, of which none does I/O.
const CRATES: [(&str, &[&str]); 2] = [
    ("composer", &["serde", "serde_json", "thiserror"]),
    ("git", &["bytes", "flate2", "hex", "serde", "sha1", "thiserror", "time", "zip"]),
];

/// Modules of the standard library for I/O, clocks, surroundings and threads, which those crates do not name.
const IMPURE: [&str; 7] = ["env", "fs", "net", "os", "process", "thread", "time"];

/// Crates of the platform, which only `cloudflare` may name.
const PLATFORM: [&str; 4] = ["worker", "wasm_bindgen", "js_sys", "web_sys"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")
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

/// What code names after `root` (`crate::`, `std::`), one by one or in braces.
fn imported(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let rest = code[at + root.len()..].trim_start();
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

/// The names in the table `[dependencies]` of a manifest, which are written one a line.
fn dependencies(manifest: &str) -> Vec<&str> {
    let table = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines =
        table.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).collect()
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
            for name in imported(&code_of(&path), "crate::") {
                let is_fine = name == room || !rooms.contains(&name.as_str()) || allowed.contains(&name.as_str());
                assert!(is_fine, "{} imports from {name}", path.display());
                seen += usize::from(rooms.contains(&name.as_str()));
            }
        }
    }
    assert!(seen > 100, "the imports were not recognised: {seen}");
}

#[test]
fn surfaces_know_the_kit_and_not_each_other() {
    let http = source().join("http");
    let folders = fs::read_dir(&http).expect("a folder").map(|entry| entry.expect("readable").path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir() && !path.ends_with("document")).collect();
    let mut seen = 0;
    for folder in &folders {
        let own = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        for path in files_below(folder) {
            for name in imported(&code_of(&path), "crate::http::") {
                let is_shared = ["kit", "assets"].contains(&name.as_str()) && own != "kit";
                assert!(name == own || is_shared, "{} imports {name}", path.display());
                seen += 1;
            }
        }
    }
    assert!(folders.len() > 3 && seen > 100, "the imports were not recognised: {seen}");
}

#[test]
fn the_crates_are_pure() {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(crates()).expect("a folder").map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    assert_eq!(folders, CRATES.map(|(name, _)| crates().join(name)));
    let mut seen = 0;
    for (name, allowed) in CRATES {
        let folder = crates().join(name);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("UTF-8");
        assert_eq!(dependencies(&manifest), allowed, "{name}");
        assert!(!manifest.contains("build-dependencies") && !manifest.contains("[target"), "{name}");
        for path in files_below(&folder.join("src")) {
            let code = code_of(&path);
            for module in imported(&code, "std::") {
                assert!(!IMPURE.contains(&module.as_str()), "{} names std::{module}", path.display());
                seen += 1;
            }
            assert!(!code.contains("print!(") && !code.contains("println!("), "{} prints", path.display());
        }
    }
    assert!(seen > 20, "the imports were not recognised: {seen}");
}

#[test]
fn only_the_cloudflare_room_names_the_platform() {
    let mut seen = 0;
    for path in files_below(&source()).into_iter().chain(files_below(&crates())) {
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
    let crates = CRATES.map(|(name, _)| (name, files_below(&crates().join(name))));
    for (room, files) in ROOMS.map(|(room, _)| (room, files_of(room))).into_iter().chain(crates) {
        for path in files {
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
        "use crate::registry::App; use crate::{ports::Stmt, store::{run, Page}, http}; let x = crate::cloudflare::f();";
    assert_eq!(imported(code, "crate::"), ["registry", "ports", "store", "http", "cloudflare"]);
    assert!(names_crate("use worker::Env;", "worker"));
    assert!(!names_crate("a_worker::x, my::worker::x, worker_y::z", "worker"));
}
