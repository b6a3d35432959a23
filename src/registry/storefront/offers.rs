//! What there is of packages that permissions name, and why a permission lets nothing of it be installed: told to a customer's
//! shop in the instructions, and to a shop that grants something.

use std::collections::BTreeSet;

use composer::{NormalizedVersion, Stability};

use crate::ports::Millis;
use crate::registry::access::availability::{Availability, OfferedVersion};
use crate::registry::access::grant::Grant;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::store::OrganizationId;
use crate::store::access::released::Released;
use crate::store::storefront::offers::{OfferRow, OfferedRow, offers};

/// Most versions that are looked at: some 70 bytes each from the database, and 200 in memory, 10 MB. Packages beyond are told as
/// if every version of them were there.
const MAX_OFFERED: i64 = 50_000;

/// Reads what there is of the packages with these names; of one that is not there, nothing.
pub async fn read_offers(
    app: &App,
    organization: OrganizationId,
    names: BTreeSet<&str>,
) -> Result<Vec<Offer>, Failure> {
    let names: Vec<&str> = names.into_iter().collect();
    let rows = app.ports.database.ask(offers(organization, &names, MAX_OFFERED)).await?;
    Ok(rows.into_iter().map(|row| Offer::new(row, app.now())).collect())
}

/// Why a permission lets nothing be installed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The consumer's credentials are refused.
    ConsumerDisabled,
    /// It has ended.
    Ended(Millis),
    /// There is no package that it names.
    NoPackage,
    /// No version matches.
    NoVersion,
    /// What matches is less stable.
    TooUnstable(Stability),
    /// What matches was released later.
    UpdatesEnded(Millis),
    /// What matches is hidden.
    Hidden,
    /// What matches was yanked.
    Yanked,
    /// There is no zip of what matches.
    NoZip,
}

impl Reason {
    /// The word that programs know it by.
    pub fn code(self) -> &'static str {
        match self {
            Self::ConsumerDisabled => "consumer_disabled",
            Self::Ended(_) => "ended",
            Self::NoPackage => "no_package",
            Self::NoVersion => "no_version",
            Self::TooUnstable(_) => "too_unstable",
            Self::UpdatesEnded(_) => "updates_ended",
            Self::Hidden => "hidden",
            Self::Yanked => "yanked",
            Self::NoZip => "no_zip",
        }
    }

    /// What people are told.
    pub fn text(self) -> String {
        match self {
            Self::ConsumerDisabled => "The consumer is disabled: its status is 0.".to_owned(),
            Self::Ended(end) => format!("The permission ended at {} UTC.", php_date(end)),
            Self::NoPackage => {
                "There is no package of this name with a version that can be installed. Check the name.".to_owned()
            }
            Self::NoVersion => "No version of the package matches.".to_owned(),
            Self::TooUnstable(least) => {
                format!("What matches is less stable than the permission's minimum_stability, {least}.")
            }
            Self::UpdatesEnded(until) => {
                format!("What matches was released after the updates had ended at {} UTC.", php_date(until))
            }
            Self::Hidden => "What matches is hidden: its status, or that of the package, is 0.".to_owned(),
            Self::Yanked => "What matches was yanked.".to_owned(),
            Self::NoZip => "There is no zip of what matches. The package's details say why.".to_owned(),
        }
    }
}

/// A package, and what there is of it.
pub struct Offer {
    /// `vendor/package`.
    pub name: String,
    /// Whether there may be more than is known here.
    is_read: bool,
    versions: Vec<Offered>,
}

struct Offered {
    version: OfferedVersion,
    is_hidden: bool,
    is_yanked: bool,
    has_zip: bool,
}

impl Offer {
    fn new(row: OfferRow, now: Millis) -> Self {
        let version = |offered: OfferedRow| Offered {
            version: OfferedVersion {
                normalized: NormalizedVersion::from_stored(offered.normalized),
                released: Released { at: offered.released_at.unwrap_or(now), security_fix: offered.security_fix },
            },
            is_hidden: offered.hidden || row.hidden,
            is_yanked: offered.yanked,
            has_zip: offered.has_zip,
        };
        Self { versions: row.versions.into_iter().map(version).collect(), name: row.name, is_read: row.is_read }
    }

    /// What can be installed of it.
    fn installable(&self) -> impl Iterator<Item = &OfferedVersion> + Clone {
        let is_there = |offered: &&Offered| !offered.is_hidden && !offered.is_yanked && offered.has_zip;
        self.versions.iter().filter(is_there).map(|offered| &offered.version)
    }

    /// How stable a project must let this be, which `grant` lets through; `None`: there is nothing now.
    ///
    /// Betas are sold by saying so. `dev` was the default once, and would have those who bought releases get branches: it asks
    /// for no more than it takes to get something.
    pub fn stability(&self, grant: &Grant, now: Millis) -> Option<Stability> {
        let least = grant.minimum_stability();
        match grant.availability(self.installable(), now) {
            Availability::Some(best) if least == Stability::Dev => Some(best),
            Availability::Some(_) => Some(least),
            Availability::Ended(_) => None,
            _ if self.is_read => None,
            _ if least == Stability::Dev => Some(Stability::Stable),
            _ => Some(least),
        }
    }

    /// Why `grant` lets nothing of it be installed.
    pub fn reason(&self, grant: &Grant, now: Millis) -> Reason {
        let all = self.versions.iter().map(|offered| &offered.version);
        match grant.availability(all, now) {
            Availability::Ended(end) => Reason::Ended(end),
            Availability::NoneMatches => Reason::NoVersion,
            Availability::TooUnstable(least) => Reason::TooUnstable(least),
            Availability::ReleasedLater(until) => Reason::UpdatesEnded(until),
            Availability::Some(_) => self.withdrawn(grant, now),
        }
    }

    /// How it was withdrawn what `grant` would let through.
    fn withdrawn(&self, grant: &Grant, now: Millis) -> Reason {
        let lets_through = |offered: &Offered| {
            matches!(grant.availability(std::iter::once(&offered.version), now), Availability::Some(_))
        };
        let mut shown = self.versions.iter().filter(|&offered| !offered.is_hidden && lets_through(offered)).peekable();
        if shown.peek().is_none() {
            return Reason::Hidden;
        }
        if shown.all(|offered| offered.is_yanked) { Reason::Yanked } else { Reason::NoZip }
    }
}
