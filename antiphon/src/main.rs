//! The one binary: command line, configuration and wiring of the planes.

mod cli;
mod config;
mod declared;
mod first_run;
mod master_key;
mod store;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Why this one: see `docs/decisions/allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match actix_web::rt::System::new().block_on(cli::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One line on the standard error, causes included.
fn fail(error: &anyhow::Error) -> ExitCode {
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    drop(writeln!(std::io::stderr(), "antiphon: {line}"));
    ExitCode::FAILURE
}
