//! One draw. Nothing is sorted but the few best tokens, and nothing is allocated but in a scratch that is used again.

use super::Sampling;
use crate::error::Error;
use crate::random::uniform;
use std::cmp::Ordering;

/// Memory that draws use again: about 8 bytes per entry of the vocabulary.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    candidates: Vec<Candidate>,
    recent: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: f32,
    id: u32,
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability, if [`Sampling::report`] asks: as the model has it, before anything in
    /// the settings changed the scores.
    pub log_probability: Option<f32>,
    /// The best tokens and theirs, best first, as many as [`Sampling::report`] asks for.
    pub best: Vec<(u32, f32)>,
}

/// Tokens that are sorted at first, and by how much more each time that they are too few. Source: measured; an
/// answer's usual 95 % are fewer than 64.
const FIRST: usize = 64;
const MORE: usize = 8;

impl Sampling {
    /// The token for `position` of the sequence, given the scores of all and the last tokens before it, oldest first:
    /// [`limits::RECENT`](crate::limits::RECENT) of them are enough for any settings.
    ///
    /// Ties go to the lower id. The draw depends on the seed, the position, the scores and the recent tokens alone.
    ///
    /// # Errors
    /// [`Error::Device`] if there are no scores or one is not a number: the device computed nonsense.
    pub fn draw(
        &self,
        scores: &[f32],
        position: u64,
        recent: &[u32],
        scratch: &mut Scratch,
    ) -> Result<Drawn, Error> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return Err(Error::Device("the scores of the next token are not numbers".into()));
        }
        scratch.fill(scores);
        let best = scratch.report(self.report.into());
        self.adjust(recent, scratch);
        let token = if self.temperature == 0.0 {
            scratch.best().id
        } else {
            self.choose(position, &mut scratch.candidates)
        };
        let sum = (self.report > 0).then(|| log_sum(scores));
        let log = |id: u32| sum.map(|sum| (f64::from(scores[id as usize]) - sum) as f32);
        let best = best.into_iter().filter_map(|id| Some((id, log(id)?))).collect();
        Ok(Drawn { token, log_probability: log(token), best })
    }

    /// Bias and penalties, while candidates still lie in the order of their ids.
    fn adjust(&self, recent: &[u32], scratch: &mut Scratch) {
        let Scratch { candidates, recent: ids } = scratch;
        for (id, bias) in &self.bias {
            if let Some(candidate) = candidates.get_mut(*id as usize) {
                candidate.score += bias;
            }
        }
        if !self.looks_back() {
            return;
        }
        ids.clear();
        ids.extend(recent.iter().rev().take(self.window.into()));
        ids.sort_unstable();
        for same in ids.chunk_by(|a, b| a == b) {
            if let Some(candidate) = candidates.get_mut(same[0] as usize) {
                candidate.score = self.penalised(candidate.score, same.len());
            }
        }
    }

    fn penalised(&self, score: f32, count: usize) -> f32 {
        let repeated = if score > 0.0 { score / self.repetition } else { score * self.repetition };
        repeated - self.presence - self.frequency * count as f32
    }

    fn choose(&self, position: u64, candidates: &mut Vec<Candidate>) -> u32 {
        let top = f64::from(best(candidates).score);
        let temperature = f64::from(self.temperature);
        // A score of −∞ is a weight of 0; a best score of +∞ or −∞ would make NaN of the difference.
        let weigh = |candidate: &Candidate| {
            let score = f64::from(candidate.score);
            if score == top { 1.0 } else { ((score - top) / temperature).exp() }
        };
        if self.top_k > 0 && (self.top_k as usize) < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k as usize - 1, better);
            candidates.truncate(self.top_k as usize);
            candidates.sort_unstable_by(better);
        }
        if self.top_p < 1.0 || self.min_p > 0.0 {
            let total = if self.top_p < 1.0 { candidates.iter().map(weigh).sum() } else { f64::INFINITY };
            let keep = self.nucleus(candidates, weigh, total).unwrap_or(candidates.len());
            candidates.truncate(keep);
        }
        pick(candidates, weigh, uniform(self.seed, position))
    }

    /// How many of the best tokens are enough for most draws with these settings, or None if every score is needed.
    #[must_use]
    pub fn best_needed(&self, most: usize) -> Option<usize> {
        let cut = self.top_p < 1.0 || self.min_p > 0.0;
        match () {
            () if self.report > 0 || !self.bias.is_empty() || self.looks_back() => None,
            () if self.temperature == 0.0 => Some(1),
            () if self.top_k as usize > most => None,
            () if self.top_k > 0 => Some(self.top_k as usize),
            () => cut.then_some(most),
        }
    }

    /// The token that [`Sampling::draw`] would draw, given only the best ones, best first, and the logarithm of the sum of
    /// `e^(score / temperature)` over all; None if that is not enough to tell, or the scores are no ordinary numbers.
    #[must_use]
    pub fn draw_best(&self, best: &[(u32, f32)], log_sum: f32, position: u64) -> Option<u32> {
        let &(first, top) = best.first().filter(|(_, top)| top.is_finite() && *top > f32::MIN)?;
        if self.temperature == 0.0 {
            return Some(first);
        }
        let mut candidates: Vec<Candidate> =
            best.iter().map(|&(id, score)| Candidate { score, id }).collect();
        if self.top_k > 0 && self.top_k as usize <= best.len() {
            return Some(self.choose(position, &mut candidates));
        }
        let (top, temperature) = (f64::from(top), f64::from(self.temperature));
        let weigh = |candidate: &Candidate| ((f64::from(candidate.score) - top) / temperature).exp();
        let total =
            if self.top_p < 1.0 { (f64::from(log_sum) - top / temperature).exp() } else { f64::INFINITY };
        let keep = self.nucleus(&mut candidates, weigh, total)?;
        Some(pick(&candidates[..keep], weigh, uniform(self.seed, position)))
    }

    /// Brings the candidates that `top_p` of `total` and `min_p` keep to the front, best first, and counts them; None if
    /// these would keep more than there are.
    fn nucleus(
        &self,
        candidates: &mut [Candidate],
        weigh: impl Fn(&Candidate) -> f64,
        total: f64,
    ) -> Option<usize> {
        let (enough, least) = (total * f64::from(self.top_p), f64::from(self.min_p));
        let (mut sum, mut sorted, mut next) = (0.0, 0, FIRST);
        while sorted < candidates.len() {
            let end = next.min(candidates.len());
            let rest = &mut candidates[sorted..];
            if end - sorted < rest.len() {
                rest.select_nth_unstable_by(end - sorted - 1, better);
            }
            rest[..end - sorted].sort_unstable_by(better);
            for (index, candidate) in candidates[..end].iter().enumerate().skip(sorted) {
                let weight = weigh(candidate);
                if index > 0 && weight < least {
                    return Some(index);
                }
                sum += weight;
                if sum >= enough {
                    return Some(index + 1);
                }
            }
            (sorted, next) = (end, end.saturating_mul(MORE));
        }
        None
    }
}

