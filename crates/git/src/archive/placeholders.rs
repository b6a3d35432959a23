//! `export-subst`: `$Format:…$` in a file becomes what it says of the commit (gitattributes(5), the placeholders of
//! git-log(1)), byte for byte as with `git archive`. So that the same commit gives the same bytes for ever, what depends
//! on more than the commit is told apart:
//!
//! * `%h`, `%t` and `%p` have [`ABBREVIATED`] digits, as in a small repository; git takes more where there are many objects;
//! * `%d` and `%D` name the tag that the archive is made for, and nothing else: branches move on;
//! * `%aN`, `%aE` and their kin are as written, because nobody reads `.mailmap`;
//! * relative dates, `%(describe)`, `%(trailers)`, signatures, wrapping and padding stay as they are, with a remark.

use crate::archive::remarks::RemarkKind;
use crate::archive::signature::Signature;
use crate::object::{Commit, ObjectId};

const OPENING: &[u8] = b"$Format:";
/// Digits of an abbreviated id.
const ABBREVIATED: usize = 7;

/// A commit, as placeholders ask for it.
#[derive(Debug)]
pub(crate) struct CommitText {
    id: ObjectId,
    commit: Commit,
    /// The object's content.
    raw: Vec<u8>,
    /// The tag that the archive is made for.
    tag: Option<String>,
}

/// How an item's own text decides about a line break or a blank before it.
#[derive(Clone, Copy)]
enum Glue {
    /// `%-`: no line breaks before nothing.
    DropLineBreaks,
    /// `%+`: a line break before something.
    LineBreak,
    /// `% `: a blank before something.
    Blank,
}

/// What there is in place of a placeholder.
enum Item {
    /// As many bytes of the format are used up.
    Expanded(usize),
    /// Git expands it, and we do not.
    Unsupported,
    /// Git does not know it either.
    Unknown,
}

impl CommitText {
    /// `raw` is the content of the commit `id`.
    pub(crate) fn new(id: ObjectId, commit: Commit, raw: Vec<u8>, tag: Option<&str>) -> Self {
        Self { id, commit, raw, tag: tag.map(str::to_owned) }
    }

    /// The content with every `$Format:…$` expanded, if there is any.
    pub(crate) fn substitute(&self, content: &[u8], remark: &mut dyn FnMut(RemarkKind)) -> Option<Vec<u8>> {
        let mut expanded = None;
        let mut rest = content;
        while let Some(start) = find(rest, OPENING) {
            let format = &rest[start + OPENING.len()..];
            let Some(end) = format.iter().position(|byte| *byte == b'$') else { break };
            let out = expanded.get_or_insert_with(Vec::new);
            out.extend_from_slice(&rest[..start]);
            self.expand(&format[..end], out, remark);
            rest = &format[end + 1..];
        }
        let mut out: Vec<u8> = expanded?;
        out.extend_from_slice(rest);
        Some(out)
    }

