//! What archives begin and end with, so that a web page or the first half of one is told from an archive without unpacking
//! anything.

use composer::DistType;

/// How many bytes of the end are looked at: a zip ends with a record of 22 bytes and a comment of up to 65,535.
pub const END_BYTES: usize = 65_535 + 22;

/// A zip begins with an entry, or with its end when it has none.
const ZIP_BEGINNINGS: [&[u8]; 2] = [b"PK\x03\x04", ZIP_END];
/// What the record at the end of a zip begins with.
const ZIP_END: &[u8] = b"PK\x05\x06";
const GZIP_BEGINNING: &[u8] = &[0x1f, 0x8b];
const BZIP2_BEGINNING: &[u8] = b"BZh";
const XZ_BEGINNING: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const XZ_END: &[u8] = b"YZ";

/// How many bytes of the beginning are looked at.
pub const BEGINNING_BYTES: usize = TAR_BLOCK;

/// The blocks of a tar, and where in its first one the sum of that block stands.
const TAR_BLOCK: usize = 512;
const TAR_SUM: std::ops::Range<usize> = 148..156;

/// Whether an archive of this kind may begin with `bytes`, the first ones of it.
pub fn begins(kind: DistType, bytes: &[u8]) -> bool {
    match kind {
        DistType::Zip => ZIP_BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning)),
        DistType::Gzip => bytes.starts_with(GZIP_BEGINNING),
        DistType::Xz => bytes.starts_with(XZ_BEGINNING),
        DistType::Tar => {
            let compressed = [GZIP_BEGINNING, BZIP2_BEGINNING, XZ_BEGINNING];
            compressed.iter().any(|beginning| bytes.starts_with(beginning)) || begins_as_tar(bytes)
        }
    }
}

/// Whether an archive of this kind may end with `end`, the last bytes of it. A gzip and a tar do not show it.
pub fn ends(kind: DistType, end: &[u8]) -> bool {
    match kind {
        DistType::Zip => end.windows(ZIP_END.len()).any(|window| window == ZIP_END),
        DistType::Xz => {
            let length = end.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            end[..length].ends_with(XZ_END)
        }
        DistType::Gzip | DistType::Tar => true,
    }
}

/// Whether `bytes` begin with the header of a tar's first entry, whose sum stands in it as octal digits.
fn begins_as_tar(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..TAR_BLOCK) else { return false };
    let stated = str::from_utf8(&header[TAR_SUM]).unwrap_or_default().trim_matches([' ', '\0']);
    let sum: u32 =
        header.iter().enumerate().map(|(at, byte)| u32::from(if TAR_SUM.contains(&at) { b' ' } else { *byte })).sum();
    u32::from_str_radix(stated, 8) == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an empty file's entry, as `tar` writes it.
    fn tar_header() -> Vec<u8> {
        let mut header = vec![0; TAR_BLOCK];
        header[..5].copy_from_slice(b"a.php");
        header[257..262].copy_from_slice(b"ustar");
        header[TAR_SUM].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    #[test]
    fn an_archive_is_known_by_its_first_bytes() {
        let page = b"<!doctype html>".as_slice();
        let mut broken = tar_header();
        broken[0] = b'b';
        for (kind, bytes, expected) in [
            (DistType::Zip, b"PK\x03\x04...".as_slice(), true),
            (DistType::Zip, b"PK\x05\x06...", true),
            (DistType::Zip, page, false),
            (DistType::Gzip, &[0x1f, 0x8b, 8], true),
            (DistType::Gzip, page, false),
            (DistType::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0], true),
            (DistType::Xz, page, false),
            (DistType::Tar, &tar_header(), true),
            (DistType::Tar, &tar_header()[..511], false),
            (DistType::Tar, &broken, false),
            (DistType::Tar, &[0x1f, 0x8b, 8], true),
            (DistType::Tar, b"BZh9", true),
            (DistType::Tar, page, false),
            (DistType::Tar, &[0; 1024], false),
        ] {
            assert_eq!(begins(kind, bytes), expected, "{kind:?} {bytes:?}");
        }
    }

    #[test]
    fn the_end_of_a_zip_and_of_an_xz_is_looked_for() {
        assert!(ends(DistType::Zip, b"...PK\x05\x06..."));
        assert!(!ends(DistType::Zip, b"...PK\x01\x02..."));
        assert!(ends(DistType::Xz, b"...YZ\0\0\0\0"));
        assert!(!ends(DistType::Xz, b"...Y"));
        assert!(ends(DistType::Tar, b"") && ends(DistType::Gzip, b""));
    }
}
