//! Archives compared with `git archive` of the same commit.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Cursor;

use rostrum_git::{
    ARCHIVE_FORMAT, ArchiveError, ArchiveOptions, ArchivePlanning, ArchiveWork, Attributes, FetchRequest, ObjectId,
    Packs, RemarkKind, SymlinkRefusal, build_zip, missing_files, missing_rule_files, plan_archive,
};
use sha1::{Digest, Sha1};
use support::{Filters, Listing, Repo, archive, fetched, git_archive, open, read_zip};
use zip::{CompressionMethod, ZipArchive};

/// A library as people write them, with attributes on several levels.
fn library() -> Repo {
    let repo = Repo::new();
    repo.write(
        ".gitattributes",
        "# what Composer does not need\n\
         * text=auto\n\
         /tests export-ignore\n\
         /docs/ export-ignore\n\
         .gitattributes export-ignore\n\
         .gitignore export-ignore\n\
         *.dist export-ignore\n\
         *.md export-ignore\n\
         README.md -export-ignore\n\
         \"with space.txt\" export-ignore\n\
         src/**/fixtures export-ignore\n",
    );
    repo.write("composer.json", "{\"name\": \"acme/lib\"}\n");
    repo.write("README.md", "# Acme\n");
    repo.write("CHANGELOG.md", "- nothing\n");
    repo.write("phpunit.xml.dist", "<phpunit/>\n");
    repo.write("tests/AllTest.php", "<?php\n");
    repo.write("src/tests/Kept.php", "<?php // not anchored here\n");
    repo.write("docs/index.html", "<p>\n");
    repo.write("with space.txt", "x");
    repo.write("src/Größe.php", "<?php\n");
    repo.write("src/.gitattributes", "*.md !export-ignore\n/secret export-ignore\n");
    repo.write("src/notes.md", "kept by the deeper file\n");
    repo.write("src/secret/key.txt", "x");
    repo.write("src/a/b/fixtures/f.php", "<?php\n");
    repo.write("src/a/secret/kept.txt", "x");
    repo.write("src/empty.php", "");
    repo.write("assets/logo.bin", (0..=255).cycle().take(50_000).collect::<Vec<u8>>());
    repo.write_executable("bin/acme", "#!/usr/bin/env php\n");
    repo.link("bin/alias", "acme");
    repo.link("src/up", "../README.md");
    repo
}

#[test]
fn an_archive_holds_what_git_archive_would_put_in() {
    let mut repo = library();
    let commit = repo.commit();
    let archive = archive(&repo, commit).expect("archived");
    let listing = read_zip(&archive.chunks.concat());
    assert_eq!(listing, git_archive(&repo, &["HEAD"]));
    assert_eq!(archive.entries, listing.len());
    assert!(archive.remarks.is_empty());
    // Not only the same as git, but what this test means to test.
    assert_eq!(listing["bin/acme"].0, 0o100_755);
    assert_eq!(listing["bin/alias"], (0o120_777, b"acme".to_vec()));
    assert!(listing.contains_key("src/notes.md") && listing.contains_key("src/tests/Kept.php"));
    for gone in ["tests/AllTest.php", "docs/index.html", "CHANGELOG.md", "src/secret/key.txt"] {
        assert!(!listing.contains_key(gone), "{gone}");
    }
}

#[test]
fn the_same_commit_gives_the_same_bytes_for_ever() {
    let mut repo = library();
    let commit = repo.commit();
    assert_eq!((ARCHIVE_FORMAT, commit.to_string().as_str()), (FORMAT_OF_LIBRARY, COMMIT_OF_LIBRARY));
    let first = archive(&repo, commit).expect("archived").chunks.concat();
    assert_eq!(hex::encode(Sha1::digest(&first)), ZIP_OF_LIBRARY);
    // From another pack of other deltas in another order, beside other commits.
    repo.write("composer.json", "{}");
    repo.commit();
    let packs = Packs::from(open(repo.pack_everything(&["--depth=0"])));
    let second = build_zip(&packs, &commit, &ArchiveOptions::default()).expect("archived");
    assert!(second.chunks.concat() == first);
}

