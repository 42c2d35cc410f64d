//! AVX2: `vpmaddubsw` multiplies unsigned bytes with signed ones, without overflow as used here.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the contract of `Simd` is all that the intrinsics ask"
)]

use super::simd::Simd;
use super::tiles::kernels;
use std::arch::x86_64::*;
use std::array::from_fn;

/// `N` registers of eight rows.
pub(super) struct Avx2<const N: usize>;

pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
}

#[inline(always)]
unsafe fn splat(quad: *const u8) -> __m256i {
    unsafe { _mm256_set1_epi32(quad.cast::<i32>().read_unaligned()) }
}

#[inline(always)]
unsafe fn load<const N: usize>(bytes: *const u8) -> [__m256i; N] {
    from_fn(|i| unsafe { _mm256_loadu_si256(bytes.add(32 * i).cast()) })
}

/// Two products of at most 128 · 127 each fit 16 bits.
#[inline(always)]
unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(unsigned, signed);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

impl<const N: usize> Simd for Avx2<N> {
    const ROWS: usize = 8 * N;
    const QUAD_BYTES: usize = 4;
    type Ints = [__m256i; N];
    type Floats = [__m256; N];
    /// Magnitudes, and the weights for their signs.
    type Signed = ([__m256i; N], [__m256i; N]);
    type Pairs = [__m256i; N];
    type Low = [__m256i; N];
    type High = [__m256i; N];
    type Six = [__m256i; N];
    type Masks = ();

