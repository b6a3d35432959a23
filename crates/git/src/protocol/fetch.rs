//! The `fetch` command: ask for objects, receive a pack (gitprotocol-v2(5)); and the same of a server of version 0
//! (gitprotocol-pack(5)).

use crate::object::ObjectId;
use crate::protocol::bounded_buffer::BoundedBuffer;
use crate::protocol::capabilities::Capabilities;
use crate::protocol::pkt_line::{
    Packet, PktDecoder, PktLineError, encode_data, encode_flush, line, remote_error, remote_message,
};
use crate::protocol::version_0::Version0;

/// What to ask for. There is nothing to find out about what we have, so the request ends the
/// negotiation (`done`) and one answer brings the pack. `thin-pack` is never asked for: every delta's base is inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRequest {
    /// The objects wanted. Protocol v2 takes any object that the server has, blobs included; of older ones
    /// [`Capabilities::sends_any_object`] tells.
    pub wants: Vec<ObjectId>,
    /// How many commits deep; `Some(1)` is each wanted commit without its history. Sent only if
    /// the server offers `shallow`; meaningless when blobs are wanted.
    pub depth: Option<u32>,
    /// A partial clone filter (git-rev-list(1) `--filter`). Sent only if the server offers
    /// `filter`.
    pub filter: Option<String>,
    /// Commits that are as good as there: neither they nor what is behind them is sent.
    pub haves: Vec<ObjectId>,
}

impl FetchRequest {
    /// The wanted commits without their history, cut down by `filter`.
    pub fn commits(wants: impl IntoIterator<Item = ObjectId>, filter: Option<&str>) -> Self {
        Self {
            wants: wants.into_iter().collect(),
            depth: Some(1),
            filter: filter.map(str::to_owned),
            haves: Vec::new(),
        }
    }

    /// The commits from `tip` back to those that can be reached from `known`, and nothing of their
    /// content where the server can leave that out. None are sent when `tip` itself can be reached
    /// from `known`.
    pub fn history(tip: ObjectId, known: Vec<ObjectId>) -> Self {
        Self { wants: vec![tip], depth: None, filter: Some("tree:0".to_owned()), haves: known }
    }

    /// The wanted objects as they are: blobs by id.
    pub fn blobs(wants: impl IntoIterator<Item = ObjectId>) -> Self {
        Self { wants: wants.into_iter().collect(), depth: None, filter: None, haves: Vec::new() }
    }

    /// The body to post, about 50 bytes for each wanted object.
    pub fn encode(&self, capabilities: &Capabilities) -> Vec<u8> {
        if let Some(version_0) = &capabilities.version_0 {
            return self.encode_for_version_0(capabilities, version_0);
        }
        let mut out = capabilities.request_header("fetch");
        encode_data(&mut out, "ofs-delta\n");
        encode_data(&mut out, "no-progress\n");
        self.encode_cuts(&mut out, capabilities);
        for want in &self.wants {
            encode_data(&mut out, format!("want {want}\n"));
        }
        self.encode_haves(&mut out);
        encode_flush(&mut out);
        out
    }

    fn encode_for_version_0(&self, capabilities: &Capabilities, version_0: &Version0) -> Vec<u8> {
        let mut out = Vec::new();
        let has_filter = self.filter.is_some() && capabilities.filter;
        let mut named = version_0.named_capabilities(capabilities, has_filter);
        for want in &self.wants {
            encode_data(&mut out, format!("want {want}{named}\n"));
            // Only the first line has them.
            named.clear();
        }
        self.encode_cuts(&mut out, capabilities);
        encode_flush(&mut out);
        self.encode_haves(&mut out);
        out
    }

    /// What is left out of what is wanted.
    fn encode_cuts(&self, out: &mut Vec<u8>, capabilities: &Capabilities) {
        if let Some(depth) = self.depth.filter(|_| capabilities.shallow) {
            encode_data(out, format!("deepen {depth}\n"));
        }
        if let Some(filter) = self.filter.as_deref().filter(|_| capabilities.filter) {
            encode_data(out, format!("filter {filter}\n"));
        }
    }

