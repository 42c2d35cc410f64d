//! Time: the one place where the app reads a clock or sleeps, the same on the web and natively.

use coordinator::Millis;
use std::sync::OnceLock;
use web_time::{Instant, SystemTime};

/// Milliseconds since the app started.
#[must_use]
pub fn now() -> Millis {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Seconds since 1970, by the device's clock; 0 if that is set to before.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Sleeps until `deadline`, for at most a minute (the caller asks again); a minute if there is none.
pub async fn sleep_until(deadline: Option<Millis>) {
    const LONGEST_MS: u64 = 60_000;
    let wait = deadline.map_or(LONGEST_MS, |at| at.since(now()).min(LONGEST_MS));
    sleep(wait).await;
}

/// Sleeps for `ms` milliseconds.
#[cfg(target_arch = "wasm32")]
pub async fn sleep(ms: u64) {
    gloo_timers::future::TimeoutFuture::new(u32::try_from(ms).unwrap_or(u32::MAX)).await;
}

/// Sleeps for `ms` milliseconds.
#[cfg(not(target_arch = "wasm32"))]
pub async fn sleep(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}
