//! Why a grant lets no version of a package through, told to whoever gave it: a shop, which knows what it sells. What the
//! holder of a grant is told is in [`super::denial`].

use composer::{NormalizedVersion, Stability};

use crate::ports::Millis;
use crate::registry::access::grant::Grant;
use crate::store::access::released::Released;

/// A version that a grant may let through.
#[derive(Debug, Clone)]
pub struct OfferedVersion {
    /// What Composer compares.
    pub normalized: NormalizedVersion,
    /// When it was released.
    pub released: Released,
}

/// What a grant lets through of some versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Some of them, of which the most stable one is this stable.
    Some(Stability),
    /// None, because it ended at this moment.
    Ended(Millis),
    /// None, because none matches its constraint.
    NoneMatches,
    /// None, because what matches is less stable than it lets through.
    TooUnstable(Stability),
    /// None, because what else it would let through was released after this moment.
    ReleasedLater(Millis),
}

impl Grant {
    /// Whether it is for a package of this name.
    pub fn concerns(&self, package: &str) -> bool {
        self.target.covers(package)
    }

    /// The least stable versions that it lets through.
    pub fn minimum_stability(&self) -> Stability {
        self.minimum_stability
    }

    /// What it lets through of these versions at `now`.
    pub fn availability<'v>(
        &self,
        versions: impl Iterator<Item = &'v OfferedVersion> + Clone,
        now: Millis,
    ) -> Availability {
        if let Some(end) = self.expires_at.filter(|end| *end <= now) {
            return Availability::Ended(end);
        }
        let matching = versions.filter(|version| self.versions.matches(&version.normalized));
        let passes =
            |version: &&OfferedVersion| self.covers_but_for_the_constraint(&version.normalized, Some(version.released));
        if let Some(best) = matching.clone().filter(passes).map(|version| version.normalized.stability()).min() {
            return Availability::Some(best);
        }
        let is_stable = |version: &OfferedVersion| version.normalized.stability() <= self.minimum_stability;
        match self.updates_until {
            Some(until) if matching.clone().any(is_stable) => Availability::ReleasedLater(until),
            _ if matching.clone().next().is_some() => Availability::TooUnstable(self.minimum_stability),
            _ => Availability::NoneMatches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::access::grant::packages;
    use crate::store::access::tokens::GrantRow;

    const NOW: Millis = Millis(1_000);

    fn version(normalized: &str, at: i64) -> OfferedVersion {
        OfferedVersion {
            normalized: NormalizedVersion::from_stored(normalized.to_owned()),
            released: Released::at(Millis(at)),
        }
    }

    #[test]
    fn what_a_grant_lets_through_is_told_or_the_first_reason_why_it_is_nothing() {
        let versions = [
            version("1.0.0.0", 100),
            version("1.1.0.0-RC1", 200),
            version("2.0.0.0-beta1", 300),
            version("3.0.0.0", 400),
        ];
        let all = || packages("acme/lib");
        let of = |constraint: &str| GrantRow { version_constraint: constraint.to_owned(), ..all() };
        let stable = |row: GrantRow| GrantRow { minimum_stability: "stable".to_owned(), ..row };
        let until = |at: i64, row: GrantRow| GrantRow { updates_until: Some(Millis(at)), ..row };
        let ending = |at: i64, row: GrantRow| GrantRow { expires_at: Some(Millis(at)), ..row };
        for (row, expected) in [
            (all(), Availability::Some(Stability::Stable)),
            (of("2.*"), Availability::Some(Stability::Beta)),
            (of(">1.0 <3.0"), Availability::Some(Stability::Rc)),
            (of("4.*"), Availability::NoneMatches),
            (stable(of("2.*")), Availability::TooUnstable(Stability::Stable)),
            (until(350, of("3.*")), Availability::ReleasedLater(Millis(350))),
            (until(400, of("3.*")), Availability::Some(Stability::Stable)),
            (until(50, stable(of("2.*"))), Availability::TooUnstable(Stability::Stable)),
            (ending(1_000, all()), Availability::Ended(Millis(1_000))),
            (ending(1_001, all()), Availability::Some(Stability::Stable)),
        ] {
            let grant = Grant::from_row(&row).expect("a valid grant");
            assert_eq!(grant.availability(versions.iter(), NOW), expected, "{row:?}");
        }
        let fix =
            [OfferedVersion { released: Released { at: Millis(400), security_fix: true }, ..version("3.0.1.0", 400) }];
        let grant = Grant::from_row(&until(50, of("3.*"))).expect("a valid grant");
        assert_eq!(grant.availability(fix.iter(), NOW), Availability::Some(Stability::Stable));
    }
}
