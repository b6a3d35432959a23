//! IP addresses, wherever they are kept: `downloads`, `audit_log`, `sessions`. Each is forgotten after as many days as its
//! organization has set.

use crate::ports::{Millis, Stmt};

/// Most addresses of one table that are forgotten at once. A row is written with its place in an index, so that 10,000 are 20,000
/// of D1's writes: some hundred milliseconds. Once an hour that is 240,000 a day.
const MAX_FORGOTTEN: i64 = 10_000;

/// The shortest retention of all organizations: what is younger need not be looked at. `?2` is that of who has set none.
macro_rules! shortest {
    () => {
        "(SELECT min(coalesce(r.value ->> '$', ?2)) FROM organizations o
            LEFT JOIN settings r ON r.organization_id = o.id AND r.key = 'address_retention_days')"
    };
}

// Across organizations: what is old goes, each by the setting of its own organization.

/// The statements that forget the addresses that are older than their organization keeps them: `default_days` where it has not set
/// that. `today` is the day of `now`, since 1970-01-01 UTC.
pub fn forget(now: Millis, today: i64, default_days: i64) -> [Stmt; 3] {
    let downloads = Stmt::new(
        concat!(
            "UPDATE downloads SET address = NULL WHERE (version_id, day, subject) IN (
                SELECT d.version_id, d.day, d.subject
                  FROM downloads d JOIN versions v ON v.id = d.version_id JOIN packages p ON p.id = v.package_id
                  LEFT JOIN settings s ON s.organization_id = p.organization_id AND s.key = 'address_retention_days'
                 WHERE d.address IS NOT NULL AND d.day < ?1 - ",
            shortest!(),
            " AND d.day < ?1 - coalesce(s.value ->> '$', ?2) ORDER BY d.day LIMIT ?3)"
        ),
        [today.into(), default_days.into(), MAX_FORGOTTEN.into()],
    );
    let entries = Stmt::new(
        concat!(
            "UPDATE audit_log SET address = NULL WHERE id IN (
                SELECT a.id FROM audit_log a
                  LEFT JOIN settings s ON s.organization_id = a.organization_id AND s.key = 'address_retention_days'
                 WHERE a.address IS NOT NULL AND a.at < ?1 - 86400000 * ",
            shortest!(),
            " AND a.at < ?1 - 86400000 * coalesce(s.value ->> '$', ?2) ORDER BY a.at LIMIT ?3)"
        ),
        [now.into(), default_days.into(), MAX_FORGOTTEN.into()],
    );
    // A user of several organizations has sessions in all of them.
    let sessions = Stmt::new(
        "UPDATE sessions SET address = NULL, user_agent = NULL WHERE id IN (
            SELECT i.id FROM sessions i
             WHERE (i.address IS NOT NULL OR i.user_agent IS NOT NULL) AND i.created_at < ?1 - 86400000 * coalesce(
                   (SELECT min(coalesce(s.value ->> '$', ?2)) FROM memberships m
                      LEFT JOIN settings s ON s.organization_id = m.organization_id AND s.key = 'address_retention_days'
                     WHERE m.user_id = i.user_id), ?2)
             ORDER BY i.id LIMIT ?3)",
        [now.into(), default_days.into(), MAX_FORGOTTEN.into()],
    );
    [downloads.idempotent(), entries.idempotent(), sessions.idempotent()]
}
