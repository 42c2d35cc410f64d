//! WebAssembly's 128 bits. Its widest integer product is of pairs of 16 bits, so activations
//! come as i16, and a word of weights is taken apart into its even and its odd byte, see `activations::widen`.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the contract of `Simd` is all that the intrinsics ask"
)]

use super::simd::Simd;
use super::tiles::kernels;
use std::arch::wasm32::*;

/// `N` registers of four rows.
pub(super) struct Wasm<const N: usize>;

/// What is kept in registers.
#[derive(Clone, Copy)]
pub(super) struct Masks {
    /// Each nibble of a word but the topmost.
    nibbles: [v128; 3],
    /// The even byte of a word.
    even: v128,
    /// The lower half of a byte.
    low: v128,
    /// Where the upper bits of six go.
    upper: v128,
    /// Sign, and the exponent and fraction of a half, of an f32.
    half: v128,
    /// 2^112: between the exponents of half and f32.
    bias: v128,
}

#[inline(always)]
unsafe fn load<const N: usize>(bytes: *const u8) -> [v128; N] {
    std::array::from_fn(|i| unsafe { v128_load(bytes.add(16 * i).cast()) })
}

#[inline(always)]
fn each<const N: usize>(a: [v128; N], f: impl Fn(v128) -> v128) -> [v128; N] {
    a.map(f)
}

#[inline(always)]
fn zip<const N: usize>(a: [v128; N], b: [v128; N], f: impl Fn(v128, v128) -> v128) -> [v128; N] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// Even and odd weights of each word, times the activations that belong to them.
#[inline(always)]
unsafe fn dot<const N: usize>(sum: [v128; N], [even, odd]: [[v128; N]; 2], quad: *const u8) -> [v128; N] {
    unsafe {
        let (a, b) = (v128_load32_splat(quad.cast()), v128_load32_splat(quad.add(4).cast()));
        let sum = zip(sum, even, |sum, even| i32x4_add(sum, i32x4_dot_i16x8(even, a)));
        zip(sum, odd, |sum, odd| i32x4_add(sum, i32x4_dot_i16x8(odd, b)))
    }
}

impl<const N: usize> Simd for Wasm<N> {
    const ROWS: usize = 4 * N;
    const QUAD_BYTES: usize = 8;
    type Ints = [v128; N];
    type Floats = [v128; N];
    type Signed = [[v128; N]; 2];
    type Pairs = [v128; N];
    type Low = [[v128; N]; 2];
    type High = [[v128; N]; 2];
    type Six = [[v128; N]; 2];

    type Masks = Masks;

