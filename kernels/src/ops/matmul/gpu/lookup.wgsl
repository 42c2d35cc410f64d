// Rows of packed weights as floats: the embedding of tokens. One invocation per step of a row.

@compute @workgroup_size($THREADS)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let step = place.x;
    let token = place.y;
    let row = min(bitcast<u32>(ids[token]), info[0] - 1u);
    // A matrix in several pieces is one launch each: whoever holds the row writes it.
    if (step >= $STEPSu || row < info[1] || row >= info[1] + info[2]) {
        return;
    }
    let raw = load(row - info[1], step);
#for p PARTS
#if SCALED
    y[token * $QUADSu + column(step, $pu)] = vec4<f32>($FACTOR * raw.scale) * ((part_$p(raw) - ZERO_$p) * UNIT_$p);
#end
#if UNSCALED
    y[token * $QUADSu + column(step, $pu)] = vec4<f32>($FACTOR) * part_$p(raw);
#end
#end
}
