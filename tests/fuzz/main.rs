//! Inputs that nobody would write, for everything that reads what strangers send. Beside "it does not panic" each target has a
//! property of its own: it stays within its bounds, says the same twice, or agrees with another reader.
//!
//! A target starts from its corpus (`tests/fuzz/corpus/{target}`), changes it at random and goes on for `FUZZ_SECONDS` (a
//! moment, if that is not set). What breaks a property is shrunk and kept in the corpus as `found-…`, so that it is tried again
//! from then on. CONTRIBUTING.md says how to run them for longer.
//!
//! * `engine`: the corpus, the changes, the clock.
//! * `protocol`: git's pkt-lines, packs, deltas and trees.
//! * `packages`: `.gitattributes`, zips, composer.json, versions and constraints.
//! * `documents`: JSON, and the documents of upstreams.

mod documents;
mod engine;
mod packages;
mod protocol;
