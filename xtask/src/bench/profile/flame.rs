//! A flame graph: one box per function and caller, as wide as its share of the samples.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a picture"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Stacks;

const WIDTH: f64 = 1_400.0;
const ROW: f64 = 17.0;
const TOP: f64 = 40.0;
/// Narrower boxes are left out: nobody sees them.
const LEAST: f64 = 0.4;
/// Width of a letter of the font, in pixels.
const LETTER: f64 = 6.6;

/// A function as called by its parent.
#[derive(Default)]
struct Node<'a> {
    count: u64,
    callees: BTreeMap<&'a str, Node<'a>>,
}

/// The picture as SVG; whole names and shares show as tool tips.
pub(super) fn svg(title: &str, stacks: &Stacks) -> String {
    let mut root = Node::default();
    for (stack, count) in stacks {
        let mut node = &mut root;
        node.count += count;
        for function in stack {
            node = node.callees.entry(function).or_default();
            node.count += count;
        }
    }
    let height = TOP + ROW * (depth(&root) as f64 + 1.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    let scale = WIDTH / root.count.max(1) as f64;
    draw(&root, 0.0, 0, root.count, scale, &mut out);
    out.push_str("</svg>\n");
    out
}

fn depth(node: &Node<'_>) -> usize {
    node.callees.values().map(|callee| 1 + depth(callee)).max().unwrap_or(0)
}

fn draw(node: &Node<'_>, mut x: f64, level: usize, all: u64, scale: f64, out: &mut String) {
    for (name, callee) in &node.callees {
        let width = callee.count as f64 * scale;
        if width >= LEAST {
            let y = TOP + ROW * level as f64;
            let share = callee.count as f64 * 100.0 / all.max(1) as f64;
            let fits = ((width - 4.0) / LETTER).max(0.0) as usize;
            let short: String =
                if fits < 3 { String::new() } else { name.chars().take(fits).collect() };
            writeln!(
                out,
                "<g><title>{} {share:.1} %</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" \
                 height=\"{}\" fill=\"{}\" stroke=\"#fff\"/><text x=\"{:.1}\" y=\"{}\">{}</text></g>",
                escaped(name),
                ROW - 1.0,
                colour(name),
                x + 2.0,
                y + 12.0,
                escaped(&short)
            )
            .expect("writing to a String cannot fail");
            draw(callee, x, level + 1, all, scale, out);
        }
        x += width;
    }
}

/// The same function has the same colour everywhere.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
    format!("hsl({} {}% 72%)", 15 + hash % 45, 70 + hash / 45 % 25)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_as_wide_as_its_share() {
        let stack = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let stacks = Stacks::from([(stack(&["t", "f<u8>"]), 3), (stack(&["t", "g"]), 1)]);
        let svg = svg("a & b", &stacks);
        assert!(svg.contains("<title>t 100.0 %</title>") && svg.contains("a &amp; b"), "{svg}");
        assert!(svg.contains(
            "<title>f&lt;u8&gt; 75.0 %</title><rect x=\"0.0\" y=\"57\" width=\"1050.0\""
        ));
        assert!(svg.contains("<title>g 25.0 %</title><rect x=\"1050.0\""), "{svg}");
    }
}
