//! Exponentials that are the same to the bit on every machine, in operations that compilers turn into SIMD.

/// `eˣ`, within 2 units in the last place; from −87 down it is 1.6e-38, from 88 up 1.7e38. NaN stays NaN.
///
/// The range is reduced to ±ln 2 / 2, where a polynomial of degree 7 does (coefficients of Cephes' `expf`, S. Moshier).
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    // Adding and taking away 1.5·2²³ rounds to an integer, and leaves it in the lowest bits on the way.
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few enough bits to be exact times n.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = p * (r * r) + r + 1.0;
    // Wrapping, for NaN: whatever power comes out, e is NaN too.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    e * f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `tanh x`, within 2.5e-7.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// `x / (1 + e⁻ˣ)`, also called swish.
#[inline(always)]
#[must_use]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2`: the approximation of GELU that Gemma was trained with.
#[inline(always)]
#[must_use]
pub fn gelu_tanh(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

/// Lanes of a sum: 16 partial sums, then halves onto halves.
const LANES: usize = 16;

/// The sum of products, in a fixed order.
///
/// # Shapes
/// - `a`, `b`: of one length; what is longer is not looked at
#[inline(always)]
#[must_use]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest) {
        *lane += a * b;
    }
    fold(lanes)
}

/// The sum of what `f` makes of each number, in the same fixed order.
#[inline(always)]
#[must_use]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for x in whole {
        for lane in 0..LANES {
            lanes[lane] += f(x[lane]);
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += f(*x));
    fold(lanes)
}

#[inline(always)]
pub(crate) fn fold(lanes: [f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
