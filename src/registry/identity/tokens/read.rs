//! Reading tokens: whoever is limited to some packages has those that see no more than they do.

use composer::excerpt;
use serde_json::{Value, json};

use crate::registry::access::issuer::{Issuer, MAX_COMPARED_GRANTS};
use crate::registry::identity::tokens::absent;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::Page;
use crate::store::access::grants;
use crate::store::access::tokens::{self, GrantRow, SORTS, TokenFilter, TokenRow};
use crate::store::kernel::name_range::NameRange;

/// One token.
pub async fn get(app: &App, issuer: &Issuer, uid: &str) -> Result<TokenRow, Failure> {
    let row = app.ports.database.ask(tokens::by_uid(issuer.organization(), uid)).await?;
    let token = row.map(|row| row.token).ok_or_else(absent)?;
    if issuer.by.view.sees_everything() || issuer.covers_grants(&token.grants)? { Ok(token) } else { Err(absent()) }
}

/// A page of tokens, by one of [`SORTS`] or else newest first, and how many there are in all.
pub async fn list(
    app: &App,
    issuer: &Issuer,
    filter: &TokenFilter<'_>,
    sort: Option<&str>,
    page: Page,
) -> Result<(Vec<TokenRow>, i64), Failure> {
    if let Some(sort) = sort
        && !SORTS.contains(&sort)
    {
        let detail = format!("`{}` is none of `{}`", excerpt(sort).escape_default(), SORTS.join("`, `"));
        return Err(Failure::invalid_field("sort", detail));
    }
    let covered = covered_grants(app, issuer).await?;
    let filter = TokenFilter { only_granted: covered.as_deref(), ..*filter };
    Ok(tokens::page(&*app.ports.database, issuer.organization(), &filter, sort, page, app.now()).await?)
}

/// The grants of tokens that let no more through than those of a limited credential, as a JSON array; `None` for one that is
/// not limited.
async fn covered_grants(app: &App, issuer: &Issuer) -> Result<Option<String>, Failure> {
    let view = &issuer.by.view;
    if view.sees_everything() {
        return Ok(None);
    }
    let ranges: Vec<Value> = view.targets().map(|target| NameRange::of(target).to_json()).collect();
    let found = grants::different(issuer.organization(), &json!(ranges).to_string(), MAX_COMPARED_GRANTS + 1);
    let found: Vec<GrantRow> = app.ports.database.ask(found).await?;
    if i64::try_from(found.len()).unwrap_or(i64::MAX) > MAX_COMPARED_GRANTS {
        let detail = format!(
            "Tokens have more than {MAX_COMPARED_GRANTS} different grants for what your token sees, too many to compare. Use a \
             token that is not limited to some packages."
        );
        return Err(Failure::new(Kind::Conflict, detail));
    }
    let covered = issuer.covered(found)?;
    Ok(Some(json!(covered).to_string()))
}
