//! What many operations have in common: failures that any of them can end in, and headers. Each is declared once, as a
//! component, and added wherever it applies; what a handler itself says about a status stays.

use std::collections::HashSet;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::document::openapi_path;
use crate::http::kit::failure::{self, ErrorForm};
use crate::http::kit::handler::KeyUse;
use crate::http::kit::idempotency::IDEMPOTENCY_KEY;
use crate::http::kit::keyset::END_OF_IDS;
use crate::http::kit::paging::{DEFAULT_SIZE, MAX_OFFSET, MAX_SIZE, Paging};
use crate::http::kit::requirement::{Access, Reach};
use crate::http::kit::routes::OperationInfo;
use crate::http::kit::tenant::ORGANIZATION_PARAM;
use crate::registry::kernel::failure::Kind;

/// The operation's part of the document.
type Operation = Map<String, Value>;

/// The rate limit headers.
const RATE_LIMIT_HEADERS: [&str; 3] = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

/// Adds to the document what its operations share, and what their handlers' types say about them.
pub fn complete(document: &mut Value, operations: &[OperationInfo]) {
    document["components"]["headers"] = headers();
    document["components"]["parameters"] = parameters();
    document["components"]["responses"] = responses();
    document["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"] =
        json!(failure::KINDS.map(failure::code));
    reject_unknown_fields(document);
    make_operation_ids_unique(document);
    for info in operations {
        let operation = &mut document["paths"][openapi_path(&info.path)][method_name(info)];
        let Some(operation) = operation.as_object_mut() else { continue };
        add_organization(operation, info);
        add_security(operation, info);
        add_parameters(operation, info);
        add_idempotency(operation, info);
        add_failures(operation, info);
        add_headers(operation, info);
    }
}

/// The path parameter that the mount of a surface has.
fn add_organization(operation: &mut Operation, info: &OperationInfo) {
    if !info.path.contains(&format!("{{{ORGANIZATION_PARAM}}}")) || has_parameter(operation, ORGANIZATION_PARAM) {
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        let described = json!({ "name": ORGANIZATION_PARAM, "in": "path", "required": true, "description": "The organization's slug", "schema": { "type": "string" } });
        parameters.insert(0, described);
    }
    let moved = &mut operation["responses"]["308"];
    moved["description"] = json!("The organization is called something else by now");
    moved["headers"]["Location"] =
        json!({ "description": "The same address with its new slug", "schema": { "type": "string" } });
    moved["content"]["application/json"]["schema"] = json!({ "$ref": "#/components/schemas/MessageBody" });
}

fn method_name(info: &OperationInfo) -> String {
    json!(info.method).as_str().unwrap_or_default().to_owned()
}

/// An operation that everybody may call says so; to the others, what the document says at its top applies.
fn add_security(operation: &mut Operation, info: &OperationInfo) {
    if matches!(info.access(), None | Some(Access::Public)) {
        operation.insert("security".to_owned(), json!([{}]));
    }
}

