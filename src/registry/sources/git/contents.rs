//! What the commits of a repository's refs hold: composer.json and the files that people read, fetched with as few
//! requests as the server allows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use composer::Manifest;
use git::{
    BlobRef, Capabilities, FetchError, FetchRequest, MetadataPlan, Object, ObjectId, PackLimits, PackageFiles,
    PackagePath, Packs, TreeError, find_package_files, missing_blobs, read_tag,
};

use crate::ports::Millis;
use crate::registry::kernel::app::App;
use crate::registry::packages::support::StoredFunding;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::funding::{FundingSearch, find_funding};
use crate::registry::sources::git::remote::{GitRemote, is_too_large};
use crate::registry::sources::texts::{MAX_FILE_BYTES, TextBatch, readable_text};

/// Commits asked for in one filtered request: some 50 kB of request, and of the order of a megabyte of answer.
const FILTERED_BATCH: usize = 1000;

/// A commit that has to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedCommit {
    /// Its id.
    pub commit: ObjectId,
    /// The annotated tags on it whose dates are needed, too.
    pub tags: Vec<ObjectId>,
}

impl WantedCommit {
    /// What the server is asked for: a tag brings its commit along.
    fn wants(&self) -> impl Iterator<Item = ObjectId> {
        let commit = self.tags.is_empty().then_some(self.commit);
        commit.into_iter().chain(self.tags.iter().copied())
    }
}

/// A file that people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// `readme`, `changelog` or `license`.
    pub kind: &'static str,
    /// As in the repository.
    pub name: String,
    /// SHA-256 of its text, lowercase hex.
    pub sha256: String,
}

/// What one commit holds.
#[derive(Debug, Clone)]
pub struct Content {
    /// When the commit was made.
    pub committed_at: Millis,
    /// composer.json, or why there is none.
    pub manifest: Result<Arc<str>, String>,
    /// The files that people read.
    pub files: Vec<TextFile>,
}

/// What all asked commits hold.
#[derive(Debug, Default)]
pub struct Contents {
    by_commit: HashMap<ObjectId, Content>,
    /// The dates of annotated tags.
    tagged_at: HashMap<ObjectId, Millis>,
    /// Whose FUNDING.yml is looked for.
    funding_search: Option<FundingSearch>,
    /// What that says, when it was looked for and is another one than before.
    pub funding: Option<StoredFunding>,
    /// The texts.
    pub texts: TextBatch,
    seen_texts: HashMap<ObjectId, Option<String>>,
    seen_manifests: HashMap<ObjectId, Result<Arc<str>, String>>,
}

impl Contents {
    /// What `commit` holds, if it was asked for.
    pub fn get(&self, commit: &ObjectId) -> Option<&Content> {
        self.by_commit.get(commit)
    }

    /// When an annotated tag was made, if it was asked for and says so.
    pub fn tagged_at(&self, tag: &ObjectId) -> Option<Millis> {
        self.tagged_at.get(tag).copied()
    }

    /// Takes over the dates of annotated tags. One that cannot be read has none: its commit is published all the same.
    fn take_tag_dates<'t>(&mut self, tags: impl Iterator<Item = &'t ObjectId>, packs: &Packs) {
        for tag in tags {
            if let Some(tagged) = read_tag(packs, tag).ok().and_then(|tag| tag.tagged) {
                self.tagged_at.insert(*tag, Millis::from_seconds(tagged.seconds));
            }
        }
    }

    /// Takes over the FUNDING.yml that is looked for, if its commit is in the batch. A server that does not hand it out does not
    /// keep the versions from being published.
    async fn take_funding(
        &mut self,
        remote: &mut GitRemote<'_>,
        capabilities: &Capabilities,
        batch: &[WantedCommit],
        packs: &Packs,
    ) -> Result<(), SyncError> {
        let is_here = |search: &FundingSearch| batch.iter().any(|wanted| wanted.commit == search.commit);
        let Some(search) = self.funding_search.take_if(|search| is_here(search)) else { return Ok(()) };
        match find_funding(remote, capabilities, packs, &search).await {
            Ok(funding) => self.funding = funding,
            Err(SyncError::Internal(failure)) => return Err(SyncError::Internal(failure)),
            Err(error) => log::warn!("FUNDING.yml is left for the next change of the default branch: {error}"),
        }
        Ok(())
    }

    fn refuse(&mut self, commit: ObjectId, reason: String) {
        let content = Content { committed_at: Millis(0), manifest: Err(reason), files: Vec::new() };
        self.by_commit.insert(commit, content);
    }

    /// Takes over what the packs hold of one commit. A file that they lack was too large for the filter.
    fn take(&mut self, commit: ObjectId, found: &PackageFiles, packs: &Packs) -> Result<(), TreeError> {
        let manifest = match &found.manifest {
            Some(blob) => self.manifest(blob, packs)?,
            None => Err("it has no composer.json".to_owned()),
        };
        let mut files = Vec::new();
        let readable = [("readme", &found.readme), ("changelog", &found.changelog), ("license", &found.license)];
        for (kind, blob) in readable {
            let Some(blob) = blob else { continue };
            if let Some(sha256) = self.text(blob, packs)? {
                files.push(TextFile { kind, name: blob.name.clone(), sha256 });
            }
        }
        let committed_at = Millis::from_seconds(found.commit.committed.seconds);
        self.by_commit.insert(commit, Content { committed_at, manifest, files });
        Ok(())
    }

    fn manifest(&mut self, blob: &BlobRef, packs: &Packs) -> Result<Result<Arc<str>, String>, TreeError> {
        if let Some(seen) = self.seen_manifests.get(&blob.oid) {
            return Ok(seen.clone());
        }
        let manifest = match read(packs, &blob.oid)? {
            Some(bytes) => Manifest::read_text(&bytes).map(Arc::from).map_err(|error| error.to_string()),
            None => Err("composer.json is larger than 200 kB".to_owned()),
        };
        self.seen_manifests.insert(blob.oid, manifest.clone());
        Ok(manifest)
    }

    fn text(&mut self, blob: &BlobRef, packs: &Packs) -> Result<Option<String>, TreeError> {
        if let Some(sha256) = self.seen_texts.get(&blob.oid) {
            return Ok(sha256.clone());
        }
        let sha256 = read(packs, &blob.oid)?.map(|bytes| {
            let text = readable_text(&bytes);
            let sha256 = text.sha256.clone();
            self.texts.push(text);
            sha256
        });
        self.seen_texts.insert(blob.oid, sha256.clone());
        Ok(sha256)
    }
}

