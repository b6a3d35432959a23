//! The audit log: every mutation, with who asked for it and from where.

use serde_json::{Value, json};

use crate::ports::{Fault, Stmt};
use crate::registry::App;
use crate::registry::failure::Failure;
use crate::registry::ids::new_uid;
use crate::store::Page;
use crate::store::audit::{EntryFilter, EntryRow, NewEntry, note, page};

/// Who asks for a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The organization that is changed.
    pub organization_id: i64,
    /// `admin`, `token:{uid}`, `user:{uid}`, `anonymous`.
    pub name: String,
    /// The client's IP address, as the edge tells it.
    pub address: Option<String>,
}

/// What was done to what.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// `token.created`.
    pub action: &'static str,
    /// Public id of what was acted on.
    pub target: &'a str,
    /// What people call it, when the change names it.
    pub label: Option<&'a str>,
    /// More of it, as a JSON object; never a secret.
    pub details: Value,
}

impl Actor {
    /// The statement that notes a deed. It belongs right behind the statement that does it: what changed no row is not
    /// noted.
    pub fn note(&self, app: &App, deed: &Deed<'_>) -> Result<Stmt, Fault> {
        let at = app.now();
        Ok(note(NewEntry {
            uid: new_uid(&*app.ports.entropy, at)?,
            organization_id: self.organization_id,
            at,
            actor: &self.name,
            address: self.address.as_deref(),
            action: deed.action,
            target: deed.target,
            label: deed.label,
            details: match &deed.details {
                Value::Object(_) => deed.details.to_string(),
                _ => json!({}).to_string(),
            },
        }))
    }
}

/// A page of the log, newest first, and how many entries match in all.
pub async fn list(
    app: &App,
    organization_id: i64,
    filter: EntryFilter<'_>,
    part: Page,
) -> Result<(Vec<EntryRow>, i64), Failure> {
    Ok(page(&*app.ports.database, organization_id, filter, part).await?)
}
