//! Fetching what zips are built from, so that it fits the memory.
//!
//! Of an ordinary repository the whole commits are fetched, in one request. Of a package in a sub-directory, and of a
//! repository whose whole commits are too large, it is done piece by piece, in three: all trees, the few files that say
//! what is left out, and then only the files that the zips hold. A server without partial clones, or one that forbids
//! this kind, is asked for whole commits in any case.

use std::collections::HashSet;

use composer::{ExcludeRules, Manifest};
use git::{
    ArchiveError, ArchiveOptions, Capabilities, FetchError, FetchRequest, ObjectId, PackError, PackLimits, Packs,
    TreeError, find_package_files, limits, missing_files, missing_rule_files,
};

use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::{GitRemote, is_too_large};

/// All trees of a commit, and no file.
const TREES_ONLY: &str = "blob:none";

/// A git server, asked for what one package's zips are built from.
pub struct ArchiveObjects<'a> {
    remote: GitRemote<'a>,
    capabilities: Capabilities,
    /// The package's directory; `None` is the root.
    path: Option<String>,
    /// Whether piece by piece is tried first.
    prefer_filtered: bool,
    /// Whether the server refused that the last time.
    filter_refused: bool,
}

impl<'a> ArchiveObjects<'a> {
    /// For the package in the directory `path` (empty: the root) of the repository at `remote`.
    pub fn new(remote: GitRemote<'a>, capabilities: Capabilities, path: &str) -> Self {
        let path = (!path.is_empty()).then(|| path.to_owned());
        let by_pieces = capabilities.filter && path.is_some();
        Self { remote, capabilities, path, prefer_filtered: by_pieces, filter_refused: false }
    }

    /// Whether the server sends parts of a commit, as far as is known since the last time.
    pub fn supports_filter(&self) -> bool {
        self.capabilities.filter && !self.filter_refused
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
        self.filter_refused = false;
        if self.prefer_filtered
            && let Some(packs) = self.fetch_filtered_unless_refused(commits).await?
        {
            return Ok(packs);
        }
        match self.fetch_whole_commits(commits).await {
            Err(error) if is_too_large(&error) && self.supports_filter() => {
                self.prefer_filtered = true;
                self.fetch_filtered_unless_refused(commits).await?.ok_or(error)
            }
            result => result,
        }
    }

    /// Nothing when the server refuses: it may forbid this filter without saying so beforehand, or lack a commit.
    async fn fetch_filtered_unless_refused(&mut self, commits: &[ObjectId]) -> Result<Option<Packs>, SyncError> {
        match self.fetch_filtered(commits).await {
            Ok(packs) => Ok(Some(packs)),
            Err(SyncError::Fetch(FetchError::Remote(message))) => {
                log::warn!("the server does not send parts of commits: {message}");
                self.filter_refused = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch_whole_commits(&mut self, commits: &[ObjectId]) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        self.fetch(FetchRequest::commits(commits.iter().copied(), None), &mut packs).await?;
        Ok(packs)
    }

    async fn fetch_filtered(&mut self, commits: &[ObjectId]) -> Result<Packs, SyncError> {
        let mut packs = Packs::default();
        self.fetch(FetchRequest::commits(commits.iter().copied(), Some(TREES_ONLY)), &mut packs).await?;
        let rules = union(commits, |commit| missing_rule_files(&packs, commit, self.path()));
        self.fetch(FetchRequest::blobs(rules), &mut packs).await?;
        let files = union(commits, |commit| {
            with_options(&packs, commit, self.path(), |options| missing_files(&packs, commit, options))
        });
        self.fetch(FetchRequest::blobs(files), &mut packs).await?;
        Ok(packs)
    }

    /// Fetches one more pack, unless nothing is wanted. All packs together may have the bytes of one.
    async fn fetch(&mut self, request: FetchRequest, packs: &mut Packs) -> Result<(), SyncError> {
        let (count, limit) = (u32::try_from(request.wants.len()).unwrap_or(u32::MAX), limits::OBJECTS);
        if count > limit {
            return Err(PackError::TooManyObjects { count, limit }.into());
        }
        if count == 0 {
            return Ok(());
        }
        let pack_bytes = limits::PACK_BYTES.saturating_sub(packs.packed_bytes());
        let limits = PackLimits { pack_bytes, ..PackLimits::default() };
        let pack = self.remote.fetch(&self.capabilities, &request, &limits).await.map_err(|error| match error {
            SyncError::Fetch(FetchError::TooLarge { .. }) => {
                SyncError::Fetch(FetchError::TooLarge { limit: limits::PACK_BYTES })
            }
            error => error,
        })?;
        packs.push(pack);
        Ok(())
    }
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

/// Does `work` with the options that the package's own rules give a commit's archive.
pub fn with_options<T>(
    packs: &Packs,
    commit: &ObjectId,
    path: Option<&str>,
    work: impl FnOnce(&ArchiveOptions<'_>) -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let rules = exclude_rules(packs, commit, path)?;
    // Directories are never left out as such: a rule may take back single files below them.
    let exclude = |file: &str, is_dir: bool| !is_dir && rules.excludes(file);
    work(&ArchiveOptions { path, exclude: &exclude, ..ArchiveOptions::default() })
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
