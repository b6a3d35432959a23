//! git's `wildmatch`: the patterns of `.gitattributes`, matched in time proportional to
//! pattern × text whatever the pattern (git's own backtracks), which is counted as [`ArchiveWork`].
//!
//! `*` and `?` stop at `/`; `**` as a whole name spans directories; `[…]` never matches `/`.

use crate::archive::work::{ArchiveWork, WorkSpent};

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildmatch {
    tokens: Vec<Token>,
    /// How many bytes it ends with that only match themselves: most paths differ there from most patterns, which is found
    /// without going through either.
    literal_end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `[…]`: one bit for each byte.
    Class(Box<[u64; 4]>),
    /// `*`
    Star,
    /// `**`
    Everything,
    /// `**/`, first half: passes to either of the two tokens after it.
    Directories,
    /// `**/`, second half: anything, left after a `/`.
    InsideDirectories,
    /// A pattern that git gives up on (an unclosed `[`).
    Never,
}

impl Wildmatch {
    pub(crate) fn new(pattern: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        let mut seen_special = false;
        while let Some(&byte) = pattern.get(at) {
            let special = matches!(byte, b'*' | b'?' | b'[' | b'\\');
            match byte {
                b'*' => at = stars(pattern, at, !seen_special, &mut tokens),
                b'?' => {
                    tokens.push(Token::One);
                    at += 1;
                }
                b'[' => match class(pattern, at + 1) {
                    Some((set, end)) => {
                        tokens.push(Token::Class(Box::new(set)));
                        at = end;
                    }
                    None => {
                        return Self::of(vec![Token::Never]);
                    }
                },
                b'\\' => match pattern.get(at + 1) {
                    Some(&escaped) => {
                        tokens.push(Token::Byte(escaped));
                        at += 2;
                    }
                    None => {
                        return Self::of(vec![Token::Never]);
                    }
                },
                _ => {
                    tokens.push(Token::Byte(byte));
                    at += 1;
                }
            }
            seen_special |= special;
        }
        Self::of(tokens)
    }

    fn of(tokens: Vec<Token>) -> Self {
        let literal_end = tokens.iter().rev().take_while(|token| matches!(token, Token::Byte(_))).count();
        Self { tokens, literal_end }
    }

    /// Whether the whole of `text` matches: every state that the pattern can be in is tracked at
    /// once.
    pub(crate) fn matches(&self, text: &[u8], work: &mut ArchiveWork) -> Result<bool, WorkSpent> {
        if !self.ends_like(text, work)? {
            return Ok(false);
        }
        let end = self.tokens.len();
        work.spend(end + 1)?;
        let mut states = vec![false; end + 1];
        let mut next = vec![false; end + 1];
        states[0] = true;
        self.skip_empty(&mut states);
        for &byte in text {
            work.spend(end + 1)?;
            next.fill(false);
            let mut alive = false;
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| states[*at]) {
                let (stay, go) = token.take(byte);
                next[at] |= stay;
                next[at + 1] |= go;
                alive |= stay || go;
            }
            if !alive {
                return Ok(false);
            }
            self.skip_empty(&mut next);
            std::mem::swap(&mut states, &mut next);
        }
        Ok(states[end])
    }

    /// Whether `text` ends with the bytes that the pattern ends with.
    fn ends_like(&self, text: &[u8], work: &mut ArchiveWork) -> Result<bool, WorkSpent> {
        let end = self.tokens.iter().rev().take(self.literal_end);
        let is_same = |(token, byte): &(&Token, &u8)| **token == Token::Byte(**byte);
        let same = end.zip(text.iter().rev()).take_while(is_same).count();
        work.spend(same + 1)?;
        Ok(same == self.literal_end)
    }

    /// Passes tokens that may match nothing. They only lead onwards, so one pass is enough.
    fn skip_empty(&self, states: &mut [bool]) {
        for (at, token) in self.tokens.iter().enumerate() {
            if !states[at] {
                continue;
            }
            match token {
                Token::Star | Token::Everything => states[at + 1] = true,
                Token::Directories => {
                    states[at + 1] = true;
                    states[at + 2] = true;
                }
                _ => {}
            }
        }
    }
}

