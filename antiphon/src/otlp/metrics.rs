//! Sends metrics, now and again.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use http::Request;
use opentelemetry_http::HttpClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::client::Client;
use super::exposition::{Span, metrics};
use crate::config::{OtlpConfig, OtlpProtocol};

/// Where metrics are sent.
pub(super) struct Sender {
    way: Way,
    resource: Resource,
    timeout: Duration,
    began: u64,
    /// The last export failed, which has been said.
    failing: bool,
}

enum Way {
    Grpc(MetricsServiceClient<Channel>, MetadataMap),
    Http(Client, Box<http::request::Parts>),
}

impl Sender {
    /// A sender that has not connected yet.
    ///
    /// # Errors
    /// What is configured cannot be used.
    pub(super) fn new(
        config: &OtlpConfig,
        resource: &opentelemetry_sdk::Resource,
        headers: MetadataMap,
    ) -> Result<Self> {
        let way = match config.protocol {
            OtlpProtocol::Grpc => Way::Grpc(MetricsServiceClient::new(channel(config)?), headers),
            OtlpProtocol::Http => {
                let endpoint = format!("{}/v1/metrics", config.endpoint.trim_end_matches('/'));
                let mut request = Request::post(endpoint).header("content-type", "application/x-protobuf");
                for (name, value) in &config.headers {
                    request = request.header(name, value.expose_secret());
                }
                let (head, ()) = request.body(()).context("telemetry.otlp")?.into_parts();
                Way::Http(Client::new(config.timeout), Box::new(head))
            }
        };
        let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { way, resource, timeout: config.timeout, began: now(), failing: false })
    }

    /// Sends what `scrape` gives every `interval`, and once more when it is over.
    pub(super) async fn run(mut self, interval: Duration, scrape: impl Fn() -> String, over: CancellationToken) {
        let mut beat = tokio::time::interval(interval);
        beat.tick().await;
        loop {
            let goes_on = tokio::select! {
                _ = beat.tick() => true,
                () = over.cancelled() => false,
            };
            self.told(&scrape()).await;
            if !goes_on {
                return;
            }
        }
    }

    async fn told(&mut self, exposition: &str) {
        match self.send(exposition).await {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(error = %format_args!("{error:#}"), "metrics cannot be sent to the collector");
            }
            Err(_) => {}
        }
    }

    async fn send(&mut self, exposition: &str) -> Result<()> {
        let scope = InstrumentationScope {
            name: "antiphon".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let metrics = metrics(exposition, Span { from: self.began, to: now() });
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
        let export = ExportMetricsServiceRequest { resource_metrics };
        match &mut self.way {
            Way::Grpc(client, headers) => {
                let mut request = tonic::Request::new(export);
                *request.metadata_mut() = headers.clone();
                tokio::time::timeout(self.timeout, client.export(request)).await??;
            }
            Way::Http(client, head) => {
                let request = Request::from_parts((**head).clone(), export.encode_to_vec().into());
                let answer = client.send_bytes(request).await.map_err(anyhow::Error::from_boxed)?;
                if !answer.status().is_success() {
                    bail!("the collector answers {}", answer.status());
                }
            }
        }
        Ok(())
    }
}

fn channel(config: &OtlpConfig) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(config.endpoint.clone()).context("telemetry.otlp.endpoint")?;
    let endpoint = if config.endpoint.starts_with("https") {
        endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots()).context("telemetry.otlp.endpoint")?
    } else {
        endpoint
    };
    Ok(endpoint.connect_lazy())
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
