//! `/api/organizations`.

use serde_json::{Value, json};

use super::{token, two, upload, within};
use crate::support::{ADMIN, TestRegistry, manifest};

async fn get(registry: &TestRegistry, token: &str, path: &str) -> Value {
    registry.get(&format!("/api/organizations{path}")).bearer(token).send().await.expect(200).json()
}

fn is_moment(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z') && text.contains('T'))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_token_has_its_organization_and_the_admin_token_has_all() {
    let registry = two().await;
    let own = token(&registry, "acme", json!({})).await;
    let slugs = |list: &Value| -> Vec<String> {
        let rows = list["data"].as_array().expect("rows").iter();
        rows.map(|row| row["slug"].as_str().expect("a slug").to_owned()).collect()
    };
    let list = get(&registry, &own, "").await;
    assert_eq!(slugs(&list), ["acme"]);
    assert_eq!(slugs(&get(&registry, ADMIN, "").await), ["acme", "default"]);
    let one = get(&registry, &own, "/acme").await;
    assert_eq!(keys(&one["data"]), ["id", "name", "slug", "description", "created_at"]);
    assert!(is_moment(&one["data"]["created_at"]), "{one}");
    assert_eq!(list["data"][0], one["data"]);
    for slug in ["default", "nowhere"] {
        let reply = registry.get(&format!("/api/organizations/{slug}")).bearer(&own).send().await.expect(404);
        assert_eq!(reply.json(), json!({"message": "Organization not found", "errors": {}}));
    }
}

#[tokio::test]
async fn packages_come_in_pages_and_are_searched() {
    let registry = two().await;
    for number in 0..25 {
        upload(&registry, "acme", &format!("acme/p{number:02}"), "1.0.0").await;
    }
    let own = token(&registry, "acme", json!({})).await;
    let first = get(&registry, &own, "/acme/packages").await;
    assert_eq!(first["meta"], json!({"current_page": 1, "last_page": 2, "per_page": 20, "total": 26}));
    assert_eq!(keys(&first["data"][0]), ["id", "name", "description", "type", "latest_version", "created_at"]);
    assert_eq!(first["data"][0]["name"], json!("acme/lib"));
    assert_eq!(first["data"][0]["latest_version"], json!("2.0.0"));
    assert!(is_moment(&first["data"][0]["created_at"]));
    let second = get(&registry, &own, "/acme/packages?page=2&per_page=20").await;
    assert_eq!(second["data"].as_array().map(Vec::len), Some(6));
    let found = get(&registry, &own, "/acme/packages?search=p07").await;
    assert_eq!((found["meta"]["total"].clone(), found["data"][0]["name"].clone()), (json!(1), json!("acme/p07")));
    for (query, field) in [("per_page=101", "per_page"), ("page=0", "page"), ("per_page=x", "per_page")] {
        let path = format!("/api/organizations/acme/packages?{query}");
        let refused = registry.get(&path).bearer(&own).send().await.expect(422).json();
        assert!(refused["errors"][field].is_array() && refused["message"].is_string(), "{query}: {refused}");
    }
}

#[tokio::test]
async fn a_package_is_named_by_its_id_or_its_name() {
    let registry = TestRegistry::new();
    registry.organization("acme").await;
    let repo = registry.git_host.serve("lib");
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("v1.0.0");
    let made = within(registry.post("/api/repositories"), "acme").json(&json!({"url": repo.url}));
    let repository = made.send().await.expect(201).id();
    registry.run_until_idle().await;
    let own = token(&registry, "acme", json!({"permissions": "write"})).await;
    let id = get(&registry, &own, "/acme/packages").await["data"][0]["id"].as_str().expect("an id").to_owned();
    let by_id = get(&registry, &own, &format!("/acme/packages/{id}")).await;
    assert_eq!(by_id, get(&registry, &own, "/acme/packages/acme/lib").await);
    assert_eq!(by_id, get(&registry, &own, "/acme/packages/acme%2Flib").await);
    let data = &by_id["data"];
    assert_eq!(keys(data), ["id", "name", "description", "type", "repository", "versions", "created_at"]);
    assert_eq!(data["repository"], json!({"id": repository, "provider": "git", "repo_identifier": "lib"}));
    assert_eq!(keys(&data["versions"][0]), ["version", "normalized_version", "released_at"]);
    assert_eq!(data["versions"][0]["version"], json!("v1.0.0"));
    assert_eq!(data["versions"][0]["normalized_version"], json!("1.0.0.0"));
    let absent = registry.get("/api/organizations/acme/packages/acme/none").bearer(&own).send().await.expect(404);
    assert_eq!(absent.json()["message"], json!("Package not found"));
}