/// What an archive needs, fetched in three requests: trees, rules, files.
fn fetched_by_pieces(repo: &Repo, commit: ObjectId, options: &ArchiveOptions<'_>) -> Packs {
    let fetch = |request: FetchRequest| open(repo.fetch(Filters::Allowed, &request).expect("a pack"));
    let mut packs = Packs::from(fetch(FetchRequest::commits([commit], Some("blob:none"))));
    let rules = missing_rule_files(&packs, &commit, options.path).expect("readable trees");
    packs.push(fetch(FetchRequest::blobs(rules)));
    let files = missing_files(&packs, &commit, options).expect("readable rules");
    packs.push(fetch(FetchRequest::blobs(files)));
    packs
}

#[test]
fn an_archive_from_pieces_has_the_bytes_of_one_from_the_whole_commit() {
    let mut repo = library();
    let commit = repo.commit();
    let packs = fetched_by_pieces(&repo, commit, &ArchiveOptions::default());
    let archive = build_zip(&packs, &commit, &ArchiveOptions::default()).expect("archived");
    assert_eq!(hex::encode(Sha1::digest(archive.chunks.concat())), ZIP_OF_LIBRARY);
    for unwanted in ["docs/index.html", "CHANGELOG.md", "phpunit.xml.dist"] {
        assert!(!packs.contains(&repo.id(&format!("HEAD:{unwanted}"))), "{unwanted} was not needed");
    }
    let exclude = |path: &str, _: bool, _: &mut ArchiveWork| Ok(path.starts_with("src/a"));
    for path in [None, Some("src")] {
        let options = ArchiveOptions { path, exclude: &exclude, ..ArchiveOptions::default() };
        let whole = build_zip(&fetched(&repo, commit), &commit, &options).expect("archived");
        let pieces = build_zip(&fetched_by_pieces(&repo, commit, &options), &commit, &options).expect("archived");
        assert!(pieces == whole && whole.entries > 3, "{path:?}");
    }
}

#[test]
fn what_is_there_already_is_not_asked_for_again() {
    let mut repo = library();
    let commit = repo.commit();
    let (packs, options) = (fetched(&repo, commit), ArchiveOptions::default());
    assert!(missing_rule_files(&packs, &commit, None).expect("readable").is_empty());
    assert!(missing_files(&packs, &commit, &options).expect("readable").is_empty());
    let trees = open(repo.fetch(Filters::Allowed, &FetchRequest::commits([commit], Some("blob:none"))).expect("sent"));
    let trees = Packs::from(trees);
    let rules = missing_rule_files(&trees, &commit, None).expect("readable trees");
    let expected = [".gitattributes", "src/.gitattributes", "composer.json", "bin/alias", "src/up"];
    assert_eq!(rules, expected.map(|path| repo.id(&format!("HEAD:{path}"))).into());
    let below = missing_rule_files(&trees, &commit, Some("src")).expect("readable trees");
    let expected = [".gitattributes", "src/.gitattributes", "src/up"];
    assert_eq!(below, expected.map(|path| repo.id(&format!("HEAD:{path}"))).into(), "those above count, too");
}

#[test]
fn a_plan_that_is_made_step_by_step_is_the_same_and_no_step_is_longer_than_a_directory() {
    let mut repo = library();
    let commit = repo.commit();
    let (packs, options) = (fetched(&repo, commit), ArchiveOptions::default());
    let whole = plan_archive(&packs, &commit, &options).expect("planned");
    let mut planning = ArchivePlanning::new(&packs, &commit, &options).expect("begun");
    let mut steps = 1;
    while !planning.step(1).expect("planned") {
        steps += 1;
    }
    let directories: BTreeSet<&[u8]> = whole.entries.iter().filter_map(|entry| directory_of(&entry.path)).collect();
    assert!(steps >= directories.len() && directories.len() > 1, "{steps} steps, {} directories", directories.len());
    let stepped = planning.finish().expect("planned");
    assert_eq!((stepped.digest(), stepped.remarks), (whole.digest(), whole.remarks));
}

