//! The whole conversation with a real `git upload-pack`: capabilities, refs, and every way to
//! bring the manifests of a package.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rostrum_git::{
    Acknowledgments, Advertisement, AdvertisementError, Capabilities, FetchError, FetchRequest, MetadataPlan, ObjectId,
    ObjectKind, Pack, PackError, PackLimits, PackReceiver, PackageFiles, PackagePath, Packs, SideBand, SkipReason,
    TreeError, Version0, find_package_files, list_files, ls_refs_request, missing_blobs, parse_ls_refs, read_commit,
    tree_at,
};
use support::{Filters, Repo, fetched, open};

/// As `GIT_PROTOCOL` has them.
const OLDER: [&str; 2] = ["version=0", "version=1"];

fn refs(repo: &Repo) -> rostrum_git::RemoteRefs {
    let advertisement = Advertisement::parse(&repo.advertisement(Filters::Off)).expect("a git server");
    let request = ls_refs_request(&advertisement.capabilities);
    let listed = || parse_ls_refs(&repo.post(Filters::Off, &request)).expect("a list of refs");
    advertisement.refs.unwrap_or_else(listed)
}

/// A library with `count` tags, each with its own manifest, and files below that nobody needs.
fn tagged(count: usize) -> Repo {
    let mut repo = Repo::new();
    repo.write("src/Deep/Deeper.php", "<?php // not wanted");
    repo.write("README.md", "# Acme");
    repo.write("LICENSE", "MIT");
    for n in 0..count {
        repo.write("composer.json", format!("{{\"name\": \"acme/lib\", \"version\": \"1.{n}\"}}"));
        repo.write("src/Version.php", format!("<?php // {n}"));
        repo.commit();
        repo.git(&["tag", "-a", "-m", "A release", &format!("v1.{n}")]);
    }
    repo
}

/// What one way of synchronising came to.
struct Sync {
    plan: MetadataPlan,
    requests: usize,
    /// What the first request brought.
    first: Pack,
    packs: Packs,
    files: HashMap<String, PackageFiles>,
}

impl Sync {
    fn content(&self, id: &ObjectId) -> Vec<u8> {
        self.packs.read(id).expect("readable").expect("it was fetched").into_data()
    }

    fn manifest(&self, tag: &str) -> String {
        let manifest = self.files[tag].manifest.as_ref().expect("there is a composer.json");
        String::from_utf8(self.content(&manifest.oid)).expect("UTF-8")
    }
}

/// Synchronises as the plans say, falling back when the server refuses.
fn synchronise(repo: &Repo, filters: Filters, path: Option<&str>) -> Sync {
    let depth = PackagePath::parse(path.unwrap_or_default()).expect("plain").depth();
    let advertised = refs(repo);
    let wants: Vec<ObjectId> = advertised.tags().map(|(_, id)| id).collect();
    let mut plan = MetadataPlan::choose(&repo.capabilities(filters), depth);
    let mut requests = 0;
    let first = loop {
        requests += 1;
        match repo.fetch(filters, &FetchRequest::commits(wants.clone(), plan.filter())) {
            Ok(bytes) => break bytes,
            Err(FetchError::Remote(_)) => plan = plan.after_refusal(depth).expect("another plan"),
            Err(error) => panic!("{error}"),
        }
    };
    let mut packs = Packs::from(open(first.clone()));
    let files: HashMap<String, PackageFiles> = advertised
        .tags()
        .filter_map(|(tag, id)| {
            let found = find_package_files(&packs, &id, path).expect("readable trees");
            Some((tag.to_owned(), found?))
        })
        .collect();
    let missing = missing_blobs(&packs, files.values());
    if !missing.is_empty() {
        requests += 1;
        let blobs = repo.fetch(filters, &FetchRequest::blobs(missing)).expect("blobs by id");
        packs.push(open(blobs));
    }
    Sync { plan, requests, first: open(first), packs, files }
}

#[test]
fn the_advertisement_says_what_the_server_allows() {
    let repo = Repo::new();
    for filters in [Filters::Allowed, Filters::Off] {
        let capabilities = repo.capabilities(filters);
        assert_eq!(capabilities.filter, filters == Filters::Allowed);
        assert!(capabilities.shallow && capabilities.unborn && capabilities.object_format_sha1);
        assert!(capabilities.agent.expect("named").starts_with("git/"));
    }
}

