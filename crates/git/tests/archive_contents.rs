//! What `.gitattributes` makes of files in an archive, byte for byte compared with `git archive`.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use std::fmt::Write;

use rostrum_git::{
    ArchiveOptions, ArchivePlanning, ArchiveRemarks, EncodingRefusal, LfsContent, LfsPointer, ObjectId, PlannedEntry,
    RemarkKind, build_zip, find_lfs_config, plan_archive,
};
use support::{Repo, archive, fetched, git_archive, open, read_zip};

/// Every placeholder that depends on the commit alone, odd ones, and what is none.
const PLACEHOLDERS: &str = "\
    H=$Format:%H$ h=$Format:%h$ T=$Format:%T$ t=$Format:%t$ P=$Format:%P$ p=$Format:%p$\n\
    an=$Format:%an$ aN=$Format:%aN$ ae=$Format:%ae$ aE=$Format:%aE$ al=$Format:%al$ aL=$Format:%aL$\n\
    ad=$Format:%ad$ aD=$Format:%aD$ at=$Format:%at$ ai=$Format:%ai$ aI=$Format:%aI$ as=$Format:%as$\n\
    cn=$Format:%cn$ ce=$Format:%ce$ cl=$Format:%cl$ ct=$Format:%ct$ cd=$Format:%cd$ cD=$Format:%cD$\n\
    ci=$Format:%ci$ cI=$Format:%cI$ cs=$Format:%cs$ e=$Format:%e$ s=$Format:%s$ f=$Format:%f$\n\
    b=$Format:<%b>$ B=$Format:<%B>$ n=$Format:a%nb$ x=$Format:%x41%x0a$ percent=$Format:100%%$ m=$Format:%m$\n\
    d=$Format:%d$ D=$Format:%D$ plus=$Format:a%+s%+e$ minus=$Format:a%n%-e%-s$ blank=$Format:a% s% e$\n\
    color=$Format:%Cred%C(bold blue)%C(auto)%Creset$ gd=$Format:[%gd%gn]$ many=$Format:%h, %cs (%an)$\n\
    unknown=$Format:%z %ax %c %a %$ N=$Format:%N$ S=$Format:%S$ Cx=$Format:%Cpurple %C(red$ xg=$Format:%xg1$\n\
    none=$Format$ $Format:$ $Id$ $format:%H$ open=$Format:%H\n\
    line$Format:%h\n%t$end $Format:nothing";

fn substituted(message: &str, arrange: impl FnOnce(&Repo)) -> (String, String) {
    let mut repo = Repo::new();
    repo.write(".gitattributes", "VERSION export-subst\nPLAIN export-subst=no\n");
    repo.write("VERSION", PLACEHOLDERS);
    repo.write("PLAIN", PLACEHOLDERS);
    repo.commit();
    repo.git(&["commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", message]);
    arrange(&repo);
    let commit = repo.id("HEAD");
    let expected = git_archive(&repo, &["HEAD"]);
    let tags = repo.tags();
    let options = ArchiveOptions { tag: tags.first().map(String::as_str), ..ArchiveOptions::default() };
    let archive = build_zip(&fetched(&repo, commit), &commit, &options).expect("archived");
    let found = read_zip(&archive.chunks.concat());
    assert_eq!(found["PLAIN"], expected["PLAIN"]);
    assert_eq!(found["PLAIN"].1, PLACEHOLDERS.as_bytes());
    let text = |listing: &support::Listing| String::from_utf8_lossy(&listing["VERSION"].1).into_owned();
    (text(&found), text(&expected))
}

/// `git archive` knows where branches are; we do not tell.
fn without_branches(expected: &str) -> String {
    expected.replace("HEAD -> main, ", "").replace(" (HEAD -> main)", "").replace("HEAD -> main", "")
}

