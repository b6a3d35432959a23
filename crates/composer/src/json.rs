//! Reading JSON text, with words for what its reader cannot put into words.

use serde_json::Value;

/// Byte order marks, and the encodings that they announce.
const BYTE_ORDER_MARKS: [(&[u8], &str); 3] =
    [(b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16LE"), (b"\xfe\xff", "UTF-16BE")];

/// Why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// It begins with a byte order mark, which Composer refuses, too.
    #[error("it begins with a byte order mark ({encoding}), which JSON does not allow; save it as UTF-8 without one")]
    ByteOrderMark {
        /// The encoding that the mark announces.
        encoding: &'static str,
    },
    /// Anything else.
    #[error("{reason}")]
    Syntax {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error.
        column: usize,
        /// What the reader said, with line and column.
        reason: String,
    },
}

impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax { line: error.line(), column: error.column(), reason: error.to_string() }
    }
}

/// Reads any JSON.
///
/// # Errors
/// [`InvalidJson`]
pub fn parse_json(bytes: &[u8]) -> Result<Value, InvalidJson> {
    refuse_byte_order_mark(bytes)?;
    Ok(serde_json::from_slice(bytes)?)
}

/// Refuses a text that begins with a byte order mark, for whoever looks at it before it is parsed.
pub(crate) fn refuse_byte_order_mark(bytes: &[u8]) -> Result<(), InvalidJson> {
    match BYTE_ORDER_MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        Some((_, encoding)) => Err(InvalidJson::ByteOrderMark { encoding }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_named_with_its_encoding() {
        for (bytes, encoding) in
            [(&b"\xef\xbb\xbf{}"[..], "UTF-8"), (b"\xff\xfe{\0}\0", "UTF-16LE"), (b"\xfe\xff\0{\0}", "UTF-16BE")]
        {
            let error = parse_json(bytes).expect_err("marked");
            assert_eq!(error, InvalidJson::ByteOrderMark { encoding });
            assert!(error.to_string().contains("byte order mark"), "{error}");
        }
        let error = parse_json(b"{\n,}").expect_err("no JSON");
        assert!(matches!(error, InvalidJson::Syntax { line: 2, column: 1, .. }), "{error}");
        assert_eq!(parse_json(b"{}").expect("JSON"), serde_json::json!({}));
    }
}
