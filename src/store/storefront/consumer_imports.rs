//! `consumers` that move in, many at once: which of them are there already, and the statements that make them with their keys.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::storefront::consumers::{ConsumerRow, ReservedId};
use crate::store::{OrganizationId, Query, flag, json_arguments};

/// The statements that make consumers. Their batch fails with a conflict when a public key is taken.
pub fn insert_many(organization: OrganizationId, rows: &[ConsumerRow]) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO consumers (organization_id, id, uid, email, public_key, private_key, is_enabled, customer_id, order_id,
                    seats, rate_limit_max, created_at, updated_at)
             SELECT ?1, j.value ->> 'id', j.value ->> 'uid', j.value ->> 'email', j.value ->> 'public_key',
                    j.value ->> 'private_key', j.value ->> 'is_enabled', j.value ->> 'customer_id', j.value ->> 'order_id',
                    j.value ->> 'seats', j.value ->> 'rate_limit_max', j.value ->> 'created_at', j.value ->> 'updated_at'
               FROM json_each(?2) j",
            [organization.into(), rows.into()],
        )
    };
    json_arguments(rows.iter().map(|row| json!(row))).into_iter().map(statement).collect()
}

/// The hash of the keys of a consumer about to be made.
pub struct HashedKeys<'a> {
    /// Primary key of the consumer.
    pub consumer_id: i64,
    /// SHA-256 of both keys, lowercase hex.
    pub hash: &'a str,
}

/// The statements that make the tokens which the key pairs of new consumers are; `scopes` is a JSON array of names.
pub fn insert_keys(organization: OrganizationId, keys: &[HashedKeys<'_>], scopes: &str) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO tokens (uid, organization_id, hash, description, scopes, metadata, created_at, consumer_id)
             SELECT c.uid, c.organization_id, j.value ->> 1, 'keys of consumer ' || c.id, ?3, '{}', c.created_at, c.id
               FROM json_each(?2) j CROSS JOIN consumers c ON c.id = j.value ->> 0 AND c.organization_id = ?1",
            [organization.into(), rows.into(), scopes.into()],
        )
    };
    let pair = |keys: &HashedKeys<'_>| -> Value { json!([keys.consumer_id, keys.hash]) };
    json_arguments(keys.iter().map(pair)).into_iter().map(statement).collect()
}

/// The statement that dates the permissions of new consumers like these.
pub fn date_permissions(organization: OrganizationId, first: i64, last: i64, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE grants SET created_at = (SELECT c.created_at FROM consumers c WHERE c.id = grants.consumer_id)
          WHERE created_at = ?4 AND consumer_id IN (
                SELECT c.id FROM consumers c WHERE c.organization_id = ?1 AND c.id BETWEEN ?2 AND ?3)",
        [organization.into(), first.into(), last.into(), now.into()],
    )
}

// Across organizations: a public key is nobody else's, and ids are given out of one sequence.

/// A consumer that has one of some public keys or customers.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownConsumer {
    /// Primary key.
    pub id: i64,
    /// The user name of its Basic credentials.
    pub public_key: String,
    /// The shop's own id of the customer.
    pub customer_id: Option<String>,
    /// SHA-256 of its keys, lowercase hex.
    pub hash: String,
    /// Whether it belongs to the organization that asks.
    #[serde(deserialize_with = "flag")]
    pub is_own: bool,
}

/// Reads the consumers that have one of these public keys, and those of the organization that are one of these customers', the
/// oldest first.
pub fn known(organization: OrganizationId, public_keys: &[&str], customers: &[&str]) -> Query<Vec<KnownConsumer>> {
    Query::all(
        "SELECT c.id, c.public_key, c.customer_id, t.hash, c.organization_id = ?1 AS is_own
           FROM consumers c JOIN tokens t ON t.uid = c.uid
          WHERE c.id IN (SELECT k.id FROM json_each(?2) j CROSS JOIN consumers k ON k.public_key = j.value
                          UNION SELECT o.id FROM json_each(?3) j
                                 CROSS JOIN consumers o ON o.organization_id = ?1 AND o.customer_id = j.value)
          ORDER BY c.id",
        [organization.into(), json!(public_keys).to_string().into(), json!(customers).to_string().into()],
    )
}

/// Gives the next `count` ids away, whatever becomes of them; the last one of them.
pub fn reserve_many(count: i64) -> Query<Option<ReservedId>> {
    Query::one(
        "INSERT INTO sequences (name, last) VALUES ('consumers', ?1)
         ON CONFLICT (name) DO UPDATE SET last = last + ?1 RETURNING last",
        [count.into()],
    )
}
