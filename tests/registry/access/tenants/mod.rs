//! Two organizations side by side. Whatever names a thing of the other one (its id, uid, reference or name, in a path, a
//! query or a body) is answered exactly as what names nothing: in status, headers, body and calls of the ports.

mod fixture;
mod organizations;

use std::collections::BTreeSet;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, Calls, TestRegistry, TestRequest, TestResponse};
use fixture::{NO_NUMBER, NO_UID, ORGANIZATION, OTHER, OrganizationFixture, two, within};

/// An operation of the document that names something in its path, what it is asked with for something of the other
/// organization, and for nothing.
struct Named {
    operation: &'static str,
    body: Value,
    theirs: Vec<String>,
    nothing: Vec<String>,
}

fn named(operation: &'static str, body: Value, theirs: &[&str], nothing: &[&str]) -> Named {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Named { operation, body, theirs: owned(theirs), nothing: owned(nothing) }
}

/// The operations that name a consumer, a permission, or what hangs on them.
fn consumer_operations(of: &OrganizationFixture) -> Vec<Named> {
    let none = Value::Null;
    let by_number = |operation, body, id: &str| named(operation, body, &[id], &[NO_NUMBER]);
    vec![
        by_number("get_consumer", none.clone(), &of.consumer),
        by_number("update_consumer", json!({"status": 0}), &of.consumer),
        by_number("replace_consumer", json!({"status": 0}), &of.consumer),
        by_number("list_entitlements", none.clone(), &of.consumer),
        by_number("set_entitlements", json!([]), &of.consumer),
        by_number("add_entitlements", json!([]), &of.consumer),
        by_number("get_instructions", none.clone(), &of.consumer),
        by_number("list_consumer_packages", none.clone(), &of.consumer),
        by_number("list_consumer_statistics", none.clone(), &of.consumer),
        by_number("export_consumer", none.clone(), &of.consumer),
        by_number("list_consumer_tokens", none.clone(), &of.consumer),
        by_number("create_consumer_token", json!({"description": "x"}), &of.consumer),
        named("update_consumer_token", json!({"description": "x"}), &[&of.consumer, &of.seat], &[NO_NUMBER, NO_UID]),
        named("rotate_consumer_token", json!({}), &[&of.consumer, &of.seat], &[NO_NUMBER, NO_UID]),
        by_number("rotate_keys", json!({}), &of.consumer),
        named("delete_consumer_token", none.clone(), &[&of.consumer, &of.seat], &[NO_NUMBER, NO_UID]),
        named("list_consumer_permissions", none.clone(), &[&of.consumer, &of.sold_package], &[NO_NUMBER, NO_NUMBER]),
        named("list_permissions", none.clone(), &[&of.consumer, &of.sold_package], &[NO_NUMBER, NO_NUMBER]),
        by_number("merge_consumers", json!({"consumer_id": 9_000_001}), &of.consumer),
        by_number("delete_consumer", none.clone(), &of.consumer),
        named("list_consumers_by_email", none.clone(), &[&of.email], &["nobody@nowhere.example"]),
        by_number("get_permission", none.clone(), &of.permission),
        by_number("update_permission", json!({"version": "1.*"}), &of.permission),
        by_number("replace_permission", json!({"version": "1.*"}), &of.permission),
        by_number("delete_permission", none.clone(), &of.permission),
    ]
}

