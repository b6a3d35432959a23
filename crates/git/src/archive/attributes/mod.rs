//! `.gitattributes`, as far as `git archive` asks for them (gitattributes(5)): what it leaves out, and how the bytes of a
//! file become those of a working copy.
//!
//! Later lines win over earlier ones, and files in deeper directories over those above. Macros (`[attr]…`) are those of
//! the repository's top-level file, and git's own `binary`. Unlike what gitattributes(5) says of patterns with a trailing
//! slash, they do match here, as they do for `git archive`: it asks about a directory with a slash at its end.

mod line;

use std::collections::HashMap;

use self::line::{Line, Named, State, Subject};
use crate::archive::conversion::{Conversion, EndOfLine};
use crate::archive::wildmatch::Wildmatch;
use crate::archive::work::{ArchiveWork, WorkSpent};
use crate::limits::{ATTRIBUTE_RULE_BYTES, ATTRIBUTE_RULES};

/// The rules in force at one place of a walk through a tree.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// The last that matches decides.
    rules: Vec<Rule>,
    /// What the macros stand for. Their [`AttributeId`]s follow the ones of [`KNOWN`].
    macros: Vec<Macro>,
    /// The place of each macro.
    macro_names: HashMap<Vec<u8>, usize>,
    /// What the macros hold, in the measure of [`ATTRIBUTE_RULE_BYTES`].
    macro_bytes: usize,
}

/// More rules than are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyRules {
    /// More than [`ATTRIBUTE_RULES`].
    #[error("there are more than {ATTRIBUTE_RULES} rules in .gitattributes")]
    Number,
    /// More than [`ATTRIBUTE_RULE_BYTES`].
    #[error("the rules in .gitattributes are longer than {ATTRIBUTE_RULE_BYTES} bytes together")]
    Bytes,
}

/// What an archive does with a path.
pub(crate) struct PathAttributes {
    /// It leaves it out.
    pub(crate) export_ignore: bool,
    /// How the bytes of the file become those of a working copy; `None` when they are the same.
    pub(crate) conversion: Option<Box<Conversion>>,
}