fn directory_of(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash])
}

/// Changing what archives look like changes what a commit gives, so these may change only on purpose, and together with
/// the format's number.
const FORMAT_OF_LIBRARY: u32 = 2;
const COMMIT_OF_LIBRARY: &str = "de258ad0910c62fd98bfca5f0c02c35a42d327df";
const ZIP_OF_LIBRARY: &str = "5682313463038a29802543670875667065db00ab";

#[test]
fn entries_are_sorted_dated_and_deflated() {
    let mut repo = library();
    let commit = repo.commit();
    let bytes = archive(&repo, commit).expect("archived").chunks.concat();
    let mut zip = ZipArchive::new(Cursor::new(&bytes)).expect("a zip");
    let mut names = Vec::new();
    for index in 0..zip.len() {
        let file = zip.by_index(index).expect("an entry");
        let at = file.last_modified().expect("dated");
        // 1 700 000 060 is 22:14:20 in UTC; the commit was made at +01:00.
        assert_eq!((at.year(), at.month(), at.day()), (2023, 11, 14));
        assert_eq!((at.hour(), at.minute(), at.second()), (22, 14, 20));
        let expected = if file.is_symlink() { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        assert_eq!(file.compression(), expected);
        assert!(!file.is_dir());
        names.push(file.name().expect("UTF-8").into_owned());
    }
    assert!(names.is_sorted());
    assert_eq!(zip.comment(), format!("commit {commit}, format {ARCHIVE_FORMAT}").as_bytes());
}

/// Composer strips the only directory at the top of a zip, whatever is in it.
#[test]
fn everything_lies_below_one_directory() {
    let mut repo = Repo::new();
    repo.write(".gitattributes", ".gitattributes export-ignore\n/composer.json export-ignore\n");
    repo.write("composer.json", "{}");
    repo.write("src/A.php", "<?php");
    let commit = repo.commit();
    let packs = fetched(&repo, commit);
    let options = ArchiveOptions { directory: "lib", ..ArchiveOptions::default() };
    let bytes = build_zip(&packs, &commit, &options).expect("archived").chunks.concat();
    let zip = ZipArchive::new(Cursor::new(&bytes)).expect("a zip");
    assert_eq!(zip.file_names_raw().collect::<Vec<_>>(), [b"lib/src/A.php"]);
    for directory in ["..", "", "a/b", "a\\b"] {
        let options = ArchiveOptions { directory, ..ArchiveOptions::default() };
        assert!(matches!(build_zip(&packs, &commit, &options), Err(ArchiveError::Path(_))), "{directory}");
    }
}

#[test]
fn an_annotated_tag_archives_its_commit() {
    let mut repo = library();
    let commit = repo.commit();
    repo.git(&["tag", "-a", "-m", "A release", "v1"]);
    let tag = repo.id("refs/tags/v1");
    assert_ne!(tag, commit);
    let by_tag = archive(&repo, tag).expect("archived");
    assert_eq!(by_tag, archive(&repo, commit).expect("archived"));
}

#[test]
fn a_package_in_a_directory_is_archived_as_a_repository_of_its_own() {
    let mut repo = Repo::new();
    repo.write(
        ".gitattributes",
        "/packages export-ignore\n/packages/foo/tests export-ignore\n*.md export-ignore\n*.txt eol=crlf\n\
         [attr]dev export-ignore\n",
    );
    repo.write("packages/.gitattributes", "CHANGES.md -export-ignore\n/bar export-ignore\nfoo/old dev\n");
    repo.write("packages/foo/.gitattributes", "/bench export-ignore\nREADME.md -export-ignore\n");
    repo.write("packages/foo/composer.json", "{\"name\": \"acme/foo\"}");
    repo.write("packages/foo/README.md", "kept by the nearest file");
    repo.write("packages/foo/CHANGES.md", "kept by the one between");
    repo.write("packages/foo/UPGRADE.md", "left out by the root's");
    repo.write("packages/foo/notes.txt", "a\nb\n");
    repo.write("packages/foo/tests/t.php", "<?php");
    repo.write("packages/foo/src/tests/t.php", "<?php");
    repo.write("packages/foo/bench/b.php", "<?php");
    repo.write("packages/foo/old/b.php", "<?php");
    repo.link("packages/foo/link", "../bar/file");
    repo.write("packages/bar/file", "another package");
    let commit = repo.commit();
    let options = ArchiveOptions { path: Some("packages/foo"), ..ArchiveOptions::default() };
    let archive = build_zip(&fetched(&repo, commit), &commit, &options).expect("archived");
    // Git is asked without the rule for the directory itself, which would leave out everything.
    repo.write("packages/foo/link2", "");
    let rules = std::fs::read_to_string(repo.path(".gitattributes")).expect("there");
    repo.write(".gitattributes", rules.replace("/packages export-ignore\n", ""));
    repo.commit();
    let listing = git_archive(&repo, &["HEAD", "packages/foo"]);
    let mut expected: Listing = listing
        .into_iter()
        .filter_map(|(path, entry)| Some((path.strip_prefix("packages/foo/")?.to_owned(), entry)))
        .collect();
    assert!(expected.remove("link").is_some() && expected.remove("link2").is_some());
    assert_eq!(read_zip(&archive.chunks.concat()), expected);
    let names: Vec<&str> = expected.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [".gitattributes", "CHANGES.md", "README.md", "composer.json", "notes.txt", "src/tests/t.php"],
        "not only the same as git, but what this test means to test"
    );
    let refusal = RemarkKind::Symlink(SymlinkRefusal::Escapes);
    assert_eq!(archive.remarks.iter().next().map(|remark| &remark.kind), Some(&refusal), "another package is outside");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let mut repo = library();
    let commit = repo.commit();
    let pack = fetched(&repo, commit);
    for missing in ["packages/foo", "composer.json"] {
        let options = ArchiveOptions { path: Some(missing), ..ArchiveOptions::default() };
        let error = build_zip(&pack, &commit, &options).expect_err("not there");
        assert!(matches!(error, ArchiveError::PathNotFound(path) if path == missing));
    }
    let options = ArchiveOptions { path: Some("../x"), ..ArchiveOptions::default() };
    assert!(matches!(build_zip(&pack, &commit, &options), Err(ArchiveError::Path(_))));
}

