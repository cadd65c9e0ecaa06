//! `antiphon audit`: the audit log.

use admin::audit::verify::verify;
use admin::repositories::Scope;
use anyhow::{Result, bail};
use clap::Subcommand;

use super::{Common, output};
use crate::store;

/// `antiphon audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Walk every chain of the log, and name the first entry of each that was altered, taken out, put in
    /// or cut off
    Verify,
}

/// Runs the command.
pub(super) async fn run(command: &Audit, common: &Common) -> Result<()> {
    let Audit::Verify = command;
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    let report = verify(&db, Scope::All).await?;
    if common.json {
        output::json(&report)?;
    }
    if let Some(first) = report.faults.first() {
        let more = match report.faults.len() {
            1 => String::new(),
            count => format!(" (the first of {count} chains with a fault; --json names each)"),
        };
        let (chain, sequence, told) = (&first.chain, first.sequence, first.fault.as_sentence());
        bail!("the audit log is not as it was written: chain {chain}, entry {sequence}: {told}{more}");
    }
    if common.json {
        return Ok(());
    }
    output::line(&format!("{} entries in {} chains, all as they were written", report.entries, report.chains))
}
