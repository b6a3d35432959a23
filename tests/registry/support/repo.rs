//! Real git repositories with fixed authors and dates, so that their ids never change.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

/// Runs git in `folder` and returns what it prints, and whether it went well.
pub fn git_in(folder: &Path, arguments: &[&str], env: &[(&str, &str)], input: &[u8]) -> (Vec<u8>, bool) {
    let mut child = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .env_remove("GIT_DIR")
        .env_remove("GIT_PROTOCOL")
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // git may stop reading before it has all input, so a broken pipe is fine.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("git ends");
    feeder.join().expect("the feeder ends");
    (output.stdout, output.status.success())
}

/// A file of a commit.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub mode: &'static str,
    pub content: Vec<u8>,
}

/// Bytes that nothing compresses.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes
}

/// An ordinary file.
pub fn file(path: &str, content: impl AsRef<[u8]>) -> File {
    File { path: path.to_owned(), mode: "100644", content: content.as_ref().to_vec() }
}

/// A composer.json that has a name and nothing else of interest.
pub fn manifest(name: &str) -> File {
    file("composer.json", format!(r#"{{"name":"{name}","description":"A library"}}"#))
}

/// A bare repository.
pub struct Repo {
    folder: Arc<TempDir>,
    /// Where it is served.
    pub url: String,
    seconds: Cell<i64>,
}

/// Committer date of a repository's first commit: 2023-11-14T22:13:20Z.
pub const FIRST_COMMIT_SECONDS: i64 = 1_700_000_000;

impl Repo {
    pub fn new(url: String) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let repo = Self { folder, url, seconds: Cell::new(FIRST_COMMIT_SECONDS) };
        repo.git(&["init", "-q", "--bare", "-b", "main"], b"");
        // Large files take git a second each otherwise: it deflates them whenever they are asked for, and looks for deltas.
        repo.git(&["config", "core.bigFileThreshold", "2m"], b"");
        repo.git(&["config", "fastimport.unpackLimit", "1"], b"");
        repo
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder for somebody who needs it longer than the repository's owner.
    pub fn shared_folder(&self) -> Arc<TempDir> {
        self.folder.clone()
    }

    pub fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let (output, ok) = git_in(self.folder(), arguments, &[], input);
        assert!(ok, "git {arguments:?} failed");
        String::from_utf8(output).expect("UTF-8").trim().to_owned()
    }

    /// Commits exactly these files to `branch`, a minute after the commit before; says the commit's id.
    pub fn commit_to(&self, branch: &str, files: &[File]) -> String {
        let branch = format!("refs/heads/{branch}");
        let parent = git_in(self.folder(), &["rev-parse", "-q", "--verify", &branch], &[], b"").0;
        let mut stream = self.stream_of_commit(&branch, files);
        let parent = String::from_utf8(parent).expect("hex").trim().to_owned();
        if !parent.is_empty() {
            let at = find(&stream, b"deleteall\n");
            stream.splice(at..at, format!("from {parent}\n").into_bytes());
        }
        self.git(&["fast-import", "--quiet", "--force"], &stream);
        self.id(&branch)
    }

    /// Commits exactly these files to `main`.
    pub fn commit(&self, files: &[File]) -> String {
        self.commit_to("main", files)
    }

    /// Commits so many files to `main` beside the composer.json, all with one content.
    pub fn commit_of_many_files(&self, name: &str, count: usize) {
        let blob = self.git(&["hash-object", "-w", "--stdin"], &manifest(name).content);
        let files: String = (0..count).fold(String::new(), |mut files, number| {
            let _ = writeln!(files, "100644 blob {blob}\t{number}.php");
            files
        });
        let src = self.git(&["mktree"], files.as_bytes());
        let root = format!("100644 blob {blob}\tcomposer.json\n040000 tree {src}\tsrc\n");
        let root = self.git(&["mktree"], root.as_bytes());
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        let commit = self.git(&[&identity[..], &["commit-tree", &root, "-m", "Many"]].concat(), b"");
        self.git(&["update-ref", "refs/heads/main", &commit], b"");
    }

    fn stream_of_commit(&self, reference: &str, files: &[File]) -> Vec<u8> {
        let seconds = self.seconds.get();
        self.seconds.set(seconds + 60);
        let mut stream = format!(
            "commit {reference}\ncommitter Ada <ada@example.org> {seconds} +0100\ndata 9\nA change\n\ndeleteall\n"
        )
        .into_bytes();
        for File { path, mode, content } in files {
            stream.extend(format!("M {mode} inline {path}\ndata {}\n", content.len()).as_bytes());
            stream.extend(content);
            stream.push(b'\n');
        }
        stream
    }

    /// One commit a tag, from `0.0.<first>` on, all in one go.
    pub fn many_tags(&self, name: &str, first: usize, count: usize) {
        let mut stream = Vec::new();
        for number in first..first + count {
            let readme = file("README.md", format!("Release {number}"));
            stream.extend(self.stream_of_commit("refs/heads/main", &[manifest(name), readme]));
            stream.extend(format!("reset refs/tags/0.0.{number}\nfrom refs/heads/main\n\n").as_bytes());
        }
        self.git(&["fast-import", "--quiet", "--force"], &stream);
    }

    pub fn id(&self, revision: &str) -> String {
        self.git(&["rev-parse", &format!("{revision}^{{commit}}")], b"")
    }

    /// Points a tag at the head of `main`, wherever it was before.
    pub fn tag(&self, name: &str) -> String {
        self.tag_at(name, "refs/heads/main")
    }

    pub fn tag_at(&self, name: &str, revision: &str) -> String {
        self.git(&["update-ref", &format!("refs/tags/{name}"), revision], b"");
        self.id(revision)
    }

    pub fn annotated_tag(&self, name: &str) -> String {
        self.annotated_tag_at(name, FIRST_COMMIT_SECONDS)
    }

    /// An annotated tag at the head of `main`, made so many seconds after 1970.
    pub fn annotated_tag_at(&self, name: &str, seconds: i64) -> String {
        let commit = self.id("refs/heads/main");
        let mut object = format!("object {commit}\ntype commit\ntag {name}\n");
        let _ = write!(object, "tagger Ada <ada@example.org> {seconds} +0000\n\nA release\n");
        let id = self.git(&["mktag"], object.as_bytes());
        self.git(&["update-ref", &format!("refs/tags/{name}"), &id], b"");
        commit
    }

    /// Points a branch at the head of `main`.
    pub fn branch(&self, name: &str) {
        self.git(&["update-ref", &format!("refs/heads/{name}"), "refs/heads/main"], b"");
    }

    pub fn delete(&self, reference: &str) {
        self.git(&["update-ref", "-d", reference], b"");
    }

    /// Makes `branch` the default.
    pub fn set_default(&self, branch: &str) {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")], b"");
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("it is there")
}
