//! `tokens` that end: one by one, and by a filter.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::tokens::{HashedTokenRow, TokenFilter, TokenHolder, TokenStatus, counted, known, listed};
use crate::store::{OrganizationId, Page, Query};

/// Revokes a token: whether it was this that revoked it, `noted`, and the token as it is then, if there is one of that id. One
/// that was revoked before is told too, so that whoever asks again, because the first answer got lost, still has every copy of
/// it forgotten. One that is not at `revision` any more, if one is given, is left alone.
pub fn revoke(
    organization: OrganizationId,
    holder: TokenHolder,
    uid: &str,
    revision: Option<i64>,
    now: Millis,
    noted: Stmt,
) -> (Query<bool>, Stmt, Query<Option<HashedTokenRow>>) {
    let revoke = Query::any(
        "UPDATE tokens SET revoked_at = ?3, revision = revision + 1
          WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL AND (?4 IS NULL OR revision = ?4)
            AND consumer_id IS ?5 AND NOT EXISTS (SELECT 1 FROM consumers c WHERE c.uid = tokens.uid)
         RETURNING id",
        [organization.into(), uid.into(), now.into(), revision.into(), holder.into()],
    );
    (revoke, noted, known(organization, holder, uid))
}

/// What is about to be revoked by a filter.
pub struct TokenToRevoke {
    /// At most as many as were asked for, each at the revision at which it may be revoked.
    pub tokens: Vec<HashedTokenRow>,
    /// How many there are in all.
    pub total: i64,
    /// At most as many that were revoked since the given moment.
    pub gone: Vec<HashedTokenRow>,
}

/// The tokens that a filter condemns, and those that it has condemned since `since`.
pub async fn tokens_to_revoke(
    db: &dyn Database,
    organization: OrganizationId,
    filter: &TokenFilter<'_>,
    limit: i64,
    since: Millis,
    now: Millis,
) -> Result<TokenToRevoke, DatabaseError> {
    let page = Page { limit, offset: 0 };
    let gone = TokenFilter { standing: TokenStatus::RevokedSince(since), ..*filter };
    let batch = (
        listed(organization, filter, None, page, now),
        counted(organization, filter, now),
        listed(organization, &gone, None, page, now),
    );
    let (tokens, total, gone) = db.ask(batch).await?;
    Ok(TokenToRevoke { tokens, total, gone })
}

/// Revokes live tokens that are still at their revisions and returns their public ids. `noted` comes first, so that it
/// finds them as the revocation will.
pub async fn revoke_all(
    db: &dyn Database,
    organization: OrganizationId,
    tokens: &[HashedTokenRow],
    now: Millis,
    noted: Stmt,
) -> Result<Vec<String>, DatabaseError> {
    #[derive(Deserialize)]
    struct Revoked {
        uid: String,
    }
    let list: Vec<_> = tokens.iter().map(|row| json!({"uid": row.token.uid, "revision": row.token.revision})).collect();
    let revoke: Query<Vec<Revoked>> = Query::all(
        "UPDATE tokens SET revoked_at = ?3, revision = revision + 1
          WHERE revoked_at IS NULL AND organization_id = ?1 AND consumer_id IS NULL
            AND id IN (SELECT t.id FROM json_each(?2) j
                        CROSS JOIN tokens t ON t.uid = j.value ->> 'uid' AND t.revision = j.value ->> 'revision')
         RETURNING uid",
        [organization.into(), json!(list).to_string().into(), now.into()],
    );
    let ((), revoked) = db.ask((noted, revoke)).await?;
    Ok(revoked.into_iter().map(|row| row.uid).collect())
}
