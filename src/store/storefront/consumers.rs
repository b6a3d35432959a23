//! `consumers`: customers of a shop, with their key pairs. What they were granted is `entitlements`'s.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};
use crate::store::{OrganizationId, Query, Update, flag};

/// A consumer as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRow {
    /// Primary key; its public id too.
    pub id: i64,
    /// What its private key is sealed to; the uid of the token that its key pair is.
    pub uid: String,
    /// E-mail address as given.
    pub email: String,
    /// The user name of its Basic credentials.
    pub public_key: String,
    /// The password, sealed.
    pub private_key: String,
    /// Whether it is served.
    #[serde(deserialize_with = "flag")]
    pub is_enabled: bool,
    /// The shop's own id of the customer.
    pub customer_id: Option<String>,
    /// The shop's own id of the order.
    pub order_id: Option<String>,
    /// Tokens that it may have besides its key pair, when that is limited.
    pub seats: Option<i64>,
    /// Requests an hour of each of its credentials, when they have another limit than others.
    pub rate_limit_max: Option<i64>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// Which consumer.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ConsumerId {
    /// Primary key.
    pub id: i64,
}

/// Makes a consumer, and whether it did: not when it is to be the only one of its customer and is not. Its batch fails with
/// a conflict when the public key is taken.
pub fn insert(organization: OrganizationId, row: &ConsumerRow, is_only_one: bool) -> Query<bool> {
    Query::any(
        "INSERT INTO consumers (organization_id, id, uid, email, public_key, private_key, is_enabled, customer_id,
                order_id, seats, created_at, updated_at, rate_limit_max)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?13
          WHERE NOT ?12 OR NOT EXISTS (SELECT 1 FROM consumers c WHERE c.organization_id = ?1 AND c.customer_id = ?8)
         RETURNING id",
        [
            organization.into(),
            row.id.into(),
            (&row.uid).into(),
            (&row.email).into(),
            (&row.public_key).into(),
            (&row.private_key).into(),
            row.is_enabled.into(),
            row.customer_id.as_ref().into(),
            row.order_id.as_ref().into(),
            row.seats.into(),
            row.created_at.into(),
            is_only_one.into(),
            row.rate_limit_max.into(),
        ],
    )
}

/// The statement that makes the token that a new consumer's key pair is; `hash` is that of both keys, `scopes` a JSON
/// array of names.
pub fn insert_keys(organization: OrganizationId, row: &ConsumerRow, hash: &str, scopes: String) -> Stmt {
    Stmt::new(
        "INSERT INTO tokens (uid, organization_id, hash, description, scopes, metadata, created_at, consumer_id)
         SELECT c.uid, c.organization_id, ?2, 'keys of consumer ' || c.id, ?3, '{}', c.created_at, c.id
           FROM consumers c WHERE c.id = ?1 AND c.organization_id = ?4",
        [row.id.into(), hash.into(), scopes.into(), organization.into()],
    )
}

/// Makes a consumer what `new` says, if it still is what `old` says; whether it was. If its seats change, it must not have more
/// tokens than these without those with the public ids `freed`. Its batch fails with a conflict when the public key is taken.
pub fn update(organization: OrganizationId, old: &ConsumerRow, new: &ConsumerRow, freed: &[String]) -> Query<bool> {
    Query::any(
        "UPDATE consumers SET email = ?3, public_key = ?4, private_key = ?5, is_enabled = ?6, customer_id = ?7,
                order_id = ?8, seats = ?9, updated_at = ?10, rate_limit_max = ?18
          WHERE organization_id = ?1 AND id = ?2 AND email = ?11 AND public_key = ?12 AND private_key = ?13
            AND is_enabled = ?14 AND customer_id IS ?15 AND order_id IS ?16 AND seats IS ?17 AND rate_limit_max IS ?19
            AND (?9 IS ?17 OR ?9 IS NULL OR ?9 >= (
                    SELECT count(*) FROM tokens t
                     WHERE t.consumer_id = ?2 AND t.revoked_at IS NULL AND t.uid <> consumers.uid
                       AND t.uid NOT IN (SELECT value FROM json_each(?20))))
         RETURNING id",
        [
            organization.into(),
            old.id.into(),
            (&new.email).into(),
            (&new.public_key).into(),
            (&new.private_key).into(),
            new.is_enabled.into(),
            new.customer_id.as_ref().into(),
            new.order_id.as_ref().into(),
            new.seats.into(),
            new.updated_at.into(),
            (&old.email).into(),
            (&old.public_key).into(),
            (&old.private_key).into(),
            old.is_enabled.into(),
            old.customer_id.as_ref().into(),
            old.order_id.as_ref().into(),
            old.seats.into(),
            new.rate_limit_max.into(),
            old.rate_limit_max.into(),
            json!(freed).to_string().into(),
        ],
    )
}

