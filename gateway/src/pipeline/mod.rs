//! The hot path, one stage per file: authenticate → route → admit → forward → meter. The functions
//! that walk it top to bottom are [`transcription::transcribe`], [`speech::speak`] and
//! [`json::forward_json`]; realtime sessions walk it in `realtime/`.

pub mod authenticate;
pub mod estimate;
pub mod forward;
pub mod health;
pub mod json;
pub mod meter;
pub mod route;
pub mod speech;
pub mod spool;
pub mod streamed;
pub mod transcription;
