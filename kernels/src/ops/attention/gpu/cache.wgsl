// Four channels as the cache holds them.
#if HALF
fn stored(value: vec4<f32>) -> vec2<u32> {
    // Beyond f16 the largest f16: an infinity would turn into NaN in a product with 0.
    let most = vec4<f32>(65504.0f);
    let held = clamp(value, -most, most);
    return vec2<u32>(pack2x16float(held.xy), pack2x16float(held.zw));
}
fn loaded(value: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(value.x), unpack2x16float(value.y));
}
#end
#if FULL
fn stored(value: vec4<f32>) -> vec4<f32> {
    return value;
}
fn loaded(value: vec4<f32>) -> vec4<f32> {
    return value;
}
#end
