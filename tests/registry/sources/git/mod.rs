//! Packages of git repositories.

mod archives;
mod dates;
mod faults;
pub mod sync;
mod texts;
