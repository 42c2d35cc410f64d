//! How well peers do: is one still there, how much work should it have, how fast is it really.
//!
//! A page has no CPU or memory meter. What it can know is when words arrive, what its own timers and battery say,
//! and how long its own chunks took. Three small machines make something of that, each pure and bounded:
//!
//! ```text
//!  words heard, pulses sent, echoes --> Rhythm   one per link     alive, silent, or one-way; and when to look again
//!  tab, battery, event-loop lag     --> Fitness  one, of oneself  the share of the room's work, and a word for people
//!  chunks sent out and answered     --> Meter    one, of oneself  microseconds a layer and row, and "slower than usual"
//! ```
//!
//! Everything is counted in whole numbers, so that every peer and the simulator come to the same conclusion from
//! the same inputs.

mod fitness;
mod meter;
mod rhythm;

pub use fitness::{Ailment, Fitness, Share, Vitals};
pub use meter::{Meter, Work};
pub use rhythm::{Link, Rhythm};
