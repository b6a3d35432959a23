//! Extractors whose rejections are [`Failure`]s: bodies, queries, path parameters, the kind of the client, the origin of
//! the request.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::{FromRequestParts, OriginalUri, RawPathParams};
use axum::response::Response;
use http::Uri;
use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::http::kit::form;
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::surface::Surface;
use crate::http::kit::tenant::{ORGANIZATION_PARAM, Tenant};
use crate::json::{self, JsonError, Spelling};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::Update;

/// The value of a request's body, and how its values are spelled.
pub fn body_value(parts: &Parts, bytes: &[u8]) -> Result<(Value, Spelling), Failure> {
    let meets_old_clients = Surface::of(parts).is_ok_and(|surface| surface.meets_old_clients);
    let spelling = if meets_old_clients { Spelling::Loose } else { Spelling::Json };
    if meets_old_clients && form::is_form(&parts.headers, bytes) {
        return Ok((form::read_form(bytes)?, spelling));
    }
    let value =
        json::parse(bytes).map_err(|error| Failure::invalid(format!("The request body is not JSON: {error}")))?;
    Ok((value, spelling))
}

/// Deserializes `T` from the body of a request. A failure names every unknown field, and the path of a value that does not fit.
pub fn read_body<T: DeserializeOwned>(parts: &Parts, bytes: &[u8]) -> Result<T, Failure> {
    let (value, spelling) = body_value(parts, bytes)?;
    from_value(&value, spelling)
}

/// Deserializes `T` from the value of a body.
pub fn from_value<T: DeserializeOwned>(value: &Value, spelling: Spelling) -> Result<T, Failure> {
    let (read, unknown) = json::read_strictly(value, spelling);
    let read = read.map_err(|error| invalid_value("request body is not the JSON", &error))?;
    reject_unknown("field", unknown)?;
    Ok(read)
}

/// The rejection of a value that does not fit.
fn invalid_value(what: &str, error: &JsonError) -> Failure {
    if error.path().is_empty() {
        return Failure::invalid(format!("The {what} that is expected here: {}", error.reason()));
    }
    Failure::invalid_field(error.path(), error.reason())
}

fn reject_unknown(what: &str, unknown: Vec<String>) -> Result<(), Failure> {
    if unknown.is_empty() {
        return Ok(());
    }
    let names = unknown.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let failure = Failure::invalid(format!("Unknown {what}{}: {names}", if unknown.len() == 1 { "" } else { "s" }));
    Err(unknown.into_iter().fold(failure, |failure, name| failure.with_field(&name, format!("unknown {what}"))))
}

/// Deserializes a field of a change: one that is given is set, to null too; one that is absent is kept.
pub fn update<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Update<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Update::Set)
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> Extract for JsonBody<T> {
    const READS_BODY: bool = true;

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let bytes = request.take_body();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::invalid("The request needs a JSON body."));
        }
        read_body(&request.parts, &bytes).map(Self)
    }
}

/// The query; an unknown parameter is rejected. That of a list is [`crate::http::kit::paging::ListQuery`].
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> Extract for StrictQuery<T> {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let parameters = query_parameters(&request.parts.uri);
        reject_repeated(&parameters)?;
        read_query(parameters).map(Self)
    }
}

/// The parameters of a query as texts; one that is given more than once is an empty list, which no field takes.
pub fn query_parameters(uri: &Uri) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let value = if parameters.contains_key(&*name) { Value::Array(Vec::new()) } else { Value::from(value) };
        parameters.insert(name.into_owned(), value);
    }
    parameters
}

/// Rejects a query with a parameter that is given more than once.
pub fn reject_repeated(parameters: &Map<String, Value>) -> Result<(), Failure> {
    match parameters.iter().find(|(_, value)| !value.is_string()) {
        Some((name, _)) => Err(Failure::invalid_field(name, "is given more than once")),
        None => Ok(()),
    }
}

/// Deserializes `T` from the parameters of a query; an unknown one is rejected.
pub fn read_query<T: DeserializeOwned>(parameters: Map<String, Value>) -> Result<T, Failure> {
    let parameters = Value::Object(parameters);
    let (read, unknown) = json::read_strictly(&parameters, Spelling::Loose);
    reject_unknown("query parameter", unknown)?;
    read.map_err(|error| invalid_value("query is not the one", &error))
}

/// The query; unknown parameters are ignored, and a query that cannot be read counts as empty. For composer, whose later
/// versions may send parameters that are unknown here.
pub struct LenientQuery<T>(pub T);

impl<T: DeserializeOwned + Default> Extract for LenientQuery<T> {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let parameters = Value::Object(query_parameters(&request.parts.uri));
        Ok(Self(json::read_strictly(&parameters, Spelling::Loose).0.unwrap_or_default()))
    }
}

/// The address of a request as it was asked for: below a mount, axum takes that off.
pub fn original_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0)
}

