//! What the operator wants: flags before environment before file before defaults.
//!
//! This is the only place that reads the environment and the configuration file. Everything else is
//! handed a checked [`Config`].

mod check;
mod database;
mod document;
mod limits;
mod models;
mod oidc;
mod providers;
mod reader;
mod realtime;
mod redis;
mod restart;
mod secrets;
mod server;
mod smtp;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;
mod timeouts;
mod usage;
mod value;
mod voices;

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

pub(crate) use check::origin_of;
pub(crate) use database::DatabaseConfig;
pub(crate) use document::Environment;
use document::{Node, Origin};
pub(crate) use limits::LimitsConfig;
pub(crate) use models::ModelConfig;
pub(crate) use oidc::OidcConfig;
pub(crate) use providers::ProviderConfig;
pub(crate) use realtime::RealtimeConfig;
pub(crate) use redis::RedisConfig;
pub(crate) use secrets::SecretsConfig;
pub(crate) use server::ServerConfig;
pub(crate) use smtp::SmtpConfig;
pub(crate) use telemetry::{LogFormat, OtlpConfig, OtlpProtocol, TelemetryConfig};
pub(crate) use tenants::{KeyConfig, TenantConfig, Unpriced, Window};
pub(crate) use timeouts::TimeoutsConfig;
pub(crate) use usage::UsageConfig;
pub(crate) use voices::VoiceConfig;

/// The file that is read when none is named and it lies in the working directory.
const DEFAULT_FILE: &str = "antiphon.yaml";

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the planes listen.
    pub(crate) server: ServerConfig,
    /// Where tenants, keys, prices and usage live.
    pub(crate) database: DatabaseConfig,
    /// Shared counters for several gateways; optional.
    pub(crate) redis: Option<RedisConfig>,
    /// The one secret from which the others are derived.
    pub(crate) secrets: SecretsConfig,
    /// Accounts at providers.
    pub(crate) providers: Vec<ProviderConfig>,
    /// Model names and what serves them.
    pub(crate) models: Vec<ModelConfig>,
    /// Organisations and their keys.
    pub(crate) tenants: Vec<TenantConfig>,
    /// Voice names that work on every provider.
    pub(crate) voices: Vec<VoiceConfig>,
    /// How much a client may send and hold.
    pub(crate) limits: LimitsConfig,
    /// Realtime sessions.
    pub(crate) realtime: RealtimeConfig,
    /// How long each wait may last.
    pub(crate) timeouts: TimeoutsConfig,
    /// The mail server that alerts go through; optional.
    pub(crate) smtp: Option<SmtpConfig>,
    /// What is logged, and how.
    pub(crate) telemetry: TelemetryConfig,
    /// The identity provider that people of the admin plane may sign in with; optional.
    pub(crate) oidc: Option<OidcConfig>,
    /// How long records and their sums are kept.
    pub(crate) usage: UsageConfig,
    /// Who is made where there is no user yet; from the environment alone.
    #[serde(skip)]
    first_administrator: FirstAdministrator,
}

/// `ANTIPHON_ADMIN_EMAIL` and `ANTIPHON_ADMIN_PASSWORD`.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstAdministrator {
    /// Their address; `admin@localhost` unless told.
    pub(crate) email: Option<String>,
    /// Their password; one is made up and printed unless told.
    pub(crate) password: Option<SecretString>,
}

impl FirstAdministrator {
    fn of(environment: &Environment) -> Self {
        let told = |name: &str| environment.get(name).filter(|text| !text.is_empty()).cloned();
        Self { email: told("ANTIPHON_ADMIN_EMAIL"), password: told("ANTIPHON_ADMIN_PASSWORD").map(SecretString::from) }
    }
}

/// Why a configuration cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    file: Option<PathBuf>,
    /// The line or the variable, where one is at fault.
    place: Option<Origin>,
    message: String,
}

impl ConfigError {
    fn at(place: &Origin, message: impl Into<String>) -> Self {
        Self { file: None, place: Some(place.clone()), message: message.into() }
    }

    fn of(message: impl Into<String>) -> Self {
        Self { file: None, place: None, message: message.into() }
    }

    /// Names the file, unless a variable or a flag is at fault.
    fn in_file(mut self, file: Option<&Path>) -> Self {
        if !matches!(self.place, Some(Origin::Variable(_))) {
            self.file = file.map(Path::to_path_buf);
        }
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A value given on the command line: its flag, the path of the field and the text.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// The flag, for messages.
    pub(crate) flag: &'static str,
    /// The field, such as `server.gateway.bind`.
    pub(crate) field: &'static str,
    /// What was given.
    pub(crate) text: String,
}

/// The environment of this process. Variables that are not Unicode are left out.
pub(crate) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Config {
    /// Reads `file` (or `antiphon.yaml` in the working directory, where there is one), lays the
    /// environment and the flags over it, adds the providers of usual variables and checks it all.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file and line or its variable.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: &Environment,
        overrides: &[Override],
    ) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let text = file.map(read_file).transpose()?.unwrap_or_default();
        Self::parse(&text, environment, overrides).map_err(|error| error.in_file(file))
    }

    /// The configuration in `text`; see [`Config::load`].
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn parse(text: &str, environment: &Environment, overrides: &[Override]) -> Result<Self, ConfigError> {
        let mut document = Node::parse(text, environment)?;
        document.overlay(environment)?;
        for given in overrides {
            let path: Vec<String> = given.field.split('.').map(str::to_owned).collect();
            document.set(&path, &given.text, &Origin::Variable(given.flag.to_owned()))?;
        }
        let mut config: Self = reader::read(document)?;
        if let Some(log) = environment.get("ANTIPHON_LOG").filter(|log| !log.is_empty()) {
            config.telemetry.log.clone_from(log);
        }
        config.telemetry.add_usual_collector(environment).map_err(ConfigError::of)?;
        config.first_administrator = FirstAdministrator::of(environment);
        config.add_usual_providers(environment);
        check::check(&mut config)?;
        Ok(config)
    }

    /// The folder for the journal, spooled uploads and the generated master key.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let folder = self.server.data_dir.clone().or_else(|| self.database.folder());
        folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| PathBuf::from("data"))
    }

    /// What is accepted and of no use here, each in one line.
    pub(crate) fn notes(&self) -> Vec<&'static str> {
        let alone = self.redis.is_some() && !self.database.is_postgres();
        alone
            .then_some("redis is of no use on SQLite: it is for several gateways, which need PostgreSQL")
            .into_iter()
            .collect()
    }

    /// What `newer` says in another way than this and a process takes over at its start alone, by the names of
    /// the fields.
    pub(crate) fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        restart::differing(self, newer)
    }

    /// Who is made where there is no user yet.
    pub(crate) const fn first_administrator(&self) -> &FirstAdministrator {
        &self.first_administrator
    }

    /// Whether nobody has said anything about who may call and what is served.
    pub(crate) const fn declares_nothing(&self) -> bool {
        self.tenants.is_empty()
    }
}

fn read_file(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file)
        .map_err(|error| ConfigError::of(format!("cannot be read: {error}")).in_file(Some(file)))
}
