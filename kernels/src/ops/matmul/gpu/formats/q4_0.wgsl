// Q4_0: a step is 32 weights, one block; weight = scale · (q − 8). Byte i holds weights i (low) and i + 16 (high).
//
// Converted where they lie, as in Q8_0. On upload the top bit of each word was flipped: the topmost nibble, taken
// with the sign of its word, is then q − 8.
struct Raw { q: vec4<u32>, scale: f32 }

fn load(row: u32, step: u32) -> Raw {
    let pair = unpack2x16float(scales[row * $SCALESu + step / 2u]);
    return Raw(quants[row * $VECTORSu + step], select(pair.x, pair.y, (step & 1u) != 0u));
}

fn column(step: u32, part: u32) -> u32 {
    return step * 8u + part;
}

#for p 8
const UNIT_$p = select(
    vec4<f32>(1.0f, 0x1p-8f, 0x1p-16f, 0x1p-24f),
    vec4<f32>(0x1p-4f, 0x1p-12f, 0x1p-20f, 0x1p-28f), $pu >= 4u);
const ZERO_$p = select(
    vec4<f32>(8.0f, 0x1p11f, 0x1p19f, 0x1p27f),
    vec4<f32>(128.0f, 0x1p15f, 0x1p23f, 0.0f), $pu >= 4u);
const MASK_$p = select(
    vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u),
    vec4<u32>(0xf0u, 0xf000u, 0xf00000u, 0xf0000000u), $pu >= 4u);

// Weights in units of UNIT, above ZERO.
fn part_$p(raw: Raw) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(raw.q[$p % 4]) & MASK_$p));
}
#end
