//! Pages of lists: which query parameters choose one, and what the response looks like. The form is the surface's.
//!
//! | form | parameters | response |
//! |---|---|---|
//! | [`Paging::LimitOffset`] | `limit`, `offset`; `after` in a list by id | an array; the headers `X-Total-Count` and `Link` |
//! | [`Paging::PageNumber`] | `page`, `per_page` | `{data, meta: {current_page, last_page, per_page, total}}` |
//! | [`Paging::Envelope`] | `limit`, `offset` | `{items_key: [...], total, limit, offset}` |

use axum::response::Response;
use http::header::LINK;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use crate::http::kit::extract::{base_url, original_uri, query_parameters, read_query, reject_repeated};
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::response::json_response;
use crate::http::kit::surface::Surface;
use crate::registry::kernel::failure::Failure;
use crate::store::Page;

/// Most rows of a page that `limit` may ask for.
pub const MAX_LIMIT: i64 = 1000;
/// The same of a shop's lists. A consumer is the largest row of those: 0.5 kB of strings in memory and 0.6 kB of JSON, so that a
/// page of them is 11 MB, and 2 MB more while a thousand of them are read.
pub const MAX_SHOP_LIMIT: i64 = 10_000;
/// Most rows of a page that `per_page` may ask for.
pub const MAX_PER_PAGE: i64 = 100;
/// Most rows before a page.
pub const MAX_OFFSET: i64 = 1_000_000_000;
/// The form of a surface's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// `limit` and `offset` choose the page, or `limit` and `after` in a list by id; the response is a plain array,
    /// `X-Total-Count` says how many rows there are in all, and `Link` leads to the next page.
    LimitOffset {
        /// `limit`, if the request does not say.
        default_limit: i64,
        /// Most that it may be.
        max_limit: i64,
    },
    /// `page` and `per_page` choose the page, which is `data`; `meta` says which it is.
    PageNumber {
        /// `per_page`, if the request does not say.
        default_per_page: i64,
    },
    /// `limit` and `offset` choose the page, which has a key of its own beside `total`, `limit` and `offset`.
    Envelope {
        /// The key of the rows.
        items_key: &'static str,
        /// `limit`, if the request does not say.
        default_limit: i64,
    },
}

/// In the descriptions of parameters: what the API document replaces by the surface's default.
pub const DEFAULT_SIZE: &str = "{default}";
/// The same of its maximum.
pub const MAX_SIZE: &str = "{max}";

/// The parameters of [`Paging::LimitOffset`] and [`Paging::Envelope`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LimitOffset {
    /// 1 to {max}, {default} by default
    limit: Option<i64>,
    /// How many to pass over
    offset: Option<i64>,
}

/// The parameters of [`Paging::PageNumber`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageNumber {
    /// From 1 on; 1 by default
    page: Option<i64>,
    /// 1 to 100, {default} by default
    per_page: Option<i64>,
}

impl Paging {
    /// Takes the parameters that choose a page out of those of a query.
    fn split_off(self, parameters: &mut Map<String, Value>) -> Map<String, Value> {
        let names = match self {
            Self::LimitOffset { .. } | Self::Envelope { .. } => ["limit", "offset"],
            Self::PageNumber { .. } => ["page", "per_page"],
        };
        names.into_iter().filter_map(|name| Some((name.to_owned(), parameters.shift_remove(name)?))).collect()
    }

    fn max_limit(self) -> i64 {
        match self {
            Self::LimitOffset { max_limit, .. } => max_limit,
            Self::Envelope { .. } => MAX_LIMIT,
            Self::PageNumber { .. } => MAX_PER_PAGE,
        }
    }