/// Every operation of the document that names something in its path.
fn operations(of: &OrganizationFixture) -> Vec<Named> {
    let none = Value::Null;
    let by_uid = |operation, body, id: &str| named(operation, body, &[id], &[NO_UID]);
    let by_number = |operation, body, id: &str| named(operation, body, &[id], &[NO_NUMBER]);
    let file = of.name.split_once('/').map(|(_, package)| format!("{package}.json")).expect("a name");
    let (vendor, short) = of.name.split_once('/').expect("a name");
    let mut all = vec![
        by_uid("get_advisory", none.clone(), &of.advisory),
        by_uid("update_advisory", json!({"title": "x"}), &of.advisory),
        by_uid("delete_advisory", none.clone(), &of.advisory),
        by_uid("delete_session", none.clone(), &of.session),
        by_uid("delete_filter_entry", none.clone(), &of.filter_entry),
        by_uid("delete_invitation", none.clone(), &of.invitation),
        by_uid("get_repository", none.clone(), &of.repository),
        by_uid("update_repository", json!({"path": "x"}), &of.repository),
        by_uid("replace_repository", json!({"url": "https://git.test/x.git"}), &of.repository),
        by_uid("delete_repository", none.clone(), &of.repository),
        by_uid("list_refs", none.clone(), &of.repository),
        by_uid("list_syncs", none.clone(), &of.repository),
        by_uid("sync_repository", none.clone(), &of.repository),
        by_uid("verify_repository", none.clone(), &of.repository),
        by_uid("get_token", none.clone(), &of.token),
        by_uid("update_token", json!({"description": "x"}), &of.token),
        by_uid("rotate_token", json!({}), &of.token),
        by_uid("delete_token", none.clone(), &of.token),
        by_uid("get_user", none.clone(), &of.user),
        by_uid("update_user", json!({"name": "x"}), &of.user),
        by_uid("create_reset_link", none.clone(), &of.user),
        by_uid("delete_user", none.clone(), &of.user),
        by_uid("get_webhook", none.clone(), &of.webhook),
        by_uid("update_webhook", json!({"status": 0}), &of.webhook),
        by_uid("replace_webhook", json!({"status": 0}), &of.webhook),
        by_uid("list_deliveries", none.clone(), &of.webhook),
        by_uid("test_webhook", none.clone(), &of.webhook),
        by_uid("delete_webhook", none.clone(), &of.webhook),
        named("redeliver", none.clone(), &[&of.webhook, &of.delivery], &[NO_UID, NO_NUMBER]),
        by_number("get_storefront_package", none.clone(), &of.sold_package),
        by_number("update_storefront_package", json!({"status": 0}), &of.sold_package),
        by_number("replace_storefront_package", json!({"status": 0}), &of.sold_package),
        by_number("list_installs", none.clone(), &of.sold_package),
        by_number("list_storefront_versions", none.clone(), &of.sold_package),
        by_number("create_storefront_version", json!({"name": "9.0.0"}), &of.sold_package),
        by_number("list_storefront_advisories", none.clone(), &of.sold_package),
        by_number("create_storefront_advisory", json!({"title": "t", "affected_versions": "*"}), &of.sold_package),
        named("delete_storefront_advisory", none.clone(), &[&of.sold_package, &of.advisory], &[NO_NUMBER, NO_UID]),
        by_number("delete_storefront_package", none.clone(), &of.sold_package),
        by_number("get_storefront_version", none.clone(), &of.sold_version),
        by_number("update_storefront_version", json!({"status": 0}), &of.sold_version),
        by_number("replace_storefront_version", json!({"status": 0}), &of.sold_version),
        by_number("upload_storefront_file", none.clone(), &of.sold_version),
        by_number("delete_storefront_version", none.clone(), &of.sold_version),
        named("get_package_by_name", none.clone(), &[vendor, short], &["vendor", "absent"]),
        named("get_package_metadata", none.clone(), &[vendor, &file], &["vendor", "absent.json"]),
        named("list_providers", none.clone(), &[vendor, &file], &["vendor", "absent.json"]),
        named("list_platform_providers", none.clone(), &[&file], &["absent.json"]),
    ];
    all.extend(consumer_operations(of));
    for (operation, body) in [
        ("get_package", none.clone()),
        ("update_package", json!({"abandoned": true})),
        ("get_readme", none.clone()),
        ("get_changelog", none.clone()),
        ("get_package_stats", none.clone()),
        ("list_dependents", none.clone()),
        ("list_versions", none.clone()),
        ("delete_package", none.clone()),
    ] {
        all.push(named(operation, body.clone(), &[&of.package], &[NO_UID]));
        all.push(named(operation, body, &[&of.name.replace('/', "%2F")], &["vendor%2Fabsent"]));
    }
    for operation in ["get_version", "yank_version", "unyank_version", "delete_version"] {
        all.push(named(operation, none.clone(), &[&of.package, "1.0.0"], &[NO_UID, "1.0.0"]));
        all.push(named(
            operation,
            none.clone(),
            &[&of.name.replace('/', "%2F"), "1.0.0"],
            &["vendor%2Fabsent", "1.0.0"],
        ));
    }
    let canonical = format!("1.0.0/{}.zip", of.reference);
    all.push(named("get_dist", none.clone(), &[vendor, short, "1.0.0.zip"], &["vendor", "absent", "1.0.0.zip"]));
    all.push(named("get_dist", none, &[vendor, short, &canonical], &["vendor", "absent", &canonical]));
    all
}

