//! `GET /permissions` and `POST /permissions/bulk`, and what nobody can install by a permission.

use http::Method;
use serde_json::{Value, json};

use crate::support::{TestConsumer, TestRegistry, TestRequest};

/// Two customers with permissions of two packages, by three orders.
struct Shop {
    registry: TestRegistry,
    consumers: [TestConsumer; 2],
}

async fn shop() -> Shop {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["5.0.0", "6.0.0"]).await;
    registry.published("other/second", &["1.0.0"]).await;
    let consumer = |customer: &'static str| json!({"email": "one@example.com", "customer_id": customer});
    let consumers = [registry.consumer_as(&consumer("41")).await, registry.consumer_as(&consumer("42")).await];
    for (whose, package, version, order) in [
        (&consumers[0], "acme/first", "5.*", "1001"),
        (&consumers[0], "other/second", "*", "1001"),
        (&consumers[1], "acme/first", "5.*", "1002"),
        (&consumers[1], "acme/first", "6.*", "1003"),
    ] {
        let body = json!({"consumer_id": whose.id, "package": package, "version": version, "order_id": order});
        registry.storefront_post("/permissions", &body).send().await.expect(201);
        registry.advance_seconds(60);
    }
    Shop { registry, consumers }
}

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|row| row["id"].as_i64().expect("an integer")).collect()
}

impl Shop {
    async fn listed(&self, query: &str) -> Vec<i64> {
        ids(&self.registry.storefront_get(&format!("/permissions{query}")).send().await.expect(200).json())
    }

    async fn bulk(&self, body: &Value) -> Value {
        self.registry.storefront_post("/permissions/bulk", body).send().await.expect(200).json()
    }
}

#[tokio::test]
async fn permissions_are_listed_by_what_a_shop_knows_of_them() {
    let shop = shop().await;
    let changed_at =
        shop.registry.storefront_get("/permissions/3").send().await.expect(200).json()["updated_at"].clone();
    let since = changed_at.as_str().expect("a date").replace(' ', "%20");
    for (query, expected) in [
        (String::new(), vec![1, 2, 3, 4]),
        ("?package=ACME/first".to_owned(), vec![1, 3, 4]),
        ("?package=acme/first&version=5.*".to_owned(), vec![1, 3]),
        (format!("?consumer_id={}", shop.consumers[0].id), vec![1, 2]),
        ("?customer_id=42".to_owned(), vec![3, 4]),
        ("?order_id=1001".to_owned(), vec![1, 2]),
        ("?order_id=1001&package=acme/first".to_owned(), vec![1]),
        ("?order_id=1001&customer_id=42".to_owned(), vec![]),
        (format!("?updated_since={since}"), vec![3, 4]),
        (format!("?updated_since={since}&package=acme/first&version=6.*"), vec![4]),
        ("?limit=2&offset=1".to_owned(), vec![2, 3]),
    ] {
        assert_eq!(shop.listed(&query).await, expected, "{query}");
    }
    let page = shop.registry.storefront_get("/permissions?limit=1").send().await.expect(200);
    assert_eq!(page.header("x-total-count"), "4");
    shop.registry.storefront_get("/permissions?updated_since=yesterday").send().await.expect(400);
    shop.registry.storefront_get("/permissions?colour=red").send().await.expect(400);
}

#[tokio::test]
async fn a_limited_shop_lists_and_changes_what_it_covers_and_nothing_else() {
    let shop = shop().await;
    let registry = &shop.registry;
    let until = json!({"updates_until": "2029-01-01 00:00:00"});
    registry.storefront_patch("/permissions/3", &until).send().await.expect(200);
    let spec = json!({"description": "a", "scopes": ["storefront:*"], "grants": [
        {"package": "acme/first", "constraint": "5.*", "updates_until": 1_900_000_000},
    ]});
    let (_, token) = registry.token(&spec).await;
    let request = |method: Method, path: &str| -> TestRequest {
        registry.isolate.request(method, &format!("/api/storefront{path}")).bearer(&token)
    };
    // The first one is not limited to what the shop's own updates are; the third is.
    let page = request(Method::GET, "/permissions").send().await.expect(200);
    assert_eq!((ids(&page.json()), page.header("x-total-count")), (vec![3], "1"));
    let refunded = request(Method::DELETE, "/permissions?order_id=1001").send().await.expect(200);
    assert_eq!(refunded.json(), json!([]));
    let filter = json!({"filter": {"package": "acme/first"}, "delete": true});
    let done = request(Method::POST, "/permissions/bulk").json(&filter).send().await.expect(200).json();
    assert_eq!((&done["consumers"], &done["removed"]), (&json!([shop.consumers[1].id]), &json!(1)));
    assert_eq!(shop.listed("").await, [1, 2, 4]);
}

