//! `public/api/openapi.json` is what the routes and their handlers say, and it says all of it. To write it anew after a
//! change of theirs: `UPDATE_OPENAPI=1 cargo test --test openapi`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use axum::body::Body;
use http::{Request, StatusCode};
use rostrum::http::document::document;
use serde_json::{Map, Value};
use tower::ServiceExt;

/// The methods that a path item may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Routes that stand in no document: pages and their files, and the answers to what is not there.
const UNDESCRIBED: [&str; 15] = [
    "/account/",
    "/account/{*file}",
    "/api",
    "/api/",
    "/api/organizations/",
    "/api/organizations/{organization}/{*rest}",
    "/api/storefront",
    "/api/storefront/",
    "/api/storefront/{*rest}",
    "/api/swagger/",
    "/api/swagger/{*file}",
    "/api/{*rest}",
    "/org/{organization}",
    "/org/{organization}/",
    "/org/{organization}/{*rest}",
];

/// Operations that have no way to fail: they ask nothing of anybody, or what they tell is whether something failed.
const CANNOT_FAIL: [&str; 3] = ["get_health", "get_openapi_document", "get_swagger"];

fn parsed() -> Value {
    serde_json::from_str(&document().expect("JSON")).expect("JSON")
}

/// Every operation: `get /api/tokens`, and what is said of it.
fn operations(document: &Value) -> Vec<(String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path item") {
            assert!(METHODS.contains(&method.as_str()), "{path}: {method}");
            operations.push((format!("{method} {path}"), operation.as_object().expect("an operation")));
        }
    }
    assert!(operations.len() > 80, "{}", operations.len());
    operations
}

/// What `value` says, or what it refers to.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect(reference),
        None => value,
    }
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn the_api_document_is_what_the_handlers_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("public/api/openapi.json");
    let expected = document().expect("JSON");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &expected).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let command = "UPDATE_OPENAPI=1 cargo test --test openapi";
    assert!(found == expected, "public/api/openapi.json is behind the handlers: run {command}");
}

/// The addresses that the router has, as it tells them itself.
fn routed_paths() -> BTreeSet<String> {
    let told = format!("{:?}", rostrum::http::router());
    let (_, paths) = told.split_once("Node { paths: {").expect("the router's addresses");
    let (paths, _) = paths.split_once(" } }").expect("their end");
    let quoted = paths.split("): \"").skip(1).map(|rest| rest.split_once('"').expect("a quoted address").0);
    quoted.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else_is() {
    let router = rostrum::http::router();
    let mut answered = BTreeSet::new();
    for path in routed_paths() {
        if UNDESCRIBED.contains(&path.as_str()) {
            continue;
        }
        if let Some(path) = path.strip_suffix('/') {
            assert!(path.starts_with("/api/storefront/"), "{path}/ is a path of its own");
            assert!(routed_paths().contains(path), "{path} is no route without its slash");
            continue;
        }
        let described = path.replace("{*", "{");
        for method in METHODS {
            let uri = described.replace('{', "x").replace('}', "");
            let request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(uri);
            let request = request.body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("a router never fails");
            // `HEAD` comes with `GET`.
            if answer.status() != StatusCode::METHOD_NOT_ALLOWED && method != "head" {
                answered.insert(format!("{method} {described}"));
            }
        }
    }
    let document = parsed();
    let described: BTreeSet<String> = operations(&document).into_iter().map(|(what, _)| what).collect();
    assert_eq!(described, answered);
    for path in UNDESCRIBED {
        assert!(routed_paths().contains(path), "{path} is no route any more");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_a_tag_that_is_explained() {
    let document = parsed();
    let mut explained = BTreeMap::new();
    for tag in array(document.get("tags")) {
        explained.insert(tag["name"].as_str().expect("a name"), tag["description"].as_str().unwrap_or_default());
    }
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (what, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().expect(&what)), "{what}: its name is taken");
        let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default();
        assert!(summary.len() > 8 && summary.ends_with('.'), "{what}: {summary:?}");
        let tags = array(operation.get("tags"));
        assert_eq!(tags.len(), 1, "{what}");
        let tag = tags[0].as_str().expect("a tag");
        assert!(explained.get(tag).is_some_and(|words| words.contains(' ')), "{what}: nothing is said of {tag}");
        used.insert(tag);
    }
    assert_eq!(explained.into_keys().collect::<BTreeSet<_>>(), used, "tags");
}

#[test]
fn every_operation_says_who_may_ask_and_how_it_refuses_others() {
    let document = parsed();
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    for requirement in array(document.get("security")) {
        assert!(requirement.as_object().expect("an object").keys().all(|name| schemes.contains_key(name)));
    }
    assert_eq!(array(document.get("security")).len(), 2);
    for (what, operation) in operations(&document) {
        let is_public = operation.get("security").is_some();
        assert!(operation.get("security").is_none_or(|security| *security == serde_json::json!([{}])), "{what}");
        let responses = &operation["responses"];
        let names_a_thing = what.contains('{');
        assert!(!names_a_thing || responses.get("404").is_some(), "{what}: 404");
        for status in ["401", "403", "429"] {
            assert!(is_public || responses.get(status).is_some(), "{what}: {status}");
        }
    }
}

#[test]
fn every_failure_has_the_body_and_the_headers_of_a_failure() {
    let document = parsed();
    for (what, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        let can_fail = !CANNOT_FAIL.contains(&operation["operationId"].as_str().expect("a name"));
        let is_failure = |status: &str| status >= "400" && (can_fail || status != "503");
        let failures: Vec<_> = responses.iter().filter(|(status, _)| is_failure(status)).collect();
        assert_eq!(!failures.is_empty(), can_fail, "{what}");
        assert_eq!(responses.contains_key("500"), can_fail, "{what}");
        for (status, failure) in failures {
            let failure = resolved(&document, failure);
            let schema = &failure["content"]["application/json"]["schema"]["$ref"];
            let has_message = what.contains(" /org/") || what.contains(" /api/organizations");
            let expected = if has_message { "MessageBody" } else { "ErrorBody" };
            assert_eq!(schema, &format!("#/components/schemas/{expected}"), "{what}: {status}");
            let needed = match status.as_str() {
                "401" => vec!["X-Request-Id", "WWW-Authenticate"],
                "429" | "503" => vec!["X-Request-Id", "Retry-After"],
                _ => vec!["X-Request-Id"],
            };
            for header in needed {
                let header = &failure["headers"][header];
                assert!(resolved(&document, header)["description"].is_string(), "{what}: {status}: {header}");
            }
        }
    }
}

#[test]
fn health_that_cannot_serve_has_the_body_of_health() {
    let document = parsed();
    let unavailable = &document["paths"]["/health"]["get"]["responses"]["503"];
    assert_eq!(unavailable["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Health");
}

#[test]
fn every_answer_with_a_body_says_what_it_holds() {
    // What has no body: not modified, and the way to Swagger UI, and thanks for a report.
    const BARE: [&str; 3] = ["204", "304", "307"];
    let document = parsed();
    for (what, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.as_str() < "400"), "{what}");
        for (status, response) in responses {
            let response = resolved(&document, response);
            assert!(response["description"].as_str().is_some_and(|words| !words.is_empty()), "{what}: {status}");
            let content = response["content"].as_object().cloned().unwrap_or_default();
            assert_eq!(content.is_empty(), BARE.contains(&status.as_str()), "{what}: {status}");
            for (kind, media) in content {
                let schema = resolved(&document, &media["schema"]);
                let says = ["type", "oneOf", "allOf"].iter().any(|key| schema.get(key).is_some());
                assert!(says, "{what}: {status}: {kind}");
            }
        }
    }
}