#[test]
fn the_caller_can_leave_out_more() {
    let mut repo = library();
    let commit = repo.commit();
    let asked = std::sync::Mutex::new(Vec::new());
    let exclude = |path: &str, is_dir: bool, _: &mut ArchiveWork| {
        asked.lock().expect("not poisoned").push((path.to_owned(), is_dir));
        Ok(path == "src" || path == "composer.json")
    };
    let options = ArchiveOptions { exclude: &exclude, ..ArchiveOptions::default() };
    let archive = build_zip(&fetched(&repo, commit), &commit, &options).expect("archived");
    let names: Vec<String> = read_zip(&archive.chunks.concat()).into_keys().collect();
    assert_eq!(names, ["README.md", "assets/logo.bin", "bin/acme", "bin/alias"]);
    let asked = asked.into_inner().expect("not poisoned");
    assert!(asked.contains(&("src".to_owned(), true)));
    assert!(asked.contains(&("bin/acme".to_owned(), false)));
    assert!(!asked.iter().any(|(path, _)| path.starts_with("src/") || path.starts_with("tests")));
}

#[test]
fn symlinks_that_lead_outside_and_submodules_are_left_out_and_reported() {
    let mut repo = Repo::new();
    repo.write("a.txt", "kept");
    repo.link("absolute", "/etc/passwd");
    repo.link("d/escapes", "../../outside");
    repo.link("d/fine", "../a.txt");
    repo.link("odd", "a\\b");
    repo.link("through", "d/../../outside");
    let first = repo.commit();
    let submodule = format!("160000,{first},module");
    repo.git(&["update-index", "--add", "--cacheinfo", &submodule]);
    repo.git(&["commit", "-q", "-m", "A submodule"]);
    let commit = repo.id("HEAD");
    let archive = archive(&repo, commit).expect("archived");
    let names: Vec<String> = read_zip(&archive.chunks.concat()).into_keys().collect();
    assert_eq!(names, ["a.txt", "d/fine"]);
    assert_eq!(archive.entries, 2);
    let remarks: Vec<_> = archive.remarks.iter().map(|remark| (remark.path.as_str(), remark.kind.clone())).collect();
    let symlink = RemarkKind::Symlink;
    assert_eq!(
        remarks,
        [
            ("absolute", symlink(SymlinkRefusal::Absolute)),
            ("d/escapes", symlink(SymlinkRefusal::Escapes)),
            ("odd", symlink(SymlinkRefusal::Odd)),
            ("through", symlink(SymlinkRefusal::Escapes)),
            ("module", RemarkKind::Submodule),
        ]
    );
}

