//! Permissions of many consumers, listed; and which of those consumers one request can change.

use crate::registry::access::issuer::{Issuer, MAX_COMPARED_GRANTS};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::storefront::permission_lists::{
    self as lists, CoveredGrants, GrantKind, MatchedConsumer, PermissionFilter,
};
use crate::store::{KeysetPage, KeysetRows, Page};

/// Most tokens of the consumers that one request changes: each is one or two deletions in KV, of the 1,000 calls that a request
/// may make.
const MAX_TOKENS: i64 = 400;
/// Most permissions of those consumers, all of which are read: of 900 bytes each at most.
const MAX_PERMISSIONS: i64 = 4000;

/// Which permissions somebody covers; `None` when it is all.
async fn covered(app: &App, issuer: &Issuer) -> Result<Option<CoveredGrants>, Failure> {
    if issuer.covers_everything()? {
        return Ok(None);
    }
    let organization = issuer.organization();
    let ranges = issuer.by.view.ranges();
    let widest = app.ports.database.ask(lists::widest(organization, &ranges, MAX_COMPARED_GRANTS)).await?;
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    for grant in widest {
        let is_covered = issuer.covers_grants(std::slice::from_ref(&grant))?;
        let kind = GrantKind {
            target: grant.target,
            version_constraint: grant.version_constraint,
            minimum_stability: grant.minimum_stability,
        };
        if is_covered { wide.push(kind) } else { narrow.push(kind) }
    }
    let exact = app.ports.database.ask(lists::of_kinds(organization, &narrow, MAX_COMPARED_GRANTS)).await?;
    Ok(Some(CoveredGrants { wide, exact: issuer.covered(exact)? }))
}

/// A page of the permissions that are somebody's to read and that a filter lets through, the oldest first.
pub async fn list(
    app: &App,
    issuer: &Issuer,
    filter: &PermissionFilter<'_>,
    page: KeysetPage,
) -> Result<KeysetRows<PermissionRow>, Failure> {
    let covered = covered(app, issuer).await?;
    let KeysetPage { limit, offset, after } = page;
    let behind = PermissionFilter { after: after.unwrap_or_default(), ..*filter };
    let lists = |filter| lists::page(issuer.organization(), filter, covered.as_ref(), Page { limit, offset });
    let (rows, total) = app.ports.database.ask((lists(&behind).0, lists(filter).1)).await?;
    Ok(KeysetRows::whole(rows, total))
}

/// Consumers that one request can change.
pub struct Portion {
    /// Their primary keys.
    pub consumers: Vec<i64>,
    /// Behind which of them the next request goes on; `None` when these are all.
    pub next: Option<i64>,
}

/// The consumers behind `after` that have permissions which are somebody's to change and which a filter lets through that
/// names an order or a target; as many as one request can change, at least one.
pub async fn portion(
    app: &App,
    issuer: &Issuer,
    filter: &PermissionFilter<'_>,
    after: i64,
) -> Result<Portion, Failure> {
    let covered = covered(app, issuer).await?;
    let matched = lists::consumers(issuer.organization(), filter, covered.as_ref(), after, MAX_TOKENS + 1);
    let matched = app.ports.database.ask(matched).await?;
    let found = matched.len();
    let consumers = at_once(matched);
    let next = consumers.last().copied().filter(|_| consumers.len() < found);
    Ok(Portion { consumers, next })
}

/// Those of some consumers that one request can change, at least the first of them.
fn at_once(matched: Vec<MatchedConsumer>) -> Vec<i64> {
    let (mut tokens, mut permissions) = (0, 0);
    let fits = |consumer: &MatchedConsumer| {
        tokens += consumer.tokens;
        permissions += consumer.permissions;
        tokens == consumer.tokens || (tokens <= MAX_TOKENS && permissions <= MAX_PERMISSIONS)
    };
    matched.into_iter().take_while(fits).map(|consumer| consumer.id).collect()
}
