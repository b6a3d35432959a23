//! Packages of git repositories.

mod archive_contents;
mod archive_work;
mod archives;
mod dates;
mod faults;
mod host_zips;
mod large_archives;
mod lfs;
mod moved_tags;
mod protocols;
mod renames;
mod stated_dists;
mod support;
pub mod sync;
mod texts;
