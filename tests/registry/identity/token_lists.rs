//! Finding tokens by what a shop knows of them, and revoking them so.

use rostrum::ports::Millis;
use rostrum::store::access::tokens::{TokenFilter, counted, listed};
use rostrum::store::{OrganizationId, Page};
use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, START, TestRegistry};

/// A shop's tokens: two of customer 7 for two orders, one of customer 8, one of nobody.
async fn shop() -> (TestRegistry, Vec<(String, String)>) {
    let registry = TestRegistry::new();
    let mut tokens = Vec::new();
    for spec in [
        json!({"description": "Seven, first", "expires_at": START.seconds() + 500,
               "metadata": {"customer_id": 7, "customer_email": "Seven@Example.com", "order_id": "A-1"}}),
        json!({"description": "Seven, second", "permissions": "write",
               "metadata": {"customer_id": "7", "customer_email": "seven@example.com", "order_id": "A-2"}}),
        json!({"description": "eight", "expires_at": START.seconds() + 100,
               "metadata": {"customer_id": "8", "order_id": "A-3"}}),
        json!({"description": "CI 100%", "metadata": {"customer_id": {"odd": [7]}}}),
    ] {
        tokens.push(registry.token(&spec).await);
        registry.advance_seconds(1);
    }
    (registry, tokens)
}

/// Places of the tokens that the query finds, in the order in which they come.
async fn found(registry: &TestRegistry, tokens: &[(String, String)], query: &str) -> Vec<usize> {
    let reply = registry.get(&format!("/api/tokens?{query}")).bearer(ADMIN).send().await.expect(200);
    let ids: Vec<Value> = reply.json().as_array().expect("a list").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(reply.header("x-total-count"), ids.len().to_string(), "{query}");
    ids.iter().map(|id| tokens.iter().position(|(known, _)| id == known).expect("one of these")).collect()
}

