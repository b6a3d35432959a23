//! Registries that others have as upstreams: requests to their origins are answered by their routers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use rostrum::ports::{HttpRequest, HttpResponse, SingleChunk};
use url::Url;

use super::{TestIsolate, TestRequest};

/// Registries by origin.
#[derive(Clone, Default)]
pub struct Registries(Arc<Mutex<HashMap<String, TestIsolate>>>);

impl Registries {
    /// From now on `isolate` answers for an origin.
    pub fn put(&self, origin: &str, isolate: &TestIsolate) {
        self.0.lock().expect("not poisoned").insert(origin.to_owned(), isolate.clone());
    }

    pub fn find(&self, url: &Url) -> Option<TestIsolate> {
        self.0.lock().expect("not poisoned").get(&url.origin().ascii_serialization()).cloned()
    }
}

/// What a registry answers to a request of another one.
pub async fn answer(isolate: TestIsolate, request: HttpRequest) -> HttpResponse {
    let origin = request.url.origin().ascii_serialization();
    let path = request.url.as_str().strip_prefix(&origin).expect("it begins with its origin").to_owned();
    let forwarded = TestRequest::new(isolate.app, isolate.router, request.method, &path).at(&origin);
    let reply = forwarded.headers(request.headers).body(request.body).send().await;
    let status = StatusCode::from_u16(reply.status).expect("a status");
    HttpResponse { status, headers: reply.headers, body: Box::new(SingleChunk(Some(reply.body))) }
}
