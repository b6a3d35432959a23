//! What is left of a webhook's deliveries when the shop, the database or the queue fail.

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use rostrum::store::OrganizationId;
use serde_json::{Value, json};

use crate::support::database::statements;
use crate::support::faults::{InjectedFault, count, with_every_call_failing};
use crate::support::{FaultTiming, HostFault, Port, TestRegistry, logs};

const SHOP: &str = "https://shop.test/hooks";
const PING: Job = Job::Deliver { delivery_id: 1 };

/// A webhook with a ping on the queue; its id.
async fn pinged(registry: &TestRegistry) -> String {
    registry.composer_host.put(SHOP, "thanks");
    let spec = json!({"url": SHOP, "events": ["permission.expired"]});
    let id = registry.storefront_post("/webhooks", &spec).send().await.expect(201).id();
    registry.storefront_post(&format!("/webhooks/{id}/test"), &json!({})).send().await.expect(201);
    id
}

/// The latest entry of the log: `[state, attempts, status, error]`.
async fn latest(registry: &TestRegistry, id: &str) -> Value {
    let log = registry.storefront_get(&format!("/webhooks/{id}/deliveries")).send().await.expect(200).json();
    json!([log[0]["state"], log[0]["attempts"], log[0]["last_status"], log[0]["last_error"]])
}

#[tokio::test]
async fn what_fails_is_sent_again_after_growing_rests_and_given_up_after_seven_times() {
    let registry = TestRegistry::new();
    let id = pinged(&registry).await;
    registry.composer_host.inject_fault(SHOP, HostFault::Status(500));
    registry.run_until_idle().await;
    for (place, minutes) in [1, 5, 30, 120, 360, 720].into_iter().enumerate() {
        assert_eq!(registry.composer_host.take_posts().len(), 1, "attempt {place}");
        assert_eq!(latest(&registry, &id).await, json!(["pending", place + 1, 500, "the server answered 500"]));
        registry.advance_seconds(minutes * 60 - 1);
        registry.cron().await;
        registry.run_until_idle().await;
        assert!(registry.composer_host.take_posts().is_empty(), "too early, {minutes}");
        registry.advance_seconds(1);
        registry.cron().await;
        registry.run_until_idle().await;
    }
    assert_eq!(registry.composer_host.take_posts().len(), 1);
    assert_eq!(latest(&registry, &id).await, json!(["failed", 7, 500, "the server answered 500"]));
    registry.advance_seconds(86_400);
    registry.cron().await;
    assert!(!registry.tasks.jobs().contains(&PING));
    // Redelivery begins from the start, with the same id.
    registry.composer_host.recover();
    let path = format!("/webhooks/{id}/deliveries/1/redeliver");
    let again = registry.storefront_post(&path, &json!({})).send().await.expect(200).json();
    assert_eq!((&again["id"], &again["state"], &again["attempts"]), (&json!(1), &json!("pending"), &json!(0)));
    registry.run_until_idle().await;
    let posted = registry.composer_host.take_posts();
    assert_eq!((posted.len(), posted[0].headers["x-rostrum-delivery"].to_str().ok()), (1, Some("1")));
    assert_eq!(latest(&registry, &id).await, json!(["delivered", 1, 200, null]));
    registry.storefront_post(&format!("/webhooks/{id}/deliveries/2/redeliver"), &json!({})).send().await.expect(404);
    registry.storefront_post(&format!("/webhooks/{id}/deliveries/x/redeliver"), &json!({})).send().await.expect(404);
}

