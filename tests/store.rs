//! Whose rows a statement touches is said by its signature. Every function of the store that makes or runs a statement
//! takes an `OrganizationId` first (or a value that holds one), or stands under a heading `// Across organizations:`
//! that says why it needs none. The latter are listed here, so that one more is a decision.
//!
//! No statement matches by a pattern that is not written in it, because D1 refuses long ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every function that acts across organizations, by file.
const ACROSS: &[(&str, &[&str])] = &[
    ("access/past_grants", &["prune"]),
    ("access/sessions", &["delete_ended", "end", "insert", "look_up", "page", "prune", "touch_last_seen"]),
    ("access/tokens", &["find_valid", "touch_last_used"]),
    (
        "access/users",
        &["credentials", "credentials_by_email", "end_sessions", "set_password", "touch_failed", "touch_login"],
    ),
    ("identity/idempotency", &["claim", "collect_garbage", "keep", "keep_inserted", "release"]),
    ("identity/invitations", &["by_hash"]),
    ("identity/password_resets", &["by_hash", "carry_out", "delete"]),
    ("identity/throttles", &["clean", "clear", "count", "is_first_beyond", "refund"]),
    ("identity/two_factor", &["disable_totp", "enable_totp", "prepare_totp", "replace_codes", "spend"]),
    ("kernel/organizations", &["by_slug"]),
    ("kernel/webhook_events", &["notify_failed"]),
    ("operations/addresses", &["forget"]),
    ("operations/migrations", &["is_newest_applied"]),
    ("organizations/profiles", &["insert", "page", "take_slug"]),
    ("packages/documents", &["documents_of_repository"]),
    ("packages/remarks", &["delete_outdated", "record_of_archives", "replace"]),
    ("packages/state", &["live_versions", "of_repository"]),
    ("packages/texts", &["delete_unreferenced_texts", "insert_texts"]),
    (
        "sources/archive_builds",
        &[
            "begin",
            "begin_in_one_go",
            "claim",
            "end",
            "end_in_one_go",
            "parts",
            "record_parts",
            "release",
            "renew",
            "stalled",
            "start_over",
        ],
    ),
    ("sources/artifacts", &["delete_marked", "mark_unreferenced", "note_unreferenced"]),
    (
        "sources/dists",
        &[
            "attach",
            "attach_first",
            "by_id",
            "is_artifact",
            "pin",
            "record_refusal",
            "repositories_awaiting_archives",
            "unbuilt",
        ],
    ),
    ("sources/refs", &["of_repository", "replace"]),
    ("sources/repositories", &["by_id", "keep_funding", "record_conflict"]),
    ("sources/sync_runs", &["claim", "claimed", "due", "finish", "finished", "prune"]),
    ("sources/uploads", &["announce_zip", "guard_announced"]),
    ("sources/upstream_answers", &["known_names", "left_out", "prune", "record_answer"]),
    ("storefront/consumer_imports", &["known", "reserve_many"]),
    ("storefront/consumers", &["reserve"]),
    ("storefront/deliveries", &["claim", "delete_old", "due", "settle"]),
    ("storefront/endings", &["notify_ending_soon", "notify_expired", "notify_updates_ended", "prune"]),
];

/// The heading, which holds until the end of the file or the next line of dashes.
const HEADING: &str = "// Across organizations: ";

/// A function of the store.
#[derive(Debug)]
struct Function {
    name: String,
    /// Between the parentheses.
    parameters: String,
    /// Behind the arrow.
    returned: String,
    is_across: bool,
}

fn store_files() -> Vec<PathBuf> {
    let (mut left, mut files) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")], Vec::new());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|is| is == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A file's name below src/store, without its ending: `storefront/consumers`.
fn name_of(path: &Path) -> String {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let name = path.strip_prefix(store).expect("below the store").with_extension("");
    name.to_str().expect("UTF-8").replace('\\', "/")
}

/// A file without its tests.
fn text_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("UTF-8");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// What stands between the parenthesis that `text` begins with and its partner, and what is behind that.
fn in_parentheses(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    panic!("no end: {text}");
}

/// The public functions of a file.
fn functions(text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let (mut is_across, mut at) = (false, 0);
    for line in text.split_inclusive('\n') {
        if line.starts_with("// -----") {
            is_across = false;
        } else if let Some(reason) = line.strip_prefix(HEADING) {
            assert!(reason.trim().len() > 10, "say why: {line}");
            is_across = true;
        }
        let signature = line.strip_prefix("pub ").map(|rest| rest.strip_prefix("async ").unwrap_or(rest));
        if let Some(rest) = signature.and_then(|rest| rest.strip_prefix("fn ")) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let open = at + text[at..].find('(').expect("parameters");
            let (parameters, behind) = in_parentheses(&text[open..]);
            let returned = behind.split(['{', ';']).next().unwrap_or_default().to_owned();
            found.push(Function { name, parameters: parameters.to_owned(), returned, is_across });
        }
        at += line.len();
    }
    found
}

