//! Security advisories of what a shop sells, by the package's number. What an advisory is, is `security`'s.

use crate::registry::access::actor::Actor;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::security::advisories::{self, AdvisorySpec};
use crate::registry::storefront::catalog::package;
use crate::store::Page;
use crate::store::security::advisories::AdvisoryRow;

/// A page of the advisories of a package that concern a version which `view` sees, newest first, and how many there are in all.
pub async fn list(app: &App, view: &View, package_id: i64, page: Page) -> Result<(Vec<AdvisoryRow>, i64), Failure> {
    let package = package(app, view, package_id).await?;
    advisories::of_package(app, view, &package.name, page).await
}

/// Writes an advisory of a package down.
pub async fn report(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    package_id: i64,
    spec: AdvisorySpec,
) -> Result<Answer<AdvisoryRow>, Failure> {
    let view = &issuer.by.view;
    let package = package(app, view, package_id).await?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(advisories::get(app, view, done.uid()).await),
    };
    let spec = AdvisorySpec { package: Some(package.name), ..spec };
    let reported = advisories::report(app, &issuer.by, spec, |uid| claim.keep(uid)).await;
    claim.release_on_failure(app, reported).await.map(Answer::first)
}

/// Removes an advisory of a package, by its public id.
pub async fn withdraw(app: &App, by: &Actor, package_id: i64, uid: &str) -> Result<(), Failure> {
    let package = package(app, &by.view, package_id).await?;
    let known = advisories::get(app, &by.view, uid).await?;
    if known.package_name != package.name {
        return Err(Failure::not_found("Advisory"));
    }
    advisories::withdraw(app, by, uid).await
}
