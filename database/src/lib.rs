//! How the database is spoken to, whatever is in it: connections, transactions, statements of many rows.

pub mod blocks;
mod connect;
mod transaction;

pub use connect::connect;
pub use transaction::{begin, begin_writing};
