//! Which paths may enter an archive: none that could write outside the directory it is unpacked
//! to, on any system that Composer runs on.

use crate::limits::{PATH_BYTES, PATH_DEPTH};

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeReason {
    /// A name is empty, `.` or `..`.
    #[error("it would leave its directory")]
    Traversal,
    /// A name holds `/` or `\`, which Windows takes for a separator.
    #[error("a name holds a path separator")]
    Separator,
    /// The first name starts with a drive letter (`C:`).
    #[error("it is absolute on Windows")]
    Drive,
    /// A name holds NUL or another control character.
    #[error("a name holds a control character")]
    Control,
    /// A name is `.git`, or becomes it on a file system that ignores case, trailing dots, streams
    /// or invisible characters.
    #[error("it would reach a repository's own files")]
    Repository,
    /// A name is not UTF-8, so that systems would disagree about it.
    #[error("a name is not UTF-8")]
    NotUtf8,
    /// Longer than [`PATH_BYTES`].
    #[error("it is too long")]
    TooLong,
    /// Nested deeper than [`PATH_DEPTH`].
    #[error("it is nested too deeply")]
    TooDeep,
    /// Another path differs from it in case only, or is a file where it needs a directory.
    #[error("another path is the same where case is ignored")]
    Duplicate,
}

/// Checks one name of a path.
pub(crate) fn check_name(name: &[u8]) -> Result<&str, UnsafeReason> {
    let name = std::str::from_utf8(name).map_err(|_| UnsafeReason::NotUtf8)?;
    if matches!(name, "" | "." | "..") {
        return Err(UnsafeReason::Traversal);
    }
    if name.contains(['/', '\\']) {
        return Err(UnsafeReason::Separator);
    }
    if name.contains(char::is_control) {
        return Err(UnsafeReason::Control);
    }
    if is_repository(name) {
        return Err(UnsafeReason::Repository);
    }
    Ok(name)
}

/// Checks a whole path whose names have passed [`check_name`].
pub(crate) fn check_path(path: &str) -> Result<(), UnsafeReason> {
    if path.len() > PATH_BYTES {
        return Err(UnsafeReason::TooLong);
    }
    if path.split('/').count() > PATH_DEPTH {
        return Err(UnsafeReason::TooDeep);
    }
    if has_drive(path) {
        return Err(UnsafeReason::Drive);
    }
    Ok(())
}

/// Checks a whole path that comes from elsewhere (an uploaded zip): each of its names, and all of it.
///
/// # Errors
/// Why unpacking it would not be safe everywhere.
pub fn check_relative_path(path: &str) -> Result<(), UnsafeReason> {
    path.split('/').try_for_each(|name| check_name(name.as_bytes()).map(drop))?;
    check_path(path)
}

fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// `.git` as git-fsck(1) recognizes it: HFS+ ignores some characters, NTFS trailing dots and
/// spaces, and gives `.git` the short name `git~1`; a colon starts an NTFS stream.
fn is_repository(name: &str) -> bool {
    let invisible = |c: char| {
        matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{206a}'..='\u{206f}' | '\u{feff}')
    };
    let plain: String = name.chars().filter(|c| !invisible(*c)).collect();
    let plain = plain.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

/// Why a symlink is left out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymlinkRefusal {
    /// The target is absolute.
    #[error("its target is absolute")]
    Absolute,
    /// The target lies outside the package, or could: `..` after a name may pass through another
    /// symlink.
    #[error("its target may lie outside the package")]
    Escapes,
    /// The target is empty, too long, not UTF-8, or holds `\` or a control character.
    #[error("its target is not a plain path")]
    Odd,
}

/// Checks a symlink `depth` directories below the package's root.
///
/// `..` is accepted at the front only. There it climbs through the real directories that hold the
/// link, so `depth` of them stay inside. What follows only descends: through real directories,
/// or through other symlinks that have passed the same check.
///
/// # Errors
/// Why the link would not be safe.
pub fn check_symlink(depth: usize, target: &[u8]) -> Result<&str, SymlinkRefusal> {
    let target = std::str::from_utf8(target).map_err(|_| SymlinkRefusal::Odd)?;
    if target.is_empty() || target.len() > PATH_BYTES || target.contains(char::is_control) {
        return Err(SymlinkRefusal::Odd);
    }
    if target.starts_with(['/', '\\']) || has_drive(target) {
        return Err(SymlinkRefusal::Absolute);
    }
    if target.contains('\\') {
        return Err(SymlinkRefusal::Odd);
    }
    let mut names = target.split('/').filter(|name| !matches!(*name, "" | ".")).peekable();
    let mut climbed = 0;
    while names.next_if_eq(&"..").is_some() {
        climbed += 1;
    }
    if climbed > depth || names.any(|name| name == ".." || is_repository(name)) {
        return Err(SymlinkRefusal::Escapes);
    }
    Ok(target)
}

