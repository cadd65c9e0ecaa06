//! A release build has the dashboard's bundle in it, so a new bundle makes it anew. Debug builds read the folder while
//! they run.

use std::fs;

/// Where `cargo xtask web` puts it.
const BUNDLE: &str = "../web-ui/dist";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Where it is missing, an empty one stands in: its path is taken now, and cargo would build this crate anew each
    // time. In a source tree that nobody may write the program has no bundle.
    fs::create_dir_all(BUNDLE).ok();
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed={BUNDLE}");
    }
}
