//! The way of speech through this process: out of the provider's wrapping, into the format and rate
//! that the client asked for, and into events where it wants those.

use audio::{SpeechConverter, SpeechSource};
use bytes::Bytes;
use dialects::contract::{SpeechAnswer, SpeechAudio, SpeechDecoder};
use dialects::error::DialectError;
use dialects::openai::speech::SpeechTranscoder;
use domain::audio::SpeechFormat;
use domain::error::ErrorKind;
use domain::speech::StreamFormat;
use domain::usage::Usage;

use crate::error::GatewayError;

/// What is done to a provider's bytes until they are the client's.
#[derive(Default)]
pub(crate) struct Way {
    decoder: Option<Unwrapping>,
    converter: Option<SpeechConverter>,
    transcoder: Option<SpeechTranscoder>,
    /// What the decoders of the parts that have ended told.
    told: Option<Usage>,
}

/// The answers of a provider that wraps its audio.
struct Unwrapping {
    /// Makes the decoder of one answer.
    make: fn() -> Box<dyn SpeechDecoder>,
    decoder: Box<dyn SpeechDecoder>,
}

impl Way {
    /// The way from a provider's answer to what the client wants. `is_events` is what really came.
    ///
    /// # Errors
    /// What came is nothing that can be made the client's.
    pub(crate) fn new(
        answer: SpeechAnswer,
        audio: SpeechAudio,
        is_events: bool,
        wanted: StreamFormat,
        format: SpeechFormat,
    ) -> Result<Self, GatewayError> {
        let source = match audio {
            SpeechAudio::AsAsked => None,
            SpeechAudio::Pcm(rate) => Some(SpeechSource::Pcm(rate)),
            SpeechAudio::Wav => Some(SpeechSource::Wav),
        };
        let converter = source.map(|source| SpeechConverter::new(source, format));
        let converter = converter.transpose().map_err(|error| GatewayError::internal(&error))?;
        if let SpeechAnswer::Wrapped(make) = answer {
            let way = Self::packed(StreamFormat::Audio, wanted);
            return Ok(Self { decoder: Some(Unwrapping { make, decoder: make() }), converter, ..way });
        }
        // Some models ignore `stream_format` and answer with raw audio: what came decides.
        match (is_events, converter) {
            (true, Some(_)) => Err(not_audio()),
            (true, None) => Ok(Self::packed(StreamFormat::Sse, wanted)),
            (false, converter) => Ok(Self { converter, ..Self::packed(StreamFormat::Audio, wanted) }),
        }
    }

    /// Audio and events into each other.
    pub(crate) fn packed(delivery: StreamFormat, wanted: StreamFormat) -> Self {
        let transcodes = delivery != wanted || delivery == StreamFormat::Sse;
        let transcoder = transcodes.then(|| SpeechTranscoder::new(delivery, wanted));
        Self { transcoder, ..Self::default() }
    }

    /// The next bytes of the answer as the client gets them.
    pub(crate) fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        let audio = match &mut self.decoder {
            None => chunk,
            Some(wrapped) => written(|audio| wrapped.decoder.feed(&chunk, audio))?,
        };
        self.audio(audio)
    }

    /// Audio out of an answer.
    fn audio(&mut self, audio: Bytes) -> Result<Bytes, GatewayError> {
        let audio = match &mut self.converter {
            None => audio,
            Some(converter) => written(|out| converter.feed(&audio, out).map_err(|error| unreadable(&error)))?,
        };
        match &mut self.transcoder {
            None => Ok(audio),
            Some(transcoder) => written(|out| transcoder.feed(&audio, out)),
        }
    }

    /// One answer has ended.
    pub(crate) fn part_ended(&mut self) -> Result<Bytes, GatewayError> {
        let Some(Unwrapping { make, decoder }) = &mut self.decoder else { return Ok(Bytes::new()) };
        let rest = written(|audio| decoder.finish(audio))?;
        self.told = sum(self.told, decoder.usage());
        *decoder = make();
        self.audio(rest)
    }

    /// One answer has ended, and another follows whose audio is joined to it.
    pub(crate) fn next_part(&mut self) -> Result<Bytes, GatewayError> {
        let rest = self.part_ended()?;
        if let Some(converter) = &mut self.converter {
            converter.next_part().map_err(|error| unreadable(&error))?;
        }
        Ok(rest)
    }

    /// The last answer has ended, of which nothing is left in the decoder.
    pub(crate) fn finish(&mut self, usage: &Usage) -> Result<Bytes, GatewayError> {
        let mut out = Vec::new();
        let tail = match &mut self.converter {
            None => Bytes::new(),
            Some(converter) => written(|tail| converter.finish(tail).map_err(|error| unreadable(&error)))?,
        };
        match &mut self.transcoder {
            None => out.extend_from_slice(&tail),
            Some(transcoder) => {
                transcoder.feed(&tail, &mut out)?;
                transcoder.finish(usage, &mut out)?;
            }
        }
        Ok(out.into())
    }

    /// What the provider itself says was used.
    pub(crate) fn reported(&self) -> Option<Usage> {
        let told = self.decoder.as_ref().and_then(|wrapped| wrapped.decoder.usage());
        sum(self.told, told).or_else(|| self.transcoder.as_ref().and_then(SpeechTranscoder::reported))
    }
}

fn sum(a: Option<Usage>, b: Option<Usage>) -> Option<Usage> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(&b)),
        (a, b) => a.or(b),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), DialectError>) -> Result<Bytes, GatewayError> {
    let mut out = Vec::new();
    write(&mut out)?;
    Ok(out.into())
}

fn unreadable(error: &audio::AudioError) -> DialectError {
    DialectError::Upstream(format!("the provider's audio could not be read: {error}"))
}

/// What is told of an answer that holds no speech.
pub(crate) fn not_audio() -> GatewayError {
    GatewayError::upstream(ErrorKind::UpstreamError, "The provider answered with something that is not audio.")
}
