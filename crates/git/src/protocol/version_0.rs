//! Versions 0 and 1 of the protocol (gitprotocol-http(5), gitprotocol-pack(5), gitprotocol-capabilities(5)): the
//! advertisement lists the refs at once, and the request for objects names the capabilities in its first line. Azure
//! DevOps, AWS `CodeCommit` and git before 2.18 speak no other. Version 1 is version 0 with a line in front.

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::protocol::capabilities::{AGENT, Advertisement, AdvertisementError, Capabilities, bounded};
use crate::protocol::ls_refs::{LsRefsError, RefList, RefTarget, RemoteRefs, checked_name};
use crate::protocol::pkt_line::{Packet, PktLineError, line, remote_error};

/// What follows the name of an annotated tag when its line says what the tag stands for.
const PEELED: &[u8] = b"^{}";
/// A commit whose parents the server itself lacks; the last lines of an advertisement.
const SHALLOW: &[u8] = b"shallow ";

/// What a server of version 0 or 1 can do, as far as a request has to name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Version0 {
    /// How the server acknowledges what we have, if it can tell more than the first object. Azure DevOps answers only
    /// who names it.
    pub acknowledgments: Option<Acknowledgments>,
    /// How the pack is packed into pkt-lines.
    pub side_band: SideBand,
    /// Deltas may name their bases by position.
    pub ofs_delta: bool,
    /// The server can be told to say nothing while it works.
    pub no_progress: bool,
    /// Objects may be wanted that no branch or tag points to.
    pub sends_any_object: bool,
}

/// How a server acknowledges objects that we have. We read none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledgments {
    /// `multi_ack`.
    MultiAck,
    /// `multi_ack_detailed`, which is preferred.
    MultiAckDetailed,
}

/// How a pack is packed into pkt-lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SideBand {
    /// `side-band`: at most 1000 bytes each.
    SideBand,
    /// `side-band-64k`, which is preferred.
    #[default]
    #[serde(rename = "side-band-64k")]
    SideBand64k,
}

impl Acknowledgments {
    const fn capability(self) -> &'static str {
        match self {
            Self::MultiAck => "multi_ack",
            Self::MultiAckDetailed => "multi_ack_detailed",
        }
    }
}

impl SideBand {
    const fn capability(self) -> &'static str {
        match self {
            Self::SideBand => "side-band",
            Self::SideBand64k => "side-band-64k",
        }
    }
}

impl Version0 {
    /// What the first line of a request names, with a space before each. git refuses a filter whose capability is not
    /// named.
    pub(super) fn named_capabilities(&self, capabilities: &Capabilities, has_filter: bool) -> String {
        let mut named = String::new();
        let words = [
            self.acknowledgments.map(Acknowledgments::capability),
            Some(self.side_band.capability()),
            self.ofs_delta.then_some("ofs-delta"),
            self.no_progress.then_some("no-progress"),
            has_filter.then_some("filter"),
            capabilities.object_format_sha1.then_some("object-format=sha1"),
            capabilities.agent.is_some().then_some(AGENT),
        ];
        for word in words.into_iter().flatten() {
            named.push(' ');
            named.push_str(word);
        }
        named
    }
}

/// Reads an advertisement from its `first` ref on, which carries the capabilities behind a NUL. An empty repository has
/// `capabilities^{}` in its place, which is passed over like every name that is neither `HEAD`, a branch nor a tag.
pub(super) fn read_advertisement<'a>(
    first: &'a [u8],
    rest: impl Iterator<Item = Result<Packet<'a>, PktLineError>>,
) -> Result<Advertisement, AdvertisementError> {
    let (first_ref, words) = match first.iter().position(|byte| *byte == 0) {
        Some(at) => (&first[..at], &first[at + 1..]),
        None => (line(first), &b""[..]),
    };
    let offered = Offered::read(&String::from_utf8_lossy(line(words)))?;
    let mut listed = RefList::default();
    add_line(&mut listed, first_ref)?;
    for packet in rest {
        let Packet::Data(data) = packet.map_err(LsRefsError::from)? else {
            let mut refs = listed.refs;
            point_head(&mut refs, offered.head_target);
            return Ok(Advertisement { capabilities: offered.capabilities, refs: Some(refs) });
        };
        if let Some(words) = remote_error(data) {
            return Err(AdvertisementError::Remote(words));
        }
        add_line(&mut listed, line(data))?;
    }
    Err(AdvertisementError::Truncated)
}

/// What the words behind the first ref say.
struct Offered {
    capabilities: Capabilities,
    /// What `HEAD` is an alias of.
    head_target: Option<String>,
}

