//! What consumers see with their key pairs and their further tokens, and how soon a change shows.

use rostrum::store::access::tokens;
use rostrum::store::storefront::{consumers, entitlements};
use rostrum::store::{OrganizationId, Page};
use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, Customer, World};

/// A shop with one package of three versions.
async fn shop() -> (World, Customer, String) {
    let world = World::new();
    let (repo, _) = world.published("acme/lib", &["1.0.0", "5.0.0", "5.1.0"]).await;
    let customer = world.customer().await;
    let reference = repo.id("main");
    (world, customer, reference)
}

async fn versions(world: &World, customer: &Customer) -> Vec<String> {
    let reply = customer.asks(&world.isolate, "/p2/acme/lib.json").send().await;
    if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("acme/lib") }
}

async fn permit(world: &World, customer: &Customer, more: Value) -> Value {
    let mut body = json!({"consumer_id": customer.id, "package": "acme/lib", "version": "*"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    world.shop_posts("/permissions", &body).send().await.expect(201).json()
}

#[tokio::test]
async fn a_consumer_sees_what_it_was_granted_on_every_surface_and_nothing_else() {
    let (world, customer, reference) = shop().await;
    world.published("other/hidden", &["1.0.0"]).await;
    let ask = async |path: &str| customer.asks(&world.isolate, path).send().await;
    assert_eq!(ask("/list.json").await.expect(200).json(), json!({"packageNames": []}));
    world.grant(&customer, "acme/lib", "5.*").await;
    let root = ask("/packages.json").await.expect(200).json();
    assert_eq!(root["available-packages"], json!(["acme/lib"]));
    assert_eq!(ask("/list.json").await.expect(200).json(), json!({"packageNames": ["acme/lib"]}));
    assert_eq!(ask("/search.json?q=").await.expect(200).json()["total"], 1);
    assert_eq!(versions(&world, &customer).await, ["5.1.0", "5.0.0"]);
    ask(&format!("/dist/acme/lib/5.0.0/{reference}.zip")).await.expect(200);
    ask(&format!("/dist/acme/lib/1.0.0/{reference}.zip")).await.expect(404);
    ask("/dist/acme/lib/1.0.0.zip").await.expect(404);
    ask("/p2/other/hidden.json").await.expect(404);
    ask("/dist/other/hidden/1.0.0.zip").await.expect(404);
    assert_eq!(ask("/api/packages").await.expect(200).header("x-total-count"), "1");
    ask("/api/tokens").await.expect(403);
    ask("/api/storefront/consumers").await.expect(403);
}

#[tokio::test]
async fn a_changed_permission_is_another_view_so_that_composer_gets_everything_anew() {
    let (world, customer, _) = shop().await;
    let made = world.grant(&customer, "acme/lib", "5.*").await;
    let path = format!("/permissions/{}", made["id"]);
    let p2 = |earlier| customer.asks(&world.isolate, "/p2/acme/lib.json").since(earlier);
    let five = customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(200);
    p2(&five).send().await.expect(304);
    world.shop_patches(&path, &json!({"version": "1.*"})).send().await.expect(200);
    let one = p2(&five).send().await.expect(200);
    assert_eq!(one.version_names("acme/lib"), ["1.0.0"]);
    world.grant(&customer, "acme/lib", "5.0.*").await;
    let both = p2(&one).send().await.expect(200);
    assert_eq!(both.version_names("acme/lib"), ["5.0.0", "1.0.0"]);
    world.shop_deletes(&path).send().await.expect(204);
    assert_eq!(p2(&both).send().await.expect(200).version_names("acme/lib"), ["5.0.0"]);
    world.shop_deletes(&path).send().await.expect(404);
    let list = format!("/consumers/{}/entitlements", customer.id);
    world.shop_puts(&list, &json!([])).send().await.expect(200);
    p2(&both).send().await.expect(404);
    let back = json!([{"package": "acme/lib", "version": "5.*"}]);
    world.shop_puts(&list, &back).send().await.expect(200);
    p2(&five).send().await.expect(304);
}

#[tokio::test]
async fn customers_who_see_the_same_versions_share_one_document_whatever_they_paid_for() {
    let (world, customer, _) = shop().await;
    let other = world.customer().await;
    let third = world.customer().await;
    world.grant(&customer, "acme/lib", "5.*").await;
    permit(&world, &other, json!({"version": ">=5", "updates_until": "2999-01-01 00:00:00"})).await;
    permit(&world, &other, json!({"version": "5.0.0"})).await;
    world.grant(&third, "acme/lib", "*").await;
    for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
        let ask = async |customer: &Customer| customer.asks(&world.isolate, path).send().await.expect(200);
        let (one, same, more) = (ask(&customer).await, ask(&other).await, ask(&third).await);
        for header in ["etag", "last-modified"] {
            assert_eq!(one.header(header), same.header(header), "{path} {header}");
            assert_ne!(one.header(header), more.header(header), "{path} {header}");
        }
        assert_eq!(one.text(), same.text(), "{path}");
        other.asks(&world.isolate, path).since(&one).send().await.expect(304);
        third.asks(&world.isolate, path).since(&one).send().await.expect(200);
        let elsewhere = world.another_isolate();
        other.asks(&elsewhere, path).since(&one).send().await.expect(304);
    }
}

#[tokio::test]
async fn a_customer_is_not_told_where_the_sources_are_and_a_token_is() {
    let (world, customer, _) = shop().await;
    let reader = world.reader().await;
    for granted in ["5.*", "*"] {
        world.grant(&customer, "acme/lib", granted).await;
        for path in ["/p2/acme/lib.json", "/p2/acme/lib~dev.json"] {
            let told = world.get(path).basic(&reader).composer().send().await.expect(200);
            let untold = customer.asks(&world.isolate, path).send().await.expect(200);
            let pair = (customer.public_key.as_str(), customer.private_key.as_str());
            let plain = world.get(path).pair(pair.0, pair.1).send().await.expect(200);
            assert!(plain.json()["packages"]["acme/lib"].is_object(), "each version by its name, in full");
            assert!(told.text().contains("\"source\""), "{path}");
            assert!(!untold.text().contains("\"source\""), "{path} {granted}");
            assert!(!plain.text().contains("\"source\""), "{path} {granted}");
            assert_ne!(told.header("etag"), untold.header("etag"));
            assert_ne!(told.header("last-modified"), untold.header("last-modified"), "composer shares a cache");
            for version in untold.versions("acme/lib") {
                assert_eq!(version["dist"]["type"], "zip");
            }
        }
    }
}

#[tokio::test]
async fn a_change_is_believed_at_once_here_and_within_the_bound_elsewhere() {
    let (world, customer, _) = shop().await;
    let made = world.grant(&customer, "acme/lib", "5.*").await;
    let elsewhere = world.another_isolate();
    customer.asks(&elsewhere, "/p2/acme/lib.json").send().await.expect(200);
    customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(200);
    world.cache.lag();
    world.shop_deletes(&format!("/permissions/{}", made["id"])).send().await.expect(204);
    for _ in 0..4 {
        customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(404);
        world.advance_seconds(30);
    }
    customer.asks(&elsewhere, "/p2/acme/lib.json").send().await.expect(404);
}

#[tokio::test]
async fn a_permission_ends_at_its_moment() {
    let (world, customer, _) = shop().await;
    let end = world.isolate.app.now().seconds() + 3600;
    let made = permit(&world, &customer, json!({})).await;
    world.database.execute(&format!("UPDATE grants SET expires_at = {end} * 1000"));
    let shown = world.shop_gets(&format!("/permissions/{}", made["id"])).send().await.expect(200).json();
    world.database.execute("UPDATE grants SET expires_at = NULL");
    let body = json!({"expires_at": shown["expires_at"]});
    world.shop_patches(&format!("/permissions/{}", made["id"]), &body).send().await.expect(200);
    world.advance_seconds(3599);
    assert_eq!(versions(&world, &customer).await.len(), 3);
    world.advance_seconds(1);
    assert!(versions(&world, &customer).await.is_empty());
    customer.asks(&world.isolate, "/dist/acme/lib/1.0.0.zip").send().await.expect(404);
}

#[tokio::test]
async fn versions_released_until_a_day_stay_installable_and_later_ones_never_show() {
    let (world, customer, _) = shop().await;
    world.database.execute(
        "UPDATE versions SET released_at = 1500000000000 WHERE pretty = '5.0.0';
         UPDATE packages SET version_index =
           (SELECT json_group_array(json_array(normalized, CASE pretty WHEN '5.0.0' THEN 1500000000000
              ELSE released_at END, pretty)) FROM versions WHERE removed_at IS NULL AND package_id = packages.id);",
    );
    permit(&world, &customer, json!({"updates_until": "2017-07-14 02:40:00"})).await;
    customer.asks(&world.isolate, "/dist/acme/lib/5.0.0.zip").send().await.expect(200);
    customer.asks(&world.isolate, "/dist/acme/lib/5.1.0.zip").send().await.expect(404);
    world.advance_seconds(365 * 24 * 3600);
    customer.asks(&world.isolate, "/dist/acme/lib/5.0.0.zip").send().await.expect(200);
}

#[tokio::test]
async fn a_disabled_consumer_is_refused_with_a_warning_that_composer_prints() {
    let (world, customer, _) = shop().await;
    world.grant(&customer, "acme/lib", "*").await;
    let path = format!("/consumers/{}", customer.id);
    let made = world.shop_posts(&format!("{path}/tokens"), &json!({"description": "a"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let elsewhere = world.another_isolate();
    customer.asks(&elsewhere, "/packages.json").send().await.expect(200);
    assert_eq!(world.shop_patches(&path, &json!({"status": 0})).send().await.expect(200).json()["status"], 0);
    let refused = customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(401);
    let words = "This account was disabled. Ask whoever sold you the packages.";
    assert_eq!(refused.json(), json!({"error": words, "warning": words, "code": "UNAUTHENTICATED", "details": {}}));
    assert_eq!(refused.header("content-type"), "application/json");
    assert!(refused.header("www-authenticate").starts_with("Basic"));
    assert_eq!(world.get("/packages.json").basic(&token).composer().send().await.expect(401).json()["warning"], words);
    world.advance_seconds(30);
    assert_eq!(customer.asks(&elsewhere, "/packages.json").send().await.expect(401).json()["warning"], words);
    let listed = world.shop_gets(&path).send().await.expect(200).json();
    assert_eq!(listed["status"], 0);
    world.shop_patches(&path, &json!({"status": 1})).send().await.expect(200);
    customer.asks(&world.isolate, "/p2/acme/lib.json").send().await.expect(200);
}

#[tokio::test]
async fn a_wrong_pair_is_refused_in_the_words_of_an_unknown_token_and_remembered() {
    let (world, customer, _) = shop().await;
    let other = world.customer().await;
    let unknown = world.get("/packages.json").basic("wrong").composer().send().await.expect(401);
    let path = "/packages.json";
    for (public, private) in [
        (customer.public_key.as_str(), other.private_key.as_str()),
        (other.public_key.as_str(), customer.private_key.as_str()),
        (customer.private_key.as_str(), customer.public_key.as_str()),
        (customer.public_key.as_str(), customer.public_key.as_str()),
        ("anybody", customer.private_key.as_str()),
        (customer.public_key.as_str(), ""),
    ] {
        let reply = world.get(path).pair(public, private).composer().send().await.expect(401);
        if !private.is_empty() {
            assert_eq!(reply.text(), unknown.text());
        }
        let (_, again) = world.counted(world.get(path).pair(public, private).composer().send()).await;
        assert_eq!(again, Calls::default());
    }
    world.get(path).bearer(&customer.private_key).composer().send().await.expect(401);
    customer.asks(&world.isolate, path).send().await.expect(200);
}

#[tokio::test]
async fn a_pair_costs_what_a_token_costs() {
    let (world, customer, _) = shop().await;
    world.grant(&customer, "acme/lib", "5.*").await;
    let path = "/p2/acme/lib.json";
    let (reply, unseen) = world.counted(customer.asks(&world.another_isolate(), path).send()).await;
    reply.expect(200);
    let expected =
        Calls { round_trips: 1, statements: 2, cache_reads: 1, cache_lists: 1, cache_writes: 1, ..Calls::default() };
    assert_eq!(unseen, expected);
    let (reply, cold) = world.counted(customer.asks(&world.another_isolate(), path).send()).await;
    reply.expect(200);
    assert_eq!(cold, Calls { round_trips: 1, statements: 1, cache_reads: 1, cache_lists: 1, ..Calls::default() });
    customer.asks(&world.isolate, path).send().await.expect(200);
    let (reply, warm) = world.counted(customer.asks(&world.isolate, path).send()).await;
    reply.expect(200);
    assert_eq!(warm, Calls::default());
}

#[tokio::test]
async fn seats_bound_the_further_tokens_which_see_what_the_consumer_sees() {
    let (world, customer, _) = shop().await;
    world.grant(&customer, "acme/lib", "5.*").await;
    let path = format!("/consumers/{}", customer.id);
    let tokens = format!("{path}/tokens");
    assert_eq!(world.shop_gets(&tokens).send().await.expect(200).json(), json!([]));
    world.shop_patches(&path, &json!({"seats": 2})).send().await.expect(200);
    let ask = || world.shop_posts(&tokens, &json!({"description": " build server "}));
    let mut statuses = Vec::new();
    let mut made = Vec::new();
    for reply in crate::support::at_once((0..3).map(|_| ask())).await {
        statuses.push(reply.status);
        if reply.status == 201 {
            made.push(reply.json());
        } else {
            assert!(reply.text().contains("Every seat of this consumer is taken."), "{}", reply.text());
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409]);
    let token = made[0]["token"].as_str().expect("a token").to_owned();
    let p2 = world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(p2.version_names("acme/lib"), ["5.1.0", "5.0.0"]);
    let listed = world.shop_gets(&tokens).send().await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!((&listed[0]["description"], listed[0].get("token")), (&json!("build server"), None));

    world.shop_puts(&format!("{path}/entitlements"), &json!([])).send().await.expect(200);
    world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(404);
    let of_it = format!("{tokens}/{}", made[0]["id"].as_str().expect("an id"));
    world.shop_deletes(&of_it).send().await.expect(204);
    world.get("/packages.json").basic(&token).send().await.expect(401);
    world.shop_deletes(&of_it).send().await.expect(404);
    ask().send().await.expect(201);
    for spec in [json!({}), json!({"description": " "}), json!({"description": "a", "seat": 1})] {
        world.shop_posts(&tokens, &spec).send().await.expect(400);
    }
    world.shop_posts("/consumers/9/tokens", &json!({"description": "a"})).send().await.expect(404);
    world.shop_gets("/consumers/9/tokens").send().await.expect(404);
}

#[tokio::test]
async fn credentials_of_consumers_are_out_of_reach_of_the_token_api() {
    let (world, customer, _) = shop().await;
    let tokens = format!("/consumers/{}/tokens", customer.id);
    let made = world.shop_posts(&tokens, &json!({"description": "further"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let listed = world.get("/api/tokens").bearer(ADMIN).send().await.expect(200);
    assert_eq!((listed.json(), listed.header("x-total-count")), (json!([]), "0"));
    let uids = world.database.rows("SELECT uid FROM tokens");
    assert_eq!(uids.len(), 2);
    for row in &uids {
        let path = format!("/api/tokens/{}", row["uid"].as_str().expect("text"));
        world.get(&path).bearer(ADMIN).send().await.expect(404);
        world.patch(&path).bearer(ADMIN).json(&json!({"grants": [{"pattern": "*"}]})).send().await.expect(404);
        world.post(&format!("{path}/rotate")).bearer(ADMIN).send().await.expect(404);
        world.delete(&path).bearer(ADMIN).send().await.expect(404);
    }
    let all = world.delete("/api/tokens?description=e").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(all["revoked"], 0);
    let keys = world.database.rows("SELECT uid FROM consumers");
    let of_keys = format!("{tokens}/{}", keys[0]["uid"].as_str().expect("text"));
    world.shop_deletes(&of_keys).send().await.expect(404);
    let other = world.customer().await;
    world.shop_deletes(&format!("/consumers/{}/tokens/{}", other.id, made.id())).send().await.expect(404);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM grants"), [json!({"n": 0})]);
    customer.asks(&world.isolate, "/packages.json").send().await.expect(200);
    world.get("/packages.json").basic(&token).send().await.expect(200);
    let (mine, _) = world.token(&json!({"description": "an ordinary one"})).await;
    world.shop_deletes(&format!("{tokens}/{mine}")).send().await.expect(404);
}

#[tokio::test]
async fn installs_are_counted_for_the_consumer_whichever_credential_it_used() {
    let (world, customer, _) = shop().await;
    world.grant(&customer, "acme/lib", "5.*").await;
    let tokens = format!("/consumers/{}/tokens", customer.id);
    let made = world.shop_posts(&tokens, &json!({"description": "a"})).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let report = json!({"downloads": [{"name": "acme/lib", "version": "5.0.0.0"}]});
    let pair = world.post("/notify-batch").pair(&customer.public_key, &customer.private_key);
    pair.composer().json(&report).send().await;
    world.post("/notify-batch").basic(&token).composer().json(&report).send().await;
    world.settle().await;
    let counted = world.database.rows("SELECT subject, sum(count) AS n FROM downloads GROUP BY 1");
    assert_eq!(counted, [json!({"subject": format!("consumer:{}", customer.id), "n": 2})]);
}

#[tokio::test]
async fn an_old_copy_of_a_token_in_kv_is_still_read() {
    let (world, _, _) = shop().await;
    let token = world.reader().await;
    world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let key = world.cache.keys("token:").pop().expect("a copy");
    let copy = world.isolate.app.ports.cache.get(&key).await.expect("KV works").expect("a copy");
    let mut old: Value = serde_json::from_str(&copy).expect("JSON");
    let old_fields = old.as_object_mut().expect("an object");
    assert!(old_fields.remove("consumer_id").is_some() && old_fields.remove("is_disabled").is_some());
    let ttl = std::time::Duration::from_mins(5);
    world.isolate.app.ports.cache.put(&key, old.to_string(), ttl, None).await.expect("KV works");
    let (reply, calls) =
        world.counted(world.another_isolate().get("/p2/acme/lib.json").basic(&token).composer().send()).await;
    reply.expect(200);
    assert_eq!(calls.statements, 1);
}

#[tokio::test]
async fn a_shop_sells_renews_upgrades_and_refunds() {
    let world = World::new();
    let (repo, id) = world.published("acme/extension", &["5.0.0"]).await;
    let (_, shop) = world.token(&json!({"description": "shop", "scopes": ["storefront:*"]})).await;
    let order = json!({"email": "one@example.com", "customer_id": "42", "order_id": "1001"});
    let made =
        world.post("/api/storefront/consumers").bearer(&shop).header("idempotency-key", "order-1001").json(&order);
    let customer = Customer::of(&made.send().await.expect(201));
    let list = format!("/api/storefront/consumers/{}/entitlements", customer.id);
    let set =
        async |permissions: Value| world.put(&list).bearer(&shop).json(&permissions).send().await.expect(200).json();
    let seen = async || {
        // Another minute, and in an isolate that remembers nothing.
        world.advance_seconds(60);
        let reply = customer.asks(&world.another_isolate(), "/p2/acme/extension.json").send().await;
        if reply.status == 404 { Vec::new() } else { reply.expect(200).version_names("acme/extension") }
    };
    let paid_until = |text: &str| json!({"package": "acme/extension", "version": "5.*", "updates_until": text});

    set(json!([paid_until("2030-01-01 00:00:00")])).await;
    assert_eq!(seen().await, ["5.0.0"]);
    for tag in ["5.1.0", "6.0.0"] {
        repo.commit(&[crate::support::manifest("acme/extension"), crate::support::file("src/New.php", tag)]);
        repo.tag(tag);
    }
    world.sync(&id).await;
    assert_eq!(seen().await, ["5.1.0", "5.0.0"]);
    let renewed = set(json!([paid_until("2031-01-01 00:00:00")])).await;
    assert_eq!(renewed.as_array().map(Vec::len), Some(1));
    assert_eq!(seen().await, ["5.1.0", "5.0.0"]);
    let next = json!({"package": "acme/extension", "version": "6.*", "updates_until": "2031-01-01 00:00:00"});
    let upgraded = set(json!([paid_until("2031-01-01 00:00:00"), next])).await;
    assert_eq!(upgraded[0]["id"], renewed[0]["id"]);
    assert_eq!(seen().await, ["6.0.0", "5.1.0", "5.0.0"]);
    set(json!([])).await;
    assert!(seen().await.is_empty());
    customer.asks(&world.isolate, "/dist/acme/extension/6.0.0.zip").send().await.expect(404);
}

#[tokio::test]
async fn what_is_looked_up_does_not_grow_with_the_number_of_consumers() {
    let (world, _, _) = shop().await;
    let page = Page { limit: 10, offset: 0 };
    let now = world.isolate.app.now();
    let grant = rostrum::registry::access::grant::packages("acme/lib");
    let mut stmts = vec![
        tokens::present("0", now),
        tokens::of_consumer(OrganizationId::ROOT, 1),
        tokens::known(OrganizationId::ROOT, tokens::Holder::Consumer(1), "x"),
        consumers::by_id(OrganizationId::ROOT, 1),
        consumers::delete(OrganizationId::ROOT, 1),
        entitlements::by_id(OrganizationId::ROOT, 1),
        entitlements::of_consumer(OrganizationId::ROOT, 1),
        entitlements::latest(OrganizationId::ROOT, 1),
        entitlements::insert(OrganizationId::ROOT, 1, &grant, now, 1000),
        entitlements::delete(OrganizationId::ROOT, 1, 1),
    ];
    stmts.extend(consumers::page(OrganizationId::ROOT, Some("one@example.com"), page));
    stmts.extend(entitlements::replace(OrganizationId::ROOT, 1, &[grant], now));
    for stmt in stmts {
        let plan = world.database.plan(&stmt);
        let scans: Vec<&str> =
            plan.lines().filter(|step| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE")).collect();
        assert!(plan.contains("SEARCH") && scans.is_empty(), "{}\n{plan}", stmt.sql);
    }
}
