//! Rate limits: a token's requests in a clock hour.

use std::sync::Arc;

use composer::PackageName;
use rostrum::ports::Stmt;
use rostrum::registry::access::authenticate::{Asker, Credential, authenticate};
use rostrum::registry::access::caller::Caller;
use rostrum::registry::access::rate_limit::{RateLimit, consume, refund};
use rostrum::registry::kernel::app::App;
use serde_json::json;

use crate::support::{ADMIN, Calls, FaultTiming, Port, START, TestRegistry, TestRequest, TestResponse};

const HOUR: i64 = 3600;

fn quota(reply: &TestResponse) -> (i64, i64, i64) {
    let number = |name: &str| reply.header(name).parse().expect("a number");
    (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), number("x-ratelimit-reset"))
}

#[tokio::test]
async fn the_limit_depends_on_the_kind_of_token_or_is_its_own() {
    let registry = TestRegistry::new();
    let next_hour = START.seconds() + HOUR;
    for (spec, limit) in [
        (json!({"description": "a"}), 1000),
        (json!({"description": "a", "permissions": "readonly"}), 1000),
        (json!({"description": "a", "permissions": "write"}), 500),
        (json!({"description": "a", "rate_limit_max": 7}), 7),
        (json!({"description": "a", "permissions": "write", "rate_limit_max": 70_000}), 70_000),
    ] {
        let (_, token) = registry.token(&spec).await;
        for used in 1..=3 {
            let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
            assert_eq!(quota(&reply), (limit, limit - used, next_hour), "{spec}");
        }
    }
    let reply = registry.get("/packages.json").bearer(ADMIN).send().await.expect(200);
    assert_eq!(quota(&reply).0, 36_000);
}

#[tokio::test]
async fn every_answer_to_a_good_token_tells_what_is_left() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "permissions": "write"})).await;
    let mut left = 500;
    for (request, status) in [
        (registry.get("/packages.json"), 200),
        (registry.head("/packages.json"), 200),
        (registry.get("/p2/acme/lib.json"), 200),
        (registry.get("/p2/acme/none.json"), 404),
        (registry.get("/p2/Not/Valid.json"), 404),
        (registry.get("/dist/acme/lib/9.9.9.zip"), 404),
        (registry.get("/list.json"), 200),
        (registry.get("/search.json?q=x"), 200),
        (registry.get("/api/tokens"), 403),
        (registry.get("/api/repositories"), 200),
        (registry.post("/api/repositories").body("{"), 400),
        (registry.get("/api/packages?limit=x"), 400),
    ] {
        let reply = request.bearer(&token).send().await.expect(status);
        left -= 1;
        assert_eq!(quota(&reply), (500, left, START.seconds() + HOUR));
    }
    for (request, status) in what_does_not_count(&registry) {
        let reply = request.bearer(&token).send().await.expect(status);
        assert_eq!(quota(&reply), (500, left, START.seconds() + HOUR));
    }
    let zip = || registry.get("/dist/acme/lib/1.0.0.zip");
    for (request, status, left) in [
        (zip(), 200, 99),
        (zip().header("range", "bytes=99999999-"), 416, 98),
        (zip().header("if-none-match", "*"), 304, 97),
    ] {
        let reply = request.bearer(&token).send().await.expect(status);
        assert_eq!(quota(&reply), (100, left, START.seconds() + 60), "of this package, in this minute");
    }
}

/// Requests that composer sends by itself, and one for which nobody is asked.
fn what_does_not_count(registry: &TestRegistry) -> Vec<(TestRequest, u16)> {
    let form = "application/x-www-form-urlencoded";
    vec![
        (registry.get("/dist/acme-/lib/1.0.0.zip"), 404),
        (registry.post("/notify-batch").json(&json!({"downloads": []})), 204),
        (registry.post("/notify-batch").body("{"), 400),
        (registry.post("/security-advisories").header("content-type", form).body("packages[]=acme/lib"), 200),
        (registry.post("/filter-lists").json(&json!({"packages": ["pkg://composer/acme/lib"]})), 200),
        (registry.get("/filter-lists/summary.json"), 200),
    ]
}

#[tokio::test]
async fn a_cold_install_goes_through_when_the_hour_is_used_up_behind_its_metadata() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 1})).await;
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(429);
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).composer().send().await.expect(200);
    for (request, status) in what_does_not_count(&registry) {
        request.basic(&token).composer().send().await.expect(status);
    }
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(429);
}

