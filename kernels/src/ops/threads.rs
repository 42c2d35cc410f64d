//! Threads that share what one thread of the CPU tier computes.
//!
//! That thread takes helpers with [`take`]; while there is nothing to share they sleep. Work is cut between outputs, so that
//! each is summed by one thread in the order that it always has: the bits are the same for any number of threads.
//! In a browser there is one thread, and everything here is a plain loop.

#[cfg(not(target_family = "wasm"))]
use rayon::join;
use std::marker::PhantomData;
use std::ops::Range;

/// Pieces that each thread has on average: a thread that comes late, or is taken off its core, leaves the others
/// more than one large piece to go on with.
const PIECES: usize = 4;

/// Why there are no helpers.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// Cure: a number in that range.
    #[error("{0} threads: from 1 to {most} can compute together", most = crate::limits::THREADS)]
    Count(usize),
    /// The system gives no threads, or this thread took helpers before. Cure: fewer threads, or none.
    #[error("cannot start threads that compute: {0}")]
    Start(#[from] rayon::ThreadPoolBuildError),
}

/// Makes `count` threads compute what this one is asked for from now on, this one included. The helpers end with it.
///
/// # Errors
/// [`ThreadsError`]; whatever it is, this thread computes alone.
#[cfg(not(target_family = "wasm"))]
pub fn take(count: usize) -> Result<(), ThreadsError> {
    use rayon::{ThreadPool, ThreadPoolBuilder};
    use std::cell::OnceCell;

    thread_local! {
        static HELPERS: OnceCell<ThreadPool> = const { OnceCell::new() };
    }
    if count == 0 || count > crate::limits::THREADS {
        return Err(ThreadsError::Count(count));
    }
    // A thread that is of the pool itself hands work over in a microsecond; one that asks a pool from outside would
    // sleep and be woken for every product.
    let pool = ThreadPoolBuilder::new().num_threads(count).use_current_thread();
    let pool = pool.thread_name(|number| format!("compute-{number}")).build()?;
    HELPERS.with(|helpers| helpers.set(pool)).unwrap_or_else(drop);
    Ok(())
}

/// Threads that compute together here.
#[must_use]
pub fn count() -> usize {
    #[cfg(not(target_family = "wasm"))]
    if rayon::current_thread_index().is_some() {
        return rayon::current_num_threads();
    }
    1
}

/// Calls `work` with ranges that together are `0..tasks`, none shorter than `least` unless it is all.
pub(crate) fn each(tasks: usize, least: usize, work: impl Fn(Range<usize>) + Sync) {
    // Units take no memory, so this is a count only.
    let mut units = vec![(); tasks];
    each_of(&mut units, 1, least, |first, units| work(first..first + units.len()));
}

/// Calls `work` with parts of `out`, whole tasks of `size` each, and the number of their first task; none has fewer than
/// `least` tasks unless it is all.
///
/// # Panics
/// If `size` is 0.
pub(crate) fn each_of<T: Send>(
    out: &mut [T],
    size: usize,
    least: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let tasks = out.len() / size;
    let pieces = match count() {
        1 => 1,
        threads => (threads * PIECES).min(tasks / least.max(1)).max(1),
    };
    split(0, out, size, pieces, &work);
}

fn split<T: Send>(
    first: usize,
    out: &mut [T],
    size: usize,
    pieces: usize,
    work: &(impl Fn(usize, &mut [T]) + Sync),
) {
    if pieces == 1 {
        return work(first, out);
    }
    let left = pieces / 2;
    let tasks = out.len() / size * left / pieces;
    let (here, there) = out.split_at_mut(tasks * size);
    join(|| split(first, here, size, left, work), || split(first + tasks, there, size, pieces - left, work));
}

/// Nobody to help.
#[cfg(target_family = "wasm")]
fn join(one: impl FnOnce(), other: impl FnOnce()) {
    one();
    other();
}

/// A slice of which several threads write parts, where [`each_of`] does not do: several slices, or columns.
pub(crate) struct Parts<'a, T> {
    first: *mut T,
    len: usize,
    all: PhantomData<&'a mut [T]>,
}

// SAFETY: what is shared is reached only through `part`, whose callers promise that no two threads have the same element.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Of `all`.
    pub(crate) fn new(all: &'a mut [T]) -> Self {
        Self { first: all.as_mut_ptr(), len: all.len(), all: PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Panics
    /// If there are no such elements.
    ///
    /// # Safety
    /// None of them is in another part while this one is in use.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller promises that nobody else has these elements")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within what is borrowed for as long as `self` lives, and nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    /// What `run` gives on a thread that computes with `threads` threads.
    fn with<R: Send + 'static>(threads: usize, run: impl FnOnce() -> R + Send + 'static) -> R {
        let body = move || {
            take(threads).expect("a few threads can be had");
            run()
        };
        std::thread::spawn(body).join().expect("no panic")
    }

    #[test]
    fn every_task_is_done_once_by_pieces_that_are_worth_it() {
        for (threads, tasks, least) in
            [(1, 5, 1), (2, 0, 1), (2, 7, 100), (3, 100, 9), (3, 1, 0), (2, 1000, 1)]
        {
            let (done, pieces) = with(threads, move || {
                let pieces = std::sync::Mutex::new(Vec::new());
                let mut done = vec![0; tasks * 3];
                each_of(&mut done, 3, least, |first, out| {
                    pieces.lock().expect("no panic").push(out.len() / 3);
                    out.iter_mut().enumerate().for_each(|(i, out)| *out += first * 3 + i + 1);
                });
                (done, pieces.into_inner().expect("no panic"))
            });
            assert!(done.iter().enumerate().all(|(i, done)| *done == i + 1), "{threads} {tasks} {least}");
            assert!(pieces.len() <= threads * PIECES, "{pieces:?}");
            assert!(pieces.len() == 1 || pieces.iter().all(|piece| *piece >= least), "{pieces:?}");
        }
    }

    #[test]
    fn helpers_do_take_part() {
        let seen = with(3, || {
            let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
            // Each piece waits for the others, which only works if three threads run them.
            let barrier = std::sync::Barrier::new(3);
            each(3, 1, |_| {
                barrier.wait();
                seen.lock().expect("no panic").insert(rayon::current_thread_index());
            });
            seen.into_inner().expect("no panic").len()
        });
        assert_eq!(seen, 3);
        assert_eq!(with(2, count), 2);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let alone = std::thread::spawn(|| {
            for wrong in [0, crate::limits::THREADS + 1, usize::MAX] {
                assert!(matches!(take(wrong), Err(ThreadsError::Count(count)) if count == wrong));
            }
            take(2).expect("two threads can be had");
            let again = take(2).expect_err("helpers are taken once").to_string();
            assert!(again.starts_with("cannot start threads"), "{again}");
            count()
        });
        assert_eq!(alone.join().expect("no panic"), 2);
    }
}
