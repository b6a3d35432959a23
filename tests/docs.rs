//! What the documents name exists: every relative link with its anchor, every path of the repository, and every file that
//! is named by the end of its path; every constant of the table of bounds. No statement is left marked as unchecked.
//!
//! A path may hold a placeholder (`src/http/{surface}/mod.rs`, `src/http/management/…`); then the folder before it has to
//! exist.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders at the root, by which a path is recognised in a text.
const FOLDERS: [&str; 8] = ["bench", "crates", "docs", "migrations", "public", "scripts", "src", "tests"];

/// Folders that hold what is built or fetched.
const NOT_OURS: [&str; 5] = [".git", ".wrangler", "build", "node_modules", "target"];

/// Kinds of files that are recognised by the end of their path alone: `kernel/ids.rs`. JSON is not among them: most JSON
/// files that the documents speak of are other people's.
const EXTENSIONS: [&str; 6] = [".css", ".md", ".mjs", ".rs", ".sql", ".toml"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository, relative to its root.
fn files_below(folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !path.is_dir() {
            let relative = path.strip_prefix(root()).expect("below the root");
            files.push(relative.to_string_lossy().replace('\\', "/"));
        } else if !NOT_OURS.contains(&name.as_str()) {
            files_below(&path, files);
        }
    }
}

fn all_files() -> Vec<String> {
    let mut files = Vec::new();
    files_below(root(), &mut files);
    files
}

/// The documents: each with its path and its text.
fn documents(files: &[String]) -> Vec<(String, String)> {
    let is_document = |path: &&String| {
        let is_ours = path.starts_with("docs/") || path.starts_with("crates/") || !path.contains('/');
        is_ours && Path::new(path).extension().is_some_and(|extension| extension == "md")
    };
    let read = |path: &String| (path.clone(), fs::read_to_string(root().join(path)).expect("UTF-8"));
    files.iter().filter(is_document).map(read).collect()
}

/// The targets of a text's links; what looks like one in code is none.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for piece in text.split('`').step_by(2) {
        found.extend(piece.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next()));
    }
    found
}

/// The anchors of a document's headings, as they are made of them on the web.
fn anchors(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if !in_code && heading.len() < line.len() && heading.starts_with(' ') {
            let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            found.push(kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

/// Whether a character may stand in a path, or in the placeholder of one.
fn is_of_a_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./{}…".contains(c)
}

/// What looks like a path of the repository or like the end of one.
fn paths(text: &str) -> Vec<&str> {
    let words = text.split(|c| !is_of_a_path(c)).map(|word| word.trim_end_matches('.'));
    let is_path = |word: &&str| {
        let first = word.split('/').next().unwrap_or_default();
        (word.contains('/') && FOLDERS.contains(&first))
            || EXTENSIONS.iter().any(|extension| word.len() > extension.len() && word.ends_with(extension))
    };
    words.filter(is_path).collect()
}

/// Whether a path that a document names is there.
fn exists(path: &str, files: &[String]) -> bool {
    if let Some(at) = path.find(['{', '…']) {
        let (folder, _) = path[..at].rsplit_once('/').unwrap_or_default();
        return root().join(folder).is_dir();
    }
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let is_end = |file: &String| file == path || file.ends_with(&format!("/{path}"));
    root().join(path).exists() || files.iter().any(is_end)
}

/// Where a link in the document at `from` leads to; `None` for one that leads out of the repository.
fn target(from: &str, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (link, None),
    };
    let document = root().join(from);
    let target = if path.is_empty() { document } else { document.parent().expect("a folder").join(path) };
    Some((target, anchor))
}

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for (from, text) in documents(&all_files()) {
        for link in links(&text) {
            let Some((path, anchor)) = target(&from, link) else { continue };
            seen += 1;
            let there = match &anchor {
                Some(anchor) => fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(anchor)),
                None => path.exists(),
            };
            if !there {
                broken.push(format!("{from}: {link}"));
            }
        }
    }
    assert!(seen > 20, "the links were not recognised: {seen}");
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let files = all_files();
    let mut missing = Vec::new();
    let mut seen = 0;
    for (from, text) in documents(&files) {
        // A URL is not ours, and neither is what a link's target was looked at for.
        for word in text.split_whitespace().filter(|word| !word.contains("://") && !word.contains("](")) {
            for path in paths(word) {
                seen += 1;
                // A crate's README names what is in its own folder.
                let beside = Path::new(&from).parent().is_some_and(|folder| root().join(folder).join(path).exists());
                if !beside && !exists(path, &files) {
                    missing.push(format!("{from}: {path}"));
                }
            }
        }
    }
    assert!(seen > 100, "the paths were not recognised: {seen}");
    assert_eq!(missing, Vec::<String>::new());
}

