//! Metrics and traces of the data plane.

pub mod names;
pub mod trace;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// What Prometheus scrapes, in its text format.
#[must_use]
pub fn exposition() -> String {
    exporter().render()
}

/// The process has one recorder, however many gateways tests start in it.
pub(crate) fn exporter() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder was installed before");
            }
            names::describe();
            handle
        })
        .clone()
}
