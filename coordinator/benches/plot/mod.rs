//! A figure of costs that grow, as SVG, both axes logarithmic.

use std::fmt::Write;

/// Named points, costs by size.
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its colour.
    pub colour: &'static str,
    /// Drawn dashed: a bound, not a measurement.
    pub dashed: bool,
    /// Size and cost, both above 0.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Pixels around the drawing: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 20.0, 150.0, 50.0);

/// One axis: the logarithms of its ends, and their places.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// The figure. `x` and `y` are what stands at the axes, with units.
pub fn svg(x: &str, y: &str, sizes: &[f64], lines: &[Line]) -> String {
    let costs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let (low, high) = costs().fold((f64::MAX, 0.0_f64), |(low, high), cost| (low.min(cost), high.max(cost)));
    let (left, top, right, bottom) = (MARGIN.0, MARGIN.1, WIDTH - MARGIN.2, HEIGHT - MARGIN.3);
    let across = Axis { low: sizes[0].log10(), high: sizes[sizes.len() - 1].log10(), from: left, to: right };
    let up = Axis { low: low.log10().floor(), high: high.log10().ceil(), from: bottom, to: top };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for &size in sizes {
        let at = across.at(size);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>"
        );
        let _ =
            writeln!(out, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>", bottom + 18.0);
    }
    for power in up.low as i32..=up.high as i32 {
        let (cost, at) = (10f64.powi(power), up.at(10f64.powi(power)));
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>"
        );
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{cost}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    lines.iter().for_each(|line| draw(line, &across, &up, &mut out));
    let (middle, low) = ((left + right) / 2.0, HEIGHT - 12.0);
    let _ = writeln!(out, "<text x=\"{middle:.1}\" y=\"{low}\" text-anchor=\"middle\">{x}</text>");
    let (side, half) = (18.0, (top + bottom) / 2.0);
    let _ = writeln!(
        out,
        "<text x=\"{side}\" y=\"{half:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 {side} {half:.1})\">{y}</text>\n</svg>"
    );
    out
}

fn draw(line: &Line, across: &Axis, up: &Axis, out: &mut String) {
    let Line { name, colour, dashed, points } = line;
    let path: Vec<String> =
        points.iter().map(|&(size, cost)| format!("{:.1},{:.1}", across.at(size), up.at(cost))).collect();
    let dash = if *dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
        path.join(" ")
    );
    if let Some(&(size, cost)) = points.last() {
        let (at, height) = (across.at(size) + 6.0, up.at(cost) + 4.0);
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{height:.1}\" fill=\"{colour}\">{name}</text>");
    }
}
