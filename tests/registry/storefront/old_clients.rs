//! Clients that were written for the document that the storefront was made by: they spell numbers as texts, send forms and
//! truths for a status, end paths with a slash, and give packages another name.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestRegistry, TestRequest, TestResponse};

const FORM: &str = "application/x-www-form-urlencoded";

fn form(request: TestRequest, body: &str) -> TestRequest {
    request.bearer(ADMIN).body(body.to_owned()).header("content-type", FORM)
}

async fn post_form(registry: &TestRegistry, path: &str, body: &str) -> TestResponse {
    form(registry.post(&format!("/api/storefront{path}")), body).send().await
}

#[tokio::test]
async fn numbers_are_taken_as_texts_and_truths_for_a_status() {
    let registry = TestRegistry::new();
    let made = registry.storefront_post("/packages", &json!({"name": "acme/lib", "status": "0"})).send().await;
    let made = made.expect(201).json();
    assert_eq!(made["status"], 0);
    let path = format!("/packages/{}", made["id"]);
    for (status, expected) in [(json!(true), 1), (json!(false), 0), (json!("1"), 1), (json!(0), 0), (json!(1), 1)] {
        let shown = registry.storefront_patch(&path, &json!({"status": status})).send().await.expect(201).json();
        assert_eq!(shown["status"], expected, "{status}");
    }
    for wrong in [json!("yes"), json!(""), json!("2"), json!(1.5), json!([1])] {
        registry.storefront_patch(&path, &json!({"status": wrong})).send().await.expect(400);
    }
    let consumer = registry.consumer().await;
    let body = json!({
        "consumerid": consumer.id.to_string(), "packageid": made["id"].to_string(), "version": "5.*",
    });
    let granted = registry.storefront_post("/permissions", &body).send().await.expect(201).json();
    assert_eq!(json!([granted["consumer_id"], granted["package_id"]]), json!([consumer.id, made["id"]]));
    // Nowhere else: a text is no number at /api.
    let token = json!({"description": "x", "scopes": ["packages:read"], "expires_at": "1830297600"});
    registry.post("/api/tokens").bearer(ADMIN).json(&token).send().await.expect(400);
}

#[tokio::test]
async fn a_form_is_a_body_like_any_other_below_the_storefront_and_nowhere_else() {
    let registry = TestRegistry::new();
    let made = post_form(&registry, "/packages", "name=acme%2Flib&description=Does+it+all&status=1").await.expect(201);
    assert_eq!(json!([made.json()["name"], made.json()["description"]]), json!(["acme/lib", "Does it all"]));
    let id = made.json()["id"].clone();
    let path = format!("/versions/package/{id}");
    let version = post_form(&registry, &path, "name=8.7.2&filename=438411134.zip&status=1").await.expect(201);
    assert_eq!(version.json()["filename"], "438411134.zip");
    let consumer = post_form(&registry, "/consumers", "email=one%40example.com").await.expect(201).json();
    let permission = format!("consumerid={}&packageid={id}&version=5.*&updates_until=2028-01-01", consumer["id"]);
    let permission = post_form(&registry, "/permissions", &permission).await.expect(201).json();
    assert_eq!(json!([permission["version"], permission["updates_until"]]), json!(["5.*", "2028-01-01 23:59:59"]));
    let path = format!("/api/storefront/permissions/{}", permission["id"]);
    let changed = form(registry.put(&path), "version=6.*").send().await.expect(200).json();
    assert_eq!(changed["version"], "6.*");

    // `curl -d` says of JSON that it is a form.
    let json = json!({"name": "acme/json"}).to_string();
    post_form(&registry, "/packages", &format!(" {json}")).await.expect(201);
    for (body, field) in [
        ("name=acme%2Fx&name=acme%2Fy", "name"),
        ("name=acme%2Fx&colour=red", "colour"),
        ("name=acme%2Fx&description=%FF", "description"),
        ("name%5B%5D=acme%2Fx", "name[]"),
        ("status=1", "name"),
    ] {
        let refused = post_form(&registry, "/packages", body).await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{body}: {refused}");
    }
    let many: Vec<String> = (0..=100).map(|number| format!("field{number}=1")).collect();
    let refused = post_form(&registry, "/packages", &many.join("&")).await.expect(400).json();
    assert_eq!(refused["error"], "The form has more than 100 fields.");
    let entitlements = format!("/api/storefront/consumers/{}/entitlements", consumer["id"]);
    form(registry.put(&entitlements), "version=6.*").send().await.expect(400);
    form(registry.post("/api/tokens"), "description=x&permissions=readonly").send().await.expect(400);
}

