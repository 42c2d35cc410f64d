// Attention on both sides with a running softmax (Milakov & Gimelshein 2018; Dao et al. 2022). A workgroup makes one
// head of ROWS rows: it scores a tile of KEYS keys, then mixes their values. A score that a row may not see changes
// nothing in it, not even a bit: so a row's result does not depend on the rows beside it.

const THREADS = $THREADSu;
const KEYS = $KEYSu;
const QUADS = $QUADSu;
// Below every score, and finite: shader compilers may assume that there are no infinities.
const UNSEEN = -1e30f;

var<workgroup> query: array<vec4<f32>, $QUERY>;
var<workgroup> weights: array<f32, $WEIGHTS>;
// Of each row: the largest score so far, what shrinks with the last change of it, the sum of weights.
var<workgroup> tops: array<f32, $ROWS>;
var<workgroup> fades: array<f32, $ROWS>;
var<workgroup> totals: array<f32, $ROWS>;
var<workgroup> range: vec2<u32>;

fn sees(row: u32, key: u32, seen: u32) -> bool {
#if WINDOWED
    return key < seen && key <= row + $WINDOWu && row <= key + $WINDOWu;
#end
#if UNBOUNDED
    return key < seen;
#end
}

fn score(raw: f32) -> f32 {
#if CAPPED
    return $CAP * tanh(clamp(raw / $CAP, -15.0f, 15.0f));
#end
#if UNCAPPED
    return raw;
#end
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = place.x;
    let first = place.y * $ROWSu;
    let rows = info[0];
    let seen = info[1];
    for (var i = thread; i < $ROWSu * QUADS; i += THREADS) {
        let row = min(first + i / QUADS, rows - 1u);
        query[i] = queries[(row * $HEADSu + head) * QUADS + i % QUADS] * $SCALE;
    }
    if (thread < $ROWSu) {
        tops[thread] = UNSEEN;
        totals[thread] = 0.0f;
    }
    if (thread == 0u) {
#if WINDOWED
        range = vec2<u32>(first - min(first, $WINDOWu), min(first + $ROWSu + $WINDOWu, seen));
#end
#if UNBOUNDED
        range = vec2<u32>(0u, seen);
#end
    }
    // What this invocation scores, and what it mixes.
    let scored_key = thread % KEYS;
    let scored_row = thread / KEYS * $SCOREDu;
    let mixed_row = thread / QUADS * $MIXEDu;
    let channel = thread % QUADS;
    let mixes = thread / QUADS < $GROUPSu;
    let kv_head = head / $SHAREu;
#for r MIXED
    var mixed_$r = vec4<f32>(0.0f);
#end
    let bounds = workgroupUniformLoad(&range);
    for (var tile = bounds.x / KEYS * KEYS; tile < bounds.y; tile += KEYS) {
        let key = tile + scored_key;
        let at = (min(key, seen - 1u) * $KV_HEADSu + kv_head) * QUADS;
#for r SCORED
        var score_$r = 0.0f;
#end
        for (var i = 0u; i < QUADS; i++) {
            let part = keys[at + i];
#for r SCORED
            score_$r += dot(query[(scored_row + $ru) * QUADS + i], part);
#end
        }
#for r SCORED
        let visible_$r = sees(first + scored_row + $ru, key, seen);
        score_$r = select(UNSEEN, score(score_$r), visible_$r);
        weights[(scored_row + $ru) * KEYS + scored_key] = score_$r;
#end
        workgroupBarrier();
        if (thread < $ROWSu) {
            let top = tops[thread];
            var next = top;
            for (var k = 0u; k < KEYS; k++) {
                next = max(next, weights[thread * KEYS + k]);
            }
            // Not exp(0): it need not be exactly 1 everywhere.
            fades[thread] = select(exp(top - next), 1.0f, top == next);
            tops[thread] = next;
        }
        workgroupBarrier();
#for r SCORED
        weights[(scored_row + $ru) * KEYS + scored_key] =
            select(0.0f, exp(score_$r - tops[scored_row + $ru]), visible_$r);
#end
        workgroupBarrier();
        if (thread < $ROWSu) {
            var sum = totals[thread] * fades[thread];
            for (var k = 0u; k < KEYS; k++) {
                sum += weights[thread * KEYS + k];
            }
            totals[thread] = sum;
        }
        if (mixes) {
#for r MIXED
            mixed_$r *= fades[mixed_row + $ru];
#end
            let end = min(KEYS, seen - tile);
            for (var k = 0u; k < end; k++) {
                let value = values[((tile + k) * $KV_HEADSu + kv_head) * QUADS + channel];
#for r MIXED
                mixed_$r = fma(vec4<f32>(weights[(mixed_row + $ru) * KEYS + k]), value, mixed_$r);
#end
            }
        }
        workgroupBarrier();
    }
    if (mixes) {
#for r MIXED
        let row_$r = first + mixed_row + $ru;
        if (row_$r < rows) {
            y[(row_$r * $HEADSu + head) * QUADS + channel] = mixed_$r / totals[mixed_row + $ru];
        }
#end
    }
}