#[test]
fn other_hashes_are_refused_by_name() {
    let mut sha256 = Repo::with_format("sha256");
    sha256.git(&["commit", "-q", "--allow-empty", "-m", "A change"]);
    for protocol in ["version=2", "version=1", "version=0"] {
        sha256.speak(protocol);
        assert_eq!(
            Advertisement::parse(&sha256.advertisement(Filters::Off)),
            Err(AdvertisementError::UnsupportedObjectFormat("sha256".into())),
            "{protocol}"
        );
    }
}

#[test]
fn a_server_of_an_older_version_lists_the_same_and_says_what_it_allows() {
    let mut repo = tagged(3);
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "a tag of a tag", "nested", "v1.0"]);
    repo.git(&["branch", "other", "HEAD~1"]);
    repo.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let expected = refs(&repo);
    for protocol in OLDER {
        repo.speak(protocol);
        assert_eq!(refs(&repo), expected, "{protocol}");
        let plain = repo.capabilities(Filters::Off);
        assert!(plain.shallow && !plain.filter && !plain.sends_any_object());
        let version_0 = plain.version_0.expect("it is not version 2");
        assert_eq!(version_0.acknowledgments, Some(Acknowledgments::MultiAckDetailed));
    }
    repo.set("uploadpack.allowAnySHA1InWant=true");
    let able = repo.capabilities(Filters::Allowed);
    assert!(able.filter && able.sends_any_object());
}

#[test]
fn every_plan_works_with_a_server_of_an_older_version() {
    for protocol in OLDER {
        let mut repo = tagged(5);
        repo.speak(protocol);
        let sync = synchronise(&repo, Filters::Off, None);
        assert_eq!((&sync.plan, sync.requests), (&MetadataPlan::Unfiltered, 1));
        assert!(sync.manifest("v1.3").contains("1.3"));
        assert_eq!(sync.files.len(), 5);
        repo.set("uploadpack.allowAnySHA1InWant=true");
        let sync = synchronise(&repo, Filters::Allowed, None);
        assert!(matches!(sync.plan, MetadataPlan::Combined { .. }));
        assert_eq!((sync.requests, sync.first.contains(&repo.id("HEAD:src/Version.php"))), (1, false));
        assert!(sync.manifest("v1.3").contains("1.3"));
        repo.set("uploadpackfilter.combine.allow=false");
        let sync = synchronise(&repo, Filters::Allowed, None);
        assert_eq!((sync.plan.filter(), sync.requests), (Some("tree:1"), 3), "trees, and then files by id");
        assert!(sync.manifest("v1.4").contains("1.4"));
    }
}

#[test]
fn what_a_server_does_not_offer_is_not_needed() {
    let mut repo = tagged(4);
    repo.speak("version=0");
    let advertised = repo.capabilities(Filters::Off);
    let old = Capabilities {
        agent: None,
        object_format_sha1: false,
        version_0: Some(Version0 { side_band: SideBand::SideBand, ..Version0::default() }),
        ..advertised.clone()
    };
    let azure = Version0 { acknowledgments: Some(Acknowledgments::MultiAck), ..Version0::default() };
    let azure = Capabilities { version_0: Some(azure), ..advertised.clone() };
    let deep = Capabilities { shallow: false, ..advertised };
    let (head, parent) = (repo.id("HEAD"), repo.id("HEAD~1"));
    for capabilities in [old, azure, deep] {
        let receive = |request: FetchRequest| {
            let mut receiver = PackReceiver::new(&capabilities, 100_000);
            receiver.push(&repo.post(Filters::Off, &request.encode(&capabilities))).expect("an answer");
            open(receiver.finish().expect("a pack"))
        };
        let pack = receive(FetchRequest::commits([head], None));
        assert!(pack.contains(&head) && pack.contains(&repo.id("HEAD:src/Version.php")), "{capabilities:?}");
        assert_eq!(pack.contains(&parent), !capabilities.shallow);
        let newer = receive(FetchRequest::history(head, vec![parent]));
        assert!(newer.contains(&head) && !newer.contains(&parent), "{capabilities:?}");
    }
}

