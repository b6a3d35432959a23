//! The content of a tree object: a directory's entries (gitformat-pack(5), git-fsck(1)).

use crate::object::{ObjectError, ObjectId};

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    /// 100644 (or the 100664 of old repositories).
    File,
    /// 100755.
    Executable,
    /// 120000.
    Symlink,
    /// 040000.
    Directory,
    /// 160000: a commit of another repository.
    Submodule,
}

impl EntryMode {
    /// Reads the octal mode. git itself looks at the kind and the owner's execute bit only.
    fn parse(digits: &[u8]) -> Option<Self> {
        if digits.is_empty() || digits.len() > 7 {
            return None;
        }
        let mut mode = 0u32;
        for digit in digits {
            mode = mode * 8 + char::from(*digit).to_digit(8)?;
        }
        match mode & 0o170_000 {
            0o100_000 if mode & 0o100 != 0 => Some(Self::Executable),
            0o100_000 => Some(Self::File),
            0o120_000 => Some(Self::Symlink),
            0o040_000 => Some(Self::Directory),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// What it is.
    pub mode: EntryMode,
    /// Its name, without NUL. Not always UTF-8, and not checked: a tree may say `..` or `.git`.
    pub name: &'a [u8],
    /// Its content.
    pub oid: ObjectId,
}

/// A directory, checked as a whole and read entry by entry: it costs no memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree<'a> {
    data: &'a [u8],
}

impl<'a> Tree<'a> {
    /// Checks every entry of a tree's content.
    pub fn parse(data: &'a [u8]) -> Result<Self, ObjectError> {
        let mut rest = data;
        while !rest.is_empty() {
            (_, rest) = split_entry(rest)?;
        }
        Ok(Self { data })
    }

    /// The entries in the tree's order.
    pub fn entries(self) -> TreeEntries<'a> {
        TreeEntries { rest: self.data }
    }

    /// The entry of that name.
    pub fn get(self, name: &[u8]) -> Option<TreeEntry<'a>> {
        self.entries().find(|entry| entry.name == name)
    }
}

/// Iterates over the entries of a [`Tree`].
#[derive(Debug, Clone)]
pub struct TreeEntries<'a> {
    rest: &'a [u8],
}

impl<'a> TreeEntries<'a> {
    /// Those in the last part of a tree's content, which was checked as a whole.
    pub(crate) fn of_checked(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Bytes that are still to be read.
    pub(crate) fn rest_len(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for TreeEntries<'a> {
    type Item = TreeEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // `Tree::parse` has read these bytes, so an error cannot occur; the end is a fair answer.
        let (entry, rest) = split_entry(self.rest).ok()?;
        self.rest = rest;
        Some(entry)
    }
}

/// `<octal mode> SP <name> NUL <20 bytes of id>`.
fn split_entry(data: &[u8]) -> Result<(TreeEntry<'_>, &[u8]), ObjectError> {
    let cut = || ObjectError::TruncatedTree;
    let space = data.iter().position(|byte| *byte == b' ').ok_or_else(cut)?;
    let (mode, rest) = (&data[..space], &data[space + 1..]);
    let nul = rest.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
    let (name, rest) = (&rest[..nul], &rest[nul + 1..]);
    let (id, rest) = rest.split_first_chunk::<{ ObjectId::BYTES }>().ok_or_else(cut)?;
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(200)].escape_ascii().to_string();
    let parsed = EntryMode::parse(mode).ok_or_else(|| ObjectError::BadMode { name: shown(name), mode: shown(mode) })?;
    Ok((TreeEntry { mode: parsed, name, oid: ObjectId::from_bytes(*id) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(mode: &str, name: &[u8]) -> Vec<u8> {
        [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()
    }

    #[test]
    fn every_mode_of_git_is_known() {
        for (mode, expected) in [
            ("100644", EntryMode::File),
            ("100664", EntryMode::File),
            ("100755", EntryMode::Executable),
            ("120000", EntryMode::Symlink),
            ("40000", EntryMode::Directory),
            ("040000", EntryMode::Directory),
            ("160000", EntryMode::Submodule),
        ] {
            let data = entry(mode, b"name");
            let tree = Tree::parse(&data).expect("well-formed");
            assert_eq!(tree.get(b"name").map(|entry| entry.mode), Some(expected), "{mode}");
        }
        for mode in ["", "0", "100648", "777777777777", "60000", "-1"] {
            let data = entry(mode, b"name");
            assert!(matches!(Tree::parse(&data), Err(ObjectError::BadMode { .. })), "{mode}");
        }
    }

    #[test]
    fn names_are_told_as_they_are() {
        for name in [&b""[..], b"..", b".git", b"a/b", b"caf\xe9"] {
            let data = [entry("100644", b"fine"), entry("100644", name)].concat();
            let names: Vec<&[u8]> =
                Tree::parse(&data).expect("well-formed").entries().map(|entry| entry.name).collect();
            assert_eq!(names, [b"fine", name]);
        }
    }

    #[test]
    fn a_tree_that_ends_inside_an_entry_is_refused() {
        let data = entry("100644", b"name");
        for end in 1..data.len() {
            assert_eq!(Tree::parse(&data[..end]), Err(ObjectError::TruncatedTree), "{end}");
        }
        assert_eq!(Tree::parse(b"").expect("empty").entries().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tree) = Tree::parse(&data) {
                prop_assert!(tree.entries().count() <= data.len() / 24);
            }
        }
    }
}