    fn encode_haves(&self, out: &mut Vec<u8>) {
        for have in &self.haves {
            encode_data(out, format!("have {have}\n"));
        }
        encode_data(out, "done\n");
    }
}

/// The answer to `fetch` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The answer is not pkt-lines.
    #[error("the server's answer is not readable: {0}")]
    Framing(PktLineError),
    /// The answer ends before its end marker.
    #[error("the server's answer is incomplete")]
    Truncated,
    /// The pack exceeds `limit` bytes; receiving stopped there.
    #[error("the pack is larger than {limit} bytes")]
    TooLarge {
        /// The most that is accepted, in bytes.
        limit: usize,
    },
    /// The server refused, in its own words. A filter that it does not allow ends like this too,
    /// see [`MetadataPlan::after_refusal`](crate::MetadataPlan::after_refusal).
    #[error("the server says: {0}")]
    Remote(String),
    /// A section, or a band of the pack's section, that the protocol does not have here.
    #[error("the server's answer holds {0}")]
    Unexpected(&'static str),
    /// The answer ended in order but held no pack.
    #[error("the server sent no pack")]
    NoPack,
}

impl FetchError {
    /// The object that the server says it does not have (git: `upload-pack: not our ref {id}`; `JGit`: `want {id} not
    /// valid`), if that is why it refused.
    pub fn missing_object(&self) -> Option<ObjectId> {
        let Self::Remote(words) = self else { return None };
        let jgit = || words.strip_suffix(" not valid").and_then(|words| words.split_once("want "));
        let (_, after) = words.split_once("not our ref ").or_else(jgit)?;
        ObjectId::parse(after.get(..2 * ObjectId::BYTES)?).ok()
    }
}

impl From<PktLineError> for FetchError {
    fn from(error: PktLineError) -> Self {
        match error {
            PktLineError::Truncated => Self::Truncated,
            PktLineError::BadLength => Self::Framing(error),
        }
    }
}

/// Receives the answer to a [`FetchRequest`] chunk by chunk and keeps the pack. A server of version 0 sends no sections:
/// what is shallow, acknowledgments, and then the pack's bands.
///
/// Holds at most the limit and a quarter (while it grows), and one packet.
#[derive(Debug)]
pub struct PackReceiver {
    decoder: PktDecoder,
    demux: Demux,
}

#[derive(Debug)]
struct Demux {
    section: Section,
    pack: BoundedBuffer,
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// The next line names a section.
    Header,
    /// Acknowledgments and shallow information, which tell us nothing that we need.
    Ignored,
    /// Version 0: what is shallow, up to a flush, or acknowledgments.
    Shallow,
    /// Version 0: acknowledgments until the first band.
    Acknowledgments,
    Packfile,
    /// The pack's section has ended.
    Done,
    /// The answer has ended without one.
    EndedEarly,
}

impl PackReceiver {
    /// A receiver of what a server with these capabilities answers. It refuses a pack of more than `limit` bytes as soon
    /// as it exceeds them.
    pub fn new(capabilities: &Capabilities, limit: usize) -> Self {
        let section = if capabilities.version_0.is_some() { Section::Shallow } else { Section::Header };
        Self { decoder: PktDecoder::new(), demux: Demux { section, pack: BoundedBuffer::new(limit), limit } }
    }

    /// Takes the next chunk of the answer. After an error the receiver is of no further use, and
    /// the caller should drop the connection.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        let demux = &mut self.demux;
        self.decoder.push(chunk, |packet| demux.packet(packet))
    }

    /// Takes what has arrived of the pack since the last time: for whoever reads it while it comes.
    pub fn take_pack(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.demux.pack, BoundedBuffer::new(self.demux.limit)).into_vec()
    }

    /// The pack, once the answer has ended, less what was taken of it.
    pub fn finish(self) -> Result<Vec<u8>, FetchError> {
        self.decoder.finish()?;
        match self.demux.section {
            Section::Done => Ok(self.demux.pack.into_vec()),
            Section::EndedEarly => Err(FetchError::NoPack),
            Section::Header | Section::Ignored | Section::Shallow | Section::Acknowledgments | Section::Packfile => {
                Err(FetchError::Truncated)
            }
        }
    }
}

