//! How a room paints: a picture for each device, or several devices at one picture.
//!
//! ```text
//!   alone      encode | step step | step step | ... | decode            two branches a step, if guided
//!   two        encode | step      | step      | ... | decode            max(mine, other's + round trip + latents)
//!                     | step <----> step <---->
//!   more                                            | tiles on each     whoever finishes a tile soonest
//!   bands      encode | warm | warm | part | part | ...                  stale neighbours, where people allow them
//!                     | warm | warm | part <-> part <-> ...              max(part + velocities, contexts)
//! ```

use super::share::{Lane, balance};
use super::{Links, Worker, clearly_faster};
use crate::ids::PeerId;
use crate::limits;
use std::cmp::Reverse;

/// Devices at one picture. Source: guess; with more, the primary's uplink is what tiles wait for.
const CREW_PEERS: usize = 8;
/// Devices that are tried for the other guidance half. Source: guess; the fastest that are near are among them.
const HALVES_TRIED: usize = 16;
/// Bytes of a tile's pixels for each byte of its latent. Source: `prx.md`, the Flux decoder: 16 channels of f32 make
/// 8 × 8 pixels of 3 bytes.
const PIXEL_BYTES_PER_LATENT_BYTE: u64 = 3;

/// What is to be painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureShape {
    /// Passes of the denoiser, each for one branch or, if guided, for two.
    pub steps: u16,
    /// Classifier-free guidance: every step has a branch with and one without the prompt.
    pub guided: bool,
    /// Pieces that the decoding may be cut into.
    pub tiles: u16,
    /// Whether bands with stale neighbours are allowed.
    pub stale: bool,
    /// Whether several devices share a picture where they can, faster or not ([`Spread::Everyone`](super::Spread)).
    pub everyone: bool,
    /// Bytes of the latent.
    pub latent_bytes: u64,
    /// Bytes of the contexts of a whole picture, all branches; 0 if it cannot be painted in bands.
    pub context_bytes: u64,
}

/// The devices for one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Crew {
    /// Encodes the prompt and steps; the picture comes together here.
    pub primary: PeerId,
    /// Runs the other guidance branch.
    pub half: Option<PeerId>,
    /// Run a band of rows each, the primary first; empty if nobody does.
    pub bands: Vec<PeerId>,
    /// How many tiles each decodes; the primary first, nobody with none but it.
    pub tiles: Vec<(PeerId, u16)>,
    /// In plain words.
    pub why: String,
    /// How fast, in a room with these free workers and units.
    pub prediction: PicturePrediction,
}

impl Crew {
    /// Everyone in it, the primary first.
    #[must_use]
    pub fn members(&self) -> Vec<PeerId> {
        let mut members = vec![self.primary];
        let helpers = self.half.iter().chain(&self.bands).chain(self.tiles.iter().map(|(peer, _)| peer));
        for &peer in helpers {
            if !members.contains(&peer) {
                members.push(peer);
            }
        }
        members
    }
}

/// What painting is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PicturePrediction {
    /// Microseconds for one picture.
    pub picture_micros: u64,
    /// Microseconds from one picture to the next, as the room paints several.
    pub between_micros: u64,
}

impl PicturePrediction {
    /// Milliseconds for one picture.
    #[must_use]
    pub const fn picture_ms(&self) -> u64 {
        self.picture_micros.div_ceil(1_000)
    }

    /// Pictures a minute of the whole room.
    #[must_use]
    pub fn pictures_per_minute(&self) -> f64 {
        60e6 / self.between_micros.max(1) as f64
    }
}

