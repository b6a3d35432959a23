//! A `dist` that a composer.json in a git repository states itself: Composer's `VcsRepository` takes it in place of its host's
//! archive, and so does the registry, which mirrors it as it does an upstream's.

use composer::{DistPlaceholders, DistType, Manifest, NormalizedVersion, PackageName};
use serde_json::Value;

use crate::registry::sources::composer::upstream_version::archive_location;
use crate::store::packages::publication::UpstreamDist;
use crate::store::packages::remarks::{Remark, RemarkKind};
use crate::store::packages::state::LiveVersion;

/// Where the zip of a version is that its composer.json names; `None` when it names none, an error when that cannot be
/// mirrored.
pub fn stated_dist(name: &PackageName, version: &LiveVersion) -> Option<Result<UpstreamDist, String>> {
    if !version.manifest.contains("\"dist\"") {
        return None;
    }
    let manifest = Manifest::parse_as(version.manifest.as_bytes(), name).ok()?;
    let Value::Object(dist) = manifest.json().get("dist")? else { return None };
    Some(archive_location(dist).and_then(|archive| {
        if archive.kind != DistType::Zip {
            return Err("it is no zip".to_owned());
        }
        let normalized = NormalizedVersion::from_stored(version.normalized.clone());
        let reference = archive.reference.as_deref().unwrap_or(&version.reference);
        let placeholders = DistPlaceholders {
            name,
            version: &normalized,
            pretty: &version.pretty,
            reference: Some(reference),
            kind: archive.kind,
        };
        let urls = placeholders.dist_urls(&archive.url, &[]);
        Ok(UpstreamDist {
            package: version.package_name.clone(),
            normalized: version.normalized.clone(),
            kind: archive.kind,
            urls,
            shasum: archive.shasum,
            login: None,
        })
    }))
}

/// What is said of a ref whose composer.json states a `dist` that cannot be mirrored.
pub fn unusable_dist(reason: &str) -> Remark {
    let text = format!(
        "The `dist` that its composer.json states is not used: {reason}. What is handed out is a zip of the files in the \
         repository."
    );
    Remark::new(RemarkKind::UnusableDist, text)
}
