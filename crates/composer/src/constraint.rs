//! Version constraints: `^1.2 || >=3.0 <3.4`, parsed once, matched often.
//!
//! A parsed constraint is alternatives of comparisons that must all hold; composer/semver never nests deeper.
//! The parser is in `constraint_parser.rs`.

use std::fmt;

use crate::compare::{Branches, php_version_compare, version_compare};
use crate::constraint_parser;
use crate::excerpt::excerpt;
use crate::version::{InvalidVersion, NormalizedVersion};

/// How two versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=` or `==`.
    Equal,
    /// `!=` or `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

impl Operator {
    /// An operator as it is written in a constraint; nothing for other text.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" | "==" => Self::Equal,
            "!=" | "<>" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The reference's spelling: `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn is_less(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    fn is_greater(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }
}

/// One comparison, or no condition at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    /// `*`
    All,
    /// An operator and a normalized version.
    Compare(Operator, String),
}

/// Text that is no constraint: one part of it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not parse {:?} in the version constraint {:?}: {reason}", excerpt(.part), excerpt(.written))]
pub struct InvalidConstraint {
    /// The whole constraint.
    pub written: String,
    /// The part that could not be read.
    pub part: String,
    /// Why.
    #[source]
    pub reason: InvalidPart,
}

/// Why one part of a constraint could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPart {
    /// What stands behind the operator is no version.
    #[error(transparent)]
    Version(#[from] InvalidVersion),
    /// `~>` is written in other package managers.
    #[error("\"~>\" is not an operator, use \"~\"")]
    TildeArrow,
    /// A number that has no successor in 64 bits.
    #[error("the number {} is too large", excerpt(.0))]
    TooLarge(String),
}

/// What an allocator keeps of each allocation, and what it rounds up.
const ALLOCATION_BYTES: usize = 16;

/// A version constraint.
///
/// `Display` is the reference's string form (`[>= 1.0.0.0-dev < 2.0.0.0-dev]`), which is equal for constraints
/// that mean the same by construction; [`as_written`](Self::as_written) is the author's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Constraint {
    written: String,
    /// Alternatives, each a conjunction; neither level is ever empty.
    alternatives: Vec<Vec<Term>>,
}

impl Constraint {
    /// Parses a constraint (`VersionParser::parseConstraints`).
    ///
    /// One deviation: where PHP would go on with a floating point number (more than 64 bits), this refuses.
    ///
    /// # Errors
    /// [`InvalidConstraint`] names the part that could not be read.
    pub fn parse(written: &str) -> Result<Self, InvalidConstraint> {
        let alternatives = constraint_parser::parse(written).map_err(|(part, reason)| InvalidConstraint {
            written: written.to_owned(),
            part,
            reason,
        })?;
        let mut constraint = Self { written: written.to_owned(), alternatives };
        // It is kept, and read more often than it is made.
        constraint.alternatives.shrink_to_fit();
        constraint.alternatives.iter_mut().for_each(Vec::shrink_to_fit);
        Ok(constraint)
    }

    /// `*`: every version matches, named branches too.
    pub fn any() -> Self {
        Self { written: "*".to_owned(), alternatives: vec![vec![Term::All]] }
    }

    /// A single comparison with an already normalized version.
    pub fn comparing(operator: Operator, version: &NormalizedVersion) -> Self {
        let term = Term::Compare(operator, version.as_str().to_owned());
        Self { written: term.to_string(), alternatives: vec![vec![term]] }
    }

    /// Whether a concrete version satisfies the constraint (`Semver::satisfies`).
    pub fn matches(&self, version: &NormalizedVersion) -> bool {
        self.alternatives.iter().any(|terms| terms.iter().all(|term| term.matches(version.as_str())))
    }

    /// Whether this is the comparison that only `version` itself satisfies.
    pub fn is_exactly(&self, version: &NormalizedVersion) -> bool {
        *self.alternatives == *Self::comparing(Operator::Equal, version).alternatives
    }

    /// Whether some version could satisfy both (`ConstraintInterface::matches`), as far as the reference looks:
    /// it compares the parts in pairs and does not compute intersections.
    pub fn intersects(&self, provided: &Self) -> bool {
        let all_pairs = |terms: &[Term], others: &[Term]| {
            terms.iter().all(|term| others.iter().all(|other| term.intersects(other)))
        };
        self.alternatives.iter().any(|terms| provided.alternatives.iter().any(|others| all_pairs(terms, others)))
    }

    /// How many comparisons it is made of: the most that [`matches`](Self::matches) makes of one version.
    pub fn comparisons(&self) -> usize {
        self.alternatives.iter().map(Vec::len).sum()
    }