/// Who paints the next picture, of `free` workers that hold the picture model, when `units_waiting` pictures (this
/// one included) wait to be painted. None if nobody can.
///
/// With as many pictures as devices each paints its own; nothing is faster than that. Otherwise the devices that are
/// left over join in, if the picture is clearly done sooner.
#[must_use]
pub fn crew(shape: &PictureShape, free: &[&Worker], links: &Links, units_waiting: usize) -> Option<Crew> {
    let mut painters: Vec<&Worker> =
        free.iter().copied().filter(|worker| worker.speed.step_micros > 0).collect();
    painters.sort_by_cached_key(|worker| (alone_micros(shape, worker), worker.id));
    let (&primary, others) = painters.split_first()?;
    let units = units_waiting.max(1);
    let helpers = (painters.len() / units).clamp(1, CREW_PEERS) - 1;
    let near: Vec<&Worker> = if helpers == 0 {
        Vec::new()
    } else {
        others.iter().copied().filter(|worker| worker.is_linked(primary)).collect()
    };
    let half = best_half(shape, primary, &near, links);
    let exact = step_micros(shape, primary, half, links).saturating_mul(shape.steps.into());
    let bands = best_bands(shape, primary, &near, helpers, links, exact);
    let half = half.filter(|_| bands.is_empty());
    let mates: Vec<&Worker> = half.into_iter().chain(bands.iter().skip(1).copied()).collect();
    let decoders = decoders(shape, primary, &mates, &near, helpers, links);
    let tiles = tiles(shape, &decoders, links);
    let alone = tiles.len() == 1 && mates.is_empty();
    let mut prediction = if bands.is_empty() {
        predict_picture(shape, primary, half, &decoders, links)
    } else {
        predict_bands(shape, &bands, &decoders, links)
    };
    prediction.between_micros = if alone {
        between_micros(shape, &painters[..units.min(painters.len())])
    } else {
        prediction.picture_micros / (units.min(painters.len()) as u64)
    };
    let why = words(&painters, helpers, half.is_some(), bands.len(), tiles.len());
    let bands = bands.iter().map(|worker| worker.id).collect();
    Some(Crew { primary: primary.id, half: half.map(|worker| worker.id), bands, tiles, why, prediction })
}

/// What a given crew takes for a picture: `half` runs the other guidance branch, `decoders` (the primary first) share
/// the tiles. `between_micros` is for this crew alone.
#[must_use]
pub fn predict_picture(
    shape: &PictureShape,
    primary: &Worker,
    half: Option<&Worker>,
    decoders: &[&Worker],
    links: &Links,
) -> PicturePrediction {
    let steps = step_micros(shape, primary, half, links).saturating_mul(shape.steps.into());
    with_ends(shape, primary, steps, decoders, links)
}

/// The same where each of `bands` (the primary first) runs a band of rows with stale neighbours.
#[must_use]
pub fn predict_bands(
    shape: &PictureShape,
    bands: &[&Worker],
    decoders: &[&Worker],
    links: &Links,
) -> PicturePrediction {
    let Some(primary) = bands.first() else { return PicturePrediction::default() };
    with_ends(shape, primary, band_steps_micros(shape, bands, links), decoders, links)
}

fn with_ends(
    shape: &PictureShape,
    primary: &Worker,
    steps: u64,
    decoders: &[&Worker],
    links: &Links,
) -> PicturePrediction {
    let encode = u64::from(primary.speed.encode_micros) + u64::from(primary.speed.hop_micros);
    let decode = decode_micros(shape, decoders, links);
    let picture_micros = encode.saturating_add(steps).saturating_add(decode);
    PicturePrediction { picture_micros, between_micros: picture_micros }
}

fn alone_micros(shape: &PictureShape, worker: &Worker) -> u64 {
    predict_picture(shape, worker, None, &[worker], &Links::default()).picture_micros
}

/// Microseconds for one step.
fn step_micros(shape: &PictureShape, primary: &Worker, half: Option<&Worker>, links: &Links) -> u64 {
    let pass = |worker: &Worker| u64::from(worker.speed.step_micros) + u64::from(worker.speed.hop_micros);
    match half {
        Some(other) if shape.guided => {
            let way = links.between(primary.id, other.id).one_way_micros(shape.latent_bytes);
            pass(primary).max(pass(other).saturating_add(way.saturating_mul(2)))
        }
        _ if shape.guided => pass(primary) + u64::from(primary.speed.step_micros),
        _ => pass(primary),
    }
}

