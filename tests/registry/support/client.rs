//! Requests as a client makes them, and what comes back.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MODIFIED_SINCE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::BodyExt;
use rostrum::registry::kernel::app::App;
use serde_json::{Value, json};
use tower::ServiceExt;

/// Where the registry is asked.
pub const ORIGIN: &str = "https://registry.test";

/// How composer introduces itself.
pub const COMPOSER: &str = "Composer/2.8.1 (Linux; 6.1; PHP 8.3.0; cURL 8.5.0; cmd:update)";

/// A request that is being put together.
pub struct TestRequest {
    app: App,
    router: Router,
    method: Method,
    origin: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    is_held: bool,
    pieces: Option<Pieces>,
}

/// What gives the next piece of a body each time that it is waited for.
type Pieces = Box<dyn FnMut() -> Option<Bytes> + Send>;

/// A body in pieces.
struct BodyInPieces(Pieces);

impl http_body::Body for BodyInPieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((self.0)().map(|piece| Ok(Frame::data(piece))))
    }
}

/// What was sent of a body whose end never comes.
struct HeldBody(Option<Bytes>);

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(sent) => Poll::Ready(Some(Ok(Frame::data(sent)))),
            None => Poll::Pending,
        }
    }
}

impl TestRequest {
    pub fn new(app: App, router: Router, method: Method, path: &str) -> Self {
        let (origin, path) = (ORIGIN.to_owned(), path.to_owned());
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { app, router, method, origin, path, headers, body, is_held: false, pieces: None }
    }

    /// To a registry that is elsewhere.
    pub fn at(self, origin: &str) -> Self {
        Self { origin: origin.to_owned(), ..self }
    }

    /// With these headers alone.
    pub fn headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// With the token as composer sends it: as the password of any user.
    pub fn basic(self, token: &str) -> Self {
        self.pair("anybody", token)
    }

    /// With user name and password, like a public and a private key.
    pub fn pair(self, user: &str, password: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// From composer 2.
    pub fn composer(self) -> Self {
        self.header(USER_AGENT, COMPOSER)
    }

    /// If it has changed since that answer.
    pub fn if_modified_since(self, earlier: &TestResponse) -> Self {
        let date = earlier.header("last-modified").to_owned();
        self.header(IF_MODIFIED_SINCE, &date)
    }

    pub fn header(mut self, name: impl TryInto<HeaderName, Error: std::fmt::Debug>, value: &str) -> Self {
        let value = HeaderValue::try_from(value).expect("a header's value");
        self.headers.insert(name.try_into().expect("a header's name"), value);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header(CONTENT_TYPE, "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a body whose end never comes.
    pub fn held(self) -> Self {
        Self { is_held: true, ..self }
    }

    /// With a body of these pieces, each of which is asked for when it is waited for.
    pub fn pieces(self, pieces: impl FnMut() -> Option<Bytes> + Send + 'static) -> Self {
        Self { pieces: Some(Box::new(pieces)), ..self }
    }

    pub async fn send(self) -> TestResponse {
        let body = match self.pieces {
            Some(pieces) => Body::new(BodyInPieces(pieces)),
            None if self.is_held => Body::new(HeldBody(Some(self.body))),
            None => Body::from(self.body),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = format!("{}{}", self.origin, self.path).parse().expect("a URI");
        *request.headers_mut() = self.headers;
        request.extensions_mut().insert(self.app);
        let response = self.router.oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body arrives whole").to_bytes();
        TestResponse { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// Sends them all at once; the answers in their order.
pub async fn send_concurrently(requests: impl IntoIterator<Item = TestRequest>) -> Vec<TestResponse> {
    let running: Vec<_> = requests.into_iter().map(|request| tokio::spawn(request.send())).collect();
    let mut replies = Vec::new();
    for request in running {
        replies.push(request.await.expect("no panic"));
    }
    replies
}

/// The statuses of the answers to requests that are sent at once, the lowest first.
pub async fn statuses_of_concurrent(requests: impl IntoIterator<Item = TestRequest>) -> Vec<u16> {
    let mut statuses: Vec<u16> = send_concurrently(requests).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    statuses
}

/// An answer.
#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl TestResponse {
    /// This reply, if it has that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.text(), super::logs::text());
        self
    }

    /// This reply, if it claims `name`: composer finds no version of it here, and looks for it nowhere else.
    #[track_caller]
    pub fn expect_claim(self, name: &str) -> Self {
        let reply = self.expect(200);
        assert_eq!(reply.json(), json!({"minified": "composer/2.0", "packages": {name: []}}));
        reply
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header that is there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.find_header(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    pub fn find_header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The id in a JSON body.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json()["id"].as_str().expect("an id").to_owned()
    }

    /// The versions of a p2 document as composer reads it: expanded, in order.
    #[track_caller]
    pub fn versions(&self, name: &str) -> Vec<Value> {
        let document = self.json();
        assert_eq!(document["minified"], "composer/2.0", "{document}");
        let entries = serde_json::from_value(document["packages"][name].clone()).expect("a list of versions");
        composer::expand(entries).into_iter().map(Value::Object).collect()
    }

    /// Their pretty versions.
    #[track_caller]
    pub fn version_names(&self, name: &str) -> Vec<String> {
        self.versions(name).iter().map(|entry| entry["version"].as_str().expect("text").to_owned()).collect()
    }
}
