//! What the types alone cannot refuse, and the providers that exist without being declared.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use admin::settings::TrustedProxies;
use dialects::address;
use dialects::registry::{self, PROVIDERS, Provider};
use domain::routing::Strategy;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::usage::{MAX_RETENTION_DAYS, MIN_RETENTION_DAYS};
use super::{Config, ConfigError, Environment, KeyConfig, ModelConfig, ProviderConfig, TenantConfig, Unpriced};

/// Least characters of a key from the file: what is shorter can be guessed.
const MIN_KEY_CHARS: usize = 20;

impl Config {
    /// Adds the in-process providers, and every provider whose usual variable is set. A kind that
    /// is declared is left to its declaration.
    pub(super) fn add_usual_providers(&mut self, environment: &Environment) {
        for row in PROVIDERS {
            let name = row.kind.as_str();
            let declared = self.providers.iter().any(|provider| provider.kind == row.kind || provider.name == name);
            if !declared && let Some(provider) = usual_provider(row, environment) {
                self.providers.push(provider);
            }
        }
    }
}

/// The provider that the environment alone describes, where it does.
fn usual_provider(row: &Provider, environment: &Environment) -> Option<ProviderConfig> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let api_key = row.key_variable.and_then(variable).map(SecretString::from);
    let base_url = row.url_variable.and_then(variable);
    let complete = api_key.is_some() && (row.url_variable.is_none() || base_url.is_some());
    (row.in_process || complete).then(|| ProviderConfig {
        name: row.kind.as_str().to_owned(),
        kind: row.kind,
        api_key,
        base_url,
        region: None,
        allow_insecure: false,
        undeclared: true,
    })
}

/// Checks a configuration, and brings base URLs into their one form.
pub(super) fn check(config: &mut Config) -> Result<(), ConfigError> {
    check_listeners(config)?;
    check_database(config)?;
    check_smtp(config)?;
    check_bounds(config)?;
    for provider in &mut config.providers {
        check_provider(provider)
            .map_err(|message| ConfigError::of(format!("provider {:?}: {message}", provider.name)))?;
    }
    unique("provider", config.providers.iter().map(|provider| provider.name.as_str()))?;
    check_model_names(config)?;
    unique("tenant", config.tenants.iter().map(|tenant| tenant.name.as_str()))?;
    unique("voice", config.voices.iter().map(|voice| voice.name.as_str()))?;
    for model in &config.models {
        check_model(model, config).map_err(|message| ConfigError::of(format!("model {:?}: {message}", model.name)))?;
    }
    for tenant in &config.tenants {
        check_tenant(tenant).map_err(|message| ConfigError::of(format!("tenant {:?}: {message}", tenant.name)))?;
    }
    check_key_secrets(config)?;
    config.oidc.as_ref().map_or(Ok(()), |oidc| oidc.check().map_err(ConfigError::of))?;
    config.telemetry.otlp.as_ref().map_or(Ok(()), |otlp| otlp.check().map_err(ConfigError::of))?;
    check_voices(config)
}

fn check_listeners(config: &Config) -> Result<(), ConfigError> {
    let server = &config.server;
    let listeners =
        [("gateway", &server.gateway.bind), ("admin", &server.admin.bind), ("metrics", &server.metrics.bind)];
    for (name, bind) in listeners {
        if bind.parse::<SocketAddr>().is_err() {
            return Err(ConfigError::of(format!(
                "server.{name}.bind: {bind:?} is not an address with a port, such as 127.0.0.1:8080"
            )));
        }
    }
    let origins = server.gateway.allowed_origins.iter().flatten();
    if let Some(origin) = origins.filter(|origin| *origin != "*").find(|origin| !is_origin(origin)) {
        return Err(ConfigError::of(format!(
            "server.gateway.allowed_origins: {origin:?} is not an origin, such as https://antiphon.example.com"
        )));
    }
    for (name, url) in [("gateway", &server.gateway.public_url), ("admin", &server.admin.public_url)] {
        if url.as_ref().is_some_and(|url| origin_of(url).is_none()) {
            return Err(ConfigError::of(format!(
                "server.{name}.public_url: expected an address such as https://antiphon.example.com"
            )));
        }
    }
    TrustedProxies::parse(&server.admin.trusted_proxies).map(drop).map_err(|text| {
        ConfigError::of(format!(
            "server.admin.trusted_proxies: {text:?} is neither an address nor a network, such as 10.0.0.0/8"
        ))
    })
}

