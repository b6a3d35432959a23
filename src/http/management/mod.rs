//! The management surface: what operators and programs request, in the organization of their credential.

mod advisories;
mod artifacts;
mod audit;
mod auth;
mod encryption;
mod filter_entries;
mod invitations;
mod package_statistics;
mod packages;
mod repositories;
mod settings;
mod statistics;
mod tokens;
mod uploads;
mod users;
mod versions;

use crate::http::assets;
use crate::http::kit::routes::{Routes, routes};
use crate::http::management::repositories::monorepo;

/// The surface's routes, with their entries in the API document.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(tokens::list_tokens, tokens::create_token, tokens::delete_tokens))
        .routes(routes!(tokens::get_token, tokens::update_token, tokens::delete_token))
        .routes(routes!(tokens::rotate_token))
        .routes(routes!(repositories::list_repositories, repositories::create_repository))
        .routes(routes!(
            repositories::get_repository,
            repositories::update_repository,
            repositories::replace_repository,
            repositories::delete_repository
        ))
        .routes(routes!(monorepo::register_monorepo))
        .routes(routes!(repositories::verify_repository))
        .routes(routes!(repositories::sync_repository))
        .routes(routes!(repositories::list_syncs))
        .routes(routes!(repositories::list_refs))
        .routes(routes!(settings::get_settings, settings::update_settings))
        .routes(routes!(audit::list_audit_log))
        .routes(routes!(audit::export_audit_log))
        .routes(routes!(statistics::get_statistics))
        .routes(routes!(encryption::list_encryption_keys))
        .routes(routes!(encryption::rotate_encryption_key))
        .routes(routes!(advisories::list_advisories, advisories::create_advisory))
        .routes(routes!(advisories::get_advisory, advisories::update_advisory, advisories::delete_advisory))
        .routes(routes!(filter_entries::list_filter_entries, filter_entries::create_filter_entry))
        .routes(routes!(filter_entries::delete_filter_entry))
        .routes(routes!(packages::list_packages))
        .routes(routes!(packages::get_package, packages::update_package, packages::delete_package))
        .routes(routes!(packages::get_package_by_name))
        .routes(routes!(versions::list_versions))
        .routes(routes!(versions::get_version, versions::delete_version))
        .routes(routes!(versions::yank_version))
        .routes(routes!(versions::unyank_version))
        .routes(routes!(versions::get_readme))
        .routes(routes!(versions::get_changelog))
        .routes(routes!(package_statistics::get_package_stats))
        .routes(routes!(package_statistics::list_dependents))
        .routes(routes!(uploads::upload_version))
        .routes(routes!(artifacts::list_artifacts))
        .routes(routes!(artifacts::clean_up_artifacts))
        .routes(routes!(assets::get_openapi_document))
        .routes(routes!(assets::get_swagger))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::get_user, users::update_user, users::delete_user))
        .routes(routes!(users::create_reset_link))
        .routes(routes!(invitations::list_invitations, invitations::create_invitation))
        .routes(routes!(invitations::delete_invitation))
        .routes(Routes::new().nest("/auth", auth::routes()))
}
