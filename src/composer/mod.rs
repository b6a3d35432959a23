//! Composer's own rules. Pure: no I/O, no clock, no randomness.
