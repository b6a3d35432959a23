//! `.github/FUNDING.yml` of a repository's default branch. It lies outside of the files that describe a package, so it is
//! fetched by itself, when the folder or the file has changed.

use composer::funding::{Funding, read_funding};
use git::{Capabilities, FetchRequest, ObjectId, PackLimits, Packs, list_files, tree_at};

use crate::registry::packages::support::StoredFunding;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::GitRemote;

const FOLDER: &str = ".github";
const FILE: &str = "FUNDING.yml";
/// Largest file that is read: a dozen platforms have a few hundred bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Whose file is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundingSearch {
    /// The head of the default branch.
    pub commit: ObjectId,
    /// The id of the file's content when it was read last.
    pub known_file: Option<String>,
}

/// Looks for the file of a commit whose root is in `packs`; `None` when it is the one that is known.
pub async fn find_funding(
    remote: &mut GitRemote<'_>,
    capabilities: &Capabilities,
    packs: &Packs,
    search: &FundingSearch,
) -> Result<Option<StoredFunding>, SyncError> {
    let absent = Ok(Some(StoredFunding::default()));
    let limits = PackLimits::default();
    let Ok(Some(folder)) = tree_at(packs, &search.commit, Some(FOLDER)) else { return absent };
    let files = if packs.contains(&folder) {
        list_files(packs, &folder)
    } else {
        let request =
            FetchRequest { wants: vec![folder], haves: Vec::new(), depth: None, filter: Some("blob:none".to_owned()) };
        list_files(&Packs::from(remote.fetch(capabilities, &request, &limits).await?), &folder)
    };
    let Some(file) = files.unwrap_or_default().into_iter().find(|file| file.name == FILE) else { return absent };
    let id = file.oid.to_hex();
    if search.known_file.as_deref() == Some(id.as_str()) {
        return Ok(None);
    }
    let content = if packs.contains(&file.oid) {
        read_text_file(packs, &file.oid)
    } else {
        let request = FetchRequest::blobs([file.oid]);
        read_text_file(&Packs::from(remote.fetch(capabilities, &request, &limits).await?), &file.oid)
    };
    let entries = read_funding(&content).iter().map(Funding::to_json).collect();
    Ok(Some(StoredFunding { file: Some(id), entries }))
}

/// The text of a file; one that is too large, or cannot be read, says nothing.
fn read_text_file(packs: &Packs, id: &ObjectId) -> String {
    let is_small = packs.size(id).is_some_and(|size| size <= MAX_BYTES);
    let content = packs.read(id).ok().flatten().filter(|_| is_small);
    content.map(|file| String::from_utf8_lossy(file.data()).into_owned()).unwrap_or_default()
}
