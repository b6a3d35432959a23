//! Fetching what zips are built from, so that it fits the memory.
//!
//! Of an ordinary repository the whole commits are fetched, in one request. Of a package in a sub-directory, and of a
//! repository whose whole commits are too large, it is done piece by piece, in three: all trees, the few files that say
//! what is left out, and then only the files that the zips hold. A server without partial clones, or one that forbids
//! this kind, is asked for whole commits in any case.
//!
//! What is too large for that as well is fetched some files at a time, and a large file alone (`archives::large`).

use std::collections::HashSet;

use composer::{ExcludeRules, Manifest};
use git::{
    ArchiveError, ArchiveOptions, ArchivePlan, ArchivePlanning, ArchiveWork, Capabilities, FetchError, FetchRequest,
    ObjectId, PackError, PackLimits, Packs, TreeError, find_package_files, limits, missing_rule_files,
};

use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::{GitRemote, RemoteFile, is_too_large};

/// All trees of a commit, and no file.
const TREES_ONLY: &str = "blob:none";

/// Most bytes of the packs that zips are built from in one go; larger commits are archived by a job of their own.
const SMALL_PACK_BYTES: usize = 12 * limits::MIB;

/// Most bytes of a pack with some of the files of a large archive.
pub const BATCH_PACK_BYTES: usize = 6 * limits::MIB;

/// Most bytes of a pack with one file that is still converted: such a file, should nothing compress it, and room for what
/// frames it.
const CONVERTIBLE_PACK_BYTES: usize = 9 * limits::MIB;

/// Directories and their entries that are decided on in one slice: some 30 ms.
const SLICE_ENTRIES: usize = 2_000;

/// What a zip has besides what its commit says.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlannedArchive<'a> {
    /// The directory that everything lies in, if that matters.
    pub directory: Option<&'a str>,
    /// The tag that it is of.
    pub tag: Option<&'a str>,
}

/// A git server, asked for what one package's zips are built from.
pub struct ArchiveObjects<'a> {
    remote: GitRemote<'a>,
    capabilities: Capabilities,
    /// The package's directory; `None` is the root.
    path: Option<String>,
    /// Whether piece by piece is tried first.
    prefer_filtered: bool,
    /// Why the server refused that the last time.
    filter_refusal: Option<SyncError>,
}

impl<'a> ArchiveObjects<'a> {
    /// For the package in the directory `path` (empty: the root) of the repository at `remote`.
    pub fn new(remote: GitRemote<'a>, capabilities: Capabilities, path: &str) -> Self {
        let path = (!path.is_empty()).then(|| path.to_owned());
        let by_pieces = capabilities.filter && path.is_some();
        Self { remote, capabilities, path, prefer_filtered: by_pieces, filter_refusal: None }
    }

    /// Whether the server sends parts of a commit, as far as is known since the last time.
    pub fn supports_filter(&self) -> bool {
        self.capabilities.filter && self.filter_refusal.is_none()
    }

