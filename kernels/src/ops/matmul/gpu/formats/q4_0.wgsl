// Q4_0: a step is 32 weights, one block; weight = scale · (q − 8). Byte i holds weights i (low) and i + 16 (high).
struct Raw { q: vec4<u32>, scale: f32 }

fn load(row: u32, step: u32) -> Raw {
    let pair = unpack2x16float(scales[row * $SCALESu + step / 2u]);
    return Raw(quants[row * $VECTORSu + step], select(pair.x, pair.y, (step & 1u) != 0u));
}

fn column(step: u32, part: u32) -> u32 {
    return step * 8u + part;
}

#for p 8
fn part_$p(raw: Raw) -> vec4<f32> {
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>($pu / 4u * 4u);
    let nibbles = (vec4<u32>(raw.q[$p % 4]) >> shift) & vec4<u32>(15u);
    return vec4<f32>(bitcast<vec4<i32>>(nibbles) - vec4<i32>(8));
}
#end
