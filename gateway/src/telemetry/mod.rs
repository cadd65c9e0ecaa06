//! Metrics and traces of the data plane.

pub mod breakers;
pub mod exporter;
pub mod names;
pub mod trace;
