//! Over slices, in place.

use crate::ops::wide::wide;

/// Turns every head of each row by its row's angles. Queries and keys are turned by one call each.
///
/// # Shapes
/// - `x`: `[rows, heads, head_dim]`
/// - `cos`, `sin`: `[rows, turned / 2]`, with `turned` at most `head_dim`; channels from `turned` on are left alone
///
/// # Panics
/// If the slices have other lengths.
pub fn rope(x: &mut [f32], heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) {
    let row = heads * head_dim;
    assert!(row > 0 && x.len().is_multiple_of(row), "{} numbers are not rows of {row}", x.len());
    let rows = x.len() / row;
    assert_eq!(cos.len(), sin.len());
    if rows == 0 {
        return;
    }
    let half = cos.len() / rows;
    assert!(cos.len() == rows * half && 2 * half <= head_dim, "tables of {} for {rows} rows", cos.len());
    if half == 0 {
        return;
    }
    wide(|| {
        let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (x, (cos, sin)) in x.chunks_exact_mut(row).zip(tables) {
            for head in x.chunks_exact_mut(head_dim) {
                let (first, second) = head.split_at_mut(half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    });
}
