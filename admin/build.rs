//! A release build has the dashboard's bundle in it, so a new bundle makes it anew. Debug builds read the folder while
//! they run.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../web-ui/dist");
    }
}
