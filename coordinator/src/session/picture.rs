//! One picture under one lease at one member of its crew: the next piece whose inputs are there, and who needs what
//! came of it. What runs where is [`crate::pieces`]'s to say.

use super::{Head, WRONG_ANSWER};
use crate::ids::PeerId;
use crate::io::{ChunkOutput, Task};
use crate::limits;
use crate::outbox::Outbox;
use crate::pieces::{self, Made, Op, Split};
use crate::stage::Failure;
use crate::wire::{Blob, Message, OpenPicture};
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug)]
pub struct PictureSession {
    unit: u16,
    settings: Vec<u8>,
    /// Pieces still to be run.
    ops: VecDeque<Op>,
    at_worker: Option<Running>,
    /// Outputs that pieces still to be run need.
    blobs: BTreeMap<u32, Held>,
}

/// The piece at the compute worker.
#[derive(Debug)]
struct Running {
    op: Op,
    /// Who made its inputs, in their order.
    makers: Vec<PeerId>,
}

#[derive(Debug)]
struct Held {
    maker: PeerId,
    bytes: Vec<u8>,
}

impl PictureSession {
    /// A session at the member that `head` names.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn new(head: &Head, open: OpenPicture) -> Result<Self, String> {
        let split = Split::of(&head.stages)?.in_bands(open.bands, open.shape)?;
        if open.done > open.shape.steps {
            return Err("a picture's session with more steps done than there are".into());
        }
        let ops = pieces::program(open.shape, split, head.at, open.done, open.tiles);
        let (unit, settings) = (open.unit, open.settings);
        Ok(Self { unit, settings, ops: ops.into(), at_worker: None, blobs: BTreeMap::new() })
    }

    /// Takes another member's output, or the latent that the keeper has.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn blob(&mut self, head: &Head, from: PeerId, blob: Blob, out: &mut Outbox) -> Result<(), String> {
        if from != head.owner && !head.stages.iter().any(|stage| stage.peer == from) {
            return Err("a part of a picture from a peer that has no part in it".into());
        }
        let made_here = self.made_here(blob.number);
        if made_here || !self.needs(blob.number) || self.blobs.contains_key(&blob.number) {
            return Err("a part of a picture that is not due".into());
        }
        if self.blobs.len() >= limits::BLOBS {
            return Err("more parts of a picture than it can need at once".into());
        }
        self.blobs.insert(blob.number, Held { maker: from, bytes: blob.bytes });
        self.pump(head, out);
        Ok(())
    }

    /// Takes the compute worker's answer.
    ///
    /// # Errors
    /// Says why the session cannot go on.
    pub fn ran(
        &mut self,
        head: &Head,
        number: u32,
        result: Result<ChunkOutput, String>,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let Some(ran) = self.at_worker.take_if(|running| running.op.number() == number) else {
            return Ok(());
        };
        let outputs = match result.map_err(|reason| head.own_failure(reason))? {
            ChunkOutput::Piece(bytes) => vec![bytes],
            ChunkOutput::Pieces(outputs) => outputs,
            ChunkOutput::Refused { input, reason } => return Err(refusal(head, &ran, input, &reason)),
            _ => return Err(head.own_failure(WRONG_ANSWER)),
        };
        if outputs.len() != ran.op.made.len() {
            return Err(head.own_failure(WRONG_ANSWER));
        }
        if let Some(large) = outputs.iter().find(|bytes| bytes.len() > limits::BLOB_BYTES) {
            let reason = format!("a part of the picture has {} bytes: paint a smaller one", large.len());
            return Err(head.own_failure(reason));
        }
        for (made, bytes) in ran.op.made.iter().zip(outputs) {
            self.hand_out(head, made, bytes, out);
        }
        self.pump(head, out);
        Ok(())
    }

    /// Gives the compute worker the next piece, if everything that it needs is there. One at a time: what follows
    /// mostly needs what runs.
    pub fn pump(&mut self, head: &Head, out: &mut Outbox) {
        if self.at_worker.is_some() {
            return;
        }
        let is_there = |op: &mut Op| op.inputs.iter().all(|input| self.blobs.contains_key(input));
        let Some(op) = self.ops.pop_front_if(is_there) else { return };
        let (mut makers, mut inputs) = (Vec::new(), Vec::new());
        for held in op.inputs.iter().filter_map(|&input| self.take(input)) {
            makers.push(held.maker);
            inputs.push(held.bytes);
        }
        let (piece, number, unit) = (op.piece, op.number(), self.unit);
        self.at_worker = Some(Running { op, makers });
        head.run(number, Task::Piece { piece, unit, settings: self.settings.clone(), inputs }, out);
    }

    /// Chunks at the compute worker.
    pub fn running(&self) -> usize {
        usize::from(self.at_worker.is_some())
    }

    /// Inputs held.
    pub fn waiting(&self) -> usize {
        self.blobs.len()
    }

    /// Their bytes.
    pub fn held_bytes(&self) -> usize {
        self.blobs.values().map(|held| held.bytes.len()).sum()
    }

    fn hand_out(&mut self, head: &Head, made: &Made, bytes: Vec<u8>, out: &mut Outbox) {
        let (job, lease) = head.key();
        let keeper = made.keeper.then_some(head.owner);
        let members = made.to.iter().filter_map(|&at| head.stages.get(at)).map(|stage| stage.peer);
        let mut peers: Vec<PeerId> = members.collect();
        peers.extend(keeper.filter(|keeper| !peers.contains(keeper)));
        if self.needs(made.number) {
            self.blobs.insert(made.number, Held { maker: head.me(), bytes: bytes.clone() });
        }
        // Hidden states are large, and mostly for one peer only: nothing is copied for the last.
        let blob = Message::Blob(Blob { job, lease, number: made.number, bytes });
        let Some(last) = peers.pop() else { return };
        peers.into_iter().for_each(|to| out.send(to, blob.clone()));
        out.send(last, blob);
    }

    /// An input for the piece that goes to the worker; it is kept only if another piece needs it.
    fn take(&mut self, number: u32) -> Option<Held> {
        if self.needs(number) {
            let held = self.blobs.get(&number)?;
            return Some(Held { maker: held.maker, bytes: held.bytes.clone() });
        }
        self.blobs.remove(&number)
    }

    fn needs(&self, number: u32) -> bool {
        self.ops.iter().any(|op| op.inputs.contains(&number))
    }

    fn made_here(&self, number: u32) -> bool {
        let running = self.at_worker.iter().map(|running| &running.op);
        running.chain(&self.ops).flat_map(|op| &op.made).any(|made| made.number == number)
    }
}

/// Whose input the worker cannot work with.
fn refusal(head: &Head, ran: &Running, input: u32, reason: &str) -> Failure {
    let at = input as usize;
    match ran.makers.get(at).zip(ran.op.inputs.get(at)) {
        Some((&maker, &number)) => head.refusal(maker, number, reason),
        None => head.own_failure(WRONG_ANSWER),
    }
}

#[cfg(test)]
mod tests;
