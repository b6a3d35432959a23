//! The four kinds of objects, and the content of commits, trees and tags
//! (gitformat-pack(5), git-fsck(1)).

mod oid;
mod tree;

pub use oid::{InvalidObjectId, ObjectId};
pub use tree::{EntryMode, Tree, TreeEntries, TreeEntry};

use std::fmt;
use std::sync::Arc;

use sha1::{Digest, Sha1};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A directory.
    Tree,
    /// A file's content, or a symlink's target.
    Blob,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    /// The name that git uses in the object itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A hasher that has seen an object's header and awaits its content.
pub(crate) fn hasher(kind: ObjectKind, size: u64) -> Sha1 {
    let mut hasher = Sha1::new();
    hasher.update(format!("{kind} {size}\0"));
    hasher
}

/// One object, read from a pack. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    kind: ObjectKind,
    data: Arc<Vec<u8>>,
}

impl Object {
    pub(crate) fn new(kind: ObjectKind, data: Arc<Vec<u8>>) -> Self {
        Self { kind, data }
    }

    /// What it is.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Its content, without git's header.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Its content, copied only if the pack's cache still holds it.
    pub fn into_data(self) -> Vec<u8> {
        Arc::unwrap_or_clone(self.data)
    }
}

/// An object's content is not what its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// A commit without a readable `tree`, `parent`, `author` or `committer` line.
    #[error("the commit's {0} is missing or malformed")]
    BadCommit(&'static str),
    /// A tag without a readable `object` or `type` line.
    #[error("the tag's {0} is missing or malformed")]
    BadTag(&'static str),
    /// A tree that ends inside an entry.
    #[error("the tree is cut off")]
    TruncatedTree,
    /// A tree entry of a kind that git does not have.
    #[error("the tree's entry {name} has the impossible mode {mode}")]
    BadMode {
        /// The entry's name, odd bytes escaped.
        name: String,
        /// The mode as written, odd bytes escaped.
        mode: String,
    },
}

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// When something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Seconds since 1970 in UTC. 0 when the line is damaged, as git shows it.
    pub seconds: i64,
    /// Minutes east of UTC where it was signed.
    pub offset_minutes: i32,
}

/// A commit, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The root directory.
    pub tree: ObjectId,
    /// The commits before it. A shallow fetch does not bring them.
    pub parents: Vec<ObjectId>,
    /// When the change was made.
    pub authored: Timestamp,
    /// When the commit was made: the time that archives carry.
    pub committed: Timestamp,
}

impl Commit {
    /// Reads a commit's content.
    pub fn parse(data: &[u8]) -> Result<Self, ObjectError> {
        let bad = ObjectError::BadCommit;
        let mut lines = header_lines(data).peekable();
        let tree = lines.next().and_then(|line| id_after(line, b"tree ")).ok_or(bad("tree"))?;
        let mut parents = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(b"parent ")) {
            parents.push(id_after(line, b"parent ").ok_or(bad("parent"))?);
        }
        let mut timestamp =
            |key: &[u8], what| lines.find_map(|line| line.strip_prefix(key)).map(Timestamp::parse).ok_or(bad(what));
        let authored = timestamp(b"author ", "author")?;
        let committed = timestamp(b"committer ", "committer")?;
        Ok(Self { tree, parents, authored, committed })
    }
}

impl Timestamp {
    /// Reads the end of `Name <address> 1700000000 +0100`. Histories hold many damaged ones, so
    /// damage is not an error.
    fn parse(signature: &[u8]) -> Self {
        let after = signature.iter().rposition(|byte| *byte == b'>').map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&signature[after..]);
        let mut words = text.split_ascii_whitespace();
        let Some(seconds) = words.next().and_then(|word| word.parse().ok()).filter(|seconds| *seconds <= LAST_SECOND)
        else {
            return Self::default();
        };
        let zone: i32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let offset_minutes = if (-9999..=9999).contains(&zone) { zone / 100 * 60 + zone % 100 } else { 0 };
        Self { seconds, offset_minutes }
    }
}

/// An annotated tag, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What is tagged.
    pub object: ObjectId,
    /// The kind of what is tagged.
    pub kind: ObjectKind,
    /// When the tag was made; git's oldest tags do not tell.
    pub tagged: Option<Timestamp>,
}