#[tokio::test]
async fn every_filter_narrows_the_list_and_they_add_up() {
    let (registry, tokens) = shop().await;
    registry.advance_seconds(200);
    for (query, expected) in [
        ("", vec![3, 2, 1, 0]),
        ("customer_id=7", vec![1, 0]),
        ("customer_id=8", vec![2]),
        ("customer_id=70", vec![]),
        ("order_id=A-2", vec![1]),
        ("customer_email=SEVEN%40example.com", vec![1, 0]),
        ("description=seven", vec![1, 0]),
        ("description=100%25", vec![3]),
        ("permissions=readonly", vec![3, 2, 0]),
        ("permissions=write", vec![1]),
        ("expired=true", vec![2]),
        ("expired=false", vec![3, 1, 0]),
        ("revoked=false", vec![3, 2, 1, 0]),
        ("revoked=true", vec![]),
        ("customer_id=7&permissions=readonly", vec![0]),
        ("customer_id=7&order_id=A-3", vec![]),
        ("customer_id=7&description=first&expired=false&customer_email=seven@example.com", vec![0]),
    ] {
        assert_eq!(found(&registry, &tokens, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_can_be_sorted_both_ways() {
    let (registry, tokens) = shop().await;
    registry.advance_seconds(10);
    registry.get("/packages.json").basic(&tokens[1].1).send().await.expect(200);
    registry.advance_seconds(10);
    registry.get("/packages.json").basic(&tokens[0].1).send().await.expect(200);
    registry.run_until_idle().await;
    for (query, expected) in [
        ("sort=created_at", vec![0, 1, 2, 3]),
        ("sort=-created_at", vec![3, 2, 1, 0]),
        ("sort=expires_at", vec![2, 0, 3, 1]),
        ("sort=-expires_at", vec![0, 2, 3, 1]),
        ("sort=last_used_at", vec![1, 0, 3, 2]),
        ("sort=-last_used_at", vec![0, 1, 3, 2]),
        ("sort=description", vec![3, 2, 0, 1]),
        ("sort=-description", vec![1, 0, 2, 3]),
        ("sort=-description&customer_id=7", vec![1, 0]),
        ("sort=description&customer_email=seven@example.com", vec![0, 1]),
        ("sort=created_at&order_id=A-3", vec![2]),
    ] {
        assert_eq!(found(&registry, &tokens, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_filter_is_refused_by_its_name_and_revokes_nothing() {
    let (registry, _) = shop().await;
    let say_which = "Say which tokens: `customer_id`, `order_id`, `customer_email`, `description` or `expired=true`.";
    let not_empty = "must not be empty; leave it out for all tokens";
    for (method, query, error) in [
        ("GET", "customer=7", "Unknown query parameter: `customer`".to_owned()),
        ("GET", "customer_id=7&a=1&b=2", "Unknown query parameters: `a`, `b`".to_owned()),
        ("GET", "customer_id=", format!("`customer_id`: {not_empty}")),
        ("GET", "description=", format!("`description`: {not_empty}")),
        (
            "GET",
            "sort=color",
            "`sort`: `color` is none of `created_at`, `-created_at`, `expires_at`, `-expires_at`, `last_used_at`, \
             `-last_used_at`, `description`, `-description`"
                .to_owned(),
        ),
        ("DELETE", "", say_which.to_owned()),
        ("DELETE", "expired=false", say_which.to_owned()),
        ("DELETE", "permissions=readonly", say_which.to_owned()),
        ("DELETE", "customer=7", "Unknown query parameter: `customer`".to_owned()),
        ("DELETE", "customer_id=7&revoked=true", "Unknown query parameter: `revoked`".to_owned()),
        ("DELETE", "customer_id=7&limit=1", "Unknown query parameter: `limit`".to_owned()),
        ("DELETE", "customer_id=", format!("`customer_id`: {not_empty}")),
    ] {
        let request = registry.isolate.request(method.parse().expect("a method"), &format!("/api/tokens?{query}"));
        assert_eq!(request.bearer(ADMIN).send().await.expect(400).json()["error"], error, "{method} {query}");
    }
    for query in ["expired=maybe", "permissions=admin"] {
        registry.get(&format!("/api/tokens?{query}")).bearer(ADMIN).send().await.expect(400);
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens WHERE revoked_at IS NULL"), [json!({"n": 4})]);
}

#[tokio::test]
async fn a_list_by_customer_order_or_address_reads_only_their_tokens() {
    let registry = TestRegistry::new();
    let by = |field: &str| {
        let value = Some("x");
        match field {
            "customer" => TokenFilter { customer_id: value, ..TokenFilter::default() },
            "order" => TokenFilter { order_id: value, customer_id: value, ..TokenFilter::default() },
            _ => TokenFilter { customer_email: value, ..TokenFilter::default() },
        }
    };
    let page = Page { limit: 10, offset: 0 };
    for field in ["customer", "order", "email"] {
        let filter = by(field);
        for stmt in [
            listed(OrganizationId::ROOT, &filter, None, page, Millis(0)).stmt(),
            listed(OrganizationId::ROOT, &filter, Some("description"), page, Millis(0)).stmt(),
            counted(OrganizationId::ROOT, &filter, Millis(0)).stmt(),
        ] {
            let plan = registry.database.plan(stmt);
            assert!(plan.contains(&format!("SEARCH tokens USING INDEX tokens_by_{field} ")), "{plan}");
        }
    }
    let all = listed(OrganizationId::ROOT, &TokenFilter::default(), None, page, Millis(0));
    let plan = registry.database.plan(all.stmt());
    assert!(plan.contains("tokens_by_organization") && !plan.contains("TEMP B-TREE FOR ORDER BY"), "{plan}");
}

#[tokio::test]
async fn revoking_by_a_filter_ends_these_tokens_at_once_and_no_other() {
    let (registry, tokens) = shop().await;
    for (_, token) in &tokens {
        registry.get("/packages.json").basic(token).send().await.expect(200);
    }
    registry.run_until_idle().await;
    let request =
        || registry.delete("/api/tokens?customer_id=7").bearer(ADMIN).header("cf-connecting-ip", "203.0.113.9").send();
    let (reply, calls) = registry.counted(request()).await;
    let ids = json!([tokens[1].0, tokens[0].0]);
    assert_eq!(reply.expect(200).json(), json!({"revoked": 2, "ids": ids, "remaining": 0}));
    let expected = Calls { round_trips: 2, statements: 5, cache_deletes: 2, ..calls };
    assert_eq!(calls, expected);
    for (place, (_, token)) in tokens.iter().enumerate() {
        let status = if place < 2 { 401 } else { 200 };
        registry.get("/packages.json").basic(token).send().await.expect(status);
        registry.another_isolate().get("/packages.json").basic(token).send().await.expect(status);
    }
    let entries = registry.database.rows(
        "SELECT actor, address, action, target, label, details FROM audit_log WHERE action = 'token.revoked' ORDER BY id",
    );
    let entry = |place: usize| {
        json!({"actor": "admin", "address": "203.0.113.9", "action": "token.revoked", "target": tokens[place].0,
               "label": null, "details": "{\"by_filter\":true}"})
    };
    assert_eq!(entries, [entry(1), entry(0)]);
    let again = request().await.expect(200);
    assert_eq!(again.json(), json!({"revoked": 0, "ids": [], "remaining": 0}));
    assert_eq!(found(&registry, &tokens, "revoked=true").await, [1, 0]);
    let revoked = registry.get("/api/tokens?revoked=true&limit=1").bearer(ADMIN).send().await.expect(200);
    assert_eq!(revoked.json()[0]["revoked_at"], START.seconds() + 4);
}

#[tokio::test]
async fn a_call_revokes_a_hundred_tokens_and_says_how_many_are_left() {
    let registry = TestRegistry::new();
    for _ in 0..103 {
        registry.token(&json!({"description": "x", "metadata": {"customer_id": "7"}})).await;
    }
    let mut ids = Vec::new();
    for (revoked, remaining) in [(100, 3), (3, 0), (0, 0)] {
        let reply = registry.delete("/api/tokens?customer_id=7").bearer(ADMIN).send().await.expect(200).json();
        assert_eq!((&reply["revoked"], &reply["remaining"]), (&json!(revoked), &json!(remaining)));
        ids.extend(reply["ids"].as_array().expect("a list").clone());
    }
    assert_eq!(ids.iter().map(Value::to_string).collect::<std::collections::HashSet<_>>().len(), 103);
    assert_eq!(
        registry.database.rows("SELECT count(*) AS n FROM audit_log WHERE action = 'token.revoked'"),
        [json!({"n": 103})]
    );
}

#[tokio::test]
async fn nobody_revokes_by_a_filter_what_holds_more_than_they_do() {
    let (registry, tokens) = shop().await;
    let spec = json!({"description": "shop", "scopes": ["packages:read", "tokens:*"]});
    let (_, shop) = registry.token(&spec).await;
    let refused = registry.delete("/api/tokens?customer_id=7").bearer(&shop).send().await.expect(403);
    let error = refused.json()["error"].as_str().expect("text").to_owned();
    assert!(error.starts_with("This token holds more than yours."), "{error}");
    assert_eq!(found(&registry, &tokens, "customer_id=7").await, [1, 0]);
    let reply = registry.delete("/api/tokens?customer_id=8").bearer(&shop).send().await.expect(200);
    assert_eq!(reply.json()["ids"], json!([tokens[2].0]));
    let (_, reader) = registry.token(&json!({"description": "reader", "scopes": ["tokens:read"]})).await;
    registry.delete("/api/tokens?customer_id=7").bearer(&reader).send().await.expect(403);
    registry.get("/api/tokens?customer_id=7").bearer(&reader).send().await.expect(200);
}

#[tokio::test]
async fn a_token_that_changes_while_it_is_condemned_is_left_for_the_next_call() {
    let (registry, tokens) = shop().await;
    registry.meter.reset();
    let request = registry.delete("/api/tokens?customer_id=7").bearer(ADMIN).send();
    let change = async {
        while registry.meter.calls().round_trips < 2 {
            tokio::task::yield_now().await;
        }
        registry.database.execute("UPDATE tokens SET revision = revision + 1 WHERE id = 1");
    };
    let (reply, ()) = tokio::join!(biased; request, change);
    assert_eq!(reply.expect(200).json(), json!({"revoked": 1, "ids": [tokens[1].0], "remaining": 1}));
    let targets = registry.database.rows("SELECT target FROM audit_log WHERE action = 'token.revoked'");
    assert_eq!(targets, [json!({"target": tokens[1].0})]);
    registry.get("/packages.json").basic(&tokens[0].1).send().await.expect(200);
}