/// The constants that a document names behind their file: `` `src/a.rs`: `MAX_B`, `MAX_C` ``, each with that file.
fn constants(text: &str) -> Vec<(&str, &str)> {
    let is_name = |piece: &str| {
        piece.contains('_') && piece.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let mut found = Vec::new();
    for line in text.lines() {
        let mut file = None;
        for piece in line.split('`').skip(1).step_by(2) {
            match file {
                _ if piece.contains('/') => file = Some(piece),
                Some(file) if is_name(piece) => found.push((file, piece)),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_bound_of_the_threat_model_is_a_constant_of_the_file_that_it_names() {
    let text = fs::read_to_string(root().join("docs/security.md")).expect("the threat model");
    let bounds = constants(&text);
    assert!(bounds.len() > 60, "the constants were not recognised: {}", bounds.len());
    let is_missing = |(file, name): &(&str, &str)| {
        !fs::read_to_string(root().join(file)).is_ok_and(|code| code.contains(&format!("const {name}: ")))
    };
    assert_eq!(bounds.into_iter().filter(is_missing).collect::<Vec<_>>(), Vec::new());
}

/// What is written behind `const NAME: TYPE = `.
fn definition<'c>(code: &'c str, name: &str) -> Option<&'c str> {
    let (_, rest) = code.split_once(&format!("const {name}: "))?;
    rest.split_once(" = ")?.1.split_once(';').map(|(expression, _)| expression.trim())
}

/// The number that an expression of constants stands for; of a list, how many it holds.
fn number(code: &str, expression: &str) -> Option<u64> {
    let text = expression.trim().trim_end_matches(" as u64");
    if let Some((left, right)) = text.split_once(" << ") {
        return Some(number(code, left)? << number(code, right)?);
    }
    if let Some((left, right)) = text.split_once(" * ") {
        return Some(number(code, left)? * number(code, right)?);
    }
    if let Some((limit, _)) = text.strip_prefix("Page { limit: ").and_then(|rest| rest.split_once(',')) {
        return number(code, limit);
    }
    match text {
        "limits::MIB" => Some(1 << 20),
        _ if text.starts_with('[') => u64::try_from(text.matches('"').count() / 2).ok(),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => text.replace('_', "").parse().ok(),
        _ => number(code, definition(code, text)?),
    }
}

/// A number as documents write it: `10,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b","[..])).expect("digits")
}

/// All ways to write the value of an expression of constants.
fn written(code: &str, expression: &str) -> Vec<String> {
    let span = |unit: &str| expression.strip_prefix(unit)?.strip_suffix(')').and_then(|value| number(code, value));
    let seconds = span("Duration::from_secs(")
        .or_else(|| span("Duration::from_mins(").map(|minutes| minutes * 60))
        .or_else(|| span("Duration::from_hours(").map(|hours| hours * 3600));
    let units = match seconds {
        Some(_) => vec![(" s", 1), (" min", 60), (" h", 3600), (" days", 86_400)],
        None => {
            vec![("", 1), (" KiB", 1 << 10), (" MiB", 1 << 20), (" GiB", 1 << 30), (" kB", 1000), (" MB", 1_000_000)]
        }
    };
    let Some(value) = seconds.or_else(|| number(code, expression)) else { return Vec::new() };
    let whole = units.into_iter().filter(|(_, size)| value.is_multiple_of(*size));
    let mut ways: Vec<String> = whole.map(|(unit, size)| grouped(value / size) + unit).collect();
    for (words, size) in [("a minute", 60), ("an hour", 3600), ("a day", 86_400), ("a week", 7 * 86_400)] {
        ways.extend(seconds.filter(|seconds| *seconds == size).map(|_| words.to_owned()));
    }
    if value.is_power_of_two() {
        let power = value.ilog2().to_string();
        let raised =
            |digit: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10).and_then(|at| at.try_into().ok()).unwrap_or(0));
        ways.push(format!("2{}", power.chars().filter_map(raised).collect::<String>()));
    }
    ways
}