#[tokio::test]
async fn everybody_who_bought_something_gets_a_hot_fix_in_one_request() {
    let shop = shop().await;
    let [one, two] = [shop.consumers[0].id, shop.consumers[1].id];
    let request = |is_dry: bool| {
        json!({
            "filter": {"package": "acme/first", "version": "5.*"},
            "add": {"package": "acme/first", "version": "6.0.0"},
            "dry_run": is_dry,
        })
    };
    let expected = |is_dry: bool, added: i64| json!({"dry_run": is_dry, "consumers": [one, two], "added": added, "changed": 0, "removed": 0, "next": null});
    assert_eq!(shop.bulk(&request(true)).await, expected(true, 2));
    assert_eq!(shop.listed("").await.len(), 4, "a dry run does nothing");
    assert_eq!(shop.bulk(&request(false)).await, expected(false, 2));
    let seen = shop.consumers[0].get(&shop.registry.isolate, "/p2/acme/first.json").send().await.expect(200);
    assert_eq!(seen.version_names("acme/first"), ["6.0.0", "5.0.0"]);
    assert_eq!(shop.bulk(&request(false)).await, expected(false, 0), "twice is once");
    let behind = json!({"filter": {"package": "acme/first"}, "delete": true, "after": one});
    assert_eq!(shop.bulk(&behind).await["consumers"], json!([two]));
}

#[tokio::test]
async fn many_permissions_are_changed_or_taken_back() {
    let shop = shop().await;
    let ended = json!({"expires_at": "2020-01-01 00:00:00"});
    shop.registry.storefront_patch("/permissions/1", &ended).send().await.expect(200);
    let change = json!({"filter": {"package": "acme/first"}, "change": {"updates_until": "2030-01-01 00:00:00"}});
    let done = shop.bulk(&change).await;
    assert_eq!(
        (&done["consumers"], &done["changed"]),
        (&json!([shop.consumers[1].id]), &json!(2)),
        "what ended is left alone"
    );
    let with_ended = json!({"filter": {"package": "acme/first", "ended": true, "customer_id": "41"}, "delete": true});
    assert_eq!(shop.bulk(&with_ended).await["removed"], 1);
    assert_eq!(shop.listed("").await, [2, 3, 4]);
    for body in [
        json!({"filter": {}, "delete": true}),
        json!({"filter": {"package": "acme/first"}}),
        json!({"filter": {"package": "acme/first"}, "delete": true, "change": {}}),
        json!({"filter": {"package": "acme/first"}, "change": {"package": "acme/other"}}),
        json!({"filter": {"package": "acme/first"}, "add": {"version": "*"}}),
    ] {
        shop.registry.storefront_post("/permissions/bulk", &body).send().await.expect(400);
    }
    assert_eq!(shop.listed("").await, [2, 3, 4]);
}

#[tokio::test]
async fn a_bulk_request_stops_where_one_request_may_do_no_more_and_says_where_to_go_on() {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["5.0.0"]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let consumer = registry.consumer().await;
        registry.grant(&consumer, "acme/first", "5.*").await;
        ids.push(consumer.id);
    }
    registry.database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO tokens (uid, organization_id, hash, description, scopes, metadata, created_at, consumer_id)
         SELECT 'u' || c.id || '-' || i, 1, 'h' || c.id || '-' || i, 'seat', '[]', '{}', 0, c.id FROM consumers c, n",
    );
    registry.database.execute("UPDATE grants SET order_id = 'large'");
    let order = "/permissions?order_id=large";
    let until = json!({"updates_until": "2030-01-01 00:00:00"});
    for request in [registry.storefront_delete(order), registry.storefront_patch(order, &until)] {
        let refused = request.send().await.expect(409).json();
        assert!(refused["error"].as_str().is_some_and(|text| text.ends_with("POST /permissions/bulk.")), "{refused}");
    }
    let request = |after: &Value| json!({"filter": {"package": "acme/first"}, "delete": true, "after": after});
    registry.meter.reset();
    let first = registry.storefront_post("/permissions/bulk", &request(&json!(0))).send().await.expect(200).json();
    let calls = registry.meter.calls();
    assert_eq!((&first["consumers"], &first["next"]), (&json!(ids[..3]), &json!(ids[2])));
    assert!(calls.cache_deletes < 900, "{calls:?}");
    let rest = registry.storefront_post("/permissions/bulk", &request(&first["next"])).send().await.expect(200).json();
    assert_eq!((&rest["consumers"], &rest["next"]), (&json!(ids[3..]), &Value::Null));
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM grants"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_change_of_many_permissions_is_about_just_those_that_the_list_shows_for_the_same_filter() {
    let shop = shop().await;
    let ended = json!({
        "consumer_id": shop.consumers[1].id, "package": "acme/first", "version": "5.*", "order_id": "1001",
        "expires_at": "2025-12-31 00:00:00",
    });
    let ended = shop.registry.storefront_post("/permissions", &ended).send().await.expect(201).json()["id"].clone();
    let mut compared = 0;
    for package in [None, Some("acme/first"), Some("other/second")] {
        for version in [None, Some("5.*"), Some("*")] {
            for order in [None, Some("1001"), Some("1003")] {
                for customer in [None, Some("42")] {
                    let given =
                        [("package", package), ("version", version), ("order_id", order), ("customer_id", customer)];
                    if package.is_none() && order.is_none() {
                        continue;
                    }
                    let given: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                    let query: Vec<String> = given.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let listed = shop.listed(&format!("?{}", query.join("&"))).await;
                    let live = listed.iter().filter(|id| json!(id) != ended).count();
                    let mut filter: serde_json::Map<String, Value> =
                        given.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
                    for (with_ended, expected) in [(false, live), (true, listed.len())] {
                        filter.insert("ended".to_owned(), json!(with_ended));
                        let told = shop.bulk(&json!({"filter": filter, "delete": true, "dry_run": true})).await;
                        assert_eq!(told["removed"], json!(expected), "{filter:?}");
                        compared += expected;
                    }
                }
            }
        }
    }
    assert!(compared > 30, "{compared}");
}

