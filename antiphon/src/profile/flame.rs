//! A flame graph as a picture without scripts: who calls whom from the top down, as wide as it was seen often.

use std::collections::BTreeMap;

const WIDTH: f64 = 1200.0;
const ROW: usize = 17;
/// What is narrower is left out, in pixels.
const NARROWEST: f64 = 0.4;
/// Of the font.
const LETTER: f64 = 6.8;

#[derive(Debug, Default)]
struct Node<'a> {
    count: u64,
    calls: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, stack: impl Iterator<Item = &'a str>, count: u64) {
        self.count += count;
        let mut node = self;
        for name in stack {
            node = node.calls.entry(name).or_default();
            node.count += count;
        }
    }

    fn depth(&self) -> usize {
        1 + self.calls.values().map(Node::depth).max().unwrap_or_default()
    }
}

/// The picture of stacks, each from its thread to what runs, and how often each was seen.
pub(super) fn graph(stacks: &BTreeMap<String, u64>) -> String {
    let mut root = Node::default();
    for (stack, count) in stacks {
        root.add(stack.split(';'), *count);
    }
    let height = root.depth() * ROW;
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\">\n<style>text {{ font: 11px monospace; pointer-events: none }} \
         rect {{ stroke: #fff; stroke-width: .5 }}</style>\n"
    );
    draw(&mut drawn, "all", &root, (0.0, 0), root.count);
    drawn.push_str("</svg>\n");
    drawn
}

#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn draw(drawn: &mut String, name: &str, node: &Node<'_>, (left, row): (f64, usize), all: u64) {
    let share = node.count as f64 / all.max(1) as f64;
    let (width, top) = (share * WIDTH, row * ROW);
    if width < NARROWEST && row > 0 {
        return;
    }
    let (shown, colour) = (escaped(name), colour(name));
    let title = format!("{shown}: {} samples, {:.1} %", node.count, share * 100.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between none and a few hundred")]
    let fits = (width / LETTER) as usize;
    let label: String = if fits < 3 { String::new() } else { name.chars().take(fits - 1).collect() };
    let label = escaped(&label);
    let (inside, baseline) = (left + 3.0, top + 12);
    drawn.push_str(&format!(
        "<g><title>{title}</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{ROW}\" \
         fill=\"{colour}\"/><text x=\"{inside:.1}\" y=\"{baseline}\">{label}</text></g>\n"
    ));
    let mut at = left;
    for (name, called) in &node.calls {
        draw(drawn, name, called, (at, row + 1), all);
        at += called.count as f64 / all.max(1) as f64 * WIDTH;
    }
}

/// Warm, and the same for the same name.
fn colour(name: &str) -> String {
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("hsl({}, 80%, {}%)", 15 + sum % 40, 65 + sum / 40 % 15)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_stands_below_its_caller_as_wide_as_it_was_seen() {
        let stacks = [("main;run;Vec<u8>::push".to_owned(), 3), ("main;wait".to_owned(), 1)].into();
        let drawn = graph(&stacks);
        let row =
            |name: &str| drawn.lines().find(|line| line.contains(&format!("<title>{name}: "))).unwrap().to_owned();
        assert!(
            row("all").contains("4 samples, 100.0 %") && row("all").contains("y=\"0\" width=\"1200.0\""),
            "{drawn}"
        );
        assert!(row("main").contains("y=\"17\" width=\"1200.0\""), "{drawn}");
        assert!(row("run").contains("x=\"0.0\" y=\"34\" width=\"900.0\""), "{drawn}");
        assert!(row("Vec&lt;u8&gt;::push").contains("y=\"51\" width=\"900.0\""), "{drawn}");
        assert!(row("wait").contains("x=\"900.0\" y=\"34\" width=\"300.0\""), "{drawn}");
        assert!(graph(&BTreeMap::new()).contains("0 samples"), "an idle process has a picture too");
    }
}
