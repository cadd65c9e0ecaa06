//! Which rows are in sight.

/// Pixels, as the style sheet's `--row` says.
pub(super) const ROW_HEIGHT: usize = 44;
/// The rows change in steps of so many, so that not every pixel of scrolling is work.
const STEP: usize = 16;

/// From `first` up to, not including, `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Seen {
    /// Those that a window of this height sees, with a step more on both sides.
    pub(super) fn of(top: i32, height: i32, count: usize) -> Self {
        let top = usize::try_from(top).unwrap_or(0) / ROW_HEIGHT;
        let rows = usize::try_from(height).unwrap_or(0) / ROW_HEIGHT + 1;
        let first = (top / STEP * STEP).saturating_sub(STEP);
        let last = (top + rows).div_ceil(STEP) * STEP + STEP;
        let last = last.min(count);
        Self { first: first.min(last), last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_sight_is_there() {
        for (top, height, count) in
            [(0, 600, 10_000), (44 * 5_000, 600, 10_000), (44 * 9_990, 600, 10_000), (0, 0, 300)]
        {
            let seen = Seen::of(top, height, count);
            let (top, height) = (usize::try_from(top).unwrap(), usize::try_from(height).unwrap());
            assert!(seen.first <= top / 44, "{seen:?}");
            assert!(seen.last >= ((top + height) / 44).min(count), "{seen:?}");
            assert!(seen.last <= count && seen.last - seen.first < 100, "{seen:?}");
        }
        assert_eq!(Seen::of(44 * 500, 600, 20), Seen { first: 20, last: 20 });
    }
}
