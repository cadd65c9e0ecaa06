//! What was used: sums, exports, invoices, and how long records are kept.

pub mod export;
pub mod invoice;
pub mod retention;
pub(crate) mod sums;
