//! The `ls-refs` command: which branches and tags a repository has (gitprotocol-v2(5)).

use std::collections::HashSet;

use crate::limits::{REF_NAME_BYTES, REFS, SKIPPED_REFS};
use crate::object::ObjectId;
use crate::protocol::capabilities::Capabilities;
use crate::protocol::pkt_line::{Packet, PktLineError, encode_data, encode_flush, line, packets, remote_error};

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// The body to post for the list of branches and tags.
pub fn ls_refs_request(capabilities: &Capabilities) -> Vec<u8> {
    let mut out = capabilities.request_header("ls-refs");
    for argument in ["peel\n", "symrefs\n"] {
        encode_data(&mut out, argument);
    }
    if capabilities.unborn {
        encode_data(&mut out, "unborn\n");
    }
    for prefix in ["HEAD", BRANCHES, TAGS] {
        encode_data(&mut out, format!("ref-prefix {prefix}\n"));
    }
    encode_flush(&mut out);
    out
}

/// One ref of the remote repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// The full name: `HEAD`, `refs/heads/main`, `refs/tags/v1.0.0`.
    pub name: String,
    /// What the ref points to: a commit, or an annotated tag.
    pub oid: ObjectId,
    /// What the annotated tag at `oid` stands for in the end.
    pub peeled: Option<ObjectId>,
    /// The ref that this one is an alias of.
    pub symref_target: Option<String>,
}

impl RemoteRef {
    /// The id behind an annotated tag, or the ref's own.
    pub fn commit_id(&self) -> ObjectId {
        self.peeled.unwrap_or(self.oid)
    }

    /// The annotated tag that the ref points to, if it is one.
    pub fn annotated_tag(&self) -> Option<ObjectId> {
        self.peeled.map(|_| self.oid)
    }
}

/// A ref that was left out, so that an operator can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRef {
    /// The name as sent, its odd bytes escaped (`refs/heads/caf\xe9`), so that nothing is lost.
    pub name: String,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why a ref was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// The name is not UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// git-check-ref-format(1) forbids the name, so it can only come from a hostile server.
    #[error("the name is not a valid ref name")]
    InvalidName,
    /// The name is longer than [`REF_NAME_BYTES`].
    #[error("the name is too long")]
    TooLong,
    /// The name was already listed.
    #[error("the name is listed twice")]
    Duplicate,
}

/// What a repository advertises: its branches, its tags and `HEAD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteRefs {
    /// In the order of the server, each name once.
    pub refs: Vec<RemoteRef>,
    /// The branch that `HEAD` names although it does not exist yet (an empty repository).
    pub unborn_head: Option<String>,
    /// The first [`SKIPPED_REFS`] refs that were left out.
    pub skipped: Vec<SkippedRef>,
    /// How many refs were left out in all.
    pub skipped_total: usize,
}

/// The answer to `ls-refs` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LsRefsError {
    /// The answer is not pkt-lines.
    #[error("the list of refs is not readable: {0}")]
    Framing(PktLineError),
    /// A line that is not `<id> <name>[ <attribute>…]`.
    #[error("the list of refs holds a malformed line")]
    MalformedLine,
    /// The answer ends before its end marker.
    #[error("the list of refs is incomplete")]
    Truncated,
    /// More refs than `limit`.
    #[error("the repository has more than {limit} refs")]
    TooManyRefs {
        /// The most that are accepted.
        limit: usize,
    },
    /// The server refused, in its own words.
    #[error("the server says: {0}")]
    Remote(String),
}

impl From<PktLineError> for LsRefsError {
    fn from(error: PktLineError) -> Self {
        match error {
            PktLineError::Truncated => Self::Truncated,
            PktLineError::BadLength => Self::Framing(error),
        }
    }
}

/// Reads the answer to [`ls_refs_request`]. Refs other than `HEAD`, branches and tags are passed
/// over (a server may ignore `ref-prefix`); an empty repository is not an error.
pub fn parse_ls_refs(bytes: &[u8]) -> Result<RemoteRefs, LsRefsError> {
    let mut listed = RefList::default();
    for packet in packets(bytes) {
        let Packet::Data(data) = packet? else {
            return Ok(listed.refs);
        };
        if let Some(words) = remote_error(data) {
            return Err(LsRefsError::Remote(words));
        }
        listed.add_line(line(data))?;
    }
    Err(LsRefsError::Truncated)
}

