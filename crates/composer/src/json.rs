//! Reading JSON text, with words for what its reader cannot put into words.

use serde_json::Value;

/// Most values of a document that somebody else wrote. A member of an object takes 72 bytes for its value, 24 for its key, 24 for
/// its hash and its place in a table that is half empty, and two allocations of 16 to 32 bytes: 250 000 × 170 = 42 MB of the
/// 128 MB of an isolate, beside 8 MB of text. The largest documents of packagist.org have some 100 000.
pub const MAX_JSON_VALUES: usize = 250_000;

/// How many values may still be read from the documents of one purpose, which are in memory together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonBudget {
    left: usize,
}

impl Default for JsonBudget {
    fn default() -> Self {
        Self { left: MAX_JSON_VALUES }
    }
}

impl JsonBudget {
    /// For what we wrote ourselves, which was bounded when it was written.
    pub fn unbounded() -> Self {
        Self { left: usize::MAX }
    }

    fn spend(&mut self, values: usize) -> Result<(), InvalidJson> {
        self.left = self.left.checked_sub(values).ok_or(InvalidJson::TooManyValues)?;
        Ok(())
    }
}

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
    /// It would take many times the memory of its text.
    #[error("it has more than {MAX_JSON_VALUES} values")]
    TooManyValues,
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

/// Reads any JSON of at most [`MAX_JSON_VALUES`] values.
///
/// # Errors
/// [`InvalidJson`]
pub fn parse_json(bytes: &[u8]) -> Result<Value, InvalidJson> {
    parse_json_within(bytes, &mut JsonBudget::default())
}

/// Reads any JSON of at most as many values as are left.
///
/// # Errors
/// [`InvalidJson`]
pub fn parse_json_within(bytes: &[u8], budget: &mut JsonBudget) -> Result<Value, InvalidJson> {
    refuse_byte_order_mark(bytes)?;
    budget.spend(count_values(bytes))?;
    Ok(serde_json::from_slice(bytes)?)
}

/// How many values a text has if it is JSON, counted by what stands between them, before memory is taken for any. Of a text that
/// is none, as many at least as are read before that is noticed.
fn count_values(bytes: &[u8]) -> usize {
    let mut values = 1;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b',' => values += 1,
            b'[' | b'{' => {
                let next = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace());
                values += usize::from(!matches!(next, Some(b']' | b'}')));
            }
            b'"' => at += end_of_text(&bytes[at..]),
            _ => {}
        }
    }
    values
}

/// Where the text ends whose opening quote stands before `rest`, behind its closing one.
fn end_of_text(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    rest.len()
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
    fn values_are_counted_before_memory_is_taken_for_them() {
        for (text, expected) in [
            ("5", 1),
            ("[]", 1),
            ("{ }", 1),
            ("[[],{}]", 3),
            (r#"{"a": 1, "b": ["x,y", "\\", "\"[,"]}"#, 6),
            ("[{},{},{}", 4),
            (r#"["[,,"#, 2),
        ] {
            assert_eq!(count_values(text.as_bytes()), expected, "{text}");
        }
        let most = |count: usize| format!("[{}0]", "{},".repeat(count - 2));
        assert!(parse_json(most(MAX_JSON_VALUES).as_bytes()).is_ok());
        assert_eq!(parse_json(most(MAX_JSON_VALUES + 1).as_bytes()), Err(InvalidJson::TooManyValues));
        assert!(parse_json_within(most(MAX_JSON_VALUES + 1).as_bytes(), &mut JsonBudget::unbounded()).is_ok());
        let mut shared = JsonBudget::default();
        assert!(parse_json_within(most(MAX_JSON_VALUES / 2).as_bytes(), &mut shared).is_ok());
        assert!(parse_json_within(most(MAX_JSON_VALUES / 2).as_bytes(), &mut shared).is_ok());
        assert_eq!(parse_json_within(b"1", &mut shared), Err(InvalidJson::TooManyValues));
        assert!(size_of::<Value>() <= 72, "the arithmetic of MAX_JSON_VALUES");
    }

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
