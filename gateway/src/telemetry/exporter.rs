//! What Prometheus scrapes: the recorder of this process, and the listener that shows it.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{breakers, names};
use crate::Gateway;

/// Bounds of the buckets of a histogram, by its name.
pub type Buckets = (&'static str, &'static [f64]);

/// The process has one recorder, however many planes record.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to record, with what another plane has of histograms as well. A second time changes nothing.
pub fn start(more: &[Buckets]) {
    HANDLE.get_or_init(|| {
        let buckets =
            names::BUCKETS.iter().chain(more).try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
            });
        let builder = buckets.unwrap_or_else(|error| {
            tracing::warn!(%error, "histograms have no buckets");
            PrometheusBuilder::new()
        });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed before");
        }
        names::describe();
        handle
    });
}

/// Puts what histograms were told into their buckets. Where nobody scrapes it would pile up.
pub fn upkeep() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Serves the metrics of this process; of its gateway, where it has one, the breakers too.
///
/// # Errors
/// The listener's.
pub fn serve(listener: TcpListener, gateway: Option<Arc<Gateway>>) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        let gateway = gateway.clone();
        let tell = move || std::future::ready(told(gateway.as_deref()));
        App::new().route("/metrics", web::get().to(tell))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

fn told(gateway: Option<&Gateway>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(exposition(gateway))
}

/// The metrics of this process in Prometheus' text format; of its gateway, where it has one, the breakers too.
#[must_use]
pub fn exposition(gateway: Option<&Gateway>) -> String {
    let mut text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    text.extend(gateway.map(breakers::told));
    text
}