/// Whether browsers would send exactly this in `Origin`.
fn is_origin(text: &str) -> bool {
    origin_of(text).is_some_and(|origin| origin == text)
}

/// The origin of an address of HTTP, as browsers write it.
pub(crate) fn origin_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

fn check_database(config: &Config) -> Result<(), ConfigError> {
    if let Some(redis) = &config.redis {
        redis.check().map_err(ConfigError::of)?;
    }
    let database = &config.database;
    if database.is_postgres() || database.url.starts_with("sqlite:") {
        return Ok(());
    }
    Err(ConfigError::of("database.url: expected sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME"))
}

fn check_smtp(config: &Config) -> Result<(), ConfigError> {
    let Some(smtp) = &config.smtp else { return Ok(()) };
    if smtp.host.trim().is_empty() {
        return Err(ConfigError::of("smtp.host: the name of a mail server is needed"));
    }
    if smtp.username.is_some() != smtp.password.is_some() {
        return Err(ConfigError::of("smtp: username and password belong together"));
    }
    admin::alerts::check_mail(&smtp.to_settings()).map_err(|error| ConfigError::of(error.to_string()))
}

fn check_bounds(config: &Config) -> Result<(), ConfigError> {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let durations = [
        ("limits.session_max_age", limits.session_max_age),
        ("limits.session_idle", limits.session_idle),
        ("timeouts.header_read", timeouts.header_read),
        ("timeouts.body_idle", timeouts.body_idle),
        ("timeouts.connect", timeouts.connect),
        ("timeouts.first_byte", timeouts.first_byte),
        ("timeouts.idle", timeouts.idle),
        ("timeouts.write", timeouts.write),
        ("timeouts.ping", timeouts.ping),
    ];
    if let Some((name, _)) = durations.into_iter().find(|(_, duration)| *duration == Duration::ZERO) {
        return Err(ConfigError::of(format!("{name}: must be longer than nothing")));
    }
    timeouts.check_phases().map_err(ConfigError::of)?;
    if limits.overload_memory_percent > 100 {
        return Err(ConfigError::of("limits.overload_memory_percent: expected 0 to 100"));
    }
    if limits.memory_mib == Some(0) {
        return Err(ConfigError::of("limits.memory_mib: must be more than nothing"));
    }
    // Above this an upload limit in bytes would not fit, and no provider takes as much.
    if !(1..=1024 * 1024).contains(&limits.max_upload_mib) {
        return Err(ConfigError::of("limits.max_upload_mib: expected 1 to 1048576"));
    }
    if !(4..=1024).contains(&limits.max_header_kib) {
        return Err(ConfigError::of("limits.max_header_kib: expected 4 to 1024"));
    }
    if config.usage.retention_days.is_some_and(|days| !(MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS).contains(&days)) {
        let most = MAX_RETENTION_DAYS;
        let message = format!("usage.retention_days: expected {MIN_RETENTION_DAYS} or more, for budgets by the month");
        return Err(ConfigError::of(format!("{message}, and {most} at most")));
    }
    if config.usage.rollup_hourly_days.is_some_and(|days| !(1..=MAX_RETENTION_DAYS).contains(&days)) {
        let message = format!("usage.rollup_hourly_days: expected 1 or more, and {MAX_RETENTION_DAYS} at most");
        return Err(ConfigError::of(message));
    }
    Ok(())
}

fn check_provider(provider: &mut ProviderConfig) -> Result<(), String> {
    let row = registry::provider(provider.kind).ok_or("its kind is not available in this build")?;
    if provider.name.is_empty() || provider.name.contains('/') {
        return Err("a name is needed, without \"/\"".to_owned());
    }
    if provider.api_key.as_ref().is_some_and(|key| key.expose_secret().trim().is_empty()) {
        return Err("api_key is empty".to_owned());
    }
    if row.in_process {
        return match &provider.base_url {
            Some(_) => Err("it runs in this process and takes no base_url".to_owned()),
            None => Ok(()),
        };
    }
    // A kind with a usual variable is a vendor's account, and none of them answers without a key.
    if row.key_variable.is_some() && provider.api_key.is_none() {
        return Err("api_key is missing".to_owned());
    }
    if let Some(key) = &provider.api_key {
        gateway::upstream::credentials::check(row.auth, key, provider.allow_insecure)
            .map_err(|reason| format!("api_key: {reason}"))?;
    }
    let url = provider.base_url.as_deref().or(row.base_url).ok_or("base_url is missing")?;
    let url = check_url(url, provider.allow_insecure)?;
    provider.base_url = Some(url);
    Ok(())
}

