// The K largest of a segment of at most LENGTH scores, in order, and what a softmax over all of it is divided by.
// One workgroup per segment and row. Later rounds take the results of the one before.
//
// Scores become keys that order as unsigned numbers; the K-th largest key is found a byte at a time.

const THREADS = $THREADSu;
const LENGTH = $LENGTHu;
const EACH = LENGTH / THREADS;
const K = $Ku;
// Words that a segment becomes: the largest score, the sum of exponentials, then K of id and score.
const STRIDE = 2u + 2u * K;
const LOWEST = -3.4028234e38f;

var<workgroup> keys: array<u32, $LENGTH>;
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> reals: array<f32, $THREADS>;
var<workgroup> counts: array<u32, $THREADS>;
var<workgroup> found: array<vec2<u32>, $K>;
var<workgroup> appended: atomic<u32>;
// The prefix of the K-th largest key that is known, and how many of the K are left below it.
var<workgroup> goal: vec2<u32>;

fn key_of(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        // Not a number: worse than all that are.
        return 0u;
    }
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn value_of(key: u32) -> f32 {
    if (key == 0u) {
        return LOWEST;
    }
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u));
}

#if SCORES
fn id_of(row: u32, i: u32) -> u32 {
    return i;
}
fn input(row: u32, i: u32) -> u32 {
    return key_of(scores[row * info[0] + i]);
}
#end
#if RESULTS
fn word(row: u32, i: u32) -> u32 {
    return (row * (info[0] / K) + i / K) * STRIDE + 2u + 2u * (i % K);
}
fn id_of(row: u32, i: u32) -> u32 {
    return earlier[word(row, i)];
}
fn input(row: u32, i: u32) -> u32 {
    let at = word(row, i);
    // Where a segment had fewer than K scores there is nothing.
    return select(key_of(bitcast<f32>(earlier[at + 1u])), 0u, earlier[at] == 0xffffffffu);
}
#end

fn largest(value: f32, thread: u32) -> f32 {
    reals[thread] = value;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            reals[thread] = max(reals[thread], reals[thread + half]);
        }
        workgroupBarrier();
    }
    let top = reals[0];
    workgroupBarrier();
    return top;
}

fn added(value: f32, thread: u32) -> f32 {
    reals[thread] = value;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            reals[thread] += reals[thread + half];
        }
        workgroupBarrier();
    }
    let sum = reals[0];
    workgroupBarrier();
    return sum;
}

// One byte of the K-th largest key, from the top: which keys still match is in goal.x.
fn narrow(shift: u32, thread: u32) {
    atomicStore(&bins[thread], 0u);
    workgroupBarrier();
    let known = goal.x;
    for (var i = thread; i < LENGTH; i += THREADS) {
        if (shift == 24u || (keys[i] >> (shift + 8u)) == (known >> (shift + 8u))) {
            atomicAdd(&bins[(keys[i] >> shift) & 255u], 1u);
        }
    }
    workgroupBarrier();
    if (thread == 0u) {
        var left = goal.y;
        var bin = 255u;
        for (var count = atomicLoad(&bins[bin]); count < left; count = atomicLoad(&bins[bin])) {
            left -= count;
            bin -= 1u;
        }
        goal = vec2<u32>(known | (bin << shift), left);
    }
    workgroupBarrier();
}

// The first of the keys equal to the K-th largest, as many as there is room for; lower ids first.
fn take_equal(key: u32, room: u32, thread: u32) {
    var mine = 0u;
    for (var i = thread * EACH; i < (thread + 1u) * EACH; i++) {
        mine += select(0u, 1u, keys[i] == key);
    }
    counts[thread] = mine;
    workgroupBarrier();
    var rank = 0u;
    for (var i = 0u; i < thread; i++) {
        rank += counts[i];
    }
    for (var i = thread * EACH; i < (thread + 1u) * EACH; i++) {
        if (keys[i] == key) {
            if (rank < room) {
                found[K - room + rank] = vec2<u32>(key, i);
            }
            rank += 1u;
        }
    }
}

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = place.y;
    let start = place.x * $SEGMENTu;
    let count = min($SEGMENTu, info[0] - start);
    var best = LOWEST;
    for (var i = thread; i < LENGTH; i += THREADS) {
        var key = 0u;
        if (i < count) {
            key = input(row, start + i);
        }
        keys[i] = key;
        best = max(best, value_of(key));
    }
    if (thread == 0u) {
        goal = vec2<u32>(0u, K);
        atomicStore(&appended, 0u);
    }
    let softness = bitcast<f32>(info[2u + row]);
#if SCORES
    let top = largest(best, thread);
    var sum = 0.0f;
    for (var i = thread; i < count; i += THREADS) {
        sum += select(0.0f, exp((value_of(keys[i]) - top) * softness), keys[i] != 0u);
    }
    let exponentials = added(sum, thread);
#end
#if RESULTS
    // Each segment of the round before has its own; some of them may begin in this segment.
    var segment_top = LOWEST;
    for (var i = thread; i < count / K; i += THREADS) {
        segment_top = max(segment_top, bitcast<f32>(earlier[word(row, start + i * K) - 2u]));
    }
    let top = largest(segment_top, thread);
    var sum = 0.0f;
    for (var i = thread; i < count / K; i += THREADS) {
        let at = word(row, start + i * K) - 2u;
        sum += bitcast<f32>(earlier[at + 1u]) * exp((bitcast<f32>(earlier[at]) - top) * softness);
    }
    let exponentials = added(sum, thread);
#end
    for (var shift = 24u; shift < 32u; shift -= 8u) {
        narrow(shift, thread);
    }
    let last = goal.x;
    for (var i = thread; i < LENGTH; i += THREADS) {
        if (keys[i] > last) {
            found[atomicAdd(&appended, 1u)] = vec2<u32>(keys[i], i);
        }
    }
    take_equal(last, goal.y, thread);
    workgroupBarrier();
    let base = (row * info[1] + place.x) * STRIDE;
    for (var i = thread; i < K; i += THREADS) {
        let mine = found[i];
        var rank = 0u;
        for (var j = 0u; j < K; j++) {
            let other = found[j];
            rank += select(0u, 1u, other.x > mine.x || (other.x == mine.x && other.y < mine.y));
        }
        var id = 0xffffffffu;
        if (mine.y < count) {
            id = id_of(row, start + mine.y);
        }
        picked[base + 2u + 2u * rank] = id;
        picked[base + 3u + 2u * rank] = bitcast<u32>(value_of(mine.x));
    }
    if (thread == 0u) {
        picked[base] = bitcast<u32>(top);
        picked[base + 1u] = bitcast<u32>(exponentials);
    }
}
