//! `cargo xtask web`: compiles the dashboard to WebAssembly and makes the bundle of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bundle::{self, Written};
use crate::compiler::{self, Toolchain};

/// How the bundle is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Small and quick to load.
    Release,
    /// Quick to build.
    Dev,
}

impl Mode {
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "wasm-release",
            Self::Dev => "wasm-dev",
        }
    }
}

/// Views without their types compile several times as fast and are smaller; what says where each symbol is used is
/// needed to split the program.
const FLAGS: &[&str] = &["--cfg=erase_components", "-Clink-args=--emit-relocs"];

/// Builds the bundle into `web-ui/dist`; where nothing has changed, it stays as it is.
pub(crate) fn build(mode: Mode) -> Result<()> {
    let began = Instant::now();
    let root = root()?;
    let root = root.as_path();
    let target = target_folder(root)?.join("wasm");
    fs::create_dir_all(&target)?;
    // Two builds in one folder would take each other's program.
    let lock = File::create(target.join("xtask.lock"))?;
    lock.lock()?;
    let toolchain = compiler::choose(&target)?;
    eprintln!("web: {} with {}", mode.profile(), toolchain.name);
    let compiled = compile(root, &target, &toolchain, mode)?;
    let dist = root.join("web-ui/dist");
    match bundle::write(mode, &compiled, &root.join("web-ui"), &dist)? {
        Written::AsItWas => eprintln!("web: nothing has changed in {}", dist.display()),
        Written::Anew(sizes) => eprint!("{sizes}"),
    }
    eprintln!("web: done in {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// The workspace that this was called in: what was compiled in another copy of it may run here.
fn root() -> Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").context("call it as: cargo xtask web")?;
    Ok(Path::new(&own).parent().context("the workspace has no folder")?.to_owned())
}

/// Where cargo puts what it builds, as the environment or cargo's configuration says.
fn target_folder(root: &Path) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.current_dir(root).args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let output = cargo.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(folder.context("cargo names no target folder")?.into())
}

/// The dashboard as the compiler leaves it. It has a target folder of its own, so that the other compiler, where
/// there is one, and the host's builds do not throw away what each other made.
fn compile(root: &Path, target: &Path, toolchain: &Toolchain, mode: Mode) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.current_dir(root).args(["build", "--locked", "-p", "web-ui", "--target", compiler::TARGET]);
    cargo.args(["--profile", mode.profile(), "--target-dir"]).arg(target);
    let flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).chain(remapped(root, target)).collect();
    toolchain.apply(&mut cargo, flags);
    if !cargo.status().context("cargo build")?.success() {
        bail!("the dashboard does not compile");
    }
    Ok(target.join(compiler::TARGET).join(mode.profile()).join("web-ui.wasm"))
}

/// Folders of this machine get names that are the same everywhere: panics tell where they are, so the bundle has them.
/// Of those that match, the last one counts.
fn remapped(root: &Path, target: &Path) -> Vec<String> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = own.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let folders = [(Some(root), "/antiphon"), (home.as_deref(), "/cargo"), (Some(target), "/target")];
    let known = folders.into_iter().filter_map(|(folder, name)| Some((folder?, name)));
    known.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect()
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
