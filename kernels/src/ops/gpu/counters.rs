//! What our own kernels cost, counted: tests and benches hold these against the budget of a token.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one [`Gpu`](super::Gpu) and its clones. Work of burn's own operations is not in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Kernels launched. cubecl makes one bind group for each, so this is also the bind groups made.
    pub launches: u64,
    /// Buffers bound, over all launches.
    pub bindings: u64,
    /// Bytes written to the device, weights aside.
    pub bytes_written: u64,
    /// Bytes read back from the device.
    pub bytes_read: u64,
}

impl Counters {
    /// What was added since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            launches: self.launches - earlier.launches,
            bindings: self.bindings - earlier.bindings,
            bytes_written: self.bytes_written - earlier.bytes_written,
            bytes_read: self.bytes_read - earlier.bytes_read,
        }
    }
}

/// The counts as they run.
#[derive(Debug, Default)]
pub(super) struct Running {
    launches: AtomicU64,
    bindings: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
}

impl Running {
    pub(super) fn now(&self) -> Counters {
        Counters {
            launches: self.launches.load(Relaxed),
            bindings: self.bindings.load(Relaxed),
            bytes_written: self.written.load(Relaxed),
            bytes_read: self.read.load(Relaxed),
        }
    }

    pub(super) fn launched(&self, bindings: usize) {
        self.launches.fetch_add(1, Relaxed);
        self.bindings.fetch_add(bindings as u64, Relaxed);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
    }
}
