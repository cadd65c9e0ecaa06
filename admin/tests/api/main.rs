//! The admin API over real sockets, on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access;
mod alerts;
mod audit;
mod auth;
mod auth_tokens;
mod bulk_keys;
mod document;
mod helpers;
mod keys;
mod models;
mod objects;
mod oidc;
mod ports;
mod prices;
mod probes;
mod process;
mod provider_tests;
mod providers;
mod proxies;
mod sessions;
mod tenants;
mod usage;
mod users;
mod voices;
