//! pkt-lines: git's framing, four hexadecimal digits of length before each piece of data
//! (gitprotocol-common(5)).

use crate::limits::REMOTE_MESSAGE_BYTES;

/// Longest packet including its four length digits, in bytes (`LARGE_PACKET_MAX`).
pub const MAX_PACKET: usize = 65_520;
/// Longest payload of one packet, in bytes.
pub const MAX_DATA: usize = MAX_PACKET - LENGTH_DIGITS;
const LENGTH_DIGITS: usize = 4;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the border between two sections of a message.
    Delim,
    /// `0002`: the end of a response; only gateways send it.
    ResponseEnd,
    /// A payload of 0 to 65 516 bytes, as sent (a trailing line feed included).
    Data(&'a [u8]),
}

/// The bytes are not pkt-lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PktLineError {
    /// A length that is not four hexadecimal digits, is 3, or exceeds 65 520.
    #[error("a packet starts with an impossible length")]
    BadLength,
    /// The bytes end inside a packet.
    #[error("the response ends inside a packet")]
    Truncated,
}

/// Appends a packet that carries `data`. Data beyond 65 516 bytes goes into further packets, which
/// no caller of this crate needs.
pub fn encode_data(out: &mut Vec<u8>, data: impl AsRef<[u8]>) {
    for part in data.as_ref().chunks(MAX_DATA) {
        out.extend_from_slice(format!("{:04x}", part.len() + LENGTH_DIGITS).as_bytes());
        out.extend_from_slice(part);
    }
}

/// Appends `0000`.
pub fn encode_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends `0001`.
pub fn encode_delim(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// Cuts a stream that arrives in arbitrary chunks into packets.
///
/// Holds at most one incomplete packet, 65 520 bytes.
#[derive(Debug, Default)]
pub struct PktDecoder {
    partial: Vec<u8>,
}

impl PktDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands each packet that `chunk` completes to `on_packet`, and keeps the rest for the next
    /// call. Stops at the first error, its own or that of `on_packet`.
    pub fn push<E: From<PktLineError>>(
        &mut self,
        mut chunk: &[u8],
        mut on_packet: impl FnMut(Packet<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.partial.is_empty() && !chunk.is_empty() {
            let needed = if self.partial.len() < LENGTH_DIGITS {
                LENGTH_DIGITS
            } else {
                packet_len(&self.partial)?.max(LENGTH_DIGITS)
            };
            let taken = needed.saturating_sub(self.partial.len()).min(chunk.len());
            self.partial.extend_from_slice(&chunk[..taken]);
            chunk = &chunk[taken..];
            if let Some((packet, _)) = split_packet(&self.partial)? {
                on_packet(packet)?;
                self.partial.clear();
            }
        }
        while let Some((packet, rest)) = split_packet(chunk)? {
            on_packet(packet)?;
            chunk = rest;
        }
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// Says whether the stream may end here.
    pub fn finish(&self) -> Result<(), PktLineError> {
        if self.partial.is_empty() { Ok(()) } else { Err(PktLineError::Truncated) }
    }
}

/// All packets of a complete message.
pub(crate) fn packets(mut bytes: &[u8]) -> impl Iterator<Item = Result<Packet<'_>, PktLineError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        match split_packet(bytes) {
            Ok(Some((packet, rest))) => {
                bytes = rest;
                Some(Ok(packet))
            }
            Ok(None) => {
                bytes = &[];
                Some(Err(PktLineError::Truncated))
            }
            Err(error) => {
                bytes = &[];
                Some(Err(error))
            }
        }
    })
}

/// The words of an `ERR` packet, or nothing if it is another packet.
pub(crate) fn remote_error(data: &[u8]) -> Option<String> {
    data.strip_prefix(b"ERR ").map(remote_message)
}

/// What a server said, fit to be shown: trimmed, bounded and without control characters.
pub(crate) fn remote_message(raw: &[u8]) -> String {
    // A character has at most four bytes, so cutting the bytes first cannot cost one that is kept.
    let head = &raw[..raw.len().min(REMOTE_MESSAGE_BYTES * 4)];
    let mut words = String::new();
    for word in String::from_utf8_lossy(head)
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    let mut end = words.len().min(REMOTE_MESSAGE_BYTES);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words.truncate(end);
    words
}

