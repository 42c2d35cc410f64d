//! How many layers (or tiles) each takes, so that all finish at about the same time.

use super::{Seat, Worker};
use crate::ids::Layers;
use crate::io::ModelSpec;

/// One of several that share equal items of work.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Microseconds before its first item.
    pub fixed: u64,
    /// Microseconds for each item.
    pub each: u64,
    /// It takes at least so many.
    pub least: u64,
    /// And at most so many.
    pub most: u64,
}

impl Lane {
    fn done_in(&self, micros: u64) -> u64 {
        (micros.saturating_sub(self.fixed) / self.each.max(1)).min(self.most).max(self.least)
    }

    /// Microseconds until it has done `items`.
    pub fn finish(&self, items: u64) -> u64 {
        self.fixed.saturating_add(items.saturating_mul(self.each.max(1)))
    }
}

/// How many of `items` each lane takes so that the last to finish is done soonest; None if they cannot take them all.
///
/// The time is found by bisection (64 steps at most), so the cost does not depend on the number of items.
pub fn balance(items: u64, lanes: &[Lane]) -> Option<Vec<u64>> {
    let total = |of: &dyn Fn(&Lane) -> u64| lanes.iter().map(of).fold(0_u64, u64::saturating_add);
    let impossible = lanes.iter().any(|lane| lane.least > lane.most);
    if impossible || total(&|lane| lane.most) < items || total(&|lane| lane.least) > items {
        return None;
    }
    let longest = |lane: &Lane| lane.finish(lane.most.min(items));
    let (mut low, mut high) = (0, lanes.iter().map(longest).max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if total(&|lane| lane.done_in(middle)) >= items {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut taken: Vec<u64> = lanes.iter().map(|lane| lane.done_in(high)).collect();
    // Several lanes may finish one item at that very microsecond: fewer items than lanes are too many.
    let excess = taken.iter().sum::<u64>().saturating_sub(items);
    for _ in 0..excess {
        let spare = (0..lanes.len()).filter(|&at| taken[at] > lanes[at].least);
        let last = spare.max_by_key(|&at| (lanes[at].finish(taken[at]), at))?;
        taken[last] -= 1;
    }
    Some(taken)
}

/// Bytes that a stage of `layers` takes; the embedding and the head count once where a stage has both.
#[must_use]
pub fn stage_bytes(model: &ModelSpec, layers: Layers) -> u64 {
    let end = layers.start == 0 || layers.end == model.layers;
    let ends = if end { model.ends_bytes } else { 0 };
    model.layer_bytes.saturating_mul(layers.len().into()).saturating_add(ends)
}

/// Bytes of the whole model.
#[must_use]
pub fn whole_bytes(model: &ModelSpec) -> u64 {
    stage_bytes(model, Layers { start: 0, end: model.layers })
}

/// Layers that fit into `memory` beside the embedding or the head, if the stage is at an end.
pub fn room_for(model: &ModelSpec, memory: u64, at_end: bool) -> u16 {
    let ends = if at_end { model.ends_bytes } else { 0 };
    let fit = memory.checked_sub(ends).map_or(0, |rest| rest / model.layer_bytes.max(1));
    fit.min(model.layers.into()) as u16
}

/// Gives every one of `members`, in this order, its layers; None if the model does not fit or one would have none.
pub fn seat<'a>(model: &ModelSpec, members: &[&'a Worker]) -> Option<Vec<Seat<'a>>> {
    let lane = |(at, worker): (usize, &&Worker)| Lane {
        fixed: worker.speed.hop_micros.into(),
        each: worker.speed.layer_micros.into(),
        least: 1,
        most: room_for(model, worker.memory, at == 0 || at + 1 == members.len()).into(),
    };
    let lanes: Vec<Lane> = members.iter().enumerate().map(lane).collect();
    let shares = balance(model.layers.into(), &lanes)?;
    Some(members.iter().zip(shares).map(|(worker, layers)| Seat { worker, layers: layers as u16 }).collect())
}