#[tokio::test]
async fn repositories_are_listed_and_synced() {
    let registry = TestRegistry::new();
    registry.organization("acme").await;
    let repo = registry.git_host.serve("lib");
    repo.commit(&[manifest("acme/lib")]);
    let made = within(registry.post("/api/repositories"), "acme").json(&json!({"url": repo.url}));
    let id = made.send().await.expect(201).id();
    let own = token(&registry, "acme", json!({"permissions": "write"})).await;
    let row = |list: &Value| list["data"][0].clone();
    let before = row(&get(&registry, &own, "/acme/repositories").await);
    assert_eq!(keys(&before), ["id", "provider", "repo_identifier", "sync_status", "last_synced_at"]);
    assert_eq!((before["sync_status"].clone(), before["last_synced_at"].clone()), (json!("pending"), Value::Null));
    registry.run_until_idle().await;
    let after = row(&get(&registry, &own, "/acme/repositories").await);
    assert_eq!(after["sync_status"], json!("ok"));
    assert!(is_moment(&after["last_synced_at"]));
    let sync = format!("/api/organizations/acme/repositories/{id}/sync");
    let queued = registry.post(&sync).bearer(&own).send().await.expect(200);
    assert_eq!(queued.json(), json!({"message": "Sync queued successfully"}));
    assert_eq!(row(&get(&registry, &own, "/acme/repositories").await)["sync_status"], json!("pending"));
    let reader = token(&registry, "acme", json!({})).await;
    let refused = registry.post(&sync).bearer(&reader).send().await.expect(403).json();
    assert_eq!(refused["message"], json!("This token lacks the scope `repositories:write`. Use one that has it."));
    let foreign = token(&registry, "default", json!({"permissions": "write"})).await;
    let path = format!("/api/organizations/default/repositories/{id}/sync");
    registry.post(&path).bearer(&foreign).send().await.expect(404);
}

