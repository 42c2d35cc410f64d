//! From scores to a token, the same one wherever it is drawn.

use crate::error::Error;
use crate::limits;
use crate::random::uniform;
use serde::{Deserialize, Serialize};

/// How the next token is chosen. On the wire it is these fields in postcard, at most
/// [`limits::SAMPLING_BYTES`] long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Scores are divided by it: 0 always takes the best token, 2 is nearly random.
    pub temperature: f32,
    /// Only this many best tokens are considered; 0 considers all.
    pub top_k: u32,
    /// Of those, only the best ones that together have this probability (Holtzman et al. 2020); 1 keeps all.
    pub top_p: f32,
    /// Of those, only tokens at least this fraction as probable as the best (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f32,
    /// The same seed draws the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// Lively, but on the subject.
    fn default() -> Self {
        Self { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.0, seed: 0 }
    }
}

impl Sampling {
    /// Hottest temperature. Source: beyond it every vocabulary is noise.
    pub const HOTTEST: f32 = 10.0;

    /// Always the best token.
    #[must_use]
    pub const fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Sampling`] names the field.
    pub fn check(self) -> Result<Self, Error> {
        let rows = [
            ("temperature", self.temperature, (0.0..=Self::HOTTEST).contains(&self.temperature), "0 to 10"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, up to 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1"),
        ];
        match rows.iter().find(|(_, _, good, _)| !good) {
            Some((name, value, _, range)) => {
                Err(Error::Sampling(format!("{name} is {value}; allowed: {range}")))
            }
            None => Ok(self),
        }
    }

    /// For the wire.
    ///
    /// # Errors
    /// [`Error::Sampling`] as [`Sampling::check`].
    pub fn to_bytes(self) -> Result<Vec<u8>, Error> {
        postcard::to_stdvec(&self.check()?).map_err(|e| Error::Sampling(e.to_string()))
    }

    /// From the wire; the bytes may be hostile.
    ///
    /// # Errors
    /// [`Error::Sampling`] if they are too many, not these fields, or out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > limits::SAMPLING_BYTES {
            return Err(Error::Sampling(format!(
                "{} bytes, {} at most",
                bytes.len(),
                limits::SAMPLING_BYTES
            )));
        }
        let (sampling, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|e| Error::Sampling(format!("not readable: {e}")))?;
        if !rest.is_empty() {
            return Err(Error::Sampling(format!("{} bytes too many", rest.len())));
        }
        sampling.check()
    }

    /// The token for `position` of the sequence, given the scores of all.
    ///
    /// Ties go to the lower id. The draw depends on the seed and the position alone.
    ///
    /// # Errors
    /// [`Error::Device`] if there are no scores or one is not a number: the device computed nonsense.
    pub fn sample(&self, scores: &[f32], position: u64) -> Result<u32, Error> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return Err(Error::Device("the scores of the next token are not numbers".into()));
        }
        if self.temperature == 0.0 {
            return Ok(best(scores));
        }
        let candidates = self.candidates(scores);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = uniform(self.seed, position) * total;
        for (token, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return Ok(*token);
            }
        }
        // Rounding may leave a crumb; it belongs to the last one.
        Ok(candidates[candidates.len() - 1].0)
    }

    /// Tokens that may be drawn, best first, with weights relative to the best one's 1.
    fn candidates(&self, scores: &[f32]) -> Vec<(u32, f64)> {
        let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
        let better = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
        let keep = match self.top_k as usize {
            0 => ids.len(),
            k => k.min(ids.len()),
        };
        if keep < ids.len() {
            ids.select_nth_unstable_by(keep - 1, better);
            ids.truncate(keep);
        }
        ids.sort_unstable_by(better);
        let top = f64::from(scores[ids[0] as usize]);
        let temperature = f64::from(self.temperature);
        // A score of −∞ is a weight of 0; a best score of +∞ or −∞ would make NaN of the difference.
        let weigh = |score: f64| {
            if score == top { 1.0 } else { ((score - top) / temperature).exp() }
        };
        let weighted: Vec<_> = ids.iter().map(|id| (*id, weigh(f64::from(scores[*id as usize])))).collect();
        self.nucleus(weighted)
    }

    fn nucleus(&self, mut weighted: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
        let likely = weighted.iter().take_while(|(_, weight)| *weight >= f64::from(self.min_p)).count();
        weighted.truncate(likely.max(1));
        let enough = weighted.iter().map(|(_, weight)| weight).sum::<f64>() * f64::from(self.top_p);
        let mut sum = 0.0;
        let reached = weighted.iter().position(|(_, weight)| {
            sum += weight;
            sum >= enough
        });
        weighted.truncate(reached.map_or(weighted.len(), |index| index + 1));
        weighted
    }
}

fn best(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (id, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = id;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 6] = [1.0, 4.0, 3.0, 4.0, -2.0, f32::NEG_INFINITY];

    fn with(change: impl FnOnce(&mut Sampling)) -> Sampling {
        let mut sampling = Sampling { temperature: 1.0, ..Sampling::greedy() };
        change(&mut sampling);
        sampling
    }

    /// Rows: settings, tokens that may appear in 400 draws, why.
    #[test]
    fn only_the_allowed_tokens_are_drawn() {
        let rows = [
            (Sampling::greedy(), vec![1], "temperature 0 takes the best, and the lower id of two equals"),
            (with(|s| s.top_k = 1), vec![1], "one candidate leaves no choice, ties as above"),
            (with(|s| s.top_k = 2), vec![1, 3], "the two best"),
            (with(|s| s.top_k = 3), vec![1, 2, 3], "the three best"),
            (
                with(|s| s.top_k = 99),
                vec![0, 1, 2, 3],
                "more than there are is all; −2 is too rare, −∞ never",
            ),
            (with(|s| s.top_p = 0.4), vec![1], "the best alone has 0.41 of the probability"),
            (with(|s| s.top_p = 0.8), vec![1, 3], "the two best have 0.82"),
            (with(|s| s.min_p = 0.3), vec![1, 2, 3], "the third is 0.37 as likely as the best"),
            (with(|s| s.min_p = 1.0), vec![1, 3], "only what is as likely as the best"),
            (with(|s| s.temperature = 0.05), vec![1, 3], "cold leaves the best"),
        ];
        for (sampling, expected, why) in rows {
            let mut drawn: Vec<u32> = (0..400).map(|at| sampling.sample(&SCORES, at).unwrap()).collect();
            drawn.sort_unstable();
            drawn.dedup();
            drawn.retain(|token| *token != 4); // Probability 0.001: may or may not appear.
            assert_eq!(drawn, expected, "{why}");
        }
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let sampling = with(|s| s.seed = 3);
        let draws = 20_000;
        let mut counts = [0u32; 3];
        for at in 0..draws {
            counts[sampling.sample(&[0.0, 2f32.ln(), 5f32.ln()], at).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0]) {
            let share = f64::from(*count) / draws as f64;
            assert!((share - expected).abs() < 0.018, "five standard errors around {expected}, got {share}");
        }
    }

    #[test]
    fn a_draw_depends_on_seed_and_position_only() {
        let draw = |seed, at| with(|s| s.seed = seed).sample(&SCORES, at).unwrap();
        let forward: Vec<u32> = (0..200).map(|at| draw(1, at)).collect();
        let mut backward: Vec<u32> = (0..200).rev().map(|at| draw(1, at)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_ne!(forward, (0..200).map(|at| draw(2, at)).collect::<Vec<_>>());
    }

    #[test]
    fn nonsense_scores_are_an_error() {
        assert!(Sampling::greedy().sample(&[], 0).is_err());
        assert!(Sampling::default().sample(&[0.0, f32::NAN], 0).is_err());
    }

    /// Rows: settings out of range, the field that the error has to name.
    #[test]
    fn settings_are_checked_on_both_ways() {
        let rows = [
            (with(|s| s.temperature = -0.1), "temperature"),
            (with(|s| s.temperature = f32::NAN), "temperature"),
            (with(|s| s.temperature = f32::INFINITY), "temperature"),
            (with(|s| s.top_p = 0.0), "top_p"),
            (with(|s| s.top_p = 1.5), "top_p"),
            (with(|s| s.min_p = -1.0), "min_p"),
        ];
        for (sampling, field) in rows {
            assert!(sampling.to_bytes().unwrap_err().to_string().contains(field));
            let bytes = postcard::to_stdvec(&sampling).unwrap();
            assert!(Sampling::from_bytes(&bytes).unwrap_err().to_string().contains(field));
        }
    }

    #[test]
    fn bytes_come_back_whole_or_not_at_all() {
        let sampling = Sampling { seed: u64::MAX, top_k: u32::MAX, ..Sampling::default() };
        let bytes = sampling.to_bytes().unwrap();
        assert_eq!(Sampling::from_bytes(&bytes), Ok(sampling));
        for cut in 0..bytes.len() {
            assert!(Sampling::from_bytes(&bytes[..cut]).is_err(), "cut off after {cut} bytes");
        }
        assert!(Sampling::from_bytes(&[bytes, vec![0]].concat()).is_err(), "one byte too many");
        assert!(Sampling::from_bytes(&[0; limits::SAMPLING_BYTES + 1]).is_err(), "over the bound");
    }
}
