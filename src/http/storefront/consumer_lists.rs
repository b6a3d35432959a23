//! Lists of consumers.

use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::kit::extract::PathParams;
use crate::http::kit::keyset::{After, KeysetQuery};
use crate::http::kit::moment::MomentSince;
use crate::http::kit::paging::{LimitOffset, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::storefront::consumer_body::ConsumerView;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_lists::{ListedConsumer, MAX_WITH_PERMISSIONS, list, with_permissions};
use crate::store::storefront::consumer_lists::ConsumerFilter;

/// What a list of consumers may hold besides.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IncludedName {
    /// The permissions of each.
    Entitlements,
}

/// Which consumers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsumersQuery {
    /// Only those with this e-mail address, in whatever case
    email: Option<String>,
    /// Only those whose e-mail address holds this, in whatever case
    search: Option<String>,
    /// Only those of the customer with this id of the shop's
    customer_id: Option<String>,
    /// Only those of the order with this id of the shop's, or with a permission that was bought with it
    order_id: Option<String>,
    /// Only those that are enabled (1) or disabled (0)
    #[param(minimum = 0, maximum = 1)]
    status: Option<i64>,
    /// Only those with a permission that names this package, or that is for this pattern
    package: Option<String>,
    /// Only those that have changed then or later, they or their permissions; a day begins with its first moment
    #[param(value_type = Option<String>)]
    updated_since: Option<MomentSince>,
    /// `entitlements`: each with its permissions. A page has up to 1000 consumers then, and ends earlier when they have more than
    /// 10,000 permissions together
    #[param(value_type = Option<String>)]
    include: Option<IncludedName>,
}

impl ConsumersQuery {
    fn into_filter(self) -> Result<ConsumerFilter, Failure> {
        let status = match self.status {
            None => None,
            Some(status @ (0 | 1)) => Some(status == 1),
            Some(_) => return Err(Failure::invalid_field("status", "must be 1 for enabled or 0 for disabled")),
        };
        let filter = ConsumerFilter {
            email: self.email.map(|email| email.trim().to_owned()),
            search: self.search,
            customer_id: self.customer_id,
            order_id: self.order_id,
            order_grants: None,
            is_enabled: status,
            target: self.package.map(|package| package.to_ascii_lowercase()),
            updated_since: self.updated_since.map(|MomentSince(moment)| moment),
        };
        let given = [
            ("email", &filter.email),
            ("search", &filter.search),
            ("customer_id", &filter.customer_id),
            ("order_id", &filter.order_id),
            ("package", &filter.target),
        ];
        // An empty filter would mean none of them, which is not what somebody wants who left it empty.
        if let Some((name, _)) = given.into_iter().find(|(_, value)| value.as_deref() == Some("")) {
            return Err(Failure::invalid_field(name, "must not be empty; leave it out to have all"));
        }
        Ok(filter)
    }
}

fn id(listed: &ListedConsumer) -> i64 {
    listed.shown.row.id
}

/// Consumers, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers",
    tag = "storefront",
    params(ConsumersQuery, LimitOffset, After),
    responses(
        (status = 200, description = "Consumers; `X-Total-Count` says how many there are", body = Vec<ConsumerView>),
        (status = 403, description = "or does not see every version of the package that is asked for")
    )
)]
pub async fn list_consumers(
    auth: RequestAuth<StorefrontRead>,
    query: Result<KeysetQuery<ConsumersQuery>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let KeysetQuery { filter, page } = query?;
    let (include, filter) = (filter.include, filter.into_filter()?);
    let Some(IncludedName::Entitlements) = include else {
        let found = list(auth.app(), &issuer, &filter, page.rows()).await?;
        return Ok(page.respond(found, id, ConsumerView::from));
    };
    let page = page.resized(MAX_WITH_PERMISSIONS, MAX_WITH_PERMISSIONS)?;
    let found = list(auth.app(), &issuer, &filter, page.rows()).await?;
    let found = with_permissions(auth.app(), &issuer, found).await?;
    Ok(page.respond(found, id, ConsumerView::from))
}

/// Consumers with an e-mail address, in whatever case, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers/email/{email}",
    tag = "storefront",
    params(
        ("email" = String, Path, description = "The address"),
        LimitOffset,
        After
    ),
    responses(
        (status = 200, description = "Consumers; `X-Total-Count` says how many there are", body = Vec<ConsumerView>)
    )
)]
pub async fn list_consumers_by_email(
    auth: RequestAuth<StorefrontRead>,
    PathParams([email]): PathParams<1>,
    query: Result<KeysetQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let page = query?.page;
    let filter = ConsumerFilter { email: Some(email.trim().to_owned()), ..ConsumerFilter::default() };
    let found = list(auth.app(), &issuer, &filter, page.rows()).await?;
    Ok(page.respond(found, id, ConsumerView::from))
}
