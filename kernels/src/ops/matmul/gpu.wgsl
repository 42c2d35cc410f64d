// y = x · Wᵀ, and what follows it, over weights that stay in their blocks.
//
// A workgroup has GROUPS groups of LANES invocations. A group makes ROWS outputs for BATCH rows of x: invocation
// `lane` takes steps lane, lane + LANES, … of each weight row, and the lanes' sums are added in their order. So an
// output is summed in the same order whatever BATCH is, and its bits do not depend on its neighbours.

const THREADS = $THREADSu;
const LANES = $LANESu;
const OUTPUTS = $OUTPUTSu;

var<workgroup> partial: array<f32, $PARTIAL>;

// The weight row behind sum r of a group whose first output is `first`.
fn weight_row(first: u32, r: u32) -> u32 {
#if GATED
    // Even sums are gates, odd ones the same output's ups, OUTPUTS rows further down.
    return min(first + r / 2u, OUTPUTS - 1u) + (r % 2u) * OUTPUTS;
#end
#if PLAIN
    return min(first + r, OUTPUTS - 1u);
#end
}

fn total(r: u32, m: u32, group: u32) -> f32 {
    let at = ((r * $BATCHu + m) * $GROUPSu + group) * LANES;
    var sum = partial[at];
    for (var lane = 1u; lane < LANES; lane++) {
        sum += partial[at + lane];
    }
    return sum;
}

fn activate(gate: f32) -> f32 {
#if GELU
    // The tanh form; beyond ±15 tanh is ±1 in f32, and some drivers overflow there.
    let inner = 0.7978845608f * (gate + 0.044715f * gate * gate * gate);
    return 0.5f * gate * (1.0f + tanh(clamp(inner, -15.0f, 15.0f)));
#end
#if SILU
    return gate / (1.0f + exp(-gate));
#end
}

// Output `row` of row `m` of x, from its sum.
fn finish(sum: f32, row: u32, m: u32) -> f32 {
    var value = sum;
#if BIAS
    value += bias[info[1] + row];
#end
#if CAPPED
    value = $CAP * tanh(clamp(value / $CAP, -15.0f, 15.0f));
#end
#if RESIDUAL
    value += residual[m * $WIDTHu + info[1] + row];
#end
    return value;
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let rows = info[0];
    let lane = thread % LANES;
    let group = thread / LANES;
    let first = (place.x * $GROUPSu + group) * $PER_GROUPu;
    let start = place.y * $BATCHu;
#for r ROWS
    let row_$r = weight_row(first, $ru);
#for m BATCH
    var sum_$r_$m = 0.0f;
#end
#end
#for m BATCH
    let at_$m = min(start + $mu, rows - 1u) * $QUADSu;
#end
    for (var step = lane; step < $STEPSu; step += LANES) {
#for r ROWS
        let raw_$r = load(row_$r, step);
#if SCALED
#for m BATCH
        var part_sum_$r_$m = 0.0f;
#end
#end
#end
#if SCALED
#for m BATCH
        var zero_$m = 0.0f;
#end
#end
#for p PARTS
        let column_$p = column(step, $pu);
#for m BATCH
#if SCALED
        let x_$p_$m = x[at_$m + column_$p] * UNIT_$p;
        zero_$m += dot(x_$p_$m, ZERO_$p);
#end
#if UNSCALED
        let x_$p_$m = x[at_$m + column_$p];
#end
#end
#for r ROWS
        let w_$p_$r = part_$p(raw_$r);
#for m BATCH
#if SCALED
        part_sum_$r_$m += dot(w_$p_$r, x_$p_$m);
#end
#if UNSCALED
        sum_$r_$m += dot(w_$p_$r, x_$p_$m);
#end
#end
#end
#end
#if SCALED
#for r ROWS
#for m BATCH
        sum_$r_$m = fma(raw_$r.scale, part_sum_$r_$m - zero_$m, sum_$r_$m);
#end
#end
#end
    }
#for r ROWS
#for m BATCH
    partial[(($ru * $BATCHu + $mu) * $GROUPSu + group) * LANES + lane] = sum_$r_$m;
#end
#end
    workgroupBarrier();
    // One invocation per output from here on.
    for (var i = thread; i < $PER_GROUPu * $GROUPSu * $BATCHu; i += THREADS) {
        let m = i / ($PER_GROUPu * $GROUPSu);
        let output = i % ($PER_GROUPu * $GROUPSu);
        let r = output % $PER_GROUPu;
        let row = place.x * $GROUPSu * $PER_GROUPu + output;
        if (row < OUTPUTS && start + m < rows) {
            let g = output / $PER_GROUPu;
#if GATED
            let value = activate(total(2u * r, m, g)) * total(2u * r + 1u, m, g);
#end
#if PLAIN
            let value = total(r, m, g);
#end
            y[(start + m) * $WIDTHu + info[1] + row] = finish(value, row, start + m);
        }
    }
}
