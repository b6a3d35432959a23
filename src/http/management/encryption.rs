//! `/api/encryption`.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{Admin, Unlimited};
use crate::http::kit::response::ok;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::encryption::{self, KeyUse, Rotated};

/// A key, and how many secrets it has sealed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "3f8a01bc", "seals": true, "configured": true,
    "sealed": {"repositories.credentials": 12, "idempotency_results.secret": 3}
}))]
pub struct KeyView {
    /// The first 8 hex digits of its SHA-256.
    id: String,
    /// Whether it seals what is new.
    seals: bool,
    /// Whether it is in `ENCRYPTION_KEY`; what others have sealed cannot be read.
    configured: bool,
    /// Where → how many.
    sealed: BTreeMap<&'static str, i64>,
}

impl From<KeyUse> for KeyView {
    fn from(key: KeyUse) -> Self {
        Self { id: key.id, seals: key.seals, configured: key.is_configured, sealed: key.sealed }
    }
}

/// The keys that seal secrets, by their ids alone.
#[utoipa::path(
    get,
    path = "/encryption",
    tag = "encryption",
    responses(
        (status = 200, description = "The keys of `ENCRYPTION_KEY` in their order, then others that have sealed something", body = Vec<KeyView>)
    )
)]
pub async fn list_encryption_keys(auth: RequestAuth<Unlimited<Admin>>) -> Result<Response, Failure> {
    auth.caller().await?;
    let keys = encryption::keys(auth.app()).await?;
    Ok(ok(&keys.into_iter().map(KeyView::from).collect::<Vec<_>>()))
}

/// What sealing anew did.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotatedView {
    /// Secrets that the first key has sealed now.
    resealed: usize,
    /// Secrets that it has not sealed; ask again until there are none, then the other keys can go.
    remaining: i64,
    /// Secrets that did not open, because they were changed behind the registry's back.
    unreadable: usize,
}

/// Seals secrets with the first key of `ENCRYPTION_KEY` that another one has sealed, up to 100 of each sort.
#[utoipa::path(
    post,
    path = "/encryption/rotate",
    tag = "encryption",
    responses(
        (status = 200, description = "What was sealed anew, and how many are left", body = RotatedView),
        (status = 409, description = "`ENCRYPTION_KEY` is not set")
    )
)]
pub async fn rotate_encryption_key(auth: RequestAuth<Unlimited<Admin>>) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let Rotated { resealed, remaining, unreadable } = encryption::rotate(auth.app(), &actor).await?;
    Ok(ok(&RotatedView { resealed, remaining, unreadable }))
}
