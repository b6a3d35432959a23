//! Packages and their versions: reading, finding and managing them.

mod manage;
mod read;
mod search;
