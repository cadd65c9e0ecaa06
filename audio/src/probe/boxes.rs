//! Containers that nest: MP4's boxes and Matroska's elements. Depth and count are bounded.

use super::read::Head;

/// Boxes or elements looked at on one level.
const MAX_SIBLINGS: usize = 256;

/// The length that `moov` tells, where it is in the head: of the first audio track, else of the
/// whole file.
pub(super) fn mp4_duration_ms(head: Head<'_>) -> Option<u64> {
    let moov = children(head).find(|(kind, _)| kind == b"moov")?.1;
    let track = children(moov)
        .filter(|(kind, _)| kind == b"trak")
        .filter_map(|(_, trak)| children(trak).find(|(kind, _)| kind == b"mdia"))
        .find(|(_, mdia)| children(*mdia).any(|(kind, body)| &kind == b"hdlr" && body.at(8, b"soun")));
    let audio = track
        .and_then(|(_, mdia)| children(mdia).find(|(kind, _)| kind == b"mdhd"))
        .and_then(|(_, mdhd)| header_duration_ms(mdhd));
    let whole = || {
        let mvhd = children(moov).find(|(kind, _)| kind == b"mvhd")?.1;
        header_duration_ms(mvhd)
    };
    audio.or_else(whole)
}

/// `mdhd` and `mvhd` hold their times alike: version 0 in 32 bits, version 1 in 64.
fn header_duration_ms(body: Head<'_>) -> Option<u64> {
    let (scale, ticks) = if body.byte(0)? == 1 {
        (body.u32_be(20)?, body.u64_be(24)?)
    } else {
        let ticks = body.u32_be(16)?;
        // All ones stand for a length that is not known.
        (body.u32_be(12)?, if ticks == u32::MAX { 0 } else { u64::from(ticks) })
    };
    let known = scale > 0 && ticks > 0 && ticks < u64::MAX / 1000;
    known.then(|| ticks * 1000 / u64::from(scale))
}

/// The boxes of one level, each with its body cut at the end of the head.
fn children(level: Head<'_>) -> impl Iterator<Item = ([u8; 4], Head<'_>)> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let kind = level.array::<4>(at.checked_add(4)?)?;
        let (header, size) = match level.u32_be(at)? {
            0 => (8, level.0.len() - at),
            1 => (16, usize::try_from(level.u64_be(at + 8)?).ok()?),
            size => (8, size as usize),
        };
        if size < header {
            return None;
        }
        let body = level.part(at + header, at.checked_add(size)?);
        at = at.checked_add(size)?;
        Some((kind, body))
    })
    .take(MAX_SIBLINGS)
}

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_A966;
const TIMESTAMP_SCALE: u64 = 0x2A_D7B1;
const DURATION: u64 = 0x4489;

/// `Segment` → `Info` → `Duration`, in ticks of `TimestampScale` nanoseconds (RFC 9559).
pub(super) fn webm_duration_ms(head: Head<'_>) -> Option<u64> {
    let segment = elements(head).find(|(id, _)| *id == SEGMENT)?.1;
    let info = elements(segment).find(|(id, _)| *id == INFO)?.1;
    let scale = elements(info)
        .find(|(id, _)| *id == TIMESTAMP_SCALE)
        .map_or(1_000_000, |(_, body)| body.0.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
    let body = elements(info).find(|(id, _)| *id == DURATION)?.1;
    let ticks = match body.0.len() {
        4 => f64::from(f32::from_be_bytes(body.array(0)?)),
        8 => f64::from_be_bytes(body.array(0)?),
        _ => return None,
    };
    let ms = ticks * scale as f64 / 1_000_000.0;
    (ms.is_finite() && ms >= 1.0).then_some(ms as u64)
}

/// The elements of one level. A size of all ones is not known and reaches to the end.
fn elements(level: Head<'_>) -> impl Iterator<Item = (u64, Head<'_>)> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let (id, id_len) = number(level, at, false)?;
        let (size, size_len) = number(level, at + id_len, true)?;
        let body = at + id_len + size_len;
        let unknown = size == (1 << (7 * size_len)) - 1;
        let end = if unknown { usize::MAX } else { body.checked_add(usize::try_from(size).ok()?)? };
        at = end;
        Some((id, level.part(body, end)))
    })
    .take(MAX_SIBLINGS)
}

/// A number of variable length, without its length mark where `plain`.
fn number(level: Head<'_>, at: usize, plain: bool) -> Option<(u64, usize)> {
    let first = level.byte(at)?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let mark = if plain { u64::from(first) & ((1 << (8 - len)) - 1) } else { u64::from(first) };
    let rest = level.0.get(at + 1..at + len)?;
    Some((rest.iter().fold(mark, |sum, byte| sum << 8 | u64::from(*byte)), len))
}
