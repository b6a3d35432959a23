//! Files that Git LFS keeps: what the zips of a repository have in place of its pointers, when it says so (`lfs`).
//!
//! An LFS server is asked in two steps: its batch API says where objects are ([`batch`]), and there each is fetched
//! ([`download`]). Which objects a zip has is decided with its plan, before anything of it is written: a zip that is put down
//! and taken up again stays the same one, or is begun anew.

mod batch;
mod download;
pub mod error;
mod server;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use git::{
    ArchivePlan, LfsContent, LfsPointer, ObjectId, PackError, Packs, RemarkKind, find_lfs_config, lfs_url, shown,
};

use crate::ports::Millis;
use crate::registry::sources::git::archive_objects::ArchiveObjects;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::lfs::batch::ObjectAddress;
pub use crate::registry::sources::git::lfs::download::LfsDownload;
use crate::registry::sources::git::lfs::error::LfsError;
use crate::registry::sources::git::lfs::server::LfsServer;
use crate::registry::sources::git::remote::is_too_large;

/// Most objects that one request asks for: what LFS's own client does.
const OBJECTS_PER_REQUEST: usize = 100;

/// Blobs that are fetched together to see whether they are pointers.
const BLOBS_PER_FETCH: usize = 2_000;

/// How long it is known where objects are: servers sign addresses for ten minutes or more.
const ADDRESSES_HOLD: Duration = Duration::from_mins(5);

/// Largest `.lfsconfig` that is read.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// Whether the zip of a plan is to have files that Git LFS keeps. `packs` has the plan's files.
pub fn has_pointers(packs: &Packs, plan: &ArchivePlan) -> Result<bool, PackError> {
    for blob in plan.lfs_blobs() {
        if LfsPointer::read(packs, &blob)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The LFS server of a zip that is being built, and where it has the objects that come next.
pub struct LfsFiles<'a> {
    server: LfsServer<'a>,
    known: HashMap<String, ObjectAddress>,
    asked_at: Millis,
}

impl<'a> LfsFiles<'a> {
    /// Has the zip of a plan get the files that Git LFS keeps, as far as its server has them; `None` when there are none.
    /// `packs` has the trees of the commit.
    pub async fn resolve(
        objects: &mut ArchiveObjects<'a>,
        packs: &Packs,
        commit: &ObjectId,
        plan: &mut ArchivePlan,
    ) -> Result<Option<Self>, SyncError> {
        let pointers = find_pointers(objects, packs, plan).await?;
        if pointers.is_empty() {
            return Ok(None);
        }
        let named = named_server(objects, packs, commit).await?;
        let server = LfsServer::new(objects.remote(), named.as_deref());
        if let Some(foreign) = server.passed_over() {
            plan.remarks.add(b".lfsconfig", RemarkKind::ForeignLfsServer { server: foreign.to_owned() });
        }
        let absent = find_absent(&server, plan, &pointers).await?;
        plan.replace_lfs_pointers(|blob| {
            let pointer = pointers.get(blob)?;
            let is_absent = absent.contains(&pointer.oid);
            Some(if is_absent { LfsContent::Absent } else { LfsContent::Object(pointer.clone()) })
        });
        Ok(Some(Self { server, known: HashMap::new(), asked_at: Millis(0) }))
    }

    /// Asks for `object`, which is to be the file `path` of the zip, and where those are that come after it.
    pub async fn open<'p>(
        &mut self,
        path: &[u8],
        object: &'p LfsPointer,
        later: impl Iterator<Item = &'p LfsPointer>,
    ) -> Result<LfsDownload, SyncError> {
        if self.server.app().now() >= self.asked_at.plus(ADDRESSES_HOLD) || !self.known.contains_key(&object.oid) {
            self.ask(path, object, later).await?;
        }
        let named = |reason, host: &str| failed(path, host, reason);
        let address = self.known.get(&object.oid);
        let address = address.ok_or_else(|| named(LfsError::NoAddress, self.server.host()))?;
        let host = address.href.host_str().unwrap_or_default();
        let body = self.server.open(address).await.map_err(|reason| named(reason, host))?;
        Ok(LfsDownload::new(self.server.app(), object.clone(), body, shown(path), host.to_owned()))
    }

    /// Asks where `object` is and those are that come after it.
    async fn ask<'p>(
        &mut self,
        path: &[u8],
        object: &'p LfsPointer,
        later: impl Iterator<Item = &'p LfsPointer>,
    ) -> Result<(), SyncError> {
        let mut seen = HashSet::new();
        let next = std::iter::once(object).chain(later).filter(|next| seen.insert(next.oid.as_str()));
        let next: Vec<&LfsPointer> = next.take(OBJECTS_PER_REQUEST).collect();
        self.known.clear();
        self.asked_at = self.server.app().now();
        let mut answers = self.server.locate(&next).await.map_err(|reason| failed(path, self.server.host(), reason))?;
        for LfsPointer { oid, .. } in next {
            // What cannot be had is asked for again when its turn comes, and told then.
            if let Ok(Some(address)) = answers.take(oid) {
                self.known.insert(oid.clone(), address);
            }
        }
        Ok(())
    }
}

