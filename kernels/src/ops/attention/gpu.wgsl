// Attention with a running softmax (Milakov & Gimelshein 2018; Dao et al. 2022) over pages (Kwon et al. 2023): no more
// than one tile of scores of a row ever exists. A workgroup makes one query head for a group of at most ROWS consecutive
// rows of one sequence, whichever sequences the rows beside them belong to.
//
// `places` holds, for each row, where the pages of its sequence are listed in `places` and its position; then the first
// row of each group, and where the last one ends; then the pages. The host checks all of them.
//
// Tiles begin at multiples of THREADS in the cache, whatever the row, and a score that a row may not see changes
// nothing in it, not even a bit: so a row's result does not depend on the rows beside it.

const THREADS = $THREADSu;
const QUADS = $QUADSu;
// Positions whose values are added at the same time, by QUADS invocations each.
const LANES = THREADS / QUADS;
// Below every score, and finite: shader compilers may assume that there are no infinities.
const UNSEEN = -1e30f;

var<workgroup> query: array<vec4<f32>, $QUERY>;
var<workgroup> weights: array<f32, $WEIGHTS>;
var<workgroup> tops: array<f32, $TOPS>;
var<workgroup> merged: array<vec4<f32>, $THREADS>;
var<workgroup> range: vec2<u32>;

fn position_of(row: u32) -> u32 {
    return places[2u * row + 1u];
}

// The first position that a row at `position` sees.
fn begin_of(position: u32) -> u32 {
#if WINDOWED
    return position + 1u - min(position + 1u, $WINDOWu);
#end
#if UNBOUNDED
    return 0u;
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

// The sum over invocations, in their order.
fn total(value: f32, thread: u32) -> f32 {
    workgroupBarrier();
    weights[thread] = value;
    workgroupBarrier();
    var sum = 0.0f;
    for (var i = 0u; i < THREADS; i++) {
        sum += weights[i];
    }
    return sum;
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = place.x;
    let first = places[2u * info[0] + place.y];
    let end = places[2u * info[0] + place.y + 1u];
#for r ROWS
    let row_$r = min(first + $ru, end - 1u);
    let position_$r = position_of(row_$r);
    var top_$r = UNSEEN;
    var sum_$r = 0.0f;
    var mixed_$r = vec4<f32>(0.0f);
    for (var i = thread; i < QUADS; i += THREADS) {
        query[$ru * QUADS + i] = queries[(row_$r * $HEADSu + head) * QUADS + i] * $SCALE;
    }
#end
    if (thread == 0u) {
        range = vec2<u32>(begin_of(position_of(first)), position_of(end - 1u));
    }
    let pages = places[2u * first];
    let lane = thread / QUADS;
    let channel = thread % QUADS;
    let seen = workgroupUniformLoad(&range);
    for (var tile = seen.x / THREADS * THREADS; tile <= seen.y; tile += THREADS) {
        let key_position = tile + thread;
        // A page is whole tiles.
        let held = (places[pages + tile / $PAGEu] * $KV_HEADSu + head / $GROUPu) * $PAGEu + tile % $PAGEu;
#for r ROWS
        var score_$r = 0.0f;
#end
        if (key_position <= seen.y) {
            for (var i = 0u; i < QUADS; i++) {
                let key = loaded(keys[(held + thread) * QUADS + i]);
#for r ROWS
                score_$r += dot(query[$ru * QUADS + i], key);
#end
            }
        }
#for r ROWS
        let visible_$r = key_position <= position_$r && key_position >= begin_of(position_$r);
        score_$r = select(UNSEEN, score(score_$r), visible_$r);
        weights[$ru * THREADS + thread] = score_$r;
#end
        workgroupBarrier();
        for (var i = thread; i < $ROWSu * 8u; i += THREADS) {
            let at = i * (THREADS / 8u);
            var top = weights[at];
            for (var k = 1u; k < THREADS / 8u; k++) {
                top = max(top, weights[at + k]);
            }
            tops[i] = top;
        }
        workgroupBarrier();
#for r ROWS
        var next_$r = top_$r;
        for (var i = 0u; i < 8u; i++) {
            next_$r = max(next_$r, tops[$ru * 8u + i]);
        }
        // Not exp(0): it need not be exactly 1 everywhere.
        let fade_$r = select(exp(top_$r - next_$r), 1.0f, top_$r == next_$r);
        let weight_$r = select(0.0f, exp(score_$r - next_$r), visible_$r);
        top_$r = next_$r;
        sum_$r = fma(sum_$r, fade_$r, weight_$r);
        mixed_$r *= fade_$r;
        weights[$ru * THREADS + thread] = weight_$r;
#end
        workgroupBarrier();
        if (lane < LANES) {
            let count = min(THREADS, seen.y + 1u - tile);
            for (var k = lane; k < count; k += LANES) {
                let value = loaded(values[(held + k) * QUADS + channel]);
#for r ROWS
                mixed_$r = fma(vec4<f32>(weights[$ru * THREADS + k]), value, mixed_$r);
#end
            }
        }
        workgroupBarrier();
    }
#for r ROWS
    let all_$r = total(sum_$r, thread);
    merged[thread] = mixed_$r;
    workgroupBarrier();
    if (thread < QUADS && first + $ru < end) {
        var sum = merged[thread];
        for (var i = 1u; i < LANES; i++) {
            sum += merged[i * QUADS + thread];
        }
        y[(row_$r * $HEADSu + head) * QUADS + thread] = sum / all_$r;
    }
    workgroupBarrier();
#end
}
