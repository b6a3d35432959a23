//! What an LFS server's batch API is asked and answers (git-lfs, docs/api/batch.md).

use std::collections::HashMap;

use git::LfsPointer;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::json::read_bytes;
use crate::registry::kernel::outbound::Authorization;
use crate::registry::sources::git::lfs::error::LfsError;

/// The way of fetching an object that every server knows: one request.
const TRANSFER: &str = "basic";

/// Headers that are about a connection, and the platform's own.
const IGNORED_HEADERS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// Where an object is.
pub struct ObjectAddress {
    /// Its address; whoever knows it may have the object.
    pub href: Url,
    /// The headers that go there and nowhere else.
    pub headers: Authorization,
    /// Whether these are a login, or no login is needed.
    pub has_login: bool,
}

/// What a server says of the objects that it was asked for: where each is, or nothing of one that it does not have.
pub struct ObjectAnswers(HashMap<String, Result<Option<ObjectAddress>, LfsError>>);

impl ObjectAnswers {
    /// What it says of an object, once.
    pub fn take(&mut self, oid: &str) -> Result<Option<ObjectAddress>, LfsError> {
        self.0.remove(oid).unwrap_or(Err(LfsError::NoAddress))
    }

    /// Reads an answer that came from `endpoint`.
    pub fn parse(body: &[u8], endpoint: &Url) -> Result<Self, LfsError> {
        // Only the path is told: what is there may be a secret.
        let answer: Answer =
            read_bytes(body).map_err(|error| LfsError::Unreadable { path: error.path().to_owned() })?;
        if let Some(other) = answer.transfer.filter(|transfer| transfer != TRANSFER) {
            return Err(LfsError::Transfer(other.chars().filter(|letter| !letter.is_control()).take(50).collect()));
        }
        Ok(Self(answer.objects.into_iter().map(|object| (object.oid.clone(), object.into_address(endpoint))).collect()))
    }
}

#[derive(Deserialize)]
struct Answer {
    transfer: Option<String>,
    objects: Vec<AnsweredObject>,
}

#[derive(Deserialize)]
struct AnsweredObject {
    oid: String,
    authenticated: Option<bool>,
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct ObjectError {
    code: u16,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Download>,
}

#[derive(Deserialize)]
struct Download {
    href: String,
    header: Option<Map<String, Value>>,
}

impl AnsweredObject {
    fn into_address(self, endpoint: &Url) -> Result<Option<ObjectAddress>, LfsError> {
        match (self.error, self.actions.and_then(|actions| actions.download)) {
            (Some(ObjectError { code: 404 | 410 }), _) => Ok(None),
            (Some(ObjectError { code }), _) => Err(LfsError::Object { code }),
            (None, None) => Err(LfsError::NoAddress),
            (None, Some(Download { href, header })) => {
                let href = endpoint.join(&href).map_err(|_| LfsError::NoAddress)?;
                let headers: Vec<(HeaderName, HeaderValue)> =
                    header.iter().flatten().filter_map(|(name, value)| read_header(name, value)).collect();
                let has_login =
                    self.authenticated == Some(true) || headers.iter().any(|(name, _)| *name == AUTHORIZATION);
                Ok(Some(ObjectAddress { href, headers: Authorization::headers(headers), has_login }))
            }
        }
    }
}

fn read_header(name: &str, value: &Value) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name).ok().filter(|name| !IGNORED_HEADERS.contains(name))?;
    Some((name, HeaderValue::try_from(value.as_str()?).ok()?))
}

/// The request for these objects.
pub fn request(objects: &[&LfsPointer]) -> String {
    let objects: Vec<Value> =
        objects.iter().map(|LfsPointer { oid, size }| json!({ "oid": oid, "size": size })).collect();
    let request = json!({
        "operation": "download", "transfers": [TRANSFER], "objects": objects, "hash_algo": "sha256",
    });
    request.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &Value) -> Result<ObjectAnswers, LfsError> {
        let endpoint = Url::parse("https://git.test/acme/lib.git/info/lfs/objects/batch").expect("a URL");
        ObjectAnswers::parse(body.to_string().as_bytes(), &endpoint)
    }

    fn answer_to_one(object: &Value) -> Result<Option<ObjectAddress>, LfsError> {
        parsed(&json!({ "objects": [object] })).and_then(|mut answers| answers.take("a"))
    }

    #[test]
    fn an_object_is_somewhere_or_absent_or_cannot_be_had() {
        let at = |object: Value| answer_to_one(&object).expect("readable").map(|address| address.href.to_string());
        let href = json!({"download": {"href": "https://cdn.test/a?sig=1"}});
        assert_eq!(at(json!({"oid": "a", "size": 7, "actions": href})).as_deref(), Some("https://cdn.test/a?sig=1"));
        for code in [404, 410] {
            assert_eq!(at(json!({"oid": "a", "error": {"code": code, "message": "gone"}})), None);
        }
        for (object, expected) in [
            (json!({"oid": "a", "error": {"code": 403}}), "it answers with the error 403 for the file"),
            (json!({"oid": "a"}), "it does not say where the file is"),
            (json!({"oid": "b", "actions": href}), "it does not say where the file is"),
            (json!({"oid": "a", "actions": {"download": {"href": "https://"}}}), "it does not say where the file is"),
        ] {
            let error = answer_to_one(&object).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(expected), "{object}");
        }
    }

    #[test]
    fn a_login_is_one_that_the_server_gave_or_none_that_it_wants() {
        for (object, expected) in [
            (json!({"actions": {"download": {"href": "/x"}}}), false),
            (
                json!({"authenticated": false, "actions": {"download": {"href": "/x", "header": {"Accept": "x"}}}}),
                false,
            ),
            (json!({"authenticated": true, "actions": {"download": {"href": "/x"}}}), true),
            (json!({"actions": {"download": {"href": "/x", "header": {"authorization": "Basic x"}}}}), true),
        ] {
            let mut object = object;
            object["oid"] = json!("a");
            let address = answer_to_one(&object).expect("readable").expect("somewhere");
            assert_eq!(address.has_login, expected, "{object}");
            assert_eq!(address.href.as_str(), "https://git.test/x");
        }
    }

    #[test]
    fn an_answer_that_is_something_else_is_told_without_what_it_says() {
        let error = |body: &Value| parsed(body).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            error(&json!({"objects": "secret"})),
            "its answer is not that of an LFS server (`objects` is not what it should be)"
        );
        assert_eq!(
            error(&json!({"transfer": "tus", "objects": []})),
            "it hands objects out by `tus` only, which is not understood here"
        );
        let endpoint = Url::parse("https://git.test/").expect("a URL");
        let error = ObjectAnswers::parse(b"<html>", &endpoint).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("its answer is not that of an LFS server"));
    }
}
