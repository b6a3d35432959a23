//! Every operation, asked by a credential that has all scopes and is limited to one vendor, about what is another's: each id
//! in its path is that of something that it does not cover, and so is what its body names. Nothing changes, and nothing is
//! told of it.

use std::collections::BTreeMap;

use http::Method;
use rostrum::http::document::operations;
use rostrum::http::kit::requirement::{Access, Reach};
use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestRegistry, file};

/// Stands in all that is another's.
const MARK: &str = "confidential";

/// Everything that a request about another's could change.
const TABLES: [&str; 12] = [
    "advisories",
    "artifacts",
    "consumers",
    "filter_entries",
    "grants",
    "invitations",
    "packages",
    "repositories",
    "users",
    "versions",
    "webhooks",
    "(SELECT id, scopes, expires_at, description, hash, revoked_at FROM tokens)",
];

/// A registry in which everything is another's, and what stands for each parameter of a path below each address.
async fn strangers() -> (TestRegistry, BTreeMap<&'static str, String>) {
    let registry = TestRegistry::new();
    let name = format!("other/{MARK}");
    let repo = registry.repository(&name);
    let described = json!({"name": name, "description": MARK});
    repo.commit(&[file("composer.json", described.to_string()), file("README.md", MARK), file("CHANGELOG.md", MARK)]);
    repo.tag("1.0.0");
    let repository = registry.register(&repo).await;
    registry.run_until_idle().await;
    let uploaded = format!("other/{MARK}-zip");
    registry.upload(&uploaded, "1.0.0", package(&uploaded, "1.0.0")).await.expect(201);
    let advisory = json!({"package": name, "title": MARK, "affected_versions": "*", "reported_at": 1});
    let advisory = registry.post("/api/advisories").bearer(ADMIN).json(&advisory).send().await.expect(201).id();
    let entry = json!({"package": name, "constraint": "*", "reason": MARK});
    let entry = registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201).id();
    let (token, _) = registry.token(&json!({"description": MARK, "scopes": ["admin"]})).await;
    let consumer =
        registry.consumer_as(&json!({"email": "a@example.org", "private_key": format!("{MARK}-private-key")})).await;
    let permission = registry.grant(&consumer, &name, "*").await["id"].to_string();
    let seat = registry.storefront_post(&format!("/consumers/{}/tokens", consumer.id), &json!({"description": MARK}));
    let seat = seat.send().await.expect(201).json()["id"].as_str().expect("an id").to_owned();
    let package_id = registry.package_id(&name).to_string();
    let version_id = registry.database.rows("SELECT id FROM versions ORDER BY id LIMIT 1")[0]["id"].to_string();
    let key = name.replace('/', "%2F");
    let ids = BTreeMap::from([
        ("/api/advisories", advisory),
        ("/api/filter-entries", entry),
        ("/api/packages", key),
        ("/api/repositories", repository),
        ("/api/storefront/consumers", consumer.id.to_string()),
        ("/api/storefront/packages", package_id.clone()),
        ("/api/storefront/permissions", permission),
        ("/api/storefront/versions", version_id),
        ("/api/storefront/versions/package", package_id.clone()),
        ("/api/tokens", token),
        ("{consumer}", consumer.id.to_string()),
        ("{package}", package_id),
        ("{token}", seat),
    ]);
    (registry, ids)
}