#[test]
fn placeholders_say_what_git_archive_says() {
    for message in [
        "A change",
        "Several words: here!\nand a second line  \n\nThe body\n\nin parts\n",
        "\n\n  Blank lines first...\n\n\n\nBody\n\n\n",
        "Only a subject without an end",
        "caf\u{e9} & Gr\u{f6}\u{df}e -- v1..2-- ",
    ] {
        let (found, expected) = substituted(message, |_| {});
        assert_eq!(found, without_branches(&expected), "{message:?}");
        let (found, expected) = substituted(message, |repo| drop(repo.git(&["tag", "v1.0"])));
        assert_eq!(found, without_branches(&expected), "{message:?}");
        assert!(found.contains("D=tag: v1.0") && found.contains("d= (tag: v1.0)"), "{found}");
    }
}

#[test]
fn damaged_commits_say_what_git_archive_says_of_them() {
    let person = "A U Thor <author@example.org> 1700000000 +0545";
    for (author, committer) in [
        (person, "C <c@example.org> 0 +0000"),
        ("No Date <a@example.org>", person),
        ("No Zone <a@example.org> 1700000000", person),
        ("<only@example.org> 1700000000 -0330", "C  <> 5 +0000"),
        ("A > B <a@b> c> 1700000000 -1100", person),
        ("A <a@b> 1700000000 +99", person),
    ] {
        let content = format!("tree <tree>\nauthor {author}\ncommitter {committer}\n\nwords\n");
        let [found, expected] = both(PLACEHOLDERS, content.as_bytes());
        assert_eq!(found, expected, "{author} / {committer}");
    }
}

#[test]
fn a_message_of_another_encoding_keeps_its_bytes() {
    let header = "tree <tree>\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\nencoding ISO-8859-1\n\ncaf";
    let [found, expected] = both("$Format:%e: %s$", &[header.as_bytes(), b"\xe9\n"].concat());
    assert_eq!((found.as_str(), &found), ("ISO-8859-1: caf\\xe9", &expected));
}

/// What we and `git archive` make of the file `text` in a commit of that content, odd bytes escaped.
fn both(text: &str, commit: &[u8]) -> [String; 2] {
    let repo = Repo::new();
    let blob = repo.hash_object("blob", text.as_bytes());
    let rules = repo.hash_object("blob", b"* export-subst");
    let id = |oid: ObjectId| oid.as_bytes().to_vec();
    let tree = [&b"100644 .gitattributes\0"[..], &id(rules), b"100644 VERSION\0", &id(blob)].concat();
    let tree = repo.hash_object("tree", &tree).to_string();
    let commit = commit.strip_prefix(b"tree <tree>").expect("a commit");
    let commit = repo.hash_object("commit", &[b"tree ", tree.as_bytes(), commit].concat());
    let expected = git_archive(&repo, &[&commit.to_string()]);
    let packs = open(repo.pack_everything(&[])).into();
    let archive = build_zip(&packs, &commit, &ArchiveOptions::default()).expect("archived");
    [read_zip(&archive.chunks.concat()), expected]
        .map(|listing| listing["VERSION"].1.escape_ascii().to_string().replace("\\n", "\n"))
}

#[test]
fn placeholders_that_stand_for_more_than_the_commit_are_kept_and_told() {
    let mut repo = Repo::new();
    repo.write(".gitattributes", "VERSION export-subst\n");
    repo.write("VERSION", "$Format:%(describe)$ $Format:%ar$ $Format:%h %G?$ $Format:%<(20)%s$ $Format:%w(72)%b$");
    let commit = repo.commit();
    let archive = archive(&repo, commit).expect("archived");
    let found = &read_zip(&archive.chunks.concat())["VERSION"].1;
    let short = &commit.to_string()[..7];
    let expected = format!("%(describe) %ar {short} %G? %<(20)A change %w(72)");
    assert_eq!(String::from_utf8_lossy(found), expected);
    let sentences: Vec<String> = archive.remarks.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), 5, "{sentences:?}");
    assert_eq!(
        sentences[0],
        "`VERSION` keeps %(describe) in $Format:…$: it stands for more than the commit itself knows."
    );
}

