//! The only place that asks servers. One file for each resource; all that is asked and answered is of
//! `admin-types`.
//!
//! `Client` asks for whoever is signed in, `OpenClient` for nobody.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod auth;
mod client;
pub(crate) mod data_plane;
mod failure;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod prices;
pub(crate) mod providers;
pub(crate) mod request;
pub(crate) mod sessions;
pub(crate) mod stream;
pub(crate) mod tenants;
pub(crate) mod tokens;
mod turns;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod voices;
pub(crate) mod wire;

pub(crate) use client::{Client, OpenClient, Versioned, if_unchanged, submit, submit_form, use_client};
pub(crate) use failure::Failure;
pub(crate) use turns::{Turn, Turns};
