//! A shop's back end, and its customers.

use serde_json::{Value, json};

use super::{ADMIN, Ask, Isolate, Reply, World};

/// A consumer with its key pair.
#[derive(Debug, Clone)]
pub struct Customer {
    pub id: i64,
    pub public_key: String,
    pub private_key: String,
}

impl Customer {
    pub fn of(reply: &Reply) -> Self {
        let consumer = reply.json();
        let text = |field: &str| consumer[field].as_str().expect("text").to_owned();
        let id = consumer["id"].as_i64().expect("an integer");
        Self { id, public_key: text("public_key"), private_key: text("private_key") }
    }

    /// What its composer asks.
    pub fn asks(&self, isolate: &Isolate, path: &str) -> Ask {
        isolate.get(path).pair(&self.public_key, &self.private_key).composer()
    }
}

impl World {
    /// A new consumer with new keys.
    pub async fn customer(&self) -> Customer {
        self.customer_as(&json!({"email": "one@example.com"})).await
    }

    pub async fn customer_as(&self, spec: &Value) -> Customer {
        Customer::of(&self.shop_posts("/consumers", spec).send().await.expect(201))
    }

    pub fn shop_gets(&self, path: &str) -> Ask {
        self.get(&format!("/api/storefront{path}")).bearer(ADMIN)
    }

    pub fn shop_posts(&self, path: &str, body: &Value) -> Ask {
        self.post(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn shop_patches(&self, path: &str, body: &Value) -> Ask {
        self.patch(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn shop_puts(&self, path: &str, body: &Value) -> Ask {
        self.put(&format!("/api/storefront{path}")).bearer(ADMIN).json(body)
    }

    pub fn shop_deletes(&self, path: &str) -> Ask {
        self.delete(&format!("/api/storefront{path}")).bearer(ADMIN)
    }

    /// Grants a customer versions of what `package` names.
    pub async fn grant(&self, customer: &Customer, package: &str, version: &str) -> Value {
        let body = json!({"consumer_id": customer.id, "package": package, "version": version});
        self.shop_posts("/permissions", &body).send().await.expect(201).json()
    }

    /// The id of a package as shops know it.
    pub fn package_id(&self, name: &str) -> i64 {
        let rows = self.database.rows(&format!("SELECT id FROM packages WHERE name = '{name}'"));
        rows[0]["id"].as_i64().expect("an integer")
    }
}
