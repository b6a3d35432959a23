//! `POST …/entitlements`, `PUT /consumers/by-customer/…` and orders: what a back end sends for a sale, a renewal and a refund.

use serde_json::{Value, json};

use crate::support::{TestConsumer, TestRegistry, send_concurrently};

async fn shop() -> (TestRegistry, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["1.0.0", "2.0.0"]).await;
    registry.published("acme/second", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    (registry, consumer)
}

/// Of each permission: its id, its order and up to when updates are paid for.
fn orders(list: &Value) -> Vec<(i64, Value, Value)> {
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| (row["id"].as_i64().expect("an id"), row["order_id"].clone(), row["updates_until"].clone()))
        .collect()
}

#[tokio::test]
async fn a_sale_adds_or_extends_and_never_shortens() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let sold =
        |until: &str| json!([{"package": "acme/first", "version": "1.*", "order_id": "1001", "updates_until": until}]);
    let add = |list: &Value| registry.storefront_post(&path, list);
    let first = add(&sold("2028-01-01 00:00:00")).send().await.expect(200).json();
    assert_eq!(orders(&first), [(1, json!("1001"), json!("2028-01-01 00:00:00"))]);
    assert_eq!(add(&sold("2028-01-01 00:00:00")).send().await.expect(200).json(), first, "twice is once");
    assert_eq!(add(&sold("2027-01-01 00:00:00")).send().await.expect(200).json(), first, "nothing is shortened");
    registry.advance_seconds(60);
    let renewed = add(&sold("2029-01-01 00:00:00")).send().await.expect(200).json();
    assert_eq!(orders(&renewed), [(1, json!("1001"), json!("2029-01-01 00:00:00"))]);
    assert_eq!(renewed[0]["created_at"], first[0]["created_at"]);
    assert_ne!(renewed[0]["updated_at"], first[0]["updated_at"]);
    // Another order, and one without, are permissions of their own.
    let others = json!([
        {"package": "acme/first", "version": "1.*", "order_id": "1002"}, {"package": "acme/first", "version": "1.*"},
    ]);
    let all = add(&others).send().await.expect(200).json();
    let ids: Vec<i64> = orders(&all).iter().map(|row| row.0).collect();
    assert_eq!(ids, [1, 2, 3]);
    // Less finished versions are let through too, and stay so.
    let beta = json!([{"package": "acme/first", "version": "1.*", "minimum_stability": "beta"}]);
    let again = json!([{"package": "acme/first", "version": "1.*", "minimum_stability": "RC"}]);
    for list in [&beta, &again] {
        let all = add(list).send().await.expect(200).json();
        let stabilities: Vec<&Value> =
            all.as_array().expect("a list").iter().map(|row| &row["minimum_stability"]).collect();
        assert_eq!(stabilities, ["stable", "stable", "beta"]);
    }
    registry.storefront_post("/consumers/9/entitlements", &beta).send().await.expect(404);
}

#[tokio::test]
async fn sales_at_the_same_time_lose_nothing() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let sold = |n: usize| json!([{"package": format!("acme/p{n}"), "version": "1.*", "order_id": n.to_string()}]);
    let replies = send_concurrently((0..4).map(|n| registry.storefront_post(&path, &sold(n)))).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    let kept = registry.database.rows("SELECT count(*) AS n FROM grants");
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(kept, [json!({ "n": done })], "{statuses:?}");
    assert!(done >= 3, "{statuses:?}");
}

