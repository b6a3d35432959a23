//! What a shop takes back of what it sells: versions that are yanked, packages that are abandoned, and advisories about both;
//! and how what it sells is found by the ids of either kind.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestConsumer, TestRegistry, TestResponse};

/// A shop whose token is limited to `grants`, with all that it sells in one package of two versions and a customer.
struct Shop {
    registry: TestRegistry,
    consumer: TestConsumer,
    token: String,
}

impl Shop {
    async fn new(grants: Value) -> Self {
        let registry = TestRegistry::new();
        for version in ["1.0.0", "1.1.0"] {
            registry.upload("acme/lib", version, package("acme/lib", version)).await.expect(201);
        }
        registry.upload("other/lib", "1.0.0", package("other/lib", "1")).await.expect(201);
        let consumer = registry.consumer().await;
        registry.grant(&consumer, "acme/lib", "*").await;
        let spec = json!({"description": "shop", "scopes": ["storefront:*"], "grants": grants});
        let (_, token) = registry.token(&spec).await;
        Self { registry, consumer, token }
    }

    async fn get(&self, path: &str) -> TestResponse {
        self.registry.get(&format!("/api/storefront{path}")).bearer(&self.token).send().await
    }

    async fn patch(&self, path: &str, body: Value) -> TestResponse {
        self.registry.patch(&format!("/api/storefront{path}")).bearer(&self.token).json(&body).send().await
    }

    async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.registry.post(&format!("/api/storefront{path}")).bearer(&self.token).json(&body).send().await
    }

    async fn delete(&self, path: &str) -> TestResponse {
        self.registry.delete(&format!("/api/storefront{path}")).bearer(&self.token).send().await
    }

    fn package(&self, name: &str) -> String {
        format!("/packages/{}", self.registry.package_id(name))
    }

    /// The path of a version of `acme/lib`.
    async fn version(&self, version: &str) -> String {
        let list = format!("/versions/package/{}?version={version}", self.registry.package_id("acme/lib"));
        format!("/versions/{}", self.get(&list).await.expect(200).json()[0]["id"])
    }

    async fn document(&self) -> TestResponse {
        self.consumer.get(&self.registry.another_isolate(), "/p2/acme/lib.json").send().await.expect(200)
    }
}

fn whole() -> Value {
    json!([{"pattern": "acme/*"}])
}

#[tokio::test]
async fn a_version_that_is_yanked_is_required_by_nobody_and_goes_on_for_those_who_have_it() {
    let shop = Shop::new(whole()).await;
    let path = shop.version("1.1.0").await;
    let yanked = shop.patch(&path, json!({"yanked": true})).await.expect(200).json();
    assert_eq!(json!([yanked["yanked"], yanked["status"]]), json!([true, 1]));
    assert_eq!(shop.document().await.version_names("acme/lib"), ["1.0.0"]);
    let isolate = shop.registry.another_isolate();
    shop.consumer.get(&isolate, "/dist/acme/lib/1.1.0.zip").send().await.expect(200);
    assert_eq!(shop.patch(&path, json!({"yanked": true})).await.expect(200).json(), yanked);
    let back = shop.patch(&path, json!({"yanked": false})).await.expect(200).json();
    assert_eq!(back["yanked"], false);
    assert_eq!(shop.document().await.version_names("acme/lib"), ["1.1.0", "1.0.0"]);
    let audited = shop.registry.database.rows("SELECT action FROM audit_log WHERE action LIKE '%yanked' ORDER BY id");
    assert_eq!(audited, [json!({"action": "version.yanked"}), json!({"action": "version.unyanked"})]);
}