fn failed(path: &[u8], server: &str, reason: LfsError) -> SyncError {
    SyncError::Lfs { file: shown(path), server: server.to_owned(), reason }
}

/// The pointers among the blobs that are left to Git LFS. Those that `packs` lacks are fetched, some at a time.
async fn find_pointers(
    objects: &mut ArchiveObjects<'_>,
    packs: &Packs,
    plan: &ArchivePlan,
) -> Result<HashMap<ObjectId, LfsPointer>, SyncError> {
    let blobs: HashSet<ObjectId> = plan.lfs_blobs().collect();
    let (here, elsewhere): (Vec<ObjectId>, Vec<ObjectId>) = blobs.into_iter().partition(|blob| packs.contains(blob));
    let mut pointers = HashMap::new();
    take_pointers(packs, &here, &mut pointers)?;
    let mut batches: Vec<Vec<ObjectId>> = elsewhere.chunks(BLOBS_PER_FETCH).map(<[ObjectId]>::to_vec).collect();
    while let Some(mut batch) = batches.pop() {
        batch.sort_unstable();
        match objects.fetch_files(batch.clone()).await {
            Ok(packs) => take_pointers(&packs, &batch, &mut pointers)?,
            // What is too large even alone is a file that was never given to Git LFS.
            Err(error) if is_too_large(&error) && batch.len() == 1 => {}
            Err(error) if is_too_large(&error) => {
                let (left, right) = batch.split_at(batch.len() / 2);
                batches.extend([left.to_vec(), right.to_vec()]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(pointers)
}

fn take_pointers(
    packs: &Packs,
    blobs: &[ObjectId],
    pointers: &mut HashMap<ObjectId, LfsPointer>,
) -> Result<(), PackError> {
    for blob in blobs {
        if let Some(pointer) = LfsPointer::read(packs, blob)? {
            pointers.insert(*blob, pointer);
        }
    }
    Ok(())
}

/// The address of an LFS server that the commit's `.lfsconfig` names.
async fn named_server(
    objects: &mut ArchiveObjects<'_>,
    packs: &Packs,
    commit: &ObjectId,
) -> Result<Option<String>, SyncError> {
    let Some(config) = find_lfs_config(packs, commit)? else { return Ok(None) };
    let fetched = if packs.contains(&config) {
        None
    } else {
        match objects.fetch_files(vec![config]).await {
            Err(error) if is_too_large(&error) => return Ok(None),
            fetched => Some(fetched?),
        }
    };
    let packs = fetched.as_ref().unwrap_or(packs);
    if packs.size(&config).is_none_or(|size| size > MAX_CONFIG_BYTES) {
        return Ok(None);
    }
    Ok(packs.read(&config)?.and_then(|object| lfs_url(object.data())))
}

/// The objects that the server does not have.
async fn find_absent(
    server: &LfsServer<'_>,
    plan: &ArchivePlan,
    pointers: &HashMap<ObjectId, LfsPointer>,
) -> Result<HashSet<String>, SyncError> {
    let mut seen = HashSet::new();
    let wanted = plan.entries.iter().filter_map(|entry| {
        let pointer = pointers.get(&entry.oid).filter(|pointer| seen.insert(pointer.oid.as_str()))?;
        Some(WantedObject { pointer, path: entry.path_in_package() })
    });
    let objects: Vec<WantedObject<'_>> = wanted.collect();
    let mut absent = HashSet::new();
    for some in objects.chunks(OBJECTS_PER_REQUEST) {
        let asked: Vec<&LfsPointer> = some.iter().map(|object| object.pointer).collect();
        let answers = server.locate(&asked).await;
        let mut answers = answers.map_err(|reason| failed(some[0].path, server.host(), reason))?;
        for WantedObject { pointer, path } in some {
            let address = answers.take(&pointer.oid).map_err(|reason| failed(path, server.host(), reason))?;
            if address.is_none() {
                absent.insert(pointer.oid.clone());
            }
        }
    }
    Ok(absent)
}

/// An object, and the first file of the zip that is it.
struct WantedObject<'p> {
    pointer: &'p LfsPointer,
    path: &'p [u8],
}
