//! Every decision of a Manyhands room: who leads, who runs what, what to retry, who waits.
//!
//! The crate is sans-IO. It owns no socket, clock, thread or random source, so the same code runs in a
//! browser page, in a native peer and, thousands of rooms at a time, in the simulator. **The one rule of use:**
//!
//! 1. call [`Coordinator::handle`] with the time and one [`Input`];
//! 2. carry out every [`Output`] it returns, in order;
//! 3. when nothing else happens until [`Coordinator::wake_at`], hand in [`Input::Tick`].
//!
//! ```text
//!  Input --> coordinator --+-- membership   who is here, over which path, and can do what   (health: is it alive, how fit)
//!                          +-- election     who leads
//!                          +-- leader       (if this peer leads) planner, teams, queue, credit: what to load, what to grant
//!                          +-- book         every job and what has come of it, as all peers know them
//!                          +-- owner        running the jobs that this peer keeps
//!                          +-- stage        running other peers' units on the layers held here
//!                          +-- ranges       layers held here
//!                swarm (a machine of its own): which blocks of weights to fetch, from whom, and for whom
//!            outputs <-- outbox (messages to oneself are taken in before `handle` returns)
//! ```
//!
//! Reading order: [`ids`] and [`limits`], then [`io`] (what goes in and out), [`wire`] (what peers say to each other),
//! [`planner`] and [`pieces`] (pure), and the modules above from the top.

mod book;
mod coordinator;
pub mod credit;
mod election;
pub mod health;
pub mod ids;
pub mod io;
mod leader;
pub mod limits;
mod membership;
pub mod mutation;
mod outbox;
mod owner;
mod pace;
pub mod pieces;
pub mod planner;
mod queue;
mod ranges;
mod relay;
mod session;
mod stage;
pub mod swarm;
#[cfg(test)]
mod testing;
pub mod wire;

pub use coordinator::{Config, Coordinator, Sizes};
pub use ids::{Epoch, JobId, Layers, Lease, Millis, ModelId, PeerId};
pub use io::{Command, Event, Input, Output};
pub use stage::StageSizes;