#[test]
fn a_server_of_an_older_version_says_whether_a_commit_is_in_the_history() {
    let mut repo = tagged(4);
    repo.speak("version=0");
    let sent = |tip: &str, known: &str| {
        let request = FetchRequest::history(repo.id(tip), vec![repo.id(known)]);
        let pack = repo.fetch(Filters::Off, &request).expect("it knows both");
        Pack::declared_objects(&pack).expect("a pack")
    };
    assert_eq!(sent("HEAD~1", "HEAD"), 0);
    assert!(sent("HEAD", "HEAD~1") > 0);
}

#[test]
fn branches_tags_and_the_default_branch_are_listed() {
    let mut repo = Repo::new();
    let first = repo.commit();
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "annotated", "v1.0.0"]);
    repo.git(&["tag", "-a", "-m", "a tag of a tag", "nested", "v1.0.0"]);
    let second = repo.commit();
    repo.git(&["branch", "other", "HEAD~1"]);
    repo.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let advertised = refs(&repo);
    assert_eq!(advertised.default_branch().expect("HEAD").name, "refs/heads/main");
    let branches: Vec<_> = advertised.branches().collect();
    assert_eq!(branches, [("main", second), ("other", first)]);
    let tags: Vec<_> = advertised.tags().collect();
    assert_eq!(tags, [("light", first), ("nested", first), ("v1.0.0", first)]);
    let annotated = advertised.refs.iter().find(|item| item.name == "refs/tags/v1.0.0");
    assert_eq!(annotated.expect("listed").oid, repo.id("refs/tags/v1.0.0"));
    let head = advertised.refs.iter().find(|item| item.name == "HEAD").expect("listed");
    assert_eq!(head.symref_target.as_deref(), Some("refs/heads/main"));
    assert_eq!(advertised.skipped_total, 0);
}

#[test]
fn odd_names_that_git_allows_are_kept() {
    let mut repo = Repo::new();
    repo.commit();
    let mut names = ["a+b", "feature/@me", "issue#12", "50%", "größe/日本", "a{b}", "x!$&'(),;<=>|"];
    for name in names {
        repo.git(&["branch", name]);
        repo.git(&["tag", name]);
    }
    let advertised = refs(&repo);
    names.sort_unstable();
    let tags: Vec<&str> = advertised.tags().map(|(name, _)| name).collect();
    assert_eq!(tags, names);
    assert_eq!(advertised.branches().count(), names.len() + 1);
    assert_eq!(advertised.skipped_total, 0);
}

#[test]
fn a_name_that_is_not_utf8_is_reported_and_the_rest_is_listed() {
    let mut repo = Repo::new();
    let commit = repo.commit();
    let file = repo.path(".git/refs/tags").join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(file, format!("{commit}\n")).expect("a loose ref");
    repo.git(&["tag", "fine"]);
    let advertised = refs(&repo);
    assert_eq!(advertised.tags().collect::<Vec<_>>(), [("fine", commit)]);
    assert_eq!(advertised.skipped_total, 1);
    assert_eq!(advertised.skipped[0].name, r"refs/tags/caf\xe9");
    assert_eq!(advertised.skipped[0].reason, SkipReason::NotUtf8);
}

#[test]
fn an_empty_repository_is_not_an_error() {
    let mut repo = Repo::new();
    let advertised = refs(&repo);
    assert!(advertised.refs.is_empty() && advertised.default_branch().is_none());
    assert_eq!(advertised.unborn_head.as_deref(), Some("refs/heads/main"));
    for protocol in OLDER {
        repo.speak(protocol);
        let advertised = refs(&repo);
        assert!(advertised.refs.is_empty() && advertised.skipped_total == 0, "{protocol}");
    }
}

