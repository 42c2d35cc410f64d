// A page's keys and values to another page.

@compute @workgroup_size($THREADS)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let i = place.x;
    if (i < $QUADSu) {
        keys[info[1] * $QUADSu + i] = keys[info[0] * $QUADSu + i];
        values[info[1] * $QUADSu + i] = values[info[0] * $QUADSu + i];
    }
}
