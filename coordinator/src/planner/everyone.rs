//! One ring in which every device that helps takes a part, because people asked for it.
//!
//! Every layer goes to the stage that would finish it first, in units of the fastest peer's layer, until all are given
//! out; a stage never gets more than its memory holds, and the embedding and the head come off the first and the last
//! stage's memory. Speeds are rounded to powers of two of the fastest, so that noise in a probe does not skew two
//! equal tabs: 8 layers become 4 + 4. A peer so slow that it would get no layer is left out: it would be one more hop.
//!
//! Source: list scheduling on uniform machines (Graham 1969), with capacities.

use super::share::room_for;
use super::{Room, Seat, Worker};
use crate::io::ModelSpec;
use crate::limits;
use std::cmp::Reverse;

/// The ring; None if the devices that see each other cannot hold the model.
pub fn ring<'a>(room: &Room<'a>) -> Option<Vec<Seat<'a>>> {
    let fastest = room.workers.iter().map(|worker| worker.speed.layer_micros.max(1)).min()?;
    let by_speed =
        choose(room.workers, |worker| (slowness(worker.speed.layer_micros, fastest), Reverse(worker.memory)));
    let by_memory = choose(room.workers, |worker| (0, Reverse(worker.memory)));
    let largest = by_memory.first().copied().into_iter().collect();
    [by_speed, by_memory, largest].into_iter().find_map(|ring| settle(room.model, ring, fastest))
}

/// How many times slower than the fastest, rounded to a power of two (so that up to √2 counts as equal). Below
/// [`limits::LAYER_MICROS`] all are equally fast.
fn slowness(micros: u32, fastest: u32) -> u64 {
    let floor = |micros: u32| u128::from(micros.max(limits::LAYER_MICROS));
    let (micros, fastest) = (floor(micros), floor(fastest));
    let mut factor = 1_u128;
    while factor < 1 << 16 && micros * micros > 2 * factor * factor * fastest * fastest {
        factor *= 2;
    }
    factor as u64
}

/// The first workers by `rank` that all see each other, `STAGES` at most, in the order of their layers.
fn choose(workers: &[Worker], rank: impl Fn(&Worker) -> (u64, Reverse<u64>)) -> Vec<&Worker> {
    let mut best: Vec<&Worker> = workers.iter().collect();
    best.sort_by_key(|worker| (rank(worker), worker.id));
    let mut ring: Vec<&Worker> = Vec::new();
    for worker in best {
        if ring.iter().all(|other| worker.is_linked(other)) && ring.len() < limits::STAGES {
            ring.push(worker);
        }
    }
    order_by_memory(&mut ring);
    ring
}

/// The two largest come first and last, where the embedding and the head are; the rest is ordered by id.
fn order_by_memory(ring: &mut Vec<&Worker>) {
    ring.sort_by_key(|worker| (Reverse(worker.memory), worker.id));
    if ring.len() > 2 {
        let last = ring.remove(1);
        ring[1..].sort_by_key(|worker| worker.id);
        ring.push(last);
    }
}

/// The ring without those that get no layer, and the layers of the rest; None if they do not fit.
fn settle<'a>(model: &ModelSpec, mut ring: Vec<&'a Worker>, fastest: u32) -> Option<Vec<Seat<'a>>> {
    let mut shares = share_out(model, &ring, fastest)?;
    while let Some(idle) = shares.iter().position(|&share| share == 0) {
        let mut fewer = ring.clone();
        fewer.remove(idle);
        order_by_memory(&mut fewer);
        if let Some(others) = share_out(model, &fewer, fastest) {
            (ring, shares) = (fewer, others);
            continue;
        }
        // Without it an end would fall on a smaller peer that cannot hold it: it takes a layer off the busiest.
        let at_end = idle == 0 || idle + 1 == ring.len();
        let can = room_for(model, ring[idle].memory, at_end) > 0;
        let busiest = (0..shares.len()).max_by_key(|&at| shares[at]).filter(|&at| can && shares[at] > 1)?;
        shares[busiest] -= 1;
        shares[idle] = 1;
    }
    Some(ring.into_iter().zip(shares).map(|(worker, layers)| Seat { worker, layers }).collect())
}

/// Layers per stage; None if they do not fit.
fn share_out(model: &ModelSpec, ring: &[&Worker], fastest: u32) -> Option<Vec<u16>> {
    let fits = |at: usize| room_for(model, ring[at].memory, at == 0 || at + 1 == ring.len());
    let room: Vec<u16> = (0..ring.len()).map(fits).collect();
    let slowness: Vec<u64> = ring.iter().map(|worker| slowness(worker.speed.layer_micros, fastest)).collect();
    let mut shares = vec![0_u16; ring.len()];
    for _ in 0..model.layers {
        let finish = |at: usize| (u64::from(shares[at]) + 1) * slowness[at];
        let open = (0..ring.len()).filter(|&at| shares[at] < room[at]);
        let soonest = open.min_by_key(|&at| finish(at))?;
        shares[soonest] += 1;
    }
    Some(shares)
}
