//! What tokens may do and see, and that nobody hands on more than they hold.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry, TestResponse};

async fn issue(registry: &TestRegistry, by: &str, spec: &Value) -> TestResponse {
    registry.post("/api/tokens").bearer(by).json(spec).send().await
}

async fn change(registry: &TestRegistry, by: &str, id: &str, spec: &Value) -> TestResponse {
    registry.patch(&format!("/api/tokens/{id}")).bearer(by).json(spec).send().await
}

#[tokio::test]
async fn scopes_are_given_one_by_one_or_by_area_and_shown_in_one_order() {
    let registry = TestRegistry::new();
    for (asked, shown, permissions) in [
        (json!(["tokens:read", "packages:read"]), json!(["packages:read", "tokens:read"]), "readonly"),
        (json!(["repositories:*", "repositories:read"]), json!(["repositories:read", "repositories:write"]), "write"),
        (json!(["audit:*"]), json!(["audit:read"]), "readonly"),
        (json!(["admin"]), json!(["admin"]), "write"),
        (
            json!(["storefront:*", "consumers:*", "settings:*", "users:*", "advisories:write"]),
            json!([
                "users:read",
                "users:write",
                "settings:read",
                "settings:write",
                "advisories:write",
                "consumers:read",
                "consumers:write",
                "storefront:read",
                "storefront:keys",
                "storefront:write"
            ]),
            "write",
        ),
        (json!(["storefront:write"]), json!(["storefront:keys", "storefront:write"]), "write"),
        (json!(["storefront:read", "storefront:keys"]), json!(["storefront:read", "storefront:keys"]), "readonly"),
    ] {
        let reply = issue(&registry, ADMIN, &json!({"description": "x", "scopes": asked})).await.expect(201);
        assert_eq!((&reply.json()["scopes"], &reply.json()["permissions"]), (&shown, &json!(permissions)), "{asked}");
        let path = format!("/api/tokens/{}", reply.id());
        assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(200).json()["scopes"], shown);
    }
}

