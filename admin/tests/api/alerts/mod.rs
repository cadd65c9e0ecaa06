//! Alerts: who may set them up, when they fire, and that people hear of them.

mod fixtures;
mod mail;
mod receiver;
mod resources;
mod telling;
mod watching;
