//! The rooms of the crate import only leftwards: `json`, `ports` ← `store` ← `registry` ← `http` ← `cloudflare`, and only
//! `cloudflare` names the `worker` crate. `composer` and `git` are crates of their own, which cannot import a room; they
//! depend on nothing that does I/O, and do none themselves. Inside of `store` and `registry` the domains have an order of
//! the same kind, and no files of `registry` import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
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

/// The domains of `store` and `registry` in steps: a domain imports from the steps before its own, of both rooms, and not
/// from another one of its step.
const DOMAINS: [&[&str]; 6] = [
    &["kernel"],
    &["access"],
    &["identity", "packages"],
    &["sources", "security", "organizations"],
    &["delivery", "storefront"],
    &["operations"],
];

/// Each crate under crates/, and all that it may depend on: formats, codecs and derives, of which none does I/O.
const CRATES: [(&str, &[&str]); 2] = [
    ("composer", &["hex", "md-5", "serde", "serde_json", "thiserror"]),
    ("git", &["bytes", "crc32fast", "flate2", "hex", "serde", "sha1", "thiserror", "time"]),
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

/// Every path in code that begins with `crate::`, those in braces in full: `crate::store::packages::publication::Plan`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, root) in code.match_indices("crate::") {
        add_paths(&code[at + root.len()..], "crate", &mut found);
    }
    found
}

/// Adds the paths of the tree that `text` begins with, below `prefix`; returns what follows it.
fn add_paths<'t>(text: &'t str, prefix: &str, found: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = add_paths(rest, prefix, found).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                last => return last.unwrap_or(rest).trim_start().strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let name = first_name(text);
    let path = format!("{prefix}::{name}");
    let rest = &text[name.len()..];
    if let Some(below) = rest.strip_prefix("::").filter(|_| !name.is_empty()) {
        return add_paths(below, &path, found);
    }
    found.push(path);
    // `as` and what it is called then.
    rest.trim_start().strip_prefix("as ").map_or(rest, |alias| &alias[first_name(alias).len()..])
}

/// A file's code without its tests.
fn code_without_tests(path: &Path) -> String {
    let code = code_of(path);
    code.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// The module that a file is: `crate::registry::packages::publish`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(source()).expect("a source").with_extension("");
    let names: Vec<&str> = below.iter().filter_map(|name| name.to_str()).filter(|name| *name != "mod").collect();
    format!("crate::{}", names.join("::"))
}

/// The step of the domain that a path in `store` or `registry` leads to, and its name; `None` for what is in no domain.
fn domain_of(path: &str) -> Option<(usize, &str)> {
    let below = ["crate::store::", "crate::registry::"].iter().find_map(|room| path.strip_prefix(room))?;
    let name = below.split("::").next()?;
    let step = DOMAINS.iter().position(|step| step.contains(&name))?;
    Some((step, name))
}

/// Those nodes of a graph that lie on a circle with others, by the node that was found first.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reachable = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = open.pop() {
            for next in graph.get(&node).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|node| (node, reachable(node))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for (node, reached) in &all {
        let circle = reached.iter().filter(|other| all.get(other).is_some_and(|back| back.contains(*node)));
        let circle: Vec<String> = circle.cloned().collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
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
fn domains_import_only_from_those_before_them() {
    let mut seen = 0;
    for path in ["store", "registry"].into_iter().flat_map(files_of) {
        let module = module_of(&path);
        let Some((step, name)) = domain_of(&module) else { continue };
        for imported in paths(&code_without_tests(&path)) {
            let Some((other_step, other)) = domain_of(&imported) else { continue };
            assert!(other == name || other_step < step, "{} imports {imported}", path.display());
            seen += usize::from(other != name);
        }
    }
    assert!(seen > 300, "the imports were not recognised: {seen}");
}

#[test]
fn every_folder_of_the_two_rooms_is_a_domain() {
    for room in ["store", "registry"] {
        for entry in fs::read_dir(source().join(room)).expect("a folder") {
            let path = entry.expect("readable").path();
            let is_domain = || domain_of(&module_of(&path)).is_some();
            assert!(path.is_file() || is_domain(), "{} is no domain", path.display());
        }
    }
}

#[test]
fn no_files_of_the_registry_import_each_other_in_a_circle() {
    let files: BTreeMap<String, PathBuf> =
        files_of("registry").into_iter().map(|path| (module_of(&path), path)).collect();
    // The longest beginning of a path that is a file: what follows is something in it.
    let file_of = |path: &str| {
        let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).filter(|module| files.contains_key(*module)).last().map(str::to_owned)
    };
    let graph: BTreeMap<String, BTreeSet<String>> = files
        .iter()
        .map(|(module, path)| {
            let imported = paths(&code_without_tests(path));
            let others = imported.iter().filter_map(|path| file_of(path)).filter(|other| other != module);
            (module.clone(), others.collect())
        })
        .collect();
    // A folder's mod.rs and its files may hold each other.
    let is_one_folder = |circle: &Vec<String>| {
        circle.iter().any(|root| circle.iter().all(|one| one == root || one.starts_with(&format!("{root}::"))))
    };
    let knots: Vec<Vec<String>> = circles(&graph).into_iter().filter(|circle| !is_one_folder(circle)).collect();
    assert_eq!(knots, Vec::<Vec<String>>::new());
    assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 300, "the imports were not recognised");
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
fn circles_are_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    assert_eq!(circles(&graph), [["a", "b", "c"]]);
}

#[test]
fn the_reader_of_imports_understands_every_form() {
    let code =
        "use crate::registry::App; use crate::{ports::Stmt, store::{run, Page}, http}; let x = crate::cloudflare::f();";
    assert_eq!(imported(code, "crate::"), ["registry", "ports", "store", "http", "cloudflare"]);
    let code = "use crate::a::{self, b::{C, D as E}, f}; use crate::g; let x = crate::h::i(1);";
    assert_eq!(
        paths(code),
        ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::f", "crate::g", "crate::h::i"]
    );
    assert!(names_crate("use worker::Env;", "worker"));
    assert!(!names_crate("a_worker::x, my::worker::x, worker_y::z", "worker"));
}