/// An upload makes what it names, in the organization of whoever uploads, and so does a sale to a customer; see
/// `a_name_is_each_organizations_own` and `a_customers_id_is_each_organizations_own`.
const MAKE_WHAT_THEY_NAME: [&str; 2] = ["upload_version", "put_consumer_of_customer"];

/// The operations of the Composer surface that name something.
const COMPOSER_OPERATIONS: [&str; 4] =
    ["get_dist", "get_package_metadata", "list_providers", "list_platform_providers"];

/// The operations that answer with an empty list where there is nothing of that name.
const LISTS: [&str; 5] = [
    "list_consumers_by_email",
    "list_providers",
    "list_platform_providers",
    "organization_list_providers",
    "organization_list_platform_providers",
];

/// Method and path of an operation of the document, with what stands in its path.
fn address(document: &Value, operation: &str, values: &[String]) -> (Method, String) {
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, found) in methods.as_object().expect("methods") {
            if found["operationId"] == operation {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
                let mut values = values.iter();
                let filled = path.split('/').map(|segment| match segment.strip_prefix('{') {
                    Some(_) => values.next().expect("a value for each").as_str(),
                    None => segment,
                });
                return (method, filled.collect::<Vec<_>>().join("/"));
            }
        }
    }
    panic!("the document has no {operation}");
}

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/public/api/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("UTF-8")).expect("JSON")
}

/// All that a client can tell two answers apart by, as long as what it sent itself is the same.
fn shape(reply: &TestResponse, calls: Calls, sent: &[String], instead: &[String]) -> (u16, HeaderMap, String, Calls) {
    let mut headers = reply.headers.clone();
    for ours in ["x-request-id", "x-ratelimit-remaining", "content-length"] {
        headers.remove(ours);
    }
    let mut body = reply.text();
    for (sent, instead) in sent.iter().zip(instead) {
        for form in [
            str::to_owned as fn(&str) -> String,
            |text| text.replace("%2F", "/"),
            |text| text.trim_end_matches(".json").to_owned(),
        ] {
            body = body.replace(&form(sent), &form(instead));
        }
    }
    (reply.status, headers, body, calls)
}

/// How somebody signs in.
type SignIn<'a> = (&'static str, Box<dyn Fn(TestRequest) -> TestRequest + 'a>);

/// Every credential with which a request acts in the organization of `of`, whose slug is `slug`.
fn credentials<'a>(of: &'a OrganizationFixture, slug: Option<&'a str>) -> Vec<SignIn<'a>> {
    vec![
        ("the admin token", Box::new(move |request| within(request, slug).bearer(ADMIN))),
        ("an unlimited token", Box::new(|request| request.bearer(&of.unlimited))),
        ("an unlimited token that names its organization", {
            Box::new(move |request| request.bearer(&of.unlimited).header(ORGANIZATION, slug.unwrap_or("default")))
        }),
        ("a user's session", Box::new(|request| request.bearer(&of.login))),
        ("a reader's token", Box::new(|request| request.basic(&of.reader).composer())),
        ("a consumer's keys", Box::new(|request| request.pair(&of.keys.0, &of.keys.1).composer())),
    ]
}

