//! Packages × versions × grants × surfaces: what a consumer was granted and what is shown is there on every surface,
//! and all else is a 404 that cannot be told from that of what does not exist.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, Calls, TestConsumer, TestRegistry, TestRequest, TestResponse};

/// A package: its name, its versions with whether each is shown, and whether it is itself.
type Sold = (&'static str, &'static [(&'static str, bool)], bool);

/// Those of `acme/one`, as of all that come from git, share one commit.
const SOLD: [Sold; 5] = [
    (
        "acme/one",
        &[("1.0.0", true), ("1.1.0", false), ("2.0.0", true), ("2.1.0-beta1", true), ("dev-main", true)],
        true,
    ),
    ("acme/two", &[("5.0.0", true), ("5.1.0", false), ("6.0.0", true)], true),
    ("other/three", &[("1.0.0", true), ("dev-main", true)], false),
    ("other/four", &[("1.0.0", false), ("dev-main", false)], true),
    ("other/five", &[("1.0.0", true), ("2.0.0", false), ("dev-main", false)], true),
];

/// What is granted, and which versions that covers, said by hand.
type Granted = (Value, fn(&str, &str) -> bool);

fn grants() -> Vec<Granted> {
    vec![
        (json!([]), |_, _| false),
        (json!([{"package": "*", "version": "*"}]), |_, _| true),
        (json!([{"package": "acme/*", "version": "*"}]), |package, _| package.starts_with("acme/")),
        (json!([{"package": "acme/one", "version": "1.*"}]), |package, version| {
            package == "acme/one" && version.starts_with("1.")
        }),
        (json!([{"package": "acme/one", "version": "^2.0", "minimum_stability": "stable"}]), |package, version| {
            package == "acme/one" && version == "2.0.0"
        }),
        (
            json!([{"package": "acme/two", "version": ">=5.1"}, {"package": "other/*", "version": "1.0.0"}]),
            |package, version| {
                package == "acme/two" && version >= "5.1" || package.starts_with("other/") && version == "1.0.0"
            },
        ),
        (
            json!([{"package": "acme/one", "version": "dev-main"}, {"package": "acme/two", "version": "5.1.0"}]),
            |package, version| {
                package == "acme/one" && version == "dev-main" || package == "acme/two" && version == "5.1.0"
            },
        ),
        (json!([{"package": "other/five", "version": "2.*"}]), |package, version| {
            package == "other/five" && version == "2.0.0"
        }),
        (json!([{"package": "acme/one", "version": "7.*"}]), |_, _| false),
    ]
}

/// A shop with all that is sold, and the references of the zips: package and version → reference.
async fn shop() -> (TestRegistry, TestConsumer, Vec<(&'static str, &'static str, String)>) {
    let registry = TestRegistry::new();
    let mut references = Vec::new();
    for (name, versions, is_shown) in SOLD {
        let tags: Vec<&str> = versions.iter().map(|(version, _)| *version).filter(|tag| *tag != "dev-main").collect();
        if name == "acme/two" {
            for tag in &tags {
                let zip = registry.upload(name, tag, package(name, tag)).await.expect(201).json();
                references.push((name, *tag, zip["reference"].as_str().expect("text").to_owned()));
            }
        } else {
            let (repo, _) = registry.published(name, &tags).await;
            references.extend(versions.iter().map(|(version, _)| (name, *version, repo.id("main"))));
        }
        let advisory = json!({"advisory_id": name.replace('/', "-"), "package": name, "title": "t", "affected_versions": "*", "reported_at": 1});
        registry.post("/api/advisories").bearer(ADMIN).json(&advisory).send().await.expect(201);
        let id = registry.package_id(name);
        let rows = registry.storefront_get(&format!("/versions/package/{id}")).send().await.expect(200).json();
        for (version, _) in versions.iter().filter(|(_, is_shown)| !is_shown) {
            let row = rows.as_array().into_iter().flatten().find(|row| row["name"] == *version).expect("a version");
            let path = format!("/versions/{}", row["id"]);
            registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
        }
        if !is_shown {
            registry.storefront_patch(&format!("/packages/{id}"), &json!({"status": 0})).send().await.expect(201);
        }
    }
    let consumer = registry.consumer().await;
    (registry, consumer, references)
}

/// Grants what is said, and the same of the packages that are not there: who is granted something by its name learns no
/// more than that.
async fn entitle(registry: &TestRegistry, consumer: &TestConsumer, grants: &Value) {
    let mut grants = grants.as_array().expect("a list").clone();
    for mut twin in grants.clone().into_iter().filter(|grant| !grant["package"].to_string().contains('*')) {
        twin["package"] = json!(twin["package"].as_str().expect("a name").replace('/', "/no-"));
        grants.push(twin);
    }
    for grant in &mut grants {
        if grant["minimum_stability"].is_null() {
            grant["minimum_stability"] = json!("dev");
        }
    }
    let grants = json!(grants);
    registry.storefront_put(&format!("/consumers/{}/entitlements", consumer.id), &grants).send().await.expect(200);
}

/// All that a client can tell two answers apart by, as long as what they name, a package or a commit, is the same.
fn shape(reply: &TestResponse, calls: Calls, name: &str) -> (u16, HeaderMap, String, Calls) {
    let mut headers = reply.headers.clone();
    for ours in ["x-request-id", "x-ratelimit-remaining", "content-length"] {
        headers.remove(ours);
    }
    // Of a claim, which names the package: that of the same claim of another name.
    if reply.status == 200 || reply.status == 304 {
        headers.remove("etag");
    }
    (reply.status, headers, reply.text().replace(name, "vendor/absent"), calls)
}

/// Asks for something that is not to be seen, and for something that is not there, each when nothing is known of it here
/// and when that was asked before: they are the same answer; says which.
async fn same_answer(
    registry: &TestRegistry,
    request: impl Fn(&str) -> TestRequest,
    hidden: (&str, &str),
    absent: (&str, &str),
) -> (u16, String) {
    let mut answer = (0, String::new());
    for _ in 0..2 {
        let (reply, calls) = registry.counted(request(hidden.0).send()).await;
        let found = shape(&reply, calls, hidden.1);
        let (reply, calls) = registry.counted(request(absent.0).send()).await;
        let expected = shape(&reply, calls, absent.1);
        assert_eq!(found, expected, "{} and {}", hidden.0, absent.0);
        answer = (expected.0, expected.2);
    }
    answer
}

/// The same, which is a 404.
async fn is_absent(
    registry: &TestRegistry,
    request: impl Fn(&str) -> TestRequest,
    hidden: (&str, &str),
    absent: (&str, &str),
) {
    assert_eq!(same_answer(registry, request, hidden, absent).await.0, 404, "{}", absent.0);
}

/// Asks for the metadata of a package that is not to be seen, and of one that is not there: composer is told that the name
/// is here, without a version, and every other program that there is no such package.
async fn is_claimed(registry: &TestRegistry, consumer: &TestConsumer, hidden: &str, absent: &str) {
    for part in ["", "~dev"] {
        let path = |name: &str| format!("/p2/{name}{part}.json");
        let (hidden, absent) = ((path(hidden), hidden), (path(absent), absent));
        let (hidden, absent) = ((&*hidden.0, hidden.1), (&*absent.0, absent.1));
        let composer = |path: &str| consumer.get(&registry.isolate, path);
        let (status, text) = same_answer(registry, composer, hidden, absent).await;
        assert_eq!((status, &*text), (200, r#"{"minified":"composer/2.0","packages":{"vendor/absent":[]}}"#));
        let claim = composer(hidden.0).send().await.expect(200);
        let again = |path: &str| composer(path).if_modified_since(&claim);
        assert_eq!(same_answer(registry, again, hidden, absent).await.0, 304, "{}", absent.0);
        let other = |path: &str| registry.get(path).pair(&consumer.public_key, &consumer.private_key);
        is_absent(registry, other, hidden, absent).await;
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    let names = list.as_array().into_iter().flatten();
    names.map(|name| name.as_str().or(name["name"].as_str()).expect("a name").to_owned()).collect()
}

/// Gives the customer all its requests of an hour, and makes it known here again.
async fn a_new_hour(registry: &TestRegistry, consumer: &TestConsumer) {
    registry.advance_seconds(3600);
    consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
}

/// What the metadata and the lists of packages tell a customer.
async fn check_packages(registry: &TestRegistry, consumer: &TestConsumer, sees: &impl Fn(&str, &str) -> bool) {
    a_new_hour(registry, consumer).await;
    let request = async |path: &str| consumer.get(&registry.isolate, path).send().await;
    let expected_of = |name: &str, versions: &[(&'static str, bool)]| -> BTreeSet<String> {
        let names = versions.iter().map(|(version, _)| *version).filter(|version| sees(name, version));
        names.map(str::to_owned).collect()
    };
    let visible: BTreeSet<String> = SOLD
        .iter()
        .filter(|(name, versions, _)| !expected_of(name, versions).is_empty())
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    let root = request("/packages.json").await.expect(200).json();
    assert_eq!(root["available-package-patterns"], json!(["acme/*", "other/*"]), "claimed, whatever is seen of them");
    assert!(root.get("available-packages").is_none());
    assert_eq!(names(&request("/list.json").await.expect(200).json()["packageNames"]), visible);
    assert_eq!(names(&request("/search.json?q=").await.expect(200).json()["results"]), visible);
    let rest = request("/api/packages").await.expect(200);
    assert_eq!(
        (names(&rest.json()), rest.header("x-total-count")),
        (visible.clone(), visible.len().to_string().as_str())
    );
    let all: Vec<String> = SOLD.iter().map(|(name, ..)| format!("packages[]={name}")).collect();
    let advisories = registry.post("/security-advisories").pair(&consumer.public_key, &consumer.private_key).composer();
    let advisories = advisories.header("content-type", "application/x-www-form-urlencoded").body(all.join("&"));
    let advisories = advisories.send().await.expect(200).json();
    let concerned = advisories["advisories"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    assert_eq!(concerned.collect::<BTreeSet<_>>(), visible);

    for (name, versions, _) in SOLD {
        let expected = expected_of(name, versions);
        let absent = name.replace('/', "/no-");
        if expected.is_empty() {
            is_claimed(registry, consumer, name, &absent).await;
            for rest in ["", "/versions", "/readme", "/changelog", "/stats", "/dependents"] {
                let of = |name: &str| format!("/api/packages/{}{rest}", name.replace('/', "%2F"));
                let request = |path: &str| consumer.get(&registry.isolate, path);
                is_absent(registry, request, (&of(name), name), (&of(&absent), &absent)).await;
            }
            continue;
        }
        let mut found = BTreeSet::new();
        for part in ["", "~dev"] {
            let reply = request(&format!("/p2/{name}{part}.json")).await.expect(200);
            let names = reply.version_names(name);
            assert!(names.iter().all(|version| version.starts_with("dev-") != part.is_empty()), "{name}{part}");
            found.extend(names);
            request(&format!("/p2/{name}{part}.json")).await.expect(200);
            let again = consumer.get(&registry.isolate, &format!("/p2/{name}{part}.json")).if_modified_since(&reply);
            again.send().await.expect(304);
        }
        assert_eq!(found, expected, "{name}");
        let key = name.replace('/', "%2F");
        let listed = request(&format!("/api/packages/{key}/versions")).await.expect(200).json();
        let listed =
            listed.as_array().into_iter().flatten().map(|row| row["version"].as_str().expect("text").to_owned());
        assert_eq!(listed.collect::<BTreeSet<_>>(), expected, "{name}");
        let details = request(&format!("/api/packages/{key}")).await.expect(200).json();
        let listed = details["versions"].as_array().into_iter().flatten();
        let listed = listed.map(|row| row["version"].as_str().expect("text").to_owned());
        assert_eq!(listed.collect::<BTreeSet<_>>(), expected, "{name}");
    }
}

/// What a customer gets of each zip and of each version.
async fn check_versions(
    registry: &TestRegistry,
    consumer: &TestConsumer,
    references: &[(&str, &str, String)],
    sees: &impl Fn(&str, &str) -> bool,
) {
    let pair = |request: TestRequest| request.pair(&consumer.public_key, &consumer.private_key).composer();
    let request = |method: Method, path: &str| pair(registry.isolate.request(method, path));
    for (name, version, reference) in references {
        a_new_hour(registry, consumer).await;
        let key = name.replace('/', "%2F");
        let rest = format!("/api/packages/{key}/versions/{version}");
        let canonical = format!("/dist/{name}/{version}/{reference}.zip");
        let plain = format!("/dist/{name}/{version}.zip");
        if sees(name, version) {
            for path in [&canonical, &plain] {
                request(Method::GET, path).send().await.expect(200);
                request(Method::HEAD, path).send().await.expect(200);
                request(Method::GET, path).header("range", "bytes=0-3").send().await.expect(206);
            }
            request(Method::GET, &rest).send().await.expect(200);
        } else {
            // The same is granted of the twin, which is not there: what is told goes by the grants and the version.
            let twin = name.replace('/', "/no-");
            let (missing, missing_plain) = (canonical.replace(name, &twin), plain.replace(name, &twin));
            for method in [Method::GET, Method::HEAD] {
                is_absent(registry, |path| request(method.clone(), path), (&canonical, name), (&missing, &twin)).await;
                is_absent(registry, |path| request(method.clone(), path), (&plain, name), (&missing_plain, &twin))
                    .await;
            }
            let range = |path: &str| request(Method::GET, path).header("range", "bytes=0-3");
            is_absent(registry, range, (&canonical, name), (&missing, &twin)).await;
            let etag = |path: &str| request(Method::GET, path).header("if-none-match", "*");
            is_absent(registry, etag, (&canonical, name), (&missing, &twin)).await;
            let get = |path: &str| request(Method::GET, path);
            is_absent(registry, get, (&rest, name), (&format!("/api/packages/{key}/versions/9.9.9"), name)).await;
            for text in ["readme", "changelog", "stats"] {
                let of = |version: &str| format!("/api/packages/{key}/{text}?version={version}");
                is_absent(registry, get, (&of(version), name), (&of("9.9.9"), name)).await;
            }
        }
        // The reference of another package's zip leads nowhere, whether that is visible or not.
        for (_, _, other) in references.iter().filter(|(of, ..)| of != name) {
            let path = format!("/dist/{name}/{version}/{other}.zip");
            let nowhere = "0".repeat(40);
            let missing = format!("/dist/{name}/{version}/{nowhere}.zip");
            is_absent(registry, |path| request(Method::GET, path), (&path, other), (&missing, &nowhere)).await;
        }
    }
}

#[tokio::test]
async fn a_consumer_sees_what_is_granted_and_shown_on_every_surface_and_all_else_is_absent() {
    let (registry, consumer, references) = shop().await;
    for (granted, covers) in grants() {
        entitle(&registry, &consumer, &granted).await;
        let sees = |name: &str, version: &str| {
            let (_, versions, is_shown) = SOLD.iter().find(|(known, ..)| *known == name).expect("sold");
            *is_shown && versions.iter().any(|(known, shown)| *known == version && *shown) && covers(name, version)
        };
        check_packages(&registry, &consumer, &sees).await;
        check_versions(&registry, &consumer, &references, &sees).await;
    }
}

#[tokio::test]
async fn after_a_grant_changed_whatever_was_cached_is_answered_anew() {
    let (registry, consumer, _) = shop().await;
    let paths = ["/packages.json", "/p2/acme/one.json", "/p2/acme/one~dev.json", "/p2/acme/two.json"];
    let all = grants();
    for (before, _) in &all {
        for (after, _) in all.iter().filter(|(after, _)| after != before) {
            for path in paths {
                entitle(&registry, &consumer, before).await;
                let old = consumer.get(&registry.isolate, path).send().await;
                entitle(&registry, &consumer, after).await;
                let new = consumer.get(&registry.isolate, path).send().await;
                if old.status != 200 || old.body == new.body {
                    continue;
                }
                let by_date = consumer.get(&registry.isolate, path).if_modified_since(&old).send().await;
                assert_eq!((by_date.status, &by_date.body), (new.status, &new.body), "{path}: {before} → {after}");
                let etag = old.header("etag").to_owned();
                let by_tag = consumer.get(&registry.isolate, path).header("if-none-match", &etag).send().await;
                assert_eq!((by_tag.status, &by_tag.body), (new.status, &new.body), "{path}: {before} → {after}");
            }
        }
    }
}

#[tokio::test]
async fn hiding_and_showing_is_seen_by_whoever_asks_whether_it_has_changed() {
    let (registry, consumer, _) = shop().await;
    entitle(&registry, &consumer, &json!([{"package": "acme/one", "version": "<3"}])).await;
    let id = registry.package_id("acme/one");
    let rows = registry.storefront_get(&format!("/versions/package/{id}")).send().await.expect(200).json();
    let row = rows.as_array().into_iter().flatten().find(|row| row["name"] == "1.0.0").expect("a version");
    let path = format!("/versions/{}", row["id"]);
    let p2 = || consumer.get(&registry.isolate, "/p2/acme/one.json");
    let shown = p2().send().await.expect(200);
    registry.storefront_patch(&path, &json!({"status": 0})).send().await.expect(200);
    let hidden = p2().if_modified_since(&shown).send().await.expect(200);
    assert_eq!(hidden.version_names("acme/one"), ["2.1.0-beta1", "2.0.0"]);
    registry.storefront_patch(&format!("/packages/{id}"), &json!({"status": 0})).send().await.expect(201);
    p2().if_modified_since(&hidden).send().await.expect_claim("acme/one");
    registry.storefront_patch(&format!("/packages/{id}"), &json!({"status": 1})).send().await.expect(201);
    registry.storefront_patch(&path, &json!({"status": 1})).send().await.expect(200);
    let back = p2().if_modified_since(&hidden).send().await.expect(200);
    assert_eq!(back.body, shown.body);
}