#[tokio::test]
async fn what_is_yanked_before_it_was_shown_is_released_when_it_comes_back() {
    let shop = Shop::new(whole()).await;
    let path = shop.version("1.1.0").await;
    let made = format!("/versions/package/{}", shop.registry.package_id("acme/lib"));
    let made = shop.post(&made, json!({"name": "2.0.0", "status": 0})).await.expect(201).json();
    let hidden = format!("/versions/{}", made["id"]);
    let refused = shop.patch(&hidden, json!({"yanked": true})).await.expect(409).json();
    assert_eq!(
        refused["error"],
        "2.0.0 waits for its zip, so that nobody has it to be kept from. Hide it: \"status\": 0."
    );
    let file = format!("/api/storefront{hidden}/file");
    shop.registry.put(&file).bearer(&shop.token).body(package("acme/lib", "2")).send().await.expect(201);
    // Hidden or not, it is the shop's to yank; shown by the same request, it is yanked before.
    let shown = shop.patch(&hidden, json!({"yanked": true, "status": 1})).await.expect(200).json();
    assert_eq!(json!([shown["yanked"], shown["status"], shown["released_at"]]), json!([true, 1, null]));
    assert_eq!(shop.document().await.version_names("acme/lib"), ["1.1.0", "1.0.0"]);
    shop.registry.advance_seconds(24 * 3600);
    let back = shop.patch(&hidden, json!({"yanked": false})).await.expect(200).json();
    assert_eq!(back["released_at"], "2026-01-02 00:00:00");
    // What customers had keeps its date.
    shop.patch(&path, json!({"yanked": true})).await.expect(200);
    let back = shop.patch(&path, json!({"yanked": false})).await.expect(200).json();
    assert_eq!(back["released_at"], "2026-01-01 00:00:00");
}

#[tokio::test]
async fn a_yanked_dev_version_stays_yanked_when_it_is_uploaded_anew() {
    let shop = Shop::new(whole()).await;
    shop.registry.upload("acme/lib", "dev-main", package("acme/lib", "dev")).await.expect(201);
    let path = shop.version("dev-main").await;
    shop.patch(&path, json!({"yanked": true})).await.expect(200);
    shop.registry.upload("acme/lib", "dev-main", package("acme/lib", "dev, again")).await.expect(201);
    let reply = shop.registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.expect(200);
    assert_eq!(reply.version_names("acme/lib"), [""; 0]);
    assert_eq!(shop.get(&path).await.expect(200).json()["yanked"], true);
}

#[tokio::test]
async fn composer_is_told_that_a_package_is_abandoned_and_for_what() {
    let shop = Shop::new(whole()).await;
    let path = shop.package("acme/lib");
    assert_eq!(shop.get(&path).await.expect(200).json()["abandoned"], false);
    for (said, told) in [
        (json!("Acme/Successor"), json!("acme/successor")),
        (json!(true), json!(true)),
        (json!(false), json!(false)),
        (json!(null), json!(false)),
    ] {
        let shown = shop.patch(&path, json!({"abandoned": said})).await.expect(201).json();
        assert_eq!(shown["abandoned"], told, "{said}");
        let entry = &shop.document().await.versions("acme/lib")[0];
        let expected = if told == false { json!(null) } else { told };
        assert_eq!(entry["abandoned"], expected, "{said}");
    }
    for wrong in [json!("no name"), json!("acme/lib"), json!(1)] {
        let refused = shop.patch(&path, json!({"abandoned": wrong})).await.expect(400).json();
        assert!(refused["details"]["abandoned"].is_array(), "{refused}");
    }
    let refused = shop.post("/packages", json!({"name": "acme/new", "abandoned": true})).await.expect(400).json();
    assert!(refused["details"]["abandoned"].is_array(), "{refused}");
    // What a shop reads and sends back is left to composer.json.
    let read = shop.get(&path).await.expect(200).json();
    let sent = json!({"name": read["name"], "description": "Does it all", "abandoned": read["abandoned"]});
    shop.patch(&path, sent).await.expect(201);
    let said = shop.registry.database.rows("SELECT abandoned_override FROM packages WHERE name = 'acme/lib'");
    assert_eq!(said, [json!({"abandoned_override": null})]);
}

