//! How a shop finds consumers, what they were granted, and who installed what.

use rostrum::store::storefront::consumer_lists::{self, ConsumerFilter};
use rostrum::store::storefront::consumer_statistics;
use rostrum::store::{KeysetPage, OrganizationId};
use serde_json::{Value, json};

use crate::support::database::statements;
use crate::support::{ADMIN, TestConsumer, TestRegistry, TestResponse};

async fn get(registry: &TestRegistry, by: &str, path: &str) -> TestResponse {
    registry.get(&format!("/api/storefront{path}")).bearer(by).send().await
}

/// The ids of the rows of a list.
async fn found(registry: &TestRegistry, query: &str) -> Vec<i64> {
    let list = get(registry, ADMIN, &format!("/consumers?{query}")).await.expect(200);
    let ids: Vec<i64> =
        list.json().as_array().expect("a list").iter().map(|row| row["id"].as_i64().expect("an id")).collect();
    assert_eq!(list.header("x-total-count"), ids.len().to_string(), "{query}");
    ids
}

#[tokio::test]
async fn consumers_are_found_by_what_a_shop_knows_of_them() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let one = registry.consumer_as(&json!({"email": "One@example.com", "customer_id": "42", "order_id": "1001"})).await;
    registry.advance_seconds(60);
    let two = registry.consumer_as(&json!({"email": "two@example.com", "customer_id": "43", "order_id": "1001"})).await;
    let three = registry.consumer_as(&json!({"email": "three@other.example", "status": 0})).await;
    registry.grant(&two, "acme/lib", "1.*").await;
    registry.grant(&three, "acme/*", "*").await;
    let later = json!({"consumer_id": three.id, "package": "rival/lib", "version": "*", "order_id": "1002"});
    registry.storefront_post("/permissions", &later).send().await.expect(201);
    for (query, expected) in [
        ("", vec![one.id, two.id, three.id]),
        ("email=one@EXAMPLE.com", vec![one.id]),
        ("email=one", vec![]),
        ("search=EXAMPLE.com", vec![one.id, two.id]),
        ("customer_id=43", vec![two.id]),
        ("order_id=1001", vec![one.id, two.id]),
        ("order_id=1002", vec![three.id]),
        ("order_id=1001&search=two", vec![two.id]),
        ("status=0", vec![three.id]),
        ("status=1", vec![one.id, two.id]),
        ("package=acme/lib", vec![two.id]),
        ("package=Acme/*", vec![three.id]),
        ("package=acme/other", vec![]),
        ("updated_since=2026-01-01%2000:01:00", vec![two.id, three.id]),
        ("updated_since=2026-01-01%2000:01:01", vec![]),
        ("updated_since=2026-01-01%2000:00:00&status=1&package=acme/lib&customer_id=43", vec![two.id]),
    ] {
        assert_eq!(found(&registry, query).await, expected, "{query}");
    }
    for (query, field, words) in [
        ("status=2", "status", "must be 1 for enabled or 0 for disabled"),
        ("search=", "search", "must not be empty; leave it out to have all"),
        (
            "updated_since=yesterday",
            "updated_since",
            "must be a moment: `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601, unix seconds, or a day",
        ),
        ("include=keys", "include", "unknown variant `keys`, expected `entitlements`"),
        ("include=entitlements&limit=1001", "limit", "must be between 1 and 1000"),
    ] {
        let refused = get(&registry, ADMIN, &format!("/consumers?{query}")).await.expect(400);
        assert_eq!(refused.json()["details"], json!({field: [words]}), "{query}");
    }
}

