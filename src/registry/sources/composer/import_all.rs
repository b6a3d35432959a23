//! Reading an upstream repository as a whole: inline `packages`, `includes` (Satis without `metadata-url`), and Composer
//! 1's `provider-includes`. Its root tells by hashes what has changed; only that is read and published.
//!
//! A document is in memory as the text that it is, and read from there package by package. A package that cannot be read
//! is left out and named; a document that cannot be read fails the sync, after everything else is published.

use std::collections::{BTreeSet, VecDeque};

use composer::{
    FileReference, InvalidRepository, JsonBudget, PackageName, RawMember, RepositoryFile, Versions, package_patterns,
    read_included, read_package,
};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::registry::kernel::pattern::matches_any;
use crate::registry::sources::composer::Progress;
use crate::registry::sources::composer::client::{MAX_LISTING_BYTES, MAX_PACKAGE_BYTES};
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::import_batch::{ImportBatch, PendingPackage};
use crate::store::packages::authority::{PreviousAnswer, StoredRoot, Validators};
use crate::store::sources::upstream_answers::{KnownName, known_names, retires_vanished};

/// Most documents that a repository is spread over, not counting those of single packages.
const MAX_DOCUMENTS: usize = 500;
/// Most bytes of all of them.
const MAX_BYTES: i64 = 128 << 20;
/// Most packages of a repository.
const MAX_PACKAGES: usize = 10_000;
/// Bytes of changed packages that one sync publishes, for the CPU time that it has; more are left to the next one, which
/// follows at once.
const BYTES_A_SYNC: usize = 32 << 20;
/// Documents of single packages that one sync reads; more are left to the next one, which follows at once.
const PROVIDERS_A_SYNC: usize = 200;
/// Packages that are gone of which one sync settles what becomes; more are left to the next one, which follows at once.
const VANISHED_A_SYNC: usize = 200;

/// Publishes everything that has changed since the last time.
pub async fn import_all(
    import: &mut ImportBatch<'_>,
    stored: StoredRoot,
    root: Vec<u8>,
) -> Result<Progress, UpstreamRepositoryError> {
    let known = import.app.ports.database.ask(known_names(import.upstream.id)).await?;
    let mut whole = FullImport {
        import,
        known,
        seen: BTreeSet::new(),
        lists_any: false,
        beyond_limit: 0,
        providers: Vec::new(),
        published_bytes: 0,
        progress: Progress::Done,
        is_to_be_retried: false,
        failure: None,
    };
    let template = whole.read_documents(root).await?;
    if let Some(template) = template {
        whole.read_providers(&template).await?;
    }
    whole.finish(stored).await
}

/// A document that another one leads to.
enum Include {
    /// One of `includes`: packages with all their versions.
    Packages(FileReference),
    /// One of `provider-includes`: packages that have documents of their own.
    Providers(FileReference),
}

impl Include {
    fn reference(&self) -> &FileReference {
        match self {
            Self::Packages(reference) | Self::Providers(reference) => reference,
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Packages(reference) => reference.name.clone(),
            Self::Providers(reference) => with_hash(reference),
        }
    }
}

/// The address that a name with a place for the hash stands for.
fn with_hash(reference: &FileReference) -> String {
    reference.name.replace("%hash%", reference.hash.as_deref().unwrap_or_default())
}

/// A repository that is being read.
struct FullImport<'w, 'a> {
    import: &'w mut ImportBatch<'a>,
    /// What is known, by name.
    known: Vec<KnownName>,
    /// The names that were met.
    seen: BTreeSet<String>,
    /// Whether any was met, filtered out or not.
    lists_any: bool,
    /// How many more there were.
    beyond_limit: usize,
    /// Packages with documents of their own that have changed.
    providers: Vec<FileReference>,
    published_bytes: usize,
    progress: Progress,
    /// Whether what could not be read may be read the next time, though the root does not change.
    is_to_be_retried: bool,
    /// Why a document could not be read: what it holds is not known, so nothing counts as gone.
    failure: Option<UpstreamRepositoryError>,
}

