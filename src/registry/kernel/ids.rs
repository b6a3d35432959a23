//! Public ids: `UUIDv7`, so that they sort by the moment they were made.

use uuid::Builder;

use crate::ports::{Entropy, Fault, Millis};

/// A new id.
pub fn new_uid(entropy: &dyn Entropy, now: Millis) -> Result<String, Fault> {
    let mut random = [0; 10];
    entropy.fill(&mut random)?;
    let millis = u64::try_from(now.0).unwrap_or(0);
    Ok(Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
}
