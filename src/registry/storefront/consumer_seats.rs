//! The seats of a consumer: how many further tokens it may have, and what becomes of those that are too many.

use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::access::tokens::{HashedTokenRow, TokenRow};

/// What is done about tokens that are more than the seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExcessTokens {
    /// The change is refused with their list.
    #[default]
    Refuse,
    /// The least recently used ones are revoked.
    Revoke,
}

/// Of the live tokens of a consumer, whose key pair is the one with the public id `keys`, those that are revoked so that no more
/// are left than `seats`: their public ids.
///
/// # Errors
/// `Conflict` with all further tokens, when they are too many and none is to be revoked.
pub fn excess_tokens(
    tokens: &[HashedTokenRow],
    keys: &str,
    seats: i64,
    excess: ExcessTokens,
) -> Result<Vec<String>, Failure> {
    let mut further: Vec<&TokenRow> = tokens.iter().map(|row| &row.token).filter(|token| token.uid != keys).collect();
    let too_many = further.len().saturating_sub(usize::try_from(seats).unwrap_or(0));
    if too_many > 0 && excess == ExcessTokens::Refuse {
        return Err(in_use(&further, seats));
    }
    // One that was made a moment ago has had no time to be used.
    further.sort_by_key(|token| token.last_used_at.unwrap_or(token.created_at));
    Ok(further.into_iter().take(too_many).map(|token| token.uid.clone()).collect())
}

fn in_use(further: &[&TokenRow], seats: i64) -> Failure {
    let detail = format!(
        "The consumer has {} tokens, more than {seats} seats. Delete some of them first, or send `\"revoke\": true` to revoke the \
         least recently used ones.",
        further.len()
    );
    further.iter().fold(Failure::new(Kind::Conflict, detail), |failure, token| {
        let used = token.last_used_at.map_or("never used".to_owned(), |at| format!("last used {}", php_date(at)));
        failure.with_field("seats", format!("{}: {} ({used})", token.uid, token.description))
    })
}
