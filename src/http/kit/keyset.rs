//! Pages of lists by id: `after` chooses one where pages have the form [`Paging::LimitOffset`], so that no row is passed over when
//! others are deleted between two pages.

use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Map;
use utoipa::IntoParams;

use crate::http::kit::extract::read_query;
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::paging::{PageRequest, Paging, array, list_of};
use crate::registry::kernel::failure::Failure;
use crate::store::{KeysetPage, KeysetRows, Page};

/// Beyond every id: further the database would round.
pub const END_OF_IDS: i64 = 1 << 53;

/// The parameter of [`Paging::LimitOffset`] in a list by id, beside [`LimitOffset`](crate::http::kit::paging::LimitOffset).
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// The id of the last one that is known: those behind it follow, and none is passed over when others are deleted meanwhile. Not together with `offset`
    after: Option<i64>,
}

/// The page that a request asks for of a list by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysetRequest {
    list: PageRequest,
    after: Option<i64>,
}

impl KeysetRequest {
    /// The same in a list whose pages have another size than the surface's.
    pub fn resized(self, default_limit: i64, max_limit: i64) -> Result<Self, Failure> {
        Ok(Self { list: self.list.resized(default_limit, max_limit)?, ..self })
    }

    /// Which rows it has.
    pub fn rows(&self) -> KeysetPage {
        let Page { limit, offset } = self.list.rows();
        KeysetPage { limit, offset, after: self.after }
    }

    /// The response with the rows of the page. The next one begins behind the last of these, if there may be more.
    pub fn respond<R, V: Serialize>(
        &self,
        list: KeysetRows<R>,
        id: impl FnOnce(&R) -> i64,
        view: impl FnMut(R) -> V,
    ) -> Response {
        let KeysetRows { rows, total, is_cut } = list;
        let KeysetPage { limit, offset, after } = self.rows();
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let has_more = is_cut || if after.is_none() { offset + count < total } else { count == limit };
        let next = rows.last().filter(|_| has_more).and_then(|last| self.list.address.next("after", id(last)));
        let mut bytes = Vec::new();
        let written = serde_json::Serializer::new(&mut bytes).collect_seq(rows.into_iter().map(view));
        array(written.map(|()| bytes), total, next)
    }
}

/// The query of a list by id: a filter, and a page, which `after` may choose where pages have the form
/// [`Paging::LimitOffset`]. An unknown parameter is rejected.
#[derive(Debug)]
pub struct KeysetQuery<F> {
    /// What narrows the list.
    pub filter: F,
    /// Which page of it.
    pub page: KeysetRequest,
}

impl<F: DeserializeOwned> Extract for KeysetQuery<F> {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let (list, mut parameters) = list_of(&request.parts)?;
        let mut given = Map::new();
        if matches!(list.paging, Paging::LimitOffset { .. })
            && let Some(after) = parameters.shift_remove("after")
        {
            given.insert("after".to_owned(), after);
        }
        let After { after } = read_query(given)?;
        if after.is_some_and(|id| !(0..END_OF_IDS).contains(&id)) {
            return Err(Failure::invalid_field("after", "must be an id of the list, or 0 for its beginning"));
        }
        if after.is_some() && list.rows().offset > 0 {
            return Err(Failure::invalid_field("offset", "cannot be combined with `after`: send only one of the two"));
        }
        Ok(Self { filter: read_query(parameters)?, page: KeysetRequest { list, after } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::kit::paging::tests::{ENVELOPE, Filter, LIMIT_OFFSET, PAGE_NUMBER, link, request};

    fn keyset_query(paging: Paging, query: &str) -> Result<KeysetQuery<Filter>, Failure> {
        KeysetQuery::extract(&mut request(paging, query))
    }

    #[test]
    fn an_id_chooses_the_page_of_a_list_by_id_and_of_no_other() {
        let page = keyset_query(LIMIT_OFFSET, "after=7&limit=3&search=x").expect("a page").page.rows();
        assert_eq!(page, KeysetPage { limit: 3, offset: 0, after: Some(7) });
        let page = keyset_query(LIMIT_OFFSET, "offset=2").expect("a page").page.rows();
        assert_eq!(page, KeysetPage { limit: 100, offset: 2, after: None });
        for (query, words) in [
            ("after=-1", "`after`: must be an id of the list, or 0 for its beginning"),
            ("after=9007199254740992", "`after`: must be an id of the list, or 0 for its beginning"),
            ("after=1&offset=1", "`offset`: cannot be combined with `after`: send only one of the two"),
            ("after=1&after=2", "`after`: is given more than once"),
        ] {
            assert_eq!(keyset_query(LIMIT_OFFSET, query).expect_err("rejected").detail, words);
        }
        for paging in [PAGE_NUMBER, ENVELOPE] {
            let failure = keyset_query(paging, "after=1").expect_err("rejected");
            assert_eq!(failure.detail, "Unknown query parameter: `after`");
        }
    }

    #[test]
    fn a_page_leads_to_what_is_behind_its_last_row_while_there_may_be_something() {
        let of = |query: &str, rows: Vec<i64>, total| {
            let page = keyset_query(LIMIT_OFFSET, query).expect("a page").page;
            link(&page.respond(KeysetRows::whole(rows, total), |id| *id, |id| id)).map(str::to_owned)
        };
        let behind = |query: &str| Some(format!("<https://registry.test/list?{query}>; rel=\"next\""));
        assert_eq!(of("search=a%26b&limit=2&offset=1", vec![4, 9], 4), behind("search=a%26b&limit=2&after=9"));
        assert_eq!(of("limit=2&offset=2", vec![4, 9], 4), None, "the last rows");
        assert_eq!(of("limit=2&after=3", vec![4, 9], 4), behind("limit=2&after=9"));
        assert_eq!(of("limit=2&after=3", vec![4], 4), None, "fewer than there could be");
        assert_eq!(of("", Vec::new(), 0), None);
        let page = keyset_query(LIMIT_OFFSET, "limit=5&after=3").expect("a page").page;
        let cut = page.respond(KeysetRows { rows: vec![4, 9], total: 2, is_cut: true }, |id| *id, |id| id);
        assert_eq!(link(&cut).map(str::to_owned), behind("limit=5&after=9"));
    }
}