/// A handler of both PUT and PATCH has one name, and so has one that every organization has at its own address; in the
/// document each operation has its own.
fn make_operation_ids_unique(document: &mut Value) {
    let mut names = HashSet::new();
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let name =
            item["patch"]["operationId"].as_str().and_then(|name| name.strip_prefix("update_")).map(str::to_owned);
        if let Some(name) = name.filter(|_| item["put"]["operationId"] == item["patch"]["operationId"]) {
            item["put"]["operationId"] = json!(format!("replace_{name}"));
        }
    }
    // Those at the root come first.
    for organizations in [false, true] {
        let paths = document["paths"].as_object_mut().into_iter().flatten();
        for (_, item) in paths.filter(|(path, _)| path.starts_with("/org/") == organizations) {
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                let Some(name) = operation["operationId"].as_str().map(str::to_owned) else { continue };
                if !names.insert(name.clone()) {
                    operation["operationId"] = json!(format!("organization_{name}"));
                }
            }
        }
    }
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let number =
        |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    let always = |mut header: Value| {
        header["required"] = json!(true);
        header
    };
    json!({
        "X-RateLimit-Limit": always(number("How many requests the token may make in an hour; of a download, how many of the package in a minute, if fewer of these are left")),
        "X-RateLimit-Remaining": always(number("How many of them are left")),
        "X-RateLimit-Reset": always(number("When the next hour or minute begins, in unix seconds")),
        "Retry-After": always(number("Seconds to wait")),
        "X-Total-Count": always(number("How many there are in all")),
        "Link": text("`<…>; rel=\"next\"`: where the next page is, as long as there may be one"),
        "X-Request-Id": always(text("Names the request in the log")),
        "WWW-Authenticate": always(text("How to send credentials")),
        "ETag": always(text("Names this state of the answer, for `If-None-Match`")),
        "Last-Modified": text("When the answer last changed, for `If-Modified-Since`; compared for equality"),
        "Idempotency-Replayed": text("`true` when the request did nothing, because the same one with the same `Idempotency-Key` was carried out before"),
    })
}

fn parameters() -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": { "type": "string" } });
    json!({
        "If-None-Match": header("If-None-Match", "The `ETag` of what one has; `304` if it is still that"),
        "If-Modified-Since": header("If-Modified-Since", "The `Last-Modified` of what one has; `304` if it is still that"),
        IDEMPOTENCY_KEY: header(IDEMPOTENCY_KEY, "1 to 255 visible characters: with the same key, the same request within a day does nothing more, and is answered with what it did, as that is now"),
    })
}

/// The failures that operations share: kind, name, description.
const COMMON_FAILURES: [(Kind, &str, &str); 10] = [
    (Kind::Invalid, "Invalid", "A field or a parameter is wrong or unknown"),
    (Kind::Unauthenticated, "Unauthenticated", "No valid token"),
    (Kind::Forbidden, "Forbidden", "The token does not cover this"),
    (Kind::NotFound, "NotFound", "There is nothing at this address"),
    (Kind::NotAcceptable, "NotAcceptable", "The client is Composer 1"),
    (
        Kind::TooMany { retry_after: 0 },
        "RateLimited",
        "The token's hour, or its minute of downloads of the package, is used up, or too many credentials from this network were not valid",
    ),
    (Kind::Internal, "InternalError", "The registry failed; the log says why, under the request's id"),
    (Kind::RequestTimeout, "RequestTimeout", "The body came too slowly"),
    (Kind::UnsupportedMediaType, "UnsupportedMediaType", "A browser sends a body that does not say that it is JSON"),
    (Kind::Busy { retry_after: 0 }, "Busy", "The registry is receiving too much at once"),
];

fn responses() -> Value {
    let mut all = json!({});
    for form in [ErrorForm::ErrorCodeDetails, ErrorForm::MessageErrors] {
        for (kind, name, description) in COMMON_FAILURES {
            let response = &mut all[response_name(form, name)];
            response["description"] = json!(description);
            describe_failure(form, kind, response);
        }
        add_references(&mut all[response_name(form, "RateLimited")], &RATE_LIMIT_HEADERS);
    }
    all
}

/// What a shared response is called in the document.
fn response_name(form: ErrorForm, name: &str) -> String {
    let prefix = if form == ErrorForm::MessageErrors { "Message" } else { "" };
    [prefix, name].concat()
}

/// The form of an operation's failures.
fn form_of(info: &OperationInfo) -> ErrorForm {
    info.surface.map_or(ErrorForm::ErrorCodeDetails, |surface| surface.dialect.form)
}