#[test]
fn a_combined_filter_brings_240_manifests_in_one_request() {
    let repo = tagged(240);
    let sync = synchronise(&repo, Filters::Allowed, None);
    assert!(matches!(sync.plan, MetadataPlan::Combined { .. }));
    assert_eq!(sync.requests, 1);
    assert_eq!(sync.files.len(), 240);
    for n in [0, 7, 239] {
        let expected = format!("{{\"name\": \"acme/lib\", \"version\": \"1.{n}\"}}");
        assert_eq!(sync.manifest(&format!("v1.{n}")), expected);
    }
    let files = &sync.files["v1.0"];
    let readme = files.readme.as_ref().expect("there is one");
    assert_eq!(sync.content(&readme.oid), b"# Acme");
    assert_eq!(files.license.as_ref().expect("there is one").name, "LICENSE");
    assert_eq!(files.changelog, None);
    // 240 commits with a root tree and the tree of `src` each (its files are not there), 240
    // manifests, a readme, a license: nothing else.
    assert_eq!(sync.first.len(), 240 * 4 + 2);
    assert!(!sync.first.contains(&repo.id("HEAD:src/Version.php")));
}

#[test]
fn a_refused_combination_falls_back_to_trees_and_then_blobs() {
    let mut repo = tagged(5);
    repo.set("uploadpackfilter.combine.allow=false");
    let sync = synchronise(&repo, Filters::Allowed, None);
    assert_eq!(sync.plan.filter(), Some("tree:1"));
    assert_eq!(sync.requests, 3, "the refused one, the trees, the blobs");
    assert!(sync.manifest("v1.4").contains("1.4"));
    let blobs = sync.first.ids().filter(|id| sync.first.kind(id) == Some(ObjectKind::Blob));
    assert_eq!(blobs.count(), 0, "tree:1 brings root trees alone");
}

#[test]
fn refused_trees_fall_back_to_no_blobs_and_then_to_no_filter() {
    let mut repo = tagged(3);
    repo.set("uploadpackfilter.tree.allow=false");
    let sync = synchronise(&repo, Filters::Allowed, None);
    assert_eq!((sync.plan.filter(), sync.requests), (Some("blob:none"), 4));
    assert!(sync.manifest("v1.2").contains("1.2"));
    repo.set("uploadpackfilter.allow=false");
    let sync = synchronise(&repo, Filters::Allowed, None);
    assert_eq!((&sync.plan, sync.requests), (&MetadataPlan::Unfiltered, 4));
    assert!(sync.manifest("v1.2").contains("1.2"));
}

#[test]
fn a_server_without_filters_sends_everything_in_one_request() {
    let repo = tagged(5);
    let sync = synchronise(&repo, Filters::Off, None);
    assert_eq!((&sync.plan, sync.requests), (&MetadataPlan::Unfiltered, 1));
    assert!(sync.manifest("v1.3").contains("1.3"));
    assert!(sync.first.contains(&repo.id("HEAD:src/Version.php")));
}

#[test]
fn a_manifest_beyond_the_combined_limit_comes_by_id() {
    let mut repo = Repo::new();
    repo.write("composer.json", " ".repeat(300_000) + "{}");
    repo.write("README.md", "small");
    repo.commit();
    repo.git(&["tag", "v1"]);
    let sync = synchronise(&repo, Filters::Allowed, None);
    assert_eq!(sync.requests, 2);
    assert_eq!(sync.manifest("v1").len(), 300_002);
}

#[test]
fn a_package_in_a_directory_costs_two_requests() {
    let mut repo = Repo::new();
    repo.write("composer.json", "{\"name\": \"acme/all\"}");
    repo.write("packages/bar/composer.json", "{\"name\": \"acme/bar\"}");
    repo.commit();
    repo.git(&["tag", "before-foo"]);
    repo.write("packages/foo/composer.json", "{\"name\": \"acme/foo\"}");
    repo.write("packages/foo/src/x.php", "<?php");
    repo.commit();
    repo.git(&["tag", "v1"]);
    let sync = synchronise(&repo, Filters::Allowed, Some("packages/foo"));
    assert_eq!((sync.plan.filter(), sync.requests), (Some("combine:tree:3+blob:none"), 2));
    assert_eq!(sync.manifest("v1"), "{\"name\": \"acme/foo\"}");
    assert!(!sync.files.contains_key("before-foo"), "the directory did not exist yet");
    let kinds = sync.first.ids().filter_map(|id| sync.first.kind(&id));
    assert!(kinds.into_iter().all(|kind| kind != ObjectKind::Blob), "blob:none");
    assert!(!sync.first.contains(&repo.id("HEAD:packages/foo/src")), "below the package");
    repo.set("uploadpackfilter.combine.allow=false");
    let sync = synchronise(&repo, Filters::Allowed, Some("packages/foo"));
    assert_eq!((sync.plan.filter(), sync.requests), (Some("tree:3"), 3));
    assert_eq!(sync.manifest("v1"), "{\"name\": \"acme/foo\"}");
}

