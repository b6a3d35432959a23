//! The capability advertisement: the answer to `GET {repository}/info/refs` with the request
//! header `Git-Protocol: version=2` (gitprotocol-v2(5), "Capability Advertisement"). A server that
//! does not know version 2 answers in an older one (`version_0`).

use serde::{Deserialize, Serialize};

use crate::object::ObjectId;
use crate::protocol::ls_refs::{LsRefsError, RemoteRefs};
use crate::protocol::pkt_line::{
    Packet, PktLineError, encode_data, encode_delim, line, packets, remote_error, remote_message,
};
use crate::protocol::version_0::{self, Version0};

/// Where the advertisement is, relative to the repository's URL. Ask with the request header
/// `Git-Protocol: version=2` ([`PROTOCOL_VERSION`]), or the server answers in version 0.
pub const ADVERTISEMENT_PATH: &str = "info/refs?service=git-upload-pack";

/// Where commands are posted to, relative to the repository's URL, with the content type
/// `application/x-git-upload-pack-request` and [`Capabilities::protocol_version`].
pub const UPLOAD_PACK_PATH: &str = "git-upload-pack";

/// The value of the request header `Git-Protocol` that asks for version 2.
pub const PROTOCOL_VERSION: &str = "version=2";

/// How we name ourselves to servers that ask for it.
pub const AGENT: &str = concat!("agent=rostrum/", env!("CARGO_PKG_VERSION"));

/// What the server can do, as far as we use it. Worth storing: it saves one request of three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// The server's name for itself, such as `git/2.47.3`.
    pub agent: Option<String>,
    /// `fetch` takes a `filter` (partial clone), and what that left out can be wanted afterwards.
    pub filter: bool,
    /// `fetch` takes `deepen`.
    pub shallow: bool,
    /// `ls-refs` takes `unborn` (the default branch of an empty repository).
    pub unborn: bool,
    /// The server names `sha1` as an object format, so requests must name it too.
    pub object_format_sha1: bool,
    /// What else a server of version 0 or 1 can do; `None`: it speaks version 2.
    #[serde(default)]
    pub version_0: Option<Version0>,
}

/// The answer to the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// What the server can do.
    pub capabilities: Capabilities,
    /// What the repository has, which versions 0 and 1 say at once; version 2 is asked for it
    /// ([`ls_refs_request`](crate::ls_refs_request)).
    pub refs: Option<RemoteRefs>,
}

/// The advertisement is not one that we can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisementError {
    /// Not pkt-lines at all: a login page, a dumb HTTP server, another kind of site.
    #[error("the address does not answer as a git repository")]
    NotGit,
    /// The repository names its objects with another hash than SHA-1.
    #[error("the repository's object format {0} is not supported")]
    UnsupportedObjectFormat(String),
    /// The server lacks a command or a capability that we need.
    #[error("the server does not offer {0}")]
    MissingCommand(&'static str),
    /// The refs in it cannot be used.
    #[error(transparent)]
    Refs(LsRefsError),
    /// The server refused, in its own words.
    #[error("the server says: {0}")]
    Remote(String),
    /// The answer starts well and ends inside a packet or without its end marker.
    #[error("the capability advertisement is incomplete")]
    Truncated,
}

impl From<LsRefsError> for AdvertisementError {
    fn from(error: LsRefsError) -> Self {
        match error {
            LsRefsError::Remote(words) => Self::Remote(words),
            LsRefsError::Truncated | LsRefsError::Framing(_) => Self::Truncated,
            LsRefsError::MalformedLine | LsRefsError::TooManyRefs { .. } => Self::Refs(error),
        }
    }
}