    /// The git server.
    pub fn remote(&self) -> &GitRemote<'a> {
        &self.remote
    }

    /// The server's name.
    pub fn server(&self) -> &str {
        self.remote.host()
    }

    /// The package's directory; `None` is the root.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Fetches what the zips of `commits` are built from.
    ///
    /// # Errors
    /// One that [`is_too_large`] when neither the whole commits nor the files of the zips fit the memory.
    pub async fn fetch_objects(&mut self, commits: &[ObjectId]) -> Result<Packs, SyncError> {
        self.filter_refusal = None;
        if self.prefer_filtered
            && let Some(packs) = self.fetch_filtered_unless_refused(commits).await?
        {
            return Ok(packs);
        }
        let result = match self.fetch_whole_commits(commits, SMALL_PACK_BYTES).await {
            Err(error) if is_too_large(&error) && self.supports_filter() => {
                self.prefer_filtered = true;
                self.fetch_filtered_unless_refused(commits).await?.ok_or(error)
            }
            result => result,
        };
        result.map_err(|error| self.explain(error))
    }

    /// What is too large is told with what keeps the server from sending less.
    fn explain(&mut self, error: SyncError) -> SyncError {
        match self
            .filter_refusal
            .take_if(|refusal| is_too_large(&error) && matches!(refusal, SyncError::Missing { .. }))
        {
            Some(missing) => missing,
            None => error,
        }
    }

    /// Nothing when the server refuses: it may forbid this filter without saying so beforehand, or lack a commit.
    async fn fetch_filtered_unless_refused(&mut self, commits: &[ObjectId]) -> Result<Option<Packs>, SyncError> {
        match self.fetch_filtered(commits).await {
            Ok(packs) => Ok(Some(packs)),
            Err(refusal @ (SyncError::Fetch(FetchError::Remote(_)) | SyncError::Missing { .. })) => {
                log::warn!("the server does not send parts of commits: {refusal}");
                self.filter_refusal = Some(refusal);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches whole commits in a pack of at most `pack_bytes`.
    pub async fn fetch_whole_commits(&mut self, commits: &[ObjectId], pack_bytes: usize) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        let request = FetchRequest::commits(commits.iter().copied(), None);
        self.fetch(request, &mut packs, &within(pack_bytes)).await?;
        Ok(packs)
    }

    async fn fetch_filtered(&mut self, commits: &[ObjectId]) -> Result<Packs, SyncError> {
        let mut packs = self.fetch_rules(commits, SMALL_PACK_BYTES).await?;
        let mut files = HashSet::new();
        for commit in commits {
            // A commit that cannot be read lacks nothing: building its zip finds out the same, and tells.
            if let Ok(plan) = self.plan(&packs, commit, PlannedArchive::default()).await {
                files.extend(plan.entries.iter().map(|entry| entry.oid).filter(|id| !packs.contains(id)));
            }
        }
        let mut files: Vec<ObjectId> = files.into_iter().collect();
        files.sort_unstable();
        self.fetch(FetchRequest::blobs(files), &mut packs, &within(SMALL_PACK_BYTES)).await?;
        Ok(packs)
    }

    /// Decides what the zip of `commit` holds, in slices. `packs` has its trees, and the files with rules.
    pub async fn plan(
        &self,
        packs: &Packs,
        commit: &ObjectId,
        PlannedArchive { directory, tag }: PlannedArchive<'_>,
    ) -> Result<ArchivePlan, ArchiveError> {
        let rules = exclude_rules(packs, commit, self.path())?;
        // Directories are never left out as such: a rule may take back single files below them.
        let exclude = |file: &str, is_dir: bool, work: &mut ArchiveWork| {
            if is_dir { Ok(false) } else { rules.excludes(file, |steps| work.spend(steps)) }
        };
        let defaults = ArchiveOptions::default();
        let directory = directory.unwrap_or(defaults.directory);
        let options = ArchiveOptions { path: self.path(), directory, tag, exclude: &exclude, ..defaults };
        let mut planning = ArchivePlanning::new(packs, commit, &options)?;
        while !planning.step(SLICE_ENTRIES)? {
            self.remote.pause().await;
        }
        planning.finish()
    }

    /// Fetches what decides what the zips of `commits` hold: trees, and the files that say what is left out.
    pub async fn fetch_rules(&mut self, commits: &[ObjectId], pack_bytes: usize) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        let trees = FetchRequest::commits(commits.iter().copied(), Some(TREES_ONLY));
        self.fetch(trees, &mut packs, &within(pack_bytes)).await?;
        let rules = union(commits, |commit| missing_rule_files(&packs, commit, self.path()));
        self.fetch(FetchRequest::blobs(rules), &mut packs, &within(pack_bytes)).await?;
        Ok(packs)
    }

    /// Fetches some files.
    ///
    /// # Errors
    /// One that [`is_too_large`] when they are more than [`BATCH_PACK_BYTES`], or one of them cannot be held.
    pub async fn fetch_files(&mut self, files: Vec<ObjectId>) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        self.fetch(FetchRequest::blobs(files), &mut packs, &within(BATCH_PACK_BYTES)).await?;
        Ok(packs)
    }

    /// Fetches one file, if it is small enough for `.gitattributes` to apply.
    pub async fn fetch_convertible_file(&mut self, file: ObjectId) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        self.fetch(FetchRequest::blobs([file]), &mut packs, &within(CONVERTIBLE_PACK_BYTES)).await?;
        Ok(packs)
    }

    /// Asks for one file that is read while it comes.
    pub async fn open_file(&mut self, file: ObjectId) -> Result<RemoteFile, SyncError> {
        self.remote.open_file(&self.capabilities, file).await
    }

    /// Whether `commit` is one of `from`, or in their history.
    pub async fn is_in_history(&mut self, commit: ObjectId, from: Vec<ObjectId>) -> Result<bool, SyncError> {
        let result = self.remote.is_in_history(&self.capabilities, commit, from).await;
        result.map_err(|error| self.named(error))
    }

    /// Fetches one more pack, unless nothing is wanted. All packs together may have the bytes of one.
    async fn fetch(&mut self, request: FetchRequest, packs: &mut Packs, limits: &PackLimits) -> Result<(), SyncError> {
        let (count, most) = (u32::try_from(request.wants.len()).unwrap_or(u32::MAX), limits.objects);
        if count > most {
            return Err(PackError::TooManyObjects { count, limit: most }.into());
        }
        if count == 0 {
            return Ok(());
        }
        let limit = limits.pack_bytes;
        let left = PackLimits { pack_bytes: limit.saturating_sub(packs.packed_bytes()), ..*limits };
        let pack = self.remote.fetch(&self.capabilities, &request, &left).await.map_err(|error| match error {
            SyncError::Fetch(FetchError::TooLarge { .. }) => SyncError::Fetch(FetchError::TooLarge { limit }),
            error => self.named(error),
        })?;
        packs.push(pack);
        Ok(())
    }

    /// The same error; a server that lacks an object is named, and the object.
    fn named(&self, error: SyncError) -> SyncError {
        match error {
            SyncError::Fetch(error) => match error.missing_object() {
                Some(object) => SyncError::Missing { object, server: self.remote.host().to_owned() },
                None => SyncError::Fetch(error),
            },
            error => error,
        }
    }
}

