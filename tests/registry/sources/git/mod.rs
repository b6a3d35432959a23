//! Packages of git repositories.

mod archives;
mod faults;
pub mod sync;
mod texts;