impl Advertisement {
    /// Reads an advertisement, with or without the `# service=git-upload-pack` line before it.
    pub fn parse(bytes: &[u8]) -> Result<Self, AdvertisementError> {
        let mut packets = packets(bytes).peekable();
        let mut first = next_data(&mut packets).map_err(|_| AdvertisementError::NotGit)?;
        if line(first) == b"# service=git-upload-pack" {
            // The flush after it is the rule; some servers leave it out.
            if packets.next_if_eq(&Ok(Packet::Flush)).is_some() && packets.next_if_eq(&Ok(Packet::Flush)).is_some() {
                // Of an empty repository, older servers say nothing at all.
                return Ok(Self::empty());
            }
            first = next_data(&mut packets)?;
        }
        if line(first) == b"version 2" {
            return Found::read(packets);
        }
        // Version 1 is version 0 with this line in front.
        if line(first) == b"version 1" {
            first = next_data(&mut packets)?;
        }
        if let Some(words) = remote_error(first) {
            return Err(AdvertisementError::Remote(words));
        }
        if !begins_with_an_id(first) {
            return Err(AdvertisementError::NotGit);
        }
        version_0::read_advertisement(first, packets)
    }

    fn empty() -> Self {
        let capabilities = Capabilities { version_0: Some(Version0::default()), ..Capabilities::default() };
        Self { capabilities, refs: Some(RemoteRefs::default()) }
    }
}

impl Capabilities {
    /// The value of the request header `Git-Protocol` to post with; `None`: without the header. Only
    /// so does a server that has learnt version 2 meanwhile still read what was meant for version 0.
    pub fn protocol_version(&self) -> Option<&'static str> {
        self.version_0.is_none().then_some(PROTOCOL_VERSION)
    }

    /// Whether the server says that it sends every object that it has. Others may send nothing but
    /// what a branch or tag points to.
    pub fn sends_any_object(&self) -> bool {
        self.version_0.as_ref().is_none_or(|version_0| version_0.sends_any_object)
    }

    /// The lines that every request carries between its command and its arguments.
    pub(crate) fn request_header(&self, command: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode_data(&mut out, format!("command={command}\n"));
        if self.agent.is_some() {
            encode_data(&mut out, format!("{AGENT}\n"));
        }
        if self.object_format_sha1 {
            encode_data(&mut out, "object-format=sha1\n");
        }
        encode_delim(&mut out);
        out
    }
}

#[derive(Default)]
struct Found {
    capabilities: Capabilities,
    ls_refs: bool,
    fetch: bool,
}

impl Found {
    /// Reads what follows the line `version 2`.
    fn read<'a>(
        mut packets: impl Iterator<Item = Result<Packet<'a>, PktLineError>>,
    ) -> Result<Advertisement, AdvertisementError> {
        let mut found = Self::default();
        loop {
            match packets.next() {
                Some(Ok(Packet::Data(data))) => found.capability(data)?,
                Some(Ok(_)) => return Ok(Advertisement { capabilities: found.finish()?, refs: None }),
                Some(Err(_)) | None => return Err(AdvertisementError::Truncated),
            }
        }
    }

    fn capability(&mut self, data: &[u8]) -> Result<(), AdvertisementError> {
        if let Some(words) = remote_error(data) {
            return Err(AdvertisementError::Remote(words));
        }
        let text = String::from_utf8_lossy(line(data));
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        let has = |feature: &str| value.split(' ').any(|word| word == feature);
        match key {
            "agent" => self.capabilities.agent = Some(bounded(value)),
            "ls-refs" => {
                self.ls_refs = true;
                self.capabilities.unborn = has("unborn");
            }
            "fetch" => {
                self.fetch = true;
                self.capabilities.filter = has("filter");
                self.capabilities.shallow = has("shallow");
            }
            "object-format" if value == "sha1" => self.capabilities.object_format_sha1 = true,
            "object-format" => {
                return Err(AdvertisementError::UnsupportedObjectFormat(bounded(value)));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Capabilities, AdvertisementError> {
        if !self.ls_refs {
            return Err(AdvertisementError::MissingCommand("ls-refs"));
        }
        if !self.fetch {
            return Err(AdvertisementError::MissingCommand("fetch"));
        }
        Ok(self.capabilities)
    }
}

fn next_data<'a>(
    packets: &mut impl Iterator<Item = Result<Packet<'a>, PktLineError>>,
) -> Result<&'a [u8], AdvertisementError> {
    match packets.next() {
        Some(Ok(Packet::Data(data))) => Ok(data),
        _ => Err(AdvertisementError::Truncated),
    }
}

/// As version 0's first line does: an object id, a space, a name, NUL, capabilities.
fn begins_with_an_id(first: &[u8]) -> bool {
    first.get(..2 * ObjectId::BYTES).is_some_and(|hex| ObjectId::parse(hex).is_ok())
}

