//! One peer of a room: the machine under test, its device, its clock, and its person's screen.

use crate::clock::Clock;
use crate::device::Device;
use crate::invariants::{late_results::Closed, one_lease::Leases};
use crate::witness::Witness;
use coordinator::{Coordinator, Epoch, Input};
use std::collections::VecDeque;

/// A peer to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Microseconds for one row through one layer.
    pub layer_micros: u64,
    /// Bytes of weights.
    pub memory: u64,
    /// Microseconds for one branch of one denoising step; 0 if it does not paint.
    pub step_micros: u64,
    /// How many times faster than it is it claims to be; 1 is honest.
    pub boast: u64,
    /// It reports receipts that are made up.
    pub forges: bool,
}

impl Spec {
    /// An ordinary tab.
    pub const TAB: Self =
        Self { layer_micros: 500, memory: 1 << 30, step_micros: 20_000, boast: 1, forges: false };
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    /// The machine under test.
    pub node: Coordinator,
    /// Its compute worker.
    pub device: Device,
    /// Its person's screen.
    pub witness: Witness,
    /// False once it left or crashed.
    pub alive: bool,
    /// The highest epoch that it followed.
    pub epoch: Option<Epoch>,
    /// What it can do.
    pub spec: Spec,
    /// What its device has computed, in thousandths of a credit.
    pub done: u64,
    pub(super) closed: Closed,
    pub(super) clock: Clock,
    pub(super) leases: Leases,
    pub(super) asleep: bool,
    pub(super) inbox: VecDeque<Input>,
    /// Its next deadline, in the world's milliseconds.
    pub(super) wake_at: u64,
}
