//! The exact length of a whole file, by walking its packets without decoding them.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::units::{Duration, TimeBase};

use crate::decode::{audio_track, next_packet, open};
use crate::probe::{Container, HEAD_BYTES, probe};

/// Packets walked at most: more than a day of 20 ms frames.
const MAX_PACKETS: u64 = 5_000_000;

/// The length of the audio in milliseconds, rounded down, or `None` where the file is no audio
/// or no length can be told. Work is bounded; claims of headers are not trusted over the bytes.
pub fn measure<R: Read + Seek + Send + Sync + 'static>(mut reader: R) -> Option<u64> {
    let total = reader.seek(SeekFrom::End(0)).ok()?;
    reader.rewind().ok()?;
    let mut head = Vec::new();
    (&mut reader).take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    reader.rewind().ok()?;
    // The length of plain samples follows from their bytes alone.
    if let Some(found) = probe(&head, Some(total))
        && found.container == Container::Wav
        && found.exact
    {
        return found.duration_ms;
    }
    let mut format = open(reader).ok()?;
    let track = audio_track(format.as_ref()).ok()?.clone();
    walk(format.as_mut(), &track)
}

fn walk(format: &mut dyn FormatReader, track: &Track) -> Option<u64> {
    let base = track.time_base?;
    let opus = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .is_some_and(|params| params.codec == CODEC_ID_OPUS);
    let (mut sum, mut end, mut gaps) = (0_u64, 0_u64, false);
    for _ in 0..MAX_PACKETS {
        let Some(packet) = next_packet(format) else { break };
        if packet.track_id != track.id {
            continue;
        }
        let mut ticks = packet.dur.get();
        if ticks == 0 && opus {
            ticks = ticks_of(base, opus_packet_us(&packet.data));
        }
        gaps |= ticks == 0;
        sum = sum.saturating_add(ticks);
        let start = u64::try_from(packet.pts.get()).unwrap_or(0);
        end = end.max(start.saturating_add(ticks));
    }
    // Where packets carry no durations their times are the better witness.
    let ticks = if gaps || opus { end } else { sum };
    let length = base.calc_duration(Duration::new(ticks))?;
    u64::try_from(length.as_millis()).ok().filter(|ms| *ms > 0)
}

fn ticks_of(base: TimeBase, us: u64) -> u64 {
    let ticks = u128::from(us) * u128::from(base.denom.get()) / (u128::from(base.numer.get()) * 1_000_000);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Microseconds in an Opus packet, from its first bytes (RFC 6716, section 3.1).
fn opus_packet_us(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else { return 0 };
    let config = toc >> 3;
    let frame_us = match config {
        0..=11 => [10_000, 20_000, 40_000, 60_000].get(usize::from(config % 4)),
        12..=15 => [10_000, 20_000].get(usize::from(config % 2)),
        _ => [2_500, 5_000, 10_000, 20_000].get(usize::from(config % 4)),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u64::from(count & 0x3F)),
    };
    frame_us.copied().unwrap_or(0) * frames
}
