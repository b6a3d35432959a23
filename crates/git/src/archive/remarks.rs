//! What whoever publishes a package is to know of its archive, although there is one: what it lacks, or has otherwise than
//! a working copy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::encoding::EncodingRefusal;
use crate::limits::{ARCHIVE_REMARKS, PATH_SHOWN_BYTES};
use crate::tree::{SymlinkRefusal, UnsafeReason};

/// One remark; its text is a whole sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[error("`{path}` {kind}.")]
pub struct ArchiveRemark {
    /// Relative to the package's directory; odd characters are escaped, and a long one is cut.
    pub path: String,
    /// What is to be said of it.
    pub kind: RemarkKind,
}

/// What is to be said of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", content = "details", rename_all = "snake_case")]
pub enum RemarkKind {
    /// It is another repository, which we have not got.
    #[error("is not in the zip, because it is a submodule: another repository")]
    Submodule,
    /// It is a symlink that could lead outside the package.
    #[error("is not in the zip, because it is a symlink, and {0}")]
    Symlink(SymlinkRefusal),
    /// Unpacking it could write where it must not, or fail.
    #[error("is not in the zip, because unpacking it would not be safe: {0}")]
    Unsafe(UnsafeReason),
    /// Where case is ignored, only one of both can be there.
    #[error("and `{other}` differ in case only: on Windows and macOS one of them takes the other's place")]
    SameWhereCaseIsIgnored {
        /// The other one, shown like the path.
        other: String,
    },
    /// It is kept by Git LFS, and only the pointer is in the repository.
    #[error("is a pointer of Git LFS in the zip, not the file of {size} bytes that it stands for")]
    LfsPointer {
        /// The size of the file itself.
        size: u64,
    },
    /// It is kept by Git LFS, which was asked for it and has only the pointer.
    #[error(
        "is a pointer of Git LFS in the zip, because the LFS server does not have the file of {size} bytes that it stands for"
    )]
    LfsAbsent {
        /// The size of the file itself.
        size: u64,
    },
    /// It names an LFS server that is not asked.
    #[error("names an LFS server at another address ({server}), which is not asked: that of the repository is")]
    ForeignLfsServer {
        /// Where it is.
        server: String,
    },
    /// Its working-tree-encoding is not applied.
    #[error("is not converted to {encoding}, as working-tree-encoding in .gitattributes wants: {reason}")]
    NotEncoded {
        /// The encoding.
        encoding: String,
        /// Why not.
        reason: EncodingRefusal,
    },
    /// It is so large that it is archived as it is.
    #[error("is too large to be converted as .gitattributes wants: it has its bytes in the repository")]
    TooLargeToConvert,
    /// Something in it is not expanded.
    #[error("keeps {placeholder} in $Format:…$: it stands for more than the commit itself knows")]
    PlaceholderKept {
        /// Where it begins.
        placeholder: String,
    },
}

/// What kind of surprise it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RemarkClass {
    /// Files of the commit are not in the zip.
    LostFiles,
    /// The commit has submodules.
    Submodules,
    /// Files are pointers of Git LFS.
    LfsPointers,
    /// Paths differ in case only.
    CaseCollisions,
    /// `.gitattributes` asks for something that is not done.
    Unconverted,
}

impl RemarkKind {
    /// What kind of surprise it is.
    pub fn class(&self) -> RemarkClass {
        match self {
            Self::Symlink(_) | Self::Unsafe(_) => RemarkClass::LostFiles,
            Self::Submodule => RemarkClass::Submodules,
            Self::LfsPointer { .. } | Self::LfsAbsent { .. } | Self::ForeignLfsServer { .. } => {
                RemarkClass::LfsPointers
            }
            Self::SameWhereCaseIsIgnored { .. } => RemarkClass::CaseCollisions,
            Self::NotEncoded { .. } | Self::TooLargeToConvert | Self::PlaceholderKept { .. } => {
                RemarkClass::Unconverted
            }
        }
    }
}

/// The remarks on one archive: of each class the first few, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRemarks {
    classes: BTreeMap<RemarkClass, ClassRemarks>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ClassRemarks {
    /// In the order of the paths, at most [`ARCHIVE_REMARKS`].
    shown: Vec<ArchiveRemark>,
    total: usize,
}

