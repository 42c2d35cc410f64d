//! How much sooner pictures come with more devices, by stated device times: every device runs a pass of the denoiser in
//! [`PASS_MS`], every message takes [`LATENCY_MS`]. How large messages are does not count here: see [`super::traffic`].

use crate::toy::picture::LAYERS;
use crate::world::{Spec, World};
use coordinator::io::{End, PictureWork, Shape, Work};
use coordinator::{Command, PeerId};

/// Milliseconds of one pass of the denoiser on every device. Source: 8 TFLOP, PRX-1024's pass at 1024 × 1024, at
/// 16 TFLOP/s.
pub const PASS_MS: u64 = 500;
/// Milliseconds of every message.
pub const LATENCY_MS: u64 = 20;
/// Steps of every picture.
pub const STEPS: u16 = 28;
/// One picture, with guidance.
const GUIDED: Shape = Shape { count: 1, steps: STEPS, guided: true, tiles: 4, stale: false };
/// Virtual milliseconds in which the pictures must come.
const PAINTED_MS: u64 = 600_000;

/// One room's figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What is painted by how many devices.
    pub room: String,
    /// Milliseconds from the wish to its last pixel.
    pub ms: u64,
    /// Milliseconds that the same takes one device that holds the whole painter, a picture after the other.
    pub alone_ms: u64,
    /// By how much it should be faster at least; 1 where it is about memory, not time.
    pub goal: f64,
}

impl Figure {
    /// How many times faster it is than one device.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.alone_ms as f64 / self.ms.max(1) as f64
    }
}

/// All rooms.
///
/// # Errors
/// The first room that did not paint.
pub fn all() -> Result<Vec<Figure>, String> {
    let one = paint(&[whole()], GUIDED)?;
    let mut figures = Vec::new();
    for count in [2, 4, 8_u16] {
        let ms = paint(&vec![whole(); count.into()], Shape { count, ..GUIDED })?;
        let room = format!("{count} pictures by seed, {count} devices");
        let goal = 0.95 * f64::from(count);
        figures.push(Figure { room, ms, alone_ms: one * u64::from(count), goal });
    }
    let ms = paint(&[whole(); 2], GUIDED)?;
    figures.push(Figure { room: "one by guidance halves, 2 devices".into(), ms, alone_ms: one, goal: 1.8 });
    let plain = Shape { guided: false, stale: true, ..GUIDED };
    for (name, shape, bands, goal) in
        [("plain", plain, 2, 1.6), ("guided", Shape { stale: true, ..GUIDED }, 4, 2.0)]
    {
        let alone_ms = paint(&[whole()], shape)?;
        let ms = paint(&vec![whole(); bands], shape)?;
        let room = format!("one {name} in bands with stale neighbours, {bands} devices");
        figures.push(Figure { room, ms, alone_ms, goal });
    }
    for (stages, count) in [(2, 1), (4, 1), (4, 2_u16)] {
        let ms = paint(&vec![part(stages); stages as usize], Shape { count, ..GUIDED })?;
        let room = format!("{count} through block ranges, {stages} devices");
        figures.push(Figure { room, ms, alone_ms: one * u64::from(count), goal: 1.0 });
    }
    Ok(figures)
}

/// A device that holds the whole painter.
const fn whole() -> Spec {
    Spec { step_micros: PASS_MS * 1_000, ..Spec::TAB }
}

/// One of so many that hold it together only.
const fn part(stages: u64) -> Spec {
    let blocks = if stages == 2 { LAYERS as u64 / 2 } else { 1 };
    Spec { memory: (blocks + 1) << 20, ..whole() }
}

/// Milliseconds for pictures that are asked for at the first of these devices.
fn paint(specs: &[Spec], shape: Shape) -> Result<u64, String> {
    let mut world = World::new(1, 8).in_one_house(LATENCY_MS);
    let peers: Vec<PeerId> = specs.iter().map(|&spec| world.join(spec)).collect();
    world.run_for(15_000);
    let work = Work::Picture(PictureWork { shape, settings: vec![u8::from(shape.guided), 7] });
    let asked = world.now;
    world.command(peers[0], Command::Submit { model: None, text: "A ship".into(), work });
    loop {
        world.run_for(5);
        if let Some(broken) = &world.broken {
            return Err(broken.clone());
        }
        let painted = world.peers[&peers[0]].witness.jobs.values().filter_map(|seen| seen.end.clone()).next();
        match painted {
            Some(End::Finished) => return Ok(world.now - asked),
            Some(end) => return Err(format!("the pictures ended with {end:?}")),
            None if world.now > asked + PAINTED_MS => return Err("the pictures do not come".into()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_devices_paint_as_much_sooner_as_they_should() {
        for figure in all().expect("every room paints") {
            assert!(figure.ratio() >= figure.goal, "{figure:?}: {:.2}", figure.ratio());
        }
    }
}
