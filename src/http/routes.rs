//! Routes that describe themselves: `routes!(tokens::list_tokens, tokens::create_token)` registers each handler at the
//! path and for the method that its `#[utoipa::path]` names, and that is its entry in the API document too.
//!
//! `utoipa-axum` does the same, but its router puts the document together wherever it is built: every isolate would load all
//! operations and schemas (120 KiB of gzipped wasm) and join them before its first answer, for a text that never
//! changes. Here the wasm takes nothing but path and method from what `#[utoipa::path]` generates, and the linker drops
//! the rest. Natively, where the document is written and tested, the same routes make their part of it as well.

use axum::Router;
use axum::routing::{MethodFilter, on};
use utoipa::Path;
use utoipa::openapi::HttpMethod;
#[cfg(not(target_arch = "wasm32"))]
use utoipa::openapi::OpenApi;

use crate::http::handler::Endpoint;

/// Handlers at their addresses and, natively, their part of the API document.
#[derive(Default)]
#[must_use]
pub struct Routes {
    router: Router,
    #[cfg(not(target_arch = "wasm32"))]
    described: OpenApi,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `handlers` at their addresses, and what the document says of them; for [`routes!`].
    pub fn of(handlers: &[Described], #[cfg(not(target_arch = "wasm32"))] described: OpenApi) -> Self {
        Self {
            router: handlers.iter().fold(Router::new(), |router, handler| handler.added_to(router)),
            #[cfg(not(target_arch = "wasm32"))]
            described,
        }
    }

    /// These, and those of `other`.
    pub fn routes(self, other: Self) -> Self {
        Self {
            router: self.router.merge(other.router),
            #[cfg(not(target_arch = "wasm32"))]
            described: self.described.merge_from(other.described),
        }
    }

    /// These, and those of `other` below `prefix`.
    pub fn nest(self, prefix: &str, other: Self) -> Self {
        Self {
            router: self.router.nest(prefix, other.router),
            #[cfg(not(target_arch = "wasm32"))]
            described: self.described.nest(prefix, other.described),
        }
    }

    /// These with layers around them, and with what no document tells of.
    pub fn with(mut self, layers: impl FnOnce(Router) -> Router) -> Self {
        self.router = layers(self.router);
        self
    }

    /// What answers requests.
    pub fn into_router(self) -> Router {
        self.router
    }

    /// What the document says of all of them: paths, and the schemas that they name.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn into_document(self) -> OpenApi {
        self.described
    }
}

/// A handler and its address; for [`routes!`].
pub struct Described {
    path: fn() -> String,
    methods: fn() -> Vec<HttpMethod>,
    endpoint: Endpoint,
}

impl Described {
    /// `endpoint` at the address that `P` describes.
    pub const fn new<P: Path>(endpoint: Endpoint) -> Self {
        Self { path: P::path, methods: P::methods, endpoint }
    }

    fn added_to(&self, router: Router) -> Router {
        match (self.methods)().iter().map(filter).reduce(MethodFilter::or) {
            Some(methods) => router.route(&(self.path)(), on(methods, self.endpoint)),
            None => router,
        }
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}

/// Handlers, each named with its module, as [`Routes`].
macro_rules! routes {
    ($($module:ident::$handler:ident),+ $(,)?) => {{
        const HANDLERS: &[$crate::http::routes::Described] = &[
            $($crate::http::routes::Described::new::<pastey::paste!($module::[<__path_ $handler>])>(
                $crate::http::handler::endpoint!($module::$handler)
            )),+
        ];
        #[cfg(not(target_arch = "wasm32"))]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$handler),+))]
        struct Document;
        $crate::http::routes::Routes::of(
            HANDLERS,
            #[cfg(not(target_arch = "wasm32"))]
            <Document as utoipa::OpenApi>::openapi(),
        )
    }};
}
pub(crate) use routes;
