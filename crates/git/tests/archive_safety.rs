//! Trees that no archive may hold, and the limits of those it may.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use rostrum_git::{
    Archive, ArchiveError, ArchiveLimits, ArchiveOptions, ArchivePlanning, ArchiveWork, FetchRequest, ObjectId,
    RemarkKind, SymlinkRefusal, TreeError, UnsafeReason, WorkSpent, build_zip, limits,
};
use support::{Filters, Repo, archive, fetched, git_archive, open, read_zip};

/// The content of a tree with these entries, sorted or not, valid or not.
fn raw_tree(entries: &[(&str, &[u8], ObjectId)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (mode, name, id) in entries {
        content.extend_from_slice(mode.as_bytes());
        content.push(b' ');
        content.extend_from_slice(name);
        content.push(0);
        content.extend_from_slice(id.as_bytes());
    }
    content
}

/// Archives a crafted root tree; `entries` makes it from a blob and a directory with one file.
fn archive_crafted(
    entries: impl FnOnce(ObjectId, ObjectId) -> Vec<(&'static str, Vec<u8>, ObjectId)>,
) -> Result<Archive, ArchiveError> {
    let repo = Repo::new();
    let blob = repo.hash_object("blob", b"evil");
    let directory = repo.hash_object("tree", &raw_tree(&[("100644", b"file", blob)]));
    let entries = entries(blob, directory);
    let entries: Vec<(&str, &[u8], ObjectId)> =
        entries.iter().map(|(mode, name, id)| (*mode, &name[..], *id)).collect();
    let root = repo.hash_object("tree", &raw_tree(&entries));
    let commit = repo.commit_of_tree(root);
    let pack = open(repo.pack_everything(&[])).into();
    build_zip(&pack, &commit, &ArchiveOptions::default())
}

/// The remarks on an archive, and the paths that it has.
fn archived(result: Result<Archive, ArchiveError>) -> (Vec<String>, Vec<RemarkKind>) {
    let archive = result.expect("archived");
    let names = read_zip(&archive.chunks.concat()).into_keys().collect();
    (names, archive.remarks.iter().map(|remark| remark.kind.clone()).collect())
}

#[test]
fn names_that_would_write_elsewhere_are_left_out_and_told() {
    for (name, expected) in [
        (&b"../evil"[..], UnsafeReason::Separator),
        (b"/etc/cron.d/evil", UnsafeReason::Separator),
        (b"a/b", UnsafeReason::Separator),
        (b"..", UnsafeReason::Traversal),
        (b".", UnsafeReason::Traversal),
        (b"", UnsafeReason::Traversal),
        (b"..\\evil", UnsafeReason::Separator),
        (b"C:evil", UnsafeReason::Drive),
        (b".git", UnsafeReason::Repository),
        (b".Git ", UnsafeReason::Repository),
        (b"GIT~1", UnsafeReason::Repository),
        (b"line\nbreak", UnsafeReason::Control),
        (b"caf\xe9\\x", UnsafeReason::Separator),
    ] {
        let beside = |mode: &'static str, id, blob| vec![(mode, name.to_vec(), id), ("100644", b"zz".to_vec(), blob)];
        let as_file = archive_crafted(|blob, _| beside("100644", blob, blob));
        let expected = (vec!["zz".to_owned()], vec![RemarkKind::Unsafe(expected)]);
        assert_eq!(archived(as_file), expected, "{name:?}");
        let as_directory = archive_crafted(|blob, tree| beside("40000", tree, blob));
        assert_eq!(archived(as_directory), expected, "{name:?}");
    }
    let long = archive_crafted(|blob, _| vec![("100644", vec![b'x'; 2000], blob)]);
    assert_eq!(archived(long), (Vec::new(), vec![RemarkKind::Unsafe(UnsafeReason::TooLong)]));
}

#[test]
fn a_name_that_is_not_utf8_is_kept_byte_for_byte() {
    let repo = Repo::new();
    let blob = repo.hash_object("blob", b"evil");
    let link = repo.hash_object("blob", b"fix\xfc.txt");
    let root = raw_tree(&[
        ("100644", b"fix\xfc.txt", blob),
        ("120000", b"l\xefnk", link),
        ("100644", "\u{fc}".as_bytes(), blob),
    ]);
    let commit = repo.commit_of_tree(repo.hash_object("tree", &root));
    let packs = open(repo.pack_everything(&[])).into();
    let archive = build_zip(&packs, &commit, &ArchiveOptions::default()).expect("archived");
    let bytes = archive.chunks.concat();
    let listing = read_zip(&bytes);
    assert_eq!(listing.keys().collect::<Vec<_>>(), ["fix\\xfc.txt", "\u{fc}"]);
    assert_eq!(listing["fix\\xfc.txt"], git_archive(&repo, &[&commit.to_string()])["fix\\xfc.txt"]);
    let symlink = RemarkKind::Symlink(SymlinkRefusal::Odd);
    assert_eq!(archive.remarks.iter().map(|remark| remark.kind.clone()).collect::<Vec<_>>(), [symlink]);
    // The flag that says UTF-8 is bit 11.
    let flagged = |name: &[u8]| {
        let at = bytes.windows(name.len()).position(|window| window == name).expect("a local header");
        bytes[at - 30 + 7] & 0x08 != 0
    };
    assert!(!flagged(b"package/fix\xfc.txt") && flagged("package/\u{fc}".as_bytes()));
}

#[test]
fn paths_that_differ_in_case_only_are_all_there_and_told() {
    type Pair = [(&'static str, &'static str); 2];
    let archive_pair = |pair: Pair| {
        archive_crafted(|blob, tree| {
            let id = |mode: &str| if mode == "40000" { tree } else { blob };
            pair.iter().map(|(mode, name)| (*mode, name.as_bytes().to_vec(), id(mode))).collect()
        })
    };
    let differs = |other: &str| RemarkKind::SameWhereCaseIsIgnored { other: other.to_owned() };
    let told: [(Pair, &[&str], RemarkKind); 6] = [
        ([("100644", "README"), ("100644", "readme")], &["README", "readme"], differs("README")),
        ([("120000", "README"), ("100644", "readme")], &["README", "readme"], differs("README")),
        ([("100644", "README"), ("40000", "readme")], &["README", "readme/file"], differs("README")),
        // Where case is ignored, the directories become one.
        ([("40000", "Src"), ("40000", "src")], &["Src/file", "src/file"], differs("src/file")),
        // Unpacking what is in the directory would write wherever the symlink points.
        ([("120000", "A"), ("40000", "a")], &["a/file"], RemarkKind::Unsafe(UnsafeReason::LinkOverDirectory)),
        (
            [("40000", "\u{c9}"), ("120000", "\u{e9}")],
            &["\u{c9}/file"],
            RemarkKind::Unsafe(UnsafeReason::LinkOverDirectory),
        ),
    ];
    for (pair, names, remark) in told {
        assert_eq!(
            archived(archive_pair(pair)),
            (names.iter().map(|name| (*name).to_owned()).collect(), vec![remark]),
            "{pair:?}"
        );
    }
    let same = archive_pair([("100644", "same"), ("100644", "same")]);
    assert_eq!(archived(same), (vec!["same".to_owned()], vec![RemarkKind::Unsafe(UnsafeReason::Duplicate)]));
}

#[test]
fn directories_that_differ_in_case_only_may_hold_different_files() {
    let mut repo = Repo::new();
    repo.write("Src/a", "a");
    repo.write("src/b", "b");
    let commit = repo.commit();
    let names: Vec<String> = read_zip(&archive(&repo, commit).expect("archived").chunks.concat()).into_keys().collect();
    assert_eq!(names, ["Src/a", "src/b"]);
}

#[test]
fn nesting_without_end_is_cut_and_told() {
    let repo = Repo::new();
    let blob = repo.hash_object("blob", b"x");
    let mut tree = repo.hash_object("tree", &raw_tree(&[("100644", b"f", blob)]));
    for _ in 0..70 {
        tree = repo.hash_object("tree", &raw_tree(&[("40000", b"d", tree)]));
    }
    let commit = repo.commit_of_tree(tree);
    let pack = open(repo.pack_everything(&[])).into();
    let result = build_zip(&pack, &commit, &ArchiveOptions::default());
    assert_eq!(archived(result), (Vec::new(), vec![RemarkKind::Unsafe(UnsafeReason::TooDeep)]));
}

#[test]
fn a_few_trees_that_unfold_into_billions_of_files_are_refused() {
    let repo = Repo::new();
    let blob = repo.hash_object("blob", b"x");
    let mut tree = repo.hash_object("tree", &raw_tree(&[("100644", b"f", blob)]));
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
        let entries: Vec<(&str, &[u8], ObjectId)> = names.iter().map(|name| ("40000", name.as_bytes(), tree)).collect();
        tree = repo.hash_object("tree", &raw_tree(&entries));
    }
    let commit = repo.commit_of_tree(tree);
    let pack = open(repo.pack_everything(&[])).into();
    let error = build_zip(&pack, &commit, &ArchiveOptions::default()).expect_err("a bomb");
    assert!(matches!(error, ArchiveError::TooManyEntries { limit: 100_000 }), "{error}");
}

#[test]
fn every_limit_is_enforced_and_named() {
    let mut repo = Repo::new();
    repo.write("a", "0123456789");
    repo.write("b", [7; 3000]);
    let commit = repo.commit();
    let pack = fetched(&repo, commit);
    let within = |change: fn(&mut ArchiveLimits)| {
        let mut limits = ArchiveLimits::default();
        change(&mut limits);
        build_zip(&pack, &commit, &ArchiveOptions { limits, ..ArchiveOptions::default() })
    };
    let size = within(|_| ()).expect("archived").chunks.concat().len() as u64;
    assert!(matches!(within(|limits| limits.entries = 1), Err(ArchiveError::TooManyEntries { limit: 1 })));
    assert!(matches!(within(|limits| limits.path_bytes = 1), Err(ArchiveError::PathsTooLong { limit: 1 })));
    assert!(matches!(
        within(|limits| limits.inflated_bytes = 3009),
        Err(ArchiveError::InflatesTooLarge { limit: 3009 })
    ));
    let exact =
        ArchiveLimits { entries: 2, path_bytes: 2, inflated_bytes: 3010, zip_bytes: size, ..ArchiveLimits::default() };
    let at = |limits| build_zip(&pack, &commit, &ArchiveOptions { limits, ..ArchiveOptions::default() });
    assert_eq!(at(exact).expect("at every limit").chunks.concat().len() as u64, size);
    for zip_bytes in [0, 10, size / 2, size - 1] {
        let error = at(ArchiveLimits { zip_bytes, ..exact }).expect_err("too large");
        assert!(matches!(error, ArchiveError::ZipTooLarge { limit } if limit == zip_bytes));
    }
}

#[test]
fn too_many_rules_are_refused() {
    let mut repo = Repo::new();
    repo.write(".gitattributes", "x export-ignore\n".repeat(1001));
    let commit = repo.commit();
    assert!(matches!(archive(&repo, commit), Err(ArchiveError::TooManyRules(_))));
}

/// A commit of 2,000 files with long paths that all match the first part of any pattern of `a*`.
fn commit_of_many_long_paths(repo: &Repo, others: &[(&'static str, &str, ObjectId)]) -> ObjectId {
    let blob = repo.hash_object("blob", b"");
    let names: Vec<String> = (0..2_000).map(|number| format!("{}{number:04}", "a".repeat(200))).collect();
    let mut entries: Vec<(&str, &[u8], ObjectId)> =
        others.iter().map(|(mode, name, id)| (*mode, name.as_bytes(), *id)).collect();
    entries.extend(names.iter().map(|name| ("100644", name.as_bytes(), blob)));
    repo.commit_of_tree(repo.hash_object("tree", &raw_tree(&entries)))
}

#[test]
fn many_long_rules_for_many_files_are_refused_once_the_work_is_spent() {
    let repo = Repo::new();
    let rules = repo.hash_object("blob", format!("{}* export-ignore\n", "a*".repeat(125)).repeat(900).as_bytes());
    let commit = commit_of_many_long_paths(&repo, &[("100644", ".gitattributes", rules)]);
    let packs = open(repo.pack_everything(&[])).into();
    let options = ArchiveOptions::default();
    assert!(matches!(build_zip(&packs, &commit, &options), Err(ArchiveError::WorkSpent(_))));
    // Others have their turn meanwhile.
    let mut planning = ArchivePlanning::new(&packs, &commit, &options).expect("a commit");
    let mut before = planning.work().spent();
    let error = loop {
        match planning.step(usize::MAX) {
            Ok(is_last) => assert!(!is_last, "2,000 files were decided on"),
            Err(error) => break error,
        }
        let now = planning.work().spent();
        // What one path takes more than a slice: 900 rules of 251 tokens, and 204 bytes.
        assert!(now - before <= limits::ARCHIVE_SLICE_WORK + 900 * 252 * 206, "one step took {}", now - before);
        before = now;
    };
    assert!(matches!(error, ArchiveError::WorkSpent(WorkSpent { limit: limits::ARCHIVE_WORK })), "{error}");
    assert!(planning.work().spent() <= limits::ARCHIVE_WORK);
}

#[test]
fn what_the_caller_leaves_out_is_work_of_the_archive_too() {
    let repo = Repo::new();
    let commit = commit_of_many_long_paths(&repo, &[]);
    let packs = open(repo.pack_everything(&[])).into();
    let exclude = |_: &str, _: bool, work: &mut ArchiveWork| work.spend(1_000).map(|()| true);
    let enough = ArchiveLimits { work: 5_000_000, ..ArchiveLimits::default() };
    let options = ArchiveOptions { exclude: &exclude, limits: enough, ..ArchiveOptions::default() };
    assert_eq!(build_zip(&packs, &commit, &options).expect("archived").entries, 0);
    let options = ArchiveOptions { limits: ArchiveLimits { work: 2_000_000, ..enough }, ..options };
    assert!(matches!(build_zip(&packs, &commit, &options), Err(ArchiveError::WorkSpent(_))));
}

#[test]
fn a_rule_file_that_is_read_for_each_directory_is_work_each_time() {
    let repo = Repo::new();
    let rules = repo.hash_object("blob", &[b"# nothing\n".repeat(2_000), b"x text\n".to_vec()].concat());
    let inner = repo.hash_object("tree", &raw_tree(&[("100644", b".gitattributes", rules)]));
    let names: Vec<String> = (0..300).map(|number| format!("d{number:03}")).collect();
    let entries: Vec<(&str, &[u8], ObjectId)> = names.iter().map(|name| ("40000", name.as_bytes(), inner)).collect();
    let commit = repo.commit_of_tree(repo.hash_object("tree", &raw_tree(&entries)));
    let packs = open(repo.pack_everything(&[])).into();
    assert!(matches!(build_zip(&packs, &commit, &ArchiveOptions::default()), Err(ArchiveError::WorkSpent(_))));
}

#[test]
fn a_pack_that_lacks_files_is_refused_with_the_missing_one() {
    let mut repo = Repo::new();
    repo.write("src/a.php", "<?php");
    let commit = repo.commit();
    let request = FetchRequest::commits([commit], Some("tree:2"));
    let pack = open(repo.fetch(Filters::Allowed, &request).expect("a pack")).into();
    let error = build_zip(&pack, &commit, &ArchiveOptions::default()).expect_err("filtered");
    assert!(matches!(error, ArchiveError::Tree(TreeError::MissingObject(_))), "{error}");
    let elsewhere = ObjectId::from_bytes([3; 20]);
    let error = build_zip(&pack, &elsewhere, &ArchiveOptions::default()).expect_err("absent");
    assert!(matches!(error, ArchiveError::Tree(TreeError::MissingObject(id)) if id == elsewhere));
}

#[test]
fn one_directory_of_too_many_files_is_refused() {
    let error =
        archive_crafted(|blob, _| (0..100_001).map(|n| ("100644", format!("f{n}").into_bytes(), blob)).collect());
    assert!(matches!(error, Err(ArchiveError::TooManyEntries { limit: 100_000 })));
}
