//! The control plane: the REST API by which operators and their programs manage tenants, keys,
//! providers, models, prices, usage and sessions.
//!
//! Start reading at [`startup`] (routes and the order of middleware), then [`access`] (who may call
//! what), and `routes/tenants.rs` with `resource.rs` (what a resource looks like).
//!
//! It never talks to the data plane itself: both meet in the database. What only data-plane code can
//! do is asked through [`ports`].

use std::sync::Arc;

use domain::key::Pepper;
use domain::seal::SealingKey;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

pub mod access;
pub mod alerts;
pub mod audit;
pub mod auth;
pub mod error;
mod etag;
mod extract;
mod http;
mod idempotency;
mod keys;
pub mod openapi;
mod outgoing;
mod paging;
pub mod ports;
mod probes;
pub mod publish;
pub mod repositories;
mod resource;
mod routes;
mod sealing;
mod session_events;
pub mod settings;
mod sheet;
pub mod startup;
pub mod telemetry;
pub mod usage;
pub mod users;
mod web;

use crate::error::AdminError;
use crate::ports::{DataPlane, Process};
use crate::settings::AdminSettings;

/// What every request shares.
pub struct Control {
    /// The database that both planes meet in.
    pub database: DatabaseConnection,
    /// Secrets derived from the master key.
    pub secrets: Secrets,
    /// As told at start.
    pub settings: AdminSettings,
    /// What only the data plane can do.
    pub data_plane: Arc<dyn DataPlane>,
    /// The process that this plane runs in.
    pub process: Arc<dyn Process>,
    /// What signing in remembers; begins empty.
    pub auth: auth::State,
}

/// Secrets derived from the master key.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Hashes virtual keys.
    pub key_pepper: Pepper,
    /// Version of that pepper, stored with each key.
    pub key_pepper_version: u32,
    /// Hashes access tokens, refresh tokens and one-time links.
    pub token_pepper: Pepper,
    /// Seals what must be read again.
    pub sealing: SealingKey,
}

impl Control {
    /// Begins a unit of work. On SQLite it holds the writer's lock from the start, so that what it has
    /// read is still true when it writes.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        database::begin_writing(&self.database).await
    }

    /// Commits, and tells the data plane of this process to look for changes at once.
    ///
    /// # Errors
    /// The database's.
    pub async fn commit(&self, transaction: DatabaseTransaction) -> Result<(), AdminError> {
        transaction.commit().await?;
        self.data_plane.changed();
        Ok(())
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// `N` bytes that nobody can guess.
///
/// # Errors
/// The system gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AdminError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| AdminError::internal(&error))?;
    Ok(bytes)
}
