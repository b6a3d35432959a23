//! Attempts to build zips in one go, noted before they are made: one that is cut off, because it takes more memory or time than
//! an isolate has, leaves its note behind. Its zips are left to jobs of their own then, which count their attempts, so that none
//! is begun again and again for ever.

use std::time::Duration;

use crate::ports::{Millis, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::sources::archive_builds;
use crate::store::sources::dists::DistRow;

/// How long such an attempt may take before it counts as cut off: twenty zips of the size that is built in one go take a
/// minute.
const ATTEMPT_LEASE: Duration = Duration::from_mins(3);

/// How often a job of its own begins to build a zip, and gets no further, before it is refused for good. The queue repeats a
/// job that was cut off five times, and a deployment of the registry may cut off a job that would have ended.
pub const MAX_ATTEMPTS: i64 = 8;

/// An attempt that is under way.
pub struct OneGoAttempt<'a> {
    app: &'a App,
    dists: Vec<i64>,
    lease_until: Millis,
}

impl<'a> OneGoAttempt<'a> {
    /// Notes that the zips of `rows` are about to be built. Those that had one before are known to be harmless.
    pub async fn begin(app: &'a App, rows: &[DistRow]) -> Result<Self, Failure> {
        let dists: Vec<i64> = rows.iter().filter(|row| row.sha256.is_none()).map(|row| row.id).collect();
        let (now, lease_until) = (app.now(), app.now().plus(ATTEMPT_LEASE));
        app.ports.database.ask([archive_builds::begin_in_one_go(&dists, now, lease_until)]).await?;
        Ok(Self { app, dists, lease_until })
    }

    /// The statement that notes that it has ended by itself, however.
    pub fn end_stmt(&self) -> Stmt {
        archive_builds::end_in_one_go(&self.dists, self.lease_until)
    }

    /// Notes that. If it cannot be noted, the zips are left to jobs of their own.
    pub async fn end(self) {
        if let Err(error) = self.app.ports.database.ask([self.end_stmt()]).await {
            log::warn!("the end of building {} archives was not noted: {error}", self.dists.len());
        }
    }
}
