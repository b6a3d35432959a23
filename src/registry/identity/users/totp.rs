//! The second factor: the codes of authenticator apps (TOTP, RFC 6238, as all apps do it: SHA-1, 30 s, six digits), and
//! recovery codes for when the app is lost.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use url::form_urlencoded;

use crate::ports::{Entropy, Fault, Millis};
use crate::registry::kernel::secrets::TokenHash;

/// RFC 4226, 4, R6: 160 bits.
const SECRET_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// How many steps a clock may be fast or slow.
const STEPS_AROUND: i64 = 1;
const MODULUS: u32 = 1_000_000; // six digits
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Recovery codes that a user gets.
pub const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10; // 80 bits: a stolen hash does not tell it

/// What a user's app and the registry share.
pub struct TotpSecret(Vec<u8>);

impl TotpSecret {
    /// A new random secret.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, Fault> {
        let mut bytes = vec![0; SECRET_BYTES];
        entropy.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads what [`TotpSecret::to_stored`] gave.
    pub fn from_stored(text: &str) -> Result<Self, Fault> {
        hex::decode(text).map(Self).map_err(|error| Fault::new("database", error))
    }

    /// As it is sealed.
    pub fn to_stored(&self) -> String {
        hex::encode(&self.0)
    }

    /// As it is typed into an app.
    pub fn to_base32(&self) -> String {
        base32(&self.0)
    }

    /// As an app reads it from a QR code.
    pub fn to_uri(&self, email: &str) -> String {
        let email: String = form_urlencoded::byte_serialize(email.as_bytes()).collect();
        let secret = self.to_base32();
        format!("otpauth://totp/Rostrum:{email}?secret={secret}&issuer=Rostrum&algorithm=SHA1&digits=6&period=30")
    }

    /// The time step around `now` whose code this is; only steps after `last` count.
    pub fn step_of(&self, code: &str, now: Millis, last: i64) -> Option<i64> {
        let code = code.trim();
        if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let code: u32 = code.parse().ok()?;
        let current = now.seconds().div_euclid(STEP_SECONDS);
        let steps = current - STEPS_AROUND..=current + STEPS_AROUND;
        steps.filter(|step| *step > last).find(|step| self.code(*step) == code)
    }

    /// The code of a time step (RFC 4226, 5.3).
    fn code(&self, step: i64) -> u32 {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return MODULUS };
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 15);
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| digest[offset + index]);
        (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff) % MODULUS
    }
}

/// RFC 4648, 6, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(buffer >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(buffer << (5 - bits)) as usize & 31]));
    }
    text
}

/// New recovery codes as they are shown: `abcd-efgh-ijkl-mnop`.
pub fn recovery_codes(entropy: &dyn Entropy) -> Result<Vec<String>, Fault> {
    let one = |_| {
        let mut bytes = [0; RECOVERY_BYTES];
        entropy.fill(&mut bytes)?;
        let text = base32(&bytes).to_ascii_lowercase();
        Ok([&text[..4], &text[4..8], &text[8..12], &text[12..]].join("-"))
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// What is stored of a recovery code, however its holder types it.
pub fn recovery_hash(code: &str) -> String {
    let plain: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    TokenHash::of(&plain.to_ascii_lowercase()).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B (SHA-1), shortened to six digits.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    fn secret() -> TotpSecret {
        TotpSecret(b"12345678901234567890".to_vec())
    }

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        for (seconds, code) in VECTORS {
            let found = secret().step_of(code, Millis::from_seconds(seconds), 0);
            assert_eq!(found, Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_around_its_own_and_only_after_the_last_one() {
        let (seconds, code) = VECTORS[1];
        let step = seconds / 30;
        for (distance, found) in [(-2, None), (-1, Some(step)), (0, Some(step)), (1, Some(step)), (2, None)] {
            let now = Millis::from_seconds((step - distance) * 30);
            assert_eq!(secret().step_of(code, now, step - 1), found, "{distance}");
            assert_eq!(secret().step_of(code, now, step), None, "{distance}");
        }
    }

    #[test]
    fn what_is_not_six_digits_is_no_code() {
        let now = Millis::from_seconds(VECTORS[1].0);
        for code in ["", "81804", "0081804", "+81804", "08180x", "０８１８０４"] {
            assert_eq!(secret().step_of(code, now, 0), None, "{code}");
        }
        assert!(secret().step_of(" 081804 ", now, 0).is_some());
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_app_reads_the_secret_and_whose_it_is() {
        let expected = "otpauth://totp/Rostrum:ada%2Bx%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                        &issuer=Rostrum&algorithm=SHA1&digits=6&period=30";
        assert_eq!(secret().to_uri("ada+x@example.org"), expected);
        assert_eq!(TotpSecret::from_stored(&secret().to_stored()).expect("hex").to_base32(), secret().to_base32());
    }

    #[test]
    fn a_recovery_code_is_recognised_however_it_is_typed() {
        let hash = recovery_hash("abcd-efgh-ijkl-mnop");
        for typed in [" ABCD EFGH IJKL MNOP ", "abcdefghijklmnop", "abcd-efgh-ijkl-mnop\n"] {
            assert_eq!(recovery_hash(typed), hash, "{typed}");
        }
        assert_ne!(recovery_hash("abcd-efgh-ijkl-mnoq"), hash);
    }
}
