//! What is called and what it costs: providers, models, voices and prices.

mod models;
mod prices;
mod providers;
mod voices;
mod words;

pub(super) use models::{ModelPage, Models, NewModel};
pub(super) use prices::Prices;
pub(super) use providers::{ProviderPage, Providers};
pub(super) use voices::Voices;
