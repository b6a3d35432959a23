//! Grants: what a credential may see. A grant names packages, and limits their versions by a Composer constraint, by the
//! day up to which updates were paid for, and by a minimum stability.

use composer::{Constraint, NormalizedVersion, Stability};
use sha2::{Digest, Sha256};

use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::pattern::matches_pattern;
use crate::store::access::released::Released;
use crate::store::access::tokens::GrantRow;

/// The first eight bytes of a digest.
pub fn first_bytes(digest: &[u8]) -> [u8; 8] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// Which packages a grant names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantTarget {
    /// Every package.
    Everything,
    /// One package.
    Name(String),
    /// A pattern in which `*` stands for any characters, the slash included.
    Pattern(String),
}

impl GrantTarget {
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "*" => Self::Everything,
            _ if lower.contains('*') => Self::Pattern(lower),
            _ => Self::Name(lower),
        }
    }

    /// As text, in lower case.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Everything => "*",
            Self::Name(text) | Self::Pattern(text) => text,
        }
    }

    pub(super) fn covers(&self, package: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Name(name) => name == package,
            Self::Pattern(pattern) => matches_pattern(pattern, package),
        }
    }
}

/// A grant, ready to decide with.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) row: GrantRow,
    /// Identifies what the row says.
    pub(super) digest: [u8; 8],
    pub(super) target: GrantTarget,
    versions: Constraint,
    minimum_stability: Stability,
}

impl Grant {
    /// Reads a stored grant.
    ///
    /// # Errors
    /// When its constraint or stability does not parse; they are checked on write, so that is the registry's fault.
    pub fn from_row(row: GrantRow) -> Result<Self, Failure> {
        let target = GrantTarget::parse(&row.target);
        let versions = Constraint::parse(&row.version_constraint).map_err(Failure::internal)?;
        let minimum_stability = Stability::parse(&row.minimum_stability).map_err(Failure::internal)?;
        let digest = first_bytes(Sha256::digest(serde_json::json!(row).to_string().as_bytes()).as_slice());
        Ok(Self { row, digest, target, versions, minimum_stability })
    }

    /// Whether it leaves no version of its packages out.
    pub(super) fn is_unlimited(&self) -> bool {
        self.row.version_constraint == "*"
            && self.row.updates_until.is_none()
            && self.minimum_stability == Stability::Dev
    }

    /// Whether this lets through whatever `other` does, now and later. Errs on the side of no: of two constraints that
    /// are not the same, only `*` is known to hold the other.
    pub fn includes(&self, other: &Self) -> bool {
        let ends_before = |own: Option<Millis>, others: Option<Millis>| {
            own.is_none_or(|own| others.is_some_and(|moment| moment <= own))
        };
        // A name has no `*`, so a pattern that matches the text of another matches whatever the other does.
        self.target.covers(&other.row.target.to_ascii_lowercase())
            && ["*", &other.row.version_constraint].contains(&self.row.version_constraint.as_str())
            && ends_before(self.row.updates_until, other.row.updates_until)
            && ends_before(self.row.expires_at, other.row.expires_at)
            && other.minimum_stability <= self.minimum_stability
    }

    /// Whether it covers a version, if that was released in time.
    pub(super) fn covers_but_for_the_date(&self, version: &NormalizedVersion) -> bool {
        version.stability() <= self.minimum_stability && self.versions.matches(version)
    }

    /// Whether it lets a version through. A security fix passes `updates_until`, and nothing else.
    pub(super) fn covers(&self, version: &NormalizedVersion, released: Option<Released>) -> bool {
        let in_time = match (self.row.updates_until, released) {
            (None, _) => true,
            (Some(until), Some(released)) => released.security_fix || released.at <= until,
            (Some(_), None) => false,
        };
        in_time && self.covers_but_for_the_date(version)
    }
}

/// A grant that lets its holder see every version of every package.
pub fn everything() -> GrantRow {
    packages("*")
}

/// A grant that lets its holder see every version of the packages that `target` names.
pub fn packages(target: &str) -> GrantRow {
    GrantRow {
        target: target.to_owned(),
        version_constraint: "*".to_owned(),
        updates_until: None,
        minimum_stability: Stability::Dev.as_str().to_owned(),
        expires_at: None,
    }
}
