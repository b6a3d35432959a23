//! The audit log: every mutation, with who asked for it and from where.

use serde_json::Value;

/// What was done to what.
#[derive(Debug, Clone)]
pub struct AuditEvent<'a> {
    /// `token.created`.
    pub action: &'static str,
    /// Public id of what was acted on.
    pub target: &'a str,
    /// What people call it, when the change names it.
    pub label: Option<&'a str>,
    /// More of it, as a JSON object; never a secret.
    pub details: Value,
}