/// The base URL in its one form.
fn check_url(text: &str, allow_insecure: bool) -> Result<String, String> {
    address::base_url(text, allow_insecure).map_err(|error| {
        let hint = if error.is_insecure() { "; set allow_insecure: true to permit it" } else { "" };
        format!("{error}{hint}")
    })
}

fn check_model(model: &ModelConfig, config: &Config) -> Result<(), String> {
    if model.name.is_empty() {
        return Err("a name is needed".to_owned());
    }
    if model.targets.is_empty() {
        return Err("at least one target is needed".to_owned());
    }
    for target in &model.targets {
        if !config.providers.iter().any(|provider| provider.name == target.provider) {
            return Err(format!("there is no provider {:?}", target.provider));
        }
        if target.model.is_empty() {
            return Err("a target needs a model".to_owned());
        }
        if target.quality.is_some_and(|quality| !(0.0..=1.0).contains(&quality)) {
            return Err("quality must lie between 0 and 1".to_owned());
        }
    }
    if model.strategy.contains(Strategy::Weighted) && model.targets.iter().all(|target| target.weight == 0) {
        return Err("at least one weight must be above 0".to_owned());
    }
    Ok(())
}

/// A tenant may have a model of the platform's name, and every tenant its own.
fn check_model_names(config: &Config) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for ModelConfig { name, tenant, .. } in &config.models {
        if !seen.insert((tenant, name)) {
            let owner = tenant.as_ref().map(|tenant| format!(" for tenant {tenant:?}")).unwrap_or_default();
            return Err(ConfigError::of(format!("model {name:?} is declared twice{owner}")));
        }
    }
    Ok(())
}

fn check_tenant(tenant: &TenantConfig) -> Result<(), String> {
    if tenant.name.is_empty() {
        return Err("a name is needed".to_owned());
    }
    unique("key", tenant.keys.iter().map(|key| key.name.as_str())).map_err(|error| error.message)?;
    for key in &tenant.keys {
        check_key(key).map_err(|message| format!("key {:?}: {message}", key.name))?;
    }
    Ok(())
}

fn check_key(key: &KeyConfig) -> Result<(), String> {
    if key.name.is_empty() {
        return Err("a name is needed".to_owned());
    }
    let secret = key.key.expose_secret();
    if secret.chars().count() < MIN_KEY_CHARS {
        return Err(format!("a key has {MIN_KEY_CHARS} characters or more"));
    }
    if secret.chars().any(|character| !character.is_ascii_graphic()) {
        return Err("a key has no spaces and only printable ASCII characters, as headers need it".to_owned());
    }
    if key.budget.as_ref().is_some_and(|budget| budget.usd <= Decimal::ZERO) {
        return Err("budget.usd must be above 0".to_owned());
    }
    if key.refuse_unpriced && key.unpriced == Some(Unpriced::Serve) {
        return Err("unpriced: serve and refuse_unpriced: true contradict each other".to_owned());
    }
    if key.max_upload_mib == Some(0) {
        return Err("max_upload_mib must be above 0".to_owned());
    }
    Ok(())
}

/// A key must lead to one policy, so no secret may stand twice.
fn check_key_secrets(config: &Config) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (tenant, key) in config.tenants.iter().flat_map(|tenant| tenant.keys.iter().map(move |key| (tenant, key))) {
        if !seen.insert(key.key.expose_secret()) {
            let message = format!("tenant {:?}: key {:?} has the secret of another key", tenant.name, key.name);
            return Err(ConfigError::of(message));
        }
    }
    Ok(())
}

fn check_voices(config: &Config) -> Result<(), ConfigError> {
    for voice in &config.voices {
        let known = |name: &str| {
            config.providers.iter().any(|provider| provider.name == name)
                || PROVIDERS.iter().any(|row| row.kind.as_str() == name)
        };
        if let Some(name) = voice.map.keys().find(|name| !known(name)) {
            return Err(ConfigError::of(format!("voice {:?}: there is no provider {name:?}", voice.name)));
        }
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ConfigError::of(format!("{what} {name:?} is declared twice")));
        }
    }
    Ok(())
}