/// A directory inside a repository that holds a package: `packages/foo`, or empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PackagePath(String);

/// Not a plain relative path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory is not a plain relative path: {0}")]
pub struct InvalidPackagePath(pub UnsafeReason);

impl PackagePath {
    /// Parses a relative path with `/` between its names. `""` and `.` are the root; one `/` at
    /// the end is ignored.
    pub fn parse(path: &str) -> Result<Self, InvalidPackagePath> {
        let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
        if matches!(path, "" | ".") {
            return Ok(Self::default());
        }
        for name in path.split('/') {
            check_name(name.as_bytes()).map_err(InvalidPackagePath)?;
        }
        check_path(path).map_err(InvalidPackagePath)?;
        Ok(Self(path.to_owned()))
    }

    /// The path without a `/` at its ends; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many names it has: the depth that [`MetadataPlan`](crate::MetadataPlan) asks for.
    pub fn depth(&self) -> usize {
        self.names().count()
    }

    /// Its names from the root downwards.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        for (name, reason) in [
            (&b""[..], UnsafeReason::Traversal),
            (b".", UnsafeReason::Traversal),
            (b"..", UnsafeReason::Traversal),
            (b"a/b", UnsafeReason::Separator),
            (b"..\\evil", UnsafeReason::Separator),
            (b"a\0b", UnsafeReason::Control),
            (b"a\nb", UnsafeReason::Control),
            ("a\u{85}b".as_bytes(), UnsafeReason::Control),
            (b".GIT", UnsafeReason::Repository),
            (b".git. ", UnsafeReason::Repository),
            (b"GIT~1", UnsafeReason::Repository),
            (b".git::$INDEX_ALLOCATION", UnsafeReason::Repository),
            (".g\u{200c}it".as_bytes(), UnsafeReason::Repository),
            (b"caf\xe9", UnsafeReason::NotUtf8),
        ] {
            assert_eq!(check_name(name), Err(reason), "{name:?}");
        }
        for name in [".gitignore", ".gitattributes", ".github", "git", "café", "a b", "..."] {
            assert_eq!(check_name(name.as_bytes()), Ok(name));
        }
    }

    #[test]
    fn paths_are_bounded_and_have_no_drive() {
        assert_eq!(check_path(&"x".repeat(PATH_BYTES + 1)), Err(UnsafeReason::TooLong));
        assert_eq!(check_path(&"x".repeat(PATH_BYTES)), Ok(()));
        assert_eq!(check_path(&vec!["d"; PATH_DEPTH + 1].join("/")), Err(UnsafeReason::TooDeep));
        assert_eq!(check_path(&vec!["d"; PATH_DEPTH].join("/")), Ok(()));
        assert_eq!(check_path("c:evil"), Err(UnsafeReason::Drive));
    }

    #[test]
    fn symlinks_stay_inside() {
        for (depth, target) in [(0, "a"), (0, "a/b"), (1, "../a"), (2, "../../a"), (0, "./a"), (1, ".."), (0, "a//b")] {
            assert_eq!(check_symlink(depth, target.as_bytes()), Ok(target));
        }
        for (depth, target, refusal) in [
            (0, &b"/etc/passwd"[..], SymlinkRefusal::Absolute),
            (0, b"C:/x", SymlinkRefusal::Absolute),
            (0, b"\\\\host\\share", SymlinkRefusal::Absolute),
            (0, b"..", SymlinkRefusal::Escapes),
            (1, b"../../a", SymlinkRefusal::Escapes),
            // `a` may itself be a symlink to `.`, and then this is the directory above the root.
            (0, b"a/..", SymlinkRefusal::Escapes),
            (1, b"./../a/../..", SymlinkRefusal::Escapes),
            (0, b".git/hooks", SymlinkRefusal::Escapes),
            (0, b"", SymlinkRefusal::Odd),
            (0, b"a\\b", SymlinkRefusal::Odd),
            (0, b"a\n", SymlinkRefusal::Odd),
            (0, b"\xff", SymlinkRefusal::Odd),
            (0, &[b'x'; PATH_BYTES + 1], SymlinkRefusal::Odd),
        ] {
            assert_eq!(check_symlink(depth, target), Err(refusal), "{target:?}");
        }
    }

    #[test]
    fn package_paths_are_plain() {
        for (path, depth) in [("", 0), (".", 0), ("a", 1), ("packages/foo/", 2)] {
            assert_eq!(PackagePath::parse(path).expect("plain").depth(), depth);
        }
        assert_eq!(PackagePath::parse("packages/foo/").expect("plain").as_str(), "packages/foo");
        for bad in ["/", "/a", "a//b", "../a", "a/..", "a\\b", ".git", "a/.git/b", "a//"] {
            assert!(PackagePath::parse(bad).is_err(), "{bad}");
        }
    }
}