impl Demux {
    fn packet(&mut self, packet: Packet<'_>) -> Result<(), FetchError> {
        match (packet, self.section) {
            (Packet::Flush, Section::Shallow) => {
                self.section = Section::Acknowledgments;
                Ok(())
            }
            (Packet::Flush | Packet::ResponseEnd, section) => {
                self.section = match section {
                    Section::Packfile | Section::Done => Section::Done,
                    _ => Section::EndedEarly,
                };
                Ok(())
            }
            (_, Section::Done | Section::EndedEarly) => Err(FetchError::Unexpected("more after its end")),
            (Packet::Delim, Section::Packfile) => Err(FetchError::Unexpected("a section after the pack")),
            (Packet::Delim, Section::Shallow | Section::Acknowledgments) => {
                Err(FetchError::Unexpected("a section, which its version of the protocol does not have"))
            }
            (Packet::Delim, Section::Header | Section::Ignored) => {
                self.section = Section::Header;
                Ok(())
            }
            (Packet::Data(data), Section::Packfile) => self.band(data),
            (Packet::Data(data), Section::Shallow | Section::Acknowledgments) => self.line_of_version_0(data),
            (Packet::Data(data), section) => {
                if let Some(words) = remote_error(data) {
                    return Err(FetchError::Remote(words));
                }
                if section == Section::Header {
                    self.section = section_named(line(data))?;
                }
                Ok(())
            }
        }
    }

    fn line_of_version_0(&mut self, data: &[u8]) -> Result<(), FetchError> {
        let words = line(data);
        let is_shallow = words.starts_with(b"shallow ") || words.starts_with(b"unshallow ");
        if is_shallow && self.section == Section::Shallow {
            return Ok(());
        }
        if words == b"NAK" || words.starts_with(b"ACK ") {
            self.section = Section::Acknowledgments;
            return Ok(());
        }
        if !data.first().is_some_and(|band| (1..=3).contains(band)) {
            let refusal = remote_error(data).map(FetchError::Remote);
            return Err(refusal.unwrap_or(FetchError::Unexpected("an unknown line before the pack")));
        }
        self.section = Section::Packfile;
        self.band(data)
    }

    fn band(&mut self, data: &[u8]) -> Result<(), FetchError> {
        match data.split_first() {
            Some((1, pack)) => {
                let limit = self.limit;
                self.pack.put(pack).map_err(|_| FetchError::TooLarge { limit })
            }
            // Progress, or an empty keep-alive.
            Some((2, _)) => Ok(()),
            Some((3, words)) => Err(FetchError::Remote(remote_message(words))),
            _ => match remote_error(data) {
                Some(words) => Err(FetchError::Remote(words)),
                None => Err(FetchError::Unexpected("an unknown band")),
            },
        }
    }
}

