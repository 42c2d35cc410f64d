// Q8_0: a step is 32 weights, one block; weight = scale · q.
//
// Shifts by a vector are slow on software adapters, conversions to float are not: byte j of a word is masked where it
// lies and converted, which gives q · 256ʲ exactly, and x is multiplied with 256⁻ʲ, exactly too. On upload bytes 0
// to 2 were turned into q + 128, so that they are positive; byte 3 has the sign of its word.
struct Raw { low: vec4<u32>, high: vec4<u32>, scale: f32 }

fn load(row: u32, step: u32) -> Raw {
    let pair = unpack2x16float(scales[row * $SCALESu + step / 2u]);
    let at = row * $VECTORSu + 2u * step;
    return Raw(quants[at], quants[at + 1u], select(pair.x, pair.y, (step & 1u) != 0u));
}

fn column(step: u32, part: u32) -> u32 {
    return step * 8u + part;
}

#for p 8
const UNIT_$p = vec4<f32>(1.0f, 0x1p-8f, 0x1p-16f, 0x1p-24f);
const ZERO_$p = vec4<f32>(128.0f, 0x1p15f, 0x1p23f, 0.0f);

// Weights in units of UNIT, above ZERO.
fn part_$p(raw: Raw) -> vec4<f32> {
    let word = select(raw.low[$p % 4], raw.high[$p % 4], $pu >= 4u);
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u)));
}
#end