/// The attributes that `git archive` asks for, besides macros: their place here is their [`AttributeId`].
const KNOWN: [&[u8]; 8] =
    [b"export-ignore", b"export-subst", b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding", b"filter"];
const EXPORT_IGNORE: AttributeId = AttributeId(0);
const EXPORT_SUBST: AttributeId = AttributeId(1);
const TEXT: AttributeId = AttributeId(2);
const CRLF: AttributeId = AttributeId(3);
const EOL: AttributeId = AttributeId(4);
const IDENT: AttributeId = AttributeId(5);
const WORKING_TREE_ENCODING: AttributeId = AttributeId(6);
const FILTER: AttributeId = AttributeId(7);

/// An attribute that somebody asks for, or a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AttributeId(usize);

#[derive(Debug, Clone)]
struct Macro {
    assignments: Vec<Assignment>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Length of the directory that the file is in, with its slash; what is before it in a path
    /// is known to be that directory.
    base: usize,
    pattern: Wildmatch,
    /// The pattern has no slash, so it is matched with the last name only.
    name_only: bool,
    directory_only: bool,
    assignments: Vec<Assignment>,
    /// What this rule and those before it hold, in the measure of [`ATTRIBUTE_RULE_BYTES`].
    bytes_so_far: usize,
}

#[derive(Debug, Clone)]
struct Assignment {
    attribute: AttributeId,
    state: State,
}

impl Default for Attributes {
    fn default() -> Self {
        let binary = Macro { assignments: vec![Assignment { attribute: TEXT, state: State::Unset }] };
        let macro_names = HashMap::from([(b"binary".to_vec(), 0)]);
        Self { rules: Vec::new(), macros: vec![binary], macro_names, macro_bytes: 0 }
    }
}

impl Attributes {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the rules of the `.gitattributes` in `directory` (from the repository's root, without a slash at its end;
    /// empty for the root itself, which is to be added first). Until [`truncate`](Self::truncate), ask about paths in
    /// there only.
    pub fn add_file(&mut self, directory: impl AsRef<[u8]>, content: &[u8]) -> Result<(), TooManyRules> {
        let directory = directory.as_ref();
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let lines = || content.split(|byte| *byte == b'\n').filter_map(Line::parse);
        if directory.is_empty() {
            self.define_macros(lines())?;
        }
        let base = if directory.is_empty() { 0 } else { directory.len() + 1 };
        for line in lines() {
            let Subject::Pattern(pattern) = line.subject else { continue };
            let assignments = self.assignments(&line.assignments);
            if assignments.is_empty() {
                continue;
            }
            if self.rules.len() >= ATTRIBUTE_RULES {
                return Err(TooManyRules::Number);
            }
            let before = self.rules.last().map_or(self.macro_bytes, |rule| rule.bytes_so_far);
            let bytes_so_far = within_bytes(before + pattern.len() + bytes_of(&assignments))?;
            self.rules.push(Rule::new(base, &pattern, assignments, bytes_so_far));
        }
        Ok(())
    }

    /// Defines the macros of the top-level file. They may use each other in any order, so all names come first.
    fn define_macros<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) -> Result<(), TooManyRules> {
        let mut defined = Vec::new();
        for line in lines {
            let Subject::Macro(name) = line.subject else { continue };
            // Git's own attributes are never taken for macros.
            if self.id_of(&name).is_none() {
                if self.macros.len() >= ATTRIBUTE_RULES {
                    return Err(TooManyRules::Number);
                }
                self.macro_bytes = within_bytes(self.macro_bytes + name.len())?;
                self.macro_names.insert(name.clone(), self.macros.len());
                self.macros.push(Macro { assignments: Vec::new() });
            }
            defined.push((name, line.assignments));
        }
        for (name, named) in defined {
            let assignments = self.assignments(&named);
            if let Some(at) = self.macro_names.get(&name) {
                self.macro_bytes = within_bytes(self.macro_bytes + bytes_of(&assignments))?;
                self.macros[*at].assignments = assignments;
            }
        }
        Ok(())
    }

    fn id_of(&self, name: &[u8]) -> Option<AttributeId> {
        let known = KNOWN.iter().position(|known| *known == name);
        let id = known.or_else(|| Some(KNOWN.len() + self.macro_names.get(name)?));
        id.map(AttributeId)
    }

    /// The assignments of attributes that anybody asks for.
    fn assignments(&self, named: &[Named<'_>]) -> Vec<Assignment> {
        let known =
            |named: &Named<'_>| Some(Assignment { attribute: self.id_of(named.name)?, state: named.state.clone() });
        named.iter().filter_map(known).collect()
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
    ///
    /// # Errors
    /// When that takes more than what is left of `work`.
    pub fn export_ignore(&self, path: &[u8], is_dir: bool, work: &mut ArchiveWork) -> Result<bool, WorkSpent> {
        Ok(self.of(path, is_dir, work)?.export_ignore)
    }

    /// All that the rules say of `path`.
    pub(crate) fn of(&self, path: &[u8], is_dir: bool, work: &mut ArchiveWork) -> Result<PathAttributes, WorkSpent> {
        let states = self.states(path, is_dir, work)?;
        let conversion = Conversion {
            end_of_line: states.end_of_line(),
            ident: states.is_set(IDENT),
            encoding: states.value(WORKING_TREE_ENCODING).map(<[u8]>::to_vec),
            export_subst: states.is_set(EXPORT_SUBST),
            is_lfs: states.value(FILTER) == Some(b"lfs"),
        };
        let conversion = (conversion != Conversion::default()).then(|| Box::new(conversion));
        Ok(PathAttributes { export_ignore: states.is_set(EXPORT_IGNORE), conversion })
    }

    fn states(&self, path: &[u8], is_dir: bool, work: &mut ArchiveWork) -> Result<States<'_>, WorkSpent> {
        let known = KNOWN.len() + self.macros.len();
        work.spend(known + path.len())?;
        let mut states = States { of: vec![None; known] };
        for rule in self.rules.iter().rev() {
            if rule.applies(path, is_dir, work)? {
                self.fill(&mut states, &rule.assignments, work)?;
            }
        }
        Ok(states)
    }

    /// Takes over what is not known yet; a macro that becomes set brings what it stands for.
    fn fill<'s>(
        &'s self,
        states: &mut States<'s>,
        assignments: &'s [Assignment],
        work: &mut ArchiveWork,
    ) -> Result<(), WorkSpent> {
        work.spend(assignments.len())?;
        for Assignment { attribute, state } in assignments.iter().rev() {
            if states.of[attribute.0].is_some() {
                continue;
            }
            states.of[attribute.0] = Some(state);
            let stands_for = attribute.0.checked_sub(KNOWN.len()).and_then(|at| self.macros.get(at));
            if let (State::Set, Some(Macro { assignments, .. })) = (state, stands_for) {
                self.fill(states, assignments, work)?;
            }
        }
        Ok(())
    }
}

/// What the rules say of one path, by [`AttributeId`].
struct States<'a> {
    of: Vec<Option<&'a State>>,
}

