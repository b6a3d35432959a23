//! Packages of other Composer repositories: who answers for a name, and how fresh the answer is.
//!
//! What an upstream has of a package is read when somebody asks for it first, rendered and kept like a package of our
//! own, and asked for again when it has grown old. Upstreams are asked in the order in which they were registered,
//! Packagist last; the first that has the name has it. One that fails is not passed over: the next one might have a
//! stranger's package of the same name.
//!
//! * A name that a repository of our own publishes is nobody else's.
//! * A name of a *reserved* vendor, one that is listed in `reserved_vendors` or has packages of our own, is asked for and
//!   answered by *private* upstreams only: those with credentials, and those whose `package_filter` names that vendor.
//!   Packagist is never private. Such a name is claimed with an empty list of versions, so that composer does not look
//!   for it elsewhere.
//! * An answer holds for the sync interval. For [`lookup::STALE_WHILE_REVALIDATE_INTERVALS`] of them it is still handed out at once, and
//!   asked for again in the background; after that the upstream is asked first. While it fails, what it said last holds.
//! * What an upstream has no longer is kept, marked abandoned ([`vanished`]).
//!
//! [`feeds`] asks for advisories and filter lists, whose texts the documents lack; [`notices`] is what is kept of them.
//! [`lookup`] asks for a name when a client does, [`refresh`] is the sync of an upstream, [`import_all`] that of one that is
//! read as a whole; [`import_batch`] compares and publishes what they get, [`upstream_version`] reads a version
//! and [`convert`] makes ours of all of a package, [`dist`] fetches archives.

pub mod client;
pub mod convert;
pub mod dist;
pub mod error;
pub mod failing;
pub mod feeds;
pub mod import_all;
pub mod import_batch;
pub mod lookup;
pub mod notices;
pub mod refresh;
pub mod signature;
pub mod upstream_version;
pub mod url_login;
pub mod vanished;
mod zip_check;

use std::collections::BTreeMap;

use composer::PackageName;

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::pattern::matches_any;
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::packages::authority::{AnswerKind, NameAuthority, NameOwnership, UpstreamAnswer, UpstreamRepository};
use crate::store::packages::retirement::{Leaving, Retirement, retire};
use crate::store::sources::upstream_answers::{self, ContestedPackage};

/// The provider of the implicit upstream.
pub const PACKAGIST: &str = "packagist";

/// Whether an upstream counts as public for the packages of `vendor`.
fn is_public(provider: &str, credential_type: &str, filter: Option<&[String]>, vendor: &str) -> bool {
    let names_it = |pattern: &String| pattern.split_once('/').is_some_and(|(named, _)| named == vendor);
    let is_trusted = credential_type != "none" || filter.is_some_and(|filter| filter.iter().any(names_it));
    provider == PACKAGIST || !is_trusted
}

/// Why an upstream may not answer for a name, whose it is told by `ownership`; `None` when it may.
fn ineligibility(upstream: &UpstreamRepository, ownership: &NameOwnership, name: &PackageName) -> Option<&'static str> {
    let UpstreamRepository { provider, credential_type, filter, .. } = upstream;
    let is_reserved = ownership.is_reserved || ownership.has_own_vendor;
    if ownership.is_own {
        Some("a repository of our own publishes it")
    } else if !matches_any(filter.as_deref(), name.as_str()) {
        Some("the package filter leaves it out")
    } else if is_reserved && is_public(provider, credential_type, filter.as_deref(), name.vendor()) {
        Some("its vendor is reserved, and the upstream is a public one")
    } else {
        None
    }
}

/// In which order upstreams are asked.
fn priority(provider: &str, repository_id: i64) -> (bool, i64) {
    (provider == PACKAGIST, repository_id)
}

/// Whether an upstream's filter and its own announcement leave `name` to it.
fn may_provide(upstream: &UpstreamRepository, name: &str) -> bool {
    let announced = upstream.root.as_ref().and_then(|stored| stored.root.patterns.as_deref());
    matches_any(upstream.filter.as_deref(), name) && matches_any(announced, name)
}

/// The upstreams that may answer for a name, the first to be asked first.
fn eligible_upstreams<'f>(facts: &'f NameAuthority, name: &PackageName) -> Vec<&'f UpstreamAnswer> {
    let mut upstreams: Vec<&UpstreamAnswer> = Vec::new();
    for said in &facts.upstreams {
        let UpstreamAnswer { upstream, .. } = said;
        // What it has told of may be kept although it announces that no longer.
        let has_told = said.answer == Some(AnswerKind::Found) && matches_any(upstream.filter.as_deref(), name.as_str());
        if (has_told || may_provide(upstream, name.as_str()))
            && ineligibility(upstream, &facts.ownership, name).is_none()
        {
            let rank_of = |said: &UpstreamAnswer| priority(&said.upstream.provider, said.upstream.id);
            upstreams.insert(upstreams.partition_point(|other| rank_of(other) < rank_of(said)), said);
        }
    }
    upstreams
}

