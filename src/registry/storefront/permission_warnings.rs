//! What nobody can install by a permission, although nothing is wrong with it: its package is not there, or has no version that
//! it lets through.

use std::collections::HashMap;

use crate::registry::access::grant::read_grants;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::access::tokens::GrantRow;
use crate::store::storefront::entitlements::{NamedIndex, indexes};

/// Most permissions of a request whose versions are looked for: the index of a large package takes 300 kB.
const MAX_LOOKED_THROUGH: usize = 50;

/// A permission by which nobody can install anything.
#[derive(Debug, Clone)]
pub struct Warning {
    /// What it lets through.
    pub grant: GrantRow,
    /// Why that is nothing, and what to do.
    pub text: String,
}

impl Warning {
    /// Refuses a request that is warned of something.
    ///
    /// # Errors
    /// `Invalid` with all of it.
    pub fn refuse(warnings: &[Self]) -> Result<(), Failure> {
        let texts: Vec<&str> = warnings.iter().map(|warning| warning.text.as_str()).collect();
        if texts.is_empty() { Ok(()) } else { Err(Failure::invalid_field("package", texts.join(" "))) }
    }

    /// What is to be said of a permission that lets `grant` through.
    pub fn texts_of(warnings: &[Self], grant: &GrantRow) -> Vec<String> {
        warnings.iter().filter(|warning| warning.grant == *grant).map(|warning| warning.text.clone()).collect()
    }
}

/// What is to be said of grants. Patterns are never warned of, and of more than 50 packages only that they are not there.
pub async fn warnings(app: &App, organization: OrganizationId, grants: &[GrantRow]) -> Result<Vec<Warning>, Failure> {
    let exact: Vec<&GrantRow> = grants.iter().filter(|grant| !grant.target.contains('*')).collect();
    if exact.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: Vec<&str> = exact.iter().map(|grant| grant.target.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let looked_through = &names[..names.len().min(MAX_LOOKED_THROUGH)];
    let found = app.ports.database.ask(indexes(organization, &names, looked_through)).await?;
    let packages: HashMap<&str, &NamedIndex> = found.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut warnings: Vec<Warning> = Vec::new();
    for grant in exact {
        let text = match packages.get(grant.target.as_str()) {
            None => format!(
                "There is no package {} yet: check the name, or nobody can install anything by this until there is one.",
                grant.target
            ),
            Some(package) if lets_nothing_through(app, organization, grant, package)? => format!(
                "{} has no version that this permission lets through now: look at its versions, their dates and stability.",
                grant.target
            ),
            Some(_) => continue,
        };
        if !warnings.iter().any(|warning| warning.grant == *grant) {
            warnings.push(Warning { grant: grant.clone(), text });
        }
    }
    Ok(warnings)
}

fn lets_nothing_through(
    app: &App,
    organization: OrganizationId,
    grant: &GrantRow,
    package: &NamedIndex,
) -> Result<bool, Failure> {
    if package.is_hidden {
        return Ok(true);
    }
    let Some(index) = package.version_index.as_deref() else { return Ok(false) };
    if index == "[]" {
        return Ok(true);
    }
    // One that has ended lets nothing through, which is said by its date.
    let endless = GrantRow { expires_at: None, ..grant.clone() };
    let view = View::new(organization, &read_grants(vec![endless], |_| None)?, app.now());
    Ok(!view.version_filter(&package.name).sees_any_in_index(Some(index)))
}