/// What a listed ref points to, as [`RemoteRef`] has it.
pub(super) struct RefTarget {
    pub(super) oid: ObjectId,
    pub(super) peeled: Option<ObjectId>,
    pub(super) symref_target: Option<String>,
}

/// The branches and tags listed so far.
#[derive(Default)]
pub(super) struct RefList {
    pub(super) refs: RemoteRefs,
    seen: HashSet<String>,
    /// How many branches and tags there were, those that were left out included.
    count: usize,
    /// Whether the last one is the last of `refs`.
    is_last_kept: bool,
}

impl RefList {
    /// Adds a ref, unless it is neither `HEAD` nor a branch or tag. One whose name nobody could use is reported.
    pub(super) fn add(&mut self, name: &[u8], target: RefTarget) -> Result<(), LsRefsError> {
        self.is_last_kept = false;
        if name != b"HEAD" && !name.starts_with(BRANCHES.as_bytes()) && !name.starts_with(TAGS.as_bytes()) {
            return Ok(());
        }
        self.count += 1;
        if self.count > REFS {
            return Err(LsRefsError::TooManyRefs { limit: REFS });
        }
        match checked_name(name) {
            Ok(name) if !self.seen.insert(name.clone()) => {
                self.refs.skip(name.as_bytes(), SkipReason::Duplicate);
            }
            Ok(name) => {
                let RefTarget { oid, peeled, symref_target } = target;
                self.refs.refs.push(RemoteRef { name, oid, peeled, symref_target });
                self.is_last_kept = true;
            }
            Err(reason) => self.refs.skip(name, reason),
        }
        Ok(())
    }

    /// Takes over what the annotated tag `name` stands for, which a server of version 0 says right after it.
    pub(super) fn peel(&mut self, name: &[u8], id: ObjectId) {
        let last = self.refs.refs.last_mut().filter(|last| self.is_last_kept && last.name.as_bytes() == name);
        if let Some(tag) = last {
            tag.peeled = Some(id);
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), LsRefsError> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(id), Some(name)) = (words.next(), words.next()) else {
            return Err(LsRefsError::MalformedLine);
        };
        let mut peeled = None;
        let mut symref_target = None;
        for word in words {
            if let Some(hex) = word.strip_prefix(b"peeled:") {
                peeled = Some(ObjectId::parse(hex).map_err(|_| LsRefsError::MalformedLine)?);
            } else if let Some(target) = word.strip_prefix(b"symref-target:") {
                symref_target = checked_name(target).ok();
            }
        }
        if id == b"unborn" {
            self.refs.unborn_head = symref_target;
            return Ok(());
        }
        let oid = ObjectId::parse(id).map_err(|_| LsRefsError::MalformedLine)?;
        self.add(name, RefTarget { oid, peeled, symref_target })
    }
}

impl RemoteRefs {
    /// The branch to show first: what `HEAD` stands for, else `main`, else `master`, else the
    /// first branch listed; nothing in a repository without branches.
    pub fn default_branch(&self) -> Option<&RemoteRef> {
        let head = self.refs.iter().find(|item| item.name == "HEAD");
        let target = head.and_then(|head| head.symref_target.as_deref());
        [target, Some("refs/heads/main"), Some("refs/heads/master")]
            .into_iter()
            .flatten()
            .filter(|name| name.starts_with(BRANCHES))
            .find_map(|name| self.refs.iter().find(|item| item.name == name))
            .or_else(|| self.refs.iter().find(|item| item.name.starts_with(BRANCHES)))
    }

    /// Each branch's name without `refs/heads/`, with its commit.
    pub fn branches(&self) -> impl Iterator<Item = (&str, ObjectId)> {
        self.under(BRANCHES).map(|(name, branch)| (name, branch.commit_id()))
    }

