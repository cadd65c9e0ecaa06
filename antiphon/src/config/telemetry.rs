//! `telemetry`: what is logged, and how; where traces and metrics are sent.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::Environment;

/// The log, and the collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetryConfig {
    /// Level, or levels by module: `info`, `debug,gateway=trace`. Default `info`. The variable
    /// `ANTIPHON_LOG` goes before it.
    pub(crate) log: String,
    /// `pretty` for people, `json` for machines. Default `pretty`.
    pub(crate) format: LogFormat,
    /// The collector of `OpenTelemetry`'s that traces and metrics are sent to; optional.
    pub(crate) otlp: Option<OtlpConfig>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Pretty, otlp: None }
    }
}

/// Forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// A collector that speaks OTLP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtlpConfig {
    /// `http://collector:4317`; for `http` without `/v1/traces`, which is added. The variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` names one where the file has no `otlp`.
    pub(crate) endpoint: String,
    /// `grpc` or `http`, which is protobuf over HTTP. Default `grpc`.
    #[serde(default)]
    pub(crate) protocol: OtlpProtocol,
    /// Sent with every export, such as a token.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, SecretString>,
    /// For one export. Default `10s`.
    #[serde(default = "defaults::timeout", deserialize_with = "super::value::duration")]
    pub(crate) timeout: Duration,
    /// Share of the calls that are traced whose callers say nothing of it: 0 to 1. Default 1.
    #[serde(default = "defaults::sample")]
    pub(crate) sample: f64,
    /// Calls that come with a `traceparent` are a part of that trace, and sampled where that is. Default `true`.
    #[serde(default = "defaults::yes")]
    pub(crate) follow_callers: bool,
    /// Names of providers that are told of the trace by a `traceparent`; `*` for all. Default none.
    #[serde(default)]
    pub(crate) propagate_to: Vec<String>,
    /// Whether metrics are sent as well as shown to Prometheus. Default `true`.
    #[serde(default = "defaults::yes")]
    pub(crate) metrics: bool,
    /// How often metrics are sent. Default `60s`.
    #[serde(default = "defaults::interval", deserialize_with = "super::value::duration")]
    pub(crate) interval: Duration,
    /// What is said of this process beside its name and version, such as `deployment.environment.name`.
    #[serde(default)]
    pub(crate) resource: BTreeMap<String, String>,
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OtlpProtocol {
    /// gRPC.
    #[default]
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

mod defaults {
    use super::Duration;

    pub(super) const fn timeout() -> Duration {
        Duration::from_secs(10)
    }

    pub(super) const fn interval() -> Duration {
        Duration::from_secs(60)
    }

    pub(super) const fn sample() -> f64 {
        1.0
    }

    pub(super) const fn yes() -> bool {
        true
    }
}

impl TelemetryConfig {
    /// What `OpenTelemetry`'s variables say of a collector. The file goes before them.
    ///
    /// # Errors
    /// What is wrong in them.
    pub(super) fn add_usual_collector(&mut self, environment: &Environment) -> Result<(), &'static str> {
        let of = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(String::as_str);
        if let (None, Some(endpoint)) = (&self.otlp, of("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            let protocol = match of("OTEL_EXPORTER_OTLP_PROTOCOL") {
                None | Some("grpc") => OtlpProtocol::Grpc,
                Some("http/protobuf") => OtlpProtocol::Http,
                Some(_) => return Err("OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc or http/protobuf"),
            };
            self.otlp = Some(OtlpConfig::at(endpoint, protocol));
        }
        let Some(otlp) = &mut self.otlp else { return Ok(()) };
        let headers = pairs(of("OTEL_EXPORTER_OTLP_HEADERS"));
        for (name, value) in
            headers.ok_or("OTEL_EXPORTER_OTLP_HEADERS: expected name=value,name=value, percent-encoded")?
        {
            otlp.headers.entry(name).or_insert_with(|| value.into());
        }
        let attributes = pairs(of("OTEL_RESOURCE_ATTRIBUTES"));
        let attributes =
            attributes.ok_or("OTEL_RESOURCE_ATTRIBUTES: expected name=value,name=value, percent-encoded")?;
        let service = of("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name.to_owned()));
        for (name, value) in service.into_iter().chain(attributes) {
            otlp.resource.entry(name).or_insert(value);
        }
        Ok(())
    }
}

/// `name=value,other=value` with percent-encoding, as in `W3C` Baggage, which allows a comma too many; `None` where it
/// is anything else.
fn pairs(text: Option<&str>) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
    };
    text.unwrap_or_default().split(',').filter(|text| !text.trim().is_empty()).map(pair).collect()
}

impl OtlpConfig {
    /// The collector that the environment alone names.
    fn at(endpoint: &str, protocol: OtlpProtocol) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            protocol,
            headers: BTreeMap::new(),
            timeout: defaults::timeout(),
            sample: defaults::sample(),
            follow_callers: true,
            propagate_to: Vec::new(),
            metrics: true,
            interval: defaults::interval(),
            resource: BTreeMap::new(),
        }
    }

    /// What is wrong with it, in words for whoever wrote it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let url = Url::parse(&self.endpoint);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()) {
            return Err("telemetry.otlp.endpoint: expected http://… or https://… without a query");
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return Err("telemetry.otlp.sample: expected 0 to 1");
        }
        if self.timeout.is_zero() || self.interval < Duration::from_secs(1) {
            return Err("telemetry.otlp: timeout must be more than nothing, and interval at least 1s");
        }
        let is_name = |name: &str| http_name(name) && !name.eq_ignore_ascii_case("host");
        if !self.headers.keys().all(|name| is_name(name)) {
            return Err("telemetry.otlp.headers: expected names of headers");
        }
        Ok(())
    }
}

/// Whether a text can stand for a header.
fn http_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