    /// The page that these parameters choose of the list at `address`.
    fn page(self, parameters: Map<String, Value>, address: ListAddress) -> Result<PageRequest, Failure> {
        let (page, names_size) = match self {
            Self::LimitOffset { default_limit, .. } | Self::Envelope { default_limit, .. } => {
                let LimitOffset { limit, offset } = read_query(parameters)?;
                let limit_or_default = within("limit", limit.unwrap_or(default_limit), self.max_limit())?;
                (Page { limit: limit_or_default, offset: checked_offset(offset)? }, limit.is_some())
            }
            Self::PageNumber { default_per_page } => {
                let PageNumber { page, per_page } = read_query(parameters)?;
                let rows = within("per_page", per_page.unwrap_or(default_per_page), MAX_PER_PAGE)?;
                let page = within("page", page.unwrap_or(1), MAX_OFFSET / rows)?;
                (Page { limit: rows, offset: (page - 1) * rows }, per_page.is_some())
            }
        };
        Ok(PageRequest { paging: self, page, names_size, address })
    }
}

fn within(name: &str, value: i64, max: i64) -> Result<i64, Failure> {
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(Failure::invalid_field(name, format!("must be between 1 and {max}")))
}

fn checked_offset(offset: Option<i64>) -> Result<i64, Failure> {
    let offset = offset.unwrap_or(0);
    if (0..=MAX_OFFSET).contains(&offset) {
        return Ok(offset);
    }
    Err(Failure::invalid_field("offset", "must not be negative"))
}

/// Where a list is asked for, to ask for another page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAddress {
    url: String,
    parameters: Map<String, Value>,
}

impl ListAddress {
    fn of(parts: &Parts, parameters: Map<String, Value>) -> Self {
        // Without an origin the address is relative to the request's, which is just as good.
        let url = [&base_url(parts).unwrap_or_default(), original_uri(parts).path()].concat();
        Self { url, parameters }
    }

    /// The header `Link` that leads to the page with this parameter in place of those that have chosen this one.
    pub fn next(&self, name: &str, value: i64) -> Option<HeaderValue> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.parameters.iter().filter(|(name, _)| !["after", "offset"].contains(&name.as_str())) {
            query.append_pair(name, value.as_str().unwrap_or_default());
        }
        query.append_pair(name, &value.to_string());
        HeaderValue::try_from(format!("<{}?{}>; rel=\"next\"", self.url, query.finish())).ok()
    }
}

/// The page that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// In which form it is asked for.
    pub paging: Paging,
    page: Page,
    names_size: bool,
    /// Where.
    pub address: ListAddress,
}

impl PageRequest {
    /// Which rows it has.
    pub fn rows(&self) -> Page {
        self.page
    }

    /// The same in a list whose pages have another size than the surface's.
    pub fn resized(self, default_limit: i64, max_limit: i64) -> Result<Self, Failure> {
        let limit = if self.names_size { self.page.limit } else { default_limit };
        let page = Page { limit: within("limit", limit, max_limit)?, ..self.page };
        Ok(Self { page, ..self })
    }

    /// The response with the rows of the page, of `total` rows in all.
    pub fn respond(&self, items: impl IntoIterator<Item: Serialize>, total: i64) -> Response {
        let mut bytes = Vec::new();
        let written = serde_json::Serializer::new(&mut bytes).collect_seq(items);
        self.response(written.map(|()| bytes), total)
    }

    fn response(&self, items: serde_json::Result<Vec<u8>>, total: i64) -> Response {
        let Page { limit, offset } = self.page;
        match self.paging {
            Paging::LimitOffset { .. } => {
                let next = (offset + limit < total).then(|| self.address.next("offset", offset + limit)).flatten();
                array(items, total, next)
            }
            Paging::PageNumber { .. } => {
                let meta = json!({
                    "current_page": offset / limit + 1,
                    "last_page": ((total + limit - 1) / limit).max(1),
                    "per_page": limit,
                    "total": total,
                });
                let wrapped =
                    items.map(|items| [b"{\"data\":", &*items, format!(",\"meta\":{meta}}}").as_bytes()].concat());
                json_response(StatusCode::OK, wrapped)
            }
            Paging::Envelope { items_key, .. } => {
                let rest = format!(",\"total\":{total},\"limit\":{limit},\"offset\":{offset}}}");
                let key = format!("{{\"{items_key}\":");
                json_response(StatusCode::OK, items.map(|items| [key.as_bytes(), &*items, rest.as_bytes()].concat()))
            }
        }
    }
}

