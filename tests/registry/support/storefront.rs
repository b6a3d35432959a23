//! Requests of a shop's back end to the storefront API, and consumers.

use serde_json::{Value, json};

use super::{ADMIN, TestIsolate, TestRegistry, TestRequest, TestResponse};

/// A consumer with its key pair.
#[derive(Debug, Clone)]
pub struct TestConsumer {
    pub id: i64,
    pub public_key: String,
    pub private_key: String,
}

impl TestConsumer {
    pub fn of(reply: &TestResponse) -> Self {
        let consumer = reply.json();
        let text = |field: &str| consumer[field].as_str().expect("text").to_owned();
        let id = consumer["id"].as_i64().expect("an integer");
        Self { id, public_key: text("public_key"), private_key: text("private_key") }
    }

    /// What its composer asks.
    pub fn get(&self, isolate: &TestIsolate, path: &str) -> TestRequest {
        isolate.get(path).pair(&self.public_key, &self.private_key).composer()
    }
}

impl TestRegistry {
    /// A new consumer with new keys.
    pub async fn consumer(&self) -> TestConsumer {
        self.consumer_as(&json!({"email": "one@example.com"})).await
    }

    pub async fn consumer_as(&self, spec: &Value) -> TestConsumer {
        TestConsumer::of(&self.storefront_post("/consumers", spec).send().await.expect(201))
    }

    pub fn storefront_get(&self, path: &str) -> TestRequest {
        self.get(&format!("/api/storefront{path}")).bearer(ADMIN)
    }

    pub fn storefront_post(&self, path: &str, body: &Value) -> TestRequest {
        self.post(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn storefront_patch(&self, path: &str, body: &Value) -> TestRequest {
        self.patch(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn storefront_put(&self, path: &str, body: &Value) -> TestRequest {
        self.put(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn storefront_delete(&self, path: &str) -> TestRequest {
        self.delete(&format!("/api/storefront{path}")).bearer(ADMIN)
    }

    /// Grants a consumer versions of what `package` names.
    pub async fn grant(&self, consumer: &TestConsumer, package: &str, version: &str) -> Value {
        let body = json!({"consumer_id": consumer.id, "package": package, "version": version});
        self.storefront_post("/permissions", &body).send().await.expect(201).json()
    }

    /// The id of a package as shops know it.
    pub fn package_id(&self, name: &str) -> i64 {
        let rows = self.database.rows(&format!("SELECT id FROM packages WHERE name = '{name}'"));
        rows[0]["id"].as_i64().expect("an integer")
    }
}
