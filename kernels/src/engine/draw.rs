//! The next tokens of several sequences.

use crate::error::Error;
use crate::llm::{Sampling, Scratch, read_back};
use crate::ops::pick::gpu::{CANDIDATES, Picked, pick};
use crate::ops::{Tier, rows};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// A token that is wanted.
pub(super) struct Wish<'a> {
    pub sampling: &'a Sampling,
    /// The last tokens before it.
    pub recent: &'a [u32],
    /// Its position.
    pub position: u64,
}

/// A token for each row of `scores`; none where they are no numbers.
///
/// # Shapes
/// - `scores`: `[1, wishes, vocabulary]`
///
/// # Errors
/// [`Error::Device`].
pub(super) async fn draw(
    device: &Device,
    scores: Tensor<3>,
    wishes: &[Wish<'_>],
    scratch: &mut Scratch,
) -> Result<Vec<Option<u32>>, Error> {
    let scores = rows(scores);
    let [count, vocabulary] = scores.dims();
    let mut tokens = pick_all(device, &scores, wishes).await?;
    let open: Vec<usize> = (0..count).filter(|row| tokens[*row].is_none()).collect();
    if open.is_empty() {
        return Ok(tokens);
    }
    let all = read_back(rows_of(scores, &open)).await?;
    for (row, scores) in open.into_iter().zip(all.chunks_exact(vocabulary)) {
        let Wish { sampling, recent, position } = &wishes[row];
        tokens[row] = sampling.draw(scores, *position, recent, scratch).ok().map(|drawn| drawn.token);
    }
    Ok(tokens)
}

/// The tokens for which the device can find the few scores that they depend on: then a vocabulary of them need not be
/// read back. One launch and one readback for all of them.
///
/// # Shapes
/// - `scores`: `[wishes, vocabulary]`
async fn pick_all(
    device: &Device,
    scores: &Tensor<2>,
    wishes: &[Wish<'_>],
) -> Result<Vec<Option<u32>>, Error> {
    let mut tokens = vec![None; wishes.len()];
    let Tier::Gpu(gpu) = Tier::of(device) else { return Ok(tokens) };
    let most = CANDIDATES.min(scores.dims()[1]);
    let needed = |row: &usize| wishes[*row].sampling.best_needed(most);
    let some: Vec<usize> = (0..wishes.len()).filter(|row| needed(row).is_some()).collect();
    if some.is_empty() {
        return Ok(tokens);
    }
    // One or all of them, and nothing in between: how sums are added depends on it, so that a row would depend on others.
    let count = if some.iter().all(|row| wishes[*row].sampling.temperature == 0.0) { 1 } else { most };
    let softness = |row: &usize| match wishes[*row].sampling.temperature {
        temperature if temperature > 0.0 => 1.0 / temperature,
        _ => 1.0,
    };
    let softness: Vec<f32> = some.iter().map(softness).collect();
    // What cannot be picked is drawn from all scores.
    let Ok(picks) = pick(&gpu, rows_of(scores.clone(), &some), count, &softness) else { return Ok(tokens) };
    let picked = picks.read().await.map_err(|error| Error::Device(error.to_string()))?;
    for (row, Picked { best, log_sum }) in some.into_iter().zip(picked) {
        tokens[row] = wishes[row].sampling.draw_best(&best, log_sum, wishes[row].position);
    }
    Ok(tokens)
}

/// # Shapes
/// - `x`: `[rows, width]`
/// - result: `[wanted, width]`
pub(super) fn rows_of(x: Tensor<2>, wanted: &[usize]) -> Tensor<2> {
    let [rows, _] = x.dims();
    match wanted {
        [only] => x.narrow(0, *only, 1),
        all if all.len() == rows => x,
        some => {
            let numbers: Vec<i32> = some.iter().map(|row| *row as i32).collect();
            let numbers = Tensor::<1, Int>::from_data(TensorData::new(numbers, [some.len()]), &x.device());
            x.select(0, numbers)
        }
    }
}