#[test]
fn the_parents_of_a_shallow_commit_are_not_sent() {
    let repo = tagged(3);
    let tag = repo.id("refs/tags/v1.2");
    let pack = fetched(&repo, tag);
    let commit = read_commit(&pack, &tag).expect("through the annotated tag");
    assert_eq!(commit, read_commit(&pack, &repo.id("HEAD")).expect("the same commit"));
    assert_eq!(commit.parents, [repo.id("HEAD~1")]);
    assert!(!pack.contains(&commit.parents[0]));
    assert_eq!(commit.committed.offset_minutes, 60);
}

#[test]
fn trees_are_walked_and_what_is_missing_is_named() {
    let repo = tagged(1);
    let head = repo.id("HEAD");
    let filtered = FetchRequest::commits([head], Some("tree:1"));
    let pack = open(repo.fetch(Filters::Allowed, &filtered).expect("sent")).into();
    let root = tree_at(&pack, &head, None).expect("readable").expect("the root");
    assert_eq!(root, repo.id("HEAD^{tree}"));
    let names: Vec<String> = list_files(&pack, &root).expect("readable").into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["LICENSE", "README.md", "composer.json"]);
    let src = repo.id("HEAD:src");
    assert_eq!(tree_at(&pack, &head, Some("src")), Ok(Some(src)));
    assert_eq!(tree_at(&pack, &head, Some("none")), Ok(None));
    assert_eq!(tree_at(&pack, &head, Some("README.md")), Ok(None));
    assert_eq!(tree_at(&pack, &head, Some("src/Deep")), Err(TreeError::MissingObject(src)));
    assert!(matches!(tree_at(&pack, &head, Some("../x")), Err(TreeError::Path(_))));
    let wrong = TreeError::WrongKind { id: root, expected: ObjectKind::Commit, found: ObjectKind::Tree };
    assert_eq!(read_commit(&pack, &root), Err(wrong));
}

#[test]
fn malformed_objects_and_packs_are_told_apart() {
    let repo = Repo::new();
    let bad = repo.hash_object("commit", b"tree of nothing\n");
    let pack = open(repo.pack_everything(&[])).into();
    assert!(matches!(read_commit(&pack, &bad), Err(TreeError::Malformed { id, .. }) if id == bad));
    let limits = PackLimits { object_bytes: 3, ..PackLimits::default() };
    let tight = Pack::open(repo.pack_everything(&[]), &limits).expect("hashed, not held").into();
    let too_large = PackError::ObjectTooLarge { declared: 16, limit: 3 };
    assert_eq!(read_commit(&tight, &bad), Err(TreeError::Pack(too_large)));
}

#[test]
fn an_object_that_the_server_lacks_is_refused_in_its_words() {
    let mut repo = Repo::new();
    repo.commit();
    let lacking = ObjectId::from_bytes([9; 20]);
    for protocol in ["version=2", "version=1", "version=0"] {
        repo.speak(protocol);
        match repo.fetch(Filters::Off, &FetchRequest::blobs([lacking])) {
            Err(error @ FetchError::Remote(_)) => assert_eq!(error.missing_object(), Some(lacking)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_real_answer_is_bounded_and_must_be_complete() {
    let repo = tagged(3);
    let request = FetchRequest::commits([repo.id("HEAD")], None);
    let capabilities = repo.capabilities(Filters::Off);
    let answer = repo.post(Filters::Off, &request.encode(&capabilities));
    let receive = |bytes: &[u8], limit: usize| {
        let mut receiver = PackReceiver::new(&capabilities, limit);
        receiver.push(bytes)?;
        receiver.finish()
    };
    let pack = receive(&answer, 100_000).expect("small");
    assert_eq!(receive(&answer, pack.len()).as_ref(), Ok(&pack));
    let limit = pack.len() - 1;
    assert_eq!(receive(&answer, limit), Err(FetchError::TooLarge { limit }));
    for end in 0..answer.len() {
        assert_eq!(receive(&answer[..end], 100_000), Err(FetchError::Truncated), "{end}");
    }
}