/// A path with what is another's in the place of each parameter.
fn filled_in(path: &str, ids: &BTreeMap<&'static str, String>) -> String {
    let mut filled = String::new();
    for segment in path.split('/').skip(1) {
        let name = format!("other/{MARK}");
        let composer = !path.starts_with("/api/");
        let value = match segment {
            "{vendor}" => "other".to_owned(),
            "{organization}" => "default".to_owned(),
            "{name}" => MARK.to_owned(),
            "{package}" if composer => MARK.to_owned(),
            "{file}" if path.starts_with("/providers/{file}") => format!("{}.json", name.replace('/', "%2F")),
            "{file}" => format!("{MARK}.json"),
            "{version}" if composer => "1.0.0.zip".to_owned(),
            "{version}" => "1.0.0".to_owned(),
            "{email}" => "a@example.org".to_owned(),
            "{id}" => {
                let below = ids
                    .iter()
                    .filter(|(prefix, _)| filled.starts_with(**prefix))
                    .max_by_key(|(prefix, _)| prefix.len());
                below.map_or("x".to_owned(), |(_, id)| id.clone())
            }
            other if other.starts_with('{') => ids.get(other).cloned().unwrap_or_else(|| "x".to_owned()),
            other => other.to_owned(),
        };
        filled = format!("{filled}/{value}");
    }
    filled
}

/// Bodies that name what is another's, in each operation's own words; what they are not for refuses them.
fn bodies(ids: &BTreeMap<&'static str, String>) -> Vec<Value> {
    let name = format!("other/{MARK}");
    let number = |key: &str| ids[key].parse::<i64>().expect("a number");
    vec![
        json!({}),
        json!({"packages": [name]}),
        json!({"package": name, "title": "t", "affected_versions": "*", "reported_at": 1}),
        json!({"package": name, "constraint": "*"}),
        json!({"reason": "r", "title": "t"}),
        json!({"description": "mine", "grants": [{"package": name}]}),
        json!({"description": "mine"}),
        json!({"abandoned": true}),
        json!({"hidden": true}),
        json!({"status": 0}),
        json!({"name": name, "status": 0}),
        json!({"name": "2.0.0"}),
        json!({"url": "https://git.test/mine.git", "package_filter": [name]}),
        json!({"url": "https://git.test/mine.git"}),
        json!({"email": "b@example.org", "customer_id": "mine", "private_key": "a-key-that-is-known"}),
        json!({"seats": 0}),
        json!({"consumer_id": number("{consumer}"), "package": name, "version": "*"}),
        json!({"version": "1.*"}),
        json!({"keep": 1}),
        json!([{"package": name, "version": "*"}]),
        json!([]),
    ]
}

fn state(registry: &TestRegistry) -> Vec<Value> {
    TABLES.iter().map(|table| json!(registry.database.rows(&format!("SELECT * FROM {table}")))).collect()
}

#[tokio::test]
async fn nothing_of_anothers_is_told_or_changed_by_any_operation() {
    let (registry, ids) = strangers().await;
    let spec = json!({"description": "the stranger", "scopes": ["admin"], "allowed_package_prefixes": ["acme/"]});
    let (_, stranger) = registry.token(&spec).await;
    let (before, copy) = (state(&registry), registry.database.copy());
    let scoped = operations()
        .into_iter()
        .filter(|one| matches!(one.access(), Some(Access::Scope(_))) && one.reach() == Reach::View);
    let mut asked = 0;
    for operation in scoped {
        let method: Method = json!(operation.method).as_str().expect("text").to_uppercase().parse().expect("a method");
        let path = filled_in(&operation.path, &ids);
        // What is new is the stranger's own: a consumer without permissions, and what it registers for its own names.
        let makes_own = method == Method::POST
            && ["/api/storefront/consumers", "/api/repositories", "/api/tokens"].contains(&&*path);
        for body in bodies(&ids) {
            if method == Method::GET && body != json!({}) {
                continue;
            }
            let isolate = registry.another_isolate();
            let answer = isolate.request(method.clone(), &path).bearer(&stranger).json(&body).send().await;
            let cell = format!("{method} {path} {body}: {} {}", answer.status, answer.text());
            // What the request names may be told again.
            let told = answer.text().replace(&format!("other/{MARK}"), "").replace(&format!("other%2F{MARK}"), "");
            assert!(!told.contains(MARK), "{cell}");
            assert!(answer.status < 500, "{cell}");
            if state(&registry) != before {
                assert!(makes_own && answer.status == 201, "{cell}");
                registry.database.put_back(&copy);
            }
            asked += 1;
        }
    }
    assert!(asked > 500, "{asked}");
}
