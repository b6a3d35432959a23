//! The storefront: its catalog, its consumers and what they were granted, and its webhooks.

mod access;
mod catalog;
mod catalog_faults;
mod consumers;
mod denials;
mod erasure;
mod events;
mod faults;
mod figures;
mod imports;
mod keys;
mod known_customers;
mod limited_shops;
mod lookups;
mod many_permissions;
mod merges;
mod pages;
mod permissions;
mod preconditions;
mod replays;
mod sales;
mod security_fixes;
mod undated;
mod webhook_faults;
mod webhooks;