/// A file's content, unless it is too large.
fn read(packs: &Packs, id: &ObjectId) -> Result<Option<Vec<u8>>, TreeError> {
    match packs.size(id) {
        Some(0..=MAX_FILE_BYTES) => Ok(packs.read(id)?.map(Object::into_data)),
        _ => Ok(None),
    }
}

/// The package whose contents are fetched.
pub struct ContentsOf<'a> {
    /// For the database.
    pub app: &'a App,
    /// What the server can do.
    pub capabilities: &'a Capabilities,
    /// The package's directory.
    pub path: &'a PackagePath,
}

/// Fetches what `commits` hold of a package. Of long texts it stores all but the last.
pub async fn fetch_contents(
    remote: &mut GitRemote<'_>,
    of: &ContentsOf<'_>,
    commits: Vec<WantedCommit>,
    funding: Option<&FundingSearch>,
) -> Result<Contents, SyncError> {
    let ContentsOf { capabilities, path, .. } = *of;
    let mut contents = Contents { funding_search: funding.cloned(), ..Contents::default() };
    let mut plan = MetadataPlan::choose(capabilities, path.depth());
    let mut batches = batches(&commits, &plan);
    while let Some(batch) = batches.pop_front() {
        match fetch_batch(remote, of, &plan, &batch, &mut contents).await {
            Ok(()) => {}
            Err(error) if is_too_large(&error) => match batch.as_slice() {
                [single] => contents.refuse(single.commit, error.to_string()),
                several => {
                    let (left, right) = several.split_at(several.len() / 2);
                    batches.push_front(right.to_vec());
                    batches.push_front(left.to_vec());
                }
            },
            Err(SyncError::Fetch(FetchError::Remote(message))) => {
                let next = plan.after_refusal(path.depth());
                plan = next.ok_or(SyncError::Fetch(FetchError::Remote(message)))?;
                let left: Vec<WantedCommit> = batch.into_iter().chain(batches.into_iter().flatten()).collect();
                batches = self::batches(&left, &plan);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

fn batches(commits: &[WantedCommit], plan: &MetadataPlan) -> VecDeque<Vec<WantedCommit>> {
    let size = match plan {
        MetadataPlan::Unfiltered => MetadataPlan::UNFILTERED_BATCH,
        MetadataPlan::Combined { .. } | MetadataPlan::TreeThenBlobs { .. } => FILTERED_BATCH,
    };
    commits.chunks(size).map(<[WantedCommit]>::to_vec).collect()
}

async fn fetch_batch(
    remote: &mut GitRemote<'_>,
    of: &ContentsOf<'_>,
    plan: &MetadataPlan,
    batch: &[WantedCommit],
    contents: &mut Contents,
) -> Result<(), SyncError> {
    let ContentsOf { app, capabilities, path } = *of;
    let limits = PackLimits::default();
    let request = FetchRequest::commits(batch.iter().flat_map(WantedCommit::wants), plan.filter());
    let mut packs = Packs::from(remote.fetch(capabilities, &request, &limits).await?);
    let directory = (path.depth() > 0).then(|| path.as_str());
    let mut found = Vec::with_capacity(batch.len());
    contents.take_tag_dates(batch.iter().flat_map(|wanted| &wanted.tags), &packs);
    for WantedCommit { commit, .. } in batch {
        match find_package_files(&packs, commit, directory) {
            Ok(Some(files)) => found.push((*commit, files)),
            Ok(None) => contents.refuse(*commit, format!("it has no directory {}", path.as_str())),
            // A refusal is remembered with the commit, which is not to blame for this.
            Err(TreeError::MissingObject(id)) => return Err(remote.withheld(id)),
            Err(error) => contents.refuse(*commit, error.to_string()),
        }
    }
    let missing = missing_blobs(&packs, found.iter().map(|(_, files)| files));
    match (plan, missing.first()) {
        (MetadataPlan::TreeThenBlobs { .. }, Some(_)) => {
            packs.push(remote.fetch(capabilities, &FetchRequest::blobs(missing), &limits).await?);
        }
        (MetadataPlan::Unfiltered, Some(id)) => return Err(remote.withheld(*id)),
        (MetadataPlan::Combined { .. }, Some(_)) | (_, None) => {}
    }
    contents.take_funding(remote, capabilities, batch, &packs).await?;
    for (commit, files) in &found {
        if let Err(error) = contents.take(*commit, files, &packs) {
            contents.refuse(*commit, error.to_string());
        }
        contents.texts.store_if_full(app).await?;
    }
    Ok(())
}