fn section_named(name: &[u8]) -> Result<Section, FetchError> {
    match name {
        b"packfile" => Ok(Section::Packfile),
        b"acknowledgments" | b"shallow-info" | b"wanted-refs" => Ok(Section::Ignored),
        // `packfile-uris` would need our consent, which we never give.
        _ => Err(FetchError::Unexpected("an unknown section")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Acknowledgments, encode_delim};

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 20])
    }

    fn receive(answer: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
        receive_from(&Capabilities::default(), answer, limit)
    }

    fn receive_from(capabilities: &Capabilities, answer: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut receiver = PackReceiver::new(capabilities, limit);
        for chunk in answer.chunks(7) {
            receiver.push(chunk)?;
        }
        receiver.finish()
    }

    fn answer(bands: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_data(&mut out, "shallow-info\n");
        encode_data(&mut out, format!("shallow {}", id(1)));
        encode_delim(&mut out);
        encode_data(&mut out, "packfile\n");
        for band in bands {
            encode_data(&mut out, band);
        }
        encode_flush(&mut out);
        out
    }

    #[test]
    fn a_request_names_only_what_the_server_offered() {
        let request = FetchRequest::commits([id(0x11)], Some("tree:1"));
        let plain = String::from_utf8(request.encode(&Capabilities::default())).expect("ASCII");
        let want = "0032want 1111111111111111111111111111111111111111\n";
        assert_eq!(plain, format!("0012command=fetch\n0001000eofs-delta\n0010no-progress\n{want}0009done\n0000"));
        let able = Capabilities { filter: true, shallow: true, ..Capabilities::default() };
        let full = String::from_utf8(request.encode(&able)).expect("ASCII");
        assert!(full.contains("000ddeepen 1\n0012filter tree:1\n"), "{full}");
        assert!(!full.contains("thin-pack"));
        let blobs = String::from_utf8(FetchRequest::blobs([id(2)]).encode(&able)).expect("ASCII");
        assert!(!blobs.contains("deepen") && !blobs.contains("filter"));
    }

    #[test]
    fn only_the_bytes_of_band_one_are_kept() {
        let bytes = answer(&[b"\x01PACK", b"\x02Counting objects\r", b"\x02", b"\x01 more"]);
        assert_eq!(receive(&bytes, 9), Ok(b"PACK more".to_vec()));
    }

    #[test]
    fn the_limit_stops_the_transfer_and_is_named() {
        let bytes = answer(&[b"\x01PACK", b"\x01 more"]);
        assert_eq!(receive(&bytes, 8), Err(FetchError::TooLarge { limit: 8 }));
    }

    #[test]
    fn the_words_of_a_server_reach_the_caller() {
        let fatal = answer(&[b"\x01PA", b"\x03fatal: out of memory\n"]);
        assert_eq!(receive(&fatal, 99), Err(FetchError::Remote("fatal: out of memory".into())));
        let inside = answer(&[b"\x01PA", b"ERR quota exceeded"]);
        assert_eq!(receive(&inside, 99), Err(FetchError::Remote("quota exceeded".into())));
        let mut refused = Vec::new();
        encode_data(&mut refused, "ERR upload-pack: not our ref\n");
        assert_eq!(receive(&refused, 99), Err(FetchError::Remote("upload-pack: not our ref".into())));
    }

    #[test]
    fn an_answer_that_stops_anywhere_is_truncated() {
        let whole = answer(&[b"\x01PACK"]);
        for end in 0..whole.len() {
            assert_eq!(receive(&whole[..end], 99), Err(FetchError::Truncated), "{end}");
        }
    }

    #[test]
    fn what_the_protocol_does_not_have_is_refused() {
        assert_eq!(receive(b"<html>", 9), Err(FetchError::Framing(PktLineError::BadLength)));
        assert_eq!(receive(b"0000", 9), Err(FetchError::NoPack));
        for (bytes, what) in [
            (answer(&[b"\x09PACK"]), "an unknown band"),
            ([answer(&[]), answer(&[])].concat(), "more after its end"),
            (b"0012packfile-uris\n0000".to_vec(), "an unknown section"),
            (b"000dpackfile\n0001".to_vec(), "a section after the pack"),
        ] {
            assert_eq!(receive(&bytes, 9), Err(FetchError::Unexpected(what)));
        }
    }

    /// A server of version 0 that offers whatever there is.
    fn able_of_version_0() -> Capabilities {
        let version_0 = Version0 {
            acknowledgments: Some(Acknowledgments::MultiAckDetailed),
            ofs_delta: true,
            no_progress: true,
            sends_any_object: true,
            ..Version0::default()
        };
        Capabilities { filter: true, shallow: true, version_0: Some(version_0), ..Capabilities::default() }
    }

    #[test]
    fn a_request_to_a_server_of_version_0_names_capabilities_once_and_ends_without_a_flush() {
        let able = able_of_version_0();
        let text = |request: &FetchRequest, capabilities: &Capabilities| {
            String::from_utf8(request.encode(capabilities)).expect("ASCII")
        };
        let (first, second) = (id(0x11), id(0x22));
        assert_eq!(
            text(&FetchRequest::commits([first, second], Some("tree:1")), &able),
            format!(
                "0070want {first} multi_ack_detailed side-band-64k ofs-delta no-progress filter\n0032want {second}\n\
                 000ddeepen 1\n0012filter tree:1\n00000009done\n"
            )
        );
        let history = FetchRequest::history(first, vec![second]);
        assert!(text(&history, &able).ends_with(&format!("00000032have {second}\n0009done\n")));
        let azure = Version0 { acknowledgments: Some(Acknowledgments::MultiAck), ..Version0::default() };
        let named = Capabilities {
            agent: Some("git/1".into()),
            object_format_sha1: true,
            version_0: Some(azure),
            ..Capabilities::default()
        };
        let plain = text(&FetchRequest::commits([first], Some("tree:1")), &named);
        assert!(plain.contains(&format!("want {first} multi_ack side-band-64k object-format=sha1 agent=rostrum/")));
        assert!(
            plain.ends_with("\n00000009done\n") && !plain.contains("deepen") && !plain.contains("filter"),
            "{plain}"
        );
    }

    #[test]
    fn the_answer_of_version_0_is_read_with_and_without_what_is_shallow() {
        let able = able_of_version_0();
        let receive = |answer: &[u8]| receive_from(&able, answer, 9);
        let pack = b"000a\x02hello000a\x01PACK\n0000";
        let shallow = b"0034shallow 0ed265b85db0739c385c07c1c9a82635e75077d70000";
        let known = b"0038ACK 0ed265b85db0739c385c07c1c9a82635e75077d7 common\n0031ACK 0ed265b85db0739c385c07c1c9a82635e75077d7\n";
        let nak = b"0008NAK\n";
        for before in [&nak[..], known, b"", &[&shallow[..], nak].concat(), b"00000008NAK\n"] {
            let whole = [before, pack].concat();
            assert_eq!(receive(&whole), Ok(b"PACK\n".to_vec()), "{}", before.escape_ascii());
            for end in 0..whole.len() {
                assert_eq!(receive(&whole[..end]), Err(FetchError::Truncated), "{end}");
            }
        }
        assert_eq!(receive(b"00000008NAK\n0000"), Err(FetchError::NoPack));
        let refused = receive(b"0034ERR upload-pack: not our ref 1234567890123456789");
        assert_eq!(refused, Err(FetchError::Remote("upload-pack: not our ref 1234567890123456789".into())));
        for (bytes, what) in [
            (&b"0008NAK\n0001"[..], "a section, which its version of the protocol does not have"),
            (b"000dpackfile\n", "an unknown line before the pack"),
            (b"0008NAK\n0034shallow 0ed265b85db0739c385c07c1c9a82635e75077d7", "an unknown line before the pack"),
            (b"0009\x01PACK00000008NAK\n", "more after its end"),
        ] {
            assert_eq!(receive(bytes), Err(FetchError::Unexpected(what)));
        }
    }

    #[test]
    fn an_object_that_is_refused_is_found_in_the_words_of_each_server() {
        let object = id(0x11);
        for words in [format!("upload-pack: not our ref {object}"), format!("want {object} not valid")] {
            assert_eq!(FetchError::Remote(words).missing_object(), Some(object));
        }
        for words in ["not our ref", "want something not valid", "you want too much"] {
            assert_eq!(FetchError::Remote(words.into()).missing_object(), None, "{words}");
        }
    }
}