/// Text and what looks like it, in several kinds of lines.
const CONTENTS: [(&str, &[u8]); 10] = [
    ("lf", b"one\ntwo\n"),
    ("crlf", b"one\r\ntwo\r\n"),
    ("mixed", b"one\r\ntwo\n"),
    ("cr", b"one\rtwo\n"),
    ("binary", b"\x00\x01\x02\n\x03\n"),
    ("control", b"\x01\x02\x03 some text\n"),
    ("dos", b"some text that is long enough to be text, whatever comes after it\nend\n\x1a"),
    ("ident", b"$Id$\n$Id: old $ $Id: a b c $\n"),
    ("unicode", "Gr\u{f6}\u{df}e \u{20ac} \u{1f600}\n".as_bytes()),
    ("empty", b""),
];

#[test]
fn conversions_write_the_bytes_that_git_archive_writes() {
    let rules = [
        "eol=crlf",
        "eol=lf",
        "text",
        "text eol=crlf",
        "text=auto",
        "text=auto eol=crlf",
        "-text eol=crlf",
        "binary eol=crlf",
        "crlf",
        "crlf=input eol=crlf",
        "text=input",
        "ident",
        "ident eol=crlf",
        "working-tree-encoding=UTF-16",
        "working-tree-encoding=utf-16le",
        "working-tree-encoding=UTF-16BE",
        "working-tree-encoding=UTF-16LE-BOM",
        "working-tree-encoding=UTF-16BE-BOM",
        "working-tree-encoding=UTF-32",
        "working-tree-encoding=UTF-32LE",
        "working-tree-encoding=utf8",
        "working-tree-encoding=UTF-16 eol=crlf ident",
        "win",
        "win !text -ident",
        "export-subst ident eol=crlf",
    ];
    let mut repo = Repo::new();
    let mut attributes = "[attr]win text=auto eol=crlf ident\n* -text\n".to_owned();
    for (number, rule) in rules.iter().enumerate() {
        writeln!(attributes, "/{number}/** {rule}").expect("to memory");
        for (name, content) in CONTENTS {
            repo.stage(&format!("{number}/{name}"), content);
        }
    }
    repo.stage(".gitattributes", attributes.as_bytes());
    let commit = repo.commit_staged();
    let archive = archive(&repo, commit).expect("archived");
    let found = read_zip(&archive.chunks.concat());
    let expected = git_archive(&repo, &["HEAD"]);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let mut changed = 0;
    for (path, (_, content)) in &expected {
        assert_eq!(
            found[path].1,
            *content,
            "{path}: {}",
            rules[path.split('/').next().and_then(|at| at.parse::<usize>().ok()).unwrap_or(0)]
        );
        let stored = CONTENTS.iter().find(|(name, _)| path.ends_with(name));
        changed += usize::from(stored.is_some_and(|(_, stored)| stored != content));
    }
    assert!(changed > 50, "{changed} files were converted");
}