    /// About how many bytes of memory it takes, the allocator's own among them.
    pub fn bytes(&self) -> usize {
        let of_term = |term: &Term| match term {
            Term::All => size_of::<Term>(),
            Term::Compare(_, version) => size_of::<Term>() + ALLOCATION_BYTES + version.capacity(),
        };
        let of_alternative = |terms: &Vec<Term>| {
            let spare = terms.capacity() - terms.len();
            size_of_val(terms) + ALLOCATION_BYTES + spare * size_of::<Term>() + terms.iter().map(of_term).sum::<usize>()
        };
        let spare = self.alternatives.capacity() - self.alternatives.len();
        size_of::<Self>()
            + 2 * ALLOCATION_BYTES
            + self.written.capacity()
            + spare * size_of::<Vec<Term>>()
            + self.alternatives.iter().map(of_alternative).sum::<usize>()
    }

    /// The author's text.
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

impl Term {
    fn matches(&self, version: &str) -> bool {
        match self {
            Self::All => true,
            Self::Compare(operator, bound) => version_compare(version, *operator, bound, Branches::Incomparable),
        }
    }

    /// `Constraint::matchSpecific` with `provided` as the provider.
    fn intersects(&self, provided: &Self) -> bool {
        use Operator::{Equal, NotEqual};
        let (Self::Compare(operator, version), Self::Compare(other, other_version)) = (self, provided) else {
            return true;
        };
        let is_branch = |version: &str| version.starts_with("dev-");
        if *operator == NotEqual || *other == NotEqual {
            let range_on_branch =
                |operator: Operator, version: &str| !matches!(operator, Equal | NotEqual) && is_branch(version);
            if range_on_branch(*other, other_version) || range_on_branch(*operator, version) {
                return false;
            }
            if *operator != Equal && *other != Equal {
                return true;
            }
            return version_compare(other_version, NotEqual, version, Branches::Incomparable);
        }
        if (operator.is_less() && other.is_less()) || (operator.is_greater() && other.is_greater()) {
            return !is_branch(version) && !is_branch(other_version);
        }
        let holds = if *operator == Equal {
            version_compare(version, *other, other_version, Branches::Incomparable)
        } else {
            version_compare(other_version, *operator, version, Branches::Incomparable)
        };
        // `>= 1.0` and `< 1.0` meet at 1.0, which the second excludes.
        let excluded = matches!(other, Operator::Less | Operator::Greater)
            && !matches!(operator, Operator::Less | Operator::Greater)
            && php_version_compare(other_version, version).is_eq();
        holds && !excluded
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Compare(operator, version) => write!(f, "{} {version}", operator.as_str()),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.alternatives.len() > 1;
        f.write_str(if several { "[" } else { "" })?;
        for (index, terms) in self.alternatives.iter().enumerate() {
            f.write_str(if index > 0 { " || " } else { "" })?;
            f.write_str(if terms.len() > 1 { "[" } else { "" })?;
            for (index, term) in terms.iter().enumerate() {
                write!(f, "{}{term}", if index > 0 { " " } else { "" })?;
            }
            f.write_str(if terms.len() > 1 { "]" } else { "" })?;
        }
        f.write_str(if several { "]" } else { "" })
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Constraint({:?} = {self})", self.written)
    }
}

impl std::str::FromStr for Constraint {
    type Err = InvalidConstraint;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        Self::parse(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::normalize;

    fn satisfies(version: &str, constraint: &str) -> bool {
        Constraint::parse(constraint).expect(constraint).matches(&normalize(version).expect(version))
    }

    #[test]
    fn a_range_never_matches_a_named_branch() {
        assert!(satisfies("dev-main", "*"));
        assert!(satisfies("dev-main", "!= 1.0"));
        assert!(!satisfies("dev-main", ">= 1.0"));
        assert!(satisfies("1.x-dev", ">= 1.0"));
    }

    #[test]
    fn a_caret_excludes_the_next_majors_prereleases() {
        assert!(satisfies("1.9.9", "^1.2"));
        assert!(satisfies("1.2.0-alpha1", "^1.2"));
        assert!(!satisfies("2.0.0-alpha1", "^1.2"));
    }

    #[test]
    fn the_error_names_the_part() {
        let error = Constraint::parse("^1.0 || oops").expect_err("not a constraint").to_string();
        assert!(error.contains("\"oops\""), "{error}");
        let error = Constraint::parse("~>1.2").expect_err("not a constraint").to_string();
        assert!(error.contains("use \"~\""), "{error}");
    }

    #[test]
    fn numbers_too_large_to_count_up_are_refused() {
        assert!(Constraint::parse("^9223372036854775807").is_err());
        assert!(Constraint::parse("~1.99999999999999999999.0").is_err());
    }
}