/// The path parameters, in their order. That of the organization is not among them: it is for
/// [`crate::http::kit::tenant::Tenant`].
pub struct PathParams<const N: usize>(pub [String; N]);

impl<const N: usize> Extract for PathParams<N> {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let params = path_params(request)?.into_iter().filter(|(name, _)| name != ORGANIZATION_PARAM);
        let values: Vec<String> = params.map(|(_, value)| value).collect();
        values.try_into().map(Self).map_err(|_| Failure::unwired())
    }
}

/// All path parameters by name; a path with one that is not UTF-8 leads nowhere.
pub fn path_params(request: &mut BufferedRequest) -> Result<Vec<(String, String)>, Failure> {
    // axum's extractor is async, but has nothing to wait for.
    let params = pin!(RawPathParams::from_request_parts(&mut request.parts, &()));
    match params.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(params)) => Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        _ => Err(route_not_found()),
    }
}

/// The origin of URLs in the response, without a slash at the end.
pub struct BaseUrl(pub String);

impl Extract for BaseUrl {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        base_url(&request.parts).map(Self)
    }
}

/// Where the surface of a request is, without a slash at the end: what the URLs of its documents begin with.
pub struct SurfaceUrl(pub String);

impl Extract for SurfaceUrl {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let (origin, surface) = (base_url(&request.parts)?, Surface::of(&request.parts)?);
        match Tenant::extract(request)? {
            Tenant::Named(slug) => {
                Ok(Self(origin + &surface.mount.replace(&format!("{{{ORGANIZATION_PARAM}}}"), &slug)))
            }
            Tenant::Root | Tenant::OfCaller => Ok(Self(origin + surface.mount)),
        }
    }
}

/// The origin at which a request has reached the registry.
pub fn base_url(parts: &Parts) -> Result<String, Failure> {
    let config = parts.extensions.get::<App>().map(|app| app.config.clone());
    if let Some(url) = config.as_ref().and_then(|config| config.public_url.clone()) {
        return Ok(url);
    }
    let forwarded = parts.headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok());
    let forwarded = forwarded
        .filter(|scheme| config.is_some_and(|config| config.trust_proxy) && ["http", "https"].contains(scheme));
    if let Some((scheme, host)) = parts.uri.scheme_str().zip(parts.uri.authority()) {
        return Ok([forwarded.unwrap_or(scheme), "://", host.as_str()].concat());
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    host.map(|host| [forwarded.unwrap_or("http"), "://", host].concat())
        .ok_or_else(|| Failure::invalid("The request names no host. Send a Host header, or set PUBLIC_URL."))
}

/// The kind of client that sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Composer 2 or later.
    Composer,
    /// Composer 1, which cannot read Composer 2's metadata.
    Composer1,
    /// Anything else.
    Other,
}

impl Client {
    /// The kind that the `User-Agent` names: composer's begins with its name and version.
    pub fn of(headers: &http::HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        match agent.strip_prefix("Composer/") {
            Some(version) if version.starts_with("1.") => Self::Composer1,
            Some(_) => Self::Composer,
            None => Self::Other,
        }
    }
}

/// The failure of a request for a path that has no route.
pub fn route_not_found() -> Failure {
    Failure::new(Kind::NotFound, "There is nothing at this address. See /api/openapi.json for what there is.")
}

/// The fallback of a surface; authenticates nobody.
pub async fn fallback() -> Result<Response, Failure> {
    Err(route_not_found())
}

/// The fallback for a method that a path does not have.
pub async fn method_not_allowed() -> Result<Response, Failure> {
    let detail = "This address does not take this method. See /api/openapi.json.";
    Err(Failure::new(Kind::MethodNotAllowed, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[expect(dead_code, reason = "only read by the deserializer")]
        name: String,
        #[expect(dead_code, reason = "only read by the deserializer")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read by the deserializer")]
        count: i64,
    }

    fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
        from_value(&json::parse(bytes).map_err(Failure::internal)?, Spelling::Json)
    }

    #[test]
    fn every_unknown_field_is_named_the_nested_ones_too() {
        let failure = from_json::<Sample>(br#"{"name":"a","x":1,"inner":{"count":1,"y":2}}"#).expect_err("refused");
        assert_eq!(failure.kind, Kind::Invalid);
        assert_eq!(failure.fields.keys().collect::<Vec<_>>(), ["inner.y", "x"]);
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let failure = from_json::<Sample>(br#"{"name":"a","inner":{"count":"many"}}"#).expect_err("refused");
        assert_eq!(failure.detail, "`inner.count`: invalid type: string \"many\", expected i64");
    }

    #[test]
    fn what_is_not_json_or_more_than_one_value_is_refused() {
        for body in ["{", "nonsense", "{\"name\":\"a\"} {}", "[]", "null", "\"text\""] {
            assert!(from_json::<Sample>(body.as_bytes()).is_err(), "{body}");
        }
    }
}
