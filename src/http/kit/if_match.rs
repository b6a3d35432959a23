//! `If-Match` and `ETag` of what callers read and then change, so that of two changes none is lost.

use axum::response::Response;
use http::HeaderValue;
use http::header::{ETAG, IF_MATCH};

use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::registry::kernel::entity_tag::{EntityTag, IfMatch};
use crate::registry::kernel::failure::Failure;

/// What API documents say of the header.
pub const IF_MATCH_DOC: &str = "The `ETag` of what you read: if that has changed meanwhile, nothing is done (412)";

/// The precondition of a request.
pub struct IfMatchHeader(pub IfMatch);

impl Extract for IfMatchHeader {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let Some(header) = request.parts.headers.get(IF_MATCH) else { return Ok(Self(IfMatch::Anything)) };
        let text = header.to_str().map_err(|_| Failure::invalid("`If-Match` must be an entity tag, or `*`."))?;
        Ok(Self(IfMatch::parse(text)))
    }
}

/// The response with the tag of what it shows.
pub fn with_tag(mut response: Response, tag: &EntityTag) -> Response {
    if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}
