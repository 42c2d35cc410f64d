//! What this device may hold.

use coordinator::io::{Capability, Device};
use kernels::device::Kind;

/// What this device is; `lent` as in [`Means`](crate::compute::Means).
pub fn capability(kind: Kind, lent: Option<u64>) -> Capability {
    let device = match kind {
        Kind::Gpu => Device::Gpu,
        Kind::Cpu => Device::Cpu,
    };
    Capability { device, memory: lent.unwrap_or_else(budget) }
}

/// Bytes of weights that this device may hold: a quarter of its memory, so that a person's other tabs live on.
pub fn budget() -> u64 {
    const GIB: u64 = 1 << 30;
    // A browser's 32-bit engine ends at 4 GiB, and tells at most 8 GiB of the device's memory.
    let most = if cfg!(target_arch = "wasm32") { 2 * GIB } else { 64 * GIB };
    device_memory().map_or(GIB, |bytes| (bytes / 4).clamp(GIB / 4, most))
}

/// Bytes of caches that this device may hold, beside the weights: a quarter of what those may take. Source: guess.
pub fn cache_budget() -> u64 {
    budget() / 4
}

#[cfg(target_arch = "wasm32")]
fn device_memory() -> Option<u64> {
    let navigator = js_sys::Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    let gib = js_sys::Reflect::get(&navigator, &"deviceMemory".into()).ok()?.as_f64()?;
    Some((gib * f64::from(1u32 << 30)) as u64)
}

#[cfg(not(target_arch = "wasm32"))]
fn device_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