#[tokio::test]
async fn a_shop_writes_advisories_of_its_packages_and_customers_audit_by_them() {
    let shop = Shop::new(whole()).await;
    let path = format!("{}/advisories", shop.package("acme/lib"));
    let body = json!({
        "affected_versions": "<1.1.0", "title": "Path traversal", "severity": "high", "cve": "CVE-2026-12345",
        "link": "https://acme.example/1", "advisory_id": "ACME-1", "reported_at": "2025-12-31 10:00:00",
    });
    let made = shop.post(&path, body.clone()).await.expect(201).json();
    let expected = json!({
        "id": made["id"], "advisory_id": "ACME-1", "package": "acme/lib", "affected_versions": "<1.1.0",
        "title": "Path traversal", "cve": "CVE-2026-12345", "link": "https://acme.example/1", "severity": "high",
        "reported_at": "2025-12-31 10:00:00", "created_at": "2026-01-01 00:00:00", "updated_at": "2026-01-01 00:00:00",
    });
    assert_eq!(made, expected);
    let list = shop.get(&path).await.expect(200);
    assert_eq!((list.header("x-total-count"), list.json()), ("1", json!([made])));
    let told = shop.document().await.json()["security-advisories"].clone();
    assert_eq!(told, json!([{"advisoryId": "ACME-1", "affectedVersions": "<1.1.0"}]));
    shop.post(&path, body).await.expect(409);
    for wrong in
        [json!({"title": "x"}), json!({"title": "x", "affected_versions": "one"}), json!({"package": "acme/x"})]
    {
        shop.post(&path, wrong).await.expect(400);
    }

    // Those of operators are the same ones; those of other packages are at their own.
    let other = json!({"package": "other/lib", "title": "t", "affected_versions": "*"});
    let other = shop.registry.post("/api/advisories").bearer(ADMIN).json(&other).send().await.expect(201).json();
    let id = |advisory: &Value| advisory["id"].as_str().expect("an id").to_owned();
    shop.delete(&format!("{path}/{}", id(&other))).await.expect(404);
    let of_other = format!("{}/advisories", shop.package("other/lib"));
    shop.get(&of_other).await.expect(404);
    shop.post(&of_other, json!({"title": "t", "affected_versions": "*"})).await.expect(404);
    shop.delete(&format!("{of_other}/{}", id(&other))).await.expect(404);
    let as_admin = shop.registry.storefront_delete(&format!("{path}/{}", id(&other)));
    as_admin.send().await.expect(404);
    shop.delete(&format!("{path}/{}", id(&made))).await.expect(204);
    assert_eq!(shop.get(&path).await.expect(200).json(), json!([]));
}

#[tokio::test]
async fn a_shop_of_some_versions_has_the_advisories_that_concern_them() {
    let shop = Shop::new(json!([{"package": "acme/lib", "constraint": "1.0.*"}])).await;
    let path = format!("{}/advisories", shop.package("acme/lib"));
    let post = |affected: &str| {
        let body = json!({"title": affected, "affected_versions": affected});
        shop.registry.storefront_post(&path, &body).send()
    };
    let both = post("*").await.expect(201).json();
    let hidden = post(">=1.1").await.expect(201).json();
    let list = shop.get(&path).await.expect(200);
    assert_eq!((list.header("x-total-count"), list.json()), ("1", json!([both])));
    shop.delete(&format!("{path}/{}", hidden["id"].as_str().expect("an id"))).await.expect(404);
    shop.post(&path, json!({"title": "t", "affected_versions": ">=1.1"})).await.expect(400);
    shop.post(&path, json!({"title": "t", "affected_versions": "1.0.0"})).await.expect(201);
}

