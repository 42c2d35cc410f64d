//! How fast a team writes.
//!
//! One token visits every stage and every link of the ring: `lap = Σ (layers × layer time + hop) + Σ one-way delay`.
//! With `n` jobs in flight a token takes a lap, or `n` turns at whatever is busiest, whichever is longer: the two
//! bounds of a closed queueing network, which are exact where times do not vary. Source: Lazowska et al.,
//! Quantitative System Performance (1984), chapter 5.

use super::{Room, Seat};
use crate::io::Stage;
use crate::limits;

/// What a team is expected to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextPrediction {
    /// Jobs that run on the team at once, at least 1.
    pub jobs: u32,
    /// Microseconds from one token of a job to its next.
    pub token_micros: u64,
    /// Microseconds that one token keeps the busiest stage or link: the team can do no more than one token in these.
    pub slowest_micros: u64,
    /// Microseconds from the start of a job to its first token, the model being loaded.
    pub first_token_micros: u64,
}

impl TextPrediction {
    /// Tokens a second of one job.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        1e6 / self.token_micros.max(1) as f64
    }

    /// Tokens a second of all its jobs together.
    #[must_use]
    pub fn team_tokens_per_second(&self) -> f64 {
        f64::from(self.jobs) * self.tokens_per_second()
    }

    /// Milliseconds to the first token.
    #[must_use]
    pub const fn first_token_ms(&self) -> u64 {
        self.first_token_micros.div_ceil(1_000)
    }
}

/// What `team` does with `jobs` jobs on it of which a new one has `prompt_tokens`; None if one of its peers is not
/// among the room's workers.
#[must_use]
pub fn predict_text(
    room: &Room<'_>,
    team: &[Stage],
    prompt_tokens: u32,
    jobs: usize,
) -> Option<TextPrediction> {
    let seat = |stage: &Stage| {
        let worker = room.workers.iter().find(|worker| worker.id == stage.peer)?;
        Some(Seat { worker, layers: stage.layers.len() })
    };
    let seats: Vec<Seat<'_>> = team.iter().map(seat).collect::<Option<_>>()?;
    (!seats.is_empty()).then(|| predict(room, &seats, prompt_tokens, jobs))
}

pub(super) fn predict(room: &Room<'_>, seats: &[Seat<'_>], prompt: u32, jobs: usize) -> TextPrediction {
    let jobs = jobs.clamp(1, limits::PEERS * limits::JOBS_PER_PEER) as u32;
    let (lap, slowest) = lap(room, seats);
    TextPrediction {
        jobs,
        token_micros: lap.max(slowest.saturating_mul(jobs.into())),
        slowest_micros: slowest,
        first_token_micros: first_token(room, seats, prompt, jobs),
    }
}

/// Microseconds of one token's way round the ring, and of the stage or link that it keeps busy longest.
pub(super) fn lap(room: &Room<'_>, seats: &[Seat<'_>]) -> (u64, u64) {
    let (mut lap, mut slowest) = (0_u64, 0_u64);
    for (at, seat) in seats.iter().enumerate() {
        let stage = token_micros(seat);
        lap = lap.saturating_add(stage);
        slowest = slowest.max(stage);
        if seats.len() > 1 {
            let last = at + 1 == seats.len();
            let next = seats[if last { 0 } else { at + 1 }].worker.id;
            let link = room.links.between(seat.worker.id, next);
            // A token id closes the ring; only hidden states are worth counting.
            let bytes = if last { 0 } else { room.hidden_bytes };
            lap = lap.saturating_add(link.one_way_micros(bytes));
            slowest = slowest.max(link.transfer_micros(bytes));
        }
    }
    (lap, slowest)
}

/// Microseconds of one token at one stage.
fn token_micros(seat: &Seat<'_>) -> u64 {
    let speed = &seat.worker.speed;
    u64::from(seat.layers) * u64::from(speed.layer_micros.max(1)) + u64::from(speed.hop_micros)
}

/// Microseconds of a pass of `rows` tokens at one stage; never less than one token takes.
fn pass_micros(seat: &Seat<'_>, rows: u64) -> u64 {
    let speed = &seat.worker.speed;
    let layer = (rows * u64::from(speed.prefill_micros)).max(speed.layer_micros.max(1).into());
    u64::from(seat.layers).saturating_mul(layer).saturating_add(speed.hop_micros.into())
}

/// The prompt moves through stages and links in passes, each at work on one while its successor has the one before.
/// Devices take chunks in the order of their arrival, so a pass lets one token of every other job go first.
fn first_token(room: &Room<'_>, seats: &[Seat<'_>], prompt: u32, jobs: u32) -> u64 {
    let mut left = u64::from(prompt).clamp(1, limits::JOB_TOKENS as u64);
    // When each stage, and the link after it, is free again.
    let mut stage_free = vec![0_u64; seats.len()];
    let mut link_free = stage_free.clone();
    let mut arrives = 0;
    while left > 0 {
        let rows = left.min(limits::PASS_TOKENS as u64);
        left -= rows;
        arrives = 0;
        for (at, seat) in seats.iter().enumerate() {
            let others = token_micros(seat).saturating_mul(u64::from(jobs - 1));
            let work = pass_micros(seat, rows).saturating_add(others);
            stage_free[at] = stage_free[at].max(arrives).saturating_add(work);
            arrives = stage_free[at];
            if let Some(next) = seats.get(at + 1) {
                let link = room.links.between(seat.worker.id, next.worker.id);
                let transfer = link.transfer_micros(room.hidden_bytes.saturating_mul(rows));
                link_free[at] = link_free[at].max(arrives).saturating_add(transfer);
                arrives = link_free[at].saturating_add(link.one_way_micros(0));
            }
        }
    }
    arrives
}
