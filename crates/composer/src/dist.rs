//! Where the archive of a version is, how it is packed, and the other places of it that a repository names.

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::identifiers::{Reference, Shasum};
use crate::name::PackageName;
use crate::version::NormalizedVersion;

/// Where the archive of a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dist {
    /// How it is packed.
    pub kind: DistType,
    /// Absolute, immutable, without credentials: lock files keep it for years.
    pub url: String,
    /// The commit, or a hash of the content.
    pub reference: Reference,
    /// Lower-case hex SHA-1 of the archive; `None` is no check.
    pub shasum: Option<Shasum>,
}

/// How an archive is packed, by the names that Composer has for the kinds that it unpacks from one downloaded file. The
/// rest of its kinds are left out: a directory (`path`), a file as it is (`file`, `phar`), and `rar`, which hardly any
/// client can unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistType {
    /// A zip.
    Zip,
    /// A tar, compressed or not.
    Tar,
    /// One file, compressed by gzip.
    Gzip,
    /// A tar, compressed by xz.
    Xz,
}

/// What the address of a tar may end with, the longer endings first.
const TAR_ENDINGS: [&str; 7] = [".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar"];

/// What the address of a gzip ends with here.
const GZIP_ENDING: &str = ".gz";

impl DistType {
    /// Reads Composer's name of a kind.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Zip, Self::Tar, Self::Gzip, Self::Xz].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Composer's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
        }
    }

    /// What has to stand behind the reference in the address of an archive that upstream has at `url`: Composer takes the
    /// ending of its temporary file from the address, and for a gzip the name of the file that is in it.
    pub fn address_ending(self, url: &str) -> String {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        match self {
            Self::Zip => ".zip".to_owned(),
            Self::Xz => ".xz".to_owned(),
            Self::Tar => {
                let path = path.to_ascii_lowercase();
                TAR_ENDINGS.into_iter().find(|ending| path.ends_with(ending)).unwrap_or(".tar").to_owned()
            }
            Self::Gzip => {
                let name = path.rsplit('/').next().unwrap_or_default();
                let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                let is_plain =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+');
                let stem = if !stem.is_empty() && stem.bytes().all(is_plain) { stem } else { "file" };
                format!("/{stem}{GZIP_ENDING}")
            }
        }
    }
}

/// An address of an archive below a version, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivePath<'a> {
    /// The version, and the reference if there is one, with a slash between them.
    pub version: &'a str,
    /// How the archive is packed, by what [`DistType::address_ending`] has put behind it.
    pub kind: DistType,
}

impl<'a> ArchivePath<'a> {
    /// Takes the ending off `path`, which follows the package's name; `None` when it has none of an archive.
    /// `is_reference` tells a reference: behind one, the name of a gzip's file may follow.
    pub fn parse(path: &'a str, is_reference: impl Fn(&str) -> bool) -> Option<Self> {
        let slash = path.strip_suffix(GZIP_ENDING).and_then(|stem| stem.rfind('/'));
        if let Some(slash) = slash.filter(|&slash| path[..slash].rsplit('/').next().is_some_and(is_reference)) {
            return Some(Self { version: &path[..slash], kind: DistType::Gzip });
        }
        let others = [(".zip", DistType::Zip), (".xz", DistType::Xz), (GZIP_ENDING, DistType::Gzip)];
        let endings = TAR_ENDINGS.map(|ending| (ending, DistType::Tar)).into_iter().chain(others);
        let mut found = endings.filter_map(|(ending, kind)| Some(Self { version: path.strip_suffix(ending)?, kind }));
        found.next()
    }
}

/// Another place of a repository's archives; serialized as a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, bool)", into = "(String, bool)")]
pub struct DistMirror {
    /// With placeholders.
    pub url: String,
    /// Whether it is tried before the archive's own place.
    pub preferred: bool,
}

impl From<(String, bool)> for DistMirror {
    fn from((url, preferred): (String, bool)) -> Self {
        Self { url, preferred }
    }
}

impl From<DistMirror> for (String, bool) {
    fn from(mirror: DistMirror) -> Self {
        (mirror.url, mirror.preferred)
    }
}

/// What the placeholders in an archive's address stand for.
#[derive(Debug, Clone, Copy)]
pub struct DistPlaceholders<'a> {
    /// The package.
    pub name: &'a PackageName,
    /// The version as it is compared.
    pub version: &'a NormalizedVersion,
    /// The version as it is written.
    pub pretty: &'a str,
    /// The commit.
    pub reference: Option<&'a str>,
    /// How the archive is packed.
    pub kind: DistType,
}

