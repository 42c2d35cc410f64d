// One workgroup per row: hidden = x (+ what is added), then y = hidden / rms(hidden) ∘ weight.

const THREADS = $THREADSu;
const QUADS = $QUADSu;

var<workgroup> sums: array<f32, $THREADS>;

// 1 / rms of a row, from each invocation's sum of squares; the order of summation is that of the invocations.
fn inverse_rms(square: f32, thread: u32) -> f32 {
    workgroupBarrier();
    sums[thread] = square;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    return inverseSqrt(sums[0] / f32(4u * QUADS) + $EPS);
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = place.x * QUADS;
#if POST
    var before = 0.0f;
    for (var i = thread; i < QUADS; i += THREADS) {
        before += dot(added[row + i], added[row + i]);
    }
    let post_scale = inverse_rms(before, thread);
#end
    var square = 0.0f;
    for (var i = thread; i < QUADS; i += THREADS) {
        var value = x[row + i];
#if ADD
        value += added[row + i];
#end
#if POST
        value += added[row + i] * post_scale * post_weight[i];
#end
#if SUM
        hidden[row + i] = value;
#end
        square += dot(value, value);
    }
    let scale = inverse_rms(square, thread);
    for (var i = thread; i < QUADS; i += THREADS) {
#if SUM
        y[row + i] = hidden[row + i] * scale * weight[i];
#end
#if ONLY
        y[row + i] = x[row + i] * scale * weight[i];
#end
    }
}
