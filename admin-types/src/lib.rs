//! What the admin API takes and gives. Shared with the dashboard, so it compiles to WebAssembly too.
//!
//! Times are RFC 3339 in UTC, money is decimal text in US dollars, ids are UUIDs. What comes in refuses
//! fields that it does not know.

#![warn(missing_docs)]

pub mod alerts;
pub mod audit;
pub mod auth;
pub mod given;
pub mod health;
pub mod instance;
pub mod keys;
pub mod models;
pub mod moment;
pub mod page;
pub mod prices;
pub mod problem;
pub mod process;
pub mod provider_tests;
pub mod providers;
pub mod role;
pub mod sessions;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod users;
pub mod voices;
mod words;
