//! [`ObjectId`]: the SHA-1 name of a git object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};

/// The SHA-1 name of a git object: 20 bytes, written as 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; ObjectId::BYTES]);

/// Not 40 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an object id is 40 hexadecimal digits")]
pub struct InvalidObjectId;

impl ObjectId {
    /// Length of the binary form, in bytes.
    pub const BYTES: usize = 20;

    /// Parses 40 hexadecimal digits of either case.
    pub fn parse(hex: impl AsRef<[u8]>) -> Result<Self, InvalidObjectId> {
        let mut id = [0; Self::BYTES];
        hex::decode_to_slice(hex, &mut id).map_err(|_| InvalidObjectId)?;
        Ok(Self(id))
    }

    /// The id whose binary form this is.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The binary form, as trees and deltas hold it.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The 40 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// What a hasher fed with `<kind> <size>\0<content>` ends with.
    pub(crate) fn from_hasher(hasher: Sha1) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        Self::parse(hex)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::parse(&hex).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_hex_and_json() {
        let hex = "1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6";
        let id = ObjectId::parse(hex).expect("valid");
        assert_eq!(id.to_string(), hex);
        assert_eq!(ObjectId::parse(hex.to_uppercase()), Ok(id));
        let json = serde_json::to_string(&id).expect("serializes");
        assert_eq!(json, format!("\"{hex}\""));
        assert_eq!(serde_json::from_str::<ObjectId>(&json).expect("parses"), id);
    }

    #[test]
    fn anything_but_forty_digits_is_refused() {
        for bad in
            ["", "1a7e", "1a7ec78d9fbdb28c1d12aabc70c695277cd91bag", "1a7ec78d9fbdb28c1d12aabc70c695277cd91ba600", "é"]
        {
            assert_eq!(ObjectId::parse(bad), Err(InvalidObjectId), "{bad}");
        }
        assert!(serde_json::from_str::<ObjectId>("\"xyz\"").is_err());
    }
}
