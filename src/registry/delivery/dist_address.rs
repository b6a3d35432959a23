//! Which zip is asked for.

use composer::{DistType, NormalizedVersion, PackageName, PrettyVersion, Reference};

use crate::store::sources::dists::{FoundDist, VersionAddress, find};
use crate::store::{OrganizationId, Query};

/// Which zip is asked for.
#[derive(Debug, Clone)]
pub struct DistAddress {
    /// The package.
    pub name: PackageName,
    /// What Composer compares.
    pub version: NormalizedVersion,
    /// The same if the address names it by itself; else only a version that is written just so is meant.
    pub named: Option<NormalizedVersion>,
    /// The version as the address has it.
    pub pretty: PrettyVersion,
    /// The commit; `None` is the version's present one.
    pub reference: Option<Reference>,
    /// How the archive is packed.
    pub kind: DistType,
}

impl DistAddress {
    /// The statement that finds it; or, when the version has no zip of that reference, the one of its present reference.
    pub fn statement(&self, organization: OrganizationId) -> Query<Option<FoundDist>> {
        let version = VersionAddress {
            normalized: self.version.as_str(),
            named: self.named.as_ref().map(NormalizedVersion::as_str),
            pretty: self.pretty.as_str(),
        };
        find(organization, self.name.as_str(), version, self.reference.as_deref())
    }
}
