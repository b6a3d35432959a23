//! `working-tree-encoding`: UTF-8 in the repository, another encoding in the working copy.
//!
//! The Unicode encodings and the ones that are a part of Unicode need no table. Of all others (`CP1252`, `SJIS`) the file
//! stays UTF-8: a table for each would cost every isolate more than a handful of packages gain.

/// An encoding that files are converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16(Form),
    Utf32(Form),
    Latin1,
    Ascii,
}

/// The order of bytes, and whether a byte order mark says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    LittleEndian,
    LittleEndianMarked,
    BigEndian,
    BigEndianMarked,
}

/// Why a file keeps its encoding.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, thiserror::Error,
)]
pub enum EncodingRefusal {
    /// The encoding is none of those above.
    #[error("this encoding is not known here")]
    Unknown,
    /// The blob is not UTF-8.
    #[error("the file is not UTF-8 in the repository")]
    NotUtf8,
    /// The encoding lacks one of its characters.
    #[error("the encoding lacks a character of the file")]
    Unmappable,
}

impl Encoding {
    /// Reads a name as git and the C library do. Without a byte order in its name, the mark and the order are those of a
    /// little-endian machine, because nearly every machine is one.
    pub(crate) fn parse(name: &[u8]) -> Result<Self, EncodingRefusal> {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let plain: String = name.chars().filter(|letter| !matches!(letter, '-' | '_')).collect();
        match plain.as_str() {
            "utf8" => return Ok(Self::Utf8),
            "iso88591" | "latin1" => return Ok(Self::Latin1),
            "ascii" | "usascii" => return Ok(Self::Ascii),
            _ => {}
        }
        let (units, form) = plain.split_at_checked("utf16".len()).ok_or(EncodingRefusal::Unknown)?;
        let form = match form {
            "" => Form::LittleEndianMarked,
            "le" => Form::LittleEndian,
            "be" => Form::BigEndian,
            "lebom" if units == "utf16" => Form::LittleEndianMarked,
            "bebom" if units == "utf16" => Form::BigEndianMarked,
            _ => return Err(EncodingRefusal::Unknown),
        };
        match units {
            "utf16" => Ok(Self::Utf16(form)),
            "utf32" => Ok(Self::Utf32(form)),
            _ => Err(EncodingRefusal::Unknown),
        }
    }

    /// The content in this encoding, unless that is the one it has.
    pub(crate) fn encode(self, content: &[u8]) -> Result<Option<Vec<u8>>, EncodingRefusal> {
        if self == Self::Utf8 {
            return Ok(None);
        }
        let text = std::str::from_utf8(content).map_err(|_| EncodingRefusal::NotUtf8)?;
        let bytes = match self {
            Self::Utf8 => return Ok(None),
            Self::Utf16(form) => {
                let units = form.mark().into_iter().chain(text.encode_utf16());
                units.flat_map(|unit| if form.is_little() { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
            }
            Self::Utf32(form) => {
                let units = form.mark().map(u32::from).into_iter().chain(text.chars().map(u32::from));
                units.flat_map(|unit| if form.is_little() { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
            }
            Self::Latin1 => single_bytes(text, u8::MAX)?,
            Self::Ascii => single_bytes(text, 0x7f)?,
        };
        Ok(Some(bytes))
    }
}

impl Form {
    fn is_little(self) -> bool {
        matches!(self, Self::LittleEndian | Self::LittleEndianMarked)
    }

    fn mark(self) -> Option<u16> {
        matches!(self, Self::LittleEndianMarked | Self::BigEndianMarked).then_some(0xfeff)
    }
}

/// Each character as the one byte of the same number, up to `last`.
fn single_bytes(text: &str, last: u8) -> Result<Vec<u8>, EncodingRefusal> {
    let byte = |letter: char| u8::try_from(letter).ok().filter(|byte| *byte <= last);
    text.chars().map(byte).collect::<Option<Vec<u8>>>().ok_or(EncodingRefusal::Unmappable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(name: &str, text: &str) -> Result<Option<Vec<u8>>, EncodingRefusal> {
        Encoding::parse(name.as_bytes())?.encode(text.as_bytes())
    }

    #[test]
    fn a_name_is_read_whatever_its_spelling() {
        for (name, bytes) in [
            ("UTF-16", &b"\xff\xfe\xe9\0"[..]),
            ("utf16", b"\xff\xfe\xe9\0"),
            ("UTF-16LE", b"\xe9\0"),
            ("UTF-16BE", b"\0\xe9"),
            ("UTF-16LE-BOM", b"\xff\xfe\xe9\0"),
            ("UTF-16BE-BOM", b"\xfe\xff\0\xe9"),
            ("UTF-32", b"\xff\xfe\0\0\xe9\0\0\0"),
            ("UTF-32BE", b"\0\0\0\xe9"),
            ("ISO-8859-1", b"\xe9"),
            ("latin1", b"\xe9"),
        ] {
            assert_eq!(encode(name, "é"), Ok(Some(bytes.to_vec())), "{name}");
        }
        assert_eq!(encode("UTF-8", "é"), Ok(None));
        assert_eq!(encode("UTF-16BE", "\u{1f600}"), Ok(Some(b"\xd8\x3d\xde\x00".to_vec())));
        for unknown in ["SJIS", "", "utf", "UTF-32LE-BOM", "UTF-16XE", "é16le"] {
            assert_eq!(encode(unknown, "é"), Err(EncodingRefusal::Unknown), "{unknown}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(encode("ISO-8859-1", "€"), Err(EncodingRefusal::Unmappable));
        assert_eq!(encode("US-ASCII", "é"), Err(EncodingRefusal::Unmappable));
        assert_eq!(Encoding::Latin1.encode(b"\xe9"), Err(EncodingRefusal::NotUtf8));
    }
}
