//! What decides who may have a version, besides its number.

use serde::Deserialize;

use crate::ports::Millis;
use crate::store::flag;

/// When a version was released, and whom that keeps from it. Rows have it as `released_at` and `security_fix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Released {
    /// The moment; what it is for which version, `registry::packages::released` says.
    #[serde(rename = "released_at")]
    pub at: Millis,
    /// Whether those have it too whose updates ended before it was released.
    #[serde(deserialize_with = "flag")]
    pub security_fix: bool,
}

impl Released {
    /// An ordinary version's.
    pub fn at(moment: Millis) -> Self {
        Self { at: moment, security_fix: false }
    }
}
