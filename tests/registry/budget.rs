//! What a request costs, counted through the ports (the hot path budget).

use serde_json::json;

use crate::support::{ADMIN, Calls, TestRegistry, TestRequest};

const NOTHING: Calls = Calls {
    round_trips: 0,
    statements: 0,
    cache_reads: 0,
    cache_writes: 0,
    cache_deletes: 0,
    cache_lists: 0,
    blob_reads: 0,
    blob_writes: 0,
    upstream: 0,
    enqueues: 0,
};

async fn cost(registry: &TestRegistry, request: TestRequest, status: u16) -> Calls {
    let (reply, calls) = registry.counted(request.composer().send()).await;
    reply.expect(status);
    calls
}

/// A registry with a package, and a token that this isolate has seen before.
async fn warm() -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    for path in ["/packages.json", "/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        registry.get(path).basic(&token).composer().send().await.expect(200);
    }
    registry.run_until_idle().await;
    (registry, token)
}

#[tokio::test]
async fn warm_metadata_asks_nobody() {
    let (registry, token) = warm().await;
    for path in ["/packages.json", "/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        assert_eq!(cost(&registry, registry.get(path).basic(&token), 200).await, NOTHING, "{path}");
        let earlier = registry.get(path).basic(&token).composer().send().await;
        assert_eq!(
            cost(&registry, registry.get(path).basic(&token).if_modified_since(&earlier), 304).await,
            NOTHING,
            "{path}"
        );
        assert_eq!(cost(&registry, registry.head(path).basic(&token), 200).await, NOTHING, "{path}");
    }
    assert_eq!(cost(&registry, registry.get("/list.json").basic(&token), 200).await, NOTHING);
    for (name, status) in [("acme/none", 200), ("other/none", 404)] {
        let path = format!("/p2/{name}.json");
        registry.get(&path).basic(&token).composer().send().await.expect(status);
        assert_eq!(cost(&registry, registry.get(&path).basic(&token), status).await, NOTHING, "{name}");
    }
    assert_eq!(cost(&registry, registry.get("/p2/Acme/Lib.json").basic(&token), 200).await, NOTHING);
}

#[tokio::test]
async fn many_warm_requests_are_one_write_to_kv_a_flush() {
    let (registry, token) = warm().await;
    let ((), calls) = registry
        .counted(async {
            for _ in 0..100 {
                registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
            }
            registry.run_until_idle().await;
        })
        .await;
    assert_eq!(calls, Calls { cache_writes: 1, cache_lists: 1, ..NOTHING });
}

#[tokio::test]
async fn what_was_warm_is_checked_again_with_one_statement() {
    let (registry, token) = warm().await;
    registry.advance_seconds(10);
    let again = Calls { round_trips: 1, statements: 1, ..NOTHING };
    assert_eq!(cost(&registry, registry.get("/p2/acme/lib.json").basic(&token), 200).await, again);
    assert_eq!(cost(&registry, registry.get("/p2/acme/lib~dev.json").basic(&token), 200).await, NOTHING);
    assert_eq!(cost(&registry, registry.get("/packages.json").basic(&token), 200).await, again);
}

#[tokio::test]
async fn a_cold_isolate_answers_a_known_token_with_one_statement_and_two_kv_calls() {
    let (registry, token) = warm().await;
    for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        let request = registry.another_isolate().get(path).basic(&token);
        let expected = Calls { round_trips: 1, statements: 1, cache_reads: 1, cache_lists: 1, ..NOTHING };
        assert_eq!(cost(&registry, request, 200).await, expected, "{path}");
    }
    let request = registry.another_isolate().get("/packages.json").basic(&token);
    let expected = Calls { round_trips: 1, statements: 2, cache_reads: 1, cache_lists: 1, ..NOTHING };
    assert_eq!(cost(&registry, request, 200).await, expected);
}

#[tokio::test]
async fn a_token_that_nobody_has_seen_costs_no_further_round_trip() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let request = registry.another_isolate().get("/p2/acme/lib.json").basic(&token);
    let expected = Calls { round_trips: 1, statements: 2, cache_reads: 1, cache_lists: 1, cache_writes: 1, ..NOTHING };
    assert_eq!(cost(&registry, request, 200).await, expected);
    let request = registry.another_isolate().get("/p2/acme/lib.json").basic(&registry.reader().await);
    assert_eq!(
        cost(&registry, request, 200).await,
        expected,
        "a first request writes the token to KV, and only the first"
    );
}

#[tokio::test]
async fn a_download_with_a_warm_token_is_one_statement_and_one_read() {
    let (registry, token) = warm().await;
    let expected = Calls { round_trips: 1, statements: 1, blob_reads: 1, ..NOTHING };
    assert_eq!(cost(&registry, registry.get("/dist/acme/lib/1.0.0.zip").basic(&token), 200).await, expected);
    let request = registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).header("range", "bytes=0-9");
    assert_eq!(cost(&registry, request, 206).await, expected);
    let request = registry.another_isolate().get("/dist/acme/lib/1.0.0.zip").basic(&token);
    assert_eq!(cost(&registry, request, 200).await, Calls { cache_reads: 1, cache_lists: 1, ..expected });
    let request = registry.another_isolate().get("/dist/acme/lib/1.0.0.zip").basic(&registry.reader().await);
    let unseen = Calls { statements: 2, cache_reads: 1, cache_lists: 1, cache_writes: 1, ..expected };
    assert_eq!(cost(&registry, request, 200).await, unseen);
}

#[tokio::test]
async fn a_made_up_token_costs_nothing_and_an_unknown_one_is_looked_up_once() {
    let (registry, token) = warm().await;
    for made_up in ["wrong", &token[1..], &token.replace("rst_", "rst-")] {
        assert_eq!(cost(&registry, registry.get("/packages.json").basic(made_up), 401).await, NOTHING);
    }
    registry.database.execute("DELETE FROM tokens");
    let elsewhere = registry.another_isolate();
    registry.advance_seconds(300);
    let looked_up = Calls { round_trips: 1, statements: 1, cache_reads: 1, ..NOTHING };
    assert_eq!(cost(&registry, elsewhere.get("/packages.json").basic(&token), 401).await, looked_up);
    assert_eq!(cost(&registry, elsewhere.get("/packages.json").basic(&token), 401).await, NOTHING);
}

#[tokio::test]
async fn lists_cost_the_same_whatever_their_length() {
    let registry = TestRegistry::new();
    registry.published("acme/one", &["1.0.0"]).await;
    registry.get("/api/packages").bearer(ADMIN).send().await.expect(200);
    let mut before = Vec::new();
    for round in 0..2 {
        let mut now = Vec::new();
        for path in ["/api/packages", "/api/repositories", "/api/tokens", "/search.json?q=a"] {
            now.push(cost(&registry, registry.get(path).bearer(ADMIN), 200).await);
            assert_eq!(now.last().map(|calls| (calls.round_trips, calls.statements)), Some((1, 2)), "{path}");
        }
        if round == 1 {
            assert_eq!(now, before);
        }
        before = now;
        for number in 5 * round..5 * round + 5 {
            registry.published(&format!("acme/more-{number}"), &["1.0.0", "2.0.0"]).await;
            registry.token(&json!({"description": "more"})).await;
        }
    }
}
