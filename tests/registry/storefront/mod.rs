//! The storefront: its catalog, its consumers and what they were granted, and its webhooks.

mod access;
mod catalog;
mod catalog_faults;
mod consumers;
mod denials;
mod erasure;
mod events;
mod faults;
mod instructions;
mod known_customers;
mod limited_shops;
mod many_permissions;
mod merges;
mod old_clients;
mod permissions;
mod preconditions;
mod released;
mod sales;
mod security_fixes;
mod undated;
mod webhook_faults;
mod webhooks;
mod withdrawing;