/// Asks every operation, as everybody of `own`, for what `foreign` has, and for nothing.
async fn check_operations(
    registry: &TestRegistry,
    own: (&OrganizationFixture, Option<&str>),
    foreign: &OrganizationFixture,
) {
    let document = document();
    let mut found = 0;
    for (who, sign_in) in credentials(own.0, own.1) {
        // All requests of an hour again; and from here on the caller is known in this isolate.
        registry.advance_seconds(3600);
        sign_in(registry.get("/api/packages")).send().await.expect(200);
        // And which vendors are claimed, which goes by no name.
        let slug = own.1.map_or("default", |_| OTHER);
        for mount in [String::new(), format!("/org/{slug}")] {
            sign_in(registry.get(&format!("{mount}/p2/vendor/none.json"))).composer().send().await;
        }
        let foreign_slug = if own.1.is_some() { "default" } else { OTHER };
        let mut asked = operations(foreign);
        asked.extend(organizations::within_own(slug, foreign));
        // To the admin token no organization is foreign.
        if who != "the admin token" {
            asked.extend(organizations::of_foreign(foreign_slug, foreign));
        }
        for Named { operation, body, theirs, nothing } in asked {
            // The root's Composer surface is the root's, whoever asks.
            if own.1.is_some() && COMPOSER_OPERATIONS.contains(&operation) {
                continue;
            }
            let request = |values: &[String]| {
                let (method, path) = address(&document, operation, values);
                let request = sign_in(registry.isolate.request(method, &path));
                if body.is_null() { request } else { request.json(&body) }
            };
            for _ in 0..2 {
                let (reply, calls) = registry.counted(request(&theirs).send()).await;
                let met = shape(&reply, calls, &theirs, &nothing);
                let (reply, calls) = registry.counted(request(&nothing).send()).await;
                let expected = shape(&reply, calls, &nothing, &nothing);
                assert_eq!(met, expected, "{operation} as {who}");
                let is_list = LISTS.contains(&operation) && expected.0 == 200;
                assert!(is_list || [403, 404].contains(&expected.0), "{operation} as {who}: {expected:?}");
                found += usize::from(expected.0 == 404);
            }
        }
    }
    assert!(found > 300, "hardly anything was looked for: {found}");
}

#[tokio::test]
async fn every_operation_that_names_something_is_in_the_matrix() {
    let (_, root, _) = two().await;
    let mut all = operations(&root);
    all.extend(organizations::within_own("default", &root));
    all.extend(organizations::of_foreign(OTHER, &root));
    let asked: BTreeSet<&str> = all.iter().map(|one| one.operation).chain(MAKE_WHAT_THEY_NAME).collect();
    for (path, methods) in document()["paths"].as_object().expect("paths") {
        for operation in methods.as_object().expect("methods").values().filter(|_| path.contains('{')) {
            let Some(id) = operation["operationId"].as_str() else { continue };
            assert!(asked.contains(id), "{id} names something, and nobody asks it for what another organization has");
        }
    }
}

#[tokio::test]
async fn what_the_other_organization_has_is_absent_for_everybody_of_the_root() {
    let (registry, root, other) = two().await;
    check_operations(&registry, (&root, None), &other).await;
    // Nothing of it was changed by all that.
    let path = format!("/api/repositories/{}", other.repository);
    within(registry.get(&path), Some(OTHER)).bearer(ADMIN).send().await.expect(200);
}

#[tokio::test]
async fn what_the_root_has_is_absent_for_everybody_of_the_other_organization() {
    let (registry, root, other) = two().await;
    check_operations(&registry, (&other, Some(OTHER)), &root).await;
    registry.get(&format!("/api/repositories/{}", root.repository)).bearer(ADMIN).send().await.expect(200);
}