#[test]
fn an_encoding_that_cannot_be_written_leaves_the_file_as_it_is_and_is_told() {
    let mut repo = Repo::new();
    repo.stage(".gitattributes", b"* working-tree-encoding=SJIS\nlatin.txt working-tree-encoding=ISO-8859-1\nbad.txt working-tree-encoding=UTF-16\n");
    repo.stage("a.txt", "\u{3042}\n".as_bytes());
    repo.stage("latin.txt", "\u{20ac}\n".as_bytes());
    repo.stage("bad.txt", b"\xff\n");
    let commit = repo.commit_staged();
    let archive = archive(&repo, commit).expect("archived");
    let found = read_zip(&archive.chunks.concat());
    assert_eq!(found["a.txt"].1, "\u{3042}\n".as_bytes());
    // What git cannot convert either is what git archive writes.
    let expected = git_archive(&repo, &["HEAD"]);
    for path in ["latin.txt", "bad.txt"] {
        assert_eq!(found[path].1, expected[path].1, "{path}");
    }
    let told: Vec<(String, EncodingRefusal)> = archive
        .remarks
        .iter()
        .filter_map(|remark| match &remark.kind {
            RemarkKind::NotEncoded { reason, .. } => Some((remark.path.clone(), *reason)),
            _ => None,
        })
        .collect();
    let expected = [
        (".gitattributes".to_owned(), EncodingRefusal::Unknown),
        ("a.txt".to_owned(), EncodingRefusal::Unknown),
        ("bad.txt".to_owned(), EncodingRefusal::NotUtf8),
        ("latin.txt".to_owned(), EncodingRefusal::Unmappable),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_pointer_of_git_lfs_is_told() {
    let mut repo = Repo::new();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "0a".repeat(32));
    repo.stage(".gitattributes", b"*.bin filter=lfs diff=lfs merge=lfs -text\n");
    repo.stage("data.bin", pointer.as_bytes());
    repo.stage("fixture.txt", pointer.as_bytes());
    repo.stage("plain.bin", b"committed before LFS came");
    let commit = repo.commit_staged();
    let archive = archive(&repo, commit).expect("archived");
    assert_eq!(read_zip(&archive.chunks.concat()), git_archive(&repo, &["HEAD"]));
    let sentences: Vec<String> = archive.remarks.iter().map(ToString::to_string).collect();
    let expected = "`data.bin` is a pointer of Git LFS in the zip, not the file of 12345 bytes that it stands for.";
    assert_eq!(sentences, [expected]);
}

#[test]
fn pointers_of_lfs_are_found_by_attributes_and_are_replaced_by_whoever_knows_what_they_stand_for() {
    let pointer =
        |digit: &str| format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", digit.repeat(64));
    let mut repo = Repo::new();
    repo.write(".gitattributes", "*.lfs filter=lfs\n");
    repo.write(".lfsconfig", "[lfs]\n");
    for (path, content) in
        [("a.lfs", pointer("a")), ("b.lfs", pointer("b")), ("c.lfs", "none".into()), ("d", pointer("d"))]
    {
        repo.write(path, &content);
    }
    repo.commit();
    let commit = repo.id("HEAD");
    let packs = fetched(&repo, commit);
    assert_eq!(find_lfs_config(&packs, &commit), Ok(Some(repo.id("HEAD:.lfsconfig"))));
    let mut plan = plan_archive(&packs, &commit, &ArchiveOptions::default()).expect("planned");
    let read = |blob: ObjectId| LfsPointer::read(&packs, &blob).expect("readable");
    let pointers: Vec<Option<String>> = plan.lfs_blobs().map(|blob| Some(read(blob)?.oid[..1].to_owned())).collect();
    assert_eq!(pointers, [Some("a".to_owned()), Some("b".to_owned()), None]);
    let before = plan.digest();
    let b = repo.id("HEAD:b.lfs");
    plan.replace_lfs_pointers(|blob| {
        let pointer = read(*blob)?;
        Some(if *blob == b { LfsContent::Absent } else { LfsContent::Object(pointer) })
    });
    assert_ne!(plan.digest(), before, "it is another archive");
    let objects: Vec<&[u8]> =
        plan.entries.iter().filter(|entry| entry.lfs_object().is_some()).map(PlannedEntry::path_in_package).collect();
    assert_eq!(objects, [b"a.lfs"]);
    let mut remarks = ArchiveRemarks::default();
    for entry in plan.entries.iter().filter(|entry| entry.lfs_object().is_none()) {
        entry.open(&packs, &mut remarks).expect("opens");
    }
    let kinds: Vec<&RemarkKind> = remarks.iter().map(|remark| &remark.kind).collect();
    assert_eq!(kinds, [&RemarkKind::LfsAbsent { size: 7 }]);
    plan.replace_lfs_pointers(|_| None);
    assert_eq!(plan.digest(), before);
}

#[test]
fn a_directory_of_very_many_entries_is_planned_in_several_steps() {
    let mut repo = Repo::new();
    repo.write(".gitattributes", "*7.php export-ignore\n");
    for number in 0..3_000 {
        repo.write(&format!("src/{number}.php"), "<?php\n");
    }
    repo.commit();
    let commit = repo.id("HEAD");
    let packs = fetched(&repo, commit);
    let options = ArchiveOptions::default();
    let mut planning = ArchivePlanning::new(&packs, &commit, &options).expect("begun");
    let mut steps = 1;
    while !planning.step(1_000).expect("planned") {
        steps += 1;
    }
    assert_eq!(steps, 4, "what is left out costs its time, too");
    let plan = planning.finish().expect("planned");
    assert_eq!(plan.entries.len(), 1 + 2_700);
    assert_eq!(plan.digest(), plan_archive(&packs, &commit, &options).expect("planned").digest());
}