#[test]
fn a_commit_without_files_is_an_empty_archive() {
    let mut repo = Repo::new();
    let commit = repo.commit();
    let archive = archive(&repo, commit).expect("archived");
    assert_eq!(archive.entries, 0);
    assert!(read_zip(&archive.chunks.concat()).is_empty());
}

/// Every pattern of a small alphabet, asked of git and of us about the same paths.
#[test]
fn patterns_match_what_git_check_attr_matches() {
    const PIECES: [&str; 13] =
        ["a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "\\*", "a*", "/**/", "**/", "[[:alpha:]]"];
    let paths = [
        "a", "b", "*", "ab", "ba", "aab", "a/", "ab/", "a/b", "b/a", "a/b/", "a/a/b", "b/a/ab", "a/*", "a/ab/b/a",
        "ab/a/b", "a/b/a/b", "bab", "a/bab/",
    ];
    let mut patterns = Vec::new();
    for one in PIECES {
        for two in PIECES.iter().chain(&[""]) {
            for three in PIECES.iter().chain(&[""]) {
                for four in ["", "/", "a", "**"] {
                    patterns.push(format!("{one}{two}{three}{four}"));
                }
            }
        }
    }
    patterns.sort_unstable();
    patterns.dedup();
    let repo = Repo::new();
    let mut lines = String::new();
    for (number, pattern) in patterns.iter().enumerate() {
        writeln!(lines, "{pattern} p{number}").expect("to memory");
    }
    repo.write(".gitattributes", lines);
    let output = repo
        .git_with(&["check-attr", "--stdin", "-z", "-a"], paths.map(|path| format!("{path}\0")).concat().as_bytes());
    let output = String::from_utf8(output).expect("ASCII");
    let words: Vec<&str> = output.split('\0').collect();
    let matched: std::collections::HashSet<(&str, &str)> =
        words.chunks_exact(3).map(|triple| (triple[0], triple[1])).collect();
    assert!(matched.len() > 1000, "git has matched something");
    for (number, pattern) in patterns.iter().enumerate() {
        let mut attributes = Attributes::new();
        attributes.add_file("", format!("{pattern} export-ignore").as_bytes()).expect("one rule");
        let name = format!("p{number}");
        for path in paths {
            let (bare, is_dir) = path.strip_suffix('/').map_or((path, false), |bare| (bare, true));
            assert_eq!(
                attributes.export_ignore(bare.as_bytes(), is_dir, &mut ArchiveWork::new(u64::MAX)),
                Ok(matched.contains(&(path, name.as_str()))),
                "pattern {pattern:?}, path {path:?}"
            );
        }
    }
}
