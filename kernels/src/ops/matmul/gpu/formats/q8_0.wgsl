// Q8_0: a step is 16 weights, half a block; weight = scale · q.
struct Raw { q: vec4<u32>, scale: f32 }

fn load(row: u32, step: u32) -> Raw {
    let pair = unpack2x16float(scales[row * $SCALESu + step / 4u]);
    return Raw(quants[row * $VECTORSu + step], select(pair.x, pair.y, (step & 2u) != 0u));
}

fn column(step: u32, part: u32) -> u32 {
    return step * 4u + part;
}

#for p 4
fn part_$p(raw: Raw) -> vec4<f32> {
    // Each byte to the top of a word of its own, then down again with its sign.
    let bytes = bitcast<vec4<i32>>(vec4<u32>(raw.q[$p]) << vec4<u32>(24u, 16u, 8u, 0u));
    return vec4<f32>(bytes >> vec4<u32>(24u));
}
#end