impl States<'_> {
    fn is_set(&self, attribute: AttributeId) -> bool {
        self.of[attribute.0] == Some(&State::Set)
    }

    fn value(&self, attribute: AttributeId) -> Option<&[u8]> {
        match self.of[attribute.0] {
            Some(State::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether lines are to end in CR LF. Git has three more answers, which leave a file as it is in the repository
    /// where `core.eol` and `core.autocrlf` are not set.
    fn end_of_line(&self) -> EndOfLine {
        let text = self.text(TEXT).or_else(|| self.text(CRLF));
        match (text, self.value(EOL)) {
            (Some(Text::Never), _) => EndOfLine::AsStored,
            (Some(Text::Auto), Some(b"crlf")) => EndOfLine::CrLfIfText,
            (_, Some(b"crlf")) => EndOfLine::CrLf,
            _ => EndOfLine::AsStored,
        }
    }

    /// What `text`, or its old name `crlf`, says.
    fn text(&self, attribute: AttributeId) -> Option<Text> {
        match self.of[attribute.0]? {
            State::Set => Some(Text::Always),
            State::Unset => Some(Text::Never),
            State::Value(value) if value == b"input" => Some(Text::Always),
            State::Value(value) if value == b"auto" => Some(Text::Auto),
            State::Value(_) | State::Unspecified => None,
        }
    }
}

/// Whether a file is text.
enum Text {
    Always,
    Never,
    /// Its content tells.
    Auto,
}

impl Rule {
    fn new(base: usize, pattern: &[u8], assignments: Vec<Assignment>, bytes_so_far: usize) -> Self {
        let directory_only = pattern.ends_with(b"/");
        let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
        let name_only = !pattern.contains(&b'/');
        let anchored = pattern.strip_prefix(b"/").unwrap_or(pattern);
        Self { base, pattern: Wildmatch::new(anchored), name_only, directory_only, assignments, bytes_so_far }
    }

    fn applies(&self, path: &[u8], is_dir: bool, work: &mut ArchiveWork) -> Result<bool, WorkSpent> {
        if self.directory_only && !is_dir {
            work.spend(1)?;
            return Ok(false);
        }
        let below = path.get(self.base..).unwrap_or_default();
        let text = if self.name_only { below.rsplit(|byte| *byte == b'/').next().unwrap_or_default() } else { below };
        self.pattern.matches(text, work)
    }
}

/// What attributes hold, in the measure of [`ATTRIBUTE_RULE_BYTES`]: one each, and their values.
fn bytes_of(assignments: &[Assignment]) -> usize {
    let value = |assignment: &Assignment| match &assignment.state {
        State::Value(value) => value.len(),
        State::Set | State::Unset | State::Unspecified => 0,
    };
    assignments.iter().map(|assignment| 1 + value(assignment)).sum()
}

fn within_bytes(bytes: usize) -> Result<usize, TooManyRules> {
    if bytes > ATTRIBUTE_RULE_BYTES { Err(TooManyRules::Bytes) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rules: &str) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.add_file("", rules.as_bytes()).expect("few rules");
        attributes
    }

    fn left_out(attributes: &Attributes, path: &[u8], is_dir: bool) -> bool {
        attributes.export_ignore(path, is_dir, &mut ArchiveWork::new(u64::MAX)).expect("enough work")
    }

    fn ignored(rules: &str, path: &str) -> bool {
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        left_out(&of(rules), path.as_bytes(), is_dir)
    }

    fn conversion(rules: &str) -> Conversion {
        let found = of(rules).of(b"a.txt", false, &mut ArchiveWork::new(u64::MAX)).expect("enough work");
        *found.conversion.unwrap_or_default()
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
    fn quotes_bom_and_line_ends_are_read() {
        assert!(ignored("\"a b.md\" export-ignore", "a b.md"));
        assert!(!ignored("\"a export-ignore", "a"));
        assert!(ignored("\u{feff}a export-ignore\r\nb export-ignore\r\n", "a"));
        assert!(ignored("a export-ignore\r\nb export-ignore\r\n", "b"));
    }

    #[test]
    fn macros_of_the_top_level_file_stand_for_what_they_define() {
        assert!(ignored("[attr]dev export-ignore\n/tests dev", "tests/"));
        assert!(ignored("/tests dev\n[attr]dev export-ignore", "tests/"), "the order does not matter");
        assert!(!ignored("[attr]dev export-ignore\n/tests dev\n/tests -export-ignore", "tests/"));
        assert!(!ignored("[attr]dev export-ignore\n/tests -dev", "tests/"), "only a macro that is set is expanded");
        assert!(!ignored("[attr]dev export-ignore\n/tests dev=1", "tests/"));
        assert!(!ignored("[attr]dev export-ignore\n/tests dev -export-ignore", "tests/"));
        assert!(ignored("[attr]one two\n[attr]two one export-ignore\n/tests one", "tests/"), "macros of macros");
        assert!(!ignored("[attr]dev export-ignore\n[attr]dev text\n/tests dev", "tests/"), "the last one wins");
        let mut attributes = of("[attr]dev export-ignore");
        attributes.add_file("src", b"[attr]own export-ignore\n/a own\n/b dev").expect("few rules");
        assert!(!left_out(&attributes, b"src/a", false), "a deeper file defines none");
        assert!(left_out(&attributes, b"src/b", false), "but uses them");
    }

    #[test]
    fn lines_end_in_crlf_only_where_git_is_told_so() {
        for (rules, expected) in [
            ("", EndOfLine::AsStored),
            ("* text", EndOfLine::AsStored),
            ("* text=auto", EndOfLine::AsStored),
            ("* text eol=lf", EndOfLine::AsStored),
            ("* eol=crlf", EndOfLine::CrLf),
            ("* text eol=crlf", EndOfLine::CrLf),
            ("* text=input eol=crlf", EndOfLine::CrLf),
            ("* text=odd eol=crlf", EndOfLine::CrLf),
            ("* text=auto eol=crlf", EndOfLine::CrLfIfText),
            ("* crlf=auto eol=crlf", EndOfLine::CrLfIfText),
            ("* -text eol=crlf", EndOfLine::AsStored),
            ("* eol=crlf -crlf", EndOfLine::AsStored),
            ("* eol=crlf binary", EndOfLine::AsStored),
            ("* !text eol=crlf -crlf", EndOfLine::AsStored),
            ("* text -crlf eol=crlf", EndOfLine::CrLf),
            ("* eol=crlf\n*.txt eol=lf", EndOfLine::AsStored),
        ] {
            assert_eq!(conversion(rules).end_of_line, expected, "{rules}");
        }
    }

    #[test]
    fn other_conversions_are_read() {
        let all = conversion("* ident export-subst working-tree-encoding=UTF-16 filter=lfs diff=lfs");
        assert!(all.ident && all.export_subst && all.is_lfs);
        assert_eq!(all.encoding.as_deref(), Some(&b"UTF-16"[..]));
        let none = conversion("* -ident export-subst=1 working-tree-encoding filter");
        assert_eq!(none, Conversion::default());
    }

    #[test]
    fn deeper_files_win_until_they_are_left() {
        let mut attributes = of("*.md export-ignore");
        let mark = attributes.len();
        attributes.add_file("src", b"/a.md -export-ignore\n/x export-ignore").expect("few");
        assert!(!left_out(&attributes, b"src/a.md", false));
        assert!(left_out(&attributes, b"src/b.md", false));
        assert!(left_out(&attributes, b"src/x", true));
        attributes.truncate(mark);
        assert!(left_out(&attributes, b"lib/a.md", false));
        assert!(!attributes.is_empty());
    }

    #[test]
    fn the_number_of_rules_is_bounded() {
        let mut attributes = Attributes::new();
        let most = "a export-ignore\nb linguist-vendored\n".repeat(ATTRIBUTE_RULES);
        assert_eq!(attributes.add_file("", most.as_bytes()), Ok(()));
        assert_eq!(attributes.add_file("a", b"a export-ignore"), Err(TooManyRules::Number));
        let macros: Vec<String> = (0..=ATTRIBUTE_RULES).map(|number| format!("[attr]m{number} text\n")).collect();
        assert_eq!(Attributes::new().add_file("", macros.concat().as_bytes()), Err(TooManyRules::Number));
    }
    #[test]
    fn the_length_of_all_rules_together_is_bounded() {
        let long = format!("{} export-ignore\n", "[a]".repeat(600));
        let mut attributes = Attributes::new();
        assert_eq!(attributes.add_file("", long.repeat(100).as_bytes()), Ok(()));
        let mark = attributes.len();
        assert_eq!(attributes.add_file("a", long.repeat(100).as_bytes()), Err(TooManyRules::Bytes));
        attributes.truncate(mark);
        assert_eq!(attributes.add_file("b", long.repeat(40).as_bytes()), Ok(()), "those of `a` are forgotten");
        let value = format!("a text={}\n", "x".repeat(1900));
        assert_eq!(Attributes::new().add_file("", value.repeat(200).as_bytes()), Err(TooManyRules::Bytes));
        let macros: Vec<String> = (0..900).map(|number| format!("[attr]m{number} {}\n", "text ".repeat(380))).collect();
        assert_eq!(Attributes::new().add_file("", macros.concat().as_bytes()), Err(TooManyRules::Bytes));
    }

    #[test]
    fn macros_that_use_each_other_are_work_too() {
        let macros: Vec<String> = (0..900).map(|number| format!("[attr]m{number} m{}\n", number + 1)).collect();
        let attributes = of(&(macros.concat() + "* m0"));
        let mut work = ArchiveWork::new(u64::MAX);
        assert_eq!(attributes.export_ignore(b"a", false, &mut work), Ok(false));
        assert!(work.spent() > 1800, "{work:?}");
    }
}
