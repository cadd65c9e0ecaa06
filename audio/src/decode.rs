//! A compressed or plain file into mono 16-bit samples of a chosen rate.

use std::io::{Read, Seek, SeekFrom};

use domain::audio::SampleRate;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::resample::{Resampler, to_pcm16};

/// Why audio could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The bytes are no audio file this crate knows.
    #[error("this is not an audio file of a known format")]
    NotAudio,
    /// The file is sound, but its codec or rate is not supported here.
    #[error("{0} is not supported here")]
    Unsupported(String),
    /// The audio is longer than the caller allows.
    #[error("the audio is longer than {max_ms} ms")]
    TooLong {
        /// The bound in milliseconds.
        max_ms: u64,
    },
    /// The file is damaged.
    #[error("the audio is damaged: {0}")]
    Broken(String),
}

/// Decodes the first audio track, mixes it down to one channel and converts it to `target`
/// samples per second. Damaged packets are skipped as players do.
///
/// # Errors
/// [`AudioError`]; Opus is [`AudioError::Unsupported`], audio beyond `max_ms` milliseconds is
/// [`AudioError::TooLong`].
pub fn decode_to_pcm16_mono<R: Read + Seek + Send + Sync + 'static>(
    data: R,
    target: SampleRate,
    max_ms: u64,
) -> Result<Vec<i16>, AudioError> {
    let mut format = open(data)?;
    let track = audio_track(format.as_ref())?;
    let id = track.id;
    let mut decoder = decoder_for(track)?;
    let max_frames = max_ms.saturating_mul(u64::from(target.0)) / 1000;
    let mut sink = Sink { target, resampler: None, out: Vec::new(), mixed: Vec::new() };
    while let Some(packet) = next_packet(format.as_mut()) {
        if packet.track_id != id {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(decoded) => {
                let mut samples: Vec<f32> = Vec::new();
                decoded.copy_to_vec_interleaved(&mut samples);
                sink.take(decoded.spec().rate(), decoded.num_planes(), &samples)?;
            }
            Err(Error::DecodeError(_)) => {}
            Err(error) => return Err(AudioError::Broken(error.to_string())),
        }
        if sink.out.len() as u64 > max_frames {
            return Err(AudioError::TooLong { max_ms });
        }
    }
    sink.finish()
}

/// The next packet; a file that ends early ends here.
pub(crate) fn next_packet(format: &mut dyn FormatReader) -> Option<symphonia::core::packet::Packet> {
    format.next_packet().unwrap_or_default()
}

/// Opens a file with whichever demuxer recognises it.
pub(crate) fn open<R: Read + Seek + Send + Sync + 'static>(data: R) -> Result<Box<dyn FormatReader>, AudioError> {
    let stream = MediaSourceStream::new(Box::new(Source::new(data)), Default::default());
    symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|_| AudioError::NotAudio)
}

/// The track that a player would play.
pub(crate) fn audio_track(format: &dyn FormatReader) -> Result<&Track, AudioError> {
    format.default_track(TrackType::Audio).or_else(|| format.first_track(TrackType::Audio)).ok_or(AudioError::NotAudio)
}

fn decoder_for(track: &Track) -> Result<Box<dyn AudioDecoder>, AudioError> {
    let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(AudioError::NotAudio)?;
    if params.codec == symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS {
        return Err(AudioError::Unsupported("Opus audio".to_owned()));
    }
    symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|error| AudioError::Unsupported(format!("this codec ({error})")))
}

/// Where decoded samples go: one channel, one rate.
struct Sink {
    target: SampleRate,
    resampler: Option<(u32, Resampler)>,
    out: Vec<i16>,
    mixed: Vec<i16>,
}

impl Sink {
    fn take(&mut self, rate: u32, channels: usize, samples: &[f32]) -> Result<(), AudioError> {
        let channels = channels.max(1);
        self.mixed.clear();
        self.mixed
            .extend(samples.chunks_exact(channels).map(|frame| to_pcm16(frame.iter().sum::<f32>() / channels as f32)));
        if self.resampler.as_ref().is_none_or(|(of, _)| *of != rate) {
            self.flush()?;
            self.resampler = Some((rate, Resampler::new(SampleRate(rate), self.target)?));
        }
        if let Some((_, resampler)) = self.resampler.as_mut() {
            self.out.extend(resampler.push(&self.mixed)?);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), AudioError> {
        if let Some((_, resampler)) = self.resampler.take() {
            self.out.extend(resampler.finish()?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<i16>, AudioError> {
        self.flush()?;
        Ok(self.out)
    }
}

/// Any seekable reader as a media source; its length is asked for once.
struct Source<R> {
    inner: R,
    len: Option<u64>,
}

impl<R: Read + Seek> Source<R> {
    fn new(mut inner: R) -> Self {
        let len = inner.seek(SeekFrom::End(0)).ok();
        let rewound = inner.rewind().is_ok();
        Self { inner, len: len.filter(|_| rewound) }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buf)
    }
}

impl<R: Seek> Seek for Source<R> {
    fn seek(&mut self, pos: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(pos)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Source<R> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.len
    }
}
