//! The storefront surface: what the back end of a shop requests, so that each customer may install just what was paid for.
//!
//! Paths, fields and times are those of the storefront document, as far as it goes; ids are integers.

mod advisories;
mod bulk_permissions;
mod catalog_body;
mod consumer_body;
mod consumer_export;
mod consumer_imports;
mod consumer_lists;
mod consumers;
mod entitlements;
mod installs;
mod instructions;
mod packages;
mod permission_body;
mod permissions;
mod statistics;
mod tokens;
mod versions;
mod webhooks;

use crate::http::kit::routes::{Routes, routes};
use crate::registry::kernel::failure::Failure;

/// The surface's routes, with their entries in the API document.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(packages::list_storefront_packages, packages::create_storefront_package))
        .routes(routes!(
            packages::get_storefront_package,
            packages::update_storefront_package,
            packages::delete_storefront_package
        ))
        .routes(routes!(advisories::list_storefront_advisories, advisories::create_storefront_advisory))
        .routes(routes!(advisories::delete_storefront_advisory))
        .routes(routes!(installs::list_installs))
        .routes(routes!(versions::list_storefront_versions, versions::create_storefront_version))
        .routes(routes!(
            versions::get_storefront_version,
            versions::update_storefront_version,
            versions::delete_storefront_version
        ))
        .routes(routes!(versions::upload_storefront_file))
        .routes(routes!(consumer_lists::list_consumers, consumers::create_consumer))
        .routes(routes!(consumer_lists::list_consumers_by_email))
        .routes(routes!(consumers::get_consumer, consumers::update_consumer, consumers::delete_consumer))
        .routes(routes!(consumers::put_consumer_of_customer))
        .routes(routes!(consumer_imports::import_consumers))
        .routes(routes!(consumers::rotate_keys))
        .routes(routes!(consumers::merge_consumers))
        .routes(routes!(consumer_export::export_consumer))
        .routes(routes!(entitlements::list_consumer_packages))
        .routes(routes!(entitlements::list_consumer_permissions))
        .routes(routes!(
            entitlements::list_entitlements,
            entitlements::set_entitlements,
            entitlements::add_entitlements
        ))
        .routes(routes!(instructions::get_instructions))
        .routes(routes!(statistics::list_consumer_statistics))
        .routes(routes!(tokens::list_consumer_tokens, tokens::create_consumer_token))
        .routes(routes!(tokens::update_consumer_token, tokens::delete_consumer_token))
        .routes(routes!(tokens::rotate_consumer_token))
        .routes(routes!(permissions::list_permissions))
        .routes(routes!(
            permissions::list_all_permissions,
            permissions::create_permission,
            permissions::change_order_permissions,
            permissions::delete_order_permissions
        ))
        .routes(routes!(bulk_permissions::change_permissions_in_bulk))
        .routes(routes!(permissions::get_permission, permissions::update_permission, permissions::delete_permission))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(webhooks::get_webhook, webhooks::update_webhook, webhooks::delete_webhook))
        .routes(routes!(webhooks::list_deliveries))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::test_webhook))
}

/// The id in a path; there is nothing with an id that is not a number.
fn id_of(text: &str, what: &str) -> Result<i64, Failure> {
    // Further than 2^53 the database would round.
    let id = text.parse().ok().filter(|id| (1..1 << 53).contains(id));
    id.ok_or_else(|| Failure::not_found(what))
}