impl FullImport<'_, '_> {
    /// Reads the root and every document that it leads to; where the documents of single packages are, if there are any.
    async fn read_documents(&mut self, root: Vec<u8>) -> Result<Option<String>, UpstreamRepositoryError> {
        let mut left: VecDeque<Include> = VecDeque::new();
        let file = read_included(&root)?;
        let template = file.providers_url.clone();
        self.read_file(file, &mut left).await?;
        drop(root);
        let mut read = 0;
        while let Some(include) = left.pop_front() {
            read += 1;
            if read + left.len() > MAX_DOCUMENTS {
                return Err(UpstreamRepositoryError::TooLarge(format!("has more than {MAX_DOCUMENTS} documents")));
            }
            if self.import.remote.received_bytes > MAX_BYTES {
                return Err(UpstreamRepositoryError::TooLarge(format!("has more than {MAX_BYTES} bytes")));
            }
            match self.read_include(&include, &mut left).await {
                Err(error) if error.is_about_a_document() => {
                    self.import.skip(include.address(), error.to_string());
                    self.failure.get_or_insert(error);
                }
                result => result?,
            }
        }
        Ok(template)
    }

    async fn read_include(
        &mut self,
        include: &Include,
        left: &mut VecDeque<Include>,
    ) -> Result<(), UpstreamRepositoryError> {
        let name = include.address();
        let bytes = self.fetch(include.reference(), &name, MAX_LISTING_BYTES).await?;
        let file = read_included(&bytes).map_err(|reason| UpstreamRepositoryError::Included { name, reason })?;
        self.read_file(file, left).await
    }

    async fn read_file(
        &mut self,
        file: RepositoryFile<'_>,
        left: &mut VecDeque<Include>,
    ) -> Result<(), UpstreamRepositoryError> {
        left.extend(file.includes.into_iter().map(Include::Packages));
        left.extend(file.provider_includes.into_iter().map(Include::Providers));
        for provider in file.providers {
            let Some(name) = self.take_name(&provider.name) else { continue };
            let FileReference { hash, .. } = provider.into();
            if !self.is_published(&name, hash.as_deref().unwrap_or_default()) {
                self.providers.push(FileReference { name: name.to_string(), hash });
            }
        }
        for package in &file.packages {
            self.take(package).await?;
        }
        Ok(())
    }

    /// Reads a document that another one names, from its address, and checks its hash.
    async fn fetch(
        &mut self,
        reference: &FileReference,
        address: &str,
        limit: usize,
    ) -> Result<Vec<u8>, UpstreamRepositoryError> {
        let hash = reference.hash.as_deref().unwrap_or_default();
        let bytes = self.import.remote.named(address, limit).await?;
        self.import.has_answered = true;
        let is_it = match hash.len() {
            40 => hex::encode(Sha1::digest(&bytes)) == hash,
            64 => hex::encode(Sha256::digest(&bytes)) == hash,
            _ => hash.is_empty(),
        };
        if is_it { Ok(bytes) } else { Err(UpstreamRepositoryError::Hash { name: address.to_owned() }) }
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
        self.lists_any = true;
        if !matches_any(self.import.upstream.filter.as_deref(), parsed.as_str()) {
            return None;
        }
        if self.seen.len() == MAX_PACKAGES {
            self.beyond_limit += usize::from(!self.seen.contains(parsed.as_str()));
            return None;
        }
        self.seen.insert(parsed.to_string()).then_some(parsed)
    }

    fn known(&self, name: &PackageName) -> Option<&KnownName> {
        let place = self.known.binary_search_by(|known| known.name.as_str().cmp(name.as_str())).ok()?;
        self.known.get(place)
    }

    fn is_published(&self, name: &PackageName, digest: &str) -> bool {
        let known = self.known(name).filter(|known| known.is_found && !known.has_failed && !known.has_vanished);
        known.is_some_and(|known| known.digest.as_deref().unwrap_or_default() == digest)
    }

    async fn take(&mut self, package: &RawMember<'_>) -> Result<(), UpstreamRepositoryError> {
        let Some(name) = self.take_name(&package.name) else { return Ok(()) };
        if package.text.len() > MAX_PACKAGE_BYTES {
            let message = format!("it has more than {MAX_PACKAGE_BYTES} bytes");
            self.import.record_answer(&name, Err(message), PreviousAnswer::default());
            return Ok(());
        }
        let versions = match package.value() {
            Ok(versions) => versions,
            Err(error) => return self.import.record_failure(&name, InvalidRepository::from(error).into()),
        };
        let text = versions.to_string();
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        if self.is_published(&name, &digest) {
            return Ok(());
        }
        if self.published_bytes >= BYTES_A_SYNC {
            self.progress = Progress::More;
            return Ok(());
        }
        match Versions::of(versions, false) {
            Ok(versions) => {
                self.published_bytes += text.len();
                let published = PreviousAnswer { validators: Vec::new(), digest: Some(digest) };
                Ok(self.import.add(PendingPackage::new(name, vec![versions], published), text.len()).await?)
            }
            Err(error) => self.import.record_failure(&name, error.into()),
        }
    }

