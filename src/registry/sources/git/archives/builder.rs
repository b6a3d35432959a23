//! Building the zips of commits that fit the memory, of one or of several at once.

use git::{ArchivePlan, ArchiveRemarks, ObjectId, Packs, RemarkClass};

use crate::json::read_text;
use crate::ports::Stmt;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::slices::Slices;
use crate::registry::sources::git::archive_objects::{ArchiveObjects, PlannedArchive};
use crate::registry::sources::git::archives::failure::{ArchiveRefusal, BuildFailure, OneGoFailure, failed};
use crate::registry::sources::git::archives::host_zip::{HostZip, ZipHost};
use crate::registry::sources::git::archives::output::{ArchiveOutput, CompletePlan, FinishedZip};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::lfs::{LfsFiles, has_pointers};
use crate::registry::sources::git::remote_for;
use crate::store::packages::remarks::{Remark, RemarkKind, RemarksOn};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::{self, DistRow, LfsInZip, NewArtifact};
use crate::store::sources::repositories;

/// What is said besides of pointers that nobody has asked to be replaced.
const LFS_HINT: &str = "To have the files in the zip, set `lfs` of the repository to true.";

/// A zip in the blob store.
pub struct StoredArchive {
    /// What the database is to know of it.
    pub artifact: NewArtifact,
    /// The statements that attach it to its dist.
    pub attach: [Stmt; 2],
    /// What is to be said of it.
    pub remarks: RemarksOn,
}

/// Builds the zips of one repository's commits.
pub struct Builder<'a> {
    /// The registry.
    pub app: &'a App,
    /// What the zips are built from.
    pub objects: ArchiveObjects<'a>,
    /// Whether the zips have the files that Git LFS keeps.
    takes_lfs_files: bool,
    /// Who makes zips of the commits, too.
    zip_host: Option<ZipHost>,
}

impl<'a> Builder<'a> {
    /// A builder for a repository.
    pub async fn new(app: &'a App, repository_id: i64) -> Result<Self, Failure> {
        let row = app.ports.database.ask(repositories::by_id(repository_id)).await?;
        let repository = row.ok_or_else(|| Failure::not_found("Repository"))?.repository;
        let mut remote = remote_for(app, &repository).map_err(|error| failed(error, None))?;
        let known = repository.capabilities.as_deref().and_then(|text| read_text(text).ok());
        let capabilities = match known {
            Some(capabilities) => capabilities,
            None => remote.advertisement().await.map_err(|error| failed(error, None))?.capabilities,
        };
        let objects = ArchiveObjects::new(remote, capabilities, &repository.path);
        let zip_host = ZipHost::of(app, &repository)?;
        Ok(Self { app, objects, takes_lfs_files: repository.lfs, zip_host })
    }

    /// Fetches what the zips of these dists are built from.
    pub async fn fetch_objects(&mut self, rows: &[DistRow]) -> Result<Packs, SyncError> {
        let mut commits: Vec<ObjectId> = rows.iter().filter_map(commit_of).collect();
        commits.sort_unstable();
        commits.dedup();
        self.objects.fetch_objects(&commits).await
    }

    /// Decides what the zip of a dist holds. `packs` has its commit's trees, and the files with rules.
    async fn plan(&self, packs: &Packs, commit: &ObjectId, row: &DistRow) -> Result<ArchivePlan, BuildFailure> {
        let archive = PlannedArchive { directory: Some(directory_of(row)), tag: tag_of(row) };
        let plan = self.objects.plan(packs, commit, archive).await;
        plan.map_err(|error| BuildFailure::of(error, self.objects.server()))
    }

