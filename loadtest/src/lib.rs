//! Load suite: a scripted upstream that speaks OpenAI's dialect and counts what it delivered, and a load
//! generator that measures a gateway in front of it, by scenarios in files.
//!
//! The upstream is a library too, so that the gateway's own tests run it in process:
//! `loadtest::upstream::start(Config::default())`.

pub mod bench;
pub mod compare;
pub mod live;
pub mod load;
pub mod play;
pub mod process;
pub mod profile;
pub mod report;
pub mod result;
pub mod scenario;
mod sides;
pub mod soak;
pub mod upstream;
pub mod wav;
