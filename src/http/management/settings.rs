//! `/api/settings`.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::{JsonBody, update};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{SettingsRead, SettingsWrite, Unlimited};
use crate::http::kit::response::ok;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::settings::{self, RateLimitsChange, Settings, SettingsChange};
use crate::store::Update;
use crate::store::access::rate_limits::RateLimits;
use crate::store::sources::upstream_answers::UnsafeZips;

/// What an operator sets while the registry runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "packagist_mirroring": true, "packagist_url": "https://repo.packagist.org", "reserved_vendors": ["acme"],
    "immutable_tags": false, "claim_vendors": true,
    "rate_limits": {"read_per_hour": 1000, "write_per_hour": 500, "downloads_per_minute": 100},
    "block_malware_downloads": true, "retire_vanished_packages": false, "mirrored_zips": "warn",
    "address_retention_days": 90, "unusual_networks": 20
}))]
pub struct SettingsView {
    /// Whether packages that nobody else has are mirrored from Packagist. Off at first.
    packagist_mirroring: bool,
    /// Where Packagist is.
    packagist_url: String,
    /// Vendors whose packages no public upstream is asked for. Those of packages published here are reserved anyway.
    reserved_vendors: Vec<String>,
    /// Whether a version stays what it was when its tag moves. Off at first: it is the new commit's then.
    immutable_tags: bool,
    /// Whether composer is told, with any valid credential, that every name of a vendor with packages published here, and of a
    /// reserved one, is here, also those that the credential does not see, so that nobody is handed a stranger's package of that name. `packages.json` then names
    /// these vendors to every credential. On at first.
    claim_vendors: bool,
    /// What credentials without a limit of their own may ask for.
    rate_limits: RateLimitsView,
    /// Whether the zips of versions on the list `malware`, one's own or an upstream's, are answered with 410. On at first.
    block_malware_downloads: bool,
    /// Whether packages that their upstream has no longer leave the metadata, from the next sync on that finds them gone. Else
    /// they are kept, marked abandoned. Off at first.
    retire_vanished_packages: bool,
    /// What becomes of an upstream's zip whose paths or links are not safe everywhere, from its first download on: `warn` hands
    /// it out, with the remark `unsafe_zip` on its version; `refuse` answers with 404. `warn` at first.
    #[schema(value_type = String)]
    mirrored_zips: UnsafeZips,
    /// After how many days IP addresses are forgotten, wherever they are kept: with downloads, sessions and in the audit log. 90 at
    /// first.
    address_retention_days: i64,
    /// From how many networks a day the use of a consumer's key is unusual, so that webhooks are told `key.unusual`. A network is an
    /// IPv4 address or an IPv6 /64. 20 at first.
    unusual_networks: i64,
}

/// Rate limits of credentials without one of their own.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateLimitsView {
    /// Requests an hour of a credential that only reads: 1000 at first.
    read_per_hour: i64,
    /// Requests an hour of a credential that may write: 500 at first.
    write_per_hour: i64,
    /// Downloads a minute of one package: 100 at first, and never less than a sixtieth of the credential's requests an hour.
    downloads_per_minute: i64,
}

impl From<RateLimits> for RateLimitsView {
    fn from(limits: RateLimits) -> Self {
        let RateLimits { read_per_hour, write_per_hour, downloads_per_minute } = limits;
        Self { read_per_hour, write_per_hour, downloads_per_minute }
    }
}

impl From<Settings> for SettingsView {
    fn from(settings: Settings) -> Self {
        Self {
            packagist_mirroring: settings.packagist_mirroring,
            packagist_url: settings.packagist_url,
            reserved_vendors: settings.reserved_vendors,
            immutable_tags: settings.immutable_tags,
            claim_vendors: settings.claim_vendors,
            rate_limits: settings.rate_limits.into(),
            block_malware_downloads: settings.block_malware_downloads,
            retire_vanished_packages: settings.retire_vanished_packages,
            mirrored_zips: settings.mirrored_zips,
            address_retention_days: settings.address_retention_days,
            unusual_networks: settings.unusual_networks,
        }
    }
}

