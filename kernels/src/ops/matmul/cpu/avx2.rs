//! AVX2: 8 rows to a register; `vpmaddubsw` multiplies unsigned bytes with signed ones, without overflow as used here.

#![expect(clippy::undocumented_unsafe_blocks, reason = "the contract of `Simd` is all that the intrinsics ask")]

use super::simd::Simd;
use super::tiles::kernels;
use std::arch::x86_64::*;

pub(super) struct Avx2;

pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
}

#[inline(always)]
unsafe fn splat(quad: *const u8) -> __m256i {
    unsafe { _mm256_set1_epi32(quad.cast::<i32>().read_unaligned()) }
}

#[inline(always)]
unsafe fn load(bytes: *const u8) -> __m256i {
    unsafe { _mm256_loadu_si256(bytes.cast()) }
}

/// Two products of at most 128 · 127 each fit 16 bits.
#[inline(always)]
unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(unsigned, signed);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

impl Simd for Avx2 {
    const ROWS: usize = 8;
    const QUAD_BYTES: usize = 4;
    type Ints = __m256i;
    type Floats = __m256;
    /// Magnitudes, and the weights for their signs.
    type Signed = (__m256i, __m256i);
    type Low = __m256i;
    type High = __m256i;
    type Six = __m256i;

    #[inline(always)]
    unsafe fn ints(value: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> __m256i {
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_mullo_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: __m256i, mask: i32) -> __m256i {
        unsafe {
            let shifted = _mm256_srl_epi32(a, _mm_cvtsi32_si128(SHIFT as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi32(mask))
        }
    }
    #[inline(always)]
    unsafe fn join(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, _mm256_slli_epi32::<4>(b)) }
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn finish(sum: __m256i) -> __m256i {
        sum
    }
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> (__m256i, __m256i) {
        unsafe {
            let weights = load(bytes);
            (_mm256_abs_epi8(weights), weights)
        }
    }
    #[inline(always)]
    unsafe fn load_nibbles(bytes: *const u8) -> (__m256i, __m256i) {
        unsafe {
            let (bytes, mask) = (load(bytes), _mm256_set1_epi8(0xF));
            (_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask))
        }
    }
    #[inline(always)]
    unsafe fn load_six(low: [*const u8; 2], high: *const u8) -> [__m256i; 4] {
        unsafe {
            let (a0, a1) = Self::load_nibbles(low[0]);
            let (b0, b1) = Self::load_nibbles(low[1]);
            let (high, mask) = (load(high), _mm256_set1_epi8(0x30));
            let upper = |bits: __m256i, low: __m256i| _mm256_or_si256(low, _mm256_and_si256(bits, mask));
            [
                upper(_mm256_slli_epi16::<4>(high), a0),
                upper(_mm256_slli_epi16::<2>(high), b0),
                upper(high, a1),
                upper(_mm256_srli_epi16::<2>(high), b1),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: __m256i, (magnitudes, signs): Self::Signed, quad: *const u8) -> __m256i {
        unsafe { dot(sum, magnitudes, _mm256_sign_epi8(splat(quad), signs)) }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: __m256i, weights: __m256i, quad: *const u8) -> __m256i {
        unsafe { dot(sum, weights, splat(quad)) }
    }
    #[inline(always)]
    unsafe fn dot_high(sum: __m256i, weights: __m256i, quad: *const u8) -> __m256i {
        unsafe { dot(sum, weights, splat(quad)) }
    }
    #[inline(always)]
    unsafe fn dot_six(sum: __m256i, weights: __m256i, quad: *const u8) -> __m256i {
        unsafe { dot(sum, weights, splat(quad)) }
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> __m256 {
        unsafe { _mm256_loadu_ps(bytes.cast()) }
    }
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.cast())) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(a) }
    }
    #[inline(always)]
    unsafe fn add_floats(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_floats(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_floats(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn store(a: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, a) }
    }
}

kernels!(Avx2, [#[target_feature(enable = "avx2,f16c")]], integers: [4, 2, 1], floats: [4, 2, 1]);