/// The statement that has a consumer known by the hash of its keys, if they are those of `row`, and not by another that it had
/// before.
pub fn update_keys(organization: OrganizationId, row: &ConsumerRow, hash: &str) -> Stmt {
    Stmt::new(
        "UPDATE tokens SET hash = ?4, previous_hash = NULL, previous_until = NULL WHERE hash <> ?4 AND uid = (
            SELECT c.uid FROM consumers c
             WHERE c.id = ?1 AND c.public_key = ?2 AND c.private_key = ?3 AND c.organization_id = ?5)",
        [row.id.into(), (&row.public_key).into(), (&row.private_key).into(), hash.into(), organization.into()],
    )
}

/// The statement that has a consumer known by the hash of its keys, if they are those of `row`, and by that of the ones before
/// until `previous_until`, if these are to work at all.
pub fn rotate_keys(
    organization: OrganizationId,
    row: &ConsumerRow,
    hash: &str,
    previous_until: Option<Millis>,
) -> Stmt {
    Stmt::new(
        "UPDATE tokens SET previous_hash = hash, previous_until = ?6, hash = ?4, revision = revision + 1 WHERE uid = (
            SELECT c.uid FROM consumers c
             WHERE c.id = ?1 AND c.public_key = ?2 AND c.private_key = ?3 AND c.organization_id = ?5)",
        [
            row.id.into(),
            (&row.public_key).into(),
            (&row.private_key).into(),
            hash.into(),
            organization.into(),
            previous_until.into(),
        ],
    )
}

/// The statement that revokes tokens of a consumer by their public ids, if that has become what `row` says.
pub fn free_seats(organization: OrganizationId, row: &ConsumerRow, freed: &[String], now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE tokens SET revoked_at = ?4, revision = revision + 1
          WHERE organization_id = ?1 AND consumer_id = ?2 AND revoked_at IS NULL
            AND uid IN (SELECT value FROM json_each(?3))
            AND EXISTS (SELECT 1 FROM consumers c WHERE c.id = ?2 AND c.seats IS ?5 AND c.updated_at = ?6)",
        [
            organization.into(),
            row.id.into(),
            json!(freed).to_string().into(),
            now.into(),
            row.seats.into(),
            row.updated_at.into(),
        ],
    )
}

/// Deletes a consumer with its keys, tokens and grants, if it last changed at `dated`, when that is given; whether there was
/// one.
pub fn delete(organization: OrganizationId, id: i64, dated: Option<Millis>) -> Query<bool> {
    Query::any(
        "DELETE FROM consumers WHERE organization_id = ?1 AND id = ?2 AND (?3 IS NULL OR updated_at = ?3) RETURNING id",
        [organization.into(), id.into(), dated.into()],
    )
}

macro_rules! consumers {
    () => {
        "SELECT id, uid, email, public_key, private_key, is_enabled, customer_id, order_id, seats, rate_limit_max,
                created_at, updated_at
           FROM consumers"
    };
}
pub(crate) use consumers;

/// Looks a consumer up.
pub fn by_id(organization: OrganizationId, id: i64) -> Query<Option<ConsumerRow>> {
    Query::one(concat!(consumers!(), " WHERE organization_id = ?1 AND id = ?2"), [organization.into(), id.into()])
}

