//! Writing a package: everything that a sync found, or the shasums of newly built zips, in one batch.

use composer::PackageName;

use crate::ports::{Millis, Rows, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::render::render;
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::packages::packages::{self, DocumentPart, LiveVersion, PackageState};
use crate::store::packages::publication::{self, FileUpsert, Target, VersionUpsert};
use crate::store::sources::repositories::{self, RefRow, RepositoryRow};
use crate::store::sources::sync_runs::{self, Finished, Report};
use crate::store::sources::upstream_answers;
use crate::store::storefront::deliveries;

/// What a sync found.
pub struct Publication<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository.
    pub repository_id: i64,
    /// Its address, for `source`.
    pub source_url: &'a str,
    /// The run that found it; it must still hold its lease.
    pub run_id: i64,
    /// The package.
    pub name: &'a PackageName,
    /// The revision that the present versions were read at; `None` when the package is new.
    pub known_revision: Option<i64>,
    /// What the operator says of it: `true`, `false` or the replacement's name.
    pub abandoned: Option<&'a str>,
    /// Whether it is hidden.
    pub hidden: bool,
    /// All versions that are published from now on.
    pub versions: &'a [LiveVersion],
    /// Those of them that are new or moved.
    pub changed: &'a [VersionUpsert],
    /// Their files.
    pub files: &'a [FileUpsert],
    /// The files' texts, by their SHA-256.
    pub texts: &'a [(String, String)],
    /// The default branch's ref.
    pub default_ref: Option<&'a str>,
    /// All refs, and what became of each.
    pub refs: &'a [RefRow],
    /// SHA-256 over the refs.
    pub refs_digest: &'a str,
    /// JSON of what the server can do.
    pub capabilities: &'a str,
    /// Whether packages appear or disappear.
    pub touched: Touched,
    /// The run's report.
    pub report: &'a Report,
    /// When the repository is due again.
    pub next_due_at: Millis,
}

/// What publishing came to.
pub struct Published {
    /// Whether a sync was asked for meanwhile.
    pub asked_again: bool,
    /// The rows of [`mirrors::contested`]: packages of upstreams whose vendor is reserved now.
    pub contested: Rows,
}

/// Publishes what a sync found and ends its run, all or nothing.
///
/// # Errors
/// When the run has lost its lease, the package was published by somebody else meanwhile, or the database failed;
/// nothing is written then.
pub async fn publish(app: &App, found: &Publication<'_>) -> Result<Published, Failure> {
    let now = app.now();
    let target =
        Target { organization: found.organization, repository_id: found.repository_id, name: found.name.as_str(), now };
    let rendered = render(found.name, found.source_url, found.abandoned, found.versions).map_err(Failure::internal)?;
    let rendered = if found.hidden { rendered.withheld(found.name) } else { rendered };
    let uid = new_uid(&*app.ports.entropy, now)?;
    let live = found.versions.iter().map(|version| version.normalized.as_str());
    let mut batch = vec![
        sync_runs::guard(found.organization, found.run_id, target.name, found.repository_id),
        publication::guard_revision(target, found.known_revision),
        publication::take_over(target),
        organizations::touch(found.organization, found.touched, now),
        publication::upsert_package(target, &uid, &rendered.summary),
    ];
    batch.extend(publication::insert_texts(found.texts));
    batch.extend(publication::upsert_versions(target, found.changed));
    batch.push(publication::settle_versions(target, live, found.default_ref));
    batch.extend(deliveries::tell_published(target));
    batch.extend(publication::replace_files(target, found.changed, found.files));
    batch.push(publication::note_dists(target));
    batch.extend(publication::retire_other_packages(target));
    batch.extend(publication::replace_documents(target, &rendered.stable, &rendered.dev));
    batch.extend(publication::replace_refs(found.repository_id, found.refs, found.refs_digest, found.capabilities));
    batch.push(upstream_answers::contested(found.organization));
    batch.push(sync_runs::finish(found.run_id, found.report, now, found.next_due_at));
    let mut results = app.ports.database.batch(batch).await?;
    let finished: Option<Finished> = results.pop().unwrap_or_default().first()?;
    app.memory.invalidate_published(target.organization);
    let contested = results.pop().unwrap_or_default();
    Ok(Published { asked_again: finished.is_some_and(|finished| finished.asked_again), contested })
}

/// Attempts to render before giving up to somebody who keeps publishing.
const RENDER_ATTEMPTS: usize = 3;

/// Renders the package of a repository again, for what has changed besides its versions. When nothing has, its
/// documents keep their date.
pub async fn render_again(app: &App, repository_id: i64) -> Result<(), Failure> {
    for attempt in 1..=RENDER_ATTEMPTS {
        match try_render_again(app, repository_id).await {
            Err(failure) if attempt < RENDER_ATTEMPTS => log::warn!("rendering again: {failure:?}"),
            result => return result,
        }
    }
    Ok(())
}

async fn try_render_again(app: &App, repository_id: i64) -> Result<(), Failure> {
    let batch = vec![
        packages::live_versions(repository_id),
        repositories::by_id(repository_id),
        packages::documents_of_repository(repository_id),
        packages::of_repository(repository_id),
    ];
    let mut results = app.ports.database.batch(batch).await?.into_iter();
    let versions: Vec<LiveVersion> = results.next().unwrap_or_default().decode()?;
    let repository: Option<RepositoryRow> = results.next().unwrap_or_default().first()?;
    let (Some(first), Some(repository)) = (versions.first(), repository) else { return Ok(()) };
    let name = PackageName::parse(&first.package_name).map_err(Failure::internal)?;
    let stored: Vec<DocumentPart> = results.next().unwrap_or_default().decode()?;
    let states: Vec<PackageState> = results.next().unwrap_or_default().decode()?;
    let state = states.iter().find(|state| state.name == first.package_name);
    let abandoned = state.and_then(|state| state.abandoned_override.as_deref());
    let rendered = render(&name, &repository.url, abandoned, &versions).map_err(Failure::internal)?;
    let rendered = if state.is_some_and(|state| state.hidden) { rendered.withheld(&name) } else { rendered };
    let text = |stability: &str| -> String {
        stored.iter().filter(|part| part.stability == stability).filter_map(|part| part.body.as_deref()).collect()
    };
    if text("stable") == rendered.stable && text("dev") == rendered.dev {
        return Ok(());
    }
    let now = app.now();
    let target = Target { organization: repository.organization, repository_id, name: name.as_str(), now };
    let uid = new_uid(&*app.ports.entropy, now)?;
    let mut batch: Vec<Stmt> = vec![
        publication::guard_revision(target, Some(first.revision)),
        organizations::touch(repository.organization, Touched::Versions, now),
        publication::upsert_package(target, &uid, &rendered.summary),
    ];
    batch.extend(publication::replace_documents(target, &rendered.stable, &rendered.dev));
    app.ports.database.batch(batch).await?;
    app.memory.invalidate_published(target.organization);
    Ok(())
}
