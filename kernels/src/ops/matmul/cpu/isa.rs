//! Which instructions this machine has.

use super::tiles::Tiles;
use crate::quant::Format;

/// A set of instructions that this machine has. It can only be had from [`Isa::best`] and [`Isa::available`], which
/// is what makes it safe to run the kernels that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// With `dotprod`.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm,
}

impl Isa {
    /// The fastest one.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if super::avx512::detected() {
            return Self(Kind::Avx512);
        } else if super::avx2::detected() {
            return Self(Kind::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        return Self(if super::neon::dots() { Kind::NeonDot } else { Kind::Neon });
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return Self(Kind::Wasm);
        #[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
        Self(Kind::Plain)
    }

    /// Every one that can be used here, the plain one first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self(Kind::Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(super::avx2::detected().then_some(Self(Kind::Avx2)));
            all.extend(super::avx512::detected().then_some(Self(Kind::Avx512)));
        }
        #[cfg(target_arch = "aarch64")]
        {
            all.push(Self(Kind::Neon));
            all.extend(super::neon::dots().then_some(Self(Kind::NeonDot)));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        all.push(Self(Kind::Wasm));
        all
    }

    /// Kernels that may be called because this value exists.
    pub(super) fn tiles(self, format: Format) -> Tiles {
        match self.0 {
            Kind::Plain => super::plain::tiles(format),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => super::avx2::tiles(format),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => super::avx512::tiles(format),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => super::neon::tiles(format, false),
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => super::neon::tiles(format, true),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Wasm => super::wasm::tiles(format),
        }
    }

    /// Whether its kernels take activations as i16.
    pub(super) fn widens(self) -> bool {
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return self.0 == Kind::Wasm;
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        false
    }
}
