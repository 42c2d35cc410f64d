//! Products on the CPU, over plain slices.
//!
//! # One arithmetic
//! Every kernel, from the plain one to AVX-512, does the same: activations become 8-bit integers with one scale per
//! block, products are summed in integers (exactly), and each block then adds one float to its output, first block
//! first, with separate multiplications and additions. So a row's bits depend neither on how many rows are
//! multiplied at once, nor on the instruction set: native, wasm and ARM peers write the same text.
//!
//! # Layout
//! [`Packed`] holds 16 rows interleaved, four weights at a time, so that lane `r` of a register belongs to row `r`
//! and no sum ever crosses lanes. It is a permutation within 16 rows: done in place, of the same size.
//!
//! ```text
//!  Q8_0, one block of 16 rows:  d₀ d₁ … d₁₅ │ row 0: w₀w₁w₂w₃ │ row 1: w₀w₁w₂w₃ │ … │ row 15 │ row 0: w₄w₅w₆w₇ …
//! ```

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
mod layout;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packed;
mod plain;
mod simd;
mod tiles;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

pub use activations::Scratch;
pub use isa::Isa;
pub use packed::Packed;

/// Rows that are interleaved.
pub(crate) const GROUP: usize = 16;

/// One output of each row of a group.
type Lanes = [f32; GROUP];
