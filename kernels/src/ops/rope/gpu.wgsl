// One workgroup per head of a row: queries are turned and written out, keys are turned and written to the cache,
// values are written to the cache. HEADS query heads, then KV_HEADS of keys and as many of values, lie side by side.

const THREADS = $THREADSu;
const DIM = $DIMu;
const TURNED = $TURNEDu;

var<workgroup> head: array<f32, $DIM>;
var<workgroup> sums: array<f32, $THREADS>;

// Cosine and sine of pair i at a position.
fn angle(position: u32, i: u32) -> vec2<f32> {
    let at = position * TURNED + i;
    return vec2<f32>(table[at], table[at + TURNED / 2u]);
}

// Channel i after turning; channels beyond TURNED stay.
fn turned(i: u32, position: u32) -> f32 {
    if (i >= TURNED) {
        return head[i];
    }
#if HALVES
    let half = TURNED / 2u;
    let turn = angle(position, i % half);
    if (i < half) {
        return head[i] * turn.x - head[i + half] * turn.y;
    }
    return head[i] * turn.x + head[i - half] * turn.y;
#end
#if PAIRS
    let turn = angle(position, i / 2u);
    if (i % 2u == 0u) {
        return head[i] * turn.x - head[i + 1u] * turn.y;
    }
    return head[i] * turn.x + head[i - 1u] * turn.y;
#end
}

#if NORMED
fn normalise(thread: u32, is_key: bool) {
    var square = 0.0f;
    for (var i = thread; i < DIM; i += THREADS) {
        square = fma(head[i], head[i], square);
    }
    sums[thread] = square;
    workgroupBarrier();
    var total = 0.0f;
    for (var i = 0u; i < THREADS; i++) {
        total += sums[i];
    }
    let scale = inverseSqrt(total / f32(DIM) + $EPS);
    for (var i = thread; i < DIM; i += THREADS) {
        head[i] *= scale * select(query_weight[i], key_weight[i], is_key);
    }
    workgroupBarrier();
}
#end

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let j = place.x;
    let row = place.y;
    // As attention reads them; the host has checked that they lie within the cache and the table.
    let position = places[2u * row + 1u];
    let page = places[places[2u * row] + position / $PAGEu] * $KV_HEADSu;
    let is_query = j < $HEADSu;
    let is_value = j >= $HEADSu + $KV_HEADSu;
    for (var i = thread; i < DIM; i += THREADS) {
        head[i] = qkv[(row * ($HEADSu + 2u * $KV_HEADSu) + j) * DIM + i];
    }
    workgroupBarrier();
#if NORMED
    // The same for all of a workgroup, so that the barriers inside are met by all of it.
    if (!is_value) {
        normalise(thread, !is_query);
    }
#end
    for (var quad = thread; quad < DIM / 4u; quad += THREADS) {
        let i = 4u * quad;
        if (is_query) {
            queries[(row * $HEADSu + j) * DIM / 4u + quad] =
                vec4<f32>(turned(i, position), turned(i + 1u, position), turned(i + 2u, position), turned(i + 3u, position));
        } else if (is_value) {
            let at = ((page + j - $HEADSu - $KV_HEADSu) * $PAGEu + position % $PAGEu) * (DIM / 4u) + quad;
            values[at] = stored(vec4<f32>(head[i], head[i + 1u], head[i + 2u], head[i + 3u]));
        } else {
            let at = ((page + j - $HEADSu) * $PAGEu + position % $PAGEu) * (DIM / 4u) + quad;
            keys[at] = stored(
                vec4<f32>(turned(i, position), turned(i + 1u, position), turned(i + 2u, position), turned(i + 3u, position)));
        }
    }
}
