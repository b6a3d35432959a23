//! Every operation, asked with a credential that has all scopes and is limited to some packages: what is about the whole
//! organization refuses it, whatever its body, and nothing else refuses it in those words.

use http::Method;
use rostrum::http::document::operations;
use rostrum::http::kit::requirement::{Access, Reach};
use serde_json::json;

use crate::support::{ADMIN, TestRegistry};

const LIMITED: &str = "This is about the whole organization, and your token is limited to some packages. Use one that is limited to none.";

/// A path with something in the place of each parameter, and the organization in its own.
fn filled_in(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{organization}" => "default",
        other if other.starts_with('{') => "x",
        other => other,
    });
    segments.collect::<Vec<&str>>().join("/")
}

#[tokio::test]
async fn what_is_about_the_whole_organization_refuses_whoever_is_limited_to_some_packages() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, prefixed) =
        registry.token(&json!({"description": "x", "scopes": ["admin"], "allowed_package_prefixes": ["acme/"]})).await;
    let grants = json!([{"pattern": "*", "constraint": "1.*"}]);
    let (_, granted) = registry.token(&json!({"description": "x", "scopes": ["admin"], "grants": grants})).await;
    let scoped = operations().into_iter().filter(|one| matches!(one.access(), Some(Access::Scope(_))));
    let mut refused = 0;
    for operation in scoped {
        let method: Method = json!(operation.method).as_str().expect("text").to_uppercase().parse().expect("a method");
        let path = filled_in(&operation.path);
        for token in [&prefixed, &granted] {
            let answer = registry.isolate.request(method.clone(), &path).bearer(token).json(&json!({})).send().await;
            let is_refused = answer.text().contains(LIMITED);
            assert_eq!(is_refused, operation.reach() == Reach::Organization, "{method} {path}: {}", answer.text());
            assert!(!is_refused || answer.status == 403, "{method} {path}");
        }
        if operation.reach() == Reach::Organization {
            refused += 1;
            let answer = registry.isolate.request(method.clone(), &path).bearer(ADMIN).json(&json!({})).send().await;
            assert!(!answer.text().contains(LIMITED), "{method} {path}");
        }
    }
    assert!(refused > 20, "{refused}");
}
