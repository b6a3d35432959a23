//! Extractors that refuse in our words: bodies, queries, paths, the client's kind, the origin that was asked.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::response::Response;
use http::header::{HOST, USER_AGENT};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::http::handler::{Incoming, Take};
use crate::json::{self, ReadError};
use crate::registry::failure::{Failure, Kind};
use crate::registry::kernel::app::App;
use crate::store::{Page, Update};

/// Most bytes of a JSON body.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Reads a body of at most `limit` bytes.
pub async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, Failure> {
    let body = Limited::new(body, limit);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::invalid(format!("The request body is larger than {limit} bytes.")))
        }
        Err(error) => Err(Failure::invalid(format!("The request body broke off: {error}"))),
    }
}

/// Reads `T` from JSON; names every unknown field, and the path of whatever is wrong.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let value =
        json::parse(bytes).map_err(|error| Failure::invalid(format!("The request body is not JSON: {error}")))?;
    let (read, unknown) = json::read_strictly(&value);
    let read = read.map_err(|error| mismatch("request body is not the JSON", &error))?;
    refuse_unknown("field", unknown)?;
    Ok(read)
}

/// The refusal of a value that is not what was asked for.
fn mismatch(what: &str, error: &ReadError) -> Failure {
    if error.path().is_empty() {
        return Failure::invalid(format!("The {what} that is expected here: {}", error.reason()));
    }
    Failure::invalid_field(error.path(), error.reason())
}

fn refuse_unknown(what: &str, unknown: Vec<String>) -> Result<(), Failure> {
    if unknown.is_empty() {
        return Ok(());
    }
    let names = unknown.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let failure = Failure::invalid(format!("Unknown {what}{}: {names}", if unknown.len() == 1 { "" } else { "s" }));
    Err(unknown.into_iter().fold(failure, |failure, name| failure.with_field(&name, format!("unknown {what}"))))
}

/// A field of an update: one that is named is set, to null too; one that is not is left alone.
pub fn update<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Update<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Update::Set)
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> Take for JsonBody<T> {
    const READS_BODY: bool = true;

    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let bytes = incoming.body()?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::invalid("The request needs a JSON body."));
        }
        from_json(&bytes).map(Self)
    }
}

/// The query; an unknown parameter is refused.
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> Take for StrictQuery<T> {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let parameters = parameters(incoming.parts.uri.query().unwrap_or_default());
        if let Some((name, _)) = parameters.iter().find(|(_, value)| !value.is_string()) {
            return Err(Failure::invalid_field(name, "is given more than once"));
        }
        let parameters = Value::Object(parameters);
        let (read, unknown) = json::read_texts_strictly(&parameters);
        refuse_unknown("query parameter", unknown)?;
        read.map(Self).map_err(|error| mismatch("query is not the one", &error))
    }
}

/// The parameters of a query as texts; as a list, which none of them is, the one that is given more than once.
fn parameters(query: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = if parameters.contains_key(&*name) { Value::Array(Vec::new()) } else { Value::from(value) };
        parameters.insert(name.into_owned(), value);
    }
    parameters
}

/// The query; unknown parameters are passed over, and what cannot be read is taken as absent. For composer, which must
/// get an answer whatever it adds one day.
pub struct LenientQuery<T>(pub T);

impl<T: DeserializeOwned + Default> Take for LenientQuery<T> {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let parameters = Value::Object(parameters(incoming.parts.uri.query().unwrap_or_default()));
        Ok(Self(json::read_texts_strictly(&parameters).0.unwrap_or_default()))
    }
}

/// A path capture; one that does not parse names nothing that exists.
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned + Send> Take for PathOf<T> {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        // They are there already: axum waits for nothing.
        let captures = pin!(Path::from_request_parts(&mut incoming.parts, &()));
        match captures.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Path(value))) => Ok(Self(value)),
            _ => Err(no_route()),
        }
    }
}

/// The origin of the URLs that the answer holds, without a slash at the end.
pub struct BaseUrl(pub String);

impl Take for BaseUrl {
    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let parts = &incoming.parts;
        let configured = parts.extensions.get::<App>().and_then(|app| app.config.public_url.clone());
        if let Some(url) = configured {
            return Ok(Self(url));
        }
        if let Some((scheme, host)) = parts.uri.scheme_str().zip(parts.uri.authority()) {
            return Ok(Self([scheme, "://", host.as_str()].concat()));
        }
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        host.map(|host| Self(["http://", host].concat()))
            .ok_or_else(|| Failure::invalid("The request names no host. Send a Host header, or set PUBLIC_URL."))
    }
}

/// What kind of client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Composer 2 or later.
    Composer,
    /// Composer 1, which cannot read what we publish.
    Composer1,
    /// Anything else.
    Other,
}

impl Client {
    /// By the `User-Agent`, which composer begins with its name and version.
    pub fn of(headers: &http::HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        match agent.strip_prefix("Composer/") {
            Some(version) if version.starts_with("1.") => Self::Composer1,
            Some(_) => Self::Composer,
            None => Self::Other,
        }
    }
}

/// Rows of a list when the request does not say.
const DEFAULT_LIMIT: i64 = 100;
/// Rows of a list at most.
pub const MAX_LIMIT: i64 = 1000;
/// Rows that a list may pass over at most.
pub const MAX_OFFSET: i64 = 1_000_000_000;

/// The part of a list that a query's `limit` and `offset` ask for.
pub fn page(limit: Option<i64>, offset: Option<i64>) -> Result<Page, Failure> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let offset = offset.unwrap_or(0);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Failure::invalid_field("limit", format!("must be between 1 and {MAX_LIMIT}")));
    }
    if !(0..=MAX_OFFSET).contains(&offset) {
        return Err(Failure::invalid_field("offset", "must not be negative"));
    }
    Ok(Page { limit, offset })
}

/// The query of a list that has no filters.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    limit: Option<i64>,
    offset: Option<i64>,
}

impl PageQuery {
    /// The part of the list that is asked for.
    pub fn page(&self) -> Result<Page, Failure> {
        page(self.limit, self.offset)
    }

    /// The same of a list that shows all of itself, as far as one answer may, unless the query says otherwise.
    pub fn whole(&self) -> Result<Page, Failure> {
        page(self.limit.or(Some(MAX_LIMIT)), self.offset)
    }
}

/// The answer to a path that leads nowhere.
pub fn no_route() -> Failure {
    Failure::new(Kind::NotFound, "There is nothing at this address. See /api/openapi.json for what there is.")
}

/// The fallback of a surface; signs nobody in.
pub async fn fallback() -> Result<Response, Failure> {
    Err(no_route())
}

/// The answer to a method that a path does not have.
pub async fn method_not_allowed() -> Result<Response, Failure> {
    let words = "This address does not take this method. See /api/openapi.json.";
    Err(Failure::new(Kind::MethodNotAllowed, words))
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
