//! Compiling a plain loop for wider registers than every x86-64 has.

/// Runs `f`, compiled with AVX2 where the machine has it. Everything that `f` calls must be `#[inline(always)]`.
#[inline(always)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn compiled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2.
            return unsafe { compiled(f) };
        }
    }
    f()
}
