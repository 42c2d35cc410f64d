//! What must hold, one file each. Every checker is tested on made-up histories that break it.

pub mod bounded_queues;
pub mod epochs_monotonic;
pub mod jobs_end;
pub mod one_coordinator;
pub mod tokens_gapless_and_solo;