#[tokio::test]
async fn packages_and_versions_are_found_by_the_ids_of_either_kind() {
    let shop = Shop::new(whole()).await;
    let known = shop.registry.get("/api/packages/acme%2Flib").bearer(ADMIN).send().await.expect(200).json();
    let uid = known["id"].as_str().expect("an id");
    let id = shop.registry.package_id("acme/lib");
    for query in [format!("?uid={uid}"), "?name=acme/lib".to_owned(), "?name=Acme/Lib".to_owned()] {
        let found = shop.get(&format!("/packages{query}")).await.expect(200);
        assert_eq!(json!([found.json()[0]["id"], found.json()[0]["uid"]]), json!([id, uid]), "{query}");
        assert_eq!(found.header("x-total-count"), "1");
        let all = shop.registry.storefront_get(&format!("/packages{query}")).send().await.expect(200);
        assert_eq!(all.json(), found.json());
    }
    for query in ["?name=other/lib", "?name=acme/absent", "?uid=absent", "?name=acme/lib&offset=1"] {
        assert_eq!(shop.get(&format!("/packages{query}")).await.expect(200).json(), json!([]), "{query}");
    }
    shop.get(&format!("/packages?name=acme/lib&uid={uid}")).await.expect(400);
    shop.get("/packages?names=acme/lib").await.expect(400);

    let newest = &known["versions"][0];
    let list = format!("/versions/package/{id}");
    let queries = [
        format!("?uid={}", newest["id"].as_str().expect("an id")),
        "?version=1.1.0".to_owned(),
        "?version=v1.1".to_owned(),
    ];
    for query in queries {
        let found = shop.get(&format!("{list}{query}")).await.expect(200);
        let shown = json!([found.json()[0]["name"], found.json()[0]["uid"], found.header("x-total-count")]);
        assert_eq!(shown, json!(["1.1.0", newest["id"], "1"]), "{query}");
    }
    for query in ["?version=9.9.9", "?version=no version", "?uid=absent"] {
        let query = query.replace(' ', "%20");
        assert_eq!(shop.get(&format!("{list}{query}")).await.expect(200).json(), json!([]), "{query}");
    }
}

#[tokio::test]
async fn an_advisory_about_a_version_that_was_yanked_reaches_those_who_have_it() {
    let shop = Shop::new(json!([{"pattern": "acme/*"}])).await;
    let other = shop.registry.consumer().await;
    shop.registry.grant(&other, "acme/lib", "1.0.*").await;
    let path = shop.version("1.1.0").await;
    shop.patch(&path, json!({"yanked": true})).await.expect(200);
    let advisory = json!({"title": "Path traversal", "affected_versions": "1.1.*"});
    shop.post(&format!("{}/advisories", shop.package("acme/lib")), advisory).await.expect(201);
    let told = async |consumer: &TestConsumer| {
        let request = shop.registry.post("/security-advisories").pair(&consumer.public_key, &consumer.private_key);
        let body = request.composer().body("packages[]=acme/lib").send().await.expect(200).json();
        body["advisories"]["acme/lib"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((told(&shop.consumer).await, told(&other).await), (1, 0));
    shop.patch(&path, json!({"status": 0})).await.expect(200);
    assert_eq!(told(&shop.consumer).await, 0, "what is hidden is not told of");
}

#[tokio::test]
async fn a_package_whose_last_version_was_yanked_is_told_of_to_those_who_have_it() {
    let shop = Shop::new(json!([{"pattern": "acme/*"}])).await;
    for version in ["1.0.0", "1.1.0"] {
        shop.patch(&shop.version(version).await, json!({"yanked": true})).await.expect(200);
    }
    let advisory = json!({"title": "Path traversal", "affected_versions": "<2"});
    shop.post(&format!("{}/advisories", shop.package("acme/lib")), advisory).await.expect(201);
    let entry = json!({"package": "acme/lib", "constraint": "1.1.0"});
    shop.registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    let ask = async |path: &str, question: &Value| {
        let request = shop.registry.post(path).pair(&shop.consumer.public_key, &shop.consumer.private_key).composer();
        let request = if question.is_null() { request.body("packages[]=acme/lib") } else { request.json(question) };
        request.send().await.expect(200).json()
    };
    let told = async || {
        let advisories = ask("/security-advisories", &Value::Null).await;
        let lists = ask("/filter-lists", &json!({"packages": ["pkg://composer/acme/lib"], "lists": ["malware"]})).await;
        (
            advisories["advisories"]["acme/lib"].as_array().map_or(0, Vec::len),
            lists.to_string().matches("1.1.0").count(),
        )
    };
    assert_eq!(told().await, (1, 1));
    shop.patch(&shop.package("acme/lib"), json!({"status": 0})).await.expect(201);
    assert_eq!(told().await, (0, 0), "what is hidden is not told of");
    let refused = json!({"title": "Another", "affected_versions": "<2", "package": "acme/lib"});
    shop.registry.post("/api/advisories").bearer(ADMIN).json(&refused).send().await.expect(400);
}
