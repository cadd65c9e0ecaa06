//! Audio without sockets: what a file is and how long it lasts, decoding, resampling, encoding
//! and voice activity. Pure computation over codec libraries; callers choose the thread.

pub mod activity;
pub mod decode;
pub mod encode;
pub mod g711;
pub mod measure;
pub mod probe;
pub mod resample;
pub mod speech;

pub use activity::{Activity, ActivitySettings, Detector};
pub use decode::{AudioError, decode_to_pcm16_mono};
pub use encode::{pcm16_bytes, wav_header};
pub use measure::measure;
pub use probe::{Container, Probe, probe};
pub use resample::Resampler;
pub use speech::{SpeechConverter, SpeechSource};