#[tokio::test]
async fn one_package_is_downloaded_so_often_a_minute_and_others_go_on() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("acme/app", &["1.0.0"]).await;
    registry.set(json!({"rate_limits": {"downloads_per_minute": 3}})).await;
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 60})).await;
    registry.advance_seconds(15);
    let download = async |name: &str| {
        let path = format!("/dist/{name}/1.0.0.zip");
        registry.get(&path).basic(&token).composer().send().await
    };
    for _ in 0..3 {
        download("acme/lib").await.expect(200);
    }
    let refused = download("acme/lib").await.expect(429);
    let error = "This token has used its 3 downloads of `acme/lib` of this minute. Try again in 45 seconds.";
    assert_eq!((&refused.json()["warning"], refused.header("retry-after")), (&json!(error), "45"));
    download("acme/app").await.expect(200);
    registry.advance_seconds(45);
    download("acme/lib").await.expect(200);
    let (_, generous) = registry.token(&json!({"description": "a", "rate_limit_max": 600})).await;
    let reply = registry.get("/dist/acme/lib/1.0.0.zip").basic(&generous).composer().send().await.expect(200);
    assert_eq!(quota(&reply).0, 10, "a sixtieth of its hour");
}

#[tokio::test]
async fn the_limits_of_credentials_without_one_of_their_own_are_a_setting() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    let viewer = registry.user("viewer", "viewer").await.token;
    let (_, own) = registry.token(&json!({"description": "a", "rate_limit_max": 7})).await;
    let consumer = registry.consumer().await;
    let elsewhere = registry.another_isolate();
    let limit = async |token: &str| {
        let reply = elsewhere.get("/packages.json").basic(token).send().await.expect(200);
        quota(&reply).0
    };
    assert_eq!((limit(&token).await, limit(&viewer).await, limit(&own).await), (1000, 1000, 7));
    registry.set(json!({"rate_limits": {"read_per_hour": 5000}})).await;
    assert_eq!(limit(&viewer).await, 5000, "at once, as all of a session");
    registry.advance_seconds(330);
    assert_eq!((limit(&token).await, limit(&own).await), (5000, 7), "no copy of a token is older");
    let reply = consumer.get(&elsewhere, "/packages.json").send().await.expect(200);
    assert_eq!(quota(&reply).0, 5000);
    let (_, writer) = registry.token(&json!({"description": "a", "permissions": "write"})).await;
    assert_eq!(limit(&writer).await, 500, "what was not named has stayed");
    let settings = registry.get("/api/settings").bearer(ADMIN).send().await.expect(200).json();
    let expected = json!({"read_per_hour": 5000, "write_per_hour": 500, "downloads_per_minute": 100});
    assert_eq!(settings["rate_limits"], expected);
}

#[tokio::test]
async fn when_nothing_is_left_the_answer_is_429_until_the_next_hour() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "permissions": "write", "rate_limit_max": 2})).await;
    registry.advance_seconds(600);
    for _ in 0..2 {
        registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    }
    let error = "This token has used its 2 requests of this hour. Try again in 3000 seconds.";
    for path in ["/packages.json", "/p2/acme/lib.json", "/search.json", "/list.json"] {
        let refused = registry.get(path).basic(&token).composer().send().await.expect(429);
        let expected = json!({"error": error, "code": "RATE_LIMITED", "details": {}, "warning": error});
        assert_eq!(refused.json(), expected, "{path}");
        assert_eq!(refused.header("retry-after"), "3000");
        assert_eq!(refused.header("content-type"), "application/json");
        assert_eq!(quota(&refused), (2, 0, START.seconds() + HOUR));
    }
    let refused = registry.get("/api/repositories").bearer(&token).send().await.expect(429);
    assert_eq!(refused.json(), json!({"error": error, "code": "RATE_LIMITED", "details": {}}));
    let body = json!({"url": "https://git.test/x.git"});
    registry.post("/api/repositories").bearer(&token).json(&body).send().await.expect(429);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM repositories"), [json!({"n": 1})]);
    registry.advance_seconds(2999);
    let refused = registry.get("/packages.json").basic(&token).composer().send().await.expect(429);
    assert_eq!(refused.header("retry-after"), "1");
    registry.advance_seconds(1);
    let reply = registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(quota(&reply), (2, 1, START.seconds() + 2 * HOUR));
}

