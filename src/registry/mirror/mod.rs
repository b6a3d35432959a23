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
//! * An answer holds for the sync interval. For [`lookup::STALE_INTERVALS`] of them it is still handed out at once, and
//!   asked for again in the background; after that the upstream is asked first. While it fails, what it said last holds.
//!
//! [`lookup`] asks for a name when a client does, [`refresh`] is the sync of an upstream, [`import`] that of one that is
//! read as a whole; [`intake`] turns what they get into versions, [`publication`] writes them, [`archive`] fetches zips.

pub mod archive;
pub mod import;
pub mod intake;
pub mod lookup;
pub mod publication;
pub mod refresh;
pub mod remote;

use std::time::Duration;

use crate::composer::PackageName;
use crate::ports::Rows;
use crate::registry::App;
use crate::registry::access::glob;
use crate::registry::failure::Failure;
use crate::store::mirror_publication::{Leaving, retire};
use crate::store::mirrors::{self, Contested, Facts, Ownership, UpstreamRow};
use crate::store::organizations::{self, Touched};
use crate::store::run;

/// The provider of the implicit upstream.
pub const PACKAGIST: &str = "packagist";

/// What of an upstream decides which names it may answer.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    /// `composer` or `packagist`.
    pub provider: &'a str,
    /// `none`, `token` or `basic`.
    pub credential_type: &'a str,
    /// Names and globs; `None` is every name.
    pub filter: Option<&'a [String]>,
}

impl Upstream<'_> {
    /// Whether it counts as public for the packages of `vendor`.
    fn is_public(&self, vendor: &str) -> bool {
        let names_it = |pattern: &String| pattern.split_once('/').is_some_and(|(named, _)| named == vendor);
        let is_trusted =
            self.credential_type != "none" || self.filter.is_some_and(|filter| filter.iter().any(names_it));
        self.provider == PACKAGIST || !is_trusted
    }

    /// Why it may not answer for a name, whose it is told by `ownership`; `None` when it may.
    pub fn refusal(&self, ownership: &Ownership, name: &PackageName) -> Option<&'static str> {
        let is_reserved = ownership.is_reserved || ownership.has_own_vendor;
        if ownership.is_own {
            Some("a repository of our own publishes it")
        } else if !takes(self.filter, name.as_str()) {
            Some("the package filter leaves it out")
        } else if is_reserved && self.is_public(name.vendor()) {
            Some("its vendor is reserved, and the upstream is a public one")
        } else {
            None
        }
    }
}

/// Whether one of `patterns` matches; no patterns at all match everything.
fn takes(patterns: Option<&[String]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| glob(pattern, name)))
}

/// In which order upstreams are asked.
fn rank(provider: &str, repository_id: i64) -> (bool, i64) {
    (provider == PACKAGIST, repository_id)
}

fn of(row: &UpstreamRow) -> Upstream<'_> {
    Upstream { provider: &row.provider, credential_type: &row.credential_type, filter: row.package_filter.as_deref() }
}

/// Whether an upstream's filter and its own announcement leave `name` to it.
fn may_have(upstream: &UpstreamRow, name: &str) -> bool {
    let announced = upstream.root.as_ref().and_then(|stored| stored.root.patterns.as_deref());
    takes(upstream.package_filter.as_deref(), name) && takes(announced, name)
}

/// The upstreams that may answer for a name, the first to be asked first.
fn entitled<'f>(facts: &'f Facts, name: &PackageName) -> Vec<&'f UpstreamRow> {
    let may_answer = |upstream: &&UpstreamRow| {
        may_have(upstream, name.as_str()) && of(upstream).refusal(&facts.ownership, name).is_none()
    };
    let mut upstreams: Vec<&UpstreamRow> = facts.upstreams.iter().filter(may_answer).collect();
    upstreams.sort_by_key(|upstream| rank(&upstream.provider, upstream.id));
    upstreams
}

