//! What each kind of object looks like: which part of it a point belongs to.

use super::scene::Kind;

/// What a point of an object is painted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The object's own colour.
    Own,
    /// Brown, whatever the object is: trunks, roofs, doors, masts.
    Wood,
    /// White: eyes and sails.
    White,
    /// Orange: the rays of a sun.
    Ray,
}

/// The part at `u` to the right and `v` below of the centre, in radii: whole objects lie within about ±1.
pub(super) fn part(kind: Kind, u: f32, v: f32) -> Option<Part> {
    let own = |inside: bool| inside.then_some(Part::Own);
    let square = u * u + v * v;
    match kind {
        Kind::Circle => own(square <= 1.0),
        Kind::Square => own(u.abs() <= 0.9 && v.abs() <= 0.9),
        Kind::Triangle => own((-1.0..=0.9).contains(&v) && u.abs() <= (v + 1.0) * 0.55),
        Kind::Star => own(in_star(u, v, 5, 1.08, 0.46)),
        Kind::Heart => own(in_heart(u, v)),
        Kind::Ring => own((0.3..=1.0).contains(&square)),
        Kind::House => house(u, v),
        Kind::Tree => tree(u, v),
        Kind::Sun if square <= 0.42 => Some(Part::Own),
        Kind::Sun => in_star(u, v, 8, 1.12, 0.6).then_some(Part::Ray),
        Kind::Fish => fish(u, v),
        Kind::Boat => boat(u, v),
    }
}

/// A star with a point at the top: between the radii of its points and of the corners between them its edges are
/// straight.
fn in_star(u: f32, v: f32, points: u32, outer: f32, inner: f32) -> bool {
    let wedge = std::f32::consts::PI / points as f32;
    let turn = u.atan2(-v).rem_euclid(2.0 * wedge);
    // Folded into half a point: from its tip at angle 0 to the corner at `wedge`.
    let angle = if turn > wedge { 2.0 * wedge - turn } else { turn };
    let (x, y) = (angle.cos(), angle.sin());
    let (corner_x, corner_y) = (inner * wedge.cos(), inner * wedge.sin());
    // The edge from (outer, 0) to the corner, met by the ray at this angle.
    let reach = outer * corner_y / (y * (outer - corner_x) + x * corner_y);
    u.hypot(v) <= reach
}

/// The well-known curve (x² + y² − 1)³ = x²·y³.
fn in_heart(u: f32, v: f32) -> bool {
    let (x, y) = (u * 1.17, 0.12 - v * 1.17);
    (x * x + y * y - 1.0).powi(3) <= x * x * y.powi(3)
}

fn house(u: f32, v: f32) -> Option<Part> {
    if (-0.15..=0.95).contains(&v) && u.abs() <= 0.72 {
        let door = u.abs() <= 0.2 && v >= 0.4;
        return Some(if door { Part::Wood } else { Part::Own });
    }
    let roof = (-1.0..-0.15).contains(&v) && u.abs() <= (v + 1.0) * 1.18;
    roof.then_some(Part::Wood)
}

fn tree(u: f32, v: f32) -> Option<Part> {
    if u * u + (v + 0.32) * (v + 0.32) <= 0.5 {
        return Some(Part::Own);
    }
    (u.abs() <= 0.17 && (0.0..=1.0).contains(&v)).then_some(Part::Wood)
}

fn fish(u: f32, v: f32) -> Option<Part> {
    if (u - 0.58).powi(2) + (v + 0.14).powi(2) <= 0.022 {
        return Some(Part::White);
    }
    let body = ((u - 0.22) / 0.8).powi(2) + (v / 0.55).powi(2) <= 1.0;
    let tail = (-1.02..=-0.3).contains(&u) && v.abs() <= (-0.28 - u) * 0.85;
    (body || tail).then_some(Part::Own)
}

fn boat(u: f32, v: f32) -> Option<Part> {
    if (0.3..=0.85).contains(&v) && u.abs() <= 1.0 - (v - 0.3) * 0.8 {
        return Some(Part::Own);
    }
    if (-0.08..=0.08).contains(&u) && (-1.0..0.3).contains(&v) {
        return Some(Part::Wood);
    }
    let sail = u > 0.08 && (-0.9..0.15).contains(&v) && u - 0.08 <= (v + 0.9) * 0.72;
    sail.then_some(Part::White)
}
