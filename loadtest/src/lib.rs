//! Load suite: a scripted upstream that speaks OpenAI's dialect and counts what it delivered, and a load
//! generator that measures a gateway in front of it.
//!
//! The upstream is a library too, so that the gateway's own tests run it in process:
//! `loadtest::upstream::start(Config::default())`.

pub mod bench;
pub mod live;
pub mod load;
pub mod process;
pub mod upstream;
pub mod wav;
