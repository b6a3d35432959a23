//! `.gitattributes`, as far as `export-ignore` goes (gitattributes(5)).
//!
//! Later lines win over earlier ones, and files in deeper directories over those above. Macros
//! (`[attr]…`) are not expanded. Unlike what gitattributes(5) says of patterns with a trailing
//! slash, they do match here, as they do for `git archive`: it asks about a directory with a slash
//! at its end.

use crate::archive::wildmatch::Wildmatch;
use crate::limits::ATTRIBUTE_RULES;

/// Longest line that git reads, in bytes.
const MAX_LINE: usize = 2048;
const BLANK: &[u8] = b" \t\r\n";

/// The `export-ignore` rules in force at one place of a walk through a tree.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// The last that matches decides.
    rules: Vec<Rule>,
}

/// More `export-ignore` rules than [`ATTRIBUTE_RULES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {ATTRIBUTE_RULES} export-ignore rules")]
pub struct TooManyRules;

#[derive(Debug, Clone)]
struct Rule {
    /// Length of the directory that the file is in, with its slash; what is before it in a path
    /// is known to be that directory.
    base: usize,
    pattern: Wildmatch,
    /// The pattern has no slash, so it is matched with the last name only.
    name_only: bool,
    directory_only: bool,
    ignore: bool,
}

impl Attributes {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the rules of the `.gitattributes` in `directory` (without a slash at its end; empty
    /// for the root). Until [`truncate`](Self::truncate), ask about paths in there only.
    pub fn add_file(&mut self, directory: &str, content: &[u8]) -> Result<(), TooManyRules> {
        let base = if directory.is_empty() { 0 } else { directory.len() + 1 };
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        for line in content.split(|byte| *byte == b'\n') {
            let Some(rule) = parse_line(line, base) else {
                continue;
            };
            if self.rules.len() >= ATTRIBUTE_RULES {
                return Err(TooManyRules);
            }
            self.rules.push(rule);
        }
        Ok(())
    }

    /// How many rules there are: to come back to with [`truncate`](Self::truncate).
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Forgets the rules added since there were `len`, on leaving their directory.
    pub fn truncate(&mut self, len: usize) {
        self.rules.truncate(len);
    }

    /// Whether an archive leaves out `path`, which has no slash at its end. What is in a directory
    /// that is left out must not be asked about.
    pub fn export_ignore(&self, path: &[u8], is_dir: bool) -> bool {
        self.rules.iter().rev().find(|rule| rule.applies(path, is_dir)).is_some_and(|r| r.ignore)
    }
}

impl Rule {
    fn applies(&self, path: &[u8], is_dir: bool) -> bool {
        if self.directory_only && !is_dir {
            return false;
        }
        let below = path.get(self.base..).unwrap_or_default();
        let text = if self.name_only { below.rsplit(|byte| *byte == b'/').next().unwrap_or_default() } else { below };
        self.pattern.matches(text)
    }
}

/// Reads a line into a rule if it says anything about `export-ignore`.
fn parse_line(line: &[u8], base: usize) -> Option<Rule> {
    if line.len() >= MAX_LINE {
        return None;
    }
    // git reads C strings.
    let line = line.split(|byte| *byte == 0).next()?;
    let start = line.iter().position(|byte| !BLANK.contains(byte))?;
    let line = &line[start..];
    if line.starts_with(b"#") {
        return None;
    }
    let (pattern, attributes) = split_pattern(line);
    let is_macro = pattern.len() > b"[attr]".len() && pattern.starts_with(b"[attr]");
    // Patterns that start with `!` are forbidden in attribute files.
    if is_macro || pattern.starts_with(b"!") {
        return None;
    }
    let ignore = export_ignore_value(attributes)?;
    let directory_only = pattern.ends_with(b"/");
    let pattern = pattern.strip_suffix(b"/").unwrap_or(&pattern);
    let name_only = !pattern.contains(&b'/');
    let anchored = pattern.strip_prefix(b"/").unwrap_or(pattern);
    Some(Rule { base, pattern: Wildmatch::new(anchored), name_only, directory_only, ignore })
}

/// The pattern, unquoted, and what follows it.
fn split_pattern(line: &[u8]) -> (Vec<u8>, &[u8]) {
    if let Some(quoted) = line.strip_prefix(b"\"")
        && let Some(found) = unquote(quoted)
    {
        return found;
    }
    let end = line.iter().position(|byte| BLANK.contains(byte)).unwrap_or(line.len());
    (line[..end].to_vec(), &line[end..])
}

/// Reads a C-style quoted string after its opening quote.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            b'"' => return Some((out, &text[at..])),
            b'\\' => {
                let escape = *text.get(at)?;
                at += 1;
                out.push(match escape {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'\\' | b'"' => escape,
                    b'0'..=b'3' => {
                        let rest = text.get(at..at + 2)?;
                        at += 2;
                        rest.iter().try_fold(escape - b'0', |value, digit| match digit {
                            b'0'..=b'7' => Some(value << 3 | (digit - b'0')),
                            _ => None,
                        })?
                    }
                    _ => return None,
                });
            }
            _ => out.push(byte),
        }
    }
}

