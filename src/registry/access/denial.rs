//! What somebody is told who asks for a version that they have no permission for (any more): a lock file may name one.
//!
//! It is told by the grants of the credential alone, those that it has and those that it had, and never by what exists: for a
//! version that was never published it is the same. Who was never granted anything of a package is told nothing.

use std::sync::Arc;

use composer::{NormalizedVersion, PackageName, Stability};

use crate::ports::Millis;
use crate::registry::access::grant::Grant;
use crate::registry::access::view::View;
use crate::registry::kernel::dates::php_date;

/// Longest constraints that are told.
const MAX_TOLD_CONSTRAINT: usize = 200;

impl View {
    /// Why it has no version `version` of `package`, which is written `pretty`: as a sentence that begins with "This
    /// credential"; `None` when the grants leave nothing to say. `past` are those that were taken back.
    pub fn denial(
        &self,
        past: &[Grant],
        package: &PackageName,
        version: &NormalizedVersion,
        pretty: &str,
    ) -> Option<String> {
        let concerns = |grant: &&Grant| grant.target.covers(package.as_str());
        let covers = |grant: &&Grant| grant.covers_but_for_the_date(version);
        let current: Vec<&Grant> = self.grants.iter().map(Arc::as_ref).filter(concerns).collect();
        let ended: Vec<&Grant> = self.ended.iter().map(Arc::as_ref).chain(past).filter(concerns).collect();
        let none =
            |rest: String| Some(format!("This credential has no permission for version {pretty} of {package}{rest}"));
        if let Some(grant) = current.iter().copied().filter(covers).max_by_key(|grant| until(grant)) {
            let until = grant.updates_until?;
            return none(format!(": it has one for versions that were released until {} UTC.", php_date(until)));
        }
        if let Some(grant) = ended.iter().copied().filter(covers).max_by_key(|grant| grant.expires_at) {
            return none(format!(" any more: it had one {}.", had(grant)));
        }
        if let Some(grant) = current.first() {
            return none(format!(": it has one for {}.", constraint(grant, version)));
        }
        let grant = ended.into_iter().max_by_key(|grant| grant.expires_at)?;
        none(format!(": it had one for {} {}.", constraint(grant, version), had(grant)))
    }
}

/// Up to when it covers releases; a grant without an end covers those of all times.
fn until(grant: &Grant) -> Millis {
    grant.updates_until.unwrap_or(Millis::LAST)
}

/// Until when it was in force, and for which releases.
fn had(grant: &Grant) -> String {
    let ended = grant.expires_at.map(php_date).unwrap_or_default();
    match grant.updates_until {
        None => format!("until {ended} UTC"),
        Some(until) => format!("until {ended} UTC, for versions that were released until {} UTC", php_date(until)),
    }
}

/// The versions that it is for. How finished they are is said when `wanted` is not.
fn constraint(grant: &Grant, wanted: &NormalizedVersion) -> String {
    let versions = match grant.constraint() {
        "*" => "every version".to_owned(),
        long if long.len() > MAX_TOLD_CONSTRAINT => "other versions".to_owned(),
        constraint => format!("`{constraint}`"),
    };
    if Stability::of(wanted.as_str()) <= grant.minimum_stability {
        versions
    } else {
        format!("{versions} that is {} at least", grant.minimum_stability.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::grant::packages;
    use crate::store::OrganizationId;
    use crate::store::access::tokens::GrantRow;

    const NOW: Millis = Millis(1_767_225_600_000);

    fn grant(constraint: &str, change: impl FnOnce(&mut GrantRow)) -> Grant {
        let mut row = GrantRow { version_constraint: constraint.to_owned(), ..packages("acme/lib") };
        change(&mut row);
        Grant::from_row(&row).expect("a valid grant")
    }

    fn told(grants: &[Grant], past: &[Grant], package: &str) -> Option<String> {
        let grants: Vec<Arc<Grant>> = grants.iter().cloned().map(Arc::new).collect();
        let view = View::new(OrganizationId::ROOT, &grants, NOW);
        let package = PackageName::parse(package).expect("a name");
        let version = NormalizedVersion::from_stored("2.0.0.0".to_owned());
        view.denial(past, &package, &version, "2.0.0")
    }

    #[test]
    fn the_words_say_what_is_granted_or_was() {
        let ended = Millis(1_764_547_200_000);
        let end = |row: &mut GrantRow| row.expires_at = Some(ended);
        let updates = |row: &mut GrantRow| row.updates_until = Some(ended);
        let both = |row: &mut GrantRow| (row.expires_at, row.updates_until) = (Some(ended), Some(ended));
        let begin = "This credential has no permission for version 2.0.0 of acme/lib";
        let day = "2025-12-01 00:00:00 UTC";
        for (grants, past, expected) in [
            (vec![grant("2.*", end)], vec![], format!(" any more: it had one until {day}.")),
            (vec![], vec![grant("*", end)], format!(" any more: it had one until {day}.")),
            (
                vec![grant("1.*", |_| {})],
                vec![grant("2.*", both)],
                format!(" any more: it had one until {day}, for versions that were released until {day}."),
            ),
            (vec![grant("*", updates)], vec![], format!(": it has one for versions that were released until {day}.")),
            (vec![grant("1.*", |_| {})], vec![], ": it has one for `1.*`.".to_owned()),
            (vec![], vec![grant("1.*", end)], format!(": it had one for `1.*` until {day}.")),
            (
                vec![grant("1.*", |row| row.minimum_stability = "stable".to_owned())],
                vec![],
                ": it has one for `1.*`.".to_owned(),
            ),
        ] {
            assert_eq!(told(&grants, &past, "acme/lib"), Some(format!("{begin}{expected}")));
        }
    }

    #[test]
    fn of_a_version_that_is_not_finished_enough_it_is_said_how_finished_it_must_be() {
        let grants = [Arc::new(grant("*", |row| row.minimum_stability = "stable".to_owned()))];
        let view = View::new(OrganizationId::ROOT, &grants, NOW);
        let package = PackageName::parse("acme/lib").expect("a name");
        let version = NormalizedVersion::from_stored("2.0.0.0-beta1".to_owned());
        let told = view.denial(&[], &package, &version, "2.0.0-beta1").expect("something to say");
        assert!(told.ends_with(": it has one for every version that is stable at least."), "{told}");
    }

    #[test]
    fn nothing_is_told_of_what_was_never_granted_or_is_granted_in_full() {
        let other = [grant("1.*", |_| {})];
        assert_eq!(told(&other, &other, "acme/other"), None);
        assert_eq!(told(&[], &[], "acme/lib"), None);
        assert_eq!(told(&[grant("*", |_| {})], &other, "acme/lib"), None);
        assert_eq!(told(&[grant("2.*", |_| {})], &[], "acme/lib"), None);
    }
}
