//! Grants: what a credential may see. A grant names packages, and limits their versions by a Composer constraint, by the
//! day up to which updates were paid for, and by a minimum stability.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

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
    pub(super) target: GrantTarget,
    /// Shared by all grants that say the same.
    pub(super) versions: Arc<Constraint>,
    pub(super) minimum_stability: Stability,
    /// Only versions released up to this moment.
    pub(super) updates_until: Option<Millis>,
    /// When it ends.
    pub(super) expires_at: Option<Millis>,
    /// Identifies what its row says.
    pub(super) digest: [u8; 8],
}

/// Reads stored grants; each distinct constraint is parsed once, and not at all when it is `known`.
///
/// # Errors
/// As [`Grant::from_row`].
pub fn read_grants(
    rows: Vec<GrantRow>,
    known: impl Fn(&str) -> Option<Arc<Constraint>>,
) -> Result<Vec<Arc<Grant>>, Failure> {
    let mut parsed: HashMap<String, Arc<Constraint>> = HashMap::new();
    let read = |row: GrantRow| {
        let text = &row.version_constraint;
        let versions = if let Some(versions) = parsed.get(text) {
            versions.clone()
        } else {
            let versions = known(text).map_or_else(|| Constraint::parse(text).map(Arc::new), Ok);
            let versions = versions.map_err(Failure::internal)?;
            parsed.insert(text.clone(), versions.clone());
            versions
        };
        Grant::new(&row, versions).map(Arc::new)
    };
    // To collect them would keep the rows' own allocation, thirteen times as large, for as long as the grants live.
    let mut grants = Vec::with_capacity(rows.len());
    for grant in rows.into_iter().map(read) {
        grants.push(grant?);
    }
    Ok(grants)
}

impl Grant {
    /// Reads a stored grant.
    ///
    /// # Errors
    /// When its constraint or stability does not parse; they are checked on write, so that is the registry's fault.
    pub fn from_row(row: &GrantRow) -> Result<Self, Failure> {
        let versions = Constraint::parse(&row.version_constraint).map_err(Failure::internal)?;
        Self::new(row, Arc::new(versions))
    }

    fn new(row: &GrantRow, versions: Arc<Constraint>) -> Result<Self, Failure> {
        Ok(Self {
            target: GrantTarget::parse(&row.target),
            versions,
            minimum_stability: Stability::parse(&row.minimum_stability).map_err(Failure::internal)?,
            updates_until: row.updates_until,
            expires_at: row.expires_at,
            digest: first_bytes(Sha256::digest(serde_json::json!(row).to_string().as_bytes()).as_slice()),
        })
    }

    /// What it says, with its target in lower case.
    pub fn row(&self) -> GrantRow {
        GrantRow {
            target: self.target.as_str().to_owned(),
            version_constraint: self.constraint().to_owned(),
            updates_until: self.updates_until,
            minimum_stability: self.minimum_stability.as_str().to_owned(),
            expires_at: self.expires_at,
        }
    }

    /// The constraint, as it is written.
    pub(super) fn constraint(&self) -> &str {
        self.versions.as_written()
    }

    /// About how many bytes of memory it takes besides its constraint, with what a view needs of it.
    pub(super) fn bytes(&self) -> usize {
        // Its reference counts, and the pointers to it of its caller and of a view.
        size_of::<Self>() + 4 * size_of::<usize>() + self.target.as_str().len() + 2 * ALLOCATION_BYTES
    }

    /// Whether it leaves no version of its packages out.
    pub(super) fn is_unlimited(&self) -> bool {
        self.constraint() == "*" && self.updates_until.is_none() && self.minimum_stability == Stability::Dev
    }

    /// Whether this lets through whatever `other` does, now and later. Errs on the side of no: of two constraints that
    /// are not the same, only `*` is known to hold the other.
    pub fn includes(&self, other: &Self) -> bool {
        let ends_before = |own: Option<Millis>, others: Option<Millis>| {
            own.is_none_or(|own| others.is_some_and(|moment| moment <= own))
        };
        // A name has no `*`, so a pattern that matches the text of another matches whatever the other does.
        self.target.covers(other.target.as_str())
            && ["*", other.constraint()].contains(&self.constraint())
            && ends_before(self.updates_until, other.updates_until)
            && ends_before(self.expires_at, other.expires_at)
            && other.minimum_stability <= self.minimum_stability
    }

    /// Whether it covers a version, if that was released in time.
    pub(super) fn covers_but_for_the_date(&self, version: &NormalizedVersion) -> bool {
        version.stability() <= self.minimum_stability && self.versions.matches(version)
    }

    /// Whether it lets a version through as far as its constraint does not say. A security fix passes `updates_until`, and
    /// nothing else.
    pub(super) fn covers_but_for_the_constraint(
        &self,
        version: &NormalizedVersion,
        released: Option<Released>,
    ) -> bool {
        let in_time = match (self.updates_until, released) {
            (None, _) => true,
            (Some(until), Some(released)) => released.security_fix || released.at <= until,
            (Some(_), None) => false,
        };
        in_time && version.stability() <= self.minimum_stability
    }
}

/// What an allocator keeps of each allocation, and what it rounds up.
pub(super) const ALLOCATION_BYTES: usize = 16;

/// Most comparisons of the constraints of one credential, those of equal ones counted once: `^5.0 || ^7.0` is made of four. A
/// version of a package costs at most so many, which take some 0.1 ms: a package of 5,000 versions half a second. A
/// thousand grants may each have a range of their own.
pub const MAX_COMPARISONS: usize = 2_000;

/// What is wrong with the grants of a credential together, if their constraints take too many comparisons. One that does not
/// parse is passed over.
pub fn check_comparisons<'r>(rows: impl IntoIterator<Item = &'r GrantRow>) -> Option<String> {
    let texts: BTreeSet<&str> = rows.into_iter().map(|row| row.version_constraint.as_str()).collect();
    let comparisons = |text: &str| Constraint::parse(text).map_or(0, |constraint| constraint.comparisons());
    let total: usize = texts.into_iter().map(comparisons).sum();
    (total > MAX_COMPARISONS).then(|| {
        format!(
            "must not hold version constraints of more than {MAX_COMPARISONS} comparisons in all (`^5.0 || ^7.0` is made of 4, and equal constraints count once), and these have {total}. Use wider ranges, or several credentials"
        )
    })
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
