//! `/api/tokens`: every field, every refusal, and what lies in the database and in KV afterwards.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, START, TestRegistry};

/// What a token made from `{"description": "plain"}` reads as.
fn plain(id: &str) -> Value {
    json!({
        "id": id, "description": "plain", "permissions": "readonly", "scopes": ["packages:read"], "expires_at": null,
        "allowed_package_prefixes": null, "grants": [all_of("*")], "rate_limit_max": null, "metadata": {},
        "created_at": START.seconds(), "last_used_at": null,
    })
}

/// What is told of one token, but for how often it was used.
async fn details(registry: &TestRegistry, id: &str) -> Value {
    let mut view = registry.get(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(view.as_object_mut().expect("an object").remove("requests_this_hour"), Some(json!(0)));
    view
}

/// A grant of every version of the packages whose names match.
fn all_of(pattern: &str) -> Value {
    json!({
        "pattern": pattern, "constraint": "*", "updates_until": null, "minimum_stability": "dev", "expires_at": null,
    })
}

#[tokio::test]
async fn a_new_token_is_shown_once_with_every_field_that_was_given() {
    let registry = TestRegistry::new();
    let reply = registry
        .post("/api/tokens")
        .bearer(ADMIN)
        .json(&json!({
            "description": "  Customer 7 ", "permissions": "write", "expires_at": 1_893_456_000,
            "allowed_package_prefixes": ["acme/", "other/lib"], "rate_limit_max": 50,
            "metadata": {"order": [1, {"a": null}]},
        }))
        .send()
        .await
        .expect(201);
    let mut shown = reply.json();
    let token = shown["token"].take().as_str().expect("the token").to_owned();
    assert_eq!(token.len(), 50);
    assert!(token.starts_with("rst_"));
    let id = reply.id();
    let expected = json!({
        "id": id, "description": "Customer 7", "permissions": "write",
        "scopes": ["packages:read", "packages:write", "repositories:read", "repositories:write"],
        "expires_at": 1_893_456_000, "allowed_package_prefixes": ["acme/", "other/lib"],
        "grants": [all_of("acme/*"), all_of("other/lib*")], "rate_limit_max": 50,
        "metadata": {"order": [1, {"a": null}]}, "created_at": START.seconds(), "last_used_at": null, "token": null,
    });
    assert_eq!(shown, expected);
    let mut read = expected;
    read.as_object_mut().expect("an object").remove("token");
    assert_eq!(details(&registry, &id).await, read);
    assert_eq!(registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200).json(), json!([read]));
}