/// The body and the headers of a failure.
fn describe_failure(form: ErrorForm, kind: Kind, response: &mut Value) {
    let description = &response["description"];
    let (schema, example) = match form {
        ErrorForm::MessageErrors => ("MessageBody", json!({ "message": description, "errors": {} })),
        ErrorForm::ErrorCodeDetails | ErrorForm::Detail => {
            ("ErrorBody", json!({ "error": description, "code": failure::code(kind), "details": {} }))
        }
    };
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    response["content"] = json!({ "application/json": { "schema": schema, "example": example } });
    add_references(response, &["X-Request-Id"]);
    match failure::status(kind) {
        StatusCode::UNAUTHORIZED => add_references(response, &["WWW-Authenticate"]),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => add_references(response, &["Retry-After"]),
        _ => {}
    }
}

fn add_references(response: &mut Value, names: &[&str]) {
    if response.get("headers").is_none() {
        response["headers"] = json!({});
    }
    for name in names {
        response["headers"][*name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

/// Unknown fields of requests are rejected.
fn reject_unknown_fields(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().into_iter().flatten();
    for (_, schema) in schemas.filter(|(name, _)| name.ends_with("Request")) {
        schema["additionalProperties"] = json!(false);
    }
}

fn has_parameter_in(operation: &Operation, location: &str) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters.into_iter().flatten().any(|parameter| parameter["in"] == location)
}

fn has_parameter(operation: &Operation, name: &str) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters.into_iter().flatten().any(|parameter| parameter["name"] == name)
}

fn has_tag(operation: &Operation, tag: &str) -> bool {
    operation["tags"][0] == tag
}

/// Whether it takes no credentials.
fn is_public(operation: &Operation) -> bool {
    operation.get("security").is_some_and(|security| *security == json!([{}]))
}

/// The bounds of `limit` and `offset`, and what the surface's default is; and the preconditions of operations that can
/// answer `304`.
fn add_parameters(operation: &mut Operation, info: &OperationInfo) {
    let is_conditional = operation["responses"].get("304").is_some();
    if !is_conditional && !operation.contains_key("parameters") {
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    let Some(parameters) = parameters.as_array_mut() else { return };
    for parameter in parameters.iter_mut() {
        let Some(Paging::LimitOffset { default_limit, max_limit }) = info.surface.and_then(|surface| surface.paging)
        else {
            continue;
        };
        let (minimum, maximum) = match parameter["name"].as_str() {
            Some("limit") => (1, max_limit),
            Some("after") => (0, END_OF_IDS - 1),
            Some("offset") => (0, MAX_OFFSET),
            _ => continue,
        };
        parameter["schema"]["minimum"] = json!(minimum);
        if parameter["schema"].get("maximum").is_none() {
            parameter["schema"]["maximum"] = json!(maximum);
        }
        let description = parameter["description"].as_str().unwrap_or_default();
        let description = description.replace(DEFAULT_SIZE, &default_limit.to_string());
        parameter["description"] = json!(description.replace(MAX_SIZE, &max_limit.to_string()));
    }
    for name in ["If-None-Match", "If-Modified-Since"].iter().filter(|_| is_conditional) {
        parameters.push(json!({ "$ref": format!("#/components/parameters/{name}") }));
    }
}

/// What an operation says that takes the header `Idempotency-Key`.
fn add_idempotency(operation: &mut Operation, info: &OperationInfo) {
    if info.key_use != KeyUse::Takes {
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(json!({ "$ref": format!("#/components/parameters/{IDEMPOTENCY_KEY}") }));
    }
    let conflict = &mut operation["responses"]["409"];
    let own = conflict["description"].as_str().map_or_else(String::new, |own| format!("{own}; or the"));
    let the = if own.is_empty() { "The" } else { &own };
    conflict["description"] =
        json!(format!("{the} `{IDEMPOTENCY_KEY}` came with another request, or the same request is still in progress"));
    operation["responses"]["410"]["description"] =
        json!(format!("The `{IDEMPOTENCY_KEY}` came with this request before, and what that made is gone"));
}

/// How those are refused who may not call an operation: status and description.
fn refusals(info: &OperationInfo) -> Vec<(&'static str, String)> {
    match info.access() {
        None | Some(Access::Public) => Vec::new(),
        Some(Access::Scope(scope)) => {
            let limited = if info.reach() == Reach::Organization { ", or is limited to some packages" } else { "" };
            vec![("403", format!("The token lacks `{}`{limited}", scope.as_str()))]
        }
        Some(Access::AdminToken) => vec![("403", "Another token than `ADMIN_TOKEN`".to_owned())],
        Some(Access::OwnAccount) => {
            [("401", "No valid session"), ("403", "Not a session"), ("429", "The account's hour is used up")]
                .map(|(status, description)| (status, description.to_owned()))
                .into()
        }
    }
}

/// Adds the refusals of an operation. A handler that refuses for more reasons continues the sentence: `or …`.
fn add_refusals(responses: &mut Map<String, Value>, info: &OperationInfo) {
    for (status, description) in refusals(info) {
        let response = responses.entry(status).or_insert_with(|| json!({ "description": "" }));
        let own = response["description"].as_str().unwrap_or_default();
        if own.is_empty() {
            response["description"] = json!(description);
        } else if own.starts_with("or ") {
            response["description"] = json!(format!("{description}, {own}"));
        }
    }
}

fn add_failures(operation: &mut Operation, info: &OperationInfo) {
    let is_composer = has_tag(operation, "composer");
    // Unknown query parameters of composer are ignored.
    let reads = operation.contains_key("requestBody")
        || info.key_use == KeyUse::Takes
        || (has_parameter_in(operation, "query") && !is_composer);
    let cannot_fail = has_tag(operation, "registry");
    let (takes_token, names_something) = (!is_public(operation), has_parameter_in(operation, "path"));
    let rejects_composer_1 = info.surface.is_some_and(|surface| surface.rejects_composer_1);
    let takes_body = operation.contains_key("requestBody");
    let takes_json =
        takes_body && !is_composer && operation["requestBody"]["content"].get("application/json").is_some();
    let applies = [
        reads,
        takes_token,
        takes_token,
        names_something,
        rejects_composer_1,
        takes_token,
        !cannot_fail,
        takes_body,
        takes_json,
        takes_body,
    ];
    let form = form_of(info);
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if form == ErrorForm::MessageErrors && reads {
        let wrong =
            responses.entry("422").or_insert_with(|| json!({ "description": "A field or a parameter is wrong" }));
        describe_failure(form, Kind::Invalid, wrong);
    }
    // Composer's users do not choose scopes: there the shared description of a 403 is enough.
    if !is_composer {
        add_refusals(responses, info);
    }
    for (status, response) in responses.iter_mut() {
        // What has a body of its own is no failure.
        let kind = failure::KINDS.into_iter().find(|kind| failure::status(*kind).as_str() == status);
        if let Some(kind) = kind.filter(|_| response.get("content").is_none()) {
            describe_failure(form, kind, response);
        }
    }
    for ((kind, name, _), applies) in COMMON_FAILURES.into_iter().zip(applies) {
        let status = failure::status(kind);
        if applies && !responses.contains_key(status.as_str()) {
            let shared = format!("#/components/responses/{}", response_name(form, name));
            responses.insert(status.as_str().to_owned(), json!({ "$ref": shared }));
        }
    }
    responses.sort_keys();
}

fn add_headers(operation: &mut Operation, info: &OperationInfo) {
    let is_page = has_parameter(operation, "limit")
        && operation["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array";
    let takes_key = info.key_use == KeyUse::Takes;
    let (is_public, is_conditional) = (is_public(operation), operation["responses"].get("304").is_some());
    let responses = operation["responses"].as_object_mut().into_iter().flatten();
    for (_, response) in responses.filter(|(status, _)| status.as_str() < "400") {
        if !is_public {
            add_references(response, &RATE_LIMIT_HEADERS);
        }
        if is_page {
            add_references(response, &["X-Total-Count", "Link"]);
        }
        if takes_key {
            add_references(response, &["Idempotency-Replayed"]);
        }
        if is_conditional {
            add_references(response, &["ETag", "Last-Modified"]);
        }
    }
}