/// A page as a plain array, with the way to the next one.
pub fn array(items: serde_json::Result<Vec<u8>>, total: i64, next: Option<HeaderValue>) -> Response {
    let mut response = json_response(StatusCode::OK, items);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-total-count"), HeaderValue::from(total));
    if let Some(next) = next {
        headers.insert(LINK, next);
    }
    response
}

/// The page that a request asks for, and the rest of its query.
pub fn list_of(parts: &Parts) -> Result<(PageRequest, Map<String, Value>), Failure> {
    let paging = Surface::of(parts)?.paging.ok_or_else(Failure::unwired)?;
    let mut parameters = query_parameters(&parts.uri);
    reject_repeated(&parameters)?;
    let address = ListAddress::of(parts, parameters.clone());
    let page = paging.split_off(&mut parameters);
    Ok((paging.page(page, address)?, parameters))
}

/// The query of a list: a filter, and a page in the form of the surface. An unknown parameter is rejected.
#[derive(Debug)]
pub struct ListQuery<F> {
    /// What narrows the list.
    pub filter: F,
    /// Which page of it.
    pub page: PageRequest,
}

/// The filter of a list that has none.
#[derive(Debug, Default, Deserialize)]
pub struct NoFilter {}

impl<F: DeserializeOwned> Extract for ListQuery<F> {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let (page, parameters) = list_of(&request.parts)?;
        Ok(Self { filter: read_query(parameters)?, page })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;

    use super::*;
    use crate::registry::kernel::failure::Kind;

    pub(in crate::http::kit) const LIMIT_OFFSET: Paging = Paging::LimitOffset { default_limit: 100, max_limit: 1000 };
    pub(in crate::http::kit) const PAGE_NUMBER: Paging = Paging::PageNumber { default_per_page: 20 };
    pub(in crate::http::kit) const ENVELOPE: Paging = Paging::Envelope { items_key: "packages", default_limit: 100 };

    #[derive(Debug, Deserialize)]
    pub(in crate::http::kit) struct Filter {
        search: Option<String>,
    }

    /// A request for a list in a surface with `paging`.
    pub(in crate::http::kit) fn request(paging: Paging, query: &str) -> BufferedRequest {
        let surface: &'static Surface = Box::leak(Box::new(Surface { paging: Some(paging), ..Surface::for_tests() }));
        let url = format!("https://registry.test/list?{query}");
        let mut request = Request::builder().uri(url).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(surface);
        BufferedRequest::new(request)
    }

    fn list_query(paging: Paging, query: &str) -> Result<ListQuery<Filter>, Failure> {
        ListQuery::extract(&mut request(paging, query))
    }

    fn rows(paging: Paging, query: &str) -> (i64, i64) {
        let Page { limit, offset } = list_query(paging, query).expect("a page").page.rows();
        (limit, offset)
    }

    fn rejected(paging: Paging, query: &str) -> String {
        let failure = list_query(paging, query).expect_err("rejected");
        assert_eq!(failure.kind, Kind::Invalid);
        failure.detail.clone()
    }

