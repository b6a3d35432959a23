//! The setting `rate_limits`, as it is read together with a credential: whoever counts a request knows its limits without
//! asking for them.

use serde::{Deserialize, Serialize};

/// What an organization lets its credentials do, as far as they have no limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Requests an hour of a credential that only reads.
    pub read_per_hour: i64,
    /// Requests an hour of a credential that may write.
    pub write_per_hour: i64,
    /// Downloads a minute of one package.
    pub downloads_per_minute: i64,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { read_per_hour: 1000, write_per_hour: 500, downloads_per_minute: 100 }
    }
}