/// A value as it is kept.
pub(super) fn bounded(value: &str) -> String {
    remote_message(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_flush;

    fn parse(bytes: &[u8]) -> Result<Capabilities, AdvertisementError> {
        Advertisement::parse(bytes).map(|advertisement| advertisement.capabilities)
    }

    fn advertisement(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            encode_data(&mut out, line);
        }
        encode_flush(&mut out);
        out
    }

    #[test]
    fn a_server_without_partial_clone_is_understood() {
        let bytes = advertisement(&["version 2\n", "ls-refs\n", "fetch=shallow\n"]);
        let capabilities = parse(&bytes).expect("valid");
        assert!(capabilities.shallow && !capabilities.filter && !capabilities.unborn);
        assert_eq!(capabilities.agent, None);
        assert_eq!(capabilities.request_header("ls-refs"), b"0014command=ls-refs\n0001");
    }

    #[test]
    fn the_service_line_is_optional_and_so_is_its_flush() {
        let plain = advertisement(&["version 2\n", "agent=git/2\n", "ls-refs\n", "fetch\n"]);
        let with_flush = [advertisement(&["# service=git-upload-pack\n"]), plain.clone()].concat();
        let mut without = Vec::new();
        encode_data(&mut without, "# service=git-upload-pack\n");
        without.extend_from_slice(&plain);
        let expected = parse(&plain).expect("plain");
        assert_eq!(parse(&with_flush), Ok(expected.clone()));
        assert_eq!(parse(&without), Ok(expected));
    }

    #[test]
    fn pages_and_dumb_servers_are_not_git() {
        for bytes in [
            &b"<!DOCTYPE html><html></html>"[..],
            b"",
            b"0000",
            b"1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6\trefs/heads/main\n",
            b"000ahello\n0000",
        ] {
            assert_eq!(parse(bytes), Err(AdvertisementError::NotGit));
        }
    }

    #[test]
    fn the_refusals_of_a_server_keep_their_words() {
        let first = advertisement(&["ERR Repository not found.\n"]);
        let later = advertisement(&["version 2\n", "ERR Repository not found.\n"]);
        for bytes in [first, later] {
            assert_eq!(parse(&bytes), Err(AdvertisementError::Remote("Repository not found.".into())));
        }
    }

    #[test]
    fn missing_commands_hashes_and_ends_are_named() {
        let sha256 = ["version 2\n", "ls-refs\n", "fetch\n", "object-format=sha256\n"];
        assert_eq!(parse(&advertisement(&sha256)), Err(AdvertisementError::UnsupportedObjectFormat("sha256".into())));
        assert_eq!(
            parse(&advertisement(&["version 2\n", "ls-refs\n"])),
            Err(AdvertisementError::MissingCommand("fetch"))
        );
        assert_eq!(
            parse(&advertisement(&["version 2\n", "fetch\n"])),
            Err(AdvertisementError::MissingCommand("ls-refs"))
        );
        let whole = advertisement(&["version 2\n", "ls-refs\n", "fetch\n"]);
        for end in [whole.len() - 1, whole.len() - 4, whole.len() - 6] {
            assert_eq!(parse(&whole[..end]), Err(AdvertisementError::Truncated));
        }
    }

    #[test]
    fn capabilities_can_be_stored() {
        let bytes = advertisement(&["version 2\n", "agent=git/2\n", "ls-refs\n", "fetch=filter\n"]);
        let capabilities = parse(&bytes).expect("valid");
        let json = serde_json::to_string(&capabilities).expect("serializes");
        let back: Capabilities = serde_json::from_str(&json).expect("parses");
        assert_eq!(back, capabilities);
        assert_eq!(capabilities.protocol_version(), Some("version=2"));
    }

    #[test]
    fn capabilities_that_were_stored_before_older_versions_were_known_are_those_of_version_2() {
        let stored = r#"{"agent":"git/2","filter":true,"shallow":true,"unborn":true,"object_format_sha1":true}"#;
        let capabilities: Capabilities = serde_json::from_str(stored).expect("parses");
        assert_eq!(capabilities.version_0, None);
        assert!(capabilities.sends_any_object());
    }
}
