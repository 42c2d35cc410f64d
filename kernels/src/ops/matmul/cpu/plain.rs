//! No instruction set in particular: what all others are compared with, and what machines without them run.

use super::simd::Simd;
use super::tiles::kernels;

pub(super) struct Plain;

const ROWS: usize = 16;

#[inline(always)]
fn map(f: impl Fn(usize) -> i32) -> [i32; ROWS] {
    std::array::from_fn(f)
}

/// Lane by lane: four weights, through `weight`, times four activations.
#[inline(always)]
unsafe fn dot<W: Copy>(
    sum: [i32; ROWS],
    weights: [W; ROWS * 4],
    quad: *const u8,
    weight: fn(W) -> i32,
) -> [i32; ROWS] {
    // SAFETY: the caller's: a quad is four bytes.
    let quad = unsafe { quad.cast::<[i8; 4]>().read_unaligned() }.map(i32::from);
    map(|r| sum[r] + (0..4).map(|i| weight(weights[4 * r + i]) * quad[i]).sum::<i32>())
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "reads what the contract of `Simd` says is there")]
impl Simd for Plain {
    const ROWS: usize = ROWS;
    const QUAD_BYTES: usize = 4;
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];
    type Signed = [i8; ROWS * 4];
    type Pairs = [u8; ROWS * 4];
    type Low = [u8; ROWS * 4];
    type High = [u8; ROWS * 4];
    type Six = [u8; ROWS * 4];

    type Masks = ();

    #[inline(always)]
    unsafe fn masks() {}
    #[inline(always)]
    unsafe fn ints(value: i32) -> Self::Ints {
        [value; ROWS]
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> Self::Ints {
        unsafe { bytes.cast::<[u8; ROWS]>().read() }.map(i32::from)
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> Self::Ints {
        unsafe { bytes.cast::<[i8; ROWS]>().read() }.map(i32::from)
    }
    #[inline(always)]
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        map(|r| a[r].wrapping_add(b[r]))
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        map(|r| a[r].wrapping_mul(b[r]))
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: Self::Ints, mask: i32) -> Self::Ints {
        a.map(|a| (a >> SHIFT) & mask)
    }
    #[inline(always)]
    unsafe fn join(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        map(|r| a[r] | (b[r] << 4))
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> Self::Ints {
        [0; ROWS]
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> Self::Ints {
        [value; ROWS]
    }
    #[inline(always)]
    unsafe fn finish(sum: Self::Ints) -> Self::Ints {
        sum
    }
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> Self::Signed {
        unsafe { bytes.cast::<Self::Signed>().read() }
    }
    #[inline(always)]
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs {
        unsafe { bytes.cast::<Self::Pairs>().read() }
    }
    #[inline(always)]
    unsafe fn low(pairs: Self::Pairs, _: ()) -> Self::Low {
        pairs.map(|byte| byte & 0xF)
    }
    #[inline(always)]
    unsafe fn high(pairs: Self::Pairs, _: ()) -> Self::High {
        pairs.map(|byte| byte >> 4)
    }
    #[inline(always)]
    unsafe fn load_six<const SECOND: bool>(low: *const u8, high: *const u8, _: ()) -> [Self::Six; 2] {
        let [low, high] = [low, high].map(|bytes| unsafe { bytes.cast::<Self::Six>().read() });
        let shift = if SECOND { 2 } else { 0 };
        let first = std::array::from_fn(|i| (low[i] & 0xF) | (((high[i] >> shift) & 3) << 4));
        [first, std::array::from_fn(|i| (low[i] >> 4) | (((high[i] >> (shift + 4)) & 3) << 4))]
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: Self::Ints, weights: Self::Signed, quad: *const u8) -> Self::Ints {
        unsafe { dot(sum, weights, quad, i32::from) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: Self::Ints, weights: Self::Low, quad: *const u8) -> Self::Ints {
        unsafe { dot(sum, weights, quad, i32::from) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: Self::Ints, weights: Self::High, quad: *const u8) -> Self::Ints {
        unsafe { dot(sum, weights, quad, i32::from) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: Self::Ints, weights: Self::Six, quad: *const u8) -> Self::Ints {
        unsafe { dot(sum, weights, quad, i32::from) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> Self::Floats {
        [value; ROWS]
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> Self::Floats {
        unsafe { bytes.cast::<[[u8; 4]; ROWS]>().read() }.map(f32::from_le_bytes)
    }
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8, _: ()) -> Self::Floats {
        let halves = unsafe { bytes.cast::<[[u8; 2]; ROWS]>().read() };
        halves.map(|half| half::f16::from_le_bytes(half).to_f32())
    }
    #[inline(always)]
    unsafe fn load_finishing_halves(bytes: *const u8, masks: ()) -> Self::Floats {
        unsafe { Self::load_halves(bytes, masks) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: Self::Ints) -> Self::Floats {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|r| a[r] + b[r])
    }
    #[inline(always)]
    unsafe fn sub_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|r| a[r] - b[r])
    }
    #[inline(always)]
    unsafe fn mul_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|r| a[r] * b[r])
    }
    #[inline(always)]
    unsafe fn store(a: Self::Floats, to: *mut f32) {
        unsafe { to.cast::<Self::Floats>().write_unaligned(a) };
    }
}

kernels!([] 4: Plain, 1: Plain);
