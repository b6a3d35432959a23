//! From the bytes of a blob to those of a file in a working copy, as `git archive` writes them: `ident`, the ends of lines,
//! `working-tree-encoding`, and then `export-subst` (gitattributes(5); git's convert.c and archive.c).

use std::borrow::Cow;

use crate::archive::encoding::Encoding;
use crate::archive::placeholders::CommitText;
use crate::archive::remarks::RemarkKind;
use crate::object::ObjectId;

/// What attributes make of one file's bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversion {
    pub(crate) end_of_line: EndOfLine,
    /// `$Id$` becomes the blob's id.
    pub(crate) ident: bool,
    /// The encoding of the working copy, as written; the blob is UTF-8.
    pub(crate) encoding: Option<Vec<u8>>,
    /// `$Format:…$` becomes what it says of the commit.
    pub(crate) export_subst: bool,
    /// Git LFS looks after the file: what is in the repository is a pointer to it.
    pub(crate) is_lfs: bool,
}

/// How the lines of a file end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum EndOfLine {
    /// As in the repository.
    #[default]
    AsStored,
    /// In CR LF.
    CrLf,
    /// In CR LF, if the content looks like text whose lines all end in LF.
    CrLfIfText,
}

impl Conversion {
    /// Whether the bytes stay what they are, whatever they are.
    pub(crate) fn keeps_bytes(&self) -> bool {
        self.end_of_line == EndOfLine::AsStored && !self.ident && self.encoding.is_none() && !self.export_subst
    }

    /// Converts the content of `blob`. What cannot be converted stays as it is, as with git, and is remarked on.
    pub(crate) fn apply<'c>(
        &self,
        content: &'c [u8],
        blob: &ObjectId,
        commit: &CommitText,
        remark: &mut dyn FnMut(RemarkKind),
    ) -> Cow<'c, [u8]> {
        let mut content = Cow::Borrowed(content);
        let replace = |changed: Option<Vec<u8>>, content: &mut Cow<'c, [u8]>| {
            if let Some(changed) = changed {
                *content = Cow::Owned(changed);
            }
        };
        if self.ident {
            replace(expand_ident(&content, blob), &mut content);
        }
        replace(self.end_of_line.convert(&content), &mut content);
        if let Some(name) = self.encoding.as_deref().filter(|_| !content.is_empty()) {
            match Encoding::parse(name).and_then(|encoding| encoding.encode(&content)) {
                Ok(encoded) => replace(encoded, &mut content),
                Err(reason) => {
                    remark(RemarkKind::NotEncoded { encoding: String::from_utf8_lossy(name).into(), reason });
                }
            }
        }
        if self.export_subst {
            replace(commit.substitute(&content, remark), &mut content);
        }
        content
    }
}

/// What a content consists of, as git counts it to tell text from binary.
#[derive(Default)]
struct Statistics {
    lone_cr: usize,
    lone_lf: usize,
    crlf: usize,
    nul: usize,
    printable: usize,
    nonprintable: usize,
}

impl Statistics {
    fn of(content: &[u8]) -> Self {
        let mut counted = Self::default();
        let mut bytes = content.iter().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\r' if bytes.next_if(|next| **next == b'\n').is_some() => counted.crlf += 1,
                b'\r' => counted.lone_cr += 1,
                b'\n' => counted.lone_lf += 1,
                0 => {
                    counted.nul += 1;
                    counted.nonprintable += 1;
                }
                // Backspace, tab, escape, form feed.
                b'\x08' | b'\t' | b'\x1b' | b'\x0c' => counted.printable += 1,
                0..=31 | 127 => counted.nonprintable += 1,
                _ => counted.printable += 1,
            }
        }
        // The end-of-file mark of DOS.
        if content.last() == Some(&b'\x1a') {
            counted.nonprintable -= 1;
        }
        counted
    }

    fn is_binary(&self) -> bool {
        self.lone_cr > 0 || self.nul > 0 || self.printable >> 7 < self.nonprintable
    }
}

