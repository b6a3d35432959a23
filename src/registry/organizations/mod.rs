//! Organizations: which of them a caller is of, and what their own surface asks for that no other does.

pub mod manage;

use crate::registry::access::caller::{Caller, Subject};
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::packages::visible::in_view;
use crate::store::Page;
use crate::store::organizations::profiles::{self, OrganizationRow, packages_by_uids};

/// A page of the organizations that `caller` acts in, by slug, and how many there are in all: a user's, a token's own one, or all
/// of them for `ADMIN_TOKEN`.
pub async fn list(app: &App, caller: &Caller, page: Page) -> Result<(Vec<OrganizationRow>, i64), Failure> {
    let user_id = match (&caller.subject, caller.home()) {
        (Subject::User { id }, _) => Some(*id),
        (_, None) => None,
        (_, Some(home)) => {
            let own = app.ports.database.ask(profiles::by_id(home)).await?;
            return Ok(page.of(own.into_iter().collect()));
        }
    };
    Ok(app.ports.database.ask(profiles::page(user_id, page)).await?)
}

/// The organization of `view`.
pub async fn get(app: &App, view: &View) -> Result<OrganizationRow, Failure> {
    let row = app.ports.database.ask(profiles::by_id(view.organization())).await?;
    row.ok_or_else(|| Failure::not_found("Organization"))
}

/// Most packages that a request names by their ids.
const MAX_PACKAGES: usize = 1000;

/// The names of the packages of `view` with these public ids.
///
/// # Errors
/// `Invalid` with each id that is none, or of a package that the view sees nothing of.
pub async fn package_names(app: &App, view: &View, field: &str, uids: &[String]) -> Result<Vec<String>, Failure> {
    if uids.len() > MAX_PACKAGES {
        return Err(Failure::invalid_field(field, format!("must not hold more than {MAX_PACKAGES} ids")));
    }
    let found = app.ports.database.ask(packages_by_uids(view.organization(), uids)).await?;
    let seen = in_view(app, view, found.iter().map(|found| found.package.clone()).collect()).await?;
    let mut wrong = FieldErrors::default();
    let mut names = Vec::new();
    for (at, uid) in uids.iter().enumerate() {
        let package = found.iter().find(|found| found.uid == *uid).map(|found| &found.package);
        match package.filter(|package| seen.iter().any(|seen| seen.id == package.id)) {
            Some(package) => names.push(package.name.clone()),
            None => wrong.push(format!("{field}.{at}"), "is not the id of a package of this organization"),
        }
    }
    wrong.into_result()?;
    Ok(names)
}
