//! Where packages come from: git repositories, upstream Composer repositories and uploaded zips.

mod artifacts;
mod busy_hosts;
pub mod composer;
pub mod git;
mod limited_credentials;
mod monorepos;
mod remarks;
mod repositories;
mod repository_addresses;
mod repository_refs;
mod runs;
mod upload_replacements;
mod upload_shapes;
mod uploads;
mod zip_links;
