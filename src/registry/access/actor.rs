//! Who asks for a change, and from where: what the audit log says of them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::ports::{Fault, Stmt};
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::ids::new_uid;
use crate::store::OrganizationId;
use crate::store::access::tokens::HashedTokenRow;
use crate::store::kernel::audit::{NewAuditEntry, record, record_registrations, record_revocations};

/// Who asks for a change, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What they see; it names the organization that they change.
    pub view: Arc<View>,
    /// `admin`, `token:{uid}`, `user:{uid}`, `anonymous`.
    pub name: String,
    /// The client's IP address, as the edge tells it.
    pub address: Option<String>,
}

impl Actor {
    /// Somebody who has not signed in, or who is about to become a user of `organization`.
    pub fn without_view(organization: OrganizationId, name: String, address: Option<String>) -> Self {
        Self { view: Arc::new(View::of_nothing(organization)), name, address }
    }

    /// The organization that is changed.
    pub fn organization(&self) -> OrganizationId {
        self.view.organization()
    }

    /// The statement that records an event. It belongs right behind the statement that does it: what changed no row is not
    /// noted.
    pub fn record(&self, app: &App, event: &AuditEvent<'_>) -> Result<Stmt, Fault> {
        Ok(record(self.entry(app, event)?))
    }

    /// The same, with the entry's public id, for who has to know afterwards whether it was written.
    pub fn record_known(&self, app: &App, event: &AuditEvent<'_>) -> Result<(String, Stmt), Fault> {
        let entry = self.entry(app, event)?;
        Ok((entry.uid.clone(), record(entry)))
    }

    /// The statement that notes the revocation of many tokens, one entry each. It belongs right before the statement
    /// that revokes them; the event's target is passed over.
    pub fn record_revocations(
        &self,
        app: &App,
        event: &AuditEvent<'_>,
        tokens: &[HashedTokenRow],
    ) -> Result<Stmt, Fault> {
        let entry = self.entry(app, event)?;
        let list = tokens
            .iter()
            .map(|row| {
                let uid = new_uid(&*app.ports.entropy, entry.at)?;
                Ok(json!({ "entry": uid, "uid": row.token.uid, "revision": row.token.revision }))
            })
            .collect::<Result<Vec<Value>, Fault>>()?;
        Ok(record_revocations(entry, json!(list).to_string()))
    }

    /// The statement that notes the registration of many repositories by their public ids, one entry each. It belongs
    /// behind the statements that register them; what these did not register is not noted. The event's target is passed
    /// over.
    pub fn record_registrations(
        &self,
        app: &App,
        event: &AuditEvent<'_>,
        repositories: &[String],
    ) -> Result<Stmt, Fault> {
        let entry = self.entry(app, event)?;
        let list = repositories
            .iter()
            .map(|uid| Ok(json!({ "entry": new_uid(&*app.ports.entropy, entry.at)?, "uid": uid })))
            .collect::<Result<Vec<Value>, Fault>>()?;
        Ok(record_registrations(&entry, json!(list).to_string()))
    }

    fn entry<'a>(&'a self, app: &App, event: &AuditEvent<'a>) -> Result<NewAuditEntry<'a>, Fault> {
        let at = app.now();
        Ok(NewAuditEntry {
            uid: new_uid(&*app.ports.entropy, at)?,
            organization: self.organization(),
            at,
            actor: &self.name,
            address: self.address.as_deref(),
            action: event.action,
            target: event.target,
            label: event.label,
            details: match &event.details {
                Value::Object(_) => event.details.to_string(),
                _ => json!({}).to_string(),
            },
        })
    }
}
