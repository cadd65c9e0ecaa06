//! Metrics of the data plane.

pub mod breakers;
pub mod exporter;
pub mod names;
