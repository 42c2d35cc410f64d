//! NEON, which every 64-bit ARM has, with or without the instruction that sums four products of bytes (`dotprod`).

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the contract of `Simd` is all that the intrinsics ask"
)]

use super::simd::Simd;
use super::tiles::{Tiles, kernels};
use crate::quant::Format;
use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

/// `N` registers of four rows; `DOT`: with `dotprod`.
struct Neon<const N: usize, const DOT: bool>;

/// Whether there is `dotprod`.
pub(super) fn dots() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// The kernels of `format`, which need `dotprod` if `dots`.
pub(super) fn tiles(format: Format, dots: bool) -> Tiles {
    if dots { dotted::tiles(format) } else { multiplied::tiles(format) }
}

#[inline(always)]
unsafe fn load<const N: usize>(bytes: *const u8) -> [int8x16_t; N] {
    from_fn(|i| unsafe { vld1q_s8(bytes.add(16 * i).cast()) })
}

#[inline(always)]
unsafe fn load_unsigned<const N: usize>(bytes: *const u8) -> [uint8x16_t; N] {
    from_fn(|i| unsafe { vld1q_u8(bytes.add(16 * i)) })
}

#[inline(always)]
unsafe fn splat(quad: *const u8) -> int8x16_t {
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(quad.cast::<i32>().read_unaligned())) }
}

/// Four bytes in the lower half of a register.
#[inline(always)]
unsafe fn four(bytes: *const u8) -> uint8x8_t {
    unsafe { vreinterpret_u8_u32(vdup_n_u32(bytes.cast::<u32>().read_unaligned())) }
}

/// Without `dotprod`: two products of at most 128 · 127 each fit 16 bits.
#[inline(always)]
unsafe fn dot<const DOT: bool>(sum: int32x4_t, weights: int8x16_t, quads: int8x16_t) -> int32x4_t {
    unsafe {
        if DOT {
            let mut sum = sum;
            // `vdotq_s32` is not stable yet. The first line is for copies of this that are compiled outside of a kernel,
            // and never called.
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {weights:v}.16b, {quads:v}.16b",
                sum = inout(vreg) sum, weights = in(vreg) weights, quads = in(vreg) quads,
                options(pure, nomem, nostack, preserves_flags),
            );
            return sum;
        }
        let low = vmull_s8(vget_low_s8(weights), vget_low_s8(quads));
        let pairs = vpaddq_s16(low, vmull_high_s8(weights, quads));
        vpadalq_s16(sum, pairs)
    }
}

#[inline(always)]
unsafe fn dots_of<const N: usize, const DOT: bool>(
    sum: [int32x4_t; N],
    weights: [int8x16_t; N],
    quad: *const u8,
) -> [int32x4_t; N] {
    let quads = unsafe { splat(quad) };
    from_fn(|i| unsafe { dot::<DOT>(sum[i], weights[i], quads) })
}

impl<const N: usize, const DOT: bool> Simd for Neon<N, DOT> {
    const ROWS: usize = 4 * N;
    const QUAD_BYTES: usize = 4;
    type Ints = [int32x4_t; N];
    type Floats = [float32x4_t; N];
    type Signed = [int8x16_t; N];
    type Pairs = [uint8x16_t; N];
    type Low = [int8x16_t; N];
    type High = [int8x16_t; N];
    type Six = [int8x16_t; N];
    type Masks = ();