impl ClassRemarks {
    /// Shows a remark, unless there are enough before it.
    fn show(&mut self, remark: ArchiveRemark) {
        let at = self.shown.partition_point(|known| *known <= remark);
        if at < ARCHIVE_REMARKS {
            self.shown.insert(at, remark);
            self.shown.truncate(ARCHIVE_REMARKS);
        }
    }
}

impl ArchiveRemarks {
    /// Adds what is to be said of a path.
    pub fn add(&mut self, path: &[u8], kind: RemarkKind) {
        let of_class = self.classes.entry(kind.class()).or_default();
        of_class.total += 1;
        of_class.show(ArchiveRemark { path: shown(path), kind });
    }

    /// Adds those on other paths of the same archive.
    pub fn extend(&mut self, other: Self) {
        for (class, ClassRemarks { shown, total }) in other.classes {
            let of_class = self.classes.entry(class).or_default();
            of_class.total += total;
            for remark in shown {
                of_class.show(remark);
            }
        }
    }

    /// Whether there is something to say of this kind.
    pub fn has(&self, class: RemarkClass) -> bool {
        self.classes.contains_key(&class)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Those that are told one by one.
    pub fn iter(&self) -> impl Iterator<Item = &ArchiveRemark> {
        self.classes.values().flat_map(|of_class| &of_class.shown)
    }

    /// What is to be said of each class, in whole sentences.
    pub fn texts(&self) -> impl Iterator<Item = (RemarkClass, String)> {
        self.classes.iter().map(|(class, ClassRemarks { shown, total })| {
            let mut sentences: Vec<String> = shown.iter().map(ToString::to_string).collect();
            let more = total - shown.len();
            if more > 0 {
                sentences.push(format!("The same goes for {more} more."));
            }
            (*class, sentences.join(" "))
        })
    }
}

/// A path for people: odd characters are escaped, and a long one is cut.
pub fn shown(path: &[u8]) -> String {
    let text = match std::str::from_utf8(path) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => path.escape_ascii().to_string(),
    };
    if text.len() <= PATH_SHOWN_BYTES {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(PATH_SHOWN_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_paths_of_a_class_are_shown_and_the_others_counted() {
        let mut remarks = ArchiveRemarks::default();
        for number in (0..ARCHIVE_REMARKS + 3).rev() {
            remarks.add(format!("m{number:03}").as_bytes(), RemarkKind::Submodule);
        }
        remarks.add(b"C:a", RemarkKind::Unsafe(UnsafeReason::Drive));
        let texts: Vec<(RemarkClass, String)> = remarks.texts().collect();
        let lost = "`C:a` is not in the zip, because unpacking it would not be safe: it is absolute on Windows.";
        assert_eq!(texts[0], (RemarkClass::LostFiles, lost.to_owned()));
        let (class, text) = &texts[1];
        assert_eq!((*class, texts.len(), remarks.iter().count()), (RemarkClass::Submodules, 2, ARCHIVE_REMARKS + 1));
        let first = "`m000` is not in the zip, because it is a submodule: another repository. `m001` is not";
        assert!(text.starts_with(first) && text.ends_with("repository. The same goes for 3 more."), "{text}");
    }

    #[test]
    fn remarks_that_were_stored_and_extended_are_those_that_were_made_in_one_go() {
        let number = |number: usize| format!("m{number:03}").into_bytes();
        let [mut whole, mut first, mut second] = [const { ArchiveRemarks { classes: BTreeMap::new() } }; 3];
        for at in 0..ARCHIVE_REMARKS + 3 {
            whole.add(&number(at), RemarkKind::LfsPointer { size: 7 });
            let part = if at % 2 == 0 { &mut first } else { &mut second };
            part.add(&number(at), RemarkKind::LfsPointer { size: 7 });
        }
        let encoding = "koi8-r".to_owned();
        let not_encoded = RemarkKind::NotEncoded { encoding, reason: EncodingRefusal::Unknown };
        whole.add(b"a", not_encoded.clone());
        first.add(b"a", not_encoded);
        let text = serde_json::to_string(&first).expect("serializes");
        let mut restored: ArchiveRemarks = serde_json::from_str(&text).expect("parses");
        restored.extend(second);
        assert_eq!(restored, whole);
    }

    #[test]
    fn odd_and_long_paths_can_be_read() {
        assert_eq!(shown(b"a\n\xc3\xa9"), "a\\né");
        assert_eq!(shown(b"a\xfc"), "a\\xfc");
        assert_eq!(shown("é".repeat(500).as_bytes()), format!("{}…", "é".repeat(100)));
    }
}