#[tokio::test]
async fn no_page_has_a_browser_send_a_form_to_a_shop() {
    let registry = TestRegistry::new();
    let body = "email=eve%40evil.test";
    for (header, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none"), ("origin", "https://evil.test")]
    {
        let request = form(registry.post("/api/storefront/consumers"), body).header(header, value);
        request.send().await.expect(415);
        let remembered =
            registry.post("/api/storefront/consumers").basic(ADMIN).body(body).header("content-type", FORM);
        let refused = remembered.header(header, value).send().await.status;
        assert!([403, 415].contains(&refused), "{header}: {value}: {refused}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_path_may_end_with_a_slash() {
    let registry = TestRegistry::new();
    let made = registry.storefront_post("/packages/", &json!({"name": "acme/lib"})).send().await.expect(201).json();
    let path = format!("/packages/{}", made["id"]);
    assert_eq!(registry.storefront_get("/packages/").send().await.expect(200).json(), json!([made]));
    assert_eq!(registry.storefront_get(&format!("{path}/")).send().await.expect(200).json(), made);
    let versions = format!("/versions/package/{}/?limit=1", made["id"]);
    registry.storefront_get(&versions).send().await.expect(200);
    registry.storefront_delete(&format!("{path}/")).send().await.expect(204);
    for path in ["/", "//", "/packages//", "/absent/"] {
        registry.storefront_get(path).send().await.expect(404);
    }
    registry.storefront_patch("/packages/", &json!({})).send().await.expect(405);
    registry.get("/api/tokens/").bearer(ADMIN).send().await.expect(404);
}

#[tokio::test]
async fn times_are_taken_in_every_form_that_shops_write_and_go_out_in_one() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    let mut body = json!({"consumer_id": consumer.id, "package": "acme/lib", "version": "1.*"});
    let made = registry.storefront_post("/permissions", &body).send().await.expect(201).json();
    let path = format!("/permissions/{}", made["id"]);
    body["version"] = json!("2.*");
    for stated in [
        json!("2028-06-30 22:00:00"),
        json!("2028-06-30T22:00:00Z"),
        json!("2028-07-01T00:00:00+02:00"),
        json!("2028-07-01T00:00:00+0200"),
        json!(1_846_015_200),
        json!("1846015200"),
    ] {
        let change = json!({"updates_until": stated, "expires_at": stated});
        let shown = registry.storefront_patch(&path, &change).send().await.expect(200).json();
        let times = json!([shown["updates_until"], shown["expires_at"]]);
        assert_eq!(times, json!(["2028-06-30 22:00:00", "2028-06-30 22:00:00"]), "{stated}");
    }
    let day = registry.storefront_patch(&path, &json!({"updates_until": "2028-06-30"})).send().await.expect(200).json();
    assert_eq!(day["updates_until"], "2028-06-30 23:59:59");
    let list = format!("/consumers/{}/entitlements", consumer.id);
    let wrong = json!([{"package": "acme/lib", "version": "*", "updates_until": "soon"}]);
    let refused = registry.storefront_put(&list, &wrong).send().await.expect(400).json();
    assert!(refused["details"]["[0].updates_until"].is_array(), "{refused}");
}

#[tokio::test]
async fn a_package_of_which_nothing_is_published_may_get_another_name() {
    let registry = TestRegistry::new();
    let made = registry.storefront_post("/packages", &json!({"name": "acme/typo"})).send().await.expect(201).json();
    registry.storefront_post("/packages", &json!({"name": "acme/taken"})).send().await.expect(201);
    let path = format!("/packages/{}", made["id"]);
    let waiting = json!({"name": "1.0.0", "filename": "one.zip"});
    let waiting = registry.storefront_post(&format!("/versions/package/{}", made["id"]), &waiting).send().await;
    let waiting = waiting.expect(201).json();
    // Its description was published under the old name.
    registry.storefront_patch(&path, &json!({"description": "Does it all"})).send().await.expect(201);
    let rename = |name: &str| registry.storefront_put(&path, &json!({"name": name, "status": 1})).send();
    let taken = rename("acme/taken").await.expect(409).json();
    assert_eq!(taken["error"], "There is a package acme/taken already.");
    let (_, limited) = registry
        .token(&json!({"description": "x", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/"]}))
        .await;
    let beyond = registry.put(&format!("/api/storefront{path}")).bearer(&limited).json(&json!({"name": "other/lib"}));
    beyond.send().await.expect(403);
    let renamed = rename("Acme/Lib").await.expect(201).json();
    assert_eq!(json!([renamed["id"], renamed["name"], renamed["uid"]]), json!([made["id"], "acme/lib", made["uid"]]));
    registry.get_from_new_isolate("/p2/acme/typo.json").await.expect_claim("acme/typo");
    let file = format!("/api/storefront/versions/{}/file", waiting["id"]);
    registry.put(&file).bearer(ADMIN).body(package("acme/lib", "one")).send().await.expect(201);
    let published = registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200);
    assert_eq!(published.version_names("acme/lib"), ["1.0.0"]);
    // Now its zips name it.
    let refused = rename("acme/other").await.expect(400).json();
    assert_eq!(
        refused["details"]["name"][0],
        "cannot be changed any more: zips of the package name it, or permissions or tokens do, or it comes from a \
         repository. Make another package"
    );
    let audited = registry.database.rows("SELECT label, details FROM audit_log WHERE action = 'package.renamed'");
    let expected = json!({"label": "acme/lib", "details": json!({"from": "acme/typo"}).to_string()});
    assert_eq!(audited, [expected]);
}

#[tokio::test]
async fn a_package_that_permissions_or_tokens_name_keeps_its_name() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    for (number, named) in [true, false].into_iter().enumerate() {
        let name = format!("acme/lib-{number}");
        let made = registry.storefront_post("/packages", &json!({"name": name})).send().await.expect(201).json();
        if named {
            registry.grant(&consumer, &name, "*").await;
        } else {
            registry
                .token(&json!({"description": "x", "permissions": "readonly", "grants": [{"package": name}]}))
                .await;
        }
        let path = format!("/packages/{}", made["id"]);
        let before: Value = registry.storefront_get(&path).send().await.expect(200).json();
        registry.storefront_patch(&path, &json!({"name": "acme/other"})).send().await.expect(400);
        assert_eq!(registry.storefront_get(&path).send().await.expect(200).json(), before);
    }
}
