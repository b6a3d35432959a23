//! Reading an upstream repository as a whole: inline `packages`, `includes` (Satis without `metadata-url`), and Composer
//! 1's `provider-includes`. Its root tells by hashes what has changed; only that is read and published.

use std::collections::{BTreeSet, VecDeque};

use composer::{FileReference, PackageName, RepositoryFile, Versions, package_patterns, read_included, read_versions};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::import_batch::ImportBatch;
use crate::registry::sources::composer::{Progress, matches_any};
use crate::store::packages::authority::{PreviousAnswer, StoredRoot, Validators};
use crate::store::sources::upstream_answers::{FoundName, found};

/// Most documents that a repository is spread over, not counting those of single packages.
const MAX_DOCUMENTS: usize = 30;
/// Most bytes of all of them.
const MAX_BYTES: i64 = 32 << 20;
/// Most packages of a repository.
const MAX_PACKAGES: usize = 10_000;
/// Documents of single packages that one sync reads; more are left to the next one, which follows at once.
const PROVIDERS_A_SYNC: usize = 200;

/// Publishes everything that has changed since the last time.
pub async fn import_all(
    import: &mut ImportBatch<'_>,
    mut stored: StoredRoot,
    root: RepositoryFile,
) -> Result<Progress, UpstreamRepositoryError> {
    let published = import.app.ports.database.ask(found(import.upstream.id)).await?;
    let mut whole = FullImport { import, published, seen: BTreeSet::new(), providers: Vec::new() };
    let template = root.providers_url.clone();
    whole.read_documents(root).await?;
    let progress = match template {
        Some(template) => whole.take_providers(&template).await?,
        None => Progress::Done,
    };
    let FullImport { published, seen, import, .. } = whole;
    if progress == Progress::Done {
        let gone = published.into_iter().map(|known| known.name).filter(|name| !seen.contains(name));
        import.retire(gone.collect());
    }
    import.flush().await?;
    if progress == Progress::More || import.has_refused {
        // Without validators, the next sync reads the root again.
        stored.validators = Validators::default();
    }
    stored.root.patterns =
        if seen.is_empty() { Some(Vec::new()) } else { package_patterns(seen.iter().map(String::as_str)) };
    import.keep_root(stored).await?;
    Ok(progress)
}

/// A document that another one leads to.
enum Include {
    /// One of `includes`: packages with all their versions.
    Packages(FileReference),
    /// One of `provider-includes`: packages that have documents of their own.
    Providers(FileReference),
}

/// The address that a name with a place for the hash stands for.
fn with_hash(reference: &FileReference) -> String {
    reference.name.replace("%hash%", reference.hash.as_deref().unwrap_or_default())
}

/// A repository that is being read.
struct FullImport<'w, 'a> {
    import: &'w mut ImportBatch<'a>,
    /// What is published, by name.
    published: Vec<FoundName>,
    /// The names that were met.
    seen: BTreeSet<String>,
    /// Packages with documents of their own.
    providers: Vec<FileReference>,
}

impl FullImport<'_, '_> {
    /// Reads the root and every document that it leads to.
    async fn read_documents(&mut self, root: RepositoryFile) -> Result<(), UpstreamRepositoryError> {
        let mut left: VecDeque<Include> = VecDeque::new();
        let (mut next, mut read) = (Some(root), 0);
        while let Some(file) = next.take() {
            left.extend(file.includes.into_iter().map(Include::Packages));
            left.extend(file.provider_includes.into_iter().map(Include::Providers));
            self.providers.extend(file.providers);
            for (name, versions) in file.packages {
                self.take(&name, versions).await?;
            }
            if let Some(include) = left.pop_front() {
                read += 1;
                if read > MAX_DOCUMENTS || self.import.remote.received_bytes > MAX_BYTES {
                    let message = format!("has more than {MAX_DOCUMENTS} documents, or {MAX_BYTES} bytes");
                    return Err(UpstreamRepositoryError::TooLarge(message));
                }
                let bytes = match include {
                    Include::Packages(reference) => self.fetch(&reference, reference.name.clone()).await?,
                    Include::Providers(reference) => self.fetch(&reference, with_hash(&reference)).await?,
                };
                next = Some(read_included(&bytes)?);
            }
        }
        Ok(())
    }

    /// Reads a document that another one names, from its address, and checks its hash.
    async fn fetch(&mut self, reference: &FileReference, address: String) -> Result<Vec<u8>, UpstreamRepositoryError> {
        let hash = reference.hash.as_deref().unwrap_or_default();
        let bytes = self.import.remote.named(&address).await?;
        let is_it = match hash.len() {
            40 => hex::encode(Sha1::digest(&bytes)) == hash,
            64 => hex::encode(Sha256::digest(&bytes)) == hash,
            _ => hash.is_empty(),
        };
        if is_it { Ok(bytes) } else { Err(UpstreamRepositoryError::Hash { name: address }) }
    }

    /// A name that is to be published from here; `None` when it is not, or was met before.
    fn take_name(&mut self, name: &str) -> Option<PackageName> {
        let parsed = match PackageName::parse_ignoring_case(name) {
            Ok(parsed) => parsed,
            Err(error) => {
                let name: String = name.chars().take(PackageName::MAX_BYTES).collect();
                self.import.skip(name, error.to_string());
                return None;
            }
        };
        if !matches_any(self.import.upstream.filter.as_deref(), parsed.as_str()) {
            return None;
        }
        if self.seen.len() == MAX_PACKAGES {
            let reason = format!("the repository has {MAX_PACKAGES} packages already; use a filter");
            self.import.skip(parsed.as_str(), reason);
            return None;
        }
        self.seen.insert(parsed.to_string()).then_some(parsed)
    }

    fn is_published(&self, name: &PackageName, digest: &str) -> bool {
        let place = self.published.binary_search_by(|known| known.name.as_str().cmp(name.as_str()));
        place.is_ok_and(|place| self.published[place].digest.as_deref().unwrap_or_default() == digest)
    }

    async fn take(&mut self, name: &str, versions: Value) -> Result<(), UpstreamRepositoryError> {
        let Some(name) = self.take_name(name) else { return Ok(()) };
        let text = versions.to_string();
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        if !self.is_published(&name, &digest) {
            let published = PreviousAnswer { validators: Vec::new(), digest: Some(digest) };
            self.import.add(name, vec![Versions::of(versions, false)?], published, text.len()).await?;
        }
        Ok(())
    }

    async fn take_providers(&mut self, template: &str) -> Result<Progress, UpstreamRepositoryError> {
        let mut read = 0;
        for provider in std::mem::take(&mut self.providers) {
            let Some(name) = self.take_name(&provider.name) else { continue };
            if read == PROVIDERS_A_SYNC || self.is_published(&name, provider.hash.as_deref().unwrap_or_default()) {
                continue;
            }
            read += 1;
            let published = PreviousAnswer { validators: Vec::new(), digest: provider.hash.clone() };
            let reference = FileReference { name: template.replace("%package%", name.as_str()), hash: provider.hash };
            match self.fetch(&reference, with_hash(&reference)).await {
                Ok(bytes) => {
                    let versions = read_versions(&bytes, &name)?.into_iter().collect();
                    self.import.add(name, versions, published, bytes.len()).await?;
                }
                Err(error) if error.is_server_failure() => return Err(error),
                Err(error) => self.import.skip(name.as_str(), error.to_string()),
            }
        }
        Ok(if read == PROVIDERS_A_SYNC { Progress::More } else { Progress::Done })
    }
}
