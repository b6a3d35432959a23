//! Packages of upstream Composer repositories.

mod busy;
mod dist;
mod evil;
mod faults;
mod import_all;
pub mod lookup;
mod names;
mod refresh;
mod second_host;
mod shapes;
mod unsafe_zips;
mod vanished;
pub mod whole;