/// A payload without its trailing line feed, which senders may leave out.
pub(crate) fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

fn split_packet(bytes: &[u8]) -> Result<Option<(Packet<'_>, &[u8])>, PktLineError> {
    if bytes.len() < LENGTH_DIGITS {
        return Ok(None);
    }
    let len = packet_len(bytes)?;
    let special = match len {
        0 => Packet::Flush,
        1 => Packet::Delim,
        2 => Packet::ResponseEnd,
        _ if bytes.len() < len => return Ok(None),
        _ => {
            return Ok(Some((Packet::Data(&bytes[LENGTH_DIGITS..len]), &bytes[len..])));
        }
    };
    Ok(Some((special, &bytes[LENGTH_DIGITS..])))
}

/// The number in the first four of `bytes`, of which there are at least four.
fn packet_len(bytes: &[u8]) -> Result<usize, PktLineError> {
    let mut len = 0;
    for digit in &bytes[..LENGTH_DIGITS] {
        let value = char::from(*digit).to_digit(16).ok_or(PktLineError::BadLength)?;
        len = len * 16 + value as usize;
    }
    if len == 3 || len > MAX_PACKET {
        return Err(PktLineError::BadLength);
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_in(chunks: &[&[u8]]) -> Result<Vec<String>, PktLineError> {
        let mut seen = Vec::new();
        let mut decoder = PktDecoder::new();
        for chunk in chunks {
            decoder.push(chunk, |packet| {
                seen.push(format!("{packet:?}"));
                Ok::<(), PktLineError>(())
            })?;
        }
        decoder.finish()?;
        Ok(seen)
    }

    #[test]
    fn data_flush_and_delim_are_framed_as_git_frames_them() {
        let mut out = Vec::new();
        encode_data(&mut out, "command=ls-refs\n");
        encode_delim(&mut out);
        encode_data(&mut out, b"peel");
        encode_flush(&mut out);
        assert_eq!(out, b"0014command=ls-refs\n00010008peel0000");
    }

    #[test]
    fn data_beyond_one_packet_is_split() {
        let mut out = Vec::new();
        encode_data(&mut out, vec![b'x'; MAX_DATA + 1]);
        assert_eq!(&out[..4], b"fff0");
        assert_eq!(&out[MAX_PACKET..], b"0005x");
    }

    #[test]
    fn an_empty_payload_is_a_packet() {
        let all: Vec<_> = packets(b"00040000").collect();
        assert_eq!(all, [Ok(Packet::Data(b"")), Ok(Packet::Flush)]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for bad in [&b"0003"[..], b"<!DO", b"fff1", b"ffff", b"-001", b"+001"] {
            assert_eq!(decode_in(&[bad]), Err(PktLineError::BadLength), "{bad:?}");
        }
    }

    #[test]
    fn a_stream_that_ends_inside_a_packet_is_truncated() {
        for bad in [&b"0"[..], b"000", b"0008pee", b"00000008p"] {
            assert_eq!(decode_in(&[bad]), Err(PktLineError::Truncated), "{bad:?}");
        }
        assert_eq!(packets(b"0008pee").next(), Some(Err(PktLineError::Truncated)));
        assert_eq!(packets(b"zzzz").next(), Some(Err(PktLineError::BadLength)));
    }

    #[test]
    fn the_words_of_a_server_are_trimmed_and_bounded() {
        assert_eq!(remote_error(b"ERR  access\x1b[31m denied \n").as_deref(), Some("access [31m denied"));
        assert_eq!(remote_error(b"packfile\n"), None);
        let long = "é".repeat(5000);
        let words = remote_message(long.as_bytes());
        assert_eq!(words.len(), REMOTE_MESSAGE_BYTES);
        assert_eq!(remote_message(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cut in 1usize..20,
        ) {
            let mut out = Vec::new();
            for payload in &payloads {
                encode_data(&mut out, payload);
                encode_flush(&mut out);
            }
            let chunks: Vec<&[u8]> = out.chunks(cut).collect();
            prop_assert_eq!(decode_in(&chunks), decode_in(&[&out]));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = decode_in(&[&bytes]);
            let split: Vec<&[u8]> = bytes.chunks(3).collect();
            prop_assert_eq!(whole, decode_in(&split));
        }
    }
}
