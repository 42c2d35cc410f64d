//! One picture under one lease at one member of its crew: the next piece whose inputs are there, and who needs what
//! came of it. What runs where is [`crate::pieces`]'s to say.

use super::Head;
use crate::ids::PeerId;
use crate::io::{ChunkOutput, Task};
use crate::limits;
use crate::outbox::Outbox;
use crate::pieces::{self, Op};
use crate::wire::{Blob, Message, OpenPicture};
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug)]
pub struct PictureSession {
    unit: u16,
    settings: Vec<u8>,
    /// Pieces still to be run, the one at the compute worker first.
    ops: VecDeque<Op>,
    at_worker: bool,
    /// Outputs that some of them need.
    blobs: BTreeMap<u32, Vec<u8>>,
}

impl PictureSession {
    /// A session at the member that `head` names.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn new(head: &Head, open: OpenPicture) -> Result<Self, String> {
        let whole = head.stages[0].layers;
        if whole.start != 0 || whole.is_empty() || head.stages.iter().any(|stage| stage.layers != whole) {
            return Err("a picture's session whose members do not all hold the same layers".into());
        }
        if open.done > open.shape.steps {
            return Err("a picture's session with more steps done than there are".into());
        }
        let ops = pieces::program(open.shape, head.stages.len(), head.at, open.done, open.tiles);
        let (unit, settings) = (open.unit, open.settings);
        Ok(Self { unit, settings, ops: ops.into(), at_worker: false, blobs: BTreeMap::new() })
    }

    /// Takes another member's output, or the latent that the keeper has.
    ///
    /// # Errors
    /// Says why it is dropped.
    pub fn blob(&mut self, head: &Head, from: PeerId, blob: Blob, out: &mut Outbox) -> Result<(), String> {
        if from != head.owner && !head.stages.iter().any(|stage| stage.peer == from) {
            return Err("a part of a picture from a peer that has no part in it".into());
        }
        let made_here = self.ops.iter().any(|op| op.number == blob.number);
        if made_here || !self.needs(blob.number) || self.blobs.contains_key(&blob.number) {
            return Err("a part of a picture that is not due".into());
        }
        if self.blobs.len() >= limits::BLOBS {
            return Err("more parts of a picture than it can need at once".into());
        }
        self.blobs.insert(blob.number, blob.bytes);
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
    ) -> Result<(), String> {
        if !self.at_worker || self.ops.front().is_none_or(|op| op.number != number) {
            return Ok(());
        }
        self.at_worker = false;
        let ChunkOutput::Piece(bytes) = result? else {
            return Err("its compute worker gave the wrong kind of answer".into());
        };
        if bytes.len() > limits::BLOB_BYTES {
            return Err(format!("a part of the picture has {} bytes: paint a smaller one", bytes.len()));
        }
        if let Some(op) = self.ops.pop_front() {
            self.hand_out(head, &op, bytes, out);
        }
        self.pump(head, out);
        Ok(())
    }

    /// Gives the compute worker the next piece, if everything that it needs is there. One at a time: what follows
    /// mostly needs what runs.
    pub fn pump(&mut self, head: &Head, out: &mut Outbox) {
        let Some(op) = self.ops.front().filter(|_| !self.at_worker) else { return };
        let inputs: Option<Vec<_>> = op.inputs.iter().map(|input| self.blobs.get(input).cloned()).collect();
        let Some(inputs) = inputs else { return };
        let (piece, number, unit) = (op.piece, op.number, self.unit);
        self.at_worker = true;
        head.run(number, Task::Piece { piece, unit, settings: self.settings.clone(), inputs }, out);
    }

    /// Chunks at the compute worker.
    pub fn running(&self) -> usize {
        usize::from(self.at_worker)
    }

    /// Inputs held.
    pub fn waiting(&self) -> usize {
        self.blobs.len()
    }

    fn hand_out(&mut self, head: &Head, op: &Op, bytes: Vec<u8>, out: &mut Outbox) {
        let (job, lease) = head.key();
        let keeper = op.keeper.then_some(head.owner);
        let members = op.to.iter().filter_map(|&at| head.stages.get(at)).map(|stage| stage.peer);
        let mut peers: Vec<PeerId> = members.collect();
        peers.extend(keeper.filter(|keeper| !peers.contains(keeper)));
        for to in peers {
            out.send(to, Message::Blob(Blob { job, lease, number: op.number, bytes: bytes.clone() }));
        }
        self.blobs.insert(op.number, bytes);
        let blobs = std::mem::take(&mut self.blobs);
        self.blobs = blobs.into_iter().filter(|(number, _)| self.needs(*number)).collect();
    }

    fn needs(&self, number: u32) -> bool {
        self.ops.iter().any(|op| op.inputs.contains(&number))
    }
}

#[cfg(test)]
mod tests;
