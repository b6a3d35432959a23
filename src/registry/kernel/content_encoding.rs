//! Bodies that a server has compressed. The platform undoes `gzip` and `br`, which it asks for; some servers send
//! `deflate` whatever they are asked, and that is undone here, piece by piece.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use crate::ports::{BoxFuture, ByteStream, Fault, HttpResponse};

/// Most bytes of one piece: what inflates to a thousand times its size does so in as many pieces.
const PIECE_BYTES: usize = 64 << 10;

/// The response with its body as it was before it was compressed; an error names an encoding that is not known.
pub fn decode(mut response: HttpResponse) -> Result<HttpResponse, String> {
    let name = response.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    match name.as_deref() {
        None | Some(b"" | b"identity") => {}
        Some(b"deflate") => {
            response.headers.remove(CONTENT_ENCODING);
            response.headers.remove(CONTENT_LENGTH);
            response.body = Box::new(Inflating::new(response.body));
        }
        Some(other) => return Err(String::from_utf8_lossy(other).chars().take(50).collect()),
    }
    Ok(response)
}

/// A body that is being inflated.
struct Inflating {
    body: Box<dyn ByteStream>,
    /// Received and not yet inflated.
    input: Bytes,
    /// Once the form is known: with the header of zlib, as the standard has it, or without, as some servers send it.
    state: Option<Decompress>,
    is_over: bool,
}

impl Inflating {
    fn new(body: Box<dyn ByteStream>) -> Self {
        Self { body, input: Bytes::new(), state: None, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while !self.is_over {
            let needed = if self.state.is_none() { 2 } else { 1 };
            if self.input.len() < needed {
                let Some(chunk) = self.body.next_chunk().await else {
                    return if self.state.is_none() && self.input.is_empty() { Ok(None) } else { Err(cut_off()) };
                };
                self.input = [&self.input[..], &chunk?].concat().into();
                continue;
            }
            let piece = self.inflate()?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn inflate(&mut self) -> Result<Bytes, Fault> {
        let state = self.state.get_or_insert_with(|| Decompress::new(begins_as_zlib(&self.input)));
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let before = state.total_in();
        let status = state
            .decompress_vec(&self.input, &mut piece, FlushDecompress::None)
            .map_err(|_| Fault::new("upstream", "what was compressed is damaged"))?;
        let taken = usize::try_from(state.total_in() - before).unwrap_or(usize::MAX).min(self.input.len());
        self.is_over = status == Status::StreamEnd;
        if taken == 0 && piece.is_empty() && !self.is_over {
            return Err(Fault::new("upstream", "what was compressed is damaged"));
        }
        self.input.advance(taken);
        Ok(piece.into())
    }
}

fn cut_off() -> Fault {
    Fault::new("upstream", "what was compressed is cut off")
}

fn begins_as_zlib(input: &[u8]) -> bool {
    matches!(input, [first, second, ..] if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

impl ByteStream for Inflating {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(async move {
            let piece = self.next().await.transpose();
            self.is_over |= matches!(piece, Some(Err(_)));
            piece
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    async fn read_all(body: &mut dyn ByteStream, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next_chunk().await {
            bytes.extend_from_slice(&chunk?);
            assert!(bytes.len() <= limit);
        }
        Ok(bytes)
    }

    /// Bytes that arrive one by one.
    struct Trickle(Bytes);

    impl ByteStream for Trickle {
        fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
            let piece = (!self.0.is_empty()).then(|| Ok(self.0.split_to(1)));
            Box::pin(std::future::ready(piece))
        }

        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
            self
        }
    }

    fn response(encoding: &str, body: impl Into<Bytes>) -> HttpResponse {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::try_from(encoding).expect("a value"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        HttpResponse { status: StatusCode::OK, headers, body: Box::new(Trickle(body.into())) }
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    #[tokio::test]
    async fn deflate_is_undone_with_and_without_a_header_and_its_length_is_no_longer_told() {
        let content = vec![b'x'; 3 * PIECE_BYTES];
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&content).expect("written");
        for body in [zlib(&content), raw.finish().expect("finished")] {
            let mut decoded = decode(response("Deflate", body)).expect("a known encoding");
            assert!(decoded.headers.is_empty());
            assert_eq!(read_all(&mut *decoded.body, usize::MAX).await.expect("inflates"), content);
        }
        let mut empty = decode(response("deflate", Bytes::new())).expect("a known encoding");
        assert_eq!(read_all(&mut *empty.body, 0).await.expect("empty"), b"");
        let mut plain = decode(response("identity", "as it is")).expect("a known encoding");
        assert_eq!(read_all(&mut *plain.body, 100).await.expect("plain"), b"as it is");
    }

    #[tokio::test]
    async fn what_is_damaged_or_cut_off_is_an_error_and_so_is_an_encoding_that_is_not_known() {
        let whole = zlib(b"a text that is long enough to be cut off");
        let mut damaged = whole.clone();
        damaged[10] ^= 0xff;
        for body in [whole[..whole.len() / 2].to_vec(), damaged, b"x".to_vec()] {
            let mut decoded = decode(response("deflate", body)).expect("a known encoding");
            assert!(read_all(&mut *decoded.body, usize::MAX).await.is_err());
        }
        assert_eq!(decode(response("zstd", "…")).err().as_deref(), Some("zstd"));
    }
}
