//! The pointers that Git LFS keeps in a repository in place of large files (its docs/spec.md).

/// Longest pointer, in bytes: what is longer is a file itself.
const MAX_POINTER_BYTES: usize = 1024;
const VERSION: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// What a pointer says of the file that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LfsPointer {
    /// SHA-256 of the file, lowercase hex.
    pub oid: String,
    /// Bytes of the file.
    pub size: u64,
}

impl LfsPointer {
    /// Reads the content of a blob; nothing if it is no pointer.
    pub fn parse(content: &[u8]) -> Option<Self> {
        if content.len() >= MAX_POINTER_BYTES {
            return None;
        }
        let lines = std::str::from_utf8(content.strip_prefix(VERSION)?).ok()?.lines();
        let fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(' ')).collect::<Option<_>>()?;
        let field = |wanted: &str| fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let oid = field("oid")?.strip_prefix("sha256:")?;
        let is_hash = oid.len() == 64 && oid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(Self { oid: is_hash.then(|| oid.to_owned())?, size: field("size")?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn a_pointer_is_told_from_a_file_that_looks_like_one() {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n");
        let expected = LfsPointer { oid: OID.to_owned(), size: 12_345 };
        assert_eq!(LfsPointer::parse(pointer.as_bytes()), Some(expected.clone()));
        let extended = pointer.replace("oid ", "ext-0-foo sha256:00\noid ");
        assert_eq!(LfsPointer::parse(extended.as_bytes()), Some(expected));
        for other in [
            pointer.replace("v1", "v9"),
            pointer.replace(OID, "4d7a"),
            pointer.replace("4d7a", "4D7A"),
            pointer.replace("12345", "-1"),
            pointer.replace("size 12345\n", ""),
            format!("{pointer}{}", "x".repeat(1024)),
            format!("{pointer}oneword\n"),
            String::new(),
        ] {
            assert_eq!(LfsPointer::parse(other.as_bytes()), None, "{other}");
        }
    }
}
