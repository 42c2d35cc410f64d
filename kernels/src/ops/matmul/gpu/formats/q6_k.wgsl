// Q6_K: 256 weights in thirteen vectors: 128 bytes of low nibbles, 64 of upper bit pairs, 16 scales (i8); d apart.
// Each half of a block has four quarters of 32 weights: low nibbles of its first and second 32 bytes, then the high
// ones; the pairs of quarter g are bits 2·g of its 32 bytes of pairs. A step is 16 weights of each quarter.
// weight = d · scale · (q − 32).
struct Raw { first: vec4<u32>, second: vec4<u32>, pairs: vec4<u32>, scale: vec4<f32> }

fn signed_byte(words: vec4<u32>, at: u32) -> f32 {
    return f32(bitcast<i32>(words[at / 4u] << (24u - 8u * (at % 4u))) >> 24u);
}

fn load(row: u32, step: u32) -> Raw {
    let block = step / 4u;
    let half = (step % 4u) / 2u;
    let side = step % 2u;
    let at = row * $VECTORSu + block * 13u;
    let pair = unpack2x16float(scales[row * $SCALESu + block / 2u]);
    let d = select(pair.x, pair.y, (block & 1u) != 0u);
    let all = quants[at + 12u];
    let first = half * 8u + side;
    let scale = d * vec4<f32>(signed_byte(all, first), signed_byte(all, first + 2u),
                              signed_byte(all, first + 4u), signed_byte(all, first + 6u));
    let low = at + half * 4u + side;
    return Raw(quants[low], quants[low + 2u], quants[at + 8u + half * 2u + side], scale);
}

fn column(step: u32, part: u32) -> u32 {
    return step / 2u * 32u + part / 4u * 8u + (step % 2u) * 4u + part % 4u;
}

#for p 16
fn part_$p(raw: Raw) -> vec4<f32> {
    let bytes = vec4<u32>(0u, 8u, 16u, 24u);
    let word = select(raw.first[$p % 4], raw.second[$p % 4], ($pu / 4u) % 2u == 1u);
    let low = (vec4<u32>(word) >> (bytes + vec4<u32>($pu / 8u * 4u))) & vec4<u32>(15u);
    let high = (vec4<u32>(raw.pairs[$p % 4]) >> (bytes + vec4<u32>($pu / 4u * 2u))) & vec4<u32>(3u);
    let q = bitcast<vec4<i32>>(low | (high << vec4<u32>(4u))) - vec4<i32>(32);
    return vec4<f32>(raw.scale[$p / 4]) * vec4<f32>(q);
}
#end
