//! What an instruction set has to offer to the kernels in [`tiles`](super::tiles).

/// A few rows at a time: lane `r` of every vector belongs to row `r`.
///
/// # Safety
/// All functions: the instruction set is there, and pointers are good for what is read through them.
pub(super) trait Simd {
    /// Rows of a vector, 8 or 16. More rows share each load of activations; fewer leave registers for more activations.
    const ROWS: usize;
    /// Bytes of four activations.
    const QUAD_BYTES: usize;
    /// An i32 per row.
    type Ints: Copy;
    /// An f32 per row.
    type Floats: Copy;
    /// Four signed weights per row.
    type Signed: Copy;
    /// Four pairs of weights of 4 bits per row.
    type Pairs: Copy;
    /// Four weights of 4 bits per row, from the lower halves of their bytes.
    type Low: Copy;
    /// The same from the upper halves.
    type High: Copy;
    /// Four weights of 6 bits per row.
    type Six: Copy;

    /// What the loads below need in registers; made once per kernel.
    type Masks: Copy;

    unsafe fn masks() -> Self::Masks;
    /// The same integer in each lane.
    unsafe fn ints(value: i32) -> Self::Ints;
    /// Zero-extended bytes, one per row.
    unsafe fn unsigned(bytes: *const u8) -> Self::Ints;
    /// Sign-extended bytes, one per row.
    unsafe fn signed_bytes(bytes: *const u8) -> Self::Ints;
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    unsafe fn mul(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// `(a >> SHIFT) & mask`, of values that are not negative.
    unsafe fn bits<const SHIFT: u32>(a: Self::Ints, mask: i32) -> Self::Ints;
    /// `a | b << 4`
    unsafe fn join(a: Self::Ints, b: Self::Ints) -> Self::Ints;

    /// Where a sum of [`Self::dot_signed`] begins, given the sum of its activations.
    unsafe fn start_signed(sum: i32) -> Self::Ints;
    /// Where a sum of [`Self::dot_low`] and [`Self::dot_high`] begins that is to begin at `value`.
    unsafe fn start_nibbles(value: i32) -> Self::Ints;
    /// What a sum from one of these two beginnings stands for.
    unsafe fn finish(sum: Self::Ints) -> Self::Ints;
    unsafe fn load_signed(bytes: *const u8) -> Self::Signed;
    /// Two weights to a byte.
    unsafe fn load_pairs(bytes: *const u8) -> Self::Pairs;
    unsafe fn low(pairs: Self::Pairs, masks: Self::Masks) -> Self::Low;
    unsafe fn high(pairs: Self::Pairs, masks: Self::Masks) -> Self::High;
    /// Six-bit weights of two of the four runs in half a Q6_K block, which share their bytes of lower bits: the first
    /// and the third, or, if `SECOND`, the second and the fourth.
    unsafe fn load_six<const SECOND: bool>(
        low: *const u8,
        high: *const u8,
        masks: Self::Masks,
    ) -> [Self::Six; 2];
    /// Adds to each lane the product of its four weights with the four activations at `quad`.
    unsafe fn dot_signed(sum: Self::Ints, weights: Self::Signed, quad: *const u8) -> Self::Ints;
    unsafe fn dot_low(sum: Self::Ints, weights: Self::Low, quad: *const u8) -> Self::Ints;
    unsafe fn dot_high(sum: Self::Ints, weights: Self::High, quad: *const u8) -> Self::Ints;
    /// As the others; the sum begins with [`Self::ints`] and is what it is.
    unsafe fn dot_six(sum: Self::Ints, weights: Self::Six, quad: *const u8) -> Self::Ints;

    /// The same float in each lane.
    unsafe fn floats(value: f32) -> Self::Floats;
    unsafe fn load_floats(bytes: *const u8) -> Self::Floats;
    /// Half floats (finite ones), widened.
    unsafe fn load_halves(bytes: *const u8, masks: Self::Masks) -> Self::Floats;
    /// Half floats, times what a sum of `dot_signed` or `dot_low` that is not finished lacks.
    unsafe fn load_finishing_halves(bytes: *const u8, masks: Self::Masks) -> Self::Floats;
    /// To the nearest float, halves to even.
    unsafe fn to_floats(a: Self::Ints) -> Self::Floats;
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn sub_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn mul_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn store(a: Self::Floats, to: *mut f32);
}
