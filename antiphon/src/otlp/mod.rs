//! Traces and metrics on their way to a collector, by OTLP.

mod client;
mod exposition;
mod metrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::telemetry::trace::Tracing;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{OtlpConfig, OtlpProtocol};
use client::Client;
use metrics::Sender;

/// How long the end of the process waits for the last exports, all together.
const GOODBYE: Duration = Duration::from_secs(2);
/// As long where it is in a hurry.
const SHORT_GOODBYE: Duration = Duration::from_millis(300);

/// What is sent.
pub(crate) struct Otlp {
    traces: SdkTracerProvider,
    /// What sends metrics, and what ends it.
    metrics: Option<(JoinHandle<()>, CancellationToken)>,
    follows_callers: bool,
    propagates_to: Vec<String>,
}

impl Otlp {
    /// Begins to send spans, and metrics as `scrape` tells them. A collector that is away is asked again and again, and
    /// what it misses is lost.
    ///
    /// # Errors
    /// What is configured cannot be used.
    pub(crate) fn start(config: &OtlpConfig, host: &str, scrape: impl Fn() -> String + Send + 'static) -> Result<Self> {
        let resource = resource(config, host);
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample)));
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(sampler)
            .with_batch_exporter(spans(config)?)
            .build();
        let over = CancellationToken::new();
        let sender = config.metrics.then(|| Sender::new(config, &resource, metadata(config)?)).transpose()?;
        let metrics = sender.map(|sender| {
            let sending = sender.run(config.interval, scrape, over.clone());
            (tokio::spawn(sending), over)
        });
        let propagates_to = config.propagate_to.clone();
        Ok(Self { traces, metrics, follows_callers: config.follow_callers, propagates_to })
    }

    /// What the gateway makes spans with.
    pub(crate) fn tracing(&self) -> Arc<Tracing> {
        let scope = InstrumentationScope::builder("antiphon").with_version(env!("CARGO_PKG_VERSION")).build();
        Arc::new(Tracing {
            tracer: self.traces.tracer_with_scope(scope),
            follows_callers: self.follows_callers,
            propagates_to: self.propagates_to.clone(),
        })
    }

    /// Sends what has not been sent yet: a collector that does not answer holds the end up for two seconds at most.
    pub(crate) async fn stop(self, hurry: &CancellationToken) {
        let patience = if hurry.is_cancelled() { SHORT_GOODBYE } else { GOODBYE };
        let metrics = async {
            let Some((sending, over)) = self.metrics else { return };
            over.cancel();
            if tokio::time::timeout(patience, sending).await.is_err() {
                tracing::warn!("the last metrics could not be sent");
            }
        };
        let traces = self.traces;
        // It waits on its thread for what is sent by this thread's tasks.
        let traces = tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(patience));
        let ((), stopped) = tokio::join!(metrics, traces);
        if let Ok(Err(error)) = stopped {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// What is known of this process. Its instance is new with each start: sums begin anew, and a machine may have several.
fn resource(config: &OtlpConfig, host: &str) -> Resource {
    let told = config.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name("antiphon")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", Uuid::now_v7().to_string()))
        .with_attribute(KeyValue::new("host.name", host.to_owned()))
        .with_attributes(told)
        .build()
}

fn spans(config: &OtlpConfig) -> Result<SpanExporter> {
    let built = match config.protocol {
        OtlpProtocol::Grpc => {
            let exporter = SpanExporter::builder().with_tonic().with_endpoint(&config.endpoint);
            let exporter = exporter.with_timeout(config.timeout).with_metadata(metadata(config)?);
            if config.endpoint.starts_with("https") {
                exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots()).build()
            } else {
                exporter.build()
            }
        }
        OtlpProtocol::Http => SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Client::new(config.timeout))
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_timeout(config.timeout)
            .with_headers(headers(config))
            .build(),
    };
    built.context("telemetry.otlp")
}

fn headers(config: &OtlpConfig) -> HashMap<String, String> {
    config.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
}

fn metadata(config: &OtlpConfig) -> Result<MetadataMap> {
    let mut metadata = http::HeaderMap::new();
    for (name, value) in &config.headers {
        let name: http::HeaderName = name.parse().context("telemetry.otlp.headers")?;
        let mut value = http::HeaderValue::from_str(value.expose_secret()).context("telemetry.otlp.headers")?;
        value.set_sensitive(true);
        metadata.insert(name, value);
    }
    Ok(MetadataMap::from_headers(metadata))
}