impl Offered {
    fn read(words: &str) -> Result<Self, AdvertisementError> {
        let has = |capability: &str| words.split(' ').any(|word| word == capability);
        let value = |key: &str| words.split(' ').filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key);
        let object_format = value("object-format").map(|(_, format)| format);
        if let Some(format) = object_format.filter(|format| *format != "sha1") {
            return Err(AdvertisementError::UnsupportedObjectFormat(bounded(format)));
        }
        let side_band = match (has("side-band-64k"), has("side-band")) {
            (true, _) => SideBand::SideBand64k,
            (false, true) => SideBand::SideBand,
            (false, false) => return Err(AdvertisementError::MissingCommand("side-band-64k")),
        };
        let acknowledgments = match (has("multi_ack_detailed"), has("multi_ack")) {
            (true, _) => Some(Acknowledgments::MultiAckDetailed),
            (false, true) => Some(Acknowledgments::MultiAck),
            (false, false) => None,
        };
        // git says of a server that sends whatever there is that it sends what can be reached.
        let sends_any_object = has("allow-reachable-sha1-in-want") || has("allow-any-sha1-in-want");
        let version_0 = Version0 {
            acknowledgments,
            side_band,
            ofs_delta: has("ofs-delta"),
            no_progress: has("no-progress"),
            sends_any_object,
        };
        let capabilities = Capabilities {
            agent: value("agent").map(|(_, agent)| bounded(agent)),
            filter: has("filter") && sends_any_object,
            shallow: has("shallow"),
            unborn: false,
            object_format_sha1: object_format.is_some(),
            version_0: Some(version_0),
        };
        let mut targets = words.split(' ').filter_map(|word| word.strip_prefix("symref=HEAD:"));
        let head_target = targets.next().and_then(|target| checked_name(target.as_bytes()).ok());
        Ok(Self { capabilities, head_target })
    }
}

fn add_line(listed: &mut RefList, line: &[u8]) -> Result<(), LsRefsError> {
    if line.starts_with(SHALLOW) {
        return Ok(());
    }
    let space = line.iter().position(|byte| *byte == b' ').ok_or(LsRefsError::MalformedLine)?;
    let (id, name) = (&line[..space], &line[space + 1..]);
    let oid = ObjectId::parse(id).map_err(|_| LsRefsError::MalformedLine)?;
    match name.strip_suffix(PEELED) {
        Some(tag) => {
            listed.peel(tag, oid);
            Ok(())
        }
        None => listed.add(name, RefTarget { oid, peeled: None, symref_target: None }),
    }
}

