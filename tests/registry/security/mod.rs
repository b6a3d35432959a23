//! Security advisories and filter lists.

mod advisories;
mod upstreams;