#[tokio::test]
async fn only_success_is_success_and_redirects_are_not_followed() {
    for (fault, status, error) in [
        (HostFault::Redirect("https://elsewhere.test/".to_owned()), json!(302), "the server answered 302"),
        (HostFault::Status(404), json!(404), "the server answered 404"),
        (HostFault::TimedOut, Value::Null, "the server did not answer within 10 s"),
        (HostFault::Unreachable, Value::Null, "the server cannot be reached: connection refused"),
    ] {
        let registry = TestRegistry::new();
        let id = pinged(&registry).await;
        registry.composer_host.inject_fault(SHOP, fault);
        registry.run_until_idle().await;
        assert_eq!(registry.composer_host.take_urls(), [SHOP]);
        assert_eq!(latest(&registry, &id).await, json!(["pending", 1, status, error]));
    }
    // However much the shop says, and however it ends, what counts is its status.
    for fault in [HostFault::Says(vec![b'x'; 5000]), HostFault::BrokenOff] {
        let registry = TestRegistry::new();
        let id = pinged(&registry).await;
        registry.composer_host.inject_fault(SHOP, fault);
        registry.run_until_idle().await;
        assert_eq!(latest(&registry, &id).await, json!(["delivered", 1, 200, null]));
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_asked_any_more_is_not() {
    let registry = TestRegistry::new();
    let id = pinged(&registry).await;
    registry.database.execute("UPDATE webhooks SET url = 'https://10.0.0.1/hooks'");
    registry.run_until_idle().await;
    assert!(registry.composer_host.take_posts().is_empty());
    let error = "the address must not lead to a private, loopback or link-local address";
    assert_eq!(latest(&registry, &id).await, json!(["pending", 1, null, error]));
}

#[tokio::test]
async fn two_workers_do_not_send_a_delivery_at_once() {
    let registry = TestRegistry::new();
    let id = pinged(&registry).await;
    registry.composer_host.pause("shop.test");
    let app = registry.isolate.app.clone();
    let first = tokio::spawn(async move { perform(&app, PING).await });
    registry.composer_host.until_paused().await;
    perform(&registry.isolate.app, PING).await.expect("somebody else sends it");
    assert_eq!(registry.composer_host.take_posts().len(), 1);
    // Its lease is over: it is taken for lost, and sent again.
    registry.advance_seconds(60);
    registry.composer_host.resume();
    perform(&registry.another_isolate().app, PING).await.expect("sent again");
    first.await.expect("no panic").expect("nothing to settle any more");
    assert_eq!(registry.composer_host.take_posts().len(), 1);
    assert_eq!(latest(&registry, &id).await, json!(["delivered", 2, 200, null]));
}

#[tokio::test]
async fn a_disabled_webhook_is_told_nothing_until_it_is_enabled() {
    let registry = TestRegistry::new();
    let id = pinged(&registry).await;
    let path = format!("/webhooks/{id}");
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
    registry.run_until_idle().await;
    registry.advance_seconds(60);
    registry.cron().await;
    assert!(registry.tasks.jobs().is_empty());
    for of_it in ["test", "deliveries/1/redeliver"] {
        let refused = registry.storefront_post(&format!("{path}/{of_it}"), &json!({})).send().await.expect(409);
        assert_eq!(refused.json()["error"], "This webhook is disabled. Set its `status` to 1 first.");
    }
    assert_eq!(latest(&registry, &id).await, json!(["pending", 0, null, null]));
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(200);
    registry.cron().await;
    registry.run_until_idle().await;
    assert_eq!(registry.composer_host.take_posts().len(), 1);
}

#[tokio::test]
async fn a_delivery_whose_job_the_queue_lost_is_found_by_cron() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let registry = TestRegistry::new();
        registry.meter.break_all(Port::Queue, timing);
        let id = pinged(&registry).await;
        registry.meter.clear_faults();
        registry.tasks.lose_jobs();
        registry.cron().await;
        assert_eq!(registry.tasks.jobs(), [PING]);
        registry.run_until_idle().await;
        assert_eq!(latest(&registry, &id).await, json!(["delivered", 1, 200, null]));
    }
}

