//! Cells of tables that people open in a spreadsheet.

use std::borrow::Cow;

/// What begins a formula.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
/// What a spreadsheet passes over before it.
const BLANKS: [char; 2] = [' ', '\u{a0}'];

/// Whether a spreadsheet would run `cell` as a formula.
#[must_use]
pub fn is_formula(cell: &str) -> bool {
    cell.trim_start_matches(BLANKS).starts_with(FORMULA)
}

/// `cell`, behind a `'` where a spreadsheet would run it instead of showing it.
#[must_use]
pub fn guarded(cell: &str) -> Cow<'_, str> {
    if is_formula(cell) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@x", "\t=1", " \u{a0}=HYPERLINK(\"x\")", "＝1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        assert_eq!(guarded("team=a"), "team=a");
        assert_eq!(guarded(""), "");
    }
}
