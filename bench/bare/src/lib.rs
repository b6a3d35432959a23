//! The least that a Rust Worker can do: every request is answered with the same JSON.
//!
//! The first request says how large it is, and whether it has the headers of a p2 document (`GET /20000` or
//! `GET /20000/headers`); what later ones ask for is not looked at.

use std::sync::OnceLock;

use worker::{Context, Env, Request, Response, Result, event};

/// The headers that composer and the rate limit need, besides the type of the content.
const HEADERS: [(&str, &str); 7] = [
    ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ("etag", "\"0123456789abcdef0123456789abcdef\""),
    ("cache-control", "private, no-cache"),
    ("vary", "User-Agent, Authorization"),
    ("x-ratelimit-limit", "1000000000"),
    ("x-ratelimit-remaining", "999999999"),
    ("x-ratelimit-reset", "1700000000"),
];

struct Answer {
    body: Vec<u8>,
    headers: &'static [(&'static str, &'static str)],
}

static ANSWER: OnceLock<Answer> = OnceLock::new();

#[event(fetch)]
async fn fetch(request: Request, _env: Env, _context: Context) -> Result<Response> {
    let answer = ANSWER.get_or_init(|| Answer::new(&request.path()));
    let response = Response::from_bytes(answer.body.clone())?;
    response.headers().set("content-type", "application/json")?;
    for (name, value) in answer.headers {
        response.headers().set(name, value)?;
    }
    Ok(response)
}

impl Answer {
    fn new(path: &str) -> Self {
        let mut segments = path.split('/').skip(1);
        let size = segments.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let headers = if segments.next() == Some("headers") { &HEADERS[..] } else { &[] };
        Self { body: document(size), headers }
    }
}

/// `{"x":"…"}` in exactly `size` bytes.
fn document(size: usize) -> Vec<u8> {
    format!("{{\"x\":\"{}\"}}", "x".repeat(size.saturating_sub(8))).into_bytes()
}
