//! Security advisories and filter lists.

mod advisories;
mod feeds;
mod registries;
mod upstreams;