impl Token {
    /// After reading `byte`: may the pattern stay at this token, may it go to the next?
    fn take(&self, byte: u8) -> (bool, bool) {
        match self {
            Self::Byte(own) => (false, *own == byte),
            Self::One => (false, byte != b'/'),
            Self::Class(set) => (false, byte != b'/' && has(set, byte)),
            Self::Star => (byte != b'/', false),
            Self::Everything => (true, false),
            Self::InsideDirectories => (true, byte == b'/'),
            Self::Directories | Self::Never => (false, false),
        }
    }
}

/// Reads a run of stars and returns its end. `first` says that nothing special came before: git
/// compares such a beginning on its own and then takes the stars for the start of a pattern.
fn stars(pattern: &[u8], start: usize, first: bool, tokens: &mut Vec<Token>) -> usize {
    let run = pattern[start..].iter().take_while(|byte| **byte == b'*').count();
    let end = start + run;
    let rest = &pattern[end..];
    let opens = first || start == 0 || pattern[start - 1] == b'/';
    let closes = rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/");
    if run == 1 || !opens || !closes {
        tokens.push(Token::Star);
    } else if rest.starts_with(b"/") {
        tokens.extend([Token::Directories, Token::InsideDirectories]);
        return end + 1;
    } else {
        tokens.push(Token::Everything);
    }
    end
}

/// Reads a bracket expression after its `[`, and returns its bytes and its end.
fn class(pattern: &[u8], start: usize) -> Option<([u64; 4], usize)> {
    let mut set = [0; 4];
    let mut at = start;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut previous = None;
    loop {
        let byte = *pattern.get(at)?;
        at += 1;
        match byte {
            b']' if at - 1 > first => break,
            b'-' if previous.is_some() && !matches!(pattern.get(at), None | Some(b']')) => {
                let last = literal(pattern, &mut at)?;
                add(&mut set, |byte| previous.is_some_and(|low| low <= byte) && byte <= last);
                previous = None;
            }
            b'[' if pattern.get(at) == Some(&b':') => {
                let close = pattern[at + 1..].iter().position(|byte| *byte == b']')?;
                let inner = &pattern[at + 1..at + 1 + close];
                if let Some(name) = inner.strip_suffix(b":") {
                    let test = named_class(name)?;
                    add(&mut set, test);
                    at += close + 2;
                    previous = None;
                } else {
                    add(&mut set, |byte| byte == b'[');
                    previous = Some(b'[');
                }
            }
            _ => {
                at -= 1;
                let own = literal(pattern, &mut at)?;
                add(&mut set, |byte| byte == own);
                previous = Some(own);
            }
        }
    }
    if negated {
        set = set.map(|bits: u64| !bits);
    }
    Some((set, at))
}

/// One byte of a bracket expression, with its backslash if it has one.
fn literal(pattern: &[u8], at: &mut usize) -> Option<u8> {
    if pattern.get(*at) == Some(&b'\\') {
        *at += 1;
    }
    let byte = pattern.get(*at).copied();
    *at += 1;
    byte
}

