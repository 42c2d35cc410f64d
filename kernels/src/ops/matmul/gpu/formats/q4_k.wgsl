// Q4_K: 256 weights in nine vectors: d, dmin (f16) and twelve bytes of 6-bit scales and minima, then 128 bytes.
// Bytes 32·g … 32·g + 31 hold sub-block 2·g (low) and 2·g + 1 (high). A step is one vector of those: 16 weights of
// each of the two. weight = d · scale · q − dmin · minimum.
struct Raw { q: vec4<u32>, low: vec2<f32>, high: vec2<f32> }

fn byte_of(head: vec4<u32>, at: u32) -> u32 {
    return (head[1u + at / 4u] >> (8u * (at % 4u))) & 255u;
}

// (scale, minimum) of a sub-block: 6 bits each, those of the last four in what the first four leave over.
fn sub_block(head: vec4<u32>, sub: u32) -> vec2<f32> {
    let dm = unpack2x16float(head.x);
    var six = vec2<u32>(byte_of(head, sub & 3u), byte_of(head, (sub & 3u) + 4u));
    if (sub < 4u) {
        six = six & vec2<u32>(63u);
    } else {
        let low = byte_of(head, sub + 4u);
        six = vec2<u32>((low & 15u) | ((six.x >> 6u) << 4u), (low >> 4u) | ((six.y >> 6u) << 4u));
    }
    return dm * vec2<f32>(six);
}

fn load(row: u32, step: u32) -> Raw {
    let block = row * $VECTORSu + step / 8u * 9u;
    let head = quants[block];
    let sub = (step % 8u) / 2u * 2u;
    return Raw(quants[block + 1u + step % 8u], sub_block(head, sub), sub_block(head, sub + 1u));
}

// Steps 2·g and 2·g + 1 are the halves of sub-blocks 2·g and 2·g + 1.
fn column(step: u32, part: u32) -> u32 {
    return step / 2u * 16u + part / 4u * 8u + (step & 1u) * 4u + part % 4u;
}

#for p 8
fn part_$p(raw: Raw) -> vec4<f32> {
    // Converted where they lie, as in Q8_0; the high nibbles are moved first, all of a word at once.
    let word = select(raw.q[$p % 4], raw.q[$p % 4] >> 4u, $pu >= 4u);
    let nibbles = vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) & vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u)));
    let scale = select(raw.low, raw.high, $pu >= 4u);
    let unit = vec4<f32>(scale.x) * vec4<f32>(1.0f, 0x1p-8f, 0x1p-16f, 0x1p-24f);
    return fma(unit, nibbles, vec4<f32>(-scale.y));
}
#end