#[tokio::test]
async fn a_refund_takes_one_order_back_and_nothing_else() {
    let (registry, consumer) = shop().await;
    let other = registry.consumer().await;
    let grant = |consumer: &TestConsumer, package: &str, order: &str| {
        let body = json!({"consumer_id": consumer.id, "package": package, "version": "*", "order_id": order});
        registry.storefront_post("/permissions", &body)
    };
    for (whose, package, order) in [
        (&consumer, "acme/first", "1001"),
        (&consumer, "acme/second", "1001"),
        (&other, "acme/first", "1001"),
        (&consumer, "acme/first", "1002"),
    ] {
        grant(whose, package, order).send().await.expect(201);
    }
    let refund = || registry.storefront_delete("/permissions?order_id=1001");
    let gone = refund().send().await.expect(200).json();
    assert_eq!(orders(&gone).iter().map(|row| row.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(refund().send().await.expect(200).json(), json!([]));
    let left = registry.storefront_get("/permissions").send().await.expect(200).json();
    assert_eq!(orders(&left), [(4, json!("1002"), Value::Null)]);
    other.get(&registry.isolate, "/p2/acme/first.json").send().await.expect_claim("acme/first");
    consumer.get(&registry.isolate, "/p2/acme/first.json").send().await.expect(200);
    registry.storefront_delete("/permissions").send().await.expect(400);
    let noted = registry.database.rows("SELECT action, target FROM audit_log WHERE action LIKE 'order.%'");
    assert_eq!(noted, [json!({"action": "order.revoked", "target": "1001"})]);
}

#[tokio::test]
async fn a_renewal_extends_all_of_an_order() {
    let (registry, consumer) = shop().await;
    for package in ["acme/first", "acme/second"] {
        let body = json!({
            "consumer_id": consumer.id, "package": package, "version": "*", "order_id": "1001",
            "updates_until": "2028-01-01 00:00:00", "metadata": {"edition": "pro"},
        });
        registry.storefront_post("/permissions", &body).send().await.expect(201);
    }
    let renew = |body: Value| registry.storefront_patch("/permissions?order_id=1001", &body);
    let renewed = renew(json!({"updates_until": "2029-01-01 00:00:00"})).send().await.expect(200).json();
    let until = json!("2029-01-01 00:00:00");
    assert_eq!(orders(&renewed), [(1, json!("1001"), until.clone()), (2, json!("1001"), until.clone())]);
    assert_eq!(renewed[0]["metadata"], json!({"edition": "pro"}), "what is not named stays");
    let moved = renew(json!({"order_id": "1003", "version": "1.*"})).send().await.expect(200).json();
    assert_eq!(orders(&moved), [(1, json!("1003"), until.clone()), (2, json!("1003"), until)]);
    let reply = renew(json!({"expires_at": null})).send().await.expect(404).json();
    assert_eq!(reply["error"], "Order not found");
    let renew = |body: Value| registry.storefront_patch("/permissions?order_id=1003", &body);
    for body in [json!({"package": "acme/x"}), json!({"consumer_id": 1}), json!({"version": "nonsense!"})] {
        renew(body).send().await.expect(400);
    }
    // What becomes the same is there once.
    for version in ["1.*", "2.*"] {
        let body = json!({"consumer_id": consumer.id, "package": "acme/first", "version": version, "order_id": "1004"});
        registry.storefront_post("/permissions", &body).send().await.expect(201);
    }
    let one =
        registry.storefront_patch("/permissions?order_id=1004", &json!({"version": "*"})).send().await.expect(200);
    assert_eq!(one.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_consumer_of_a_customer_is_made_with_its_permissions_or_changed() {
    let (registry, _) = shop().await;
    let put =
        |customer: &str, body: Value| registry.storefront_put(&format!("/consumers/by-customer/{customer}"), &body);
    let sale = json!({
        "email": "one@example.com",
        "entitlements": [{"package": "acme/first", "version": "1.*", "order_id": "1001"}],
    });
    let made = put("42", sale.clone()).send().await.expect(201).json();
    assert_eq!((&made["customer_id"], &made["email"]), (&json!("42"), &json!("one@example.com")));
    assert_eq!(orders(&made["entitlements"]), [(1, json!("1001"), Value::Null)]);
    assert!(made["private_key"].is_string());
    assert_eq!(put("42", sale.clone()).send().await.expect(200).json(), made, "twice is once");
    let second = json!({"entitlements": [{"package": "acme/second", "version": "*", "order_id": "1002"}]});
    let grown = put("42", second).send().await.expect(200).json();
    assert_eq!(grown["id"], made["id"]);
    assert_eq!(orders(&grown["entitlements"]).len(), 2);
    let moved = put("42", json!({"email": "new@example.com"})).send().await.expect(200).json();
    assert_eq!(
        (&moved["email"], &moved["id"], moved.get("entitlements")),
        (&json!("new@example.com"), &made["id"], None)
    );
    assert_eq!(moved["private_key"], made["private_key"]);
    let reply = put("43", json!({})).send().await.expect(400).json();
    assert!(reply["details"]["email"].is_array(), "{reply}");
    put("43", json!({"email": "a@example.com", "customer_id": "44"})).send().await.expect(400);
    put("43", json!({"email": "a@example.com", "entitlements": [{"package": "acme/x", "version": "!"}]}))
        .send()
        .await
        .expect(400);
    let kept = registry.database.rows("SELECT count(*) AS n FROM consumers WHERE customer_id = '43'");
    assert_eq!(kept, [json!({"n": 0})], "a consumer is made with all its permissions or not at all");
}

#[tokio::test]
async fn what_a_shop_notes_of_a_permission_is_bounded() {
    let (registry, consumer) = shop().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"consumer_id": consumer.id, "package": "acme/first", "version": "1.*"});
        body[field] = value;
        registry.storefront_post("/permissions", &body)
    };
    let too_much = json!({"note": "x".repeat(1000)});
    for (field, value) in [("order_id", json!("")), ("order_id", json!("7".repeat(256))), ("metadata", too_much)] {
        let refused = with(field, value).send().await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{refused}");
    }
    with("order_id", json!("7".repeat(255))).send().await.expect(201);
    with("metadata", json!({"note": "x".repeat(980)})).send().await.expect(201);
}

#[tokio::test]
async fn what_is_wrong_with_a_customers_entitlements_is_named_the_same_whether_the_customer_is_known_or_not() {
    let (registry, _) = shop().await;
    let wrong = json!({
        "email": "one@example.com", "entitlements": [{"package": "acme/x", "version": "*"}, {"package": "acme/x", "version": "!"}]
    });
    let mut answers = Vec::new();
    for _ in 0..2 {
        let refused = registry.storefront_put("/consumers/by-customer/42", &wrong).send().await.expect(400).json();
        assert!(refused["details"]["entitlements[1].version"].is_array(), "{refused}");
        answers.push(refused);
        registry.storefront_put("/consumers/by-customer/42", &json!({"email": "one@example.com"})).send().await;
    }
    assert_eq!(answers[0], answers[1]);
    let again = json!({"customer_id": "42", "on_known_customer": "return"});
    let mut posted = wrong.clone();
    posted.as_object_mut().expect("an object").extend(again.as_object().expect("an object").clone());
    assert_eq!(registry.storefront_post("/consumers", &posted).send().await.expect(400).json(), answers[0]);
}

#[tokio::test]
async fn requests_at_the_same_time_make_one_consumer_of_a_customer() {
    let (registry, _) = shop().await;
    let body = |n: usize| json!({"email": "one@example.com", "entitlements": [{"package": format!("acme/p{n}"), "version": "*"}]});
    let requests = (0..3).map(|n| registry.storefront_put("/consumers/by-customer/42", &body(n)));
    let mut statuses: Vec<u16> = send_concurrently(requests).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201]);
    let kept = registry.database.rows(
        "SELECT count(DISTINCT c.id) AS consumers, count(*) AS grants FROM consumers c JOIN grants g ON g.consumer_id = c.id
          WHERE c.customer_id = '42'",
    );
    assert_eq!(kept, [json!({"consumers": 1, "grants": 3})]);
}