#[tokio::test]
async fn a_token_needs_only_a_description_and_the_rest_has_defaults() {
    let registry = TestRegistry::new();
    let reply =
        registry.post("/api/tokens").bearer(ADMIN).json(&json!({"description": "plain"})).send().await.expect(201);
    let mut shown = reply.json();
    assert!(shown.as_object_mut().expect("an object").remove("token").is_some());
    assert_eq!(shown, plain(&reply.id()));
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_stored_anywhere() {
    let registry = TestRegistry::new();
    let (_, token) = registry.token(&json!({"description": "plain"})).await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    let rows = registry.database.rows("SELECT hash FROM tokens");
    assert_eq!(rows, [json!({"hash": hex::encode(Sha256::digest(&token))})]);
    let everything = registry.database.rows("SELECT * FROM tokens, grants WHERE grants.token_id = tokens.id");
    assert_eq!(everything.len(), 1);
    let secret = &token[4..];
    assert!(!json!(everything).to_string().contains(secret));
    assert!(!registry.cache.entries().is_empty());
    assert!(!json!(registry.cache.entries()).to_string().contains(secret));
    assert!(!crate::support::logs::text().contains(secret));
}

#[tokio::test]
async fn tokens_are_listed_newest_first_in_pages_that_tell_the_total() {
    let registry = TestRegistry::new();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(registry.token(&json!({"description": format!("token {number}")})).await.0);
    }
    let ids_of = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("text").to_owned()).collect()
    };
    let all = registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200);
    assert_eq!(ids_of(&all.json()), [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    assert_eq!(all.header("x-total-count"), "3");
    let page = registry.get("/api/tokens?limit=1&offset=1").bearer(ADMIN).send().await.expect(200);
    assert_eq!(ids_of(&page.json()), [ids[1].clone()]);
    assert_eq!(page.header("x-total-count"), "3");
    for (query, detail) in [
        ("limit=0", "`limit`: must be between 1 and 1000"),
        ("limit=1001", "`limit`: must be between 1 and 1000"),
        ("offset=-1", "`offset`: must not be negative"),
        ("page=2", "Unknown query parameter: `page`"),
    ] {
        let reply = registry.get(&format!("/api/tokens?{query}")).bearer(ADMIN).send().await.expect(400);
        assert_eq!(reply.json()["error"], detail, "{query}");
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_new_token_is_named_and_nothing_is_made() {
    let registry = TestRegistry::new();
    for (body, error, details) in [
        (
            json!({"description": "x", "colour": 1, "permission": "write"}),
            "Unknown fields: `colour`, `permission`",
            json!({"colour": ["unknown field"], "permission": ["unknown field"]}),
        ),
        (
            json!({}),
            "`description`: is required: say what the token is for",
            json!({"description": ["is required: say what the token is for"]}),
        ),
        (
            json!({"description": "  "}),
            "`description` must not be empty",
            json!({"description": ["must not be empty"]}),
        ),
        (
            json!({"description": "x".repeat(501)}),
            "`description` must not be longer than 500 characters",
            json!({"description": ["must not be longer than 500 characters"]}),
        ),
        (
            json!({"description": 5}),
            "`description`: invalid type: integer `5`, expected a string",
            json!({"description": ["invalid type: integer `5`, expected a string"]}),
        ),
        (
            json!({"description": "x", "permissions": "admin"}),
            "`permissions`: unknown variant `admin`, expected `readonly` or `write`",
            json!({"permissions": ["unknown variant `admin`, expected `readonly` or `write`"]}),
        ),
        (
            json!({"description": "x", "expires_at": "2030-01-01"}),
            "`expires_at`: invalid type: string \"2030-01-01\", expected i64",
            json!({"expires_at": ["invalid type: string \"2030-01-01\", expected i64"]}),
        ),
        (
            json!({"description": "x", "expires_at": -1, "rate_limit_max": 0}),
            "`expires_at` must be unix time in seconds; \
             `rate_limit_max` must be between 1 and 1000000000 requests an hour",
            json!({
                "expires_at": ["must be unix time in seconds"],
                "rate_limit_max": ["must be between 1 and 1000000000 requests an hour"],
            }),
        ),
        (
            json!({"description": "x", "allowed_package_prefixes": []}),
            "`allowed_package_prefixes` must name at least one prefix, or be null for every package",
            json!({"allowed_package_prefixes": ["must name at least one prefix, or be null for every package"]}),
        ),
        (
            json!({"description": "x", "allowed_package_prefixes": "acme/"}),
            "`allowed_package_prefixes`: invalid type: string \"acme/\", expected a sequence",
            json!({"allowed_package_prefixes": ["invalid type: string \"acme/\", expected a sequence"]}),
        ),
        (
            json!({"description": "x", "metadata": []}),
            "`metadata`: invalid type: sequence, expected a map",
            json!({"metadata": ["invalid type: sequence, expected a map"]}),
        ),
        (
            json!({"description": "x", "metadata": {"a": "x".repeat(16 << 10)}}),
            "`metadata` must not be larger than 16384 bytes of JSON",
            json!({"metadata": ["must not be larger than 16384 bytes of JSON"]}),
        ),
    ] {
        let reply = registry.post("/api/tokens").bearer(ADMIN).json(&body).send().await.expect(400);
        assert_eq!(reply.json(), json!({"error": error, "code": "INVALID_REQUEST", "details": details}), "{body}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    for prefix in ["", "acme/*", "a b", "ä"] {
        let body = json!({"description": "x", "allowed_package_prefixes": [prefix]});
        let reply = registry.post("/api/tokens").bearer(ADMIN).json(&body).send().await.expect(400);
        assert!(reply.json()["details"]["allowed_package_prefixes"].is_array(), "{prefix}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens"), [json!({"n": 0})]);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let registry = TestRegistry::new();
    let (id, _) = registry.token(&json!({"description": "plain"})).await;
    let path = format!("/api/tokens/{id}");
    let mut expected = plain(&id);
    for (body, field, value) in [
        (json!({}), "id", json!(id)),
        (json!({"description": "new"}), "description", json!("new")),
        (json!({"expires_at": 2_000_000_000}), "expires_at", json!(2_000_000_000)),
        (json!({"expires_at": null}), "expires_at", json!(null)),
        (json!({"allowed_package_prefixes": ["a/", "b/"]}), "allowed_package_prefixes", json!(["a/", "b/"])),
        (json!({"allowed_package_prefixes": ["b/"]}), "allowed_package_prefixes", json!(["b/"])),
        (json!({"allowed_package_prefixes": null}), "allowed_package_prefixes", json!(null)),
        (json!({"rate_limit_max": 7}), "rate_limit_max", json!(7)),
        (json!({"rate_limit_max": null}), "rate_limit_max", json!(null)),
        (json!({"metadata": {"a": 1}}), "metadata", json!({"a": 1})),
        (json!({"metadata": null}), "metadata", json!({})),
    ] {
        if field == "allowed_package_prefixes" {
            let prefixes = value.as_array().map(Vec::as_slice);
            let grant = |prefix: &Value| all_of(&format!("{}*", prefix.as_str().expect("text")));
            expected["grants"] = prefixes.map_or(json!([all_of("*")]), |list| list.iter().map(grant).collect());
        }
        expected[field] = value;
        let reply = registry.patch(&path).bearer(ADMIN).json(&body).send().await.expect(200);
        assert_eq!(reply.json(), expected, "{body}");
        assert_eq!(details(&registry, &id).await, expected, "{body}");
    }
    expected["permissions"] = json!("write");
    expected["scopes"] = json!(["packages:read", "packages:write", "repositories:read", "repositories:write"]);
    let reply = registry.patch(&path).bearer(ADMIN).json(&json!({"permissions": "write"})).send().await.expect(200);
    assert_eq!(reply.json(), expected);
    let refused = registry.patch(&path).bearer(ADMIN).json(&json!({"token": "x", "id": 1})).send().await.expect(400);
    assert_eq!(refused.json()["error"], "Unknown fields: `token`, `id`");
    assert_eq!(details(&registry, &id).await, expected);
}

#[tokio::test]
async fn a_token_that_is_not_there_is_not_found_by_any_method() {
    let registry = TestRegistry::new();
    let (id, _) = registry.token(&json!({"description": "plain"})).await;
    let revoked = registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(revoked.json(), json!({"message": "Token revoked"}));
    let not_found = json!({"error": "Token not found", "code": "NOT_FOUND", "details": {}});
    for id in [id.as_str(), "nonsense", "00000000-0000-7000-8000-000000000009"] {
        let path = format!("/api/tokens/{id}");
        assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(404).json(), not_found);
        assert_eq!(registry.delete(&path).bearer(ADMIN).send().await.expect(404).json(), not_found);
        let body = json!({"description": "new"});
        assert_eq!(registry.patch(&path).bearer(ADMIN).json(&body).send().await.expect(404).json(), not_found);
    }
    assert_eq!(registry.get("/api/tokens").bearer(ADMIN).send().await.expect(200).json(), json!([]));
    let kept = registry.database.rows("SELECT description, revoked_at FROM tokens");
    assert_eq!(kept, [json!({"description": "plain", "revoked_at": START.0})]);
}

#[tokio::test]
async fn only_the_administrator_may_manage_tokens() {
    let registry = TestRegistry::new();
    let (id, reader) = registry.token(&json!({"description": "a"})).await;
    let (_, writer) = registry.token(&json!({"description": "b", "permissions": "write"})).await;
    let path = format!("/api/tokens/{id}");
    for token in [&reader, &writer] {
        for (request, scope) in [
            (registry.get("/api/tokens"), "tokens:read"),
            (registry.get(&path), "tokens:read"),
            (registry.post("/api/tokens").json(&json!({"description": "c"})), "tokens:write"),
            (registry.patch(&path).json(&json!({"description": "c"})), "tokens:write"),
            (registry.delete(&path), "tokens:write"),
        ] {
            let error = format!("This token lacks the scope `{scope}`. Use one that has it.");
            let reply = request.bearer(token).send().await.expect(403);
            assert_eq!(reply.json(), json!({"error": error, "code": "FORBIDDEN", "details": {}}));
            assert!(reply.find_header("x-ratelimit-remaining").is_some());
        }
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens WHERE revoked_at IS NULL"), [json!({"n": 2})]);
}

#[tokio::test]
async fn without_a_good_token_nothing_opens() {
    let registry = TestRegistry::new();
    let (_, token) = registry.token(&json!({"description": "a"})).await;
    let mut mistyped = token.clone();
    mistyped.replace_range(10..11, if &token[10..11] == "x" { "y" } else { "x" });
    let required = "Authentication required. Send a token as HTTP Basic password (any user name) or as Bearer token.";
    let invalid = "This token is not valid: it is unknown, mistyped or revoked.";
    for (request, error) in [
        (registry.get("/packages.json"), required),
        (registry.get("/packages.json").bearer(""), required),
        (registry.get("/packages.json").header("authorization", "Basic %%%"), required),
        (registry.get("/packages.json").basic("wrong"), invalid),
        (registry.get("/packages.json").basic(&mistyped), invalid),
        (registry.get("/packages.json").basic(&token.to_uppercase()), invalid),
    ] {
        let reply = request.send().await.expect(401);
        let expected = json!({"error": error, "code": "UNAUTHENTICATED", "details": {}, "warning": error});
        assert_eq!(reply.json(), expected);
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"Rostrum\", charset=\"UTF-8\"");
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(reply.find_header("x-ratelimit-limit").is_none());
    }
    let reply = registry.get("/api/tokens").send().await.expect(401);
    assert_eq!(reply.json(), json!({"error": required, "code": "UNAUTHENTICATED", "details": {}}));
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"Rostrum\"");
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.get("/packages.json").bearer(&token).send().await.expect(200);
}

#[tokio::test]
async fn without_an_admin_token_in_the_settings_nobody_is_administrator() {
    let registry = TestRegistry::with(|config| config.admin_token = None);
    for token in [ADMIN, ""] {
        registry.get("/api/tokens").bearer(token).send().await.expect(401);
    }
}

#[tokio::test]
async fn a_token_ends_at_its_second() {
    let registry = TestRegistry::new();
    let (_, token) = registry.token(&json!({"description": "a", "expires_at": START.seconds() + 100})).await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.advance_seconds(99);
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.advance_seconds(1);
    let reply = registry.get("/packages.json").basic(&token).send().await.expect(401);
    assert_eq!(reply.json()["error"], "This token has expired. Ask for a new one.");
}

#[tokio::test]
async fn presenting_a_token_is_noted() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    registry.advance_seconds(60);
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    let view = registry.get(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(view["last_used_at"], START.seconds() + 60);
}
