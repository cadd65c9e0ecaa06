//! `antiphon migrate`: the tables of the database.

use anyhow::{Context, Result};
use clap::Subcommand;
use database::connect;
use serde_json::{Value, json};

use super::{Common, output};

/// `antiphon migrate …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Migrate {
    /// Apply what is pending
    Up,
    /// Roll back; the data of what is rolled back is lost
    Down {
        /// How many migrations
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// List every migration and whether it has been applied
    Status,
}

/// Runs the command and prints where the database stands then.
pub(super) async fn run(command: Migrate, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = connect(&config.database.url).await.context("the database cannot be opened")?;
    match command {
        Migrate::Up => migration::up(&db).await?,
        Migrate::Down { steps } => migration::down(&db, Some(steps)).await?,
        Migrate::Status => {}
    }
    let steps = migration::status(&db).await?;
    if common.json {
        let steps: Vec<Value> =
            steps.iter().map(|step| json!({ "name": step.name, "applied": step.applied })).collect();
        return output::json(&steps);
    }
    for step in steps {
        output::line(&format!("{:<8} {}", if step.applied { "applied" } else { "pending" }, step.name))?;
    }
    Ok(())
}