    #[inline(always)]
    unsafe fn masks() {}
    #[inline(always)]
    unsafe fn ints(value: i32) -> [__m256i; N] {
        unsafe { [_mm256_set1_epi32(value); N] }
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: *const u8) -> [__m256i; N] {
        from_fn(|i| unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.add(8 * i).cast())) })
    }
    #[inline(always)]
    unsafe fn signed_bytes(bytes: *const u8) -> [__m256i; N] {
        from_fn(|i| unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.add(8 * i).cast())) })
    }
    #[inline(always)]
    unsafe fn add(a: [__m256i; N], b: [__m256i; N]) -> [__m256i; N] {
        from_fn(|i| unsafe { _mm256_add_epi32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn mul(a: [__m256i; N], b: [__m256i; N]) -> [__m256i; N] {
        from_fn(|i| unsafe { _mm256_mullo_epi32(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn bits<const SHIFT: u32>(a: [__m256i; N], mask: i32) -> [__m256i; N] {
        from_fn(|i| unsafe {
            let shifted = _mm256_srl_epi32(a[i], _mm_cvtsi32_si128(SHIFT as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi32(mask))
        })
    }
    #[inline(always)]
    unsafe fn join(a: [__m256i; N], b: [__m256i; N]) -> [__m256i; N] {
        from_fn(|i| unsafe { _mm256_or_si256(a[i], _mm256_slli_epi32::<4>(b[i])) })
    }

    #[inline(always)]
    unsafe fn start_signed(_: i32) -> [__m256i; N] {
        unsafe { [_mm256_setzero_si256(); N] }
    }
    #[inline(always)]
    unsafe fn start_nibbles(value: i32) -> [__m256i; N] {
        unsafe { [_mm256_set1_epi32(value); N] }
    }
    #[inline(always)]
    unsafe fn finish(sum: [__m256i; N]) -> [__m256i; N] {
        sum
    }
    #[inline(always)]
    unsafe fn load_signed(bytes: *const u8) -> Self::Signed {
        let weights = unsafe { load(bytes) };
        (weights.map(|weights| unsafe { _mm256_abs_epi8(weights) }), weights)
    }
    #[inline(always)]
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs {
        unsafe { load(bytes) }
    }
    #[inline(always)]
    unsafe fn low(pairs: Self::Pairs, _: ()) -> Self::Low {
        pairs.map(|pairs| unsafe { _mm256_and_si256(pairs, _mm256_set1_epi8(0xF)) })
    }
    #[inline(always)]
    unsafe fn high(pairs: Self::Pairs, _: ()) -> Self::High {
        pairs.map(|pairs| unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(pairs), _mm256_set1_epi8(0xF)) })
    }
    #[inline(always)]
    unsafe fn load_six<const SECOND: bool>(low: *const u8, high: *const u8, _: ()) -> [[__m256i; N]; 2] {
        unsafe {
            let (pairs, upper) = (load(low), load::<N>(high));
            let low = (Self::low(pairs, ()), Self::high(pairs, ()));
            let mask = _mm256_set1_epi8(0x30);
            let join = |low, high| _mm256_or_si256(low, _mm256_and_si256(high, mask));
            if SECOND {
                let first = from_fn(|i| join(low.0[i], _mm256_slli_epi16::<2>(upper[i])));
                [first, from_fn(|i| join(low.1[i], _mm256_srli_epi16::<2>(upper[i])))]
            } else {
                let first = from_fn(|i| join(low.0[i], _mm256_slli_epi16::<4>(upper[i])));
                [first, from_fn(|i| join(low.1[i], upper[i]))]
            }
        }
    }
    #[inline(always)]
    unsafe fn dot_signed(sum: [__m256i; N], weights: Self::Signed, quad: *const u8) -> [__m256i; N] {
        unsafe {
            let (quad, (magnitudes, signs)) = (splat(quad), weights);
            from_fn(|i| dot(sum[i], magnitudes[i], _mm256_sign_epi8(quad, signs[i])))
        }
    }
    #[inline(always)]
    unsafe fn dot_low(sum: [__m256i; N], weights: [__m256i; N], quad: *const u8) -> [__m256i; N] {
        from_fn(|i| unsafe { dot(sum[i], weights[i], splat(quad)) })
    }
    #[inline(always)]
    unsafe fn dot_high(sum: [__m256i; N], weights: [__m256i; N], quad: *const u8) -> [__m256i; N] {
        from_fn(|i| unsafe { dot(sum[i], weights[i], splat(quad)) })
    }
    #[inline(always)]
    unsafe fn dot_six(sum: [__m256i; N], weights: [__m256i; N], quad: *const u8) -> [__m256i; N] {
        from_fn(|i| unsafe { dot(sum[i], weights[i], splat(quad)) })
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> [__m256; N] {
        unsafe { [_mm256_set1_ps(value); N] }
    }
    #[inline(always)]
    unsafe fn load_floats(bytes: *const u8) -> [__m256; N] {
        from_fn(|i| unsafe { _mm256_loadu_ps(bytes.add(32 * i).cast()) })
    }
    #[inline(always)]
    unsafe fn load_halves(bytes: *const u8, _: ()) -> [__m256; N] {
        from_fn(|i| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.add(16 * i).cast())) })
    }
    #[inline(always)]
    unsafe fn load_finishing_halves(bytes: *const u8, masks: ()) -> [__m256; N] {
        unsafe { Self::load_halves(bytes, masks) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: [__m256i; N]) -> [__m256; N] {
        a.map(|a| unsafe { _mm256_cvtepi32_ps(a) })
    }
    #[inline(always)]
    unsafe fn add_floats(a: [__m256; N], b: [__m256; N]) -> [__m256; N] {
        from_fn(|i| unsafe { _mm256_add_ps(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn sub_floats(a: [__m256; N], b: [__m256; N]) -> [__m256; N] {
        from_fn(|i| unsafe { _mm256_sub_ps(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn mul_floats(a: [__m256; N], b: [__m256; N]) -> [__m256; N] {
        from_fn(|i| unsafe { _mm256_mul_ps(a[i], b[i]) })
    }
    #[inline(always)]
    unsafe fn store(a: [__m256; N], to: *mut f32) {
        for (i, a) in a.into_iter().enumerate() {
            unsafe { _mm256_storeu_ps(to.add(8 * i), a) };
        }
    }
}

kernels!([#[target_feature(enable = "avx2,f16c")]] 4: Avx2<1>, 2: Avx2<1>, 1: Avx2<2>);
