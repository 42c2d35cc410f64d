//! Over slices, in place.

use crate::ops::threads::each_of;
use crate::ops::wide::wide;

/// Numbers that are worth handing to another thread: some microseconds' work.
const WORTH: usize = 16 << 10;

/// Turns every head of every token; the tokens of each picture of a batch turn alike.
///
/// # Shapes
/// - `x`: `[batch, tokens, heads, head_dim]`; `cos`: `[tokens, head_dim / 2]`; `sin`: `[tokens, head_dim / 2, 2]`, −sin and sin
///
/// # Panics
/// If the slices have other lengths.
pub fn turn(x: &mut [f32], [heads, head_dim]: [usize; 2], cos: &[f32], sin: &[f32]) {
    let (token, pairs) = (heads * head_dim, head_dim / 2);
    assert!(pairs > 0 && heads > 0 && head_dim.is_multiple_of(2), "{heads} heads of {head_dim} channels");
    assert!(sin.len() == 2 * cos.len() && cos.len().is_multiple_of(pairs), "angles are not of pairs");
    assert!(x.len().is_multiple_of(cos.len() * 2 * heads), "angles are of other tokens");
    let tokens = cos.len() / pairs;
    each_of(x, token, WORTH.div_ceil(token), |first, x| {
        wide(|| {
            for (number, x) in x.chunks_exact_mut(token).enumerate() {
                let at = (first + number) % tokens * pairs;
                x.chunks_exact_mut(head_dim).for_each(|x| head(x, &cos[at..], &sin[2 * at..]));
            }
        });
    });
}

#[inline(always)]
fn head(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((x, cos), sin) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin.as_chunks::<2>().0) {
        let [a, b] = *x;
        *x = [a * cos + b * sin[0], b * cos + a * sin[1]];
    }
}
