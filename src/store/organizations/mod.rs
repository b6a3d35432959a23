//! Organizations as people see them.

pub mod profiles;
