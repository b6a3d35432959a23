//! Routes that describe themselves: `routes!(tokens::list_tokens, tokens::create_token)` registers each handler at the
//! path and for the method that its `#[utoipa::path]` names, and that is its entry in the API document too.
//!
//! `utoipa-axum` does the same, but its router puts the document together wherever it is built, so that the worker
//! would carry every operation and schema: 120 KiB of gzipped wasm for a text that never changes. Here the wasm takes
//! nothing but path and method from what `#[utoipa::path]` generates, and the linker drops the rest. Natively, where
//! the document is written and tested, the same routes go through `utoipa-axum` as well.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use utoipa::Path;
use utoipa::openapi::HttpMethod;
#[cfg(not(target_arch = "wasm32"))]
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// Handlers at their addresses and, natively, their part of the API document.
#[derive(Default)]
#[must_use]
pub struct Routes {
    router: Router,
    #[cfg(not(target_arch = "wasm32"))]
    described: OpenApiRouter,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These, and those of `other`.
    pub fn routes(self, other: Self) -> Self {
        Self {
            router: self.router.merge(other.router),
            #[cfg(not(target_arch = "wasm32"))]
            described: self.described.merge(other.described),
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

    /// The handler that `P` describes; for [`routes!`].
    pub fn on<P: Path, H: Handler<T, ()>, T: 'static>(mut self, handler: H) -> Self {
        if let Some(methods) = P::methods().iter().map(filter).reduce(MethodFilter::or) {
            self.router = self.router.route(&P::path(), on(methods, handler));
        }
        self
    }

    /// What the document says of these; for [`routes!`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn described(mut self, described: UtoipaMethodRouter) -> Self {
        self.described = self.described.routes(described);
        self
    }

    /// What the document says of all of them: paths, and the schemas that they name.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn into_document(self) -> utoipa::openapi::OpenApi {
        self.described.into_openapi()
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

/// Handlers, each named with its module, as [`Routes`]. Several of one address stand best in one line.
macro_rules! routes {
    ($($module:ident::$handler:ident),+ $(,)?) => {{
        let routes = $crate::http::routes::Routes::new()
            $(.on::<pastey::paste!($module::[<__path_ $handler>]), _, _>($module::$handler))+;
        #[cfg(not(target_arch = "wasm32"))]
        let routes = routes.described(utoipa_axum::routes!($($module::$handler),+));
        routes
    }};
}
pub(crate) use routes;
