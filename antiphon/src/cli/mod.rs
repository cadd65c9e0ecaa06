//! The command line: one file per command.

mod admin_user;
mod audit;
mod config;
mod copy_db;
mod key;
mod keys;
mod migrate;
mod output;
mod prices;
mod serve;
mod sessions;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

pub(crate) use key::{audited_tenant, insert_audited, tenant_of, unlimited_key};

use self::serve::Serve;
use crate::config::{Config, Override, environment};

/// A gateway for voice APIs: one key, one dialect, every provider.
#[derive(Debug, Parser)]
#[command(name = "antiphon", version = env!("ANTIPHON_VERSION"), propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Configuration file; antiphon.yaml in the working directory unless told
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database, such as `sqlite://data/antiphon.db` or `postgres://USER:PASSWORD@HOST/NAME`
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Folder for the journal, spooled uploads and the generated master key
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve both planes: data plane, metrics, admin plane
    Serve(serve::Serve),
    /// Serve the data plane and metrics alone
    Gateway(serve::ServeGateway),
    /// Serve the admin plane alone
    Admin(serve::AdminAlone),
    /// Make users of the admin plane, and give them other passwords
    #[command(subcommand)]
    AdminUser(admin_user::AdminUser),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Bring the database's tables up to date, or back
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    /// Make, list and revoke virtual keys, beside a running gateway too
    #[command(subcommand)]
    Key(key::Key),
    /// Exchange the master key
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Fill and read the price list
    #[command(subcommand)]
    Prices(prices::Prices),
    /// Copy an SQLite database to an empty one of PostgreSQL, and compare both
    CopyDb(copy_db::CopyDb),
    /// Look at the audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// List and end realtime sessions by what Redis has of them, while the database is away too
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Usage records and their sums
    #[command(subcommand)]
    Usage(usage::Usage),
}

/// Runs what was asked for. Gives how the process ends.
///
/// # Errors
/// Whatever prevents it, told in one line.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { common, command } = arguments;
    let done = match command {
        Command::Serve(Serve { gateway, admin }) => {
            return Box::pin(serve::run(Some(gateway), Some(admin), &common)).await;
        }
        Command::Gateway(gateway) => return Box::pin(serve::run(Some(gateway), None, &common)).await,
        Command::Admin(admin) => return Box::pin(serve::run(None, Some(admin.into()), &common)).await,
        Command::AdminUser(command) => admin_user::run(command, &common).await,
        Command::Config(command) => config::run(&command, &common),
        Command::Migrate(command) => migrate::run(command, &common).await,
        Command::Key(command) => key::run(command, &common).await,
        Command::Keys(command) => keys::run(command, &common).await,
        Command::Prices(command) => prices::run(command, &common).await,
        Command::CopyDb(asked) => copy_db::run(&asked, &common).await,
        Command::Audit(command) => audit::run(&command, &common).await,
        Command::Sessions(command) => sessions::run(command, &common).await,
        Command::Usage(command) => usage::run(command, &common).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

impl Common {
    /// The configuration, with the flags of every command and `more` of one command on top.
    fn load(&self, more: Vec<Override>) -> Result<Config> {
        let flag = |flag, field, text: &Option<String>| text.clone().map(|text| Override { flag, field, text });
        let mut overrides: Vec<Override> = [
            flag("--database-url", "database.url", &self.database_url),
            flag("--data-dir", "server.data_dir", &self.data_dir),
        ]
        .into_iter()
        .flatten()
        .collect();
        overrides.extend(more);
        Ok(Config::load(self.config.as_deref(), &environment(), &overrides)?)
    }
}
