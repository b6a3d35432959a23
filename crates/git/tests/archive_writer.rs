//! Archives written piece by piece: whatever the pieces, the bytes are the same.

use std::io::{Cursor, Read};

use rostrum_git::{
    ArchiveError, ArchiveLimits, ArchivePlan, ArchiveRemarks, ArchiveWriter, EntrySizes, ObjectId, PlannedEntry,
    PlannedKind, limits,
};
use zip::ZipArchive;

/// A plan of files with these names.
fn plan(names: impl IntoIterator<Item = String>) -> ArchivePlan {
    let entry = |path: String| {
        let kind = match path.split_once('.') {
            Some((_, "link")) => PlannedKind::Symlink,
            Some((_, "sh")) => PlannedKind::Executable,
            _ => PlannedKind::File,
        };
        PlannedEntry::new(path, kind, ObjectId::from_bytes([1; 20]))
    };
    let entries = names.into_iter().map(entry).collect();
    ArchivePlan {
        committed: 1_700_000_000,
        comment: "A comment".to_owned(),
        entries,
        remarks: ArchiveRemarks::default(),
    }
}

/// Bytes that compress somewhat.
fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 60) as u8 * 3
    };
    (0..length).map(next).collect()
}

/// Files of many sizes, the last of them too large to be held.
fn files() -> Vec<(String, Vec<u8>)> {
    let held = usize::try_from(limits::HELD_FILE_BYTES).expect("small");
    let sizes =
        [("a.link", 7), ("b.sh", 300), ("c", 0), ("d", 1), ("e", 70_000), ("ü", 9), ("x", held), ("y", held + 1)];
    sizes.iter().enumerate().map(|(seed, (name, size))| ((*name).to_owned(), content(seed, *size))).collect()
}

fn write_entry(writer: &mut ArchiveWriter, content: &[u8], piece: usize) -> Result<(), ArchiveError> {
    writer.begin_entry(content.len() as u64)?;
    for piece in content.chunks(piece) {
        writer.write(piece)?;
    }
    writer.end_entry()
}

fn finish(writer: &mut ArchiveWriter) -> Vec<u8> {
    while writer.write_directory().expect("in order") {}
    writer.take_output()
}

fn written_in_pieces_of(piece: usize) -> Vec<u8> {
    let files = files();
    let plan = plan(files.iter().map(|(name, _)| name.clone()));
    let mut writer = ArchiveWriter::new(plan, ArchiveLimits::default());
    for (_, content) in &files {
        write_entry(&mut writer, content, piece).expect("within the limits");
    }
    finish(&mut writer)
}

#[test]
fn however_contents_are_cut_into_pieces_the_bytes_are_the_same() {
    let whole = written_in_pieces_of(usize::MAX);
    for piece in [13, 65_536] {
        assert!(written_in_pieces_of(piece) == whole, "{piece}");
    }
    let mut zip = ZipArchive::new(Cursor::new(&whole)).expect("a zip");
    for (index, (name, content)) in files().into_iter().enumerate() {
        let mut file = zip.by_index(index).expect("an entry");
        assert_eq!(file.name().expect("UTF-8"), name);
        let mut read = Vec::new();
        file.read_to_end(&mut read).expect("intact");
        assert!(read == content, "{name}");
    }
}

#[test]
fn an_archive_that_was_put_down_anywhere_and_taken_up_again_has_the_same_bytes() {
    let whole = written_in_pieces_of(65_536);
    let files = files();
    let planned = || plan(files.iter().map(|(name, _)| name.clone()));
    // What is stored elsewhere ends anywhere: inside of headers, of data, between entries.
    for stored in (0..whole.len() as u64).step_by(whole.len() / 7) {
        let mut writer = ArchiveWriter::new(planned(), ArchiveLimits::default());
        let mut known: Vec<EntrySizes> = Vec::new();
        for (_, content) in &files {
            write_entry(&mut writer, content, 65_536).expect("within the limits");
            known.extend(writer.sizes_up_to(known.len(), stored).collect::<Vec<_>>());
        }
        let mut again = ArchiveWriter::resume(planned(), ArchiveLimits::default(), known.clone()).expect("it fits");
        assert_eq!(again.finished_entries(), known.len());
        let begins = again.offset();
        assert!(begins <= stored, "{begins} {stored}");
        for (_, content) in files.iter().skip(known.len()) {
            write_entry(&mut again, content, 1_000).expect("within the limits");
        }
        let rest = finish(&mut again);
        let overlap = usize::try_from(stored - begins).expect("small");
        let stored = usize::try_from(stored).expect("small");
        assert!([&whole[..stored], &rest[overlap..]].concat() == whole, "{stored}");
    }
}

#[test]
fn more_entries_than_16_bits_count_are_counted_in_zip64() {
    for entries in [65_534, 65_535] {
        let mut writer =
            ArchiveWriter::new(plan((0..entries).map(|number| format!("{number:06}"))), ArchiveLimits::default());
        for _ in 0..entries {
            write_entry(&mut writer, b"", 1).expect("within the limits");
        }
        let bytes = finish(&mut writer);
        assert_eq!(bytes.windows(4).any(|four| four == b"PK\x06\x06"), entries > 65_534, "{entries}");
        let mut zip = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
        assert_eq!(zip.len(), entries);
        assert_eq!(zip.by_index(entries - 1).expect("the last").name().expect("UTF-8"), format!("{:06}", entries - 1));
    }
}

#[test]
fn a_content_of_another_size_than_declared_is_refused() {
    for written in [9, 11] {
        let mut writer = ArchiveWriter::new(plan(["a".to_owned()]), ArchiveLimits::default());
        writer.begin_entry(10).expect("in order");
        let result = writer.write(&content(1, written)).and_then(|()| writer.end_entry());
        assert!(matches!(result, Err(ArchiveError::SizeMismatch { path }) if path == "a"), "{written}");
    }
}

#[test]
fn a_zip_is_never_larger_than_its_limit_whenever_that_is_reached() {
    let size = written_in_pieces_of(usize::MAX).len() as u64;
    let files = files();
    for zip_bytes in [0, 10, size / 2, size - 1] {
        let limits = ArchiveLimits { zip_bytes, ..ArchiveLimits::default() };
        let mut writer = ArchiveWriter::new(plan(files.iter().map(|(name, _)| name.clone())), limits);
        let mut result = Ok(());
        for (_, content) in &files {
            result = result.and_then(|()| write_entry(&mut writer, content, 65_536));
        }
        let result = result.and_then(|()| {
            while writer.write_directory()? {}
            Ok(())
        });
        assert!(matches!(result, Err(ArchiveError::ZipTooLarge { limit }) if limit == zip_bytes), "{zip_bytes}");
    }
}
