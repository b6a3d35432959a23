//! A repository whose default branch names another package than before. The old name stays with the versions that it had,
//! abandoned in favour of the new one: whoever requires it goes on installing it, and is told what to use instead.

use composer::PackageName;
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::pattern::matches_pattern;
use crate::registry::packages::publish::{PackagePlan, RenderContext};
use crate::registry::sources::git::published::PublishedState;
use crate::store::access::grants::{self, HeldGrant};
use crate::store::kernel::audit::{NewRepositoryEntry, record_by_repository};
use crate::store::packages::renaming::rename;
use crate::store::packages::state::{PackageSource, PackageState};
use crate::store::sources::repositories::Repository;

/// Most grants that the audit log lists of one package.
const MAX_LISTED_GRANTS: usize = 500;

/// What becomes of the names that a repository published before.
pub struct Renaming<'s> {
    to: &'s PackageName,
    known: &'s PublishedState,
    /// Those that it had until now.
    renamed: Vec<&'s PackageState>,
    /// Every former name that stays.
    former: Vec<&'s PackageState>,
    /// Whether the name is one that it had before.
    has_returned: bool,
}

impl<'s> Renaming<'s> {
    /// What becomes of `packages`, all that a repository ever published, when `to` is the name of what it publishes. A
    /// repository of which no refs are known is another one than it was, so that nothing of it was renamed.
    pub fn find(to: &'s PackageName, known: &'s PublishedState, packages: &'s [PackageState]) -> Self {
        let others = || packages.iter().filter(|state| state.name != to.as_str());
        let renamed: Vec<&PackageState> = others().filter(|state| known.has_refs() && known.publishes(state)).collect();
        let is_former = |state: &&PackageState| {
            state.renamed_to.is_some() || renamed.iter().any(|renamed| renamed.name == state.name)
        };
        let former = others().filter(is_former).collect();
        let has_returned = packages.iter().any(|state| state.name == to.as_str() && state.renamed_to.is_some());
        Self { to, known, renamed, former, has_returned }
    }

    /// The names that stay besides the one that is published.
    pub fn former_names(&self) -> impl Iterator<Item = &'s str> {
        self.former.iter().map(|state| state.name.as_str())
    }

    /// Every name that stays, and the one that is published.
    pub fn names(&self) -> Vec<String> {
        self.former_names().chain([self.to.as_str()]).map(str::to_owned).collect()
    }

    /// Whether the package was hidden under the name that it had until now: another name does not show it.
    pub fn was_hidden(&self) -> bool {
        self.renamed.iter().any(|state| state.hidden)
    }

    /// The old names as they are from now on.
    pub fn plans(&self, source: &PackageSource, now: Millis) -> Result<Vec<PackagePlan>, Failure> {
        let plan = |state: &&PackageState| {
            let context = RenderContext {
                source,
                abandoned: Some(state.abandoned_override.as_deref().unwrap_or(self.to.as_str())),
                hidden: state.hidden,
                now,
            };
            let name = PackageName::parse(&state.name).map_err(Failure::internal)?;
            PackagePlan::own(&name, Some(state.revision), context, &self.known.versions_of(state))
        };
        self.renamed.iter().map(plan).collect()
    }

    /// The statements that note the new name, and tell of it in the audit log, with the grants that cover the old one alone.
    pub async fn statements(&self, app: &App, repository: &Repository) -> Result<Vec<Stmt>, Failure> {
        if self.renamed.is_empty() && !self.has_returned {
            return Ok(Vec::new());
        }
        let (organization, now) = (repository.organization, app.now());
        let from: Vec<&str> = self.renamed.iter().map(|state| state.name.as_str()).collect();
        let mut stmts = vec![rename(organization, repository.id, &from, self.to.as_str())];
        let mut entries = Vec::with_capacity(from.len());
        let targets = app.ports.database.ask(grants::targets(organization, now)).await?;
        for name in from {
            let is_left = |target: &&str| matches_pattern(target, name) && !matches_pattern(target, self.to.as_str());
            let left: Vec<&str> = targets.iter().map(|row| row.target.as_str()).filter(is_left).collect();
            let grants = app.ports.database.ask(grants::naming(organization, json!(left).to_string(), now)).await?;
            let listed: Vec<Value> = grants.iter().take(MAX_LISTED_GRANTS).map(listed_grant).collect();
            entries.push(NewRepositoryEntry {
                uid: new_uid(&*app.ports.entropy, now)?,
                label: name.to_owned(),
                details: json!({ "to": self.to.as_str(), "grants": listed, "grants_in_all": grants.len() }),
            });
        }
        stmts.extend(record_by_repository(organization, &repository.uid, "package.renamed", &entries, now));
        Ok(stmts)
    }
}

fn listed_grant(grant: &HeldGrant) -> Value {
    match grant.consumer {
        Some(consumer) => json!({ "target": grant.target, "consumer": consumer, "permission": grant.id }),
        None => json!({ "target": grant.target, "token": grant.token }),
    }
}
