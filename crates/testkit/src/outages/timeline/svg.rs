//! The few shapes of SVG that a timeline needs.

use std::fmt::{Display, Write as _};

/// Light, and dark where the reader's system is: only these names stand in the shapes.
const STYLE: &str = "
  :root { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --good: #0969da; --refused: #bf8700;
    --bad: #cf222e; --page: #cf222e; --ticket: #8250df; --gauge: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    :root { --ground: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d; --good: #4493f8; --refused: #d29922;
      --bad: #f85149; --page: #f85149; --ticket: #ab7df8; --gauge: #3fb950 }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--ink) }
  .title { font-size: 15px; font-weight: 600 }
  .faint { fill: var(--faint) }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .ground { fill: var(--ground) }
  .good { fill: var(--good) } .refused { fill: var(--refused) } .bad { fill: var(--bad) }
  .page { fill: var(--page) } .ticket { fill: var(--ticket) } .pending { opacity: 0.35 }
  .wait { fill: var(--faint) }
  line { stroke: var(--line) }
  .event { stroke: var(--faint); stroke-dasharray: 2 3 }
  .gauge { fill: none; stroke: var(--gauge); stroke-width: 1.5 }
  .badge { fill: var(--ink) } .number { fill: var(--ground); font-size: 10px; font-weight: 600; text-anchor: middle }
";

/// A picture that grows from the top down.
pub(super) struct Svg {
    width: f64,
    shapes: String,
}

impl Svg {
    pub(super) fn of(width: f64) -> Self {
        Self { width, shapes: String::new() }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: impl Display) {
        let text = escaped(&text.to_string());
        self.add(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>"));
    }

    /// A box with what is told of it when a pointer rests there.
    pub(super) fn bar(&mut self, [x, y, width, height]: [f64; 4], class: &str, told: &str) {
        let told = escaped(told);
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"><title>{told}</title></rect>"
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"));
    }

    pub(super) fn curve(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!("<polyline points=\"{}\" class=\"{class}\"/>", points.join(" ")));
    }

    /// A number in a disc.
    pub(super) fn badge(&mut self, x: f64, y: f64, number: usize) {
        self.add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7.5\" class=\"badge\"/>"));
        self.text(x, y + 3.5, "number", number);
    }

    /// The other picture's shapes, over these.
    pub(super) fn absorb(&mut self, over: &Self) {
        self.shapes += &over.shapes;
    }

    /// The whole, of that height, with what it is for who cannot see it.
    pub(super) fn end(self, height: f64, title: &str, described: &str) -> String {
        let Self { width, shapes } = self;
        let (title, described) = (escaped(title), escaped(described));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-labelledby=\"title described\">\n<title id=\"title\">{title}</title>\n\
             <desc id=\"described\">{described}</desc>\n<style>{STYLE}</style>\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" class=\"ground\"/>\n{shapes}</svg>\n"
        )
    }

    fn add(&mut self, shape: std::fmt::Arguments<'_>) {
        // A String takes all that is written to it.
        let _ = writeln!(self.shapes, "{shape}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_a_picture_cannot_break_it() {
        let mut svg = Svg::of(10.0);
        svg.text(1.0, 2.0, "faint", "a < b & \"c\"");
        let drawn = svg.end(5.0, "<t>", "d");
        assert!(
            drawn.contains("<text x=\"1.0\" y=\"2.0\" class=\"faint\">a &lt; b &amp; &quot;c&quot;</text>"),
            "{drawn}"
        );
        assert!(drawn.contains("<title id=\"title\">&lt;t&gt;</title>"), "{drawn}");
        assert!(drawn.contains("prefers-color-scheme: dark") && drawn.contains("viewBox=\"0 0 10 5\""), "{drawn}");
    }
}
