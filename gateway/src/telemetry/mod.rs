//! Metrics of the data plane.

pub mod names;
