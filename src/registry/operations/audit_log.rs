//! Reading the audit log.

use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::Page;
use crate::store::kernel::audit::{AuditEntryRow, AuditFilter, page};

/// A page of the log, newest first, and how many entries match in all.
pub async fn list(
    app: &App,
    view: &View,
    filter: AuditFilter<'_>,
    part: Page,
) -> Result<(Vec<AuditEntryRow>, i64), Failure> {
    Ok(page(&*app.ports.database, view.organization(), filter, part).await?)
}
