//! Every decision of a Manyhands room: who leads, who runs what, what to retry, who waits.
//!
//! The crate is sans-IO. It owns no socket, clock, thread or random source, so the same code runs in a
//! browser page, in a native peer and, thousands of rooms at a time, in the simulator. **The one rule of use:**
//!
//! 1. call [`Coordinator::handle`] with the time and one [`Input`];
//! 2. carry out every [`Output`] it returns, in order;
//! 3. when nothing else happens until [`Coordinator::wake_at`], hand in [`Input::Tick`].
//!
//! Reading order: [`ids`] and [`limits`], then [`io`] (what goes in and out), [`wire`] (what peers say to each other).

pub mod ids;
pub mod io;
pub mod limits;
pub mod wire;

pub use ids::{Epoch, JobId, Layers, Lease, Millis, ModelId, PeerId};
pub use io::{Command, Event, Input, Output};
