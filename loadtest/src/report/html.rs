//! The page itself: its style, tables, and how numbers are written.

use std::fmt::Write as _;

/// Everything the page needs is in it.
pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --card: #f6f8fa; --rule: #d1d9e0;
  --good: #1a7f37; --bad: #cf222e; --c1: #2f6fde; --c2: #d9730d; --c3: #1a7f37; --c4: #8250df;
  --c5: #cf222e; --c6: #0f7b83; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --card: #151b23;
  --rule: #3d444d; --good: #56d364; --bad: #ff7b72; --c1: #6ea8fe; --c2: #ffa657; --c3: #56d364; --c4: #d2a8ff;
  --c5: #ff7b72; --c6: #39c5cf; } }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .3rem; } h2 { margin: 2rem 0 .6rem; font-size: 1.15rem; } p { margin: .3rem 0; max-width: 60rem; }
small, .soft { color: var(--soft); font-weight: normal; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
th.text { text-align: left; } td.text { text-align: left; white-space: normal; min-width: 16rem; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.notice { border-left: 4px solid var(--c2); background: var(--card); padding: .5rem 1rem; }
.grid-of { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .7rem 1rem; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; } .end { text-anchor: end; } .middle { text-anchor: middle; }
svg .band { fill: var(--rule); opacity: .45; } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg path { fill: none; stroke-width: 2; stroke-linejoin: round; }
.keys { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .3rem 0 0; padding: 0;
  color: var(--soft); font-size: .85rem; }
.keys i { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .35rem; }
.s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); }
.s5 { stroke: var(--c5); } .s6 { stroke: var(--c6); }
.k1 { background: var(--c1); } .k2 { background: var(--c2); } .k3 { background: var(--c3); }
.k4 { background: var(--c4); } .k5 { background: var(--c5); } .k6 { background: var(--c6); }
.d1 { fill: var(--c1); } .d2 { fill: var(--c2); } .d3 { fill: var(--c3); } .d4 { fill: var(--c4); }
.d5 { fill: var(--c5); } .d6 { fill: var(--c6); }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 1rem; overflow-x: auto; }
";

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with about three digits that say something.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// Thousands are set apart.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{rest}")
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// A number or a word.
    Plain(String),
    /// A sentence.
    Text(String),
    /// Whether something holds.
    Holds(Option<bool>),
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Plain(number(value))
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Plain(grouped(&value.to_string()))
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Plain(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Plain(value)
    }
}

/// A table; nothing where it has no rows.
pub(super) fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::from("<table><thead><tr>");
    for (at, name) in head.iter().enumerate() {
        let text = rows.first().and_then(|row| row.get(at)).is_some_and(|cell| matches!(cell, Cell::Text(_)));
        put(&mut out, format_args!("<th{}>{}</th>", if text { " class=\"text\"" } else { "" }, escape(name)));
    }
    out += "</tr></thead><tbody>";
    for row in rows {
        out += "<tr>";
        for cell in row {
            match cell {
                Cell::Plain(text) => put(&mut out, format_args!("<td>{}</td>", escape(text))),
                Cell::Text(text) => put(&mut out, format_args!("<td class=\"text\">{}</td>", escape(text))),
                Cell::Holds(Some(true)) => out += "<td class=\"good\">holds</td>",
                Cell::Holds(Some(false)) => out += "<td class=\"bad\">broken</td>",
                Cell::Holds(None) => out += "<td class=\"soft\">not judged</td>",
            }
        }
        out += "</tr>";
    }
    out + "</tbody></table>"
}

/// A String takes whatever is written.
fn put(to: &mut String, what: std::fmt::Arguments<'_>) {
    to.write_fmt(what).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_markup_is_text() {
        for (value, text) in
            [(0.0, "0"), (0.1234, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (-5_000_000.0, "-5,000,000")]
        {
            assert_eq!(number(value), text);
        }
        let rows = [vec![Cell::from("<b>"), Cell::from(1_234_u64), Cell::Holds(Some(false))]];
        let table = table(&["a", "b", "c"], &rows);
        assert!(table.contains("&lt;b&gt;") && table.contains("1,234") && table.contains("broken"), "{table}");
    }
}
