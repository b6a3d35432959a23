//! Zips as people upload them, good and bad.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An entry of a zip.
pub enum ZipEntry<'a> {
    File(&'a str, Vec<u8>),
    Link(&'a str, &'a str),
    Directory(&'a str),
}

pub fn text<'a>(path: &'a str, content: &str) -> ZipEntry<'a> {
    ZipEntry::File(path, content.as_bytes().to_vec())
}

pub fn zip_of(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o644);
    for entry in entries {
        match entry {
            ZipEntry::File(path, content) => {
                zip.start_file(*path, options).expect("begins");
                zip.write_all(content).expect("is written");
            }
            ZipEntry::Link(path, target) => zip.add_symlink(*path, *target, options).expect("is written"),
            ZipEntry::Directory(path) => zip.add_directory(*path, options).expect("is written"),
        }
    }
    zip.finish().expect("ends").into_inner()
}

/// A package with one file, whose content is `note`.
pub fn package(name: &str, note: &str) -> Vec<u8> {
    let manifest =
        format!(r#"{{"name":"{name}","description":"Uploaded","autoload":{{"psr-4":{{"Acme\\":"src/"}}}}}}"#);
    zip_of(&[text("composer.json", &manifest), text("README.md", "# Read me\n"), text("src/note.txt", note)])
}

/// A package with one more entry.
pub fn package_with(extra: ZipEntry<'_>) -> Vec<u8> {
    zip_of(&[text("composer.json", r#"{"name":"acme/lib"}"#), extra])
}

/// `bytes` with every `old` replaced by `new`, which is as long.
pub fn patched(mut bytes: Vec<u8>, old: &str, new: impl AsRef<[u8]>) -> Vec<u8> {
    let new = new.as_ref();
    assert_eq!(old.len(), new.len());
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(old.len()).position(|window| window == old.as_bytes()) {
        bytes[at + found..at + found + old.len()].copy_from_slice(new);
        at += found + old.len();
    }
    assert!(at > 0, "{old} is not there");
    bytes
}

/// `zip` as if it had been made on another system: the number in each of its central headers that tells which.
pub fn made_on(mut zip: Vec<u8>, system: u8) -> Vec<u8> {
    let headers: Vec<usize> = (0..zip.len()).filter(|at| zip[*at..].starts_with(b"PK\x01\x02")).collect();
    for at in headers {
        zip[at + 5] = system;
    }
    zip
}

/// `zip` with other bits of unix in the last of its central headers: those that tell what the entry is, and who may do what.
pub fn with_file_type(mut zip: Vec<u8>, mode: u16) -> Vec<u8> {
    let header = (0..zip.len()).rev().find(|at| zip[*at..].starts_with(b"PK\x01\x02")).expect("a central header");
    zip[header + 40..header + 42].copy_from_slice(&mode.to_le_bytes());
    zip
}