/// The worker with which a step is shortest, if that is clearly shorter than without.
fn best_half<'a>(
    shape: &PictureShape,
    primary: &Worker,
    near: &[&'a Worker],
    links: &Links,
) -> Option<&'a Worker> {
    let step = |half: Option<&Worker>| step_micros(shape, primary, half, links);
    let tried = near.iter().copied().take(HALVES_TRIED);
    let best = tried.min_by_key(|worker| step(Some(worker)))?;
    (shape.everyone && shape.guided || clearly_faster(step(Some(best)), step(None))).then_some(best)
}

/// The workers, the primary first, among which bands make all steps clearly shorter than `exact` microseconds; none if
/// nobody allowed them, or there are none.
fn best_bands<'a>(
    shape: &PictureShape,
    primary: &'a Worker,
    near: &[&'a Worker],
    helpers: usize,
    links: &Links,
    exact: u64,
) -> Vec<&'a Worker> {
    let possible = shape.stale && shape.context_bytes > 0 && shape.steps > limits::WARM_STEPS;
    if !possible {
        return Vec::new();
    }
    // Everybody sends to everybody.
    let mut all = vec![primary];
    for worker in near.iter().take(HALVES_TRIED) {
        if all.len() < limits::PATCHES.min(helpers + 1) && all.iter().all(|other| worker.is_linked(other)) {
            all.push(worker);
        }
    }
    let fits = |count: &usize| shape.context_bytes / *count as u64 <= limits::BLOB_BYTES as u64;
    let micros = |count: &usize| band_steps_micros(shape, &all[..*count], links);
    let best = (2..=all.len()).filter(fits).min_by_key(micros);
    let best = best.filter(|count| shape.everyone || clearly_faster(micros(count), exact));
    all.truncate(best.unwrap_or(0));
    all
}

/// Microseconds for all steps in bands: the first ones are whole at every member, then each waits for the slowest band and
/// for the velocities; contexts have a step's time.
fn band_steps_micros(shape: &PictureShape, bands: &[&Worker], links: &Links) -> u64 {
    let count = bands.len().max(1) as u64;
    let branches = 1 + u64::from(shape.guided);
    let slowest = |micros: fn(&Worker) -> u32| bands.iter().map(|worker| micros(worker)).max().unwrap_or(0);
    let hop = u64::from(slowest(|worker| worker.speed.hop_micros));
    let pass = u64::from(slowest(|worker| worker.speed.step_micros)).saturating_mul(branches);
    // A member sends its part to each of the others, over one uplink.
    let way = |bytes: u64| {
        let bytes = (bytes / count).saturating_mul(count - 1);
        let pairs = bands
            .iter()
            .enumerate()
            .flat_map(|(at, one)| bands[at + 1..].iter().map(move |other| (one, other)));
        pairs.map(|(one, other)| links.between(one.id, other.id).one_way_micros(bytes)).max().unwrap_or(0)
    };
    let band = (pass / count).saturating_add(2 * hop).saturating_add(way(shape.latent_bytes));
    let step = band.max(way(shape.context_bytes));
    let whole = shape.steps.min(limits::WARM_STEPS);
    let later = u64::from(shape.steps - whole);
    pass.saturating_add(hop).saturating_mul(whole.into()).saturating_add(step.saturating_mul(later))
}

/// The primary, and those whose help makes the decoding clearly faster: `helpers` at most, `mates` counted.
fn decoders<'a>(
    shape: &PictureShape,
    primary: &'a Worker,
    mates: &[&Worker],
    near: &[&'a Worker],
    helpers: usize,
    links: &Links,
) -> Vec<&'a Worker> {
    let mut crew = vec![primary];
    let is_mate = |worker: &Worker| mates.iter().any(|mate| mate.id == worker.id);
    // Mates are in the crew whether they decode or not, so they do not take another's place.
    let mut by_tile: Vec<&Worker> = near.to_vec();
    by_tile.sort_by_cached_key(|worker| {
        (Reverse(is_mate(worker)), lane(shape, primary, worker, links).finish(1), worker.id)
    });
    crew.extend(by_tile.into_iter().take(helpers));
    let together = decode_micros(shape, &crew, links);
    if !clearly_faster(together, decode_micros(shape, &[primary], links)) {
        crew.truncate(1);
    }
    crew
}

