//! The compiler for WebAssembly: rustup's with its target, or Debian's with a standard library that is built here.
//!
//! Debian's package brings that library's source with all that it depends on, but not compiled. It is built once, without
//! network, into a sysroot of our own beside the other things that cargo builds.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::web::cargo;

/// What is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler, which a newer one of rustup may stand before on the path.
const DEBIAN: &str = "/usr/bin/rustc";

/// A compiler, and what it has to be told.
pub(crate) struct Toolchain {
    /// What people call it.
    pub(crate) name: String,
    rustc: PathBuf,
    /// A sysroot of our own, with its linker.
    own: Option<OwnSysroot>,
}

struct OwnSysroot {
    folder: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// Makes cargo use it, with these flags of its own. Flags for the host's builds are not for this one.
    pub(crate) fn apply(&self, cargo: &mut Command, mut flags: Vec<String>) {
        if let Some(own) = &self.own {
            flags.push(format!("--sysroot={}", own.folder.display()));
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &own.linker);
        }
        cargo.env("RUSTC", &self.rustc).env_remove("RUSTFLAGS");
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    }
}

/// The compiler to use, which `WEB_RUSTC` may name. Below `target` lies what it needs.
pub(crate) fn choose(target: &Path) -> Result<Toolchain> {
    let told = std::env::var_os("WEB_RUSTC").map(PathBuf::from);
    let candidates = match &told {
        Some(rustc) => vec![rustc.clone()],
        None => vec![PathBuf::from("rustc"), PathBuf::from(DEBIAN)],
    };
    for rustc in candidates {
        let Some(asked) = Asked::of(&rustc) else { continue };
        if asked.has_std() {
            return Ok(Toolchain { name: asked.version, rustc, own: None });
        }
        if let (Some(vendored), Some(linker)) = (asked.vendored(), linker()) {
            let folder = sysroot(&asked, &vendored, target)?;
            let name = format!("{} and a standard library built from its source", asked.version);
            return Ok(Toolchain { name, rustc, own: Some(OwnSysroot { folder, linker }) });
        }
    }
    Err(NoCompiler { told }.into())
}

/// Nothing here compiles to WebAssembly.
#[derive(Debug)]
pub(crate) struct NoCompiler {
    told: Option<PathBuf>,
}

impl fmt::Display for NoCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.told {
            Some(told) => write!(f, "WEB_RUSTC={} has no standard library for {TARGET}", told.display())?,
            None => write!(f, "no compiler here has a standard library for {TARGET}")?,
        }
        write!(
            f,
            ". Install one of:\n  rustup target add {TARGET}\n  \
             apt-get install --no-install-recommends rustc-web rust-web-src lld-22    (Debian)"
        )
    }
}

impl std::error::Error for NoCompiler {}

/// What a compiler tells about itself.
struct Asked {
    rustc: PathBuf,
    version: String,
    sysroot: PathBuf,
    libraries: PathBuf,
}

impl Asked {
    /// `None` where there is no such compiler, or it does not know the target.
    fn of(rustc: &Path) -> Option<Self> {
        let version = ask(rustc, &["--version"])?;
        let sysroot = ask(rustc, &["--print", "sysroot"])?.into();
        let libraries = ask(rustc, &["--print", "target-libdir", "--target", TARGET])?.into();
        Some(Self { rustc: rustc.to_owned(), version, sysroot, libraries })
    }

    fn has_std(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.libraries) else { return false };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }

    /// Where the standard library's own dependencies lie.
    fn vendored(&self) -> Option<PathBuf> {
        let folder = self.sysroot.join("lib/rustlib/src/rust/library/vendor");
        folder.is_dir().then_some(folder)
    }

    /// Differs where the program does: new revisions of a package keep the version.
    fn identity(&self) -> Result<String> {
        let program = self.sysroot.join("bin/rustc");
        let about = fs::metadata(&program).with_context(|| program.display().to_string())?;
        let mut hasher = DefaultHasher::new();
        let modified = about.modified()?.duration_since(SystemTime::UNIX_EPOCH)?;
        (&self.version, &program, about.len(), modified).hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }
}

fn ask(rustc: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// LLVM's linker, by whichever name the system has it.
fn linker() -> Option<PathBuf> {
    let names = ["wasm-ld".to_owned()].into_iter().chain((18..40).rev().map(|version| format!("wasm-ld-{version}")));
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.flat_map(|name| folders.iter().map(move |folder| folder.join(&name))).find(|program| program.is_file())
}

/// The sysroot with the standard library, which is built where it is missing.
fn sysroot(asked: &Asked, vendored: &Path, target: &Path) -> Result<PathBuf> {
    let folder = target.join(format!("sysroot-{}", asked.identity()?));
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("web: building the standard library for {TARGET}, once (half a minute)");
    let built = build_std(asked, vendored, target)?;
    let half_done = target.join("sysroot.tmp");
    remove(&half_done)?;
    let libraries = half_done.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries)?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libnothing-") {
            fs::copy(&path, libraries.join(&name))?;
        }
    }
    fs::rename(&half_done, &folder)?;
    Ok(folder)
}

/// Compiles the standard library for an empty crate; gives the folder with its parts.
fn build_std(asked: &Asked, vendored: &Path, target: &Path) -> Result<PathBuf> {
    let empty = target.join("std");
    fs::create_dir_all(empty.join("src"))?;
    fs::write(empty.join("Cargo.toml"), "[package]\nname = \"nothing\"\nedition = \"2024\"\n[workspace]\n")?;
    fs::write(empty.join("src/lib.rs"), "#![no_std]\n")?;
    let mut cargo = cargo();
    cargo.current_dir(&empty).args(["build", "--release", "--quiet", "--offline", "--target", TARGET]);
    cargo.args(["-Zbuild-std=std,panic_abort", "--target-dir"]).arg(empty.join("target"));
    cargo.args(["--config", "source.crates-io.replace-with='vendored'", "--config"]);
    cargo.arg(format!("source.vendored.directory='{}'", vendored.display()));
    cargo.env("RUSTC", &asked.rustc).env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Without its bitcode, the whole cannot be optimised as one.
    cargo.env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked");
    if !cargo.status().context("cargo build")?.success() {
        bail!("the standard library for {TARGET} does not compile");
    }
    Ok(empty.join("target").join(TARGET).join("release/deps"))
}

/// Removes a folder that may not be there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}