#[tokio::test]
async fn a_deletion_ends_what_was_to_be_told_and_the_log_is_kept_for_thirty_days() {
    let registry = TestRegistry::new();
    let id = pinged(&registry).await;
    registry.run_until_idle().await;
    registry.advance_seconds(30 * 86_400);
    registry.cron().await;
    assert_eq!(count(&registry, "webhook_deliveries"), 1);
    registry.advance_seconds(3600);
    registry.cron().await;
    assert_eq!(count(&registry, "webhook_deliveries"), 0);
    registry.storefront_post(&format!("/webhooks/{id}/test"), &json!({})).send().await.expect(201);
    let job = registry.tasks.jobs();
    assert_eq!(job, [Job::Deliver { delivery_id: 2 }], "an id is not given again");
    registry.storefront_delete(&format!("/webhooks/{id}")).send().await.expect(204);
    registry.run_until_idle().await;
    assert_eq!((registry.composer_host.take_posts().len(), count(&registry, "webhook_deliveries")), (1, 0));
}

/// A permission that ends, a webhook that wants to know, and a minute of cron after minute, with one call broken.
async fn scenario(broken: InjectedFault) -> bool {
    let registry = TestRegistry::new();
    let spec = json!({"url": SHOP, "events": ["permission.expired"], "secret": "0123456789abcdef"});
    registry.composer_host.put(SHOP, "thanks");
    registry.storefront_post("/webhooks", &spec).send().await.expect(201);
    let consumer = registry.consumer().await;
    let spec = json!({
        "consumer_id": consumer.id, "package": "acme/lib", "version": "5.*", "expires_at": "2026-01-01 00:00:30",
    });
    registry.storefront_post("/permissions", &spec).send().await.expect(201);
    broken.arm(&registry);
    for _ in 0..3 {
        registry.advance_seconds(60);
        if let Err(failure) = rostrum::registry::operations::cron::run_scheduled(&registry.isolate.app).await {
            assert!(failure.source.is_some());
        }
        for (job, _) in registry.run_until_idle_with_failures().await {
            // The queue brings it again a minute later; so does cron.
            assert!(matches!(job, Job::Deliver { .. }));
        }
    }
    let was_broken = registry.meter.clear_faults() > 0;
    registry.advance_seconds(60);
    registry.cron().await;
    registry.run_until_idle().await;
    let posted = registry.composer_host.take_posts();
    let ids: Vec<&str> =
        posted.iter().filter_map(|posted| posted.headers["x-rostrum-delivery"].to_str().ok()).collect();
    assert!(!ids.is_empty() && ids.len() <= 2 && ids.iter().all(|id| *id == "1"), "{broken:?}: {ids:?}");
    assert_eq!(count(&registry, "webhook_deliveries"), 1, "{broken:?}");
    let states = registry.database.rows("SELECT state, lease_until FROM webhook_deliveries");
    assert_eq!(states, [json!({"state": "delivered", "lease_until": null})], "{broken:?}");
    assert!(!logs::text().contains("0123456789abcdef"));
    was_broken
}

#[tokio::test]
async fn with_every_call_broken_the_end_of_a_permission_is_told_under_one_id() {
    let broken = with_every_call_failing(&[Port::Database, Port::Queue], scenario).await;
    assert!(broken > 10, "{broken}");
}

type Change = fn(&TestRegistry, &str) -> crate::support::TestRequest;

#[tokio::test]
async fn with_every_call_of_the_database_broken_a_change_is_made_and_noted_or_neither() {
    let changes: [(Change, u16); 5] = [
        (
            |registry, _| {
                registry.storefront_post("/webhooks", &json!({"url": "https://b.test", "events": ["download.first"]}))
            },
            201,
        ),
        (|registry, id| registry.storefront_patch(&format!("/webhooks/{id}"), &json!({"status": 0})), 200),
        (|registry, id| registry.storefront_delete(&format!("/webhooks/{id}")), 204),
        (|registry, id| registry.storefront_post(&format!("/webhooks/{id}/test"), &json!({})), 201),
        (|registry, id| registry.storefront_post(&format!("/webhooks/{id}/deliveries/1/redeliver"), &json!({})), 200),
    ];
    let state = |registry: &TestRegistry| {
        let mut rows = registry.database.rows("SELECT uid, is_enabled FROM webhooks ORDER BY id");
        rows.extend(registry.database.rows("SELECT id, state FROM webhook_deliveries ORDER BY id"));
        rows
    };
    for (place, (change, status)) in changes.into_iter().enumerate() {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                let registry = TestRegistry::new();
                let id = pinged(&registry).await;
                registry.run_until_idle().await;
                let (before, noted) = (state(&registry), count(&registry, "audit_log"));
                registry.meter.break_nth(Port::Database, nth, timing);
                let reply = change(&registry, &id).send().await;
                if registry.meter.clear_faults() == 0 {
                    reply.expect(status);
                    assert_ne!(state(&registry), before, "change {place}");
                    assert_eq!(count(&registry, "audit_log"), noted + 1, "change {place}");
                    assert!(nth > 1);
                    break;
                }
                reply.expect(500);
                let was_done = state(&registry) != before;
                assert_eq!(was_done, timing == FaultTiming::After, "change {place}, call {nth}");
                assert_eq!(count(&registry, "audit_log"), noted + i64::from(was_done), "change {place}, call {nth}");
            }
        }
    }
}

