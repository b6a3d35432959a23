//! What nobody can install by a permission, although nothing is wrong with it. [`offers`](super::offers) says why.

use std::collections::{HashMap, HashSet};

use crate::registry::access::grant::read_grants;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::offers::{Offer, Reason, read_offers};
use crate::store::OrganizationId;
use crate::store::access::tokens::GrantRow;

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

/// What is to be said of grants. Patterns are never warned of: what they are for may come.
pub async fn warnings(app: &App, organization: OrganizationId, grants: &[GrantRow]) -> Result<Vec<Warning>, Failure> {
    let mut seen = HashSet::new();
    let mut exact = grants.to_vec();
    exact.retain(|grant| !grant.target.contains('*') && seen.insert(grant.clone()));
    if exact.is_empty() {
        return Ok(Vec::new());
    }
    let names = exact.iter().map(|grant| grant.target.as_str()).collect();
    let offers = read_offers(app, organization, names).await?;
    let offers: HashMap<&str, &Offer> = offers.iter().map(|offer| (offer.name.as_str(), offer)).collect();
    // That one has ended is said by its date.
    let endless = exact.iter().map(|grant| GrantRow { expires_at: None, ..grant.clone() }).collect();
    let compared = read_grants(endless, |_| None)?;
    let mut warnings = Vec::new();
    for (row, grant) in exact.into_iter().zip(compared) {
        let reason = match offers.get(row.target.as_str()) {
            None => Reason::NoPackage,
            Some(offer) if offer.stability(&grant, app.now()).is_none() => offer.reason(&grant, app.now()),
            Some(_) => continue,
        };
        let GrantRow { target, version_constraint, .. } = &row;
        let text =
            format!("Nobody can install {target} {version_constraint} by this permission now. {}", reason.text());
        warnings.push(Warning { grant: row, text });
    }
    Ok(warnings)
}
