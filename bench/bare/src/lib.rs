//! The least that a Rust Worker can do: every request is answered with the same JSON.
//!
//! The first request says how large it is (`GET /20000`); what later ones ask for is not looked at.

use std::sync::OnceLock;

use worker::{Context, Env, Request, Response, Result, event};

static BODY: OnceLock<Vec<u8>> = OnceLock::new();

#[event(fetch)]
async fn fetch(request: Request, _env: Env, _context: Context) -> Result<Response> {
    let body = BODY.get_or_init(|| document(request.path().trim_start_matches('/').parse().unwrap_or(0)));
    let response = Response::from_bytes(body.clone())?;
    response.headers().set("content-type", "application/json")?;
    Ok(response)
}

/// `{"x":"…"}` in exactly `size` bytes.
fn document(size: usize) -> Vec<u8> {
    format!("{{\"x\":\"{}\"}}", "x".repeat(size.saturating_sub(8))).into_bytes()
}
