//! Which paths may enter an archive: none that could write outside the directory it is unpacked
//! to, on any system that Composer runs on.

use crate::limits::{PATH_BYTES, PATH_DEPTH};

/// Why a path is refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, thiserror::Error,
)]
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
    /// Longer than [`PATH_BYTES`].
    #[error("it is too long")]
    TooLong,
    /// Nested deeper than [`PATH_DEPTH`].
    #[error("it is nested too deeply")]
    TooDeep,
    /// Another entry has the same path.
    #[error("there is another entry of the same path")]
    Duplicate,
    /// A symlink where a directory is, too, if case is ignored: unpacking what is in there would follow it.
    #[error("it is a symlink, and a directory has the same path where case is ignored")]
    LinkOverDirectory,
}

/// Checks one name of a path, which need not be UTF-8: what its other bytes stand for is up to whoever unpacks it, but
/// they separate nothing.
pub(crate) fn check_name(name: &[u8]) -> Result<(), UnsafeReason> {
    if matches!(name, b"" | b"." | b"..") {
        return Err(UnsafeReason::Traversal);
    }
    if name.contains(&b'/') || name.contains(&b'\\') {
        return Err(UnsafeReason::Separator);
    }
    let text = String::from_utf8_lossy(name);
    if text.contains(char::is_control) {
        return Err(UnsafeReason::Control);
    }
    if is_repository(&text) {
        return Err(UnsafeReason::Repository);
    }
    Ok(())
}

/// Checks a whole path whose names have passed [`check_name`].
pub(crate) fn check_path(path: &[u8]) -> Result<(), UnsafeReason> {
    if path.len() > PATH_BYTES {
        return Err(UnsafeReason::TooLong);
    }
    if path.split(|byte| *byte == b'/').count() > PATH_DEPTH {
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
    path.split('/').try_for_each(|name| check_name(name.as_bytes()))?;
    check_path(path.as_bytes())
}

fn has_drive(path: &[u8]) -> bool {
    matches!(path, [letter, b':', ..] if letter.is_ascii_alphabetic())
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, thiserror::Error,
)]
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
    if target.starts_with(['/', '\\']) || has_drive(target.as_bytes()) {
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
        check_path(path.as_bytes()).map_err(InvalidPackagePath)?;
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
            (b"\xe9\\x", UnsafeReason::Separator),
            (b"\xe9\n", UnsafeReason::Control),
        ] {
            assert_eq!(check_name(name), Err(reason), "{name:?}");
        }
        let plain: [&[u8]; 8] =
            [b".gitignore", b".gitattributes", b".github", b"git", "café".as_bytes(), b"caf\xe9", b"a b", b"..."];
        for name in plain {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn paths_are_bounded_and_have_no_drive() {
        assert_eq!(check_path("x".repeat(PATH_BYTES + 1).as_bytes()), Err(UnsafeReason::TooLong));
        assert_eq!(check_path("x".repeat(PATH_BYTES).as_bytes()), Ok(()));
        assert_eq!(check_path(vec!["d"; PATH_DEPTH + 1].join("/").as_bytes()), Err(UnsafeReason::TooDeep));
        assert_eq!(check_path(vec!["d"; PATH_DEPTH].join("/").as_bytes()), Ok(()));
        assert_eq!(check_path(b"c:evil"), Err(UnsafeReason::Drive));
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
