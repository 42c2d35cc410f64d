//! What must hold, one file each. Every checker is tested on made-up histories that break it.

pub mod bounded_queues;
pub mod caches_freed;
pub mod credit;
pub mod epochs_monotonic;
pub mod jobs_end;
pub mod late_results;
pub mod no_starvation;
pub mod no_storm;
pub mod one_coordinator;
pub mod one_lease;
pub mod progress;
pub mod tokens_gapless_and_solo;
