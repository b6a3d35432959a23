//! Packages and their versions: reading, finding and managing them.

mod long_names;
mod manage;
mod read;
mod search;
