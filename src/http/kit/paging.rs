//! Pages of lists: which query parameters choose one, and what the response looks like. The form is the surface's.
//!
//! | form | parameters | response |
//! |---|---|---|
//! | [`Paging::LimitOffset`] | `limit`, `offset` | an array; the header `X-Total-Count` |
//! | [`Paging::PageNumber`] | `page`, `per_page` | `{data, meta: {current_page, last_page, per_page, total}}` |
//! | [`Paging::Envelope`] | `limit`, `offset` | `{items_key: [...], total, limit, offset}` |

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use crate::http::kit::extract::{query_parameters, read_query, reject_repeated};
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::response::json_response;
use crate::http::kit::surface::Surface;
use crate::registry::kernel::failure::Failure;
use crate::store::Page;

/// Most rows of a page that `limit` may ask for.
pub const MAX_LIMIT: i64 = 1000;
/// Most rows of a page that `per_page` may ask for.
pub const MAX_PER_PAGE: i64 = 100;
/// Most rows before a page.
pub const MAX_OFFSET: i64 = 1_000_000_000;

/// The form of a surface's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// `limit` and `offset` choose the page; the response is a plain array, and `X-Total-Count` says how many rows there
    /// are in all.
    LimitOffset {
        /// `limit`, if the request does not say.
        default_limit: i64,
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

/// The parameters of [`Paging::LimitOffset`] and [`Paging::Envelope`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LimitOffset {
    /// 1 to 1000, {default} by default
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

    /// The page that these parameters choose.
    fn page(self, parameters: Map<String, Value>) -> Result<PageRequest, Failure> {
        let (page, names_size) = match self {
            Self::LimitOffset { default_limit } | Self::Envelope { default_limit, .. } => {
                let LimitOffset { limit, offset } = read_query(parameters)?;
                let limit_or_default = within("limit", limit.unwrap_or(default_limit), MAX_LIMIT)?;
                (Page { limit: limit_or_default, offset: checked_offset(offset)? }, limit.is_some())
            }
            Self::PageNumber { default_per_page } => {
                let PageNumber { page, per_page } = read_query(parameters)?;
                let rows = within("per_page", per_page.unwrap_or(default_per_page), MAX_PER_PAGE)?;
                let page = within("page", page.unwrap_or(1), MAX_OFFSET / rows)?;
                (Page { limit: rows, offset: (page - 1) * rows }, per_page.is_some())
            }
        };
        Ok(PageRequest { paging: self, page, names_size })
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

/// The page that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    paging: Paging,
    page: Page,
    names_size: bool,
}

impl PageRequest {
    /// Which rows it has.
    pub fn rows(&self) -> Page {
        self.page
    }

    /// Which rows it has, in a list with another size of page than the surface's default.
    pub fn rows_or(&self, default_limit: i64) -> Page {
        if self.names_size { self.page } else { Page { limit: default_limit, ..self.page } }
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
                let mut response = json_response(StatusCode::OK, items);
                let total_count = HeaderName::from_static("x-total-count");
                response.headers_mut().insert(total_count, HeaderValue::from(total));
                response
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
        let paging = Surface::of(&request.parts)?.paging.ok_or_else(Failure::unwired)?;
        let mut parameters = query_parameters(&request.parts.uri);
        reject_repeated(&parameters)?;
        let page = paging.split_off(&mut parameters);
        Ok(Self { filter: read_query(parameters)?, page: paging.page(page)? })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;

    use super::*;
    use crate::registry::kernel::failure::Kind;

    const LIMIT_OFFSET: Paging = Paging::LimitOffset { default_limit: 100 };
    const PAGE_NUMBER: Paging = Paging::PageNumber { default_per_page: 20 };
    const ENVELOPE: Paging = Paging::Envelope { items_key: "packages", default_limit: 100 };

    #[derive(Debug, Deserialize)]
    struct Filter {
        search: Option<String>,
    }

    /// The query of a list in a surface with `paging`.
    fn list_query(paging: Paging, query: &str) -> Result<ListQuery<Filter>, Failure> {
        let surface: &'static Surface = Box::leak(Box::new(Surface { paging: Some(paging), ..Surface::for_tests() }));
        let mut request = Request::builder().uri(format!("/list?{query}")).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(surface);
        ListQuery::extract(&mut BufferedRequest::new(request))
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
        }
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

    #[test]
    fn a_list_may_have_another_size_of_page_than_the_surface() {
        let page = |query| list_query(LIMIT_OFFSET, query).expect("a query").page;
        assert_eq!(page("offset=5").rows_or(10_000), Page { limit: 10_000, offset: 5 });
        assert_eq!(page("limit=7").rows_or(10_000), Page { limit: 7, offset: 0 });
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
