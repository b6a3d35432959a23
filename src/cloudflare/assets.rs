//! The static assets, which the platform keeps beside the worker (`[assets]` in `wrangler.toml`).

use js_sys::Promise;
use js_sys::futures::JsFuture;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, Response};
use worker::Env;

use super::bridge::describe;

const NOT_FOUND: u16 = 404;

/// The asset that `request` asks for, as the platform answers it: with validators, `304`, redirects and all. `None`
/// when there is no such asset, or the log says why it cannot be had.
pub async fn find(env: &Env, request: &Request) -> Option<Response> {
    let answer = match ask(env.as_ref(), request) {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(response) => Some(response.unchecked_into::<Response>()).filter(|response| response.status() != NOT_FOUND),
        Err(error) => {
            log::error!("static assets: {}", describe(error));
            None
        }
    }
}

#[wasm_bindgen(module = "/src/cloudflare/assets.js")]
extern "C" {
    /// What the assets answer.
    #[wasm_bindgen(catch)]
    fn ask(env: &JsValue, request: &Request) -> Result<Promise, JsValue>;
}