#[tokio::test]
async fn a_first_download_is_told_if_and_only_if_it_is_counted() {
    for (timing, told) in [(FaultTiming::Before, 0), (FaultTiming::After, 1)] {
        let registry = TestRegistry::new();
        registry.published("acme/lib", &["1.0.0"]).await;
        let spec = json!({"url": SHOP, "events": ["download.first"]});
        registry.storefront_post("/webhooks", &spec).send().await.expect(201);
        let consumer = registry.consumer().await;
        registry.grant(&consumer, "acme/lib", "*").await;
        consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
        registry.run_until_idle().await;
        let body = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
        let report = || registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key).json(&body);
        registry.meter.break_nth(Port::Database, 1, timing);
        report().send().await.expect(204);
        registry.run_until_idle().await;
        assert_eq!(registry.meter.clear_faults(), 1);
        assert_eq!((count(&registry, "webhook_deliveries"), count(&registry, "downloads")), (told, told), "{timing:?}");
        let ((), calls) = registry
            .counted(async {
                report().send().await.expect(204);
                registry.run_until_idle().await;
            })
            .await;
        assert_eq!(
            (calls.round_trips, calls.statements),
            (1, 3),
            "what is told, and what is counted for consumer and seat"
        );
        assert_eq!((count(&registry, "webhook_deliveries"), count(&registry, "downloads")), (1, 1), "{timing:?}");
    }
}

#[test]
fn what_is_looked_for_every_minute_and_at_every_report_is_found_by_an_index() {
    use rostrum::ports::Millis;
    use rostrum::store::kernel::webhook_events::notify_first_downloads;
    use rostrum::store::storefront::deliveries::{claim, delete_old, due};
    use rostrum::store::storefront::endings::{notify_ending_soon, notify_expired, notify_updates_ended, prune};
    let registry = TestRegistry::new();
    let now = Millis(1);
    let endings = (notify_expired(now), notify_updates_ended(now));
    let later = (notify_ending_soon(now), prune(now, 1));
    let stmts = statements((endings, claim(1, now, now), due(now), delete_old(now), later));
    let mut plans: Vec<String> = stmts.iter().map(|stmt| registry.database.plan(stmt)).collect();
    let first = registry.database.plan(&notify_first_downloads(OrganizationId::ROOT, 1, "[]".to_owned(), now));
    assert!(first.contains("SEARCH d USING COVERING INDEX downloads_by_consumer"), "{first}");
    plans.push(first);
    for plan in &plans {
        for table in [
            "grants",
            "t",
            "consumer_networks",
            "webhook_deliveries",
            "downloads",
            "versions",
            "packages",
            "consumers",
            "d",
            "c",
        ] {
            assert!(!plan.lines().any(|step| step == format!("SCAN {table}")), "{plan}");
        }
    }
    for (plan, index) in [
        (0, "grants_ending"),
        (1, "grants_ending"),
        (2, "grants_updates_ending"),
        (3, "grants_updates_ending"),
        (6, "webhook_deliveries_due"),
        (8, "grants_ending"),
        (8, "grants_updates_ending"),
        (9, "ending_notices_by_time"),
    ] {
        assert!(plans[plan].contains(index), "{index}: {}", plans[plan]);
    }
}
