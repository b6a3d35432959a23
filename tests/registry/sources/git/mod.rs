//! Packages of git repositories.

mod archive_contents;
mod archives;
mod dates;
mod faults;
mod moved_tags;
pub mod sync;
mod texts;