/// What a line's attributes say about `export-ignore`, the last one winning. One malformed
/// attribute makes git ignore the whole line.
fn export_ignore_value(attributes: &[u8]) -> Option<bool> {
    let mut value = None;
    for word in attributes.split(|byte| BLANK.contains(byte)).filter(|word| !word.is_empty()) {
        let (name, assigned) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], true),
            None => (word, false),
        };
        let (name, negated) = match name.split_first() {
            Some((b'-' | b'!', rest)) => (rest, true),
            _ => (name, false),
        };
        let valid = !name.is_empty()
            && !name.starts_with(b"-")
            && !name.starts_with(b"builtin_")
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        if !valid {
            return None;
        }
        if name == b"export-ignore" {
            // `export-ignore=anything` is not "set", and git archive asks for "set".
            value = Some(!negated && !assigned);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        let mut attributes = Attributes::new();
        attributes.add_file("", rules.as_bytes()).expect("few rules");
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        attributes.export_ignore(path.as_bytes(), is_dir)
    }

    #[test]
    fn patterns_are_anchored_as_git_anchors_them() {
        assert!(ignored("tests export-ignore", "tests/"));
        assert!(ignored("tests export-ignore", "src/tests/"));
        assert!(ignored("/tests export-ignore", "tests/"));
        assert!(!ignored("/tests export-ignore", "src/tests/"));
        assert!(ignored("src/tests export-ignore", "src/tests/"));
        assert!(!ignored("src/tests export-ignore", "lib/src/tests/"));
        assert!(ignored("*.dist export-ignore", "a/phpunit.xml.dist"));
        assert!(ignored("/docs/** export-ignore", "docs/a/b.md"));
        assert!(!ignored("/docs/** export-ignore", "docs/"));
    }

    #[test]
    fn a_trailing_slash_means_directories() {
        assert!(ignored("/tests/ export-ignore", "tests/"));
        assert!(!ignored("/tests/ export-ignore", "tests"));
        assert!(ignored("tests/ export-ignore", "a/tests/"));
    }

    #[test]
    fn the_last_word_wins() {
        assert!(!ignored("*.md export-ignore\nREADME.md -export-ignore", "README.md"));
        assert!(!ignored("*.md export-ignore\nREADME.md !export-ignore", "README.md"));
        assert!(!ignored("*.md export-ignore\nREADME.md export-ignore=yes", "README.md"));
        assert!(ignored("*.md -export-ignore export-ignore", "README.md"));
        assert!(ignored("README.md -export-ignore\n*.md text export-ignore", "README.md"));
        assert!(ignored("*.md export-ignore\nREADME.md text", "README.md"));
    }

    #[test]
    fn lines_that_git_ignores_are_ignored() {
        for line in [
            "# *.md export-ignore",
            "!a.md export-ignore",
            "[attr]a.md export-ignore",
            "a.md b@d export-ignore",
            "a.md -- export-ignore",
            "",
            "   ",
            "a.md",
        ] {
            assert!(!ignored(line, "a.md"), "{line}");
        }
        let long = format!("a.md {} export-ignore", "x ".repeat(MAX_LINE / 2));
        assert!(!ignored(&long, "a.md"));
    }

    #[test]
    fn quotes_bom_and_line_ends_are_read() {
        assert!(ignored("\"a b.md\" export-ignore", "a b.md"));
        assert!(ignored("\"caf\\303\\251\" export-ignore", "café"));
        assert!(ignored("\"t\\tx\" export-ignore", "t\tx"));
        assert!(!ignored("\"a export-ignore", "a"));
        assert!(ignored("\u{feff}a export-ignore\r\nb export-ignore\r\n", "a"));
        assert!(ignored("a export-ignore\r\nb export-ignore\r\n", "b"));
        assert!(ignored("\t a\texport-ignore", "a"));
    }

    #[test]
    fn deeper_files_win_until_they_are_left() {
        let mut attributes = Attributes::new();
        attributes.add_file("", b"*.md export-ignore").expect("few");
        let mark = attributes.len();
        attributes.add_file("src", b"/a.md -export-ignore\n/x export-ignore").expect("few");
        assert!(!attributes.export_ignore(b"src/a.md", false));
        assert!(attributes.export_ignore(b"src/b.md", false));
        assert!(attributes.export_ignore(b"src/x", true));
        attributes.truncate(mark);
        assert!(attributes.export_ignore(b"lib/a.md", false));
        assert!(!attributes.is_empty());
    }

    #[test]
    fn the_number_of_rules_is_bounded() {
        let mut attributes = Attributes::new();
        let most = "a export-ignore\n".repeat(ATTRIBUTE_RULES);
        assert_eq!(attributes.add_file("", most.as_bytes()), Ok(()));
        assert_eq!(attributes.add_file("", b"a export-ignore"), Err(TooManyRules));
    }
}