#[tokio::test]
async fn twenty_requests_at_once_are_all_counted_and_none_fails() {
    let registry = TestRegistry::new();
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 15})).await;
    let running: Vec<_> =
        (0..20).map(|_| tokio::spawn(registry.get("/packages.json").basic(&token).composer().send())).collect();
    let mut replies = Vec::new();
    for request in running {
        replies.push(request.await.expect("no panic"));
    }
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 15);
    assert_eq!(replies.iter().filter(|reply| reply.status == 429).count(), 5);
    let mut left: Vec<i64> = replies.iter().filter(|reply| reply.status == 200).map(|reply| quota(reply).1).collect();
    left.sort_unstable();
    assert!(left.iter().all(|left| (0..15).contains(left)), "{left:?}");
    assert_eq!(left[0], 0);
    registry.get("/packages.json").basic(&token).composer().send().await.expect(429);
}

#[tokio::test]
async fn an_answer_without_news_that_the_database_gave_counts() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.set(json!({"rate_limits": {"downloads_per_minute": 5}})).await;
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 9})).await;
    let unchanged =
        |path: &'static str| registry.get(path).basic(&token).composer().header("if-none-match", "*").send();
    for (path, left) in [("/p2/acme/lib.json", 8), ("/packages.json", 7)] {
        assert_eq!(quota(&unchanged(path).await.expect(304)).1, left, "{path}: nobody knew it");
        assert_eq!(quota(&unchanged(path).await.expect(304)).1, left, "{path}: memory did");
    }
    registry.advance_seconds(11);
    assert_eq!(quota(&unchanged("/p2/acme/lib.json").await.expect(304)).1, 6, "it was asked again");
    let statuses = statuses_of(30, || unchanged("/dist/acme/lib/1.0.0.zip")).await;
    assert_eq!(statuses.iter().filter(|status| **status == 304).count(), 5, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
}

/// The statuses of so many answers, one after the other.
async fn statuses_of<F: Future<Output = TestResponse>>(count: usize, send: impl Fn() -> F) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(send().await.status);
    }
    statuses
}

#[tokio::test]
async fn downloads_of_what_there_is_not_count_as_requests() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 3})).await;
    for version in 1..=3 {
        let path = format!("/dist/acme/lib/9.9.{version}.zip");
        let reply = registry.get(&path).basic(&token).composer().send().await.expect(404);
        assert_eq!(quota(&reply).1, 3 - version);
    }
    registry.get("/dist/acme/none/1.0.0.zip").basic(&token).composer().send().await.expect(429);
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).composer().send().await.expect(200);
}

#[tokio::test]
async fn an_answer_without_news_is_given_back() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 3})).await;
    let full = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(quota(&full).1, 2);
    for _ in 0..10 {
        let unchanged = registry
            .get("/p2/acme/lib.json")
            .basic(&token)
            .composer()
            .if_modified_since(&full)
            .send()
            .await
            .expect(304);
        assert_eq!(quota(&unchanged).1, 2);
    }
}

#[tokio::test]
async fn a_refused_credential_is_not_counted_against_anybody() {
    let registry = TestRegistry::new();
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 3})).await;
    for _ in 0..5 {
        registry.get("/packages.json").basic("wrong").send().await.expect(401);
    }
    let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(quota(&reply).1, 2);
}

#[tokio::test]
async fn tokens_are_counted_apart() {
    let registry = TestRegistry::new();
    let spec = json!({"description": "a", "rate_limit_max": 1});
    let ((_, first), (_, second)) = (registry.token(&spec).await, registry.token(&spec).await);
    registry.get("/packages.json").basic(&first).send().await.expect(200);
    registry.get("/packages.json").basic(&first).send().await.expect(429);
    registry.get("/packages.json").basic(&second).send().await.expect(200);
}

#[tokio::test]
async fn isolates_add_up_what_they_have_flushed() {
    let registry = TestRegistry::new();
    let elsewhere = registry.another_isolate();
    let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 10})).await;
    for _ in 0..4 {
        registry.get("/packages.json").basic(&token).send().await.expect(200);
    }
    registry.run_until_idle().await;
    let reply = elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(quota(&reply).1, 5, "four there and one here");
    for _ in 0..3 {
        elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    }
    registry.run_until_idle().await;
    let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(quota(&reply).1, 5, "the others' requests are learned of with the next flush");
    registry.run_until_idle().await;
    let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(quota(&reply).1, 0, "six here and four there");
    registry.get("/packages.json").basic(&token).send().await.expect(429);
    registry.run_until_idle().await;
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    registry.run_until_idle().await;
    elsewhere.get("/packages.json").basic(&token).send().await.expect(429);
    let third = registry.another_isolate();
    third.get("/packages.json").basic(&token).send().await.expect(429);
}

