//! AVX-512 with VNNI: 16 rows to a register, `vpdpbusd` multiplies unsigned weights with signed activations.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the contract of `Simd` is all that the intrinsics ask"
)]

use super::simd::Simd;
use super::tiles::kernels;
use std::arch::x86_64::*;

pub(super) struct Avx512;

pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

#[inline(always)]
unsafe fn splat(quad: *const u8) -> __m512i {
    unsafe { _mm512_set1_epi32(quad.cast::<i32>().read_unaligned()) }
}

#[inline(always)]
unsafe fn load(bytes: *const u8) -> __m512i {
    unsafe { _mm512_loadu_si512(bytes.cast()) }
}

impl Simd for Avx512 {
    const ROWS: usize = 16;
    const QUAD_BYTES: usize = 4;
    type Ints = __m512i;
    type Floats = __m512;
    type Signed = __m512i;
    type Pairs = __m512i;
    type Low = __m512i;
    type High = __m512i;
    type Six = __m512i;

    type Masks = ();

    #[inline(always)]
    unsafe fn masks() {}
    #[inline(always)]
    unsafe fn ints(value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> __m512i {
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_mullo_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: __m512i, mask: i32) -> __m512i {
        unsafe { _mm512_and_si512(_mm512_srli_epi32::<SHIFT>(a), _mm512_set1_epi32(mask)) }
    }
    #[inline(always)]
    unsafe fn join(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, _mm512_slli_epi32::<4>(b)) }
    }

    /// Weights are multiplied with 128 added to them.
    #[inline(always)]
    unsafe fn start_signed(sum: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(sum.wrapping_mul(-128)) }
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn finish(sum: __m512i) -> __m512i {
        sum
    }
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> __m512i {
        unsafe { _mm512_xor_si512(load(bytes), _mm512_set1_epi8(-128)) }
    }
    #[inline(always)]
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs {
        unsafe { load(bytes) }
    }
    #[inline(always)]
    unsafe fn low(pairs: Self::Pairs, _: ()) -> Self::Low {
        unsafe { _mm512_and_si512(pairs, _mm512_set1_epi8(0xF)) }
    }
    #[inline(always)]
    unsafe fn high(pairs: Self::Pairs, _: ()) -> Self::High {
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(pairs), _mm512_set1_epi8(0xF)) }
    }
    #[inline(always)]
    unsafe fn load_six<const SECOND: bool>(low: *const u8, high: *const u8, _: ()) -> [__m512i; 2] {
        unsafe {
            let (pairs, upper) = (load(low), load(high));
            let low = (Self::low(pairs, ()), Self::high(pairs, ()));
            let [first, third] = if SECOND {
                [_mm512_slli_epi16::<2>(upper), _mm512_srli_epi16::<2>(upper)]
            } else {
                [_mm512_slli_epi16::<4>(upper), upper]
            };
            let mask = _mm512_set1_epi8(0x30);
            let join = |low, high| _mm512_or_si512(low, _mm512_and_si512(high, mask));
            [join(low.0, first), join(low.1, third)]
        }
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: __m512i, weights: __m512i, quad: *const u8) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, weights, splat(quad)) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: __m512i, weights: __m512i, quad: *const u8) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, weights, splat(quad)) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: __m512i, weights: __m512i, quad: *const u8) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, weights, splat(quad)) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: __m512i, weights: __m512i, quad: *const u8) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, weights, splat(quad)) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> __m512 {
        unsafe { _mm512_loadu_ps(bytes.cast()) }
    }
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8, _: ()) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn load_finishing_halves(bytes: *const u8, masks: ()) -> __m512 {
        unsafe { Self::load_halves(bytes, masks) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    unsafe fn add_floats(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_floats(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_floats(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn store(a: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, a) }
    }
}

kernels!([#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]]
    8: Avx512, 4: Avx512, 2: Avx512, 1: Avx512);
