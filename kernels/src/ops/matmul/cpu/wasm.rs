//! WebAssembly's 128 bits: 8 rows in two registers. Its widest integer product is of pairs of 16 bits, so activations
//! come as i16, and a word of weights is taken apart into its even and its odd byte, see `activations::widen`.

#![expect(clippy::undocumented_unsafe_blocks, reason = "the contract of `Simd` is all that the intrinsics ask")]

use super::simd::Simd;
use super::tiles::kernels;
use std::arch::wasm32::*;

pub(super) struct Wasm;

/// Two registers of four rows.
type Pair = [v128; 2];

#[inline(always)]
unsafe fn load(bytes: *const u8) -> Pair {
    unsafe { [v128_load(bytes.cast()), v128_load(bytes.add(16).cast())] }
}

#[inline(always)]
fn both(a: Pair, f: impl Fn(v128) -> v128) -> Pair {
    [f(a[0]), f(a[1])]
}

#[inline(always)]
fn zip(a: Pair, b: Pair, f: impl Fn(v128, v128) -> v128) -> Pair {
    [f(a[0], b[0]), f(a[1], b[1])]
}

/// Even and odd weights of each word, times the activations that belong to them.
#[inline(always)]
unsafe fn dot(sum: Pair, [even, odd]: [Pair; 2], quad: *const u8) -> Pair {
    unsafe {
        let (a, b) = (v128_load32_splat(quad.cast()), v128_load32_splat(quad.add(4).cast()));
        let sum = zip(sum, even, |sum, even| i32x4_add(sum, i32x4_dot_i16x8(even, a)));
        zip(sum, odd, |sum, odd| i32x4_add(sum, i32x4_dot_i16x8(odd, b)))
    }
}

impl Simd for Wasm {
    const ROWS: usize = 8;
    const QUAD_BYTES: usize = 8;
    type Ints = Pair;
    type Floats = Pair;
    type Signed = [Pair; 2];
    type Low = [Pair; 2];
    type High = [Pair; 2];
    type Six = [Pair; 2];

    #[inline(always)]
    unsafe fn ints(value: i32) -> Pair {
        [i32x4_splat(value); 2]
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> Pair {
        let words = unsafe { u16x8_load_extend_u8x8(bytes) };
        [u32x4_extend_low_u16x8(words), u32x4_extend_high_u16x8(words)]
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> Pair {
        let words = unsafe { i16x8_load_extend_i8x8(bytes.cast()) };
        [i32x4_extend_low_i16x8(words), i32x4_extend_high_i16x8(words)]
    }
    #[inline(always)]
    unsafe fn add(a: Pair, b: Pair) -> Pair {
        zip(a, b, i32x4_add)
    }
    #[inline(always)]
    unsafe fn mul(a: Pair, b: Pair) -> Pair {
        zip(a, b, i32x4_mul)
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: Pair, mask: i32) -> Pair {
        both(a, |a| v128_and(u32x4_shr(a, SHIFT), i32x4_splat(mask)))
    }
    #[inline(always)]
    unsafe fn join(a: Pair, b: Pair) -> Pair {
        zip(a, b, |a, b| v128_or(a, i32x4_shl(b, 4)))
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> Pair {
        [i32x4_splat(0); 2]
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> Pair {
        [i32x4_splat(value << 8); 2]
    }
    #[inline(always)]
    unsafe fn finish(sum: Pair) -> Pair {
        both(sum, |sum| i32x4_shr(sum, 8))
    }
    /// The even byte in the upper half of its word, the odd one in the lower.
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> [Pair; 2] {
        let words = unsafe { load(bytes) };
        [both(words, |words| i16x8_shl(words, 8)), both(words, |words| i16x8_shr(words, 8))]
    }
    /// The four nibbles of a word where they are, except for the topmost, which would be a sign.
    #[inline(always)]
    unsafe fn load_nibbles(bytes: *const u8) -> ([Pair; 2], [Pair; 2]) {
        let words = unsafe { load(bytes) };
        let masked = |mask: u16| both(words, |words| v128_and(words, u16x8_splat(mask)));
        ([masked(0x000F), masked(0x0F00)], [masked(0x00F0), both(words, |words| u16x8_shr(words, 12))])
    }
    #[inline(always)]
    unsafe fn load_six(low: [*const u8; 2], high: *const u8) -> [[Pair; 2]; 4] {
        let [a, b, high] = unsafe { [load(low[0]), load(low[1]), load(high)] };
        let (nibble, upper) = (u8x16_splat(0xF), u8x16_splat(0x30));
        let bytes = [
            zip(a, high, |a, h| v128_or(v128_and(a, nibble), v128_and(u16x8_shl(h, 4), upper))),
            zip(b, high, |b, h| v128_or(v128_and(b, nibble), v128_and(u16x8_shl(h, 2), upper))),
            zip(a, high, |a, h| v128_or(v128_and(u16x8_shr(a, 4), nibble), v128_and(h, upper))),
            zip(b, high, |b, h| {
                v128_or(v128_and(u16x8_shr(b, 4), nibble), v128_and(u16x8_shr(h, 2), upper))
            }),
        ];
        let even = |words: v128| v128_and(words, u16x8_splat(0x00FF));
        bytes.map(|words| [both(words, even), both(words, |words| u16x8_shr(words, 8))])
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: Pair, weights: [Pair; 2], quad: *const u8) -> Pair {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: Pair, weights: [Pair; 2], quad: *const u8) -> Pair {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: Pair, weights: [Pair; 2], quad: *const u8) -> Pair {
        unsafe { dot(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: Pair, weights: [Pair; 2], quad: *const u8) -> Pair {
        unsafe { dot(sum, weights, quad) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> Pair {
        [f32x4_splat(value); 2]
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> Pair {
        unsafe { load(bytes) }
    }
    /// Exponent and fraction are moved to where an f32 has them, and the bias is made up for by a multiplication,
    /// which gets subnormal numbers right too. Infinities are refused on loading.
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8) -> Pair {
        let halves = unsafe { v128_load(bytes.cast()) };
        let widen = |half: v128| {
            let magnitude = u32x4_shl(v128_and(half, u32x4_splat(0x7FFF)), 13);
            let sign = u32x4_shl(v128_and(half, u32x4_splat(0x8000)), 16);
            let two_to_the_112 = f32x4_splat(f32::from_bits((127 + 112) << 23));
            v128_or(f32x4_mul(magnitude, two_to_the_112), sign)
        };
        [widen(u32x4_extend_low_u16x8(halves)), widen(u32x4_extend_high_u16x8(halves))]
    }
    #[inline(always)]
    unsafe fn to_floats(a: Pair) -> Pair {
        both(a, f32x4_convert_i32x4)
    }
    #[inline(always)]
    unsafe fn add_floats(a: Pair, b: Pair) -> Pair {
        zip(a, b, f32x4_add)
    }
    #[inline(always)]
    unsafe fn sub_floats(a: Pair, b: Pair) -> Pair {
        zip(a, b, f32x4_sub)
    }
    #[inline(always)]
    unsafe fn mul_floats(a: Pair, b: Pair) -> Pair {
        zip(a, b, f32x4_mul)
    }
    #[inline(always)]
    unsafe fn store(a: Pair, to: *mut f32) {
        unsafe {
            v128_store(to.cast(), a[0]);
            v128_store(to.add(4).cast(), a[1]);
        }
    }
}

kernels!(Wasm, [], integers: [4, 2, 1], floats: [4, 2, 1]);
