//! Rooms in virtual time: one seed is one run of several real [`Coordinator`](coordinator::Coordinator)s over links
//! that delay, reorder, fall silent and break, with peers that leave, crash, sleep, boast and lose their devices.
//!
//! Every run has a phase of faults (see [`world::faults`]); then all links heal, and the room must come to rest: one
//! coordinator, every job ended on every screen, every answer the same as one peer alone writes, nothing held any
//! more. Then somebody asks for one more story, which must be written in a bounded time. [`invariants`] has one file
//! per rule; the tokens come from a [`toy`] model that is as touchy about its caches as a real one.
//!
//! ```text
//!   run (faults, from the seed) --> world --Input--> coordinator
//!                                   | ^ ------------ Output: Send -> network, Run -> device, Event -> witness
//!                                   v
//!                               invariants
//! ```
//!
//! [`measure`] uses the same rooms to say how good the coordinator is, in virtual time.

pub mod clock;
pub mod device;
pub mod dice;
pub mod invariants;
pub mod measure;
pub mod network;
pub mod run;
pub mod sweep;
pub mod toy;
mod trace;
pub mod witness;
pub mod world;

pub use run::{Failure, Stats, run_seed};
pub use sweep::sweep;