    /// Decides what the zip of a dist holds, and asks for what Git LFS keeps, if the zip is to have that.
    pub async fn complete_plan(
        &mut self,
        packs: &Packs,
        commit: &ObjectId,
        row: &DistRow,
    ) -> Result<CompletePlan<'a>, BuildFailure> {
        let mut plan = self.plan(packs, commit, row).await?;
        let lfs = if self.takes_lfs_files {
            LfsFiles::resolve(&mut self.objects, packs, commit, &mut plan).await?
        } else {
            None
        };
        Ok(CompletePlan { plan, lfs })
    }

    /// Builds and stores one zip, unless somebody else sends what is in it: how much that is, and how long it takes, git does
    /// not know.
    pub async fn store_in_one_go(
        &self,
        packs: &Packs,
        row: &DistRow,
        slices: &mut Slices<'_>,
    ) -> Result<StoredArchive, OneGoFailure> {
        match self.try_in_one_go(packs, row, slices).await {
            Err(OneGoFailure::Failed(BuildFailure::ForEver(refusal))) if self.host_instead_of(&refusal).is_some() => {
                Err(OneGoFailure::Large)
            }
            result => result,
        }
    }

    /// Builds and stores one zip, unless it is to have files that Git LFS keeps.
    async fn try_in_one_go(
        &self,
        packs: &Packs,
        row: &DistRow,
        slices: &mut Slices<'_>,
    ) -> Result<StoredArchive, OneGoFailure> {
        let commit = commit_of(row).ok_or(BuildFailure::ForEver(ArchiveRefusal::Reference))?;
        let plan = self.plan(packs, &commit, row).await?;
        if self.takes_lfs_files && has_pointers(packs, &plan)? {
            return Err(OneGoFailure::Large);
        }
        Ok(self.write(packs, CompletePlan { plan, lfs: None }, row, slices).await?)
    }

    /// Builds and stores one zip.
    pub async fn store(
        &mut self,
        packs: &Packs,
        commit: &ObjectId,
        row: &DistRow,
        slices: &mut Slices<'_>,
    ) -> Result<StoredArchive, BuildFailure> {
        let plan = self.complete_plan(packs, commit, row).await?;
        self.write(packs, plan, row, slices).await
    }

    async fn write(
        &self,
        packs: &Packs,
        plan: CompletePlan<'a>,
        row: &DistRow,
        slices: &mut Slices<'_>,
    ) -> Result<StoredArchive, BuildFailure> {
        let mut output = ArchiveOutput::new(self.app, plan, self.objects.server());
        while output.writer().next_entry().is_some() {
            if let Err(failure) = output.write_entry(packs, slices).await {
                output.discard().await;
                return Err(failure);
            }
        }
        Ok(self.stored(row, output.finish(slices).await?))
    }

    /// The host whose own zip takes the place of one that is refused.
    pub fn host_instead_of(&self, refusal: &ArchiveRefusal) -> Option<&ZipHost> {
        self.zip_host.as_ref().filter(|_| refusal.is_for_limits())
    }

    /// Stores the zip of the dist's host in place of one that is refused, if there is such a host.
    pub async fn store_host_zip(
        &self,
        row: &DistRow,
        refusal: ArchiveRefusal,
        slices: &mut Slices<'_>,
    ) -> Result<StoredArchive, BuildFailure> {
        let Some(host) = self.host_instead_of(&refusal) else { return Err(BuildFailure::ForEver(refusal)) };
        let HostZip { artifact, refusal } = host.fetch(self.app, row.reference.as_str(), refusal, slices).await?;
        let text = format!(
            "The zip of commit {} is the one that {} makes, fetched once and kept, because none could be built: {refusal}. \
             `archive.exclude` of composer.json is not applied to it.",
            row.reference,
            host.name()
        );
        let remarks = vec![Remark::new(RemarkKind::HostZip, text)];
        let attach = dists::attach(row.id, &artifact, LfsInZip::None, self.app.now());
        Ok(StoredArchive { artifact, attach, remarks: RemarksOn { subject: row.reference.to_string(), remarks } })
    }

    /// The zip of `row`, which is in the blob store, and what there is to be said of it.
    pub fn stored(
        &self,
        row: &DistRow,
        FinishedZip { artifact, remarks, has_lfs_files }: FinishedZip,
    ) -> StoredArchive {
        let lfs = match has_lfs_files || remarks.has(RemarkClass::LfsPointers) {
            false => LfsInZip::None,
            true if self.takes_lfs_files => LfsInZip::Files,
            true => LfsInZip::Pointers,
        };
        let attach = dists::attach(row.id, &artifact, lfs, self.app.now());
        StoredArchive { artifact, attach, remarks: remarks_on(row, &remarks, lfs) }
    }
}

/// The commit that a dist is of, if its reference is one.
pub fn commit_of(row: &DistRow) -> Option<ObjectId> {
    ObjectId::parse(row.reference.as_str()).ok()
}

/// The directory that everything in a package's zips lies in: the second part of its name. Whoever unpacks a zip by hand
/// gets the same directory for each version.
fn directory_of(row: &DistRow) -> &str {
    row.package.rsplit('/').next().unwrap_or(&row.package)
}

/// The tag that a version comes from.
fn tag_of(row: &DistRow) -> Option<&str> {
    match &row.source {
        VersionSource::Ref(name) => name.strip_prefix("refs/tags/"),
        _ => None,
    }
}

/// What operators should know of a zip, as it is recorded.
fn remarks_on(row: &DistRow, remarks: &ArchiveRemarks, lfs: LfsInZip) -> RemarksOn {
    let kind = |class| match class {
        RemarkClass::LostFiles => RemarkKind::LostFiles,
        RemarkClass::Submodules => RemarkKind::Submodules,
        RemarkClass::LfsPointers => RemarkKind::LfsPointers,
        RemarkClass::CaseCollisions => RemarkKind::CaseCollisions,
        RemarkClass::Unconverted => RemarkKind::Unconverted,
    };
    let text = |class, text| match (class, lfs) {
        (RemarkClass::LfsPointers, LfsInZip::Pointers) => format!("{text} {LFS_HINT}"),
        _ => text,
    };
    let remarks = remarks.texts().map(|(class, told)| Remark::new(kind(class), text(class, told))).collect();
    RemarksOn { subject: row.reference.as_str().to_owned(), remarks }
}
