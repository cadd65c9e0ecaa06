//! The command line from outside, on SQLite in a folder of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod keys;
mod machine;
mod master_key;
mod start;
mod tables;
