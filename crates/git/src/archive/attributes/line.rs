//! One line of `.gitattributes`: a pattern or the name of a macro, and what it says of attributes (gitattributes(5)).

/// Longest line that git reads, in bytes.
pub(super) const MAX_LINE: usize = 2048;
const BLANK: &[u8] = b" \t\r\n";
const MACRO_PREFIX: &[u8] = b"[attr]";

/// A line that git does not ignore.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) subject: Subject,
    /// In the order of the line.
    pub(super) assignments: Vec<Named<'a>>,
}

/// What a line is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The paths that match a pattern, which is unquoted.
    Pattern(Vec<u8>),
    /// The macro that it defines.
    Macro(Vec<u8>),
}

/// One attribute and its state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) name: &'a [u8],
    pub(super) state: State,
}

/// The states of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// `text`
    Set,
    /// `-text`
    Unset,
    /// `!text`: as if no line had named it.
    Unspecified,
    /// `text=auto`
    Value(Vec<u8>),
}

impl<'a> Line<'a> {
    /// Reads a line; nothing if git ignores it.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
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
        let (subject, rest) = split_subject(line);
        let subject = match subject.strip_prefix(MACRO_PREFIX) {
            Some(name) if !name.is_empty() => {
                let name = name.trim_ascii_start();
                let name = &name[..name.iter().position(|byte| BLANK.contains(byte)).unwrap_or(name.len())];
                Subject::Macro(is_valid_name(name).then(|| name.to_vec())?)
            }
            // Patterns that start with `!` are forbidden in attribute files.
            _ if subject.starts_with(b"!") => return None,
            _ => Subject::Pattern(subject),
        };
        Some(Self { subject, assignments: assignments(rest)? })
    }
}

/// The pattern, unquoted, and what follows it.
fn split_subject(line: &[u8]) -> (Vec<u8>, &[u8]) {
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

/// What a line says of attributes. One malformed attribute makes git ignore the whole line.
fn assignments(text: &[u8]) -> Option<Vec<Named<'_>>> {
    text.split(|byte| BLANK.contains(byte)).filter(|word| !word.is_empty()).map(assignment).collect()
}

fn assignment(word: &[u8]) -> Option<Named<'_>> {
    let (name, value) = match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    };
    let (name, state) = match (name.split_first(), value) {
        (Some((b'-', rest)), _) => (rest, State::Unset),
        (Some((b'!', rest)), _) => (rest, State::Unspecified),
        (_, Some(value)) => (name, State::Value(value.to_vec())),
        (_, None) => (name, State::Set),
    };
    is_valid_name(name).then_some(Named { name, state })
}

fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && !name.starts_with(b"-")
        && !name.starts_with(b"builtin_")
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(line: &str) -> Option<Vec<u8>> {
        match Line::parse(line.as_bytes())?.subject {
            Subject::Pattern(pattern) => Some(pattern),
            Subject::Macro(_) => None,
        }
    }

    #[test]
    fn lines_that_git_ignores_are_ignored() {
        for line in ["# *.md a", "!a.md a", "a.md b@d a", "a.md -- a", "", "   ", "[attr]-x a", "[attr]builtin_x a"] {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line}");
        }
        let long = format!("a.md {} a", "x ".repeat(MAX_LINE / 2));
        assert_eq!(Line::parse(long.as_bytes()), None);
    }

    #[test]
    fn patterns_are_unquoted() {
        assert_eq!(pattern("\"a b.md\" x"), Some(b"a b.md".to_vec()));
        assert_eq!(pattern("\"caf\\303\\251\" x"), Some("café".into()));
        assert_eq!(pattern("\"t\\tx\" x"), Some(b"t\tx".to_vec()));
        assert_eq!(pattern("\"a x"), Some(b"\"a".to_vec()));
        assert_eq!(pattern("\t a\tx\r"), Some(b"a".to_vec()));
        assert_eq!(pattern("[attr] x"), Some(b"[attr]".to_vec()), "too short for a macro");
    }

    #[test]
    fn every_state_is_read() {
        let line = Line::parse(b"[attr]m a -b !c d=e f=").expect("read");
        assert_eq!(line.subject, Subject::Macro(b"m".to_vec()));
        let states: Vec<(&[u8], State)> =
            line.assignments.into_iter().map(|Named { name, state }| (name, state)).collect();
        let value = |text: &str| State::Value(text.into());
        assert_eq!(
            states,
            [
                (&b"a"[..], State::Set),
                (b"b", State::Unset),
                (b"c", State::Unspecified),
                (b"d", value("e")),
                (b"f", value(""))
            ]
        );
    }
}