    /// Reads the documents of single packages that have changed: those first that were never tried, so that one that
    /// always fails keeps nobody waiting.
    async fn read_providers(&mut self, template: &str) -> Result<(), UpstreamRepositoryError> {
        let providers = std::mem::take(&mut self.providers);
        let has_failed = |name: PackageName| self.known(&name).is_some_and(|known| known.has_failed);
        let (failing, untried): (Vec<_>, Vec<_>) =
            providers.into_iter().partition(|provider| PackageName::parse(&provider.name).is_ok_and(has_failed));
        let untried_left = untried.len();
        for (at, provider) in untried.into_iter().chain(failing).enumerate() {
            if at == PROVIDERS_A_SYNC {
                self.is_to_be_retried = true;
                if at < untried_left {
                    self.progress = Progress::More;
                }
                break;
            }
            let Ok(name) = PackageName::parse(&provider.name) else { continue };
            if let Err(error) = self.read_provider(&name, provider, template).await {
                self.is_to_be_retried |= !matches!(error, UpstreamRepositoryError::Document(_));
                self.import.record_failure(&name, error.clone())?;
                if !self.import.may_ask_on() {
                    self.failure.get_or_insert(error);
                    break;
                }
            }
        }
        Ok(())
    }

    async fn read_provider(
        &mut self,
        name: &PackageName,
        provider: FileReference,
        template: &str,
    ) -> Result<(), UpstreamRepositoryError> {
        let reference =
            FileReference { name: template.replace("%package%", name.as_str()), hash: provider.hash.clone() };
        let bytes = self.fetch(&reference, &with_hash(&reference), MAX_PACKAGE_BYTES).await?;
        let versions = read_package(&bytes, name, &mut JsonBudget::default())?
            .into_iter()
            .map(|document| document.versions)
            .collect();
        let published = PreviousAnswer { validators: Vec::new(), digest: provider.hash };
        Ok(self.import.add(PendingPackage::new(name.clone(), versions, published), bytes.len()).await?)
    }

    /// Settles what is gone, and keeps the root, unless there is more to be read.
    async fn finish(self, mut stored: StoredRoot) -> Result<Progress, UpstreamRepositoryError> {
        let Self { import, known, seen, lists_any, beyond_limit, mut progress, is_to_be_retried, failure, .. } = self;
        if beyond_limit > 0 {
            let reason =
                format!("{beyond_limit} packages are left out: no more than {MAX_PACKAGES} are read; use a filter");
            import.skip("", reason);
        }
        if progress == Progress::Done && failure.is_none() {
            let gone: Vec<KnownName> = known.into_iter().filter(|known| !seen.contains(&known.name)).collect();
            let is_emptied = !lists_any && !gone.is_empty();
            if is_emptied && !import.app.ports.database.ask(retires_vanished(import.organization)).await? {
                // Rather than that each of its packages is gone, it has lost its lists.
                return Err(UpstreamRepositoryError::ListsNothing { had: gone.len() });
            }
            progress = note_gone(import, gone);
        }
        import.flush().await?;
        if let Some(error) = failure {
            return Err(error);
        }
        if progress == Progress::More && import.upstream.root.is_none() {
            // While its packages are not all known, no name counts as absent: the next upstream might have it.
            return Ok(progress);
        }
        if progress == Progress::More || import.has_refused || is_to_be_retried {
            // Without validators, the next sync reads the root again.
            stored.validators = Validators::default();
        }
        stored.root.patterns =
            if seen.is_empty() { Some(Vec::new()) } else { package_patterns(seen.iter().map(String::as_str)) };
        import.keep_root(stored).await?;
        Ok(progress)
    }
}

/// Notes what the repository lists no longer; whether that is all.
fn note_gone(import: &mut ImportBatch<'_>, gone: Vec<KnownName>) -> Progress {
    let (known_to_be, newly): (Vec<KnownName>, Vec<KnownName>) = gone.into_iter().partition(|known| known.has_vanished);
    let progress = if newly.len() > VANISHED_A_SYNC { Progress::More } else { Progress::Done };
    for known in newly.into_iter().take(VANISHED_A_SYNC).chain(known_to_be) {
        if let Ok(name) = PackageName::parse(&known.name) {
            import.note_vanished(name);
        }
    }
    progress
}
