//! Many seeds at once.

use crate::run::{Failure, Stats, run_seed};
use std::io::Write;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A seed that runs for so long never ends: a machine under test loops. Source: measured; the longest takes a second
/// or two, and half a minute on a busy computer.
const STUCK: Duration = Duration::from_secs(900);

/// The seed that a thread runs, and since when.
type Slot = Mutex<Option<(u64, Instant)>>;

/// Runs every seed of `seeds`, on as many threads as there are processors, and hands each result to `each`, in the
/// order in which they end. A seed's result does not depend on the others. Should a seed never end, it is named, and
/// the process exits: nothing can stop a loop inside the machine, which may also take all memory.
pub fn sweep(seeds: Range<u64>, mut each: impl FnMut(u64, Result<Stats, Failure>)) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let slots: Vec<Slot> = (0..threads).map(|_| Mutex::new(None)).collect();
    let next = AtomicU64::new(seeds.start);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for slot in &slots {
            let (sender, next, end) = (sender.clone(), &next, seeds.end);
            scope.spawn(move || work(slot, next, end, &sender));
        }
        drop(sender);
        loop {
            match results.recv_timeout(Duration::from_secs(1)) {
                Ok((seed, result)) => each(seed, result),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            slots.iter().for_each(exit_if_stuck);
        }
    });
}

fn work(slot: &Slot, next: &AtomicU64, end: u64, sender: &Sender<(u64, Result<Stats, Failure>)>) {
    let note = |now| *slot.lock().expect("nobody panics while noting a seed") = now;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return note(None);
        }
        note(Some((seed, Instant::now())));
        if sender.send((seed, run_seed(seed, false))).is_err() {
            return;
        }
    }
}

fn exit_if_stuck(slot: &Slot) {
    let running = *slot.lock().expect("nobody panics while noting a seed");
    if let Some((seed, _)) = running.filter(|(_, since)| since.elapsed() > STUCK) {
        // Past the test harness, which would keep it to itself.
        let line = format!(
            "FAILED seed {seed}: it does not end\n  again: cargo xtask simulate --seeds 1 --from {seed}\n"
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
        std::process::exit(101);
    }
}

/// A first seed that nobody has run yet: microseconds since 1970. The callers print it.
#[must_use]
pub fn fresh(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64)
}
