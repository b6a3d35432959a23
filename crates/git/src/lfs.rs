//! The pointers that Git LFS keeps in a repository in place of large files (its docs/spec.md), and the file that says
//! where those are.

use crate::object::{EntryMode, ObjectId};
use crate::pack::{PackError, Packs};
use crate::tree::{TreeError, read_commit, with_tree};

/// The file at a repository's top that says where its LFS server is.
const LFS_CONFIG: &[u8] = b".lfsconfig";

/// Longest pointer, in bytes: what is longer is a file itself.
const MAX_POINTER_BYTES: usize = 1024;
const VERSION: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// What a pointer says of the file that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LfsPointer {
    /// SHA-256 of the file, lowercase hex.
    pub oid: String,
    /// Bytes of the file.
    pub size: u64,
}

impl LfsPointer {
    /// Reads a blob; nothing if it is no pointer, or is not there.
    pub fn read(packs: &Packs, blob: &ObjectId) -> Result<Option<Self>, PackError> {
        if packs.size(blob).is_none_or(|size| size >= MAX_POINTER_BYTES as u64) {
            return Ok(None);
        }
        Ok(packs.read(blob)?.and_then(|object| Self::parse(object.data())))
    }

    /// Reads the content of a blob; nothing if it is no pointer.
    pub fn parse(content: &[u8]) -> Option<Self> {
        if content.len() >= MAX_POINTER_BYTES {
            return None;
        }
        let lines = std::str::from_utf8(content.strip_prefix(VERSION)?).ok()?.lines();
        let fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(' ')).collect::<Option<_>>()?;
        let field = |wanted: &str| fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let oid = field("oid")?.strip_prefix("sha256:")?;
        let is_hash = oid.len() == 64 && oid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(Self { oid: is_hash.then(|| oid.to_owned())?, size: field("size")?.parse().ok()? })
    }
}

/// The `.lfsconfig` of a commit, whose top-level tree must be there.
pub fn find_lfs_config(packs: &Packs, commit: &ObjectId) -> Result<Option<ObjectId>, TreeError> {
    let root = read_commit(packs, commit)?.tree;
    let found = with_tree(packs, &root, |tree| tree.get(LFS_CONFIG).map(|entry| (entry.mode, entry.oid)))?;
    Ok(found.filter(|(mode, _)| matches!(mode, EntryMode::File | EntryMode::Executable)).map(|(_, oid)| oid))
}

/// The address of the LFS server that an `.lfsconfig` names: `lfs.url`, the last one if there are several.
pub fn lfs_url(config: &[u8]) -> Option<String> {
    let mut is_lfs = false;
    let mut url = None;
    for line in std::str::from_utf8(config).ok()?.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            // A subsection (`[lfs "https://host"]`) is about something else.
            is_lfs = section.split_once(']').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("lfs"));
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_lfs)
            && key.trim().eq_ignore_ascii_case("url")
        {
            url = Some(value_of(value)).filter(|value| !value.is_empty());
        }
    }
    url
}

/// A value as git reads it: without the comment behind it, and without quotes.
fn value_of(text: &str) -> String {
    let (mut value, mut is_quoted) = (String::new(), false);
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    value.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn a_pointer_is_told_from_a_file_that_looks_like_one() {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n");
        let expected = LfsPointer { oid: OID.to_owned(), size: 12_345 };
        assert_eq!(LfsPointer::parse(pointer.as_bytes()), Some(expected.clone()));
        let extended = pointer.replace("oid ", "ext-0-foo sha256:00\noid ");
        assert_eq!(LfsPointer::parse(extended.as_bytes()), Some(expected));
        for other in [
            pointer.replace("v1", "v9"),
            pointer.replace(OID, "4d7a"),
            pointer.replace("4d7a", "4D7A"),
            pointer.replace("12345", "-1"),
            pointer.replace("size 12345\n", ""),
            format!("{pointer}{}", "x".repeat(1024)),
            format!("{pointer}oneword\n"),
            String::new(),
        ] {
            assert_eq!(LfsPointer::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_address_in_an_lfsconfig_is_read_as_git_reads_it() {
        for (config, expected) in [
            ("[lfs]\n\turl = https://lfs.test/acme/lib\n", Some("https://lfs.test/acme/lib")),
            ("[LFS]\nURL=\"https://lfs.test/a b#c\" ; why\n", Some("https://lfs.test/a b#c")),
            ("[lfs]\nurl = https://one.test # first\nurl = https://two.test\n", Some("https://two.test")),
            ("[core]\nurl = https://core.test\n[lfs]\nfetchexclude = a\n", None),
            ("[lfs \"https://lfs.test\"]\nurl = https://other.test\n", None),
            ("[lfs]\nurl =\n", None),
            ("# [lfs]\n# url = https://lfs.test\n", None),
            ("", None),
        ] {
            assert_eq!(lfs_url(config.as_bytes()).as_deref(), expected, "{config}");
        }
        assert_eq!(lfs_url(b"[lfs]\nurl = https://\xff.test\n"), None);
    }
}
