//! The one driver loop: transport, compute worker and person on one side, the coordinator on the other.

pub mod view;
