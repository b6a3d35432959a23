//! Randomness: `crypto.getRandomValues`.

use wasm_bindgen::JsCast;
use web_sys::WorkerGlobalScope;

use super::bridge::describe;
use crate::ports::{Entropy, Fault};

/// The most that one call of `getRandomValues` fills (Web Crypto, section 10.1.1).
const QUOTA: usize = 65_536;

/// The runtime's cryptographic random numbers.
pub struct WebCrypto;

impl Entropy for WebCrypto {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        let crypto = js_sys::global()
            .unchecked_into::<WorkerGlobalScope>()
            .crypto()
            .map_err(|reason| Fault::new("entropy", describe(reason)))?;
        for piece in buffer.chunks_mut(QUOTA) {
            crypto.get_random_values_with_u8_array(piece).map_err(|reason| Fault::new("entropy", describe(reason)))?;
        }
        Ok(())
    }
}
