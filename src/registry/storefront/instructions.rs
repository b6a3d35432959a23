//! What a consumer sees, and what a shop tells it to do with composer: what its permissions let be installed now, and why the
//! others let nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use composer::{NormalizedVersion, Stability};

use crate::ports::Millis;
use crate::registry::access::availability::{Availability, OfferedVersion};
use crate::registry::access::grant::{Grant, read_grants};
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::{consumer_tokens, entitlements};
use crate::store::Page;
use crate::store::access::released::Released;
use crate::store::access::tokens::GrantRow;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort};
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::storefront::offers::{OfferRow, OfferedRow, offers};

/// Most packages that are named to a consumer with a pattern.
const MAX_LISTED: Page = Page { limit: 1000, offset: 0 };
/// Most versions that are looked at: some 70 bytes each from the database, and 200 in memory, 10 MB. Packages beyond are told as
/// if every version of them were there.
const MAX_OFFERED: i64 = 50_000;

/// The permissions of a consumer that are theirs who ask, each with its grant.
struct Permissions(Vec<(PermissionRow, Arc<Grant>)>);

impl Permissions {
    async fn read(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<Self, Failure> {
        let rows = entitlements::list(app, issuer, consumer_id).await?;
        let grants = read_grants(rows.iter().map(|row| row.entitlement.grant.clone()).collect(), |_| None)?;
        Ok(Self(rows.into_iter().zip(grants).collect()))
    }

    /// What a consumer sees by them.
    fn view(&self, app: &App, issuer: &Issuer) -> View {
        let grants: Vec<Arc<Grant>> = self.0.iter().map(|(_, grant)| grant.clone()).collect();
        View::new(issuer.organization(), &grants, app.now())
    }
}

/// A page of the packages of which a consumer sees a version, by name, and how many there are in all.
pub async fn visible(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    page: Page,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    let view = Permissions::read(app, issuer, consumer_id).await?.view(app, issuer);
    read::list(app, &view, PackageFilter::default(), Sort::default(), page).await
}

/// What a consumer is told to do.
pub struct Instructions {
    /// The consumer.
    pub consumer: ShownConsumer,
    /// Package → constraint, of what it can install now.
    pub require: BTreeMap<String, String>,
    /// The permissions that let nothing be installed now.
    pub unavailable: Vec<Unavailable>,
}

/// A permission that lets nothing be installed now.
pub struct Unavailable {
    /// The package's name, or a pattern of names.
    pub package: String,
    /// Which versions it is for.
    pub version: String,
    /// Why.
    pub reason: Reason,
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
            Self::NoPackage => "There is no package of this name with a version that can be installed.".to_owned(),
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

/// Says what a consumer can do: the credential that is asked about is its key pair, or the token with the public id `token`.
pub async fn instructions(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    token: Option<&str>,
) -> Result<Instructions, Failure> {
    if let Some(token) = token {
        consumer_tokens::require(app, issuer, consumer_id, token).await?;
    }
    let consumer = coverage::get(app, issuer, consumer_id).await?;
    let permissions = Permissions::read(app, issuer, consumer_id).await?;
    let view = permissions.view(app, issuer);
    let (seen, _) = read::list(app, &view, PackageFilter::default(), Sort::default(), MAX_LISTED).await?;
    let targets = permissions.0.iter().map(|(row, _)| row.entitlement.grant.target.as_str());
    let packages = targets.filter(|target| !target.contains('*')).chain(seen.iter().map(|row| row.name.as_str()));
    let names: BTreeSet<&str> = packages.collect();
    let names: Vec<&str> = names.into_iter().collect();
    let rows = app.ports.database.ask(offers(issuer.organization(), &names, MAX_OFFERED)).await?;
    let offers: Vec<Offer> = rows.into_iter().map(|row| Offer::new(row, app.now())).collect();
    let is_enabled = consumer.row.is_enabled;
    let require = if is_enabled { permissions.require(&offers, app.now()) } else { BTreeMap::new() };
    let unavailable = permissions.unavailable(&offers, is_enabled, app.now());
    Ok(Instructions { consumer, require, unavailable })
}

/// A package, and what there is of it.
struct Offer {
    name: String,
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
    fn stability(&self, grant: &Grant, now: Millis) -> Option<Stability> {
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
    fn reason(&self, grant: &Grant, now: Millis) -> Reason {
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

impl Permissions {
    /// What can be installed, each package with one constraint: whatever one of the permissions for it allows.
    fn require(&self, offers: &[Offer], now: Millis) -> BTreeMap<String, String> {
        let mut require = BTreeMap::new();
        for offer in offers {
            let live = || {
                self.0.iter().filter(move |(row, grant)| {
                    grant.concerns(&offer.name) && row.entitlement.grant.expires_at.is_none_or(|end| now < end)
                })
            };
            let Some(stability) = live().filter_map(|(_, grant)| offer.stability(grant, now)).max() else { continue };
            let mut parts: Vec<&str> = Vec::new();
            for (row, _) in live() {
                let part = row.entitlement.grant.version_constraint.as_str();
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            let constraint = if parts.contains(&"*") { "*".to_owned() } else { parts.join(" || ") };
            require.insert(offer.name.clone(), stability.required(&constraint));
        }
        require
    }

    fn unavailable(&self, offers: &[Offer], is_enabled: bool, now: Millis) -> Vec<Unavailable> {
        let mut unavailable = Vec::new();
        for (row, grant) in &self.0 {
            let mut concerned = offers.iter().filter(|offer| grant.concerns(&offer.name));
            let reason = if !is_enabled {
                Reason::ConsumerDisabled
            } else if concerned.clone().any(|offer| offer.stability(grant, now).is_some()) {
                continue;
            } else if let Some(end) = row.entitlement.grant.expires_at.filter(|end| *end <= now) {
                Reason::Ended(end)
            } else if row.entitlement.grant.target.contains('*') {
                Reason::NoPackage
            } else {
                concerned.next().map_or(Reason::NoPackage, |offer| offer.reason(grant, now))
            };
            let GrantRow { target, version_constraint, .. } = &row.entitlement.grant;
            unavailable.push(Unavailable { package: target.clone(), version: version_constraint.clone(), reason });
        }
        unavailable
    }
}