/// Whether a name that nobody has is kept from being looked for elsewhere.
fn is_withheld(facts: &Facts, name: &PackageName) -> bool {
    let Ownership { is_own, is_reserved, has_own_vendor, .. } = facts.ownership;
    is_reserved || is_own || (has_own_vendor && facts.upstreams.iter().any(|one| may_have(one, name.as_str())))
}

/// Takes what public upstreams have of reserved vendors out of the metadata: nobody is answered with it in any case, and
/// lists are not to show it either. `contested` are the rows of that statement, if it was run already.
pub async fn withdraw_reserved(app: &App, organization_id: i64, contested: Option<Rows>) -> Result<(), Failure> {
    let rows = match contested {
        Some(rows) => rows,
        None => run(&*app.ports.database, mirrors::contested(organization_id)).await?,
    };
    let contested: Vec<Contested> = rows.decode()?;
    let mut leaving: Vec<Leaving> = Vec::new();
    for Contested { name, repository_id, provider, credential_type, package_filter } in contested {
        let filter: Option<Vec<String>> = package_filter.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let upstream = Upstream { provider: &provider, credential_type: &credential_type, filter: filter.as_deref() };
        if !upstream.is_public(name.split_once('/').map_or("", |(vendor, _)| vendor)) {
            continue;
        }
        match leaving.iter_mut().find(|one| one.repository_id == repository_id) {
            Some(one) => one.globs.push(name),
            None => leaving.push(Leaving { repository_id, globs: vec![name], matching: true }),
        }
    }
    if leaving.is_empty() {
        return Ok(());
    }
    let now = app.now();
    let mut batch = vec![organizations::touch(organization_id, Touched::Versions, now)];
    batch.extend(retire(&leaving, now));
    app.ports.database.batch(batch).await?;
    app.memory.forget_published();
    Ok(())
}

/// How long the names are remembered that no upstream had.
const ABSENCES_KEPT: Duration = Duration::from_hours(24);

/// Forgets names that were asked for in vain some time ago.
pub async fn prune(app: &App) -> Result<(), Failure> {
    run(&*app.ports.database, mirrors::prune(app.now().minus(ABSENCES_KEPT))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream<'a>(provider: &'a str, credential_type: &'a str, filter: Option<&'a [String]>) -> Upstream<'a> {
        Upstream { provider, credential_type, filter }
    }

    #[test]
    fn an_upstream_is_private_with_credentials_or_when_its_filter_names_the_vendor() {
        let (named, wide) = (["acme/*".to_owned()], ["*/lib".to_owned(), "*".to_owned(), "acm*/x".to_owned()]);
        for (one, is_public) in [
            (upstream("composer", "none", None), true),
            (upstream("composer", "none", Some(&wide)), true),
            (upstream("composer", "none", Some(&named)), false),
            (upstream("composer", "token", None), false),
            (upstream(PACKAGIST, "none", None), true),
            (upstream(PACKAGIST, "token", Some(&named)), true),
        ] {
            assert_eq!(one.is_public("acme"), is_public, "{one:?}");
        }
    }

    #[test]
    fn a_reserved_vendors_names_are_for_private_upstreams_and_our_own_names_for_none() {
        let name = PackageName::parse("acme/lib").expect("a name");
        let (public, private) = (upstream("composer", "none", None), upstream("composer", "basic", None));
        let free = Ownership::default();
        let reserved = Ownership { is_reserved: true, ..free.clone() };
        let vendor = Ownership { has_own_vendor: true, ..free.clone() };
        let own = Ownership { is_own: true, ..free.clone() };
        let may = |one: Upstream<'_>, ownership: &Ownership| one.refusal(ownership, &name).is_none();
        assert_eq!([may(public, &free), may(public, &reserved), may(public, &vendor)], [true, false, false]);
        assert_eq!([may(private, &free), may(private, &reserved), may(private, &vendor)], [true, true, true]);
        assert_eq!([may(public, &own), may(private, &own)], [false, false]);
    }
}
