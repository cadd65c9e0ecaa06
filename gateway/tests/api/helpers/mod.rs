//! A gateway on a port of its own, two scripted upstreams behind it, and small clients.

mod app;
mod requests;
mod setup;
mod vendor;

pub(crate) use app::{Answer, Realtime, TestApp, provider, read_answer, soon};
pub(crate) use requests::{
    BOUNDARY, KEY, Part, form, form_body, get, operations, post, post_json, speech, transcription, two_seconds, upgrade,
};
pub(crate) use setup::{Setup, budget, target};
pub(crate) use vendor::{SECRET, Said, SocketVendor, Vendor, VendorSession};