#[test]
fn every_answer_to_a_token_tells_what_is_left_of_its_hour_and_every_page_how_many_there_are() {
    let document = parsed();
    let mut pages = 0;
    for (what, operation) in operations(&document) {
        let is_public = operation.get("security").is_some();
        let parameters: Vec<&Value> =
            array(operation.get("parameters")).iter().map(|parameter| resolved(&document, parameter)).collect();
        let has_limit = parameters.iter().any(|parameter| parameter["name"] == "limit");
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() < "400") {
            for header in ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"] {
                assert_eq!(response["headers"].get(header).is_some(), !is_public, "{what}: {status}: {header}");
            }
            let is_list = response["content"]["application/json"]["schema"]["type"] == "array";
            assert_eq!(response["headers"].get("X-Total-Count").is_some(), is_list && has_limit, "{what}: {status}");
            pages += usize::from(is_list && has_limit);
        }
        if responses.contains_key("304") && !is_public {
            assert!(parameters.iter().any(|parameter| parameter["name"] == "If-None-Match"), "{what}");
        }
    }
    assert!(pages > 10, "{pages}");
}

#[test]
fn every_request_body_has_an_example_unless_it_is_a_zip() {
    let document = parsed();
    let mut bodies = 0;
    for (what, operation) in operations(&document) {
        let Some(body) = operation.get("requestBody") else { continue };
        for (kind, media) in body["content"].as_object().expect("content") {
            let is_zip =
                ["application/zip", "application/octet-stream", "multipart/form-data"].contains(&kind.as_str());
            let schema = resolved(&document, &media["schema"]);
            let named = array(schema.get("oneOf")).iter().map(|one| resolved(&document, one));
            let mut shapes = named.chain([schema, media]);
            assert!(is_zip || shapes.any(|shape| shape.get("example").is_some()), "{what}: {kind}");
            bodies += 1;
        }
    }
    assert!(bodies > 25, "{bodies}");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let text = document().expect("JSON");
    let document = parsed();
    let mut used = BTreeSet::new();
    for rest in text.split("\"$ref\": \"#").skip(1) {
        let (pointer, _) = rest.split_once('"').expect("a reference");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        used.insert(pointer.to_owned());
    }
    for (kind, components) in document["components"].as_object().expect("components") {
        for name in components.as_object().expect("components").keys() {
            let pointer = format!("/components/{kind}/{name}");
            assert!(kind == "securitySchemes" || used.contains(&pointer), "{pointer} is used by nothing");
        }
    }
}