/// The types of the store that hold an organization.
fn carriers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in store_files() {
        let text = text_of(&path);
        for (at, _) in text.match_indices("pub struct ") {
            let rest = &text[at + "pub struct ".len()..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            let body = rest.split("\n}").next().unwrap_or_default();
            if body.contains("organization: OrganizationId") {
                found.insert(name);
            }
        }
    }
    found
}

/// Whether a function makes or runs statements.
fn has_statements(function: &Function) -> bool {
    function.returned.contains("Stmt")
        || function.returned.contains("Query")
        || function.parameters.contains("Database")
}

/// Whether the first parameter that is not the database is an organization, or holds one.
fn is_bound(function: &Function, carriers: &BTreeSet<String>) -> bool {
    let parameters = function.parameters.replace('\n', " ");
    let first = parameters.split(", ").map(str::trim).find(|parameter| !parameter.contains("dyn Database"));
    let Some((_, kind)) = first.and_then(|first| first.split_once(": ")) else { return false };
    let kind: String = kind.trim_start_matches(['&', '[']).chars().take_while(|c| c.is_alphanumeric()).collect();
    kind == "OrganizationId" || carriers.contains(&kind)
}

#[test]
fn every_statement_is_bound_to_an_organization_or_says_why_not() {
    let carriers = carriers();
    let (mut bound, mut unbound, mut across) = (0, Vec::new(), Vec::new());
    for path in store_files() {
        let file = name_of(&path);
        if file == "mod" {
            continue;
        }
        for function in functions(&text_of(&path)).into_iter().filter(has_statements) {
            if function.is_across {
                across.push((file.clone(), function.name));
            } else if is_bound(&function, &carriers) {
                bound += 1;
            } else {
                unbound.push(format!("{file}::{}({})", function.name, function.parameters));
            }
        }
    }
    assert_eq!(unbound, Vec::<String>::new());
    across.sort();
    let listed =
        ACROSS.iter().flat_map(|(file, names)| names.iter().map(|name| ((*file).to_owned(), (*name).to_owned())));
    let listed: Vec<(String, String)> = listed.collect();
    assert_eq!(across, listed);
    assert!(bound > 100, "the functions were not recognised: {bound}");
}

/// What follows each `LIKE` and `GLOB` of a statement.
fn patterns_in(text: &str) -> Vec<&str> {
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    let operands = |line| ["LIKE ", "GLOB "].map(|operator| str::split(line, operator).skip(1)).into_iter().flatten();
    code.flat_map(operands).collect()
}

#[test]
fn the_database_is_never_asked_for_a_pattern_that_comes_from_data() {
    let mut literal = 0;
    for path in store_files() {
        for operand in patterns_in(&text_of(&path)) {
            assert!(operand.starts_with('\''), "{}: a pattern of data: {operand}", path.display());
            literal += 1;
        }
    }
    assert!(literal > 3, "the patterns were not recognised: {literal}");
    assert_eq!(patterns_in("a LIKE 'x%' OR b GLOB ?1\n// c LIKE d"), ["'x%' OR b GLOB ?1", "?1"]);
}

#[test]
fn nobody_but_the_tenant_of_a_request_names_the_root_organization() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut left, mut named) = (vec![source], BTreeSet::new());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|is| is == "rs") && text_of(&path).contains("OrganizationId::ROOT") {
            named.insert(path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned());
        }
    }
    assert_eq!(named, BTreeSet::from(["tenant.rs".to_owned()]));
}

#[test]
fn the_reader_of_signatures_understands_every_form() {
    let text = "pub fn a(organization: OrganizationId, x: (i64, i64)) -> Stmt {\n}\n\
                pub async fn b(\n    db: &dyn Database,\n    new: NewUser<'_>,\n) -> Result<(), DatabaseError> {\n}\n\
                // Across organizations: because it is a test.\npub fn c<'v>(id: i64) -> [Stmt; 2] {\n}\n\
                // -------\npub fn d(id: i64) -> Stmt {\n}\n";
    let found = functions(text);
    let carriers = BTreeSet::from(["NewUser".to_owned()]);
    let seen: Vec<(&str, bool, bool)> =
        found.iter().map(|one| (one.name.as_str(), is_bound(one, &carriers), one.is_across)).collect();
    assert_eq!(seen, [("a", true, false), ("b", true, false), ("c", false, true), ("d", false, false)]);
    assert!(found.iter().all(has_statements));
}