    #[inline(always)]
    unsafe fn masks() {}
    #[inline(always)]
    unsafe fn ints(value: i32) -> Self::Ints {
        unsafe { [vdupq_n_s32(value); N] }
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> Self::Ints {
        from_fn(|i| unsafe {
            let halves = vget_low_u16(vmovl_u8(four(bytes.add(4 * i))));
            vreinterpretq_s32_u32(vmovl_u16(halves))
        })
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> Self::Ints {
        from_fn(|i| unsafe {
            let bytes = vreinterpret_s8_u8(four(bytes.add(4 * i)));
            vmovl_s16(vget_low_s16(vmovl_s8(bytes)))
        })
    }
    #[inline(always)]
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        from_fn(|i| unsafe { vaddq_s32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        from_fn(|i| unsafe { vmulq_s32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: Self::Ints, mask: i32) -> Self::Ints {
        from_fn(|i| unsafe {
            let shifted = vshlq_s32(a[i], vdupq_n_s32(-(SHIFT as i32)));
            vandq_s32(shifted, vdupq_n_s32(mask))
        })
    }
    #[inline(always)]
    unsafe fn join(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        from_fn(|i| unsafe { vorrq_s32(a[i], vshlq_n_s32::<4>(b[i])) })
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> Self::Ints {
        unsafe { [vdupq_n_s32(0); N] }
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> Self::Ints {
        unsafe { [vdupq_n_s32(value); N] }
    }
    #[inline(always)]
    unsafe fn finish(sum: Self::Ints) -> Self::Ints {
        sum
    }
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> Self::Signed {
        unsafe { load(bytes) }
    }
    #[inline(always)]
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs {
        unsafe { load_unsigned(bytes) }
    }
    #[inline(always)]
    unsafe fn low(pairs: Self::Pairs, _: ()) -> Self::Low {
        pairs.map(|pairs| unsafe { vreinterpretq_s8_u8(vandq_u8(pairs, vdupq_n_u8(0xF))) })
    }
    #[inline(always)]
    unsafe fn high(pairs: Self::Pairs, _: ()) -> Self::High {
        pairs.map(|pairs| unsafe { vreinterpretq_s8_u8(vshrq_n_u8::<4>(pairs)) })
    }
    #[inline(always)]
    unsafe fn load_six<const SECOND: bool>(low: *const u8, high: *const u8, _: ()) -> [Self::Six; 2] {
        unsafe {
            let (pairs, upper) = (load_unsigned::<N>(low), load_unsigned::<N>(high));
            let mask = vdupq_n_u8(0x30);
            let join = |low, high| vreinterpretq_s8_u8(vorrq_u8(low, vandq_u8(high, mask)));
            let first = from_fn(|i| {
                let up = if SECOND { vshlq_n_u8::<2>(upper[i]) } else { vshlq_n_u8::<4>(upper[i]) };
                join(vandq_u8(pairs[i], vdupq_n_u8(0xF)), up)
            });
            let third = from_fn(|i| {
                let up = if SECOND { vshrq_n_u8::<2>(upper[i]) } else { upper[i] };
                join(vshrq_n_u8::<4>(pairs[i]), up)
            });
            [first, third]
        }
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: Self::Ints, weights: Self::Signed, quad: *const u8) -> Self::Ints {
        unsafe { dots_of::<N, DOT>(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: Self::Ints, weights: Self::Low, quad: *const u8) -> Self::Ints {
        unsafe { dots_of::<N, DOT>(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: Self::Ints, weights: Self::High, quad: *const u8) -> Self::Ints {
        unsafe { dots_of::<N, DOT>(sum, weights, quad) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: Self::Ints, weights: Self::Six, quad: *const u8) -> Self::Ints {
        unsafe { dots_of::<N, DOT>(sum, weights, quad) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> Self::Floats {
        unsafe { [vdupq_n_f32(value); N] }
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> Self::Floats {
        from_fn(|i| unsafe { vreinterpretq_f32_u8(vld1q_u8(bytes.add(16 * i))) })
    }
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8, _: ()) -> Self::Floats {
        from_fn(|i| unsafe { vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes.add(8 * i)))) })
    }
    #[inline(always)]
    unsafe fn load_finishing_halves(bytes: *const u8, masks: ()) -> Self::Floats {
        unsafe { Self::load_halves(bytes, masks) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: Self::Ints) -> Self::Floats {
        a.map(|a| unsafe { vcvtq_f32_s32(a) })
    }
    #[inline(always)]
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        from_fn(|i| unsafe { vaddq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn sub_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        from_fn(|i| unsafe { vsubq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn mul_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        from_fn(|i| unsafe { vmulq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn store(a: Self::Floats, to: *mut f32) {
        for (i, a) in a.into_iter().enumerate() {
            unsafe { vst1q_f32(to.add(4 * i), a) };
        }
    }
}

/// Four rows of activations with sums of two kinds, as Q4_K has, fill the 32 registers with eight rows of weights.
mod dotted {
    use super::Neon;
    super::kernels!([#[target_feature(enable = "neon,dotprod")]]
        4: Neon<2, true>, 2: Neon<4, true>, 1: Neon<4, true>);
}

mod multiplied {
    use super::Neon;
    super::kernels!([#[target_feature(enable = "neon")]]
        4: Neon<2, false>, 2: Neon<4, false>, 1: Neon<4, false>);
}
