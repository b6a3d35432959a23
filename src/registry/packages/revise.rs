//! Changing a package by hand: an upload, a yank, what an operator says of it. The package is read at one revision,
//! rendered as it will be, and written only if nobody has written it meanwhile.

use composer::PackageName;

use crate::ports::{Rows, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::render::render;
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::packages::packages::{LiveVersion, PackageState, state};
use crate::store::packages::publication::{self, Target};
use crate::store::storefront::deliveries;

/// A package as it was read: `None` when there is none of that name or id, and its versions.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The package.
    pub package: Option<PackageState>,
    /// Its versions, the yanked and hidden ones too.
    pub versions: Vec<LiveVersion>,
}

impl Draft {
    /// The statements that read the package with this public id or name.
    pub fn statements(organization: OrganizationId, key: &str) -> [Stmt; 2] {
        state(organization, key)
    }

    /// What these statements yielded; takes the first two results.
    pub fn read(results: &mut impl Iterator<Item = Rows>) -> Result<Self, Failure> {
        let package = results.next().unwrap_or_default().first()?;
        Ok(Self { package, versions: results.next().unwrap_or_default().decode()? })
    }

    fn is_listed(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.version_index != "[]")
    }
}

/// A change of a package.
pub struct Edit<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository that it comes from.
    pub repository_id: i64,
    /// Address of that, for `source`.
    pub source_url: &'a str,
    /// The package.
    pub name: &'a PackageName,
    /// What the operator says of it: `true`, `false` or the replacement's name.
    pub abandoned: Option<&'a str>,
    /// Whether it is hidden from now on.
    pub hidden: bool,
    /// All its versions from now on.
    pub versions: &'a [LiveVersion],
    /// Statements that run before the package is written.
    pub before: Vec<Stmt>,
    /// The statements that make it so; they find the package there.
    pub changes: Vec<Stmt>,
}

impl Edit<'_> {
    /// Where the change is written to.
    pub fn target(&self, app: &App) -> Target<'_> {
        Target {
            organization: self.organization,
            repository_id: self.repository_id,
            name: self.name.as_str(),
            now: app.now(),
        }
    }

    /// Writes the change of what was read as `draft`, all or nothing.
    ///
    /// # Errors
    /// When the package was published by somebody else meanwhile, or the database failed: nothing is written then, or
    /// the database does not know.
    pub async fn write(mut self, app: &App, draft: &Draft) -> Result<(), Failure> {
        let (before, changes) = (std::mem::take(&mut self.before), std::mem::take(&mut self.changes));
        let target = self.target(app);
        let rendered = render(self.name, self.source_url, self.abandoned, self.versions).map_err(Failure::internal)?;
        let rendered = if self.hidden { rendered.withheld(self.name) } else { rendered };
        let is_listed = rendered.summary.version_index != "[]";
        let touched = if is_listed == draft.is_listed() { Touched::Versions } else { Touched::Names };
        let uid = new_uid(&*app.ports.entropy, target.now)?;
        let mut batch = vec![
            publication::guard_revision(target, draft.package.as_ref().map(|package| package.revision)),
            organizations::touch(self.organization, touched, target.now),
        ];
        batch.extend(before);
        batch.push(publication::upsert_package(target, &uid, &rendered.summary));
        batch.extend(changes);
        batch.extend(deliveries::tell_published(target));
        batch.extend(publication::replace_documents(target, &rendered.stable, &rendered.dev));
        app.ports.database.batch(batch).await?;
        app.memory.invalidate_published(target.organization);
        Ok(())
    }
}
