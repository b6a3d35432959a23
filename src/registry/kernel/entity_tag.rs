//! Entity tags (RFC 9110, 8.8.3) of what somebody reads and then changes, and the precondition that nobody else has changed it
//! meanwhile.

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::registry::kernel::failure::{Failure, Kind};

/// Bytes of the digest that a tag holds.
const DIGEST_BYTES: usize = 16;

/// The strong tag of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of whatever `state` says.
    pub fn of(state: &impl Serialize) -> Self {
        let digest = Sha256::digest(json!(state).to_string().as_bytes());
        Self(format!("\"{}\"", hex::encode(&digest[..DIGEST_BYTES])))
    }

    /// With its quotation marks, as the header `ETag` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `If-Match` of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// It says nothing: whatever there is may be changed.
    #[default]
    Anything,
    /// `*`: there must be something.
    Existing,
    /// Its tag must be one of these.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Reads the header. A weak tag matches nothing.
    pub fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Existing;
        }
        Self::OneOf(text.split(',').map(|tag| tag.trim().to_owned()).collect())
    }

    /// Refuses to change what is not as the caller knows it.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn require(&self, what: &str, current: &EntityTag) -> Result<(), Failure> {
        match self {
            Self::OneOf(tags) if !tags.contains(&current.0) => {
                let detail =
                    format!("The {what} changed since you read it, so nothing was done. Read it again and retry.");
                Err(Failure::new(Kind::PreconditionFailed, detail))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_itself_and_nothing_else() {
        let (one, other) = (EntityTag::of(&[1, 2]), EntityTag::of(&[1, 3]));
        assert_ne!(one, other);
        for text in [one.as_str().to_owned(), format!("\"x\" , {}", one.as_str()), "*".to_owned()] {
            IfMatch::parse(&text).require("list", &one).expect("a match");
        }
        IfMatch::default().require("list", &one).expect("no precondition");
        for text in [other.as_str().to_owned(), format!("W/{}", one.as_str()), String::new()] {
            let failure = IfMatch::parse(&text).require("list", &one).expect_err("another state");
            assert_eq!(failure.kind, Kind::PreconditionFailed, "{text}");
        }
    }
}