    fn expand(&self, format: &[u8], out: &mut Vec<u8>, remark: &mut dyn FnMut(RemarkKind)) {
        // git reads C strings.
        let mut rest = format.split(|byte| *byte == 0).next().unwrap_or_default();
        while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            match self.glued(rest, out) {
                _ if rest.starts_with(b"%") => {
                    out.push(b'%');
                    rest = &rest[1..];
                }
                Item::Expanded(used) => rest = &rest[used..],
                other => {
                    if matches!(other, Item::Unsupported) {
                        let shown = format!("%{}", String::from_utf8_lossy(&rest[..rest.len().min(20)]));
                        remark(RemarkKind::PlaceholderKept { placeholder: shown });
                    }
                    out.push(b'%');
                }
            }
        }
        out.extend_from_slice(rest);
    }

    fn glued(&self, format: &[u8], out: &mut Vec<u8>) -> Item {
        let glue = match format.first() {
            Some(b'-') => Glue::DropLineBreaks,
            Some(b'+') => Glue::LineBreak,
            Some(b' ') => Glue::Blank,
            _ => return self.item(format, out),
        };
        let before = out.len();
        let item = self.item(&format[1..], out);
        match glue {
            Glue::DropLineBreaks if out.len() == before => {
                let end = out.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 1);
                out.truncate(end);
            }
            Glue::LineBreak if out.len() > before => out.insert(before, b'\n'),
            Glue::Blank if out.len() > before => out.insert(before, b' '),
            _ => {}
        }
        match item {
            Item::Expanded(used) => Item::Expanded(used + 1),
            other => other,
        }
    }

    /// Expands the placeholder at the start of `format`, which has lost its `%`.
    fn item(&self, format: &[u8], out: &mut Vec<u8>) -> Item {
        let second = format.get(1).copied();
        let Some(first) = format.first() else { return Item::Unknown };
        match (first, second) {
            (b'a', Some(part)) => return self.person(b"author ", part, out),
            (b'c', Some(part)) => return self.person(b"committer ", part, out),
            (b'C', _) => return color(format),
            (b'g', Some(b'd' | b'D' | b's' | b'n' | b'N' | b'e' | b'E')) => return Item::Expanded(2),
            (b'x', _) => {
                let digits = format.get(1..3).and_then(|digits| hex::decode(digits).ok());
                let Some(byte) = digits else { return Item::Unknown };
                out.extend(byte);
                return Item::Expanded(3);
            }
            (b'(' | b'G' | b'<' | b'>', Some(_)) | (b'w', Some(b'(')) => return Item::Unsupported,
            (b'n', _) => out.push(b'\n'),
            // A mark of git-log(1), which stands for an ordinary commit.
            (b'm', _) => out.push(b'>'),
            (b'H', _) => out.extend_from_slice(self.id.to_hex().as_bytes()),
            (b'h', _) => out.extend_from_slice(abbreviated(&self.id).as_bytes()),
            (b'T', _) => out.extend_from_slice(self.commit.tree.to_hex().as_bytes()),
            (b't', _) => out.extend_from_slice(abbreviated(&self.commit.tree).as_bytes()),
            (b'P', _) => out.extend_from_slice(self.parents(|id| id.to_hex()).as_bytes()),
            (b'p', _) => out.extend_from_slice(self.parents(abbreviated).as_bytes()),
            (b'd', _) => out.extend_from_slice(self.decoration(" (", ")").as_bytes()),
            (b'D', _) => out.extend_from_slice(self.decoration("", "").as_bytes()),
            (b'e', _) => out.extend_from_slice(self.header(b"encoding ").unwrap_or_default()),
            (b's', _) => out.extend(self.subject()),
            (b'f', _) => out.extend(sanitized(first_line(self.split_message().0))),
            (b'b', _) => out.extend_from_slice(self.split_message().1),
            (b'B', _) => out.extend_from_slice(self.message()),
            _ => return Item::Unknown,
        }
        Item::Expanded(1)
    }

    fn person(&self, key: &[u8], part: u8, out: &mut Vec<u8>) -> Item {
        if matches!(part, b'r' | b'h') {
            return Item::Unsupported;
        }
        let signature = self.header(key).and_then(Signature::parse);
        match signature.and_then(|signature| signature.part(part)) {
            Some(text) => out.extend(text),
            // What a damaged line lacks is nothing, or for some reason the placeholder itself.
            None if b"netdDi".contains(&part) => {}
            None => return Item::Unknown,
        }
        Item::Expanded(2)
    }

    fn parents(&self, shown: impl Fn(&ObjectId) -> String) -> String {
        self.commit.parents.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    fn decoration(&self, before: &str, after: &str) -> String {
        self.tag.as_ref().map(|tag| format!("{before}tag: {tag}{after}")).unwrap_or_default()
    }

    /// The last header line that begins so.
    fn header(&self, key: &[u8]) -> Option<&[u8]> {
        let lines = self.raw.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
        lines.filter_map(|line| line.strip_prefix(key)).last()
    }

    /// Everything after the header.
    fn message(&self) -> &[u8] {
        find(&self.raw, b"\n\n").map_or(&[], |at| &self.raw[at + 2..])
    }

    /// From the subject on, and from the body on.
    fn split_message(&self) -> (&[u8], &[u8]) {
        let subject = skip_blank_lines(self.message());
        let mut rest = subject;
        while let Some(line) = split_line(rest) {
            rest = line.rest;
            if line.text.is_empty() {
                break;
            }
        }
        (subject, skip_blank_lines(rest))
    }

    /// The lines before the first blank one, as one.
    fn subject(&self) -> Vec<u8> {
        let mut rest = self.split_message().0;
        let mut lines = Vec::new();
        while let Some(line) = split_line(rest).filter(|line| !line.text.is_empty()) {
            rest = line.rest;
            lines.push(line.text);
        }
        lines.join(&b' ')
    }
}

/// A line without the blanks at its end, and what follows it.
struct SplitLine<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

fn split_line(text: &[u8]) -> Option<SplitLine<'_>> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    Some(SplitLine { text: text[..end].trim_ascii_end(), rest: &text[end..] })
}

fn skip_blank_lines(mut text: &[u8]) -> &[u8] {
    while let Some(line) = split_line(text).filter(|line| line.text.is_empty()) {
        text = line.rest;
    }
    text
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// A subject as a part of a file's name.
fn sanitized(subject: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut is_first, mut gap) = (true, false);
    let mut bytes = subject.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if !byte.is_ascii_alphanumeric() && !b"._".contains(&byte) {
            gap = true;
            continue;
        }
        if gap && !is_first {
            out.push(b'-');
        }
        (is_first, gap) = (false, false);
        out.push(byte);
        if byte == b'.' {
            while bytes.next_if(|next| **next == b'.').is_some() {}
        }
    }
    let end = out.iter().rposition(|byte| !b".-".contains(byte)).map_or(0, |at| at + 1);
    out.truncate(end);
    out
}

/// Colors are for terminals: what stands for one is nothing, unless it insists.
fn color(format: &[u8]) -> Item {
    let rest = &format[1..];
    if let Some(inner) = rest.strip_prefix(b"(") {
        return match inner.iter().position(|byte| *byte == b')') {
            None => Item::Unknown,
            Some(_) if inner.starts_with(b"always,") => Item::Unsupported,
            Some(end) => Item::Expanded(b"C()".len() + end),
        };
    }
    let names = [&b"red"[..], b"green", b"blue", b"reset"];
    names.iter().find(|name| rest.starts_with(name)).map_or(Item::Unknown, |name| Item::Expanded(1 + name.len()))
}

fn abbreviated(id: &ObjectId) -> String {
    let mut hex = id.to_hex();
    hex.truncate(ABBREVIATED);
    hex
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