impl Scratch {
    fn fill(&mut self, scores: &[f32]) {
        self.candidates.clear();
        self.candidates.extend(scores.iter().zip(0..).map(|(score, id)| Candidate { score: *score, id }));
    }

    fn best(&self) -> Candidate {
        best(&self.candidates)
    }

    /// The ids of the best `count`, best first. The candidates are in the order of their ids before and after.
    fn report(&mut self, count: usize) -> Vec<u32> {
        let mut ids: Vec<Candidate> = Vec::with_capacity(count + 1);
        for candidate in self.candidates.iter().filter(|_| count > 0) {
            if ids.len() == count && better(&ids[count - 1], candidate) == Ordering::Less {
                continue;
            }
            let at = ids.partition_point(|other| better(other, candidate) == Ordering::Less);
            ids.insert(at, *candidate);
            ids.truncate(count);
        }
        ids.into_iter().map(|candidate| candidate.id).collect()
    }
}

/// A draw with `random` in `[0, 1)` among candidates by their weights.
fn pick(candidates: &[Candidate], weigh: impl Fn(&Candidate) -> f64, random: f64) -> u32 {
    let total: f64 = candidates.iter().map(&weigh).sum();
    let mut left = random * total;
    let mut last = candidates[0].id;
    for candidate in candidates {
        let weight = weigh(candidate);
        left -= weight;
        if left < 0.0 {
            return candidate.id;
        }
        if weight > 0.0 {
            last = candidate.id;
        }
    }
    // Rounding may leave a crumb; it belongs to the last one that could be drawn.
    last
}

/// Best first; of equals, the lower id.
fn better(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.id.cmp(&b.id))
}

fn best(candidates: &[Candidate]) -> Candidate {
    let first = candidates[0];
    candidates.iter().fold(first, |best, next| {
        if next.score > best.score || (next.score == best.score && next.id < best.id) { *next } else { best }
    })
}

/// The logarithm of the sum of exponentials, which log-probabilities are relative to.
fn log_sum(scores: &[f32]) -> f64 {
    let top = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - top).exp()).sum();
    top + sum.ln()
}