#[tokio::test]
async fn wrong_scopes_are_refused_with_the_ones_there_are() {
    let registry = TestRegistry::new();
    let known = "`admin`, `packages:read`, `packages:write`, `repositories:read`, `repositories:write`, `tokens:read`, \
                 `tokens:write`, `audit:read`, `users:read`, `users:write`, `settings:read`, `settings:write`, \
                 `advisories:read`, `advisories:write`, `consumers:read`, `consumers:write`, `storefront:read`, `storefront:keys`, \
                 `storefront:write`";
    for (scopes, more, error) in [
        (json!([]), json!(null), "`scopes` must name at least one scope".to_owned()),
        (
            json!(["packages:read", "packages:rule"]),
            json!(null),
            format!("`scopes` holds `packages:rule`, which is none of {known}, nor an area like `packages:*`"),
        ),
        (
            json!(["*"]),
            json!(null),
            format!("`scopes` holds `*`, which is none of {known}, nor an area like `packages:*`"),
        ),
        (
            json!(["packages:read"]),
            json!("readonly"),
            "`scopes` cannot be combined with `permissions`, which stands for some of them; send only one of the two"
                .to_owned(),
        ),
    ] {
        let spec = json!({"description": "x", "scopes": scopes, "permissions": more});
        let reply = issue(&registry, ADMIN, &spec).await.expect(400);
        assert_eq!(reply.json()["error"], error, "{spec}");
        assert_eq!(reply.json()["details"].as_object().expect("an object").keys().collect::<Vec<_>>(), ["scopes"]);
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens"), [json!({"n": 0})]);
}

#[tokio::test]
async fn grants_are_shown_as_they_were_given_and_decide_what_is_seen() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0", "2.1.0-beta1"]).await;
    registry.published("acme/tool", &["1.0.0"]).await;
    registry.published("other/lib", &["1.0.0"]).await;
    let end = START.seconds() + 1000;
    let spec = json!({"description": "x", "grants": [
        {"package": "acme/lib", "constraint": " 2.* ", "minimum_stability": "stable"},
        {"pattern": "other/*", "updates_until": end, "expires_at": end},
        {"pattern": "no*/*"},
    ]});
    let reply = issue(&registry, ADMIN, &spec).await.expect(201);
    let shown = json!([
        {"package": "acme/lib", "constraint": "2.*", "updates_until": null, "minimum_stability": "stable",
         "expires_at": null},
        {"pattern": "other/*", "constraint": "*", "updates_until": end, "minimum_stability": "dev", "expires_at": end},
        {"pattern": "no*/*", "constraint": "*", "updates_until": null, "minimum_stability": "dev", "expires_at": null},
    ]);
    assert_eq!(reply.json()["grants"], shown);
    assert_eq!(reply.json()["allowed_package_prefixes"], json!([]), "no prefix says the same");
    let token = reply.json()["token"].as_str().expect("the token").to_owned();
    let names = async || registry.listed_names(&token).await;
    assert_eq!(names().await, json!(["acme/lib", "other/lib"]));
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(document.version_names("acme/lib"), ["2.0.0"]);

    let extended = json!({"grants": [{"package": "acme/lib", "constraint": "^1 || ^2", "minimum_stability": "RC"}]});
    let changed = change(&registry, ADMIN, &reply.id(), &extended).await.expect(200);
    assert_eq!(changed.json()["grants"][0]["constraint"], "^1 || ^2");
    let document = registry
        .get("/p2/acme/lib.json")
        .basic(&token)
        .composer()
        .if_modified_since(&document)
        .send()
        .await
        .expect(200);
    assert_eq!(document.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    assert_eq!(names().await, json!(["acme/lib"]));

    let none = change(&registry, ADMIN, &reply.id(), &json!({"grants": []})).await.expect(200);
    assert_eq!((&none.json()["grants"], &none.json()["allowed_package_prefixes"]), (&json!([]), &json!([])));
    assert_eq!(names().await, json!([]));
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect_claim("acme/lib");
}

#[tokio::test]
async fn every_wrong_grant_is_named_with_its_place_and_reason() {
    let registry = TestRegistry::new();
    for (grant, field, reason) in [
        (json!({}), "grants[1]", "needs either `package` or `pattern`"),
        (json!({"package": "acme/lib", "pattern": "acme/*"}), "grants[1]", "needs either `package` or `pattern`"),
        (json!({"package": "acme"}), "grants[1].package", "is not the name of a package: \"acme\" is invalid"),
        (json!({"package": "acme/*"}), "grants[1].package", "is not the name of a package: \"acme/*\" is invalid"),
        (json!({"package": "php"}), "grants[1].package", "is not the name of a package: php is a platform package"),
        (json!({"pattern": "acme/lib"}), "grants[1].pattern", "must be part of a package name"),
        (json!({"pattern": "acme /*"}), "grants[1].pattern", "must be part of a package name"),
        (
            json!({"package": "acme/lib", "constraint": "five"}),
            "grants[1].constraint",
            "is not a version constraint that Composer understands: could not parse \"five\"",
        ),
        (json!({"package": "acme/lib", "constraint": "x".repeat(501)}), "grants[1].constraint", "must not be longer"),
        (
            json!({"package": "acme/lib", "minimum_stability": "good"}),
            "grants[1].minimum_stability",
            "is wrong: \"good\" is not a stability; use one of stable, RC, beta, alpha, dev",
        ),
        (
            json!({"package": "acme/lib", "updates_until": -1}),
            "grants[1].updates_until",
            "must be unix time in seconds",
        ),
        (json!({"package": "acme/lib", "expires_at": -1}), "grants[1].expires_at", "must be unix time in seconds"),
    ] {
        let spec = json!({"description": "x", "grants": [{"package": "acme/good"}, grant]});
        let reply = issue(&registry, ADMIN, &spec).await.expect(400);
        let details = reply.json()["details"].as_object().expect("an object").clone();
        assert_eq!(details.keys().collect::<Vec<_>>(), [field], "{spec}");
        assert!(details[field][0].as_str().expect("text").starts_with(reason), "{details:?}");
    }
    for (spec, error) in [
        (
            json!({"description": "x", "grants": null}),
            "`grants` must be a list; `[{\"pattern\": \"*\"}]` is every package, `[]` is none",
        ),
        (
            json!({"description": "x", "grants": [], "allowed_package_prefixes": null}),
            "`grants` cannot be combined with `allowed_package_prefixes`, which stands for some of them",
        ),
        (
            json!({"description": "x", "grants": [{"package": "acme/lib", "versions": "*"}]}),
            "Unknown field: `grants[0].versions`",
        ),
        (
            json!({"description": "x", "grants": vec![json!({"package": "acme/lib"}); 1001]}),
            "`grants` must not hold more than 1000 grants",
        ),
    ] {
        assert_eq!(issue(&registry, ADMIN, &spec).await.expect(400).json()["error"], error);
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens"), [json!({"n": 0})]);
}

/// A token that may issue tokens, for what it holds itself.
async fn issuer(registry: &TestRegistry, more: Value) -> (String, String) {
    let mut spec = json!({
        "description": "a shop", "scopes": ["packages:read", "tokens:*"], "allowed_package_prefixes": ["acme/"],
    });
    spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    registry.token(&spec).await
}

#[tokio::test]
async fn nobody_issues_more_than_they_hold() {
    let registry = TestRegistry::new();
    let (_, shop) = issuer(&registry, json!({"expires_at": START.seconds() + 1000})).await;
    let end = START.seconds() + 1000;
    let good = json!({"description": "x", "expires_at": end, "allowed_package_prefixes": ["acme/lib"]});
    issue(&registry, &shop, &good).await.expect(201);
    let limited =
        json!({"description": "x", "expires_at": end, "grants": [{"package": "acme/lib", "constraint": "^5"}]});
    issue(&registry, &shop, &limited).await.expect(201);
    let before = registry.database.rows("SELECT count(*) AS n FROM tokens");
    let packages = |target: &str| {
        format!("Only who sees packages can let others see them. No grant of yours holds all of `{target}` in `*`.")
    };
    for (field, value, error) in [
        ("scopes", json!(["admin"]), "Only who holds a scope can hand it on. You lack `admin`.".to_owned()),
        (
            "permissions",
            json!("write"),
            "Only who holds a scope can hand it on. You lack `packages:write`, `repositories:read`, `repositories:write`."
                .to_owned(),
        ),
        ("allowed_package_prefixes", json!(null), packages("*")),
        ("allowed_package_prefixes", json!(["acme"]), packages("acme*")),
        ("allowed_package_prefixes", json!(["acme/", "other/"]), packages("other/*")),
        (
            "expires_at",
            json!(end + 1),
            format!("A token cannot outlive the one that issues it. Set `expires_at` to {end} or earlier."),
        ),
        (
            "expires_at",
            json!(null),
            format!("A token cannot outlive the one that issues it. Set `expires_at` to {end} or earlier."),
        ),
    ] {
        let mut spec = good.clone();
        spec[field] = value;
        let reply = issue(&registry, &shop, &spec).await.expect(403);
        assert_eq!(reply.json(), json!({"error": error, "code": "FORBIDDEN", "details": {}}), "{spec}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens"), before);
}

#[tokio::test]
async fn nobody_raises_a_token_beyond_what_they_hold() {
    let registry = TestRegistry::new();
    let (own, shop) = issuer(&registry, json!({})).await;
    let consumer =
        issue(&registry, &shop, &json!({"description": "x", "allowed_package_prefixes": ["acme/lib"]})).await;
    let id = consumer.expect(201).id();
    for id in [&id, &own] {
        for spec in [
            json!({"scopes": ["admin"]}),
            json!({"scopes": ["packages:*"]}),
            json!({"allowed_package_prefixes": null}),
            json!({"grants": [{"package": "other/lib"}]}),
        ] {
            change(&registry, &shop, id, &spec).await.expect(403);
        }
    }
    let all = registry.database.rows("SELECT target FROM grants ORDER BY id");
    assert_eq!(all, [json!({"target": "acme/*"}), json!({"target": "acme/lib*"})]);
    let spec = json!({"expires_at": 2_000_000_000, "rate_limit_max": 5, "allowed_package_prefixes": ["acme/"]});
    let mut changed = change(&registry, &shop, &id, &spec).await.expect(200).json();
    assert_eq!(
        (&changed["expires_at"], &changed["allowed_package_prefixes"]),
        (&json!(2_000_000_000), &json!(["acme/"]))
    );
    changed["requests_this_hour"] = json!(0);
    let path = format!("/api/tokens/{id}");
    assert_eq!(registry.get(&path).bearer(&shop).send().await.expect(200).json(), changed);
    registry.delete(&path).bearer(&shop).send().await.expect(200);
    change(&registry, &shop, &id, &json!({"description": "y"})).await.expect(404);
    registry.delete(&path).bearer(&shop).send().await.expect(404);
}

#[tokio::test]
async fn a_token_that_ends_later_is_not_theirs_to_change_to_rotate_or_to_revoke() {
    let registry = TestRegistry::new();
    let end = START.seconds() + 1000;
    let (_, shop) = issuer(&registry, json!({"expires_at": end})).await;
    for (expires_at, status) in [(json!(null), 403), (json!(end + 1), 403), (json!(end), 200)] {
        let spec = json!({
            "description": "theirs", "metadata": {"customer_id": "7"}, "allowed_package_prefixes": ["acme/"], "expires_at": expires_at,
        });
        let (id, token) = registry.token(&spec).await;
        let path = format!("/api/tokens/{id}");
        let rotate = registry.post(&format!("{path}/rotate")).bearer(&shop).json(&json!({"grace_seconds": 60}));
        for answer in [
            change(&registry, &shop, &id, &json!({"description": "mine"})).await,
            rotate.send().await,
            registry.delete("/api/tokens?customer_id=7").bearer(&shop).send().await,
        ] {
            let answer = answer.expect(status);
            let refused = "This token holds more than yours. Yours ends before it does.";
            assert_eq!(answer.text().contains(refused), status == 403, "{}", answer.text());
        }
        let deleted = registry.delete(&path).bearer(&shop).send().await;
        deleted.expect(if status == 403 { 403 } else { 404 });
        let still = registry.get("/packages.json").basic(&token).send().await;
        still.expect(if status == 403 { 200 } else { 401 });
        registry.delete(&path).bearer(ADMIN).send().await;
    }
}

#[tokio::test]
async fn a_token_that_holds_more_is_not_theirs_to_change_or_to_revoke() {
    let registry = TestRegistry::new();
    let (_, shop) = issuer(&registry, json!({})).await;
    for (spec, why) in [
        (
            json!({"scopes": ["admin"], "allowed_package_prefixes": ["acme/"]}),
            "a scope can hand it on. You lack `admin`.",
        ),
        (json!({}), "packages can let others see them. No grant of yours holds all of `*` in `*`."),
    ] {
        let mut spec = spec;
        spec["description"] = json!("theirs");
        let (id, token) = registry.token(&spec).await;
        let refused = [
            change(&registry, &shop, &id, &json!({"description": "mine"})).await.expect(403),
            registry.delete(&format!("/api/tokens/{id}")).bearer(&shop).send().await.expect(403),
        ];
        for reply in refused {
            let error = reply.json()["error"].as_str().expect("text").to_owned();
            assert!(
                error.starts_with("This token holds more than yours. Only who ") && error.ends_with(why),
                "{error}"
            );
        }
        registry.get("/packages.json").basic(&token).send().await.expect(200);
        let view = registry.get(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200).json();
        assert_eq!(view["description"], "theirs");
    }
}

#[tokio::test]
async fn a_token_that_grows_while_it_is_looked_at_is_not_taken_over() {
    for (method, spec) in [("PATCH", json!({"grants": [{"package": "acme/lib"}]})), ("DELETE", json!({}))] {
        let registry = TestRegistry::new();
        let (_, shop) = issuer(&registry, json!({})).await;
        let (id, _) = registry.token(&json!({"description": "x", "allowed_package_prefixes": ["acme/"]})).await;
        registry.get("/packages.json").basic(&shop).send().await.expect(200);
        let path = format!("/api/tokens/{id}");
        let request =
            registry.isolate.request(method.parse().expect("a method"), &path).bearer(&shop).json(&spec).send();
        registry.meter.reset();
        let grow = async {
            // The second call is under way: the look at it has been taken, and the change has not been made.
            while registry.meter.calls().round_trips < 2 {
                tokio::task::yield_now().await;
            }
            registry.database.execute("UPDATE tokens SET scopes = '[\"admin\"]', revision = revision + 1 WHERE id = 2");
        };
        let (reply, ()) = tokio::join!(biased; request, grow);
        let error = "Another request changed the token at the same time. Read it again and retry.";
        assert_eq!(reply.expect(409).json(), json!({"error": error, "code": "CONFLICT", "details": {}}), "{method}");
        let row = registry
            .database
            .rows("SELECT revoked_at, target FROM tokens t JOIN grants g ON g.token_id = t.id AND t.id = 2");
        assert_eq!(row, [json!({"revoked_at": null, "target": "acme/*"})], "{method}");
        assert_eq!(registry.database.rows("SELECT action FROM audit_log").len(), 2, "{method}");
    }
}