fn lane(shape: &PictureShape, primary: &Worker, worker: &Worker, links: &Links) -> Lane {
    let tiles = u64::from(shape.tiles.max(1));
    let most = if worker.speed.decode_micros == 0 && worker.id != primary.id { 0 } else { tiles };
    let compute = u64::from(worker.speed.decode_micros) / tiles;
    let hop = u64::from(worker.speed.hop_micros);
    if worker.id == primary.id {
        return Lane { fixed: hop, each: compute, least: 0, most };
    }
    let link = links.between(primary.id, worker.id);
    let bytes = shape.latent_bytes.saturating_mul(1 + PIXEL_BYTES_PER_LATENT_BYTE) / tiles;
    let each = compute.saturating_add(link.transfer_micros(bytes));
    Lane { fixed: hop.saturating_add(link.one_way_micros(0).saturating_mul(2)), each, least: 0, most }
}

/// Tiles for each of `decoders`, the primary first; those with none are left out.
fn tiles(shape: &PictureShape, decoders: &[&Worker], links: &Links) -> Vec<(PeerId, u16)> {
    let shares = shares(shape, decoders, links);
    let given = decoders.iter().zip(shares).enumerate();
    given
        .filter(|(at, (_, (_, tiles)))| *at == 0 || *tiles > 0)
        .map(|(_, (worker, (_, tiles)))| (worker.id, tiles as u16))
        .collect()
}

fn decode_micros(shape: &PictureShape, decoders: &[&Worker], links: &Links) -> u64 {
    let shares = shares(shape, decoders, links);
    shares.iter().filter(|(_, tiles)| *tiles > 0).map(|(lane, tiles)| lane.finish(*tiles)).max().unwrap_or(0)
}

fn shares(shape: &PictureShape, decoders: &[&Worker], links: &Links) -> Vec<(Lane, u64)> {
    let Some(primary) = decoders.first() else { return Vec::new() };
    let lanes: Vec<Lane> = decoders.iter().map(|worker| lane(shape, primary, worker, links)).collect();
    // The primary can take all tiles, so there is always a share.
    let shares = balance(shape.tiles.max(1).into(), &lanes).unwrap_or_default();
    lanes.into_iter().zip(shares).collect()
}

/// Microseconds from one picture to the next if each of `painters` paints its own.
fn between_micros(shape: &PictureShape, painters: &[&Worker]) -> u64 {
    // Pictures in 2^40 microseconds, so that the sum of the rates is one of integers.
    const SPAN: u64 = 1 << 40;
    let pictures: u64 = painters.iter().map(|worker| SPAN / alone_micros(shape, worker).max(1)).sum();
    SPAN / pictures.max(1)
}

fn words(painters: &[&Worker], helpers: usize, halves: bool, bands: usize, decoders: usize) -> String {
    let name = &painters[0].name;
    if bands > 0 {
        return format!(
            "{bands} devices paint a band each, and see of the others what was there two steps before"
        );
    }
    match (halves, decoders) {
        (false, 1) if painters.len() == 1 => format!("{name} is the only one free to paint"),
        (false, 1) if helpers == 0 => "there are pictures for all: each device paints its own".into(),
        (false, 1) => format!("{name} alone is as fast as with the others' help"),
        (true, 1) => format!("{name} and another device run a guidance half each"),
        (true, many) => {
            format!("{name} and another device run a guidance half each; {many} decode the tiles")
        }
        (false, many) => format!("{name} paints; {many} devices decode the tiles"),
    }
}
