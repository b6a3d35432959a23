//! The limit that the isolates of a place count together: the Rate Limiting binding.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::send::SendFuture;

use crate::ports::{BoxFuture, Fault};

/// One limit of `wrangler.toml`.
pub struct RateLimiter(worker::RateLimiter);

impl RateLimiter {
    /// The port on the binding `name`; `None` where that is not bound, on this machine for example.
    pub fn find(env: &Env, name: &str) -> Option<Self> {
        let binding = Reflect::get(env, &name.into()).ok().filter(JsValue::is_object)?;
        Some(Self(binding.unchecked_into()))
    }
}

impl crate::ports::RateLimiter for RateLimiter {
    fn is_within_limit(&self, key: &str) -> BoxFuture<'_, Result<bool, Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move {
            let outcome = self.0.limit(key).await.map_err(|error| Fault::new("rate limiter", error))?;
            Ok(outcome.success)
        }))
    }
}