#[tokio::test]
async fn kv_failing_never_fails_a_request_and_the_isolate_goes_on_counting() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let registry = TestRegistry::new();
        let (_, token) = registry.token(&json!({"description": "a", "rate_limit_max": 3})).await;
        registry.meter.break_all(Port::Cache, timing);
        for left in [2, 1, 0] {
            let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
            assert_eq!(quota(&reply).1, left);
            registry.run_until_idle().await;
        }
        registry.get("/packages.json").basic(&token).send().await.expect(429);
        assert!(registry.meter.clear_faults() > 0);
        registry.get("/packages.json").basic(&token).send().await.expect(429);
    }
}

#[tokio::test]
async fn a_changed_limit_counts_what_was_used_already() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a", "rate_limit_max": 2})).await;
    for _ in 0..2 {
        registry.get("/packages.json").basic(&token).send().await.expect(200);
    }
    registry.get("/packages.json").basic(&token).send().await.expect(429);
    let more = json!({"rate_limit_max": 5});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&more).send().await.expect(200);
    let reply = registry.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(quota(&reply), (5, 2, START.seconds() + HOUR));
}

/// The caller behind a token.
async fn caller_of(app: &App, token: &str) -> Arc<Caller> {
    let credential = Credential { user: None, secret: token.to_owned() };
    let asker = Asker { credential: Some(&credential), address: None, organization: None };
    authenticate(app, asker, None::<Stmt>).await.expect("a token").caller
}

#[tokio::test]
async fn a_limit_for_a_minute_starts_anew_each_minute_and_beside_the_one_for_an_hour() {
    let registry = TestRegistry::new();
    let (app, (_, token)) =
        (&registry.isolate.app, registry.token(&json!({"description": "a", "rate_limit_max": 7})).await);
    let caller = caller_of(app, &token).await;
    let per_minute = RateLimit::PerMinute(2);
    for remaining in [1, 0] {
        let quota = consume(app, &caller, per_minute, None).await;
        assert_eq!((quota.limit, quota.remaining, quota.retry_after), (2, remaining, None));
        assert_eq!(quota.reset, START.seconds() + 60);
    }
    registry.advance_seconds(20);
    assert_eq!(consume(app, &caller, per_minute, None).await.retry_after, Some(40));
    assert_eq!(consume(app, &caller, RateLimit::PerHour(5), None).await.remaining, 4);
    assert_eq!(consume(app, &caller, RateLimit::OfCredential, None).await.remaining, 5, "the same hour, another limit");
    registry.advance_seconds(40);
    let quota = consume(app, &caller, per_minute, None).await;
    assert_eq!((quota.remaining, quota.reset), (1, START.seconds() + 120));
    assert_eq!(refund(app, quota).remaining, 2);
}

#[tokio::test]
async fn a_limit_for_a_package_counts_each_package_apart() {
    let registry = TestRegistry::new();
    let elsewhere = registry.another_isolate().app;
    let (app, (_, token)) = (&registry.isolate.app, registry.token(&json!({"description": "a"})).await);
    let caller = caller_of(app, &token).await;
    let name = |name: &str| PackageName::parse(name).expect("a name");
    let (limit, lib, other) = (RateLimit::PerMinute(2), name("acme/lib"), name("acme/library"));
    for remaining in [1, 0] {
        assert_eq!(consume(app, &caller, limit, Some(&lib)).await.remaining, remaining);
    }
    assert!(consume(app, &caller, limit, Some(&lib)).await.retry_after.is_some());
    assert_eq!(consume(app, &caller, limit, Some(&other)).await.remaining, 1);
    assert_eq!(consume(app, &caller, limit, None).await.remaining, 1);
    registry.run_until_idle().await;
    let (quota, calls) = registry.counted(consume(&elsewhere, &caller, limit, Some(&lib))).await;
    assert_eq!((quota.remaining, calls), (1, Calls::default()), "the minute is over before KV has told");
}
