//! Changing a package by hand: an upload, a yank, what an operator says of it. The package is read at one revision,
//! rendered as it will be, and written only if nobody has written it meanwhile.

use composer::PackageName;

use crate::ports::Millis;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::publish::{PackagePlan, Plan, RenderContext, Snapshot};
use crate::store::kernel::organizations::Touched;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::packages::publication::Origin;
use crate::store::packages::state::{LiveVersion, PackageState, state};
use crate::store::{OrganizationId, Query};

/// A package as it was read: `None` when there is none of that name or id, and its versions.
#[derive(Debug, Clone, Default)]
pub struct PackageSnapshot {
    /// The package.
    pub package: Option<PackageState>,
    /// Its versions, the yanked and hidden ones too.
    pub versions: Vec<LiveVersion>,
}

impl PackageSnapshot {
    /// What reads the package with this public id or name; see [`PackageSnapshot::from`].
    pub fn query(organization: OrganizationId, key: &str) -> (Query<Option<PackageState>>, Query<Vec<LiveVersion>>) {
        state(organization, key)
    }

    /// Reads the package with this public id or name.
    pub async fn read(app: &App, organization: OrganizationId, key: &str) -> Result<Self, Failure> {
        Ok(app.ports.database.ask(Self::query(organization, key)).await?.into())
    }

    /// Unix seconds; `None` of a package that is not there.
    pub fn revision(&self) -> Option<i64> {
        self.package.as_ref().map(|package| package.revision)
    }

    fn is_listed(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.version_index.is_some())
    }

    /// The plan of the package with these versions from now on, in place of what was read.
    pub fn plan(
        &self,
        organization: OrganizationId,
        repository_id: i64,
        name: &PackageName,
        context: RenderContext<'_>,
        versions: &[LiveVersion],
    ) -> Result<Plan, Failure> {
        let package = PackagePlan::own(name, self.revision(), context, versions)?;
        let is_listed = package.rendered.summary.version_index.is_some();
        let touched = if is_listed == self.is_listed() { Touched::Versions } else { Touched::Names };
        Ok(Plan { touched, packages: vec![package], ..Plan::new(organization, repository_id, Origin::Own) })
    }

    /// The plan of `package`, which was read, with these versions and in this context from now on.
    pub fn revised(
        &self,
        package: &PackageState,
        context: RenderContext<'_>,
        versions: &[LiveVersion],
    ) -> Result<Plan, Failure> {
        let name = PackageName::parse(&package.name).map_err(Failure::internal)?;
        self.plan(package.organization, package.repository_id, &name, context, versions)
    }
}

/// Who changes a package or its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedBy {
    /// An operator, for whom nothing is there that is hidden.
    Operator,
    /// A shop, which goes on seeing what it hides.
    Shop,
}

/// What decides about a package's documents so far.
pub fn context_of(package: &PackageState, now: Millis) -> RenderContext<'_> {
    RenderContext { source: &package.source, abandoned: package.abandoned(), hidden: package.hidden, now }
}

/// Refuses what would not last: a mirrored package is its upstream's, and a repository brings back what is deleted, unless
/// that is a former name of its package.
pub fn check_changeable(package: &PackageState, deletes: bool) -> Result<(), Failure> {
    let name = &package.name;
    let message = match package.kind {
        RepositoryKind::Composer => format!("{name} is mirrored from an upstream repository. Change it there."),
        RepositoryKind::Git if deletes && package.renamed_to.is_none() => format!(
            "{name} comes from a git repository, whose next sync would bring it back. Yank its versions, delete the tag \
             there, or remove the repository from here."
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(Kind::Conflict, message))
}

impl From<(Option<PackageState>, Vec<LiveVersion>)> for PackageSnapshot {
    fn from((package, versions): (Option<PackageState>, Vec<LiveVersion>)) -> Self {
        Self { package, versions }
    }
}

impl Snapshot for PackageSnapshot {
    const MAX_ATTEMPTS: usize = 5;

    fn has_changed_since(&self, earlier: &Self) -> bool {
        self.revision() != earlier.revision()
    }

    fn exhausted(_: Failure) -> Failure {
        Failure::new(Kind::Conflict, "Other requests are publishing this package. Try again in a moment.")
    }
}
