//! Rooms in virtual time: one seed is one run of several real [`Coordinator`](coordinator::Coordinator)s over links
//! that delay, reorder, fall silent and break, with peers that leave, crash, sleep and lose their devices.
//!
//! Every run has a phase of faults; then all links heal, and the room must come to rest: one coordinator, every job
//! ended on every screen, every answer the same as one peer alone writes. [`invariants`] has one file per rule; the
//! tokens come from a [`toy`] model that is as touchy about its caches as a real one.
//!
//! ```text
//!   run (faults, from the seed) --> world --Input--> coordinator
//!                                   | ^ ------------ Output: Send -> network, Run -> device, Event -> witness
//!                                   v
//!                               invariants
//! ```

pub mod device;
pub mod dice;
pub mod invariants;
pub mod network;
pub mod run;
pub mod toy;
mod trace;
pub mod witness;
pub mod world;

pub use run::{Failure, Stats, run_seed};