#[tokio::test]
async fn a_new_permission_hands_out_stable_versions_and_betas_are_sold_by_saying_so() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/first", &["1.0.0", "1.1.0-beta1"]).await;
    drop(repo);
    registry.sync(&id).await;
    let consumer = registry.consumer().await;
    let body = json!({"consumer_id": consumer.id, "package": "acme/first", "version": "*"});
    let made = registry.storefront_post("/permissions", &body).send().await.expect(201).json();
    assert_eq!(made["minimum_stability"], "stable");
    let seen = |stability: &'static str| {
        let path = format!("/p2/acme/first{stability}.json");
        consumer.get(&registry.isolate, &path)
    };
    assert_eq!(seen("").send().await.expect(200).version_names("acme/first"), ["1.0.0"]);
    assert!(seen("~dev").send().await.versions("acme/first").is_empty(), "no branch was sold");
    let path = format!("/permissions/{}", made["id"]);
    registry.storefront_patch(&path, &json!({"minimum_stability": "beta"})).send().await.expect(200);
    assert_eq!(seen("").send().await.expect(200).version_names("acme/first"), ["1.1.0-beta1", "1.0.0"]);
}

#[tokio::test]
async fn what_a_sale_a_renewal_and_a_refund_ask_the_database_does_not_grow_with_what_was_bought() {
    let mut met = Vec::new();
    for bought in [1, 60] {
        let (registry, consumer) = shop().await;
        let path = format!("/consumers/{}/entitlements", consumer.id);
        let list: Vec<Value> = (0..bought)
            .map(|n| json!({"package": format!("acme/p{n}"), "version": "1.*", "order_id": "1001"}))
            .collect();
        let until = json!({"updates_until": "2029-01-01 00:00:00"});
        let bulk = json!({"filter": {"package": "acme/p0"}, "change": {"expires_at": "2031-01-01 00:00:00"}});
        let mut calls = Vec::new();
        for request in [
            registry.storefront_post(&path, &json!(list)),
            registry.storefront_patch("/permissions?order_id=1001", &until),
            registry.storefront_get("/permissions?order_id=1001"),
            registry.storefront_post("/permissions/bulk", &bulk),
            registry.storefront_delete("/permissions?order_id=1001"),
        ] {
            let (reply, counted) = registry.counted(request.send()).await;
            reply.expect(200);
            calls.push((counted.round_trips, counted.statements));
        }
        met.push(calls);
    }
    assert_eq!(met[0], met[1]);
    assert!(met[1].iter().all(|(trips, statements)| *trips <= 7 && *statements <= 20), "{met:?}");
}
