//! Reading an upstream repository as a whole: inline `packages`, `includes` (Satis without `metadata-url`), and Composer
//! 1's `provider-includes`. Its root tells by hashes what has changed; only that is read and published.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::composer::{Catalogue, PackageName, Reference, Versions, read_included, summarize, versions_in};
use crate::registry::mirror::refresh::{Pending, Progress, Refresh};
use crate::registry::mirror::remote::{MirrorError, Remote};
use crate::store::mirrors::{Answered, MirrorRow, StoredRoot, Validators, found};
use crate::store::run;

/// Most documents that a repository is spread over, not counting those of single packages.
const MAX_DOCUMENTS: usize = 30;
/// Most bytes of all of them.
const MAX_BYTES: i64 = 32 << 20;
/// Most packages of a repository.
const MAX_PACKAGES: usize = 10_000;
/// Documents of single packages that one sync reads; more are left to the next one, which follows at once.
const PROVIDERS_A_SYNC: usize = 200;

/// Publishes everything that has changed since the last time.
pub async fn import(
    work: &mut Refresh<'_>,
    remote: &mut Remote<'_>,
    mut stored: StoredRoot,
    root: Catalogue,
    known: Option<&StoredRoot>,
) -> Result<Progress, MirrorError> {
    let rows: Vec<MirrorRow> = run(&*work.app.ports.database, found(work.repository.id)).await?.decode()?;
    let digests = rows.into_iter().map(|row| (row.name, row.digest.unwrap_or_default())).collect();
    let providers_url = root.providers_url.clone();
    let mut whole = Whole { digests, seen: HashSet::new(), providers: Vec::new() };
    let mut documents = VecDeque::from([root]);
    let mut left: VecDeque<(Reference, bool)> = VecDeque::new();
    let mut read = 0;
    while let Some(catalogue) = documents.pop_front() {
        left.extend(catalogue.includes.into_iter().map(|reference| (reference, false)));
        left.extend(catalogue.provider_includes.into_iter().map(|reference| (reference, true)));
        whole.providers.extend(catalogue.providers);
        for (name, versions) in catalogue.packages {
            whole.take(work, &name, versions, &stored).await?;
        }
        work.flush(&stored.root.mirrors).await?;
        if let (true, Some((reference, is_provider_include))) = (documents.is_empty(), left.pop_front()) {
            read += 1;
            if read > MAX_DOCUMENTS || remote.received_bytes > MAX_BYTES {
                let words = format!("has more than {MAX_DOCUMENTS} documents, or {MAX_BYTES} bytes");
                return Err(MirrorError::TooLarge(words));
            }
            documents.push_back(read_included(&fetch(remote, &reference, is_provider_include).await?)?);
        }
    }
    let progress = whole.take_providers(work, remote, providers_url.as_deref(), &stored).await?;
    work.flush(&stored.root.mirrors).await?;
    if progress == Progress::More || work.has_refused {
        // Without validators, the next sync reads the root again.
        stored.validators = Validators::default();
    }
    if progress == Progress::Done {
        let gone = whole.digests.keys().filter(|name| !whole.seen.contains(*name)).cloned().collect::<Vec<_>>();
        if !gone.is_empty() {
            work.retire(gone).await?;
        }
    }
    let has_any = !whole.seen.is_empty();
    stored.root.patterns = if has_any { summarize(whole.seen.iter().map(String::as_str)) } else { Some(Vec::new()) };
    work.keep_root(&stored, known).await?;
    Ok(progress)
}

/// Reads a document that another one names, and checks its hash.
async fn fetch(remote: &mut Remote<'_>, reference: &Reference, fill: bool) -> Result<Vec<u8>, MirrorError> {
    let hash = reference.hash.as_deref().unwrap_or_default();
    let address = if fill { reference.name.replace("%hash%", hash) } else { reference.name.clone() };
    let bytes = remote.named(&address).await?;
    let is_it = match hash.len() {
        40 => hex::encode(Sha1::digest(&bytes)) == hash,
        64 => hex::encode(Sha256::digest(&bytes)) == hash,
        _ => hash.is_empty(),
    };
    if is_it { Ok(bytes) } else { Err(MirrorError::Hash { name: address }) }
}

/// A repository that is being read.
struct Whole {
    /// Name → digest of what is published.
    digests: HashMap<String, String>,
    /// The names that were met.
    seen: HashSet<String>,
    /// Packages with documents of their own.
    providers: Vec<Reference>,
}

impl Whole {
    /// A name that is to be published from here; `None` when it is not, or was met before.
    fn admit(&mut self, work: &mut Refresh<'_>, name: &str) -> Option<PackageName> {
        let parsed = match PackageName::parse(&name.to_ascii_lowercase()) {
            Ok(parsed) => parsed,
            Err(error) => {
                work.skip(name.chars().take(PackageName::MAX_BYTES).collect::<String>(), error.to_string());
                return None;
            }
        };
        if !super::takes(work.upstream().filter, parsed.as_str()) {
            return None;
        }
        if self.seen.len() == MAX_PACKAGES {
            work.skip(parsed.as_str(), format!("the repository has {MAX_PACKAGES} packages already; use a filter"));
            return None;
        }
        self.seen.insert(parsed.to_string()).then_some(parsed)
    }

    fn is_published(&self, name: &PackageName, digest: &str) -> bool {
        self.digests.get(name.as_str()).is_some_and(|known| known == digest)
    }

    async fn take(
        &mut self,
        work: &mut Refresh<'_>,
        name: &str,
        versions: Value,
        stored: &StoredRoot,
    ) -> Result<(), MirrorError> {
        let Some(name) = self.admit(work, name) else { return Ok(()) };
        let text = versions.to_string();
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        if self.is_published(&name, &digest) {
            return Ok(());
        }
        let versions = vec![Versions::of(versions, false)?];
        let answer = work.answer(&name, Answered::Found, &[], Some(digest));
        work.add(Pending { name, versions, answer }, text.len(), &stored.root.mirrors).await?;
        Ok(())
    }

    async fn take_providers(
        &mut self,
        work: &mut Refresh<'_>,
        remote: &mut Remote<'_>,
        template: Option<&str>,
        stored: &StoredRoot,
    ) -> Result<Progress, MirrorError> {
        let mut read = 0;
        let Some(template) = template else { return Ok(Progress::Done) };
        for provider in std::mem::take(&mut self.providers) {
            let hash = provider.hash.clone().unwrap_or_default();
            let Some(name) = self.admit(work, &provider.name) else { continue };
            if self.is_published(&name, &hash) || read == PROVIDERS_A_SYNC {
                continue;
            }
            read += 1;
            let reference = Reference { name: template.replace("%package%", name.as_str()), hash: provider.hash };
            let bytes = match fetch(remote, &reference, true).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_the_servers() => return Err(error),
                Err(error) => {
                    work.skip(name.as_str(), error.to_string());
                    continue;
                }
            };
            let versions: Vec<Versions> = versions_in(&bytes, &name)?.into_iter().collect();
            let answer = work.answer(&name, Answered::Found, &[], Some(hash));
            work.add(Pending { name, versions, answer }, bytes.len(), &stored.root.mirrors).await?;
        }
        Ok(if read == PROVIDERS_A_SYNC { Progress::More } else { Progress::Done })
    }
}
