//! The `fetch` command: ask for objects, receive a pack (gitprotocol-v2(5)).

use crate::object::ObjectId;
use crate::protocol::bounded_buffer::BoundedBuffer;
use crate::protocol::capabilities::Capabilities;
use crate::protocol::pkt_line::{
    Packet, PktDecoder, PktLineError, encode_data, encode_flush, line, remote_error, remote_message,
};

/// What to ask for. There is nothing to find out about what we have, so the request ends the
/// negotiation (`done`) and one answer brings the pack. `thin-pack` is never asked for: every delta's base is inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRequest {
    /// The objects wanted. Protocol v2 takes any object that the server has, blobs included.
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
        let mut out = capabilities.request_header("fetch");
        encode_data(&mut out, "ofs-delta\n");
        encode_data(&mut out, "no-progress\n");
        if let Some(depth) = self.depth.filter(|_| capabilities.shallow) {
            encode_data(&mut out, format!("deepen {depth}\n"));
        }
        if let Some(filter) = self.filter.as_deref().filter(|_| capabilities.filter) {
            encode_data(&mut out, format!("filter {filter}\n"));
        }
        for want in &self.wants {
            encode_data(&mut out, format!("want {want}\n"));
        }
        for have in &self.haves {
            encode_data(&mut out, format!("have {have}\n"));
        }
        encode_data(&mut out, "done\n");
        encode_flush(&mut out);
        out
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
    /// The object that the server says it does not have (`upload-pack: not our ref {id}`), if that
    /// is why it refused.
    pub fn missing_object(&self) -> Option<ObjectId> {
        let Self::Remote(words) = self else { return None };
        let (_, after) = words.split_once("not our ref ")?;
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

/// Receives the answer to a [`FetchRequest`] chunk by chunk and keeps the pack.
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
    Packfile,
    /// The pack's section has ended.
    Done,
    /// The answer has ended without one.
    EndedEarly,
}

impl PackReceiver {
    /// A receiver that refuses a pack of more than `limit` bytes as soon as it exceeds them.
    pub fn new(limit: usize) -> Self {
        Self {
            decoder: PktDecoder::new(),
            demux: Demux { section: Section::Header, pack: BoundedBuffer::new(limit), limit },
        }
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
            Section::Header | Section::Ignored | Section::Packfile => Err(FetchError::Truncated),
        }
    }
}

impl Demux {
    fn packet(&mut self, packet: Packet<'_>) -> Result<(), FetchError> {
        match (packet, self.section) {
            (Packet::Flush | Packet::ResponseEnd, section) => {
                self.section = match section {
                    Section::Packfile | Section::Done => Section::Done,
                    _ => Section::EndedEarly,
                };
                Ok(())
            }
            (_, Section::Done | Section::EndedEarly) => Err(FetchError::Unexpected("more after its end")),
            (Packet::Delim, Section::Packfile) => Err(FetchError::Unexpected("a section after the pack")),
            (Packet::Delim, _) => {
                self.section = Section::Header;
                Ok(())
            }
            (Packet::Data(data), Section::Packfile) => self.band(data),
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
    use crate::encode_delim;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 20])
    }

    fn receive(answer: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut receiver = PackReceiver::new(limit);
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
}
