//! What commands print: lines for people, JSON for programs.

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes text and a line end. A reader that has gone away is an error like any other.
pub(super) fn line(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("cannot write to the standard output")
}

/// Writes bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<()> {
    std::io::stdout().lock().write_all(bytes).context("cannot write to the standard output")
}

/// Writes a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}
