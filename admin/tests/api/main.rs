//! The admin API over real sockets, on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod audit;
mod bulk_keys;
mod alerts;
mod helpers;
mod keys;
mod objects;
mod sessions;
mod prices;
mod providers;
mod tenants;
mod usage;
mod models;
mod provider_tests;
mod voices;