    /// Each tag's name without `refs/tags/`, with the id that the tag stands for: a commit, unless
    /// someone tagged a tree or a blob.
    pub fn tags(&self) -> impl Iterator<Item = (&str, ObjectId)> {
        self.tag_refs().map(|(name, tag)| (name, tag.commit_id()))
    }

    /// Each tag's name without `refs/tags/`, with its ref.
    pub fn tag_refs(&self) -> impl Iterator<Item = (&str, &RemoteRef)> {
        self.under(TAGS)
    }

    fn under(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &RemoteRef)> {
        self.refs.iter().filter_map(move |item| item.name.strip_prefix(prefix).map(|short| (short, item)))
    }

    fn skip(&mut self, name: &[u8], reason: SkipReason) {
        self.skipped_total += 1;
        if self.skipped.len() < SKIPPED_REFS {
            let name = name[..name.len().min(REF_NAME_BYTES)].escape_ascii().to_string();
            self.skipped.push(SkippedRef { name, reason });
        }
    }
}

pub(super) fn checked_name(name: &[u8]) -> Result<String, SkipReason> {
    if name.len() > REF_NAME_BYTES {
        return Err(SkipReason::TooLong);
    }
    let name = std::str::from_utf8(name).map_err(|_| SkipReason::NotUtf8)?;
    if is_valid_ref_name(name) { Ok(name.to_owned()) } else { Err(SkipReason::InvalidName) }
}

