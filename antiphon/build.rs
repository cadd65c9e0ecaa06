//! Tells the program which commit it is built from.
//!
//! `ANTIPHON_COMMIT` names it where there is no repository, as in the image's build. Else a release build asks git. A
//! debug build does not: it would be made anew, tests and all, after each commit.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ANTIPHON_COMMIT");
    let version = variable("CARGO_PKG_VERSION");
    let release = variable("PROFILE") == "release";
    let told = Some(variable("ANTIPHON_COMMIT")).filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| release.then(from_git).flatten());
    let debug = (!release).then(|| "debug build".to_owned());
    let about: Vec<String> = commit.into_iter().chain(debug).collect();
    let text = if about.is_empty() { version } else { format!("{version} ({})", about.join(", ")) };
    println!("cargo::rustc-env=ANTIPHON_VERSION={text}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The commit that is checked out, with `-dirty` where a file differs from it. Nothing without git, or where the folder
/// is a part of another repository, such as a tarball that was unpacked there.
fn from_git() -> Option<String> {
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")).parent()?.canonicalize().ok()?;
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    let commit = git(&root, &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])?;
    watch_git(&root);
    watch_sources(&root);
    Some(commit)
}

/// What changes with each commit, wherever a worktree has it.
fn watch_git(root: &Path) {
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", &branch].into_iter().filter(|name| !name.is_empty()) {
        if let Some(path) = git(root, &["rev-parse", "--git-path", name]) {
            watch(&root.join(path));
        }
    }
}

/// What the program is made of: a change of it makes the commit a dirty one.
fn watch_sources(root: &Path) {
    for name in ["Cargo.toml", "Cargo.lock", ".cargo"] {
        watch(&root.join(name));
    }
    let crates = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in crates.filter(|folder| folder.join("Cargo.toml").is_file()) {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Tests are not in it, and bundles and targets are made, not written.
            if !["tests", "benches", "target"].contains(&name.as_str()) && !name.starts_with("dist") {
                watch(&path);
            }
        }
    }
}

/// A path that is missing would count as changed each time.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// A line that git says; nothing where it fails.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}
