//! What is left of a webhook's deliveries when the shop, the database or the queue fail.

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use rostrum::store::OrganizationId;
use serde_json::{Value, json};

use crate::support::faults::{Break, break_every_call, count};
use crate::support::{Moment, Port, Trouble, World, logs};

const SHOP: &str = "https://shop.test/hooks";
const PING: Job = Job::Deliver { delivery_id: 1 };

/// A webhook with a ping on the queue; its id.
async fn pinged(world: &World) -> String {
    world.far.put(SHOP, "thanks");
    let spec = json!({"url": SHOP, "events": ["permission.expired"]});
    let id = world.shop_posts("/webhooks", &spec).send().await.expect(201).id();
    world.shop_posts(&format!("/webhooks/{id}/test"), &json!({})).send().await.expect(201);
    id
}

/// The latest entry of the log: `[state, attempts, status, error]`.
async fn latest(world: &World, id: &str) -> Value {
    let log = world.shop_gets(&format!("/webhooks/{id}/deliveries")).send().await.expect(200).json();
    json!([log[0]["state"], log[0]["attempts"], log[0]["last_status"], log[0]["last_error"]])
}

#[tokio::test]
async fn what_fails_is_sent_again_after_growing_rests_and_given_up_after_seven_times() {
    let world = World::new();
    let id = pinged(&world).await;
    world.far.trouble(SHOP, Trouble::Status(500));
    world.settle().await;
    for (place, minutes) in [1, 5, 30, 120, 360, 720].into_iter().enumerate() {
        assert_eq!(world.far.take_posted().len(), 1, "attempt {place}");
        assert_eq!(latest(&world, &id).await, json!(["pending", place + 1, 500, "the server answered 500"]));
        world.advance_seconds(minutes * 60 - 1);
        world.cron().await;
        world.settle().await;
        assert!(world.far.take_posted().is_empty(), "too early, {minutes}");
        world.advance_seconds(1);
        world.cron().await;
        world.settle().await;
    }
    assert_eq!(world.far.take_posted().len(), 1);
    assert_eq!(latest(&world, &id).await, json!(["failed", 7, 500, "the server answered 500"]));
    world.advance_seconds(86_400);
    world.cron().await;
    assert!(!world.desk.jobs().contains(&PING));
    // Redelivery begins from the start, with the same id.
    world.far.recover();
    let path = format!("/webhooks/{id}/deliveries/1/redeliver");
    let again = world.shop_posts(&path, &json!({})).send().await.expect(200).json();
    assert_eq!((&again["id"], &again["state"], &again["attempts"]), (&json!(1), &json!("pending"), &json!(0)));
    world.settle().await;
    let posted = world.far.take_posted();
    assert_eq!((posted.len(), posted[0].headers["x-rostrum-delivery"].to_str().ok()), (1, Some("1")));
    assert_eq!(latest(&world, &id).await, json!(["delivered", 1, 200, null]));
    world.shop_posts(&format!("/webhooks/{id}/deliveries/2/redeliver"), &json!({})).send().await.expect(404);
    world.shop_posts(&format!("/webhooks/{id}/deliveries/x/redeliver"), &json!({})).send().await.expect(404);
}