#[tokio::test]
async fn what_a_body_or_a_query_names_of_the_other_organization_is_as_if_it_were_nothing() {
    let (registry, root, other) = two().await;
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let nothing = number(NO_NUMBER);
    let permission =
        |consumer: i64, package: Value| json!({"consumer_id": consumer, "package_id": package, "version": "*"});
    let named = |consumer: i64| json!({"consumer_id": consumer, "package": "*", "version": "*"});
    let own = number(&root.consumer);
    let entitlements = format!("/api/storefront/consumers/{own}/entitlements");
    let entitled = |package: i64| json!([{"package_id": package, "version": "*"}]);
    let merge = format!("/api/storefront/consumers/{own}/merge");
    let moved = format!("/api/storefront/permissions/{}", root.permission);
    let (theirs, packages) = (number(&other.consumer), number(&other.sold_package));
    registry.get("/api/packages").bearer(&root.unlimited).send().await.expect(200);
    for (method, path, foreign, absent) in [
        (Method::POST, "/api/storefront/permissions", named(theirs), named(nothing)),
        (
            Method::POST,
            "/api/storefront/permissions",
            permission(own, json!(packages)),
            permission(own, json!(nothing)),
        ),
        (Method::POST, merge.as_str(), json!({"consumer_id": theirs}), json!({"consumer_id": nothing})),
        (Method::PUT, entitlements.as_str(), entitled(packages), entitled(nothing)),
        (Method::PATCH, moved.as_str(), json!({"consumer_id": theirs}), json!({"consumer_id": nothing})),
    ] {
        for token in [ADMIN, &root.unlimited] {
            let request = |body: &Value| registry.isolate.request(method.clone(), path).bearer(token).json(body);
            let (reply, calls) = registry.counted(request(&foreign).send()).await;
            let met = shape(&reply, calls, &[], &[]);
            let (reply, calls) = registry.counted(request(&absent).send()).await;
            assert_eq!(met, shape(&reply, calls, &[], &[]), "{method} {path} {foreign}");
            assert_eq!(met.0, 400, "{method} {path}: {}", met.2);
        }
    }
    for path in ["/api/packages?repository=", "/api/audit-log?target=", "/api/tokens?customer_id="] {
        let request = |id: &str| registry.get(&format!("{path}{id}")).bearer(&root.unlimited);
        let (reply, calls) = registry.counted(request(&other.repository).send()).await;
        let met = shape(&reply, calls, &[], &[]);
        let (reply, calls) = registry.counted(request(NO_UID).send()).await;
        assert_eq!(met, shape(&reply, calls, &[], &[]), "{path}");
    }
}