impl EndOfLine {
    /// The content with other ends of lines, if they change.
    fn convert(self, content: &[u8]) -> Option<Vec<u8>> {
        if self == Self::AsStored {
            return None;
        }
        let counted = Statistics::of(content);
        if counted.lone_lf == 0 {
            return None;
        }
        if self == Self::CrLfIfText && (counted.crlf > 0 || counted.is_binary()) {
            return None;
        }
        let mut converted = Vec::with_capacity(content.len() + counted.lone_lf);
        let mut previous = None;
        for &byte in content {
            if byte == b'\n' && previous != Some(b'\r') {
                converted.push(b'\r');
            }
            converted.push(byte);
            previous = Some(byte);
        }
        Some(converted)
    }
}

/// The content with the blob's id in every `$Id$` and in every `$Id: …$` that git made of one.
fn expand_ident(content: &[u8], blob: &ObjectId) -> Option<Vec<u8>> {
    let mut expanded = None;
    let mut rest = content;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        let (before, after) = rest.split_at(dollar + 1);
        let end = ident_end(after);
        let out = expanded.get_or_insert_with(Vec::new);
        out.extend_from_slice(before);
        rest = after;
        if let Some(end) = end {
            out.extend_from_slice(format!("Id: {blob} $").as_bytes());
            rest = &after[end..];
        }
    }
    let mut out = expanded?;
    out.extend_from_slice(rest);
    Some(out)
}

/// How long the keyword after a dollar is, with the dollar at its end; nothing if it is none, or another system's.
fn ident_end(text: &[u8]) -> Option<usize> {
    let after = text.strip_prefix(b"Id")?;
    match after.first()? {
        b'$' => Some(b"Id$".len()),
        b':' => {
            let value = &after[1..];
            let end = value.iter().position(|byte| *byte == b'$')?;
            let value = &value[..end];
            // Git's own ids are one word.
            let words = value.get(1..).unwrap_or_default();
            let is_foreign = words.iter().position(|byte| *byte == b' ').is_some_and(|at| at + 1 < words.len());
            (!value.contains(&b'\n') && !is_foreign).then_some(b"Id:".len() + end + 1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: ObjectId = ObjectId::from_bytes([0xab; 20]);

    fn ident(content: &str) -> String {
        let expanded = expand_ident(content.as_bytes(), &BLOB).unwrap_or_else(|| content.into());
        String::from_utf8(expanded).expect("text").replace(&BLOB.to_string(), "<id>")
    }

    #[test]
    fn ends_of_lines_change_only_where_that_is_safe() {
        let convert = |end_of_line: EndOfLine, content: &[u8]| end_of_line.convert(content);
        assert_eq!(convert(EndOfLine::CrLf, b"a\nb\r\nc\rd"), Some(b"a\r\nb\r\nc\rd".to_vec()));
        assert_eq!(convert(EndOfLine::CrLf, b"a\0\n"), Some(b"a\0\r\n".to_vec()), "git does as it is told");
        assert_eq!(convert(EndOfLine::CrLf, b"a\r\n"), None);
        assert_eq!(convert(EndOfLine::AsStored, b"a\n"), None);
        assert_eq!(convert(EndOfLine::CrLfIfText, b"a\nb\n"), Some(b"a\r\nb\r\n".to_vec()));
        for kept in [&b"a\nb\r\n"[..], b"a\nb\rc", b"a\n\0", b"\x01\x02\n", b"\x7f\n"] {
            assert_eq!(convert(EndOfLine::CrLfIfText, kept), None, "{kept:?}");
        }
        let with_mark = [&[b'x'; 128][..], b"\n\x1a"].concat();
        assert!(convert(EndOfLine::CrLfIfText, &with_mark).is_some(), "the mark of DOS makes no binary");
    }

    #[test]
    fn only_gits_own_ids_are_expanded() {
        for (content, expected) in [
            ("$Id$", "$Id: <id> $"),
            ("a $Id$ b $Id$\n", "a $Id: <id> $ b $Id: <id> $\n"),
            ("$Id: 0123 $", "$Id: <id> $"),
            ("$Id:0123$", "$Id: <id> $"),
            ("$Id:$", "$Id: <id> $"),
            ("$Id: a.c,v 1.2 ada $", "$Id: a.c,v 1.2 ada $"),
            ("$Id: broken\n$", "$Id: broken\n$"),
            ("$Id", "$Id"),
            ("$Id: open", "$Id: open"),
            ("$Idea$ $Rev$", "$Idea$ $Rev$"),
            ("$$Id$", "$$Id: <id> $"),
            ("none", "none"),
        ] {
            assert_eq!(ident(content), expected, "{content:?}");
        }
    }
}
