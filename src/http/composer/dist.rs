//! Archives.

use axum::response::{IntoResponse, Response};
use composer::{ArchivePath, DistType, PackageName, normalize, normalize_name};
use git::ObjectId;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::http::kit::caching::{PRIVATE_NO_CACHE, Preconditions};
use crate::http::kit::extract::PathParams;
use crate::http::kit::pass_through::pass_through;
use crate::http::kit::range::requested_range;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, Uncounted};
use crate::http::kit::zip_body::Zip;
use crate::ports::ByteRange;
use crate::registry::delivery::dist::{LocatedDist, locate, open};
use crate::registry::delivery::dist_address::DistAddress;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;

/// `{version}.zip` or `{version}/{reference}.zip`, with the ending of another kind of archive, or `/{file}.gz` behind the
/// reference; a version may hold slashes.
fn parse_address(vendor: &str, package: &str, rest: &str) -> Option<DistAddress> {
    let name = PackageName::parse_ignoring_case(&format!("{vendor}/{package}")).ok()?;
    // Composer trims versions, NUL bytes and line ends too; an address is not meant to hold any.
    let rest = Some(rest).filter(|rest| !rest.contains(char::is_control))?;
    let is_reference = |text: &str| ObjectId::parse(text).is_ok();
    let ArchivePath { version: path, kind } = ArchivePath::parse(rest, is_reference)?;
    let (version, reference) = match path.rsplit_once('/') {
        Some((version, last)) if is_reference(last) => (version, Some(last.to_owned())),
        // A client that does not know the placeholder of a branch's address wants the branch.
        Some((version, "%reference%")) => (version, None),
        _ => (path, None),
    };
    Some(DistAddress {
        name,
        version: normalize(version).ok()?,
        named: normalize_name(version).ok(),
        pretty: version.into(),
        reference: reference.map(Into::into),
        kind,
    })
}

/// The archive of a version, at a commit or as it is now. It is a zip, unless an upstream has something else. Takes `Range`.
/// A commit of a branch may be any that the branch's history has, also one that was never published.
#[utoipa::path(
    get,
    path = "/dist/{vendor}/{package}/{*version}",
    tag = "composer",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("package" = String, Path, description = "The package"),
        ("version" = String, Path, description = "`{version}.zip` or `{version}/{reference}.zip`; `.tar`, `.tar.gz` and so on for what an upstream has")
    ),
    responses(
        (status = 200, description = "The zip", content_type = "application/zip", body = Zip),
        (status = 206, description = "The asked part of it", content_type = "application/zip", body = Zip),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "There is no such version, or it is not visible; or the git server lacks the commit, which is said"),
        (status = 410, description = "The version is on the list of malware"),
        (status = 416, description = "The asked range lies outside of the zip"),
        (status = 502, description = "The zip has to be built first, and its repository does not deliver"),
        (status = 503, description = "Its repository has had too many requests")
    )
)]
pub async fn get_dist(
    auth: RequestAuth<Uncounted<PackagesRead>>,
    method: Method,
    PathParams(path): PathParams<3>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    archive_response(&auth, &method, &path, &headers).await
}

/// The archive at `{vendor}/{package}/{version}`, where the version may be followed by a reference.
pub async fn archive_response(
    auth: &RequestAuth<Uncounted<PackagesRead>>,
    method: &Method,
    [vendor, package, rest]: &[String; 3],
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let Some(address) = parse_address(vendor, package, rest) else {
        auth.caller().await?;
        return Err(Failure::not_found("Version"));
    };
    let find = |organization| Some(address.statement(organization));
    let (view, rows) = auth.view_with(find).await?;
    let dist = match locate(auth.app(), &view, &address, rows).await {
        Ok(dist) => dist,
        Err(failure) => {
            // It was looked for, and there is no package whose downloads are counted.
            auth.count_request().await?;
            return Err(failure);
        }
    };
    auth.count_download(&address.name).await?;
    dist_response(auth.app(), method, headers, &address, &dist).await
}

/// The response to a request with this method and these headers for `dist`.
async fn dist_response(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    address: &DistAddress,
    dist: &LocatedDist,
) -> Result<Response, Failure> {
    let etag = format!("\"{}\"", dist.sha1);
    let mut head = head_of(dist, address, &etag);
    if Preconditions::of(headers).is_not_modified(&etag, None) {
        head.remove(CONTENT_TYPE);
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let range = requested_range(headers, dist.size, &etag)?;
    let status = describe_range(&mut head, dist, range)?;
    if method == Method::HEAD {
        return Ok((status, head).into_response());
    }
    let mut response = pass_through(open(app, dist, range).await?);
    *response.status_mut() = status;
    response.headers_mut().extend(head);
    Ok(response)
}

/// Adds length and range of what is sent to the headers; the status that says which it is.
fn describe_range(head: &mut HeaderMap, dist: &LocatedDist, range: Option<ByteRange>) -> Result<StatusCode, Failure> {
    let (status, length) = match range {
        None => (StatusCode::OK, dist.size),
        Some(part) => {
            let last = part.offset + part.length - 1;
            let shown = format!("bytes {}-{last}/{}", part.offset, dist.size);
            head.insert(CONTENT_RANGE, HeaderValue::try_from(shown).map_err(Failure::internal)?);
            (StatusCode::PARTIAL_CONTENT, part.length)
        }
    };
    head.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(status)
}

fn head_of(dist: &LocatedDist, address: &DistAddress, etag: &str) -> HeaderMap {
    let mut head = HeaderMap::new();
    // A canonical URL names a commit: what it leads to never changes.
    let caching = match address.reference {
        Some(_) => HeaderValue::from_static("private, max-age=31536000, immutable"),
        None => PRIVATE_NO_CACHE,
    };
    let (media_type, extension) = describe_kind(dist.kind());
    let file = format!("attachment; filename=\"{}-{}.{extension}\"", address.name.package(), &dist.sha1[..12]);
    head.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(CACHE_CONTROL, caching);
    head.insert(VARY, HeaderValue::from_static("Authorization"));
    for (name, value) in [(ETAG, etag), (CONTENT_DISPOSITION, file.as_str())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            head.insert(name, value);
        }
    }
    head
}

/// The media type of a kind of archive, and what people's file names of one end with.
fn describe_kind(kind: DistType) -> (&'static str, &'static str) {
    match kind {
        DistType::Zip => ("application/zip", "zip"),
        DistType::Tar => ("application/x-tar", "tar"),
        DistType::Gzip => ("application/gzip", "gz"),
        DistType::Xz => ("application/x-xz", "tar.xz"),
    }
}
