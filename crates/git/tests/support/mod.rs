//! Real repositories in temporary directories, and the real `git upload-pack` to talk to.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rostrum_git::{
    Advertisement, Archive, ArchiveError, ArchiveOptions, Capabilities, FetchError, FetchRequest, ObjectId, Pack,
    PackLimits, PackReceiver, Packs, build_zip,
};
use zip::ZipArchive;

/// Whether the server allows partial clones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    Allowed,
    Off,
}

/// A repository with a fixed author and fixed dates, so that its ids never change.
pub struct Repo {
    root: tempfile::TempDir,
    seconds: i64,
    settings: Vec<String>,
    protocol: &'static str,
}

impl Repo {
    pub fn new() -> Self {
        Self::with_format("sha1")
    }

    pub fn with_format(object_format: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let repo = Self { root, seconds: 1_700_000_000, settings: Vec::new(), protocol: "version=2" };
        repo.git(&["init", "-q", "-b", "main", "--object-format", object_format]);
        repo
    }

    /// Adds a setting (`key=value`) to the server.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Makes the server speak this version of the protocol, as in `Git-Protocol`, whatever it is asked in.
    pub fn speak(&mut self, protocol: &'static str) {
        self.protocol = protocol;
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// Runs git and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> Vec<u8> {
        self.git_with(arguments, b"")
    }

    /// Runs git with `input` and returns what it prints.
    pub fn git_with(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let (output, ok) = self.run(arguments, &[], input);
        assert!(ok, "git {arguments:?} failed");
        output
    }

