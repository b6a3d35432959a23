//! Routes that describe themselves: `routes!(tokens::list_tokens, tokens::create_token)` registers each handler at the
//! path and for the method that its `#[utoipa::path]` names, and that is its entry in the API document too.
//!
//! `utoipa-axum` does the same, but its router builds the document wherever it is built itself, so that the worker would
//! contain every operation and schema: 120 KiB of gzipped wasm for a text that never changes. Here the wasm uses only
//! path and method of what `#[utoipa::path]` generates, and the linker drops the rest. Natively, where the document is
//! written and tested, the same routes also build their part of it.

use axum::Router;
use axum::routing::{MethodFilter, on};
use utoipa::Path;
use utoipa::openapi::HttpMethod;
#[cfg(not(target_arch = "wasm32"))]
use utoipa::openapi::OpenApi;

use crate::http::kit::handler::Endpoint;
#[cfg(not(target_arch = "wasm32"))]
use crate::http::kit::handler::KeyUse;
#[cfg(not(target_arch = "wasm32"))]
use crate::http::kit::requirement::{Access, Reach, Required};
#[cfg(not(target_arch = "wasm32"))]
use crate::http::kit::surface::Surface;

/// Routes and, natively, their part of the API document.
#[derive(Default)]
#[must_use]
pub struct Routes {
    router: Router,
    tables: Vec<(String, &'static [Route])>,
    #[cfg(not(target_arch = "wasm32"))]
    docs: RouteDocs,
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The routes of a table, and what the document says of them; for [`routes!`].
    pub fn of(table: &'static [Route], #[cfg(not(target_arch = "wasm32"))] openapi: OpenApi) -> Self {
        Self {
            router: table.iter().fold(Router::new(), |router, route| route.add_to(router, &(route.path)())),
            tables: vec![(String::new(), table)],
            #[cfg(not(target_arch = "wasm32"))]
            docs: RouteDocs { openapi, operations: table.iter().flat_map(Route::operations).collect() },
        }
    }

    /// These, and those of `other`.
    pub fn routes(mut self, other: Self) -> Self {
        self.tables.extend(other.tables);
        Self {
            router: self.router.merge(other.router),
            tables: self.tables,
            #[cfg(not(target_arch = "wasm32"))]
            docs: self.docs.merged_with(other.docs),
        }
    }

    /// These, and those of `other` below `prefix`.
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.tables.extend(other.tables.into_iter().map(|(path, table)| ([prefix, &path].concat(), table)));
        Self {
            router: self.router.nest(prefix, other.router),
            tables: self.tables,
            #[cfg(not(target_arch = "wasm32"))]
            docs: self.docs.merged_with(other.docs.below(prefix)),
        }
    }

    /// These, with layers around them or with routes that stand in no document.
    pub fn map_router(mut self, change: impl FnOnce(Router) -> Router) -> Self {
        self.router = change(self.router);
        self
    }

    /// These, each of them also at its path with a slash behind it, which stands in no document.
    pub fn with_trailing_slashes(mut self) -> Self {
        for (prefix, table) in &self.tables {
            let add = |router, route: &Route| route.add_to(router, &[prefix.as_str(), &(route.path)(), "/"].concat());
            self.router = table.iter().fold(self.router, add);
        }
        self
    }

    /// Whether one of them is at this path.
    pub fn has(&self, path: &str) -> bool {
        let paths = self.tables.iter().flat_map(|(prefix, table)| table.iter().map(move |route| (prefix, route)));
        paths.into_iter().any(|(prefix, route)| [prefix.as_str(), &(route.path)()].concat() == path)
    }

    /// The router, without the document.
    pub fn into_router(self) -> Router {
        self.router
    }

    /// These, as the routes of `surface` in the document.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn of_surface(mut self, surface: &'static Surface) -> Self {
        for operation in &mut self.docs.operations {
            operation.surface = Some(surface);
        }
        self
    }

    /// What the API document says about all of them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn into_docs(self) -> RouteDocs {
        self.docs
    }
}

/// What the API document says about routes.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Default)]
pub struct RouteDocs {
    /// Paths, and the schemas that they name.
    pub openapi: OpenApi,
    /// What is known about each operation beside that.
    pub operations: Vec<OperationInfo>,
}

#[cfg(not(target_arch = "wasm32"))]
impl RouteDocs {
    fn merged_with(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        Self { openapi: self.openapi.merge_from(other.openapi), operations: self.operations }
    }

    fn below(mut self, prefix: &str) -> Self {
        for operation in &mut self.operations {
            operation.path.insert_str(0, prefix);
        }
        Self { openapi: OpenApi::default().nest(prefix, self.openapi), operations: self.operations }
    }
}

/// What the types of an operation's handler and of its surface say about it.
#[cfg(not(target_arch = "wasm32"))]
pub struct OperationInfo {
    /// Its path, as the router has it.
    pub path: String,
    /// Its method.
    pub method: HttpMethod,
    /// What it requires of its caller; `None` if its handler does not look at the caller.
    pub required: Option<Required>,
    /// Its surface, if it is of one.
    pub surface: Option<&'static Surface>,
    /// What it does about the header `Idempotency-Key`.
    pub key_use: KeyUse,
}

#[cfg(not(target_arch = "wasm32"))]
impl OperationInfo {
    /// Who may call it; `None` if its handler does not look at the caller.
    pub fn access(&self) -> Option<Access> {
        self.required.map(|required| required.access)
    }

    /// How much of the organization that caller has to see.
    pub fn reach(&self) -> Reach {
        self.required.map_or(Reach::View, |required| required.reach)
    }
}

/// A handler with its path and methods; for [`routes!`].
pub struct Route {
    path: fn() -> String,
    methods: fn() -> Vec<HttpMethod>,
    endpoint: Endpoint,
}

impl Route {
    /// The route of `endpoint` at the path and for the methods of `P`, which `#[utoipa::path]` generates.
    pub const fn new<P: Path>(endpoint: Endpoint) -> Self {
        Self { path: P::path, methods: P::methods, endpoint }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn operations(&self) -> Vec<OperationInfo> {
        let Endpoint { required, key_use, .. } = self.endpoint;
        let of = |method| OperationInfo { path: (self.path)(), method, required, surface: None, key_use };
        (self.methods)().into_iter().map(of).collect()
    }

    fn add_to(&self, router: Router, path: &str) -> Router {
        match (self.methods)().iter().map(method_filter).reduce(MethodFilter::or) {
            Some(methods) => router.route(path, on(methods, self.endpoint)),
            None => router,
        }
    }
}

fn method_filter(method: &HttpMethod) -> MethodFilter {
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
        const ROUTES: &[$crate::http::kit::routes::Route] = &[
            $($crate::http::kit::routes::Route::new::<pastey::paste!($module::[<__path_ $handler>])>(
                $crate::http::kit::handler::endpoint!($module::$handler)
            )),+
        ];
        #[cfg(not(target_arch = "wasm32"))]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$handler),+))]
        struct Document;
        $crate::http::kit::routes::Routes::of(
            ROUTES,
            #[cfg(not(target_arch = "wasm32"))]
            <Document as utoipa::OpenApi>::openapi(),
        )
    }};
}
pub(crate) use routes;
