//! The API document of all surfaces. It is written natively into `public/api/openapi.json`, which a test keeps up to date;
//! the worker does not contain it.
//!
//! Parameters, bodies and responses of one operation are declared at its handler; what many have in common is added by
//! [`shared`].

mod shared;

use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http::kit::failure::{ErrorBody, MessageBody};
use crate::http::kit::routes::{OperationInfo, RouteDocs};
use crate::http::routes_of_all;

/// The security schemes: name, scheme, what to send.
const SECURITY_SCHEMES: [(&str, HttpAuthScheme, &str); 2] = [
    ("bearer", HttpAuthScheme::Bearer, "ADMIN_TOKEN, a token from POST /api/tokens, or that of POST /api/auth/login."),
    ("composer", HttpAuthScheme::Basic, "Any user name, and the token as the password; as composer sends it."),
];

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme, description) in SECURITY_SCHEMES {
            let scheme = HttpBuilder::new().scheme(scheme).description(Some(description));
            components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rostrum",
        description = "A private Composer registry. Times are unix seconds. Lists are plain arrays, a page at a time: \
            `limit` and `offset` choose the page, `X-Total-Count` says how many there are in all, `Link` leads to the next. Every failure has the \
            same body (`ErrorBody`; where the organization is in the address, `MessageBody`): what was wrong and what to do, a code for programs, and what is wrong with which field. \
            Unknown fields and parameters are refused. Times are unix seconds, but for the storefront's and for composer's \
            documents. `HEAD` works wherever `GET` does. Below `/api`, a request acts in \
            the organization of its credential. `ADMIN_TOKEN` acts in the organization `default`, or in the one whose slug it \
            sends in the header `X-Rostrum-Organization`; an organization that is not the credential's is not found.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "The registry that serves this document")),
    components(schemas(ErrorBody, MessageBody)),
    modifiers(&SecuritySchemes),
    security(("bearer" = []), ("composer" = [])),
    tags(
        (name = "composer", description = "What `composer` itself asks for: metadata, archives, search, and what is \
            known to be wrong with packages. Whoever asks is shown what their token covers; anything else does not exist."),
        (name = "repositories", description = "Where packages come from: git repositories, whose tags and branches \
            become versions, and Composer repositories, which are mirrored."),
        (name = "packages", description = "Packages and their versions: texts, downloads, dependents, and what an \
            operator decides about them."),
        (name = "artifacts", description = "Zips: uploading one as a version, what is stored, and clearing up."),
        (name = "tokens", description = "Tokens for whoever installs or automates: what each may do and see, until \
            when, and how often. A token is shown once, when it is made."),
        (name = "storefront", description = "What the back end of a shop sells and to whom: packages and versions with their \
            zips, consumers with the keys that composer takes, and what each of them may install. Times go out as \
            `YYYY-MM-DD HH:MM:SS` in UTC; what is taken, `Moment` says."),
        (name = "organizations", description = "The organizations of a registry, and of each its packages, repositories and \
            tokens. Lists come in pages: `page` and `per_page` choose one, `meta` says which it is. Times are ISO 8601."),
        (name = "advisories", description = "Security advisories and filter lists for packages, which `composer audit` \
            and `composer update` heed."),
        (name = "authentication", description = "One's own account: logging in and out, password, second factor, \
            sessions. Setting up the first owner needs ADMIN_TOKEN."),
        (name = "users", description = "The people who may log in, their roles, and invitations. `owner` and `admin` \
            manage users, `member` everything else, `viewer` changes nothing."),
        (name = "settings", description = "How the registry behaves: mirroring of Packagist, reserved vendors."),
        (name = "statistics", description = "Totals of the registry."),
        (name = "audit", description = "Who changed what, when, and from where. Entries are never changed."),
        (name = "encryption", description = "The keys that secrets of repositories and users are stored under."),
        (name = "registry", description = "The registry itself. Open to everybody.")
    )
)]
struct ApiDoc;

/// Every operation, and what the types of its handler say about it.
pub fn operations() -> Vec<OperationInfo> {
    let RouteDocs { operations, .. } = routes_of_all().into_docs();
    let shown = |operation: OperationInfo| OperationInfo { path: openapi_path(&operation.path), ..operation };
    operations.into_iter().map(shown).collect()
}

/// The document as indented JSON.
pub fn document() -> serde_json::Result<String> {
    let mut openapi = ApiDoc::openapi();
    let RouteDocs { openapi: routes, operations } = routes_of_all().into_docs();
    openapi.merge(routes);
    let paths = std::mem::take(&mut openapi.paths.paths);
    openapi.paths.paths = paths.into_iter().map(|(path, item)| (openapi_path(&path), item)).collect();
    let mut document: Value = serde_json::to_value(openapi)?;
    shared::complete(&mut document, &operations);
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// A path of the router as the document writes it: a wildcard like `{*rest}` is a parameter like any other, and what stands at
/// the mount of a surface has no slash behind it.
fn openapi_path(path: &str) -> String {
    path.trim_end_matches('/').replace("{*", "{")
}