#[tokio::test]
async fn only_success_is_success_and_redirects_are_not_followed() {
    for (trouble, status, error) in [
        (Trouble::Redirect("https://elsewhere.test/".to_owned()), json!(302), "the server answered 302"),
        (Trouble::Status(404), json!(404), "the server answered 404"),
        (Trouble::TimedOut, Value::Null, "the server did not answer within 10 s"),
        (Trouble::Unreachable, Value::Null, "the server cannot be reached: connection refused"),
    ] {
        let world = World::new();
        let id = pinged(&world).await;
        world.far.trouble(SHOP, trouble);
        world.settle().await;
        assert_eq!(world.far.take_urls(), [SHOP]);
        assert_eq!(latest(&world, &id).await, json!(["pending", 1, status, error]));
    }
    // However much the shop says, and however it ends, what counts is its status.
    for trouble in [Trouble::Says(vec![b'x'; 5000]), Trouble::BrokenOff] {
        let world = World::new();
        let id = pinged(&world).await;
        world.far.trouble(SHOP, trouble);
        world.settle().await;
        assert_eq!(latest(&world, &id).await, json!(["delivered", 1, 200, null]));
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_asked_any_more_is_not() {
    let world = World::new();
    let id = pinged(&world).await;
    world.database.execute("UPDATE webhooks SET url = 'https://10.0.0.1/hooks'");
    world.settle().await;
    assert!(world.far.take_posted().is_empty());
    let error = "the address must not lead to a private, loopback or link-local address";
    assert_eq!(latest(&world, &id).await, json!(["pending", 1, null, error]));
}

#[tokio::test]
async fn two_workers_do_not_send_a_delivery_at_once() {
    let world = World::new();
    let id = pinged(&world).await;
    world.far.hold("shop.test");
    let app = world.isolate.app.clone();
    let first = tokio::spawn(async move { perform(&app, PING).await });
    world.far.until_held().await;
    perform(&world.isolate.app, PING).await.expect("somebody else sends it");
    assert_eq!(world.far.take_posted().len(), 1);
    // Its lease is over: it is taken for lost, and sent again.
    world.advance_seconds(60);
    world.far.let_go();
    perform(&world.another_isolate().app, PING).await.expect("sent again");
    first.await.expect("no panic").expect("nothing to settle any more");
    assert_eq!(world.far.take_posted().len(), 1);
    assert_eq!(latest(&world, &id).await, json!(["delivered", 2, 200, null]));
}

#[tokio::test]
async fn a_disabled_webhook_is_told_nothing_until_it_is_enabled() {
    let world = World::new();
    let id = pinged(&world).await;
    let path = format!("/webhooks/{id}");
    world.shop_patches(&path, &json!({"status": 0})).send().await.expect(200);
    world.settle().await;
    world.advance_seconds(60);
    world.cron().await;
    assert!(world.desk.jobs().is_empty());
    for of_it in ["test", "deliveries/1/redeliver"] {
        let refused = world.shop_posts(&format!("{path}/{of_it}"), &json!({})).send().await.expect(409);
        assert_eq!(refused.json()["error"], "This webhook is disabled. Set its `status` to 1 first.");
    }
    assert_eq!(latest(&world, &id).await, json!(["pending", 0, null, null]));
    world.shop_patches(&path, &json!({"status": 1})).send().await.expect(200);
    world.cron().await;
    world.settle().await;
    assert_eq!(world.far.take_posted().len(), 1);
}

#[tokio::test]
async fn a_delivery_whose_job_the_queue_lost_is_found_by_cron() {
    for moment in [Moment::Before, Moment::After] {
        let world = World::new();
        world.meter.break_all(Port::Queue, moment);
        let id = pinged(&world).await;
        world.meter.mend();
        world.desk.lose_jobs();
        world.cron().await;
        assert_eq!(world.desk.jobs(), [PING]);
        world.settle().await;
        assert_eq!(latest(&world, &id).await, json!(["delivered", 1, 200, null]));
    }
}

#[tokio::test]
async fn a_deletion_ends_what_was_to_be_told_and_the_log_is_kept_for_thirty_days() {
    let world = World::new();
    let id = pinged(&world).await;
    world.settle().await;
    world.advance_seconds(30 * 86_400);
    world.cron().await;
    assert_eq!(count(&world, "webhook_deliveries"), 1);
    world.advance_seconds(3600);
    world.cron().await;
    assert_eq!(count(&world, "webhook_deliveries"), 0);
    world.shop_posts(&format!("/webhooks/{id}/test"), &json!({})).send().await.expect(201);
    let job = world.desk.jobs();
    assert_eq!(job, [Job::Deliver { delivery_id: 2 }], "an id is not given again");
    world.shop_deletes(&format!("/webhooks/{id}")).send().await.expect(204);
    world.settle().await;
    assert_eq!((world.far.take_posted().len(), count(&world, "webhook_deliveries")), (1, 0));
}

/// A permission that ends, a webhook that wants to know, and a minute of cron after minute, with one call broken.
async fn story(broken: Break) -> bool {
    let world = World::new();
    let spec = json!({"url": SHOP, "events": ["permission.expired"], "secret": "0123456789abcdef"});
    world.far.put(SHOP, "thanks");
    world.shop_posts("/webhooks", &spec).send().await.expect(201);
    let customer = world.customer().await;
    let spec = json!({
        "consumer_id": customer.id, "package": "acme/lib", "version": "5.*", "expires_at": "2026-01-01 00:00:30",
    });
    world.shop_posts("/permissions", &spec).send().await.expect(201);
    broken.arm(&world);
    for _ in 0..3 {
        world.advance_seconds(60);
        if let Err(failure) = rostrum::registry::operations::cron::tick(&world.isolate.app).await {
            assert!(failure.source.is_some());
        }
        for (job, _) in world.settle_with_failures().await {
            // The queue brings it again a minute later; so does cron.
            assert!(matches!(job, Job::Deliver { .. }));
        }
    }
    let was_broken = world.meter.mend() > 0;
    world.advance_seconds(60);
    world.cron().await;
    world.settle().await;
    let posted = world.far.take_posted();
    let ids: Vec<&str> =
        posted.iter().filter_map(|posted| posted.headers["x-rostrum-delivery"].to_str().ok()).collect();
    assert!(!ids.is_empty() && ids.len() <= 2 && ids.iter().all(|id| *id == "1"), "{broken:?}: {ids:?}");
    assert_eq!(count(&world, "webhook_deliveries"), 1, "{broken:?}");
    let states = world.database.rows("SELECT state, lease_until FROM webhook_deliveries");
    assert_eq!(states, [json!({"state": "delivered", "lease_until": null})], "{broken:?}");
    assert!(!logs::text().contains("0123456789abcdef"));
    was_broken
}

#[tokio::test]
async fn with_every_call_broken_the_end_of_a_permission_is_told_under_one_id() {
    let broken = break_every_call(&[Port::Database, Port::Queue], story).await;
    assert!(broken > 10, "{broken}");
}

type Change = fn(&World, &str) -> crate::support::Ask;

#[tokio::test]
async fn with_every_call_of_the_database_broken_a_change_is_made_and_noted_or_neither() {
    let changes: [(Change, u16); 5] = [
        (
            |world, _| world.shop_posts("/webhooks", &json!({"url": "https://b.test", "events": ["download.first"]})),
            201,
        ),
        (|world, id| world.shop_patches(&format!("/webhooks/{id}"), &json!({"status": 0})), 200),
        (|world, id| world.shop_deletes(&format!("/webhooks/{id}")), 204),
        (|world, id| world.shop_posts(&format!("/webhooks/{id}/test"), &json!({})), 201),
        (|world, id| world.shop_posts(&format!("/webhooks/{id}/deliveries/1/redeliver"), &json!({})), 200),
    ];
    let state = |world: &World| {
        let mut rows = world.database.rows("SELECT uid, is_enabled FROM webhooks ORDER BY id");
        rows.extend(world.database.rows("SELECT id, state FROM webhook_deliveries ORDER BY id"));
        rows
    };
    for (place, (change, status)) in changes.into_iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                let world = World::new();
                let id = pinged(&world).await;
                world.settle().await;
                let (before, noted) = (state(&world), count(&world, "audit_log"));
                world.meter.break_nth(Port::Database, nth, moment);
                let reply = change(&world, &id).send().await;
                if world.meter.mend() == 0 {
                    reply.expect(status);
                    assert_ne!(state(&world), before, "change {place}");
                    assert_eq!(count(&world, "audit_log"), noted + 1, "change {place}");
                    assert!(nth > 1);
                    break;
                }
                reply.expect(500);
                let was_done = state(&world) != before;
                assert_eq!(was_done, moment == Moment::After, "change {place}, call {nth}");
                assert_eq!(count(&world, "audit_log"), noted + i64::from(was_done), "change {place}, call {nth}");
            }
        }
    }
}