/// Makes `HEAD` an alias of the branch that the server names. git before 1.8.5 names none: then it is one at the same
/// commit, as git clone guesses too.
fn point_head(refs: &mut RemoteRefs, target: Option<String>) {
    let Some(at) = refs.refs.iter().position(|item| item.name == "HEAD") else {
        refs.unborn_head = target;
        return;
    };
    let oid = refs.refs[at].oid;
    let is_same = |name: &str| refs.refs.iter().any(|item| item.name == name && item.oid == oid);
    let guess = || {
        let likely = ["refs/heads/main", "refs/heads/master"].into_iter().find(|name| is_same(name));
        let first = || refs.refs.iter().find(|item| item.name.starts_with("refs/heads/") && item.oid == oid);
        likely.map(str::to_owned).or_else(|| first().map(|item| item.name.clone()))
    };
    refs.refs[at].symref_target = target.or_else(guess);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{REF_NAME_BYTES, REFS};
    use crate::{SkipReason, encode_data, encode_flush};

    const A: &str = "0ed265b85db0739c385c07c1c9a82635e75077d7";
    const TAG: &str = "37f92db5e0e44dc7449e9f62cf530a9e8d026e2a";
    const B: &str = "a720c9c7d7e3fc069068b3181ac09ba0441dfc97";
    const BAND: &str = "side-band-64k";

    /// As git 2.47.3 answers of a repository with a branch and an annotated tag.
    const RECORDED: &[u8] = b"001e# service=git-upload-pack\n0000\
        01120ed265b85db0739c385c07c1c9a82635e75077d7 HEAD\0multi_ack thin-pack side-band side-band-64k ofs-delta \
        shallow deepen-since deepen-not deepen-relative no-progress include-tag multi_ack_detailed no-done \
        symref=HEAD:refs/heads/main filter object-format=sha1 agent=git/2.47.3\n\
        003d0ed265b85db0739c385c07c1c9a82635e75077d7 refs/heads/main\n\
        003a37f92db5e0e44dc7449e9f62cf530a9e8d026e2a refs/tags/v1\n\
        003da720c9c7d7e3fc069068b3181ac09ba0441dfc97 refs/tags/v1^{}\n0000";

    /// The same of an empty one.
    const RECORDED_EMPTY: &[u8] = b"001e# service=git-upload-pack\n0000\
        00fa0000000000000000000000000000000000000000 capabilities^{}\0multi_ack thin-pack side-band side-band-64k \
        ofs-delta shallow deepen-since deepen-not deepen-relative no-progress include-tag multi_ack_detailed no-done \
        object-format=sha1 agent=git/2.47.3\n0000";

    fn oid(hex: &str) -> ObjectId {
        ObjectId::parse(hex).expect("an id")
    }

    fn advertisement(lines: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            encode_data(&mut out, line);
        }
        encode_flush(&mut out);
        out
    }

    /// What is read of refs (`id name`), the first of which carries these capabilities.
    fn parse(capabilities: &str, refs: &[String]) -> Result<Advertisement, AdvertisementError> {
        let mut lines: Vec<String> = refs.iter().map(|line| format!("{line}\n")).collect();
        lines[0] = format!("{}\0{capabilities}\n", refs[0]);
        Advertisement::parse(&advertisement(&lines))
    }

    fn listed(capabilities: &str, refs: &[String]) -> RemoteRefs {
        parse(capabilities, refs).expect("well-formed").refs.expect("they are listed at once")
    }

    #[test]
    fn a_recorded_advertisement_gives_capabilities_branches_tags_and_the_default_branch() {
        let Advertisement { capabilities, refs } = Advertisement::parse(RECORDED).expect("git wrote it");
        let version_0 = Version0 {
            acknowledgments: Some(Acknowledgments::MultiAckDetailed),
            side_band: SideBand::SideBand64k,
            ofs_delta: true,
            no_progress: true,
            sends_any_object: false,
        };
        let expected = Capabilities {
            agent: Some("git/2.47.3".into()),
            filter: false,
            shallow: true,
            unborn: false,
            object_format_sha1: true,
            version_0: Some(version_0),
        };
        assert_eq!(capabilities, expected);
        assert_eq!(capabilities.protocol_version(), None);
        let refs = refs.expect("they are listed at once");
        assert_eq!(refs.branches().collect::<Vec<_>>(), [("main", oid(A))]);
        assert_eq!(refs.tags().collect::<Vec<_>>(), [("v1", oid(B))]);
        let (_, tag) = refs.tag_refs().next().expect("listed");
        assert_eq!((tag.annotated_tag(), tag.commit_id()), (Some(oid(TAG)), oid(B)));
        assert_eq!(refs.refs[0].symref_target.as_deref(), Some("refs/heads/main"));
        assert_eq!(refs.skipped_total, 0);
    }

    #[test]
    fn version_1_is_version_0_with_a_line_in_front() {
        let (service, rest) = RECORDED.split_at(RECORDED.windows(4).position(|w| w == b"0112").expect("there"));
        let version_1 = [service, b"000eversion 1\n", rest].concat();
        assert_eq!(Advertisement::parse(&version_1), Advertisement::parse(RECORDED));
    }

    #[test]
    fn what_was_read_can_be_stored() {
        let capabilities = Advertisement::parse(RECORDED).expect("git wrote it").capabilities;
        let json = serde_json::to_value(&capabilities).expect("serializes");
        assert_eq!(json["version_0"]["acknowledgments"], "multi_ack_detailed");
        assert_eq!(json["version_0"]["side_band"], "side-band-64k");
        assert_eq!(serde_json::from_value::<Capabilities>(json).expect("parses"), capabilities);
    }

    #[test]
    fn an_empty_repository_is_not_an_error() {
        let recorded = Advertisement::parse(RECORDED_EMPTY).expect("git wrote it");
        assert_eq!(recorded.refs, Some(RemoteRefs::default()));
        assert!(recorded.capabilities.shallow);
        let silent = Advertisement::parse(b"001e# service=git-upload-pack\n00000000").expect("nothing is there");
        assert_eq!(silent.refs, Some(RemoteRefs::default()));
        assert!(silent.capabilities.version_0.is_some());
    }

    #[test]
    fn what_a_server_offers_is_told_apart() {
        let offered = |words: &str| parse(words, &[format!("{A} HEAD")]).expect("well-formed").capabilities;
        let version_0 = |words: &str| offered(words).version_0.expect("it is not version 2");
        let azure = version_0("multi_ack thin-pack side-band side-band-64k no-progress shallow");
        assert_eq!(azure.acknowledgments, Some(Acknowledgments::MultiAck));
        assert!(!azure.ofs_delta && azure.no_progress);
        assert_eq!(version_0("side-band").side_band, SideBand::SideBand);
        assert_eq!(version_0("side-band").acknowledgments, None);
        for any in ["allow-reachable-sha1-in-want", "allow-any-sha1-in-want"] {
            assert!(offered(&format!("{BAND} {any}")).sends_any_object());
            assert!(offered(&format!("{BAND} filter {any}")).filter, "{any}");
        }
        assert!(!offered(&format!("{BAND} allow-tip-sha1-in-want")).sends_any_object());
        assert!(!offered(&format!("{BAND} filter")).filter, "what it leaves out could not be asked for");
        let refused = parse("multi_ack ofs-delta", &[format!("{A} HEAD")]);
        assert_eq!(refused, Err(AdvertisementError::MissingCommand("side-band-64k")));
        let sha256 = parse(&format!("{BAND} object-format=sha256"), &[format!("{}{} HEAD", A, &A[..24])]);
        assert_eq!(sha256, Err(AdvertisementError::UnsupportedObjectFormat("sha256".into())));
    }

    #[test]
    fn the_default_branch_is_guessed_by_its_commit_when_the_server_does_not_name_it() {
        let default = |capabilities: &str, refs: &[String]| {
            listed(capabilities, refs).default_branch().map(|branch| branch.name.clone())
        };
        let refs = [format!("{A} HEAD"), format!("{B} refs/heads/main"), format!("{A} refs/heads/trunk")];
        assert_eq!(default(BAND, &refs).as_deref(), Some("refs/heads/trunk"));
        assert_eq!(default(&format!("{BAND} symref=HEAD:refs/heads/main"), &refs).as_deref(), Some("refs/heads/main"));
        let both = [format!("{A} HEAD"), format!("{A} refs/heads/a"), format!("{A} refs/heads/master")];
        assert_eq!(default(BAND, &both).as_deref(), Some("refs/heads/master"));
        let hostile = default(&format!("{BAND} symref=HEAD:refs/heads/../x"), &refs);
        assert_eq!(hostile.as_deref(), Some("refs/heads/trunk"));
    }

    #[test]
    fn a_peeled_value_belongs_to_the_tag_right_before_it() {
        let tag = |name: &str| format!("{TAG} refs/tags/{name}");
        let peeled = |name: &str| format!("{A} refs/tags/{name}^{{}}");
        let refs =
            listed(BAND, &[tag("a"), tag("b"), peeled("a"), tag("a"), peeled("a"), tag("c.lock"), peeled("c.lock")]);
        assert_eq!(refs.tags().collect::<Vec<_>>(), [("a", oid(TAG)), ("b", oid(TAG))]);
        let reasons: Vec<SkipReason> = refs.skipped.iter().map(|skipped| skipped.reason).collect();
        assert_eq!(reasons, [SkipReason::Duplicate, SkipReason::InvalidName]);
    }

    #[test]
    fn refs_are_bounded_however_many_other_names_are_listed() {
        let mut refs: Vec<String> = (0..=REFS).map(|n| format!("{A} refs/pull/{n}/head")).collect();
        refs.push(format!("{A} refs/heads/main"));
        refs.push(format!("{A} refs/heads/{}", "x".repeat(REF_NAME_BYTES)));
        let few = listed(BAND, &refs);
        assert_eq!((few.refs.len(), few.skipped_total), (1, 1));
        let many: Vec<String> = (0..=REFS).map(|n| format!("{A} refs/tags/{n}")).collect();
        assert_eq!(parse(BAND, &many), Err(AdvertisementError::Refs(LsRefsError::TooManyRefs { limit: REFS })));
    }

    #[test]
    fn broken_advertisements_are_told_apart() {
        for end in 35..RECORDED.len() {
            let read = Advertisement::parse(&RECORDED[..end]);
            assert_eq!(read, Err(AdvertisementError::Truncated), "{end}");
        }
        let head = format!("{A} HEAD");
        for bad in ["hello", "xyz refs/heads/a", "0000"] {
            let read = parse(BAND, &[head.clone(), bad.to_owned()]);
            assert_eq!(read, Err(AdvertisementError::Refs(LsRefsError::MalformedLine)), "{bad}");
        }
        let refused = parse(BAND, &[head.clone(), "ERR over quota".to_owned()]);
        assert_eq!(refused, Err(AdvertisementError::Remote("over quota".into())));
        let shallow = listed(BAND, &[head, format!("shallow {B}")]);
        assert_eq!(shallow.refs.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(at in 30usize..RECORDED.len(), bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let mut changed = RECORDED.to_vec();
            changed.splice(at..(at + bytes.len()).min(RECORDED.len()), bytes);
            if let Ok(Advertisement { refs, .. }) = Advertisement::parse(&changed) {
                prop_assert!(refs.is_some_and(|refs| refs.refs.len() <= 3));
            }
        }
    }
}