#[tokio::test]
async fn a_list_includes_the_permissions_that_its_reader_has_to_do_with() {
    let registry = TestRegistry::new();
    for package in ["acme/lib", "rival/lib"] {
        registry.published(package, &["1.0.0"]).await;
    }
    let shared = registry.consumer().await;
    let none = registry.consumer().await;
    let mine = registry.grant(&shared, "acme/lib", "1.*").await;
    let theirs = registry.grant(&shared, "rival/lib", "*").await;
    let included = async |by: &str| {
        let list = get(&registry, by, "/consumers?include=entitlements").await.expect(200).json();
        (list[0]["entitlements"].clone(), list[1]["entitlements"].clone())
    };
    assert_eq!(included(ADMIN).await, (json!([mine, theirs]), json!([])));
    let plain = get(&registry, ADMIN, "/consumers").await.expect(200).json();
    assert_eq!((plain[1]["id"].clone(), plain[1].get("entitlements")), (json!(none.id), None));
    let spec = json!({"description": "a shop", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]});
    let (_, shop) = registry.token(&spec).await;
    assert_eq!(included(&shop).await, (json!([mine]), json!([])));
    let of_mine = get(&registry, &shop, "/consumers?package=acme/lib").await.expect(200).json();
    assert_eq!((&of_mine[0]["id"], &of_mine[0]["private_key"]), (&json!(shared.id), &json!(null)));
    let bought = json!({"consumer_id": shared.id, "package": "rival/other", "version": "*", "order_id": "7"});
    registry.storefront_post("/permissions", &bought).send().await.expect(201);
    let of_order = async |by: &str| get(&registry, by, "/consumers?order_id=7").await.expect(200).json();
    assert_eq!((of_order(ADMIN).await[0]["id"].clone(), of_order(&shop).await), (json!(shared.id), json!([])));
    let refused = get(&registry, &shop, "/consumers?package=rival/lib").await.expect(403).json();
    let words = "Your token does not see every version of `rival/lib`, so it is not told who was granted it. Use one that does.";
    assert_eq!(refused["error"], words);
}

/// Consumers from 1 on, each with so many permissions.
fn with_permissions(registry: &TestRegistry, consumers: i64, permissions: i64) {
    registry.database.execute(&format!(
        "INSERT INTO consumers (id, uid, organization_id, email, public_key, private_key, created_at, updated_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {consumers})
         SELECT value, 'u' || value, 1, 'one@example.com', 'k' || value, 'v1.sealed', 0, 0 FROM n;
         INSERT INTO grants (consumer_id, target, version_constraint, minimum_stability, created_at, updated_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {permissions})
         SELECT c.id, 'acme/p' || n.value, '*', 'dev', 0, 0 FROM consumers c CROSS JOIN n ORDER BY c.id, n.value;"
    ));
}

#[tokio::test]
async fn a_page_with_too_many_permissions_ends_earlier_and_leads_to_the_rest() {
    let registry = TestRegistry::new();
    with_permissions(&registry, 23, 1000);
    let (_, reader) = registry.token(&json!({"description": "a", "scopes": ["storefront:read"]})).await;
    get(&registry, &reader, "/consumers/1").await.expect(200);
    let (mut path, mut seen) = (Some("/consumers?include=entitlements".to_owned()), Vec::new());
    while let Some(at) = path {
        let (page, calls) = registry.counted(get(&registry, &reader, &at)).await;
        let page = page.expect(200);
        assert_eq!(calls.statements, 3, "consumers, their number, their permissions");
        for consumer in page.json().as_array().expect("a list") {
            assert_eq!(consumer["entitlements"].as_array().map(Vec::len), Some(1000));
            seen.push(consumer["id"].as_i64().expect("an id"));
        }
        let next = page.find_header("link").map(|link| link.split(['<', '>']).nth(1).expect("a URL").to_owned());
        path = next.map(|url| url.split("/api/storefront").nth(1).expect("a path").to_owned());
    }
    assert_eq!(seen, (1..=23).collect::<Vec<i64>>());
}

async fn report(registry: &TestRegistry, consumer: &TestConsumer, package: &str, version: &str) {
    let installs = json!({"downloads": [{"name": package, "version": version}]});
    let request = registry.post("/notify-batch").pair(&consumer.public_key, &consumer.private_key);
    request.composer().json(&installs).send().await.expect(204);
    registry.run_until_idle().await;
}

