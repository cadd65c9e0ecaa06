//! The hot path, one stage per file: authenticate → admit (with route) → forward → meter. The functions
//! that walk it top to bottom are [`transcription::transcribe`], [`speech::speak`] and
//! [`json::forward_json`]; realtime sessions walk it in `realtime/`.

pub mod admit;
pub mod authenticate;
pub mod call;
pub mod decision;
pub(crate) mod envelope;
pub mod estimate;
pub mod explain;
mod flight;
pub mod forward;
pub mod health;
mod hedge;
pub mod json;
pub mod meter;
pub mod phases;
pub mod progress;
pub mod queue;
pub(crate) mod request_body;
pub(crate) mod resolve;
pub mod retries;
pub mod route;
pub mod seats;
mod send_form;
pub mod speech;
pub(crate) mod speech_way;
pub mod spool;
pub mod streamed;
pub mod transcription;
pub mod tries;