/// The rules of git-check-ref-format(1), with `HEAD` allowed.
fn is_valid_ref_name(name: &str) -> bool {
    if name == "HEAD" {
        return true;
    }
    let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let component_ok = |part: &str| {
        let lock = part.as_bytes().ends_with(b".lock");
        !(part.is_empty() || part.starts_with('.') || lock)
    };
    name.contains('/')
        && name.split('/').all(component_ok)
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6";

    fn answer(lines: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            encode_data(&mut out, line);
        }
        encode_flush(&mut out);
        out
    }

    fn names(names: &[&str]) -> RemoteRefs {
        let lines: Vec<String> = names.iter().map(|name| format!("{ID} {name}\n")).collect();
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        parse_ls_refs(&answer(&lines)).expect("well-formed")
    }

    #[test]
    fn the_request_names_what_the_server_offered() {
        let plain = ls_refs_request(&Capabilities::default());
        assert_eq!(
            String::from_utf8_lossy(&plain),
            "0014command=ls-refs\n00010009peel\n000csymrefs\n0014ref-prefix HEAD\n\
             001bref-prefix refs/heads/\n001aref-prefix refs/tags/\n0000"
        );
        let capabilities = Capabilities {
            agent: Some("git/2".into()),
            unborn: true,
            object_format_sha1: true,
            ..Capabilities::default()
        };
        let full = String::from_utf8(ls_refs_request(&capabilities)).expect("ASCII");
        assert!(full.contains("agent=rostrum/"));
        assert!(full.contains("0017object-format=sha1\n0001"));
        assert!(full.contains("000bunborn\n"));
    }

    #[test]
    fn the_default_branch_falls_back_when_head_does_not_help() {
        let name = |advertised: &RemoteRefs| advertised.default_branch().map(|branch| branch.name.clone());
        let listed = ["HEAD", "refs/heads/a", "refs/heads/main", "refs/heads/master"];
        assert_eq!(name(&names(&listed)).as_deref(), Some("refs/heads/main"));
        assert_eq!(name(&names(&["refs/heads/a", "refs/heads/master"])).as_deref(), Some("refs/heads/master"));
        assert_eq!(name(&names(&["refs/heads/z", "refs/heads/a"])).as_deref(), Some("refs/heads/z"));
        assert_eq!(name(&names(&["refs/tags/main"])), None);
        let symref = format!("{ID} HEAD symref-target:refs/heads/z\n");
        let z = format!("{ID} refs/heads/z\n");
        let main = format!("{ID} refs/heads/main\n");
        let both = answer(&[symref.as_bytes(), main.as_bytes(), z.as_bytes()]);
        let both = parse_ls_refs(&both).expect("well-formed");
        assert_eq!(name(&both).as_deref(), Some("refs/heads/z"));
        let dangling = answer(&[symref.as_bytes(), main.as_bytes()]);
        let dangling = parse_ls_refs(&dangling).expect("well-formed");
        assert_eq!(name(&dangling).as_deref(), Some("refs/heads/main"));
    }

    #[test]
    fn hostile_names_are_left_out_with_a_reason() {
        let long = format!("refs/heads/{}", "x".repeat(REF_NAME_BYTES));
        for (name, reason) in [
            ("refs/heads/a..b", SkipReason::InvalidName),
            ("refs/heads/../../etc", SkipReason::InvalidName),
            ("refs/heads/.hidden", SkipReason::InvalidName),
            ("refs/heads/a\u{1b}[31m", SkipReason::InvalidName),
            ("refs/heads/a@{1}", SkipReason::InvalidName),
            ("refs/heads/a~1", SkipReason::InvalidName),
            ("refs/heads/a.lock", SkipReason::InvalidName),
            ("refs/tags/", SkipReason::InvalidName),
            (&long, SkipReason::TooLong),
        ] {
            let advertised = names(&[name, "refs/heads/fine"]);
            assert_eq!(advertised.refs.len(), 1, "{name}");
            assert_eq!(advertised.skipped[0].reason, reason, "{name}");
        }
    }

    #[test]
    fn duplicates_other_namespaces_and_non_utf8_names_are_left_out() {
        let latin1 = [ID.as_bytes(), b" refs/heads/caf\xe9\n"].concat();
        let fine = format!("{ID} refs/heads/ok\n");
        let pull = format!("{ID} refs/pull/1/head\n");
        let lines = [&latin1[..], fine.as_bytes(), fine.as_bytes(), pull.as_bytes()];
        let advertised = parse_ls_refs(&answer(&lines)).expect("well-formed");
        assert_eq!(advertised.refs.len(), 1);
        assert_eq!(advertised.skipped_total, 2);
        assert_eq!(
            advertised.skipped,
            [
                SkippedRef { name: r"refs/heads/caf\xe9".into(), reason: SkipReason::NotUtf8 },
                SkippedRef { name: "refs/heads/ok".into(), reason: SkipReason::Duplicate },
            ]
        );
    }

    #[test]
    fn the_number_of_refs_is_bounded_and_so_are_the_reports() {
        let many: Vec<String> = (0..=REFS).map(|n| format!("{ID} refs/heads/{n}\n")).collect();
        let lines: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
        assert_eq!(parse_ls_refs(&answer(&lines)), Err(LsRefsError::TooManyRefs { limit: REFS }));
        assert_eq!(parse_ls_refs(&answer(&lines[1..])).expect("at the limit").refs.len(), REFS);
        let bad = vec!["refs/heads/a..b"; SKIPPED_REFS + 7];
        let advertised = names(&bad);
        assert_eq!(advertised.skipped.len(), SKIPPED_REFS);
        assert_eq!(advertised.skipped_total, SKIPPED_REFS + 7);
    }

    #[test]
    fn broken_answers_are_told_apart() {
        let good = answer(&[format!("{ID} refs/heads/a\n").as_bytes()]);
        assert_eq!(parse_ls_refs(&good[..good.len() - 4]), Err(LsRefsError::Truncated));
        assert_eq!(parse_ls_refs(&good[..20]), Err(LsRefsError::Truncated));
        assert_eq!(parse_ls_refs(b"<html>"), Err(LsRefsError::Framing(PktLineError::BadLength)));
        for bad in [&b"hello\n"[..], b"xyz refs/heads/a\n"] {
            assert_eq!(parse_ls_refs(&answer(&[bad])), Err(LsRefsError::MalformedLine));
        }
        let bad_peel = format!("{ID} refs/tags/a peeled:123\n");
        assert_eq!(parse_ls_refs(&answer(&[bad_peel.as_bytes()])), Err(LsRefsError::MalformedLine));
        assert_eq!(parse_ls_refs(&answer(&[b"ERR access denied\n"])), Err(LsRefsError::Remote("access denied".into())));
    }
}