#[tokio::test]
async fn a_shop_learns_who_installed_which_version_since_when() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    registry.published("acme/other", &["1.0.0"]).await;
    let one = registry.consumer_as(&json!({"email": "one@example.com", "customer_id": "42"})).await;
    let two = registry.consumer().await;
    registry.consumer().await;
    for consumer in [&one, &two] {
        registry.grant(consumer, "acme/*", "*").await;
        report(&registry, consumer, "acme/lib", "1.0.0.0").await;
        report(&registry, consumer, "acme/other", "1.0.0.0").await;
    }
    registry.advance_seconds(86_400);
    report(&registry, &one, "acme/lib", "1.0.0.0").await;
    report(&registry, &one, "acme/lib", "2.0.0.0").await;
    let path = format!("/packages/{}/installs", registry.package_id("acme/lib"));
    let ids = registry.database.rows("SELECT v.id FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = 'acme/lib' AND v.pretty IN ('1.0.0', '2.0.0') ORDER BY v.pretty");
    let (day, next) = ("2026-01-01 00:00:00", "2026-01-02 00:00:00");
    let first =
        json!({"version_id": ids[0]["id"], "version": "1.0.0", "downloads": 2, "first_at": day, "last_at": next});
    let second =
        json!({"version_id": ids[1]["id"], "version": "2.0.0", "downloads": 1, "first_at": next, "last_at": next});
    let earlier =
        json!({"version_id": ids[0]["id"], "version": "1.0.0", "downloads": 1, "first_at": day, "last_at": day});
    let of_one =
        json!({"consumer_id": one.id, "email": "one@example.com", "customer_id": "42", "versions": [first, second]});
    let of_two = json!({"consumer_id": two.id, "email": "one@example.com", "customer_id": null, "versions": [earlier]});
    let all = get(&registry, ADMIN, &path).await.expect(200);
    assert_eq!(
        (all.json(), all.header("x-total-count"), all.find_header("link")),
        (json!([of_one, of_two]), "2", None)
    );
    let page = get(&registry, ADMIN, &format!("{path}?limit=1")).await.expect(200);
    assert_eq!(page.json(), json!([of_one]));
    assert!(page.header("link").contains(&format!("after={}", one.id)), "{}", page.header("link"));
    let rest = get(&registry, ADMIN, &format!("{path}?after={}", one.id)).await.expect(200);
    assert_eq!(rest.json(), json!([of_two]));
    let who = async |by: &str, query: &str| -> Vec<Value> {
        let list = get(&registry, by, &format!("{path}?{query}")).await.expect(200).json();
        list.as_array().expect("a list").iter().map(|row| row["consumer_id"].clone()).collect()
    };
    assert_eq!(who(ADMIN, "version=v2.0").await, [json!(one.id)]);
    assert_eq!(who(ADMIN, "version=3.0.0").await, Vec::<Value>::new());
    // A version that is gone is told all the same: it is installed.
    registry.database.execute("UPDATE versions SET removed_at = 1 WHERE pretty = '2.0.0'");
    assert_eq!(who(ADMIN, "version=2.0.0").await, [json!(one.id)]);
    let limited = async |grants: Value| {
        registry.token(&json!({"description": "a", "scopes": ["storefront:*"], "grants": grants})).await.1
    };
    let of_second = limited(json!([{"package": "acme/lib", "constraint": "2.*"}])).await;
    assert_eq!(who(&of_second, "").await, [json!(one.id)], "only what it sees");
    let of_other = limited(json!([{"package": "acme/other"}])).await;
    get(&registry, &of_other, &path).await.expect(404);
    registry.storefront_delete(&format!("/consumers/{}", two.id)).send().await.expect(204);
    assert_eq!(who(ADMIN, "").await, [json!(one.id)]);
}

#[tokio::test]
async fn what_a_list_reads_does_not_grow_with_the_number_of_other_consumers() {
    let registry = TestRegistry::new();
    let (root, page) = (OrganizationId::ROOT, KeysetPage { limit: 10, offset: 0, after: Some(1) });
    let text = || Some("x".to_owned());
    let filters = [
        ConsumerFilter { email: text(), ..ConsumerFilter::default() },
        ConsumerFilter { customer_id: text(), ..ConsumerFilter::default() },
        ConsumerFilter { order_id: text(), ..ConsumerFilter::default() },
        ConsumerFilter { target: text(), ..ConsumerFilter::default() },
        ConsumerFilter { updated_since: Some(rostrum::ports::Millis(1)), ..ConsumerFilter::default() },
    ];
    let of = |filter: &ConsumerFilter| (consumer_lists::page(root, filter, page), consumer_lists::count(root, filter));
    let lists: Vec<_> = filters.iter().map(of).collect();
    let others = (
        consumer_lists::permissions_of(root, &[1], 10),
        consumer_lists::grants_of_order(root, "x", 10),
        consumer_statistics::installed_versions(root, 1, 10),
        consumer_statistics::installs(root, &[1], page, 10),
        consumer_statistics::count_installers(root, &[1]),
    );
    for stmt in statements((lists, others)) {
        let plan = registry.database.plan(&stmt);
        let is_scan =
            |step: &&str| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("page");
        let scans: Vec<&str> = plan.lines().filter(is_scan).collect();
        assert!(plan.contains("SEARCH") && scans.is_empty(), "{}\n{plan}", stmt.sql);
    }
}