/// A request to change settings; what it does not name stays, null is the default.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"packagist_mirroring": true}))]
pub struct SettingsRequest {
    /// Whether packages that nobody else has are mirrored from Packagist.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    packagist_mirroring: Update<bool>,
    /// https address of Packagist, or of a mirror of it.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    packagist_url: Update<String>,
    /// Vendors whose packages no public upstream is asked for.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    reserved_vendors: Update<Vec<String>>,
    /// Whether a version stays what it was when its tag moves.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    immutable_tags: Update<bool>,
    /// Whether composer is told that every name of a vendor with packages published here, and of a reserved one, is here.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    claim_vendors: Update<bool>,
    /// What credentials without a limit of their own may ask for. It holds for a credential that is in use within six
    /// minutes.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<RateLimitsRequest>)]
    rate_limits: Update<RateLimitsRequest>,
    /// Whether the zips of versions on the list `malware` are refused.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    block_malware_downloads: Update<bool>,
    /// Whether packages that their upstream has no longer leave the metadata.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    retire_vanished_packages: Update<bool>,
    /// What becomes of an upstream's zip whose paths or links are not safe everywhere: `warn` or `refuse`.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    mirrored_zips: Update<UnsafeZips>,
    /// After how many days IP addresses are forgotten: 1 to 3650.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    address_retention_days: Update<i64>,
    /// From how many networks a day the use of a consumer's key is unusual: 2 to 1000.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    unusual_networks: Update<i64>,
}

/// A change of rate limits; what it does not name stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"read_per_hour": 5000}))]
pub struct RateLimitsRequest {
    /// Requests an hour of a credential that only reads.
    read_per_hour: Option<i64>,
    /// Requests an hour of a credential that may write.
    write_per_hour: Option<i64>,
    /// Downloads a minute of one package.
    downloads_per_minute: Option<i64>,
}

impl From<RateLimitsRequest> for RateLimitsChange {
    fn from(request: RateLimitsRequest) -> Self {
        let RateLimitsRequest { read_per_hour, write_per_hour, downloads_per_minute } = request;
        Self { read_per_hour, write_per_hour, downloads_per_minute }
    }
}

impl From<SettingsRequest> for SettingsChange {
    fn from(request: SettingsRequest) -> Self {
        Self {
            packagist_mirroring: request.packagist_mirroring,
            packagist_url: request.packagist_url,
            reserved_vendors: request.reserved_vendors,
            immutable_tags: request.immutable_tags,
            claim_vendors: request.claim_vendors,
            rate_limits: request.rate_limits.map(RateLimitsChange::from),
            block_malware_downloads: request.block_malware_downloads,
            retire_vanished_packages: request.retire_vanished_packages,
            mirrored_zips: request.mirrored_zips,
            address_retention_days: request.address_retention_days,
            unusual_networks: request.unusual_networks,
        }
    }
}

/// All settings.
#[utoipa::path(
    get,
    path = "/settings",
    tag = "settings",
    responses(
        (status = 200, description = "The settings", body = SettingsView)
    )
)]
pub async fn get_settings(auth: RequestAuth<Unlimited<SettingsRead>>) -> Result<Response, Failure> {
    let view = auth.view().await?;
    Ok(ok(&SettingsView::from(settings::get(auth.app(), &view).await?)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    patch,
    path = "/settings",
    tag = "settings",
    request_body = SettingsRequest,
    responses(
        (status = 200, description = "The settings as they are now", body = SettingsView)
    )
)]
pub async fn update_settings(
    auth: RequestAuth<Unlimited<SettingsWrite>>,
    body: Result<JsonBody<SettingsRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    Ok(ok(&SettingsView::from(settings::change(auth.app(), &actor, request.into()).await?)))
}