impl DistPlaceholders<'_> {
    /// Where the archive with the address `url` may be, in the order in which the client tries them
    /// (`ComposerMirror::processUrl`).
    pub fn dist_urls(&self, url: &str, mirrors: &[DistMirror]) -> Vec<String> {
        let fill = |mirror: &DistMirror| self.fill(&mirror.url);
        let preferred = mirrors.iter().filter(|mirror| mirror.preferred).map(fill);
        let others = mirrors.iter().filter(|mirror| !mirror.preferred).map(fill);
        preferred.chain([self.fill(url)]).chain(others).collect()
    }

    /// A version with a slash and a reference that is no hash are stood for by their MD5, so that each is one segment of
    /// an address.
    fn fill(&self, template: &str) -> String {
        if !template.contains('%') {
            return template.to_owned();
        }
        let is_hash = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let or_md5 = |text: &str, is_plain: bool| if is_plain { text.to_owned() } else { md5_of(text) };
        let (version, reference) = (self.version.as_str(), self.reference.unwrap_or_default());
        template
            .replace("%package%", self.name.as_str())
            .replace("%version%", &or_md5(version, !version.contains('/')))
            .replace("%reference%", &or_md5(reference, is_hash(reference) || reference == "%reference%"))
            .replace("%type%", self.kind.as_str())
            .replace("%prettyVersion%", self.pretty)
    }
}

fn md5_of(text: &str) -> String {
    hex::encode(Md5::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::normalize;

    #[test]
    fn placeholders_are_filled_as_the_client_does_it() {
        let version = normalize("v1.2").expect("a version");
        let name = PackageName::parse("acme/lib").expect("a name");
        let placeholders = DistPlaceholders {
            name: &name,
            version: &version,
            pretty: "v1.2",
            reference: Some("abc123"),
            kind: DistType::Zip,
        };
        let mirrors = [
            DistMirror { url: "https://b.test/%package%/%prettyVersion%.%type%".to_owned(), preferred: false },
            DistMirror { url: "https://a.test/%package%/%version%/r%reference%".to_owned(), preferred: true },
        ];
        let urls = placeholders.dist_urls("https://host.test/a%20b.zip", &mirrors);
        let expected = [
            "https://a.test/acme/lib/1.2.0.0/rabc123",
            "https://host.test/a%20b.zip",
            "https://b.test/acme/lib/v1.2.zip",
        ];
        assert_eq!(urls, expected);
    }

    #[test]
    fn a_version_with_a_slash_and_a_reference_that_is_no_hash_are_filled_in_as_their_md5() {
        let branch = normalize("dev-feature/x").expect("a branch");
        let name = PackageName::parse("acme/lib").expect("a name");
        let placeholders = DistPlaceholders {
            name: &name,
            version: &branch,
            pretty: "dev-feature/x",
            reference: Some("trunk@5"),
            kind: DistType::Tar,
        };
        let urls = placeholders.dist_urls("https://host.test/%version%/%reference%.%type%", &[]);
        // `php -r 'echo md5("dev-feature/x"), "/", md5("trunk@5");'`
        let expected = "https://host.test/c59df8ffc3722ccf3e45eda9c4e4bf20/efb0c6350d0192565d91e6ee84f5d0c2.tar";
        assert_eq!(urls, [expected]);
        let nothing = DistPlaceholders { reference: None, ..placeholders };
        assert_eq!(nothing.dist_urls("https://host.test/r%reference%", &[]), ["https://host.test/r"]);
    }

    #[test]
    fn an_address_ends_as_the_clients_temporary_file_has_to() {
        for (kind, url, ending) in [
            (DistType::Zip, "https://host.test/a.zip?x=1", ".zip"),
            (DistType::Zip, "https://host.test/download", ".zip"),
            (DistType::Tar, "https://host.test/a.TAR.GZ?sha=1.zip", ".tar.gz"),
            (DistType::Tar, "https://host.test/a.tgz#x", ".tgz"),
            (DistType::Tar, "https://host.test/download?id=5", ".tar"),
            (DistType::Xz, "https://host.test/a.tar.xz", ".xz"),
            (DistType::Gzip, "https://host.test/tools/tool.phar.gz", "/tool.phar.gz"),
            (DistType::Gzip, "https://host.test/tools/tool", "/tool.gz"),
            (DistType::Gzip, "https://host.test/%2e%2e/", "/file.gz"),
        ] {
            assert_eq!(kind.address_ending(url), ending, "{url}");
            assert_eq!(DistType::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(DistType::parse("path"), None);
    }

    #[test]
    fn an_address_is_taken_apart_as_it_was_put_together() {
        let parse = |path| ArchivePath::parse(path, |text| text == "abc").map(|found| (found.version, found.kind));
        assert_eq!(parse("1.0/abc.zip"), Some(("1.0/abc", DistType::Zip)));
        assert_eq!(parse("1.0/abc.tar.gz"), Some(("1.0/abc", DistType::Tar)));
        assert_eq!(parse("1.0/abc.tar.xz"), Some(("1.0/abc", DistType::Tar)));
        assert_eq!(parse("1.0/abc.xz"), Some(("1.0/abc", DistType::Xz)));
        assert_eq!(parse("1.0/abc/tool.tar.gz"), Some(("1.0/abc", DistType::Gzip)));
        assert_eq!(parse("dev-a/b.zip"), Some(("dev-a/b", DistType::Zip)));
        assert_eq!(parse("dev-a/b.gz"), Some(("dev-a/b", DistType::Gzip)));
        assert_eq!(parse("1.0/abc"), None);
    }
}