#[tokio::test]
async fn a_token_is_made_shown_once_used_and_revoked() {
    let registry = two().await;
    upload(&registry, "acme", "acme/other", "1.0.0").await;
    let issuer = token(&registry, "acme", json!({"scopes": ["admin"]})).await;
    let lib = get(&registry, &issuer, "/acme/packages/acme/lib").await["data"]["id"].clone();
    let asked =
        json!({"name": "CI Pipeline", "scopes": ["packages:read"], "expires_at": "2099-01-01", "packages": [lib]});
    let path = "/api/organizations/acme/tokens";
    let made = registry.post(path).bearer(&issuer).json(&asked).send().await.expect(201).json();
    let secret = made["data"]["token"].as_str().expect("a token").to_owned();
    assert!(secret.starts_with("pri_"), "{secret}");
    assert_eq!(made["data"]["expires_at"], json!("2099-01-01T23:59:59Z"));
    let list = get(&registry, &issuer, "/acme/tokens").await;
    let row = list["data"].as_array().expect("rows").iter().find(|row| row["id"] == made["data"]["id"]).expect("it");
    assert_eq!(keys(row), ["id", "name", "scopes", "last_used_at", "expires_at", "created_at"]);
    assert_eq!((row["name"].clone(), row["scopes"].clone()), (json!("CI Pipeline"), json!(["packages:read"])));
    let names = registry.get("/org/acme/list.json").basic(&secret).composer().send().await.expect(200).json();
    assert_eq!(names, json!({"packageNames": ["acme/lib"]}));
    let one = format!("{path}/{}", made["data"]["id"].as_str().expect("an id"));
    let gone = registry.delete(&one).bearer(&issuer).send().await.expect(200).json();
    assert_eq!(gone, json!({"message": "Token revoked successfully"}));
    registry.get("/org/acme/list.json").basic(&secret).composer().send().await.expect(401);
    registry.delete(&one).bearer(&issuer).send().await.expect(404);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_field_by_field() {
    let registry = two().await;
    let issuer = token(&registry, "acme", json!({"scopes": ["admin"]})).await;
    let foreign = token(&registry, "default", json!({"scopes": ["admin"]})).await;
    let theirs = get(&registry, &foreign, "/default/packages/acme/lib").await["data"]["id"].clone();
    for (body, field) in [
        (json!({"scopes": ["packages:read"]}), "name"),
        (json!({"name": "x", "scopes": ["packages:fly"]}), "scopes"),
        (json!({"name": "x", "expires_at": "2020-01-01"}), "expires_at"),
        (json!({"name": "x", "expires_at": "soon"}), "expires_at"),
        (json!({"name": "x", "packages": [theirs]}), "packages.0"),
        (json!({"name": "x", "packages": ["00000000-0000-7000-8000-00000000ffff"]}), "packages.0"),
        (json!({"name": "x", "colour": "red"}), "colour"),
    ] {
        let reply = registry.post("/api/organizations/acme/tokens").bearer(&issuer).json(&body).send().await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
        assert!(reply.json()["errors"][field].is_array(), "{body}: {}", reply.text());
    }
    let not_json = registry.post("/api/organizations/acme/tokens").bearer(&issuer).body("{").send().await.expect(400);
    assert_eq!(not_json.json()["errors"], json!({}));
}

#[tokio::test]
async fn nobody_makes_a_token_that_holds_more_than_they_do() {
    let registry = two().await;
    upload(&registry, "acme", "acme/secret", "1.0.0").await;
    let limited = json!({"scopes": ["packages:read", "tokens:write"], "grants": [{"package": "acme/lib"}]});
    let limited = token(&registry, "acme", limited).await;
    let make = |body: Value| registry.post("/api/organizations/acme/tokens").bearer(&limited).json(&body);
    make(json!({"name": "x"})).send().await.expect(403);
    make(json!({"name": "x", "scopes": ["admin"]})).send().await.expect(403);
    let secret = get(&registry, ADMIN, "/acme/packages/acme/secret").await["data"]["id"].clone();
    make(json!({"name": "x", "packages": [secret]})).send().await.expect(422);
    let lib = get(&registry, &limited, "/acme/packages/acme/lib").await["data"]["id"].clone();
    make(json!({"name": "x", "packages": [lib]})).send().await.expect(201);
}

#[tokio::test]
async fn an_organization_is_made_named_and_filled_beside_the_others() {
    let registry = TestRegistry::new();
    let ask = |body: Value| registry.post("/api/organizations").bearer(ADMIN).json(&body);
    let made = ask(json!({"name": "Acme & Sons", "description": "Ours"})).send().await.expect(201).json();
    assert_eq!(
        (made["data"]["slug"].clone(), made["data"]["description"].clone()),
        (json!("acme-sons"), json!("Ours"))
    );
    assert_eq!(made, get(&registry, ADMIN, "/acme-sons").await);
    upload(&registry, "acme-sons", "acme/lib", "1.0.0").await;
    let own = token(&registry, "acme-sons", json!({"scopes": ["packages:read", "settings:write"]})).await;
    assert_eq!(get(&registry, &own, "/acme-sons/packages").await["meta"]["total"], json!(1));
    let change = |body: Value| registry.patch("/api/organizations/acme-sons").bearer(&own).json(&body);
    let changed = change(json!({"name": "Acme", "description": null})).send().await.expect(200).json();
    assert_eq!((changed["data"]["name"].clone(), changed["data"]["description"].clone()), (json!("Acme"), Value::Null));
    assert_eq!(change(json!({"description": "Again"})).send().await.expect(200).json()["data"]["name"], json!("Acme"));
    for (slug, action) in [("default", "organization.created"), ("acme-sons", "organization.changed")] {
        let log =
            within(registry.get(&format!("/api/audit-log?action={action}")), slug).send().await.expect(200).json();
        assert_eq!(log[0]["target"], made["data"]["id"], "{slug}: {log}");
    }
    let again = ask(json!({"name": "x", "slug": "acme-sons"})).send().await.expect(409).json();
    assert_eq!(again["message"], json!("The slug `acme-sons` is taken. Choose another."));
    for (body, field) in
        [(json!({}), "name"), (json!({"name": "x", "slug": "A b"}), "slug"), (json!({"name": "…"}), "slug")]
    {
        let reply = ask(body.clone()).send().await.expect(422).json();
        assert!(reply["errors"][field].is_array(), "{body}: {reply}");
    }
    assert!(change(json!({"slug": "A"})).send().await.expect(422).json()["errors"]["slug"].is_array());
    registry.post("/api/organizations").bearer(&own).json(&json!({"name": "x"})).send().await.expect(403);
    let reader = token(&registry, "acme-sons", json!({})).await;
    registry.patch("/api/organizations/acme-sons").bearer(&reader).json(&json!({"name": "x"})).send().await.expect(403);
}

#[tokio::test]
async fn a_user_of_several_organizations_acts_in_the_one_that_is_named() {
    let registry = two().await;
    let login = registry.owner().await.token;
    assert_eq!(get(&registry, &login, "").await["meta"]["total"], json!(1));
    registry.get("/api/organizations/acme").bearer(&login).send().await.expect(404);
    registry.database.execute(
        "INSERT INTO memberships (user_id, organization_id, role, created_at)
         SELECT u.id, o.id, 'viewer', 0 FROM users u, organizations o WHERE o.slug = 'acme'",
    );
    assert_eq!(get(&registry, &login, "").await["meta"]["total"], json!(2));
    let versions = get(&registry, &login, "/acme/packages/acme/lib").await["data"]["versions"].clone();
    assert_eq!(versions[0]["version"], json!("2.0.0"));
    let own = get(&registry, &login, "/default/packages/acme/lib").await["data"]["versions"].clone();
    assert_eq!(own[0]["version"], json!("1.0.0"));
    // An owner there, and here who only looks.
    let make = |slug: &str| {
        registry.post(&format!("/api/organizations/{slug}/tokens")).bearer(&login).json(&json!({"name": "x"}))
    };
    make("default").send().await.expect(201);
    make("acme").send().await.expect(403);
    let packages = registry.get("/api/packages").bearer(&login).header(super::ORGANIZATION, "acme");
    assert_eq!(packages.send().await.expect(200).json()[0]["latest_version"], json!("2.0.0"));
}

#[tokio::test]
async fn the_addresses_of_a_renamed_organization_lead_to_its_new_ones_until_somebody_takes_the_slug() {
    let registry = two().await;
    let own = token(&registry, "acme", json!({})).await;
    let stranger = token(&registry, "default", json!({})).await;
    let at = |path: &str| registry.get(path).basic(&own).composer();
    let rename =
        |slug: &str, body: Value| within(registry.patch(&format!("/api/organizations/{slug}")), slug).json(&body);
    rename("acme", json!({"slug": "default"})).send().await.expect(409);
    assert_eq!(
        rename("acme", json!({"slug": "umbrella"})).send().await.expect(200).json()["data"]["slug"],
        json!("umbrella")
    );
    // The caches have forgotten what it was called.
    registry.advance_seconds(600);
    let moved = at("/org/acme/p2/acme/lib.json?x=1").send().await.expect(308);
    assert_eq!(moved.header("location"), "/org/umbrella/p2/acme/lib.json?x=1");
    let document = at("/org/umbrella/p2/acme/lib.json").send().await.expect(200);
    assert_eq!(document.version_names("acme/lib"), ["2.0.0"]);
    let moved = registry.get("/api/organizations/acme/packages").bearer(ADMIN).send().await.expect(308);
    assert_eq!(moved.header("location"), "/api/organizations/umbrella/packages");
    assert!(moved.json()["message"].as_str().is_some_and(|text| text.contains("`umbrella`")), "{}", moved.text());
    // To a stranger there never was any.
    for slug in ["acme", "umbrella", "nowhere"] {
        let reply = registry.get(&format!("/org/{slug}/packages.json")).basic(&stranger).composer().send().await;
        assert_eq!((reply.status, reply.find_header("location")), (404, None), "{slug}");
    }
    let taken = json!({"name": "Another", "slug": "acme"});
    registry.post("/api/organizations").bearer(ADMIN).json(&taken).send().await.expect(201);
    at("/org/acme/p2/acme/lib.json").send().await.expect(404);
    rename("umbrella", json!({"slug": "third"})).send().await.expect(200);
    registry.advance_seconds(600);
    assert_eq!(at("/org/umbrella/list.json").send().await.expect(308).header("location"), "/org/third/list.json");
    rename("third", json!({"slug": "umbrella"})).send().await.expect(200);
    registry.advance_seconds(600);
    at("/org/umbrella/list.json").send().await.expect(200);
    at("/org/third/list.json").send().await.expect(308);
}