#[tokio::test]
async fn what_nobody_can_install_by_a_permission_is_said_and_strictly_refused() {
    let shop = shop().await;
    let registry = &shop.registry;
    let consumer = shop.consumers[0].id;
    registry.storefront_post("/packages", &json!({"name": "acme/empty"})).send().await.expect(201);
    registry.published("acme/beta", &["1.0.0-beta1"]).await;
    let second = registry.package_id("other/second");
    let version = registry.storefront_get(&format!("/versions/package/{second}")).send().await.expect(200).json();
    let version = format!("/versions/{}", version[0]["id"]);
    registry.storefront_patch(&version, &json!({"yanked": true})).send().await.expect(200);
    let none = Some("No version of the package matches.");
    let late = Some(
        "by this permission now. What matches was released after the updates had ended at 2001-01-01 00:00:00 UTC.",
    );
    for (package, version, until, warned) in [
        ("acme/first", "^5", Value::Null, None),
        ("acme/*", "*", Value::Null, None),
        (
            "acme/typo",
            "*",
            Value::Null,
            Some("Nobody can install acme/typo * by this permission now. There is no package"),
        ),
        ("acme/first", "7.*", Value::Null, none),
        ("acme/first", "5.*", json!("2001-01-01 00:00:00"), late),
        ("acme/empty", "*", Value::Null, none),
        ("acme/beta", "*", Value::Null, Some("less stable than the permission's minimum_stability, stable")),
        ("other/second", "1.*", Value::Null, Some("What matches was yanked.")),
    ] {
        let one = json!({"package": package, "version": version, "updates_until": until});
        let mut alone = one.clone();
        alone["consumer_id"] = json!(consumer);
        let list = format!("/consumers/{consumer}/entitlements");
        for (path, body) in [("/permissions", &alone), (list.as_str(), &json!([one]))] {
            let strict = registry.storefront_post(&format!("{path}?strict=1"), body).send().await;
            let (status, reply) = (strict.status, strict.json());
            let Some(text) = warned else {
                assert!(status < 300, "{package}: {reply}");
                registry.storefront_put(&list, &json!([])).send().await.expect(200);
                continue;
            };
            assert_eq!(status, 400, "{package}: {reply}");
            assert!(reply["details"]["package"][0].as_str().is_some_and(|said| said.contains(text)), "{reply}");
            let reply = registry.storefront_post(path, body).send().await.json();
            let made = if reply.is_array() { &reply[0] } else { &reply };
            assert!(made["warnings"][0].as_str().is_some_and(|said| said.contains(text)), "{reply}");
            registry.storefront_put(&list, &json!([])).send().await.expect(200);
        }
    }
    let fine = json!({"consumer_id": consumer, "package": "acme/first", "version": "^5"});
    let refused = registry.storefront_post("/permissions?strict=2", &fine).send().await.expect(400).json();
    assert_eq!(refused["details"], json!({"strict": ["must be 1 or 0"]}));
    let new = json!({"email": "new@example.com", "entitlements": [{"package": "acme/typo", "version": "*"}]});
    for request in [
        registry.storefront_post("/consumers?strict=1", &new),
        registry.storefront_put("/consumers/by-customer/77?strict=1", &new),
    ] {
        request.send().await.expect(400);
    }
    assert_eq!(registry.database.rows("SELECT 1 FROM consumers").len(), 2, "nobody is made");
}
