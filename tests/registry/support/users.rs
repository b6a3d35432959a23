//! Users, their sessions and their authenticator apps.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{ADMIN, TestRegistry, TestRequest, TestResponse};

/// Everybody's password, unless a test changes it.
pub const PASSWORD: &str = "correct horse battery";

/// A user who has logged in.
#[derive(Debug, Clone)]
pub struct TestUser {
    pub id: String,
    pub email: String,
    /// Of their session.
    pub token: String,
}

impl TestRegistry {
    /// The first owner, `owner@example.org`, logged in.
    pub async fn owner(&self) -> TestUser {
        let spec = json!({"email": "owner@example.org", "name": "Owner", "password": PASSWORD});
        let made = self.post("/api/auth/setup").bearer(ADMIN).json(&spec).send().await.expect(201);
        self.person(&made).await
    }

    /// A user `{name}@example.org` with that role, logged in.
    pub async fn user(&self, name: &str, role: &str) -> TestUser {
        let email = format!("{name}@example.org");
        let spec = json!({"email": email, "name": name, "role": role, "password": PASSWORD});
        let made = self.post("/api/users").bearer(ADMIN).json(&spec).send().await.expect(201);
        self.person(&made).await
    }

    async fn person(&self, made: &TestResponse) -> TestUser {
        let email = made.json()["email"].as_str().expect("an address").to_owned();
        let token = self.session(&email).await;
        TestUser { id: made.id(), email, token }
    }

    /// Another session of a user.
    pub async fn session(&self, email: &str) -> String {
        token_of(&self.log_in(email, PASSWORD, json!({})).await.expect(200))
    }

    /// Tries to log in; `more` is added to the body.
    pub async fn log_in(&self, email: &str, password: &str, more: Value) -> TestResponse {
        self.login(email, password, &more).send().await
    }

    /// A login that is not sent yet.
    pub fn login(&self, email: &str, password: &str, more: &Value) -> TestRequest {
        let mut body = json!({"email": email, "password": password});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.post("/api/auth/login").json(&body)
    }

    /// What the app shows now, `ahead` steps later.
    pub fn code(&self, secret: &str, ahead: i64) -> String {
        let step = self.isolate.app.now().seconds() / 30 + ahead;
        let mut mac = Hmac::<Sha1>::new_from_slice(&unbase32(secret)).expect("a key");
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let at = usize::from(digest[19] & 15);
        let number = u32::from_be_bytes(digest[at..at + 4].try_into().expect("four bytes")) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// Turns the second factor on; its secret and the recovery codes. A step passes, so that the next code is unspent.
    pub async fn second_factor(&self, person: &TestUser) -> (String, Vec<String>) {
        let made = self.post("/api/auth/2fa/setup").bearer(&person.token).send().await.expect(200);
        let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
        let body = json!({"code": self.code(&secret, 0)});
        let enabled = self.post("/api/auth/2fa/enable").bearer(&person.token).json(&body).send().await.expect(200);
        let codes = serde_json::from_value(enabled.json()["recovery_codes"].clone()).expect("a list");
        self.advance(Duration::from_secs(30));
        (secret, codes)
    }

    /// What the audit log has of actions that begin like this, the newest first.
    pub async fn audited(&self, action: &str) -> Vec<Value> {
        let path = format!("/api/audit-log?action={action}&limit=1000");
        let entries = self.get(&path).bearer(ADMIN).send().await.expect(200).json();
        entries.as_array().expect("a list").clone()
    }
}

/// The token in an answer.
#[track_caller]
pub fn token_of(reply: &TestResponse) -> String {
    reply.json()["token"].as_str().expect("a token").to_owned()
}

fn unbase32(text: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'2'..=b'7' => byte - b'2' + 26,
        _ => panic!("not base32: {text}"),
    };
    let bits: Vec<u8> =
        text.bytes().map(digit).flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |number, bit| number << 1 | bit)).collect()
}
