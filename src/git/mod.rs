//! git's wire protocol v2 and pack format as pure functions over bytes.