    #[inline(always)]
    unsafe fn masks() -> Masks {
        static MASKS: [u32; 8] = [
            0x000F_000F,
            0x00F0_00F0,
            0x0F00_0F00,
            0x00FF_00FF,
            0x0F0F_0F0F,
            0x3030_3030,
            0x8FFF_FFFF,
            (127 + 112) << 23,
        ];
        // Volatile, so that the compiler cannot see that these are constants: it would put them where they are used,
        // and engines make a constant anew each time, in three instructions.
        let mask = |i: usize| u32x4_splat(unsafe { (&raw const MASKS[i]).read_volatile() });
        Masks {
            nibbles: [mask(0), mask(1), mask(2)],
            even: mask(3),
            low: mask(4),
            upper: mask(5),
            half: mask(6),
            bias: mask(7),
        }
    }
    #[inline(always)]
    unsafe fn ints(value: i32) -> [v128; N] {
        [i32x4_splat(value); N]
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> [v128; N] {
        let four = |i: usize| unsafe { v128_load32_zero(bytes.add(4 * i).cast()) };
        std::array::from_fn(|i| u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(four(i))))
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> [v128; N] {
        let four = |i: usize| unsafe { v128_load32_zero(bytes.add(4 * i).cast()) };
        std::array::from_fn(|i| i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(four(i))))
    }
    #[inline(always)]
    unsafe fn add(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| i32x4_add(a, b))
    }
    #[inline(always)]
    unsafe fn mul(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| i32x4_mul(a, b))
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: [v128; N], mask: i32) -> [v128; N] {
        each(a, |a| v128_and(u32x4_shr(a, SHIFT), i32x4_splat(mask)))
    }
    #[inline(always)]
    unsafe fn join(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| v128_or(a, i32x4_shl(b, 4)))
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> [v128; N] {
        [i32x4_splat(0); N]
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> [v128; N] {
        [i32x4_splat(value << 8); N]
    }
    #[inline(always)]
    unsafe fn finish(sum: [v128; N]) -> [v128; N] {
        each(sum, |sum| i32x4_shr(sum, 8))
    }
    /// The even byte in the upper half of its word, the odd one in the lower.
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> [[v128; N]; 2] {
        let words = unsafe { load(bytes) };
        [each(words, |words| i16x8_shl(words, 8)), each(words, |words| i16x8_shr(words, 8))]
    }
    #[inline(always)]
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs {
        unsafe { load(bytes) }
    }
    /// The nibbles of a word stay where they are, except for the topmost, which would be a sign.
    #[inline(always)]
    unsafe fn low(pairs: Self::Pairs, masks: Masks) -> Self::Low {
        let [low, _, high] = masks.nibbles;
        [each(pairs, |words| v128_and(words, low)), each(pairs, |words| v128_and(words, high))]
    }
    #[inline(always)]
    unsafe fn high(pairs: Self::Pairs, masks: Masks) -> Self::High {
        [each(pairs, |words| v128_and(words, masks.nibbles[1])), each(pairs, |words| u16x8_shr(words, 12))]
    }
    #[inline(always)]
    unsafe fn load_six<const SECOND: bool>(
        low: *const u8,
        high: *const u8,
        masks: Masks,
    ) -> [[[v128; N]; 2]; 2] {
        let [low, high] = unsafe { [load(low), load(high)] };
        let join = |low, high| v128_or(v128_and(low, masks.low), v128_and(high, masks.upper));
        let split = |words: [v128; N]| {
            [each(words, |words| v128_and(words, masks.even)), each(words, |words| u16x8_shr(words, 8))]
        };
        let shift = if SECOND { 2 } else { 4 };
        let first = zip(low, high, |low, high| join(low, u16x8_shl(high, shift)));
        let third = zip(low, high, |low, high| {
            join(u16x8_shr(low, 4), if SECOND { u16x8_shr(high, 2) } else { high })
        });
        [split(first), split(third)]
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: [v128; N], weights: [[v128; N]; 2], quad: *const u8) -> [v128; N] {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: [v128; N], weights: [[v128; N]; 2], quad: *const u8) -> [v128; N] {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: [v128; N], weights: [[v128; N]; 2], quad: *const u8) -> [v128; N] {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: [v128; N], weights: [[v128; N]; 2], quad: *const u8) -> [v128; N] {
        unsafe { dot(sum, weights, quad) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> [v128; N] {
        [f32x4_splat(value); N]
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> [v128; N] {
        unsafe { load(bytes) }
    }
    /// Exponent and fraction are moved to where an f32 has them, and the bias is made up for by a multiplication,
    /// which gets subnormal numbers right too. Infinities are refused on loading.
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8, masks: Masks) -> [v128; N] {
        let four = |i: usize| unsafe { i32x4_load_extend_i16x4(bytes.add(8 * i).cast()) };
        std::array::from_fn(|i| f32x4_mul(v128_and(i32x4_shl(four(i), 13), masks.half), masks.bias))
    }
    /// The sums are 256 times what they stand for. That goes into the bias, where it costs nothing and, being a
    /// power of two, changes no bit.
    #[inline(always)]
    unsafe fn load_finishing_halves(bytes: *const u8, masks: Masks) -> [v128; N] {
        let bias = u32x4_sub(masks.bias, u32x4_splat(8 << 23));
        unsafe { Self::load_halves(bytes, Masks { bias, ..masks }) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: [v128; N]) -> [v128; N] {
        each(a, |a| f32x4_convert_i32x4(a))
    }
    #[inline(always)]
    unsafe fn add_floats(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    unsafe fn sub_floats(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| f32x4_sub(a, b))
    }
    #[inline(always)]
    unsafe fn mul_floats(a: [v128; N], b: [v128; N]) -> [v128; N] {
        zip(a, b, |a, b| f32x4_mul(a, b))
    }
    #[inline(always)]
    unsafe fn store(a: [v128; N], to: *mut f32) {
        for (i, a) in a.into_iter().enumerate() {
            unsafe { v128_store(to.add(4 * i).cast(), a) };
        }
    }
}

kernels!([] 4: Wasm<2>, 2: Wasm<2>, 1: Wasm<4>);
