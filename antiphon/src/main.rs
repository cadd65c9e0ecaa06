//! The one binary.
mod config;
fn main() {}
