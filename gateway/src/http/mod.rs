//! Handlers: extract, call one function of the pipeline, shape the reply.

pub mod body;
pub mod chat;
pub mod client_secrets;
pub mod cors;
mod extensions;
pub mod extract;
pub mod headers;
pub mod health;
pub mod listener;
pub mod models;
pub mod speech;
pub(crate) mod told;
pub mod transcriptions;
pub mod upload;
pub mod usage;
pub mod voices;
pub(crate) mod watched;
pub mod wire;
