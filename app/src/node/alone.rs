//! The transport of a peer without a room.

use crate::transport::{Counters, NetEvent, SendError, Transport};
use coordinator::PeerId;
use coordinator::io::Lane;
use std::future::{Future, pending};

/// Nobody comes, nobody goes.
#[derive(Debug)]
pub struct Alone;

impl Transport for Alone {
    fn next(&mut self) -> impl Future<Output = NetEvent> {
        pending()
    }

    fn send(&mut self, _: PeerId, _: Lane, _: Vec<u8>) -> Result<(), SendError> {
        Err(SendError::NotConnected)
    }

    fn leave(&mut self) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