/// Whether a name that nobody has is kept from being looked for elsewhere.
fn is_name_reserved(facts: &NameAuthority, name: &PackageName) -> bool {
    let NameOwnership { is_own, is_reserved, has_own_vendor, .. } = facts.ownership;
    is_reserved
        || is_own
        || (has_own_vendor && facts.upstreams.iter().any(|one| may_provide(&one.upstream, name.as_str())))
}

/// Takes what public upstreams have of reserved vendors out of the metadata: nobody is answered with it in any case, and
/// lists are not to show it either. `contested` is what that statement yields, if it was run already.
pub async fn retract_reserved(
    app: &App,
    organization: OrganizationId,
    contested: Option<Vec<ContestedPackage>>,
) -> Result<(), Failure> {
    let contested = match contested {
        Some(contested) => contested,
        None => app.ports.database.ask(upstream_answers::conflicting_packages(organization)).await?,
    };
    let mut leaving: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for ContestedPackage { name, repository_id, provider, credential_type, package_filter } in contested {
        let vendor = name.split_once('/').map_or("", |(vendor, _)| vendor);
        if !is_public(&provider, &credential_type, package_filter.as_deref(), vendor) {
            continue;
        }
        leaving.entry(repository_id).or_default().push(name);
    }
    if leaving.is_empty() {
        return Ok(());
    }
    let now = app.now();
    let mut batch = vec![organizations::touch(organization, Touched::Versions, now)];
    let retirement = |(repository_id, names)| Retirement { repository_id, leaving: Leaving::Named(names) };
    batch.extend(retire(organization, &leaving.into_iter().map(retirement).collect::<Vec<_>>(), now));
    app.ports.database.batch(batch).await?;
    app.memory.invalidate_published(organization);
    Ok(())
}

/// Whether a sync has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Done,
    /// There is more; another one is to follow at once.
    More,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::packages::authority::PreviousAnswer;

    fn upstream(provider: &str, credential_type: &str, filter: Option<&[&str]>) -> UpstreamRepository {
        UpstreamRepository {
            id: 1,
            uid: String::new(),
            url: "https://repo.test".to_owned(),
            provider: provider.to_owned(),
            credential_type: credential_type.to_owned(),
            host_credentials: None,
            credentials: None,
            filter: filter.map(|filter| filter.iter().map(|&pattern| pattern.to_owned()).collect()),
            root: None,
        }
    }

    fn public() -> UpstreamRepository {
        upstream("composer", "none", None)
    }

    #[test]
    fn an_upstream_is_private_with_credentials_or_when_its_filter_names_the_vendor() {
        for (one, expected) in [
            (public(), true),
            (upstream("composer", "none", Some(&["*/lib", "*", "acm*/x"])), true),
            (upstream("composer", "none", Some(&["acme/*"])), false),
            (upstream("composer", "token", None), false),
            (upstream(PACKAGIST, "none", None), true),
            (upstream(PACKAGIST, "token", Some(&["acme/*"])), true),
        ] {
            let is_public = is_public(&one.provider, &one.credential_type, one.filter.as_deref(), "acme");
            assert_eq!(is_public, expected, "{one:?}");
        }
    }

    #[test]
    fn a_reserved_vendors_names_are_for_private_upstreams_and_our_own_names_for_none() {
        let name = PackageName::parse("acme/lib").expect("a name");
        let private = upstream("composer", "basic", None);
        let free = NameOwnership::default();
        let reserved = NameOwnership { is_reserved: true, ..free.clone() };
        let vendor = NameOwnership { has_own_vendor: true, ..free.clone() };
        let own = NameOwnership { is_own: true, ..free.clone() };
        let may = |one: &UpstreamRepository, ownership: &NameOwnership| ineligibility(one, ownership, &name).is_none();
        assert_eq!([may(&public(), &free), may(&public(), &reserved), may(&public(), &vendor)], [true, false, false]);
        assert_eq!([may(&private, &free), may(&private, &reserved), may(&private, &vendor)], [true, true, true]);
        assert_eq!([may(&public(), &own), may(&private, &own)], [false, false]);
    }

    #[test]
    fn upstreams_are_asked_in_the_order_they_were_registered_and_packagist_last() {
        let name = PackageName::parse("acme/lib").expect("a name");
        let said = |id: i64, provider: &str| UpstreamAnswer {
            upstream: UpstreamRepository { id, ..upstream(provider, "none", None) },
            answer: None,
            checked_at: None,
            before: PreviousAnswer::default(),
        };
        let upstreams = vec![said(3, "composer"), said(1, PACKAGIST), said(2, "composer")];
        let facts = NameAuthority { ownership: NameOwnership::default(), upstreams };
        assert_eq!(eligible_upstreams(&facts, &name).iter().map(|one| one.upstream.id).collect::<Vec<_>>(), [2, 3, 1]);
    }
}
