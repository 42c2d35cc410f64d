// F32: a step is PARTS vectors of four weights.
struct Raw {
#for p PARTS
    q_$p: vec4<u32>,
#end
}

fn load(row: u32, step: u32) -> Raw {
    let at = row * $VECTORSu + step * $PARTSu;
    var raw: Raw;
#for p PARTS
    raw.q_$p = quants[at + $pu];
#end
    return raw;
}

fn column(step: u32, part: u32) -> u32 {
    return step * $PARTSu + part;
}

#for p PARTS
fn part_$p(raw: Raw) -> vec4<f32> {
    return bitcast<vec4<f32>>(raw.q_$p);
}
#end