/// Whether `text` holds `value`, and not as a part of a longer number.
fn states(text: &str, value: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    text.match_indices(value).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + value.len()..]);
        !before.trim_end_matches(',').ends_with(is_digit) && !behind.trim_start_matches(',').starts_with(is_digit)
    })
}

#[test]
fn every_bound_of_the_threat_model_has_the_value_that_its_row_states() {
    let text = fs::read_to_string(root().join("docs/security.md")).expect("the threat model");
    let mut wrong = Vec::new();
    for line in text.lines() {
        let value = line.trim_end_matches(" |").rsplit('|').next().unwrap_or_default();
        for (file, name) in constants(line) {
            let code = fs::read_to_string(root().join(file)).unwrap_or_default();
            let ways = definition(&code, name).map(|expression| written(&code, expression)).unwrap_or_default();
            if !ways.iter().any(|way| states(value, way)) {
                wrong.push(format!("{name} of {file} is {ways:?}: {value}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn values_of_constants_are_recognised() {
    let code =
        "const MIB: usize = 1024 * 1024;\nconst HALF: u64 = 512 * MIB as u64;\nconst LIST: [&str; 2] = [\"a\", \"b\"];";
    for (expression, way) in [
        ("8 << 10", "8 KiB"),
        ("HALF", "512 MiB"),
        ("10_000", "10,000"),
        ("1 << 28", "2²⁸"),
        ("[\"a\", \"b\"]", "2"),
        ("Page { limit: 1000, offset: 0 }", "1,000"),
        ("Duration::from_hours(7 * 24)", "a week"),
        ("Duration::from_mins(15)", "15 min"),
    ] {
        assert!(written(code, expression).contains(&way.to_owned()), "{expression}");
    }
    assert!(states("a page of 1,000, or 10,000", "1,000") && states("30 s; 5", "5"));
    assert!(!states("11,000 rows", "1,000") && !states("1,000 rows", "1") && !states("512 KiB", "51"));
}

#[test]
fn no_statement_is_left_to_be_checked() {
    for (from, text) in documents(&all_files()) {
        assert!(!text.contains("<!-- check"), "{from} has a statement that nobody has checked");
    }
}

#[test]
fn links_anchors_and_paths_are_recognised() {
    assert_eq!(links("see [`a`](b.md#c), `x](y)`, [d](https://e.test/f \"g\")"), ["b.md#c", "https://e.test/f"]);
    assert_eq!(
        anchors("# A `b`, c!\n```sh\n# no heading\n```\n## Rotating ENCRYPTION_KEY\n"),
        ["a-b-c", "rotating-encryption_key"]
    );
    assert_eq!(paths("`src/a.rs`, (docs/b.md#c) and kernel/ids.rs."), ["src/a.rs", "docs/b.md", "kernel/ids.rs"]);
    assert_eq!(
        constants("| `A_B` | `src/a.rs`: `MAX_A`, `code`; `src/b.rs`: `B_2` |"),
        [("src/a.rs", "MAX_A"), ("src/b.rs", "B_2")]
    );
    assert_eq!(paths("src, acme/docs/x, .rs, packages.json"), Vec::<&str>::new());
    let files = ["src/registry/kernel/ids.rs".to_owned()];
    assert!(exists("kernel/ids.rs", &files) && exists("ids.rs", &files) && !exists("nel/ids.rs", &files));
    assert!(exists("tests/{surface}/mod.rs", &files) && !exists("absent/{surface}/mod.rs", &files));
}