impl Tag {
    /// Reads a tag's content.
    pub fn parse(data: &[u8]) -> Result<Self, ObjectError> {
        let bad = ObjectError::BadTag;
        let mut lines = header_lines(data);
        let object = lines.next().and_then(|line| id_after(line, b"object ")).ok_or(bad("object"))?;
        let kind = match lines.next() {
            Some(b"type commit") => ObjectKind::Commit,
            Some(b"type tree") => ObjectKind::Tree,
            Some(b"type blob") => ObjectKind::Blob,
            Some(b"type tag") => ObjectKind::Tag,
            _ => return Err(bad("type")),
        };
        let tagged = lines.find_map(|line| line.strip_prefix(b"tagger ")).map(Timestamp::parse);
        Ok(Self { object, kind, tagged })
    }
}

/// The lines before the first empty one.
fn header_lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty())
}

fn id_after(line: &[u8], key: &[u8]) -> Option<ObjectId> {
    line.strip_prefix(key).and_then(|hex| ObjectId::parse(hex).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6";

    fn commit(author: &str) -> String {
        format!(
            "tree {ID}\nparent {ID}\nparent {ID}\nauthor {author}\n\
             committer C <c@x> 1700000000 -0330\n\nmessage\ntree fake\n"
        )
    }

    #[test]
    fn a_commit_gives_its_tree_parents_and_times() {
        let parsed = Commit::parse(commit("A > B <a@x> 1600000000 +0545").as_bytes());
        let parsed = parsed.expect("well-formed");
        assert_eq!(parsed.tree.to_string(), ID);
        assert_eq!(parsed.parents.len(), 2);
        assert_eq!(parsed.authored, Timestamp { seconds: 1_600_000_000, offset_minutes: 345 });
        assert_eq!(parsed.committed, Timestamp { seconds: 1_700_000_000, offset_minutes: -210 });
    }

    #[test]
    fn a_damaged_time_is_the_epoch() {
        for author in
            ["A <a@x>", "A <a@x> x +0100", "A", "", "A <a@x> 99999999999999999999 +1", "A <a@x> 253402300800 +1"]
        {
            let parsed = Commit::parse(commit(author).as_bytes()).expect("tolerated");
            assert_eq!(parsed.authored, Timestamp::default(), "{author}");
        }
        let odd_zone = Commit::parse(commit("A <a@x> 5 +99999999").as_bytes()).expect("tolerated");
        assert_eq!(odd_zone.authored, Timestamp { seconds: 5, offset_minutes: 0 });
    }

    #[test]
    fn a_commit_without_its_lines_is_refused() {
        let whole = commit("A <a@x> 1 +0000");
        for (cut, what) in [("tree", "tree"), ("author", "author"), ("committer", "committer")] {
            let broken = whole.replacen(&format!("{cut} "), "other ", 1);
            assert_eq!(Commit::parse(broken.as_bytes()), Err(ObjectError::BadCommit(what)));
        }
        let broken = whole.replacen("parent 1", "parent x", 1);
        assert_eq!(Commit::parse(broken.as_bytes()), Err(ObjectError::BadCommit("parent")));
        assert_eq!(Commit::parse(b""), Err(ObjectError::BadCommit("tree")));
    }

    #[test]
    fn a_tag_names_its_object_and_when_it_was_made() {
        let text = format!("object {ID}\ntype commit\ntag v1\n\ntagger T <t@x> 5 +0000\n");
        let tag = Tag::parse(text.as_bytes()).expect("well-formed");
        assert_eq!((tag.object.to_string().as_str(), tag.kind, tag.tagged), (ID, ObjectKind::Commit, None));
        let dated = text.replace("tag v1\n", "tag v1\ntagger T <t@x> 1700000000 +0100\n");
        let tagged = Tag::parse(dated.as_bytes()).expect("well-formed").tagged;
        assert_eq!(tagged, Some(Timestamp { seconds: 1_700_000_000, offset_minutes: 60 }));
        assert_eq!(Tag::parse(b"type commit\n"), Err(ObjectError::BadTag("object")));
        let odd = text.replace("type commit", "type thing");
        assert_eq!(Tag::parse(odd.as_bytes()), Err(ObjectError::BadTag("type")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Commit::parse(&data);
            let _ = Tag::parse(&data);
        }
    }
}
