//! The few bytes of RIFF/WAVE that the suite needs: writing a header and reading how long a file is.

/// Bytes of the header that [`header`] writes.
pub const HEADER_BYTES: usize = 44;

/// The size that a streamed WAV carries where the real one is not known yet.
const UNKNOWN_SIZE: u32 = u32::MAX;

/// A 44-byte header for mono signed 16-bit PCM; `data_bytes` is `None` when the file is streamed.
#[must_use]
pub fn header(sample_rate_hz: u32, data_bytes: Option<u32>) -> Vec<u8> {
    let data = data_bytes.unwrap_or(UNKNOWN_SIZE);
    let riff = data_bytes.map_or(UNKNOWN_SIZE, |bytes| bytes.saturating_add(36));
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&riff.to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&sample_rate_hz.to_le_bytes());
    out.extend_from_slice(&sample_rate_hz.saturating_mul(2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data.to_le_bytes());
    out
}

/// A mono 16-bit file at 16 kHz of exactly `total_bytes` (never less than its header), filled with a quiet pattern.
#[must_use]
pub fn sample(total_bytes: usize) -> Vec<u8> {
    let data = total_bytes.saturating_sub(HEADER_BYTES) & !1;
    let mut out = header(16_000, u32::try_from(data).ok());
    out.extend((0..data).map(|at| if at % 2 == 0 { u8::try_from(at % 251).unwrap_or(0) } else { 0 }));
    out
}

/// Milliseconds of audio that the beginning of a WAV file promises, bounded by what really arrived; `None` when
/// `head` is not the beginning of a WAV file. `total_bytes` is the size of the whole file.
#[must_use]
pub fn duration_ms(head: &[u8], total_bytes: u64) -> Option<u64> {
    if head.get(0..4)? != b"RIFF" || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12_usize;
    let mut bytes_per_second = None;
    loop {
        let name = head.get(at..at + 4)?;
        let size = u32_at(head, at + 4)?;
        let body = at + 8;
        match name {
            b"fmt " => bytes_per_second = u32_at(head, body + 8),
            b"data" => {
                let present = total_bytes.saturating_sub(u64::try_from(body).ok()?);
                let promised = if size == 0 || size == UNKNOWN_SIZE { present } else { u64::from(size).min(present) };
                let rate = u64::from(bytes_per_second.filter(|rate| *rate > 0)?);
                return Some(promised.saturating_mul(1000) / rate);
            }
            _ => {}
        }
        // Chunks are padded to an even size.
        at = body.checked_add(usize::try_from(size).ok()?)?.checked_add(usize::try_from(size % 2).ok()?)?;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_comes_from_the_header_and_never_exceeds_the_file() {
        let file = sample(HEADER_BYTES + 32_000);
        assert_eq!(duration_ms(&file, file.len() as u64), Some(1000));
        assert_eq!(duration_ms(&file, (HEADER_BYTES + 16_000) as u64), Some(500), "a truncated upload is shorter");
        let streamed = header(24_000, None);
        assert_eq!(duration_ms(&streamed, (HEADER_BYTES + 48_000) as u64), Some(1000), "a placeholder size is ignored");
        assert_eq!(duration_ms(b"ID3\x04", 9_000), None);
    }
}