#[tokio::test]
async fn a_customers_id_is_each_organizations_own() {
    let (registry, root, other) = two().await;
    let path = format!("/api/storefront/consumers/{}", other.consumer);
    let theirs = || within(registry.get(&path), Some(OTHER)).bearer(ADMIN);
    within(registry.patch(&path), Some(OTHER))
        .bearer(ADMIN)
        .json(&json!({"customer_id": "77"}))
        .send()
        .await
        .expect(200);
    let before = theirs().send().await.expect(200).json();
    let sale = json!({"email": "own@example.com", "entitlements": [{"package": "*", "version": "*", "order_id": "9"}]});
    let put = registry.put("/api/storefront/consumers/by-customer/77").bearer(&root.unlimited).json(&sale);
    let made = put.send().await.expect(201).json();
    assert_ne!(made["id"], before["id"]);
    assert_eq!(theirs().send().await.expect(200).json(), before);
    let refund = registry.delete("/api/storefront/permissions?order_id=9").bearer(&other.unlimited);
    assert_eq!(within(refund, Some(OTHER)).send().await.expect(200).json(), json!([]));
    let kept = registry.get("/api/storefront/permissions?order_id=9").bearer(&root.unlimited).send().await.expect(200);
    assert_eq!(kept.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn lists_totals_and_metadata_hold_nothing_of_the_other_organization() {
    let (registry, root, other) = two().await;
    for (own, slug, foreign) in [(&root, None, &other), (&other, Some(OTHER), &root)] {
        for path in [
            "/api/packages",
            "/api/repositories",
            "/api/tokens",
            "/api/users",
            "/api/invitations",
            "/api/advisories",
            "/api/filter-entries",
            "/api/artifacts",
            "/api/audit-log?limit=1000",
            "/api/statistics",
            "/api/storefront/packages",
            "/api/storefront/consumers",
            "/api/storefront/webhooks",
        ] {
            let reply = within(registry.get(path), slug).bearer(ADMIN).send().await.expect(200);
            let list = reply.text();
            assert!(!path.ends_with("packages") || list.contains(&own.name), "{path}: {list}");
            for theirs in [&foreign.name, &foreign.repository, &foreign.token, &foreign.user, &foreign.email] {
                assert!(!list.contains(theirs.as_str()), "{path} holds {theirs}");
            }
        }
    }
    let root_document = registry.get("/packages.json").bearer(ADMIN).composer().send().await.expect(200).text();
    let vendor = |fixture: &OrganizationFixture| fixture.name.replace("/only", "/*");
    assert!(root_document.contains(&vendor(&root)) && !root_document.contains(&vendor(&other)), "{root_document}");
    assert_eq!(registry.listed_names(ADMIN).await, json!(["acme/shared", root.name, "root/sold"]));
    let shared = registry.get("/p2/acme/shared.json").bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(shared.version_names("acme/shared"), ["1.0.0"]);
}

#[tokio::test]
async fn a_credential_of_the_other_organization_finds_nothing_on_the_root_surface() {
    let (registry, root, other) = two().await;
    for (who, sign_in) in credentials(&other, None).into_iter().filter(|(who, _)| *who != "the admin token") {
        let mut met = BTreeSet::new();
        for path in [
            "/packages.json",
            "/list.json",
            "/search.json",
            "/providers/psr/log-implementation.json",
            "/p2/acme/shared.json",
            &format!("/p2/{}.json", root.name),
            "/p2/vendor/absent.json",
            "/dist/acme/shared/1.0.0.zip",
            &format!("/dist/{}/1.0.0/{}.zip", root.name, root.reference),
            "/filter-lists/summary.json",
        ] {
            let reply = sign_in(registry.get(path)).send().await;
            assert_eq!(reply.status, 404, "{path} as {who}: {}", reply.text());
            met.insert(reply.text());
        }
        assert_eq!(met.len(), 1, "{who} can tell what is there from what is not: {met:?}");
    }
}

#[tokio::test]
async fn only_the_admin_token_acts_in_an_organization_that_it_names() {
    let (registry, root, other) = two().await;
    let names = async |request: TestRequest| request.send().await.expect(200).text();
    let as_admin = |slug: &str| registry.get("/api/packages").bearer(ADMIN).header(ORGANIZATION, slug);
    assert!(names(as_admin(OTHER)).await.contains(&other.name));
    assert!(names(as_admin("default")).await.contains(&root.name));
    assert!(names(registry.get("/api/packages").bearer(ADMIN)).await.contains(&root.name));
    for token in [&root.unlimited, &root.login] {
        let foreign = registry.get("/api/packages").bearer(token).header(ORGANIZATION, OTHER).send().await.expect(404);
        let absent =
            registry.get("/api/packages").bearer(token).header(ORGANIZATION, "nowhere").send().await.expect(404);
        assert_eq!(foreign.json(), absent.json());
        let own = registry.get("/api/packages").bearer(token).header(ORGANIZATION, "default");
        assert!(names(own).await.contains(&root.name));
    }
    as_admin("nowhere").send().await.expect(404);
}

#[tokio::test]
async fn a_publish_in_one_organization_leaves_the_memory_of_the_other_alone() {
    let (registry, root, other) = two().await;
    let path = format!("/p2/{}.json", root.name);
    for path in [path.as_str(), "/packages.json"] {
        registry.get(path).basic(&root.reader).composer().send().await.expect(200);
    }
    let yank = format!("/api/packages/{}/versions/1.0.0/yank", other.package);
    within(registry.post(&yank), Some(OTHER)).bearer(ADMIN).send().await.expect(200);
    for path in [path.as_str(), "/packages.json"] {
        let (reply, calls) = registry.counted(registry.get(path).basic(&root.reader).composer().send()).await;
        reply.expect(200);
        assert_eq!(calls.statements, 0, "{path} was read again");
    }
}

#[tokio::test]
async fn a_name_is_each_organizations_own() {
    let (registry, root, other) = two().await;
    // What the one has already is free in the other.
    let path = format!("/api/packages/{}/versions/3.0.0", other.name);
    let zip = package(&other.name, "3.0.0");
    registry.put(&path).bearer(&root.unlimited).body(zip).send().await.expect(201);
    let versions = registry.get(&format!("/p2/{}.json", other.name)).bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(versions.version_names(&other.name), ["3.0.0"]);
    let path = format!("/api/packages/{}/versions", other.package);
    let theirs = within(registry.get(&path), Some(OTHER)).bearer(ADMIN).send().await.expect(200).text();
    assert!(theirs.contains("1.0.0") && !theirs.contains("3.0.0"), "{theirs}");
}
