//! Builds what cargo alone cannot.
//!
//!   cargo xtask web          the dashboard's bundle, as it is released, into web-ui/dist
//!   cargo xtask web --dev    the same, quick to build: for tests, and while writing it

mod bundle;
mod compiler;
mod compress;
mod split;
mod web;

use std::process::ExitCode;

use crate::compiler::NoCompiler;
use crate::web::Mode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mode = match arguments.as_slice() {
        ["web"] => Mode::Release,
        ["web", "--dev"] => Mode::Dev,
        _ => {
            eprintln!("usage: cargo xtask web [--dev]");
            return ExitCode::from(2);
        }
    };
    match web::build(mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error:#}");
            // Whoever can do without tells this from a dashboard that does not compile.
            ExitCode::from(if error.is::<NoCompiler>() { 3 } else { 1 })
        }
    }
}