    async fn body(response: Response) -> Value {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn limit_and_offset_choose_the_page() {
        for paging in [LIMIT_OFFSET, ENVELOPE] {
            assert_eq!(rows(paging, ""), (100, 0));
            assert_eq!(rows(paging, "limit=1000&offset=1000000000"), (1000, 1_000_000_000));
            for query in ["limit=0", "limit=-1", "limit=1001"] {
                assert_eq!(rejected(paging, query), "`limit`: must be between 1 and 1000", "{query}");
            }
            assert_eq!(rejected(paging, "offset=-1"), "`offset`: must not be negative");
            assert_eq!(rejected(paging, "page=1"), "Unknown query parameter: `page`");
            assert_eq!(rejected(paging, "after=1"), "Unknown query parameter: `after`");
        }
    }

    pub(in crate::http::kit) fn link(response: &Response) -> Option<&str> {
        response.headers().get(LINK).map(|link| link.to_str().expect("ASCII"))
    }

    #[test]
    fn a_page_links_to_the_next_one_with_the_same_filter_while_there_may_be_one() {
        let behind = |query: &str| Some(format!("<https://registry.test/list?{query}>; rel=\"next\""));
        let of = |paging, query: &str, total| {
            let page = list_query(paging, query).expect("a page").page;
            link(&page.respond([json!("row")], total)).map(str::to_owned)
        };
        assert_eq!(of(LIMIT_OFFSET, "search=x&limit=20&offset=40", 61), behind("search=x&limit=20&offset=60"));
        assert_eq!(of(LIMIT_OFFSET, "limit=20&offset=40", 60), None);
        assert_eq!(of(PAGE_NUMBER, "per_page=1", 60), None);
    }

    #[test]
    fn a_list_may_have_another_size_of_page_than_the_surface() {
        let resized = |query: &str, default_limit, max_limit| {
            let page = list_query(LIMIT_OFFSET, query).expect("a page").page.resized(default_limit, max_limit);
            page.map(|page| page.rows()).map_err(|failure| failure.detail.clone())
        };
        assert_eq!(resized("offset=5", 10_000, 10_000), Ok(Page { limit: 10_000, offset: 5 }));
        assert_eq!(resized("limit=50", 5, 50), Ok(Page { limit: 50, offset: 0 }));
        assert_eq!(resized("limit=51", 5, 50), Err("`limit`: must be between 1 and 50".to_owned()));
    }

    #[test]
    fn page_and_per_page_choose_the_page() {
        assert_eq!(rows(PAGE_NUMBER, ""), (20, 0));
        assert_eq!(rows(PAGE_NUMBER, "page=3"), (20, 40));
        assert_eq!(rows(PAGE_NUMBER, "per_page=100&page=10000000"), (100, 999_999_900));
        assert_eq!(rejected(PAGE_NUMBER, "per_page=101"), "`per_page`: must be between 1 and 100");
        assert_eq!(rejected(PAGE_NUMBER, "per_page=0"), "`per_page`: must be between 1 and 100");
        assert_eq!(rejected(PAGE_NUMBER, "page=0"), "`page`: must be between 1 and 50000000");
        assert_eq!(rejected(PAGE_NUMBER, "page=9223372036854775807"), "`page`: must be between 1 and 50000000");
        assert_eq!(rejected(PAGE_NUMBER, "limit=1"), "Unknown query parameter: `limit`");
    }

    #[test]
    fn a_filter_stands_beside_the_page() {
        for paging in [LIMIT_OFFSET, PAGE_NUMBER, ENVELOPE] {
            let query = list_query(paging, "search=x%20y").expect("a query");
            assert_eq!(query.filter.search.as_deref(), Some("x y"));
            assert_eq!(rejected(paging, "search=x&search=y"), "`search`: is given more than once");
        }
        assert_eq!(
            list_query(LIMIT_OFFSET, "offset=5&search=x&limit=2").expect("a query").filter.search.as_deref(),
            Some("x")
        );
        assert_eq!(rejected(LIMIT_OFFSET, "limit=1&limit=2"), "`limit`: is given more than once");
    }

    #[tokio::test]
    async fn each_form_has_its_response() {
        let respond = |paging, query| list_query(paging, query).expect("a query").page.respond(["a", "b"], 101);
        let plain = respond(LIMIT_OFFSET, "");
        assert_eq!(plain.headers()["x-total-count"], "101");
        assert_eq!(body(plain).await, json!(["a", "b"]));
        let meta = json!({"current_page": 3, "last_page": 6, "per_page": 20, "total": 101});
        assert_eq!(body(respond(PAGE_NUMBER, "page=3")).await, json!({"data": ["a", "b"], "meta": meta}));
        let envelope = json!({"packages": ["a", "b"], "total": 101, "limit": 100, "offset": 2});
        assert_eq!(body(respond(ENVELOPE, "offset=2")).await, envelope);
    }

    #[tokio::test]
    async fn an_empty_list_has_one_page() {
        let page = list_query(PAGE_NUMBER, "").expect("a query").page;
        let meta = json!({"current_page": 1, "last_page": 1, "per_page": 20, "total": 0});
        assert_eq!(body(page.respond(Vec::<i64>::new(), 0)).await, json!({"data": [], "meta": meta}));
    }
}
