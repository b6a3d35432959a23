//! Packages and their versions: reading, finding and managing them.

mod long_names;
mod manage;
mod names;
mod read;
mod search;
mod visible_parts;
