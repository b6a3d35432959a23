//! The API document of all surfaces. Written natively into `public/api/openapi.json`, which a test keeps fresh; the
//! worker does not hold it.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::surfaces;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("composer", HttpAuthScheme::Basic)] {
            components.add_security_scheme(name, SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build()));
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Rostrum", description = "A private Composer registry.", license(name = "MIT OR Apache-2.0")),
    servers((url = "/", description = "The registry that serves this document")),
    modifiers(&Credentials),
    security(("bearer" = []), ("composer" = []))
)]
struct Frame;

/// The document as JSON, ready to be read by people too.
pub fn document() -> serde_json::Result<String> {
    let mut document = Frame::openapi();
    document.merge(surfaces().into_document());
    // OpenAPI knows no `{*rest}`: there it is a parameter like any other.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    Ok(document.to_pretty_json()? + "\n")
}
