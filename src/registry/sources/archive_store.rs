//! Where zips lie, and how many are built at a time.

use std::time::Duration;

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::memory::Permit;

/// Where a zip lies in the blob store.
pub fn blob_key(sha256: &str) -> String {
    format!("dist/{}/{sha256}.zip", &sha256[..2.min(sha256.len())])
}

/// The permit to build a zip in one go: two at a time would not fit the isolate's memory.
pub const BUILD_PERMIT: &str = "archives";

/// The permit to build a large zip.
pub const LARGE_BUILD_PERMIT: &str = "archives:large";

/// Waits for the isolate's one place for building.
pub async fn acquire_build_permit(app: &App) -> Result<Permit, Failure> {
    app.acquire_permit(&[BUILD_PERMIT], BUILD_PERMIT_TIMEOUT).await.ok_or_else(busy)
}

/// How long a builder, or who fetches an archive, waits for others in the same isolate.
pub const BUILD_PERMIT_TIMEOUT: Duration = Duration::from_secs(25);

/// What a client is told when it has waited that long.
pub fn busy() -> Failure {
    Failure::new(Kind::Upstream, "Other archives are being built here. Try again in a moment.")
}

/// What a client is told of a version whose zip cannot be built.
pub fn unavailable(version: &str, reason: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("The archive of version {version} is not available: {reason}"))
}
