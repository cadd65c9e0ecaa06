//! The usage ledger's tables: records, and the sums of them by hour, by day and by label.
//!
//! Both planes write here: the gateway inserts records, the control plane prices what had no price.
//! So what keeps records and roll-ups equal stands in one place: a record and what it adds are one
//! transaction, a record that is there already adds nothing, and a day can be summed anew from its
//! records at any time (`rebuild`).
//!
//! Roll-ups have one row for each bucket and combination of dimensions that occurred. Buckets are
//! seconds since 1970 as integers: these compare alike on both databases, where times do not.

pub mod aggregate;
pub mod histogram;
mod keep;
pub mod rebuild;
mod records;
mod reprice;
pub mod retain;
mod source;
mod sql;
pub mod tables;
mod tally;
mod write;

pub use aggregate::spent_before_day;
pub use records::{Inserted, insert_new};
pub use reprice::{Repriced, reprice_rollups};
pub use sql::{Sql, since, until};
pub use tally::{Measures, Sums, Tally, labels_of};

/// Seconds of an hour.
pub const HOUR: i64 = 3_600;
/// Seconds of a day.
pub const DAY: i64 = 86_400;