    /// Writes a file into the working copy.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// Writes an executable into the working copy.
    pub fn write_executable(&self, relative: &str, content: &str) {
        self.write(relative, content);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(relative), mode).expect("a mode");
    }

    /// Makes a symlink in the working copy.
    pub fn link(&self, relative: &str, target: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
        symlink(target, path).expect("a symlink");
    }

    /// Commits the working copy, a minute after the commit before.
    pub fn commit(&mut self) -> ObjectId {
        self.seconds += 60;
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "A change"]);
        self.id("HEAD")
    }

    /// Puts a file into the index as it is, whatever `.gitattributes` would make of it.
    pub fn stage(&self, relative: &str, content: &[u8]) {
        let blob = self.hash_object("blob", content);
        self.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{relative}")]);
    }

    /// Commits the index as it is.
    pub fn commit_staged(&mut self) -> ObjectId {
        self.seconds += 60;
        self.git(&["commit", "-q", "-m", "A change"]);
        self.id("HEAD")
    }

    /// The tags that there are.
    pub fn tags(&self) -> Vec<String> {
        String::from_utf8(self.git(&["tag"])).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    pub fn id(&self, revision: &str) -> ObjectId {
        let hex = self.git(&["rev-parse", revision]);
        ObjectId::parse(hex.trim_ascii()).expect("git prints ids")
    }

    /// Writes an object as it is, however malformed.
    pub fn hash_object(&self, kind: &str, content: &[u8]) -> ObjectId {
        let hex = self.git_with(&["hash-object", "-t", kind, "--literally", "-w", "--stdin"], content);
        ObjectId::parse(hex.trim_ascii()).expect("git prints ids")
    }

    /// A commit of that tree, however malformed the tree.
    pub fn commit_of_tree(&self, tree: ObjectId) -> ObjectId {
        let person = "A <a@example.org> 1700000000 +0000";
        let content = format!("tree {tree}\nauthor {person}\ncommitter {person}\n\nodd\n");
        self.hash_object("commit", content.as_bytes())
    }

    /// A pack of every object there is, made with these further arguments.
    pub fn pack_everything(&self, arguments: &[&str]) -> Vec<u8> {
        let ids = self.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered"]);
        self.git_with(&[&["pack-objects", "-q", "--stdout"], arguments].concat(), &ids)
    }

    /// The body of `GET info/refs?service=git-upload-pack`.
    pub fn advertisement(&self, filters: Filters) -> Vec<u8> {
        self.upload_pack(&["--http-backend-info-refs"], filters, b"").0
    }

    pub fn capabilities(&self, filters: Filters) -> Capabilities {
        Advertisement::parse(&self.advertisement(filters)).expect("a git server").capabilities
    }

    /// The body of the answer to `POST git-upload-pack`.
    pub fn post(&self, filters: Filters, body: &[u8]) -> Vec<u8> {
        self.upload_pack(&[], filters, body).0
    }

    /// Fetches, in the odd chunks of a network.
    pub fn fetch(&self, filters: Filters, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        let capabilities = self.capabilities(filters);
        let answer = self.post(filters, &request.encode(&capabilities));
        let mut receiver = PackReceiver::new(&capabilities, rostrum_git::limits::PACK_BYTES);
        for chunk in answer.chunks(1_391) {
            receiver.push(chunk)?;
        }
        receiver.finish()
    }

    fn upload_pack(&self, mode: &[&str], filters: Filters, input: &[u8]) -> (Vec<u8>, bool) {
        let allow = format!("uploadpack.allowFilter={}", filters == Filters::Allowed);
        let mut arguments = vec!["-c", &allow];
        for setting in &self.settings {
            arguments.extend(["-c", setting]);
        }
        arguments.extend(["upload-pack", "--stateless-rpc"]);
        arguments.extend(mode);
        arguments.push(".");
        self.run(&arguments, &[("GIT_PROTOCOL", self.protocol)], input)
    }

    fn run(&self, arguments: &[&str], env: &[(&str, &str)], input: &[u8]) -> (Vec<u8>, bool) {
        let date = format!("{} +0100", self.seconds);
        let mut child = Command::new("git")
            .current_dir(self.root.path())
            .args(arguments)
            .env_remove("GIT_DIR")
            .env_remove("GIT_PROTOCOL")
            .env("HOME", self.root.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.org")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.org")
            .env("GIT_COMMITTER_DATE", &date)
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
}

/// Path → (mode, content or target).
pub type Listing = BTreeMap<String, (u32, Vec<u8>)>;

/// The whole commit, as it is fetched to archive it.
pub fn fetched(repo: &Repo, commit: ObjectId) -> Packs {
    open(repo.fetch(Filters::Off, &FetchRequest::commits([commit], None)).expect("a pack")).into()
}

/// A valid pack.
pub fn open(pack: Vec<u8>) -> Pack {
    Pack::open(pack, &PackLimits::default()).expect("valid")
}

/// That commit archived from such a pack, with the default options.
pub fn archive(repo: &Repo, commit: ObjectId) -> Result<Archive, ArchiveError> {
    build_zip(&fetched(repo, commit), &commit, &ArchiveOptions::default())
}

/// What is in a zip below its one directory. Names that are not UTF-8 have their odd bytes escaped.
pub fn read_zip(bytes: &[u8]) -> Listing {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let names: Vec<Vec<u8>> = zip.file_names_raw().map(<[u8]>::to_vec).collect();
    let mut listing = Listing::new();
    for (index, name) in names.iter().enumerate() {
        let name = name.strip_prefix(b"package/").expect("in the top-level directory");
        let mut file = zip.by_index(index).expect("an entry");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("intact");
        let mode = file.unix_mode().expect("made on unix");
        listing.insert(name_of(name), (mode, content));
    }
    listing
}

/// A path as a listing has it.
pub fn name_of(path: &[u8]) -> String {
    std::str::from_utf8(path).map_or_else(|_| path.escape_ascii().to_string(), str::to_owned)
}

/// What `git archive` makes of the same, without its directories. `arguments` name the commit, and paths in it.
pub fn git_archive(repo: &Repo, arguments: &[&str]) -> Listing {
    let tar = repo.git(&[&["-c", "tar.umask=0022", "archive", "--format=tar"], arguments].concat());
    let mut listing = Listing::new();
    let mut rest = &tar[..];
    let text = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    while rest.len() >= 512 && rest[0] != 0 {
        let (header, after) = rest.split_at(512);
        let octal = |field: &[u8]| {
            let digits = String::from_utf8(text(field)).expect("ASCII");
            u32::from_str_radix(digits.trim(), 8).expect("octal")
        };
        let size = octal(&header[124..136]) as usize;
        let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
        let path = if prefix.is_empty() { name } else { [&prefix[..], b"/", &name].concat() };
        let mode = octal(&header[100..108]) & 0o777;
        match header[156] {
            b'0' => {
                listing.insert(name_of(&path), (0o100_000 | mode, after[..size].to_vec()));
            }
            b'2' => {
                listing.insert(name_of(&path), (0o120_777, text(&header[157..257])));
            }
            // The commit id, and directories.
            b'g' | b'5' => {}
            other => panic!("an entry of type {other}"),
        }
        rest = &after[size.div_ceil(512) * 512..];
    }
    listing
}
