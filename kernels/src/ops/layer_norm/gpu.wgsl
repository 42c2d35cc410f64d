// One workgroup per row: y = (x − mean) / √(variance + ε) · (1 + scale) + shift.

const THREADS = $THREADSu;
const QUADS = $QUADSu;

var<workgroup> sums: array<f32, $THREADS>;

// The mean over a row, from each invocation's sum; the order of summation is that of the invocations.
fn mean_of(part: f32, thread: u32) -> f32 {
    workgroupBarrier();
    sums[thread] = part;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    return sums[0] / f32(4u * QUADS);
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = place.x * QUADS;
    var part = 0.0f;
    for (var i = thread; i < QUADS; i += THREADS) {
        part += dot(x[row + i], vec4<f32>(1.0f));
    }
    let mean = mean_of(part, thread);
    var square = 0.0f;
    for (var i = thread; i < QUADS; i += THREADS) {
        let centred = x[row + i] - mean;
        square += dot(centred, centred);
    }
    let factor = inverseSqrt(mean_of(square, thread) + $EPS);
    for (var i = thread; i < QUADS; i += THREADS) {
        y[row + i] = (x[row + i] - mean) * factor * (1.0f + scale[i]) + shift[i];
    }
}
