//! Numbers out of a head of bytes, never beyond its end.

/// The first bytes of a file.
#[derive(Clone, Copy)]
pub(super) struct Head<'a>(pub(super) &'a [u8]);

impl<'a> Head<'a> {
    pub(super) fn starts(self, mark: &[u8]) -> bool {
        self.0.starts_with(mark)
    }

    pub(super) fn at(self, at: usize, mark: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(mark))
    }

    pub(super) fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// The bytes from `start` up to `end`, cut at the end of the head.
    pub(super) fn part(self, start: usize, end: usize) -> Head<'a> {
        Head(self.0.get(start..end.min(self.0.len())).unwrap_or_default())
    }

    pub(super) fn u16_le(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32_le(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u32_be(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn u64_be(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub(super) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk::<N>().copied()
    }
}