fn named_class(name: &[u8]) -> Option<fn(u8) -> bool> {
    Some(match name {
        b"alnum" => |byte| byte.is_ascii_alphanumeric(),
        b"alpha" => |byte| byte.is_ascii_alphabetic(),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => |byte| byte.is_ascii_control(),
        b"digit" => |byte| byte.is_ascii_digit(),
        b"graph" => |byte| byte.is_ascii_graphic(),
        b"lower" => |byte| byte.is_ascii_lowercase(),
        b"print" => |byte| byte.is_ascii_graphic() || byte == b' ',
        b"punct" => |byte| byte.is_ascii_punctuation(),
        b"space" => |byte| byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => |byte| byte.is_ascii_uppercase(),
        b"xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

fn add(set: &mut [u64; 4], test: impl Fn(u8) -> bool) {
    for byte in (0..=u8::MAX).filter(|byte| test(*byte)) {
        set[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
}

fn has(set: &[u64; 4], byte: u8) -> bool {
    set[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &[u8]) -> bool {
        let result = Wildmatch::new(pattern.as_bytes()).matches(text, &mut ArchiveWork::new(u64::MAX));
        result.expect("enough work")
    }

    #[test]
    fn patterns_match_as_in_the_tests_of_git() {
        // From git's own t3070-wildmatch.sh, pathname mode.
        for (expected, text, pattern) in [
            (true, "foo", "foo"),
            (false, "foo", "bar"),
            (true, "", ""),
            (true, "foo", "???"),
            (false, "foo", "??"),
            (true, "foo", "*"),
            (true, "foo", "f*"),
            (false, "foo", "*f"),
            (true, "foobar", "*ob*a*r*"),
            (true, "aaaaaaabababab", "*ab"),
            (true, "foo*", r"foo\*"),
            (false, "foobar", r"foo\*bar"),
            (true, "ball", "*[al]?"),
            (false, "ten", "[ten]"),
            (true, "ten", "**[!te]"),
            (false, "ten", "**[!ten]"),
            (true, "ten", "t[a-g]n"),
            (false, "ten", "t[!a-g]n"),
            (true, "ton", "t[^a-g]n"),
            (true, "a]b", "a[]]b"),
            (true, "a-b", "a[]-]b"),
            (true, "]", "]"),
            (false, "foo/baz/bar", "foo*bar"),
            (false, "foo/baz/bar", "foo/*bar"),
            (false, "foo/bar", "foo?bar"),
            (false, "foo/bar", "foo[/]bar"),
            (true, "foo/baz/bar", "foo/**/bar"),
            (true, "foo/b/a/z/bar", "foo/**/**/bar"),
            (true, "foo/bar", "foo/**/bar"),
            (true, "foo", "**/foo"),
            (true, "XXX/foo", "**/foo"),
            (true, "bar/baz/foo", "**/foo"),
            (false, "bar/baz/foo", "*/foo"),
            (false, "foo/bar/baz", "**/bar*"),
            (true, "foo/bar/baz", "**/bar/*"),
            (false, "deep/foo/bar", "**/bar/*"),
            (true, "deep/foo/bar/baz/", "**/bar/**"),
            (false, "deep/foo/bar", "**/bar/**"),
            (false, "foo/bar/baz", "**/bar**"),
            (true, "foo/bar/baz/x", "*/bar/**"),
            (false, "deep/foo/bar/baz/x", "*/bar/**"),
            (true, "deep/foo/bar/baz/x", "**/bar/*/*"),
            (true, "a1B", "[[:alpha:]][[:digit:]][[:upper:]]"),
            (false, "a", "[[:digit:][:upper:][:space:]]"),
            (true, "A", "[[:digit:][:upper:][:space:]]"),
            (false, "1", "[[:digit:][:upper:][:spaci:]]"),
            (true, "5", "[a-c[:digit:]x-z]"),
            (true, "\\", r"[\\-^]"),
            (true, "[ab]", r"\[ab]"),
            (true, "]", r"[\]]"),
            (false, "ab", "a[]b"),
            (false, "a[]b", "a[]b"),
            (false, "ab[", "ab["),
            (false, "ab", "[!"),
            (false, "-", "[-"),
            (true, "-", "[-]"),
            (false, "5", "[--A]x"),
            (true, "5", "[--A]"),
            (false, "-adobe-courier-bold-o-normal--12-120-75-75-X-70-iso8859-1", "-*-*-*-*-*-*-12-*-*-*-m-*-*-*"),
            (true, "foo", "foo"),
        ] {
            assert_eq!(matches(pattern, text.as_bytes()), expected, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn a_pattern_made_to_explode_does_not() {
        let pattern = format!("{}b*", "a*".repeat(500));
        assert!(!matches(&pattern, &[b'a'; 2000]));
        let dirs = format!("{}x*", "**/".repeat(300));
        assert!(!matches(&dirs, "a/".repeat(500).as_bytes()));
    }

    #[test]
    fn matching_ends_where_the_work_ends() {
        let pattern = Wildmatch::new("*a".repeat(1000).as_bytes());
        let mut work = ArchiveWork::new(100_000);
        assert_eq!(pattern.matches(&[b'a'; 5000], &mut work), Err(WorkSpent { limit: 100_000 }));
        assert!(work.spent() > 90_000, "{work:?}");
        let mut work = ArchiveWork::new(10);
        assert_eq!(Wildmatch::new(b"*.rs").matches(b"src/main.php", &mut work), Ok(false));
        assert_eq!(work.spent(), 1, "another end costs nothing to speak of");
    }

    proptest! {
        #[test]
        fn any_pattern_is_compiled_and_matched(
            pattern in prop::collection::vec(prop::sample::select(b"ab/*?[]!^-\\:".to_vec()), 0..20),
            text in prop::collection::vec(prop::sample::select(b"ab/[]-".to_vec()), 0..20),
        ) {
            let _ = Wildmatch::new(&pattern).matches(&text, &mut ArchiveWork::new(u64::MAX));
        }
    }
}
