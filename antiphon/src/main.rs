//! The one binary: command line, configuration and wiring of the planes.

mod cli;
mod config;
mod copy_db;
mod declared;
mod first_run;
mod log_levels;
mod logging;
mod master_key;
mod metrics;
mod otlp;
mod ports;
mod process;
mod profile;
mod reload;
mod sealed;
mod signals;
mod store;
mod upkeep;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Why this one: see `docs/decisions/allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    keep_files_private();
    spare_huge_pages();
    let arguments = cli::Arguments::parse();
    match actix_web::rt::System::new().block_on(cli::run(arguments)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// What is written is its owner's alone: the database has what everybody did, and their addresses.
fn keep_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Small pages only: a huge page that holds one buffer of a slow upload costs 2 MiB, and where the
/// system gives them to everybody the allocator gets them unasked.
fn spare_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        // Costs memory, nothing else.
        tracing::debug!(%error, "huge pages stay on");
    }
}

/// One line on the standard error, causes included. Many errors repeat their cause in their own text;
/// it is said once.
fn fail(error: &anyhow::Error) -> ExitCode {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.contains(&cause) {
            let gap = if told.is_empty() { "" } else { ": " };
            told.push_str(gap);
            told.push_str(&cause);
        }
    }
    let line = told.split_whitespace().collect::<Vec<_>>().join(" ");
    drop(writeln!(std::io::stderr(), "antiphon: {line}"));
    ExitCode::FAILURE
}
