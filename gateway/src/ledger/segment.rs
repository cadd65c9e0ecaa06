//! The bytes of a journal segment: entries of length (u32 LE), CRC-32 (u32 LE) and JSON.
//!
//! The checksum covers the length too, so that neither zeros nor a shifted start read as an entry.

use std::ops::Range;

use serde::Serialize;

use super::LedgerError;

/// Length and checksum.
const HEADER_BYTES: usize = 8;
/// Bytes of one record's JSON. Its free-text fields come from headers, which are far smaller.
pub(super) const MAX_JSON_BYTES: usize = 1024 * 1024;

/// Makes `entry` the one that holds `value`. Its allocation is used again.
pub(super) fn encode(value: &impl Serialize, entry: &mut Vec<u8>) -> Result<(), LedgerError> {
    entry.clear();
    entry.resize(HEADER_BYTES, 0);
    serde_json::to_writer(&mut *entry, value).map_err(LedgerError::Json)?;
    let bytes = entry.len() - HEADER_BYTES;
    let too_large = || LedgerError::TooLarge { bytes };
    let (header, json) = entry.split_first_chunk_mut::<HEADER_BYTES>().ok_or_else(too_large)?;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_JSON_BYTES).ok_or_else(too_large)?;
    let (of_length, of_checksum) = header.split_at_mut(4);
    of_length.copy_from_slice(&length.to_le_bytes());
    of_checksum.copy_from_slice(&checksum(length, json).to_le_bytes());
    Ok(())
}

/// What a segment holds at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole entry's JSON, and where the entry ends.
    Entry { json: Range<usize>, end: usize },
    /// Damage between entries, or a whole last entry that is damaged.
    Damage(Range<usize>),
    /// The rest was never written whole.
    Torn(usize),
}

/// Reads what stands at `at`; `None` at the end.
pub(super) fn piece_at(bytes: &[u8], at: usize) -> Option<Piece> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    if let Some((json, end)) = entry_at(bytes, at) {
        return Some(Piece::Entry { json, end });
    }
    if let Some(next) = (at + 1..bytes.len()).find(|next| entry_at(bytes, *next).is_some()) {
        return Some(Piece::Damage(at..next));
    }
    // A torn write leaves a beginning without its end, or (after a loss of power) zeros. An entry
    // that is all there and yet wrong was whole once: that is damage, and is kept for people to see.
    let whole_once = header_at(bytes, at).is_some_and(|(length, _)| HEADER_BYTES + length <= rest.len());
    if whole_once { Some(Piece::Damage(at..bytes.len())) } else { Some(Piece::Torn(at)) }
}

/// The whole entry that stands at `at`: its JSON, and where it ends.
pub(super) fn entry_at(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let (length, expected) = header_at(bytes, at)?;
    let start = at + HEADER_BYTES;
    let end = start + length;
    let json = bytes.get(start..end)?;
    // The brace is asked first: while a damaged place is searched byte by byte, most offsets fall out
    // here without a checksum.
    let whole = json.first() == Some(&b'{') && checksum(u32::try_from(length).ok()?, json) == expected;
    whole.then_some((start..end, end))
}

fn header_at(bytes: &[u8], at: usize) -> Option<(usize, u32)> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (expected, _) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (1..=MAX_JSON_BYTES).contains(&length).then_some((length, u32::from_le_bytes(*expected)))
}

fn checksum(length: u32, json: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(json);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one() -> Vec<u8> {
        let mut entry = Vec::new();
        encode(&serde_json::json!({"n": 1}), &mut entry).unwrap();
        entry
    }

    fn pieces(bytes: &[u8]) -> Vec<Piece> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(piece) = piece_at(bytes, at) {
            at = match &piece {
                Piece::Entry { end, .. } => *end,
                Piece::Damage(range) => range.end,
                Piece::Torn(_) => bytes.len(),
            };
            found.push(piece);
        }
        found
    }

    #[test]
    fn damage_in_the_middle_costs_one_entry() {
        let one = one();
        let mut bytes = [one.clone(), one.clone(), one.clone()].concat();
        bytes[one.len() + 10] ^= 1;
        let found = pieces(&bytes);
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], Piece::Damage(one.len()..2 * one.len()));
    }

    #[test]
    fn a_damaged_length_does_not_lose_what_follows() {
        let one = one();
        let mut bytes = [one.clone(), one.clone(), one.clone()].concat();
        bytes[one.len()] = 0xff;
        assert!(matches!(pieces(&bytes)[..], [Piece::Entry { .. }, Piece::Damage(_), Piece::Entry { .. }]));
    }

    #[test]
    fn zeros_after_a_loss_of_power_are_a_torn_tail() {
        let one = one();
        let bytes = [one.clone(), vec![0; 4096]].concat();
        assert_eq!(pieces(&bytes)[1], Piece::Torn(one.len()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            pieces(&bytes);
        }
    }
}
