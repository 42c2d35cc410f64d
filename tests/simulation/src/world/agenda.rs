//! What happens when: one queue, in the order of time, then of entry.

use super::faults::Sequel;
use crate::network::Parcel;
use coordinator::PeerId;
use coordinator::io::Part;
use std::collections::BTreeMap;

/// Something that happens at a time.
#[derive(Debug)]
pub enum Happening {
    /// A peer's deadline.
    Wake(PeerId),
    /// A message is there.
    Arrive(Parcel),
    /// A chunk is done; the device's generation.
    Chunk(PeerId, u32),
    /// A range is in memory, or could not be loaded.
    Loaded(PeerId, u32, Part),
    /// A device is ready.
    Ready(PeerId, u32),
    /// A link opens.
    Link(PeerId, PeerId),
    /// The first hears that its link to the second is closed.
    Learn(PeerId, PeerId),
    /// A fault goes on, or ends.
    Fault(Sequel),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Agenda {
    queue: BTreeMap<(u64, u64), Happening>,
    count: u64,
}

impl Agenda {
    /// Adds something.
    pub fn push(&mut self, at: u64, happening: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), happening);
    }

    /// The next thing that happens by `until`, and when.
    pub fn pop(&mut self, until: u64) -> Option<(u64, Happening)> {
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), happening) = first.remove_entry();
        Some((at, happening))
    }

    /// No fault goes on.
    pub fn forget_faults(&mut self) {
        self.queue.retain(|_, happening| !matches!(happening, Happening::Fault(_)));
    }
}