#[tokio::test]
async fn a_first_download_is_told_if_and_only_if_it_is_counted() {
    for (moment, told) in [(Moment::Before, 0), (Moment::After, 1)] {
        let world = World::new();
        world.published("acme/lib", &["1.0.0"]).await;
        let spec = json!({"url": SHOP, "events": ["download.first"]});
        world.shop_posts("/webhooks", &spec).send().await.expect(201);
        let customer = world.customer().await;
        world.grant(&customer, "acme/lib", "*").await;
        customer.asks(&world.isolate, "/packages.json").send().await.expect(200);
        world.settle().await;
        let body = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
        let report = || world.post("/notify-batch").pair(&customer.public_key, &customer.private_key).json(&body);
        world.meter.break_nth(Port::Database, 1, moment);
        report().send().await.expect(204);
        world.settle().await;
        assert_eq!(world.meter.mend(), 1);
        assert_eq!((count(&world, "webhook_deliveries"), count(&world, "downloads")), (told, told), "{moment:?}");
        let ((), calls) = world
            .counted(async {
                report().send().await.expect(204);
                world.settle().await;
            })
            .await;
        assert_eq!((calls.round_trips, calls.statements), (1, 2));
        assert_eq!((count(&world, "webhook_deliveries"), count(&world, "downloads")), (1, 1), "{moment:?}");
    }
}

#[test]
fn what_is_looked_for_every_minute_and_at_every_report_is_found_by_an_index() {
    use rostrum::ports::Millis;
    use rostrum::store::storefront::deliveries::{claim, due, forget, tell_expired, tell_first_downloads};
    let world = World::new();
    let now = Millis(1);
    let mut plans: Vec<String> = tell_expired(now).iter().map(|stmt| world.database.plan(stmt)).collect();
    plans.extend(claim(1, now, now).iter().map(|stmt| world.database.plan(stmt)));
    plans.extend([due(now), forget(now)].iter().map(|stmt| world.database.plan(stmt)));
    let first = world.database.plan(&tell_first_downloads(OrganizationId::ROOT, 1, "consumer:1", "[]".to_owned(), now));
    assert!(first.contains("SEARCH d USING COVERING INDEX downloads_by_consumer"), "{first}");
    plans.push(first);
    for plan in &plans {
        for table in ["grants", "webhook_deliveries", "downloads", "versions", "packages", "consumers", "d", "c"] {
            assert!(!plan.lines().any(|step| step == format!("SCAN {table}")), "{plan}");
        }
    }
    assert!(plans[0].contains("grants_ending") && plans[1].contains("grants_ending"), "{plans:?}");
    assert!(plans[4].contains("webhook_deliveries_due"), "{}", plans[4]);
}
