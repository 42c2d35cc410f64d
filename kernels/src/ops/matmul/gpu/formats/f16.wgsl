// F16 and BF16: a step is one vector of eight weights.
struct Raw { q: vec4<u32> }

fn load(row: u32, step: u32) -> Raw {
    return Raw(quants[row * $VECTORSu + step]);
}

fn column(step: u32, part: u32) -> u32 {
    return step * 2u + part;
}

fn pair(word: u32) -> vec2<f32> {
#if BRAIN
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
#end
#if HALF
    return unpack2x16float(word);
#end
}

fn part_0(raw: Raw) -> vec4<f32> {
    return vec4<f32>(pair(raw.q.x), pair(raw.q.y));
}

fn part_1(raw: Raw) -> vec4<f32> {
    return vec4<f32>(pair(raw.q.z), pair(raw.q.w));
}