/// Which of the consumers with these primary keys (JSON array) there are.
pub fn existing(organization: OrganizationId, ids: &str) -> Query<Vec<ConsumerId>> {
    Query::all(
        "SELECT c.id FROM json_each(?2) j CROSS JOIN consumers c ON c.id = j.value WHERE c.organization_id = ?1",
        [organization.into(), ids.into()],
    )
}

/// The oldest consumer of a customer, by the shop's id of that.
pub fn by_customer(organization: OrganizationId, customer_id: &str) -> Query<Option<ConsumerRow>> {
    Query::one(
        concat!(consumers!(), " WHERE organization_id = ?1 AND customer_id = ?2 ORDER BY id LIMIT 1"),
        [organization.into(), customer_id.into()],
    )
}

/// A further token of a consumer about to be made.
pub struct NewToken<'a> {
    /// Public id.
    pub uid: &'a str,
    /// SHA-256 of its secret, lowercase hex.
    pub hash: &'a str,
    /// Free text.
    pub description: &'a str,
    /// JSON array of scope names.
    pub scopes: String,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// Now.
    pub created_at: Millis,
}

/// The statement that makes a further token of a consumer, unless that has as many as its seats, or `most`.
pub fn insert_token(organization: OrganizationId, consumer_id: i64, token: &NewToken<'_>, most: i64) -> Stmt {
    Stmt::new(
        "INSERT INTO tokens (uid, organization_id, hash, description, scopes, metadata, created_at, consumer_id, expires_at)
         SELECT ?3, c.organization_id, ?4, ?5, ?6, '{}', ?7, c.id, ?9 FROM consumers c
          WHERE c.organization_id = ?1 AND c.id = ?2
            AND (SELECT count(*) FROM tokens t WHERE t.consumer_id = c.id AND t.revoked_at IS NULL AND t.uid <> c.uid)
                < coalesce(c.seats, ?8)
         RETURNING id",
        [
            organization.into(),
            consumer_id.into(),
            token.uid.into(),
            token.hash.into(),
            token.description.into(),
            (&token.scopes).into(),
            token.created_at.into(),
            most.into(),
            token.expires_at.into(),
        ],
    )
}

/// What is changed of a further token of a consumer; what is not set stays as it is.
pub struct TokenChange<'a> {
    /// Free text.
    pub description: Option<&'a str>,
    /// When it ends.
    pub expires_at: Update<Millis>,
}

/// Changes a live further token of a consumer; whether there was one.
pub fn update_token(
    organization: OrganizationId,
    consumer_id: i64,
    uid: &str,
    change: &TokenChange<'_>,
) -> Query<bool> {
    Query::any(
        "UPDATE tokens SET description = coalesce(?4, description),
                expires_at = CASE WHEN ?5 THEN ?6 ELSE expires_at END, revision = revision + 1
          WHERE organization_id = ?1 AND consumer_id = ?2 AND uid = ?3 AND revoked_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM consumers c WHERE c.uid = tokens.uid)
         RETURNING id",
        [
            organization.into(),
            consumer_id.into(),
            uid.into(),
            change.description.into(),
            change.expires_at.is_set().into(),
            change.expires_at.into_value().into(),
        ],
    )
}

// Across organizations: ids are given out of one sequence.

/// An id that was given away.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ReservedId {
    /// The id.
    pub last: i64,
}

/// Gives the next id away, whatever becomes of it.
pub fn reserve() -> Query<Option<ReservedId>> {
    Query::one(
        "INSERT INTO sequences (name, last) VALUES ('consumers', 1)
         ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
        [],
    )
}

// Across organizations: a key of ENCRYPTION_KEY seals for all of them.

/// The private keys.
pub const SEALED: SealedColumn = SealedColumn { name: "consumers.private_key", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all("SELECT substr(private_key, 4, 8) AS key_id, count(*) AS count FROM consumers GROUP BY 1", [])
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT uid, private_key AS sealed FROM consumers
          WHERE substr(private_key, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE consumers SET private_key = j.value ->> 'new' FROM json_each(?1) j
          WHERE consumers.uid = j.value ->> 'uid' AND private_key = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
