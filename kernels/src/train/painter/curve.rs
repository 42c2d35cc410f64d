//! The loss along the way, as a drawing.

/// Pixels of the drawing, and what its axes leave free on each side.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;

/// An SVG of the two losses of a `loss.csv` over pictures learned from; losses are drawn by their logarithms.
#[must_use]
pub fn curve(csv: &str) -> String {
    let (mut train, mut held_out): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    let mut pictures = 0.0;
    for line in csv.lines().skip(1) {
        let fields: Vec<Option<f64>> = line.split(',').map(|field| field.parse().ok()).collect();
        pictures = fields.get(1).copied().flatten().unwrap_or(pictures);
        if let Some(loss) = fields.get(4).copied().flatten() {
            train.push([pictures, loss]);
        }
        if let Some(loss) = fields.get(5).copied().flatten() {
            held_out.push([pictures, loss]);
        }
    }
    let all = || train.iter().chain(&held_out);
    let most = all().map(|point| point[0]).fold(1.0, f64::max);
    let low = all().map(|point| point[1]).fold(f64::INFINITY, f64::min).max(1e-6).log10();
    let high = all().map(|point| point[1]).fold(1e-6, f64::max).log10().max(low + 0.1);
    let at = |[x, y]: [f64; 2]| {
        let across = MARGIN + x / most * (WIDTH - 2.0 * MARGIN);
        let down = MARGIN + (high - y.max(1e-6).log10()) / (high - low) * (HEIGHT - 2.0 * MARGIN);
        format!("{across:.1},{down:.1}")
    };
    let line = |points: &[[f64; 2]], colour: &str, width: f64| {
        let points: Vec<String> = points.iter().map(|point| at(*point)).collect();
        let points = points.join(" ");
        format!("<polyline fill='none' stroke='{colour}' stroke-width='{width}' points='{points}'/>\n")
    };
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='12'>\n\
         <rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>\n"
    );
    for tick in 0..=4 {
        let part = f64::from(tick) / 4.0;
        let (x, y) = (most * part, 10_f64.powf(low + (high - low) * part));
        let across = MARGIN + part * (WIDTH - 2.0 * MARGIN);
        let down = HEIGHT - MARGIN - part * (HEIGHT - 2.0 * MARGIN);
        let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
        svg.push_str(&format!(
            "<path stroke='#ddd' d='M{MARGIN} {down:.1}H{right}'/>\
             <text x='{:.1}' y='{:.1}' text-anchor='end'>{y:.3}</text>\
             <text x='{across:.1}' y='{:.1}' text-anchor='middle'>{x:.0}</text>\n",
            MARGIN - 4.0,
            down + 4.0,
            bottom + 16.0
        ));
    }
    svg.push_str(&line(&train, "#9bb8e0", 1.0));
    svg.push_str(&line(&held_out, "#c03030", 2.0));
    svg.push_str(&format!(
        "<text x='{}' y='{}' text-anchor='middle'>pictures learned from</text>\
         <text x='{MARGIN}' y='20'>squared error of the velocity: training (blue), held-out captions (red)</text>\n</svg>\n",
        WIDTH / 2.0,
        HEIGHT - 12.0
    ));
    svg
}