/// The limits of a pack of at most so many bytes.
fn within(pack_bytes: usize) -> PackLimits {
    PackLimits { pack_bytes, ..PackLimits::default() }
}

/// What all commits together lack, in a fixed order. A commit that cannot be read lacks nothing: building its zip
/// finds out the same, and tells.
fn union(
    commits: &[ObjectId],
    missing: impl Fn(&ObjectId) -> Result<HashSet<ObjectId>, ArchiveError>,
) -> Vec<ObjectId> {
    let all: HashSet<ObjectId> = commits.iter().filter_map(|commit| missing(commit).ok()).flatten().collect();
    let mut all: Vec<ObjectId> = all.into_iter().collect();
    all.sort_unstable();
    all
}

/// `archive.exclude` of the commit's composer.json; none when that cannot be read.
fn exclude_rules(packs: &Packs, commit: &ObjectId, path: Option<&str>) -> Result<ExcludeRules, TreeError> {
    let manifest = find_package_files(packs, commit, path)?.and_then(|files| files.manifest);
    let bytes = match manifest {
        Some(blob) => packs.read(&blob.oid)?,
        None => None,
    };
    let excludes = bytes
        .and_then(|object| Manifest::parse(object.data()).ok())
        .map(|manifest| manifest.archive_excludes())
        .unwrap_or_default();
    Ok(ExcludeRules::parse(&excludes))
}
