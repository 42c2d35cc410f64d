//! What goes into the state machine and what comes out.

use crate::ids::{Epoch, JobId, Layers, Lease, ModelId, PeerId};
use serde::{Deserialize, Serialize};

/// What a peer can compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Device {
    /// WebGPU, in a browser or natively.
    Gpu,
    /// The CPU tier.
    Cpu,
}

/// What a peer says of itself; measured, not claimed by a user agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capability {
    /// What it computes with.
    pub device: Device,
    /// Bytes of weights it is willing to hold.
    pub memory: u64,
    /// Microseconds for one token through one layer of the room's model, measured by the probe.
    pub layer_micros: u32,
}

/// A model as the planner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Its hash.
    pub id: ModelId,
    /// For people.
    pub name: String,
    /// Transformer layers.
    pub layers: u16,
    /// Bytes of one layer's weights.
    pub layer_bytes: u64,
    /// Bytes of the embedding and of the head.
    pub ends_bytes: u64,
    /// Longest sequence, in tokens.
    pub context: u32,
}

/// Something a person asked for. The requester owns it; every peer of the room keeps a copy, to show it and to
/// carry it on if the requester leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The model that it runs on.
    pub model: ModelId,
    /// The asking person's name.
    pub author: String,
    /// The prompt as typed.
    pub text: String,
    /// The prompt as token ids.
    pub prompt: Vec<u32>,
    /// Most new tokens.
    pub max_new: u32,
    /// Sampling settings and seed: opaque here, `kernels` reads them.
    pub sampling: Vec<u8>,
}

/// Why a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The model wrote its end-of-text token.
    Finished,
    /// The token limit or the model's context was reached.
    Length,
    /// A person stopped it.
    Stopped,
    /// It cannot be done; the text says why and what to do.
    Failed(String),
}

/// What one peer runs: a range of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Who.
    pub peer: PeerId,
    /// Which layers.
    pub layers: Layers,
}

/// One step of one job at one stage: what the compute worker is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// The job.
    pub job: JobId,
    /// The lease that it runs under; caches are kept per (job, lease).
    pub lease: Lease,
    /// Layers to run.
    pub layers: Layers,
    /// Position of the first row in the sequence.
    pub position: u32,
    /// Token ids for the first stage, hidden states for the others.
    pub input: ChunkInput,
    /// Set on the pass whose last row is to be sampled, at the last stage only: the job's sampling settings.
    pub sample: Option<Vec<u8>>,
}

/// See [`Chunk::input`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChunkInput {
    /// Token ids, one per row.
    Tokens(Vec<u32>),
    /// Hidden states, rows × width little-endian f32.
    Hidden(Vec<u8>),
}

/// What a chunk became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChunkOutput {
    /// Hidden states for the next stage, as in [`ChunkInput::Hidden`].
    Hidden(Vec<u8>),
    /// The token sampled after the last row; `end` if it is an end-of-text token (which is not part of the text).
    Token {
        /// Its id.
        token: u32,
        /// True for an end-of-text token.
        end: bool,
    },
    /// The last stage's answer for a pass that needed no sampling.
    Nothing,
}

/// Everything that can happen to a peer.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed; nothing else happened.
    Tick,
    /// A data channel to this peer is open.
    PeerUp(PeerId),
    /// The data channel to this peer is closed.
    PeerDown(PeerId),
    /// One whole message arrived, on either lane. It may be hostile.
    Received {
        /// Who sent it.
        from: PeerId,
        /// As it came.
        bytes: Vec<u8>,
    },
    /// The person here wants something.
    Command(Command),
    /// The compute worker is ready (again): what it can do, and the model whose layers it can load.
    ComputeReady {
        /// Measured by the probe.
        capability: Capability,
        /// The model.
        model: ModelSpec,
    },
    /// The compute worker or its device is gone; its stages and caches with it.
    ComputeLost(String),
    /// A range of layers is in memory, ready to run.
    Loaded(Layers),
    /// A range of layers could not be loaded, and why.
    LoadFailed(Layers, String),
    /// A chunk is done.
    Ran {
        /// The chunk's job.
        job: JobId,
        /// The chunk's lease.
        lease: Lease,
        /// The chunk's first position.
        position: u32,
        /// What came of it, or why it failed.
        result: Result<ChunkOutput, String>,
    },
}

/// What the person at this peer can ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Start a job. The id comes back in [`Event::Job`].
    Submit {
        /// The prompt as typed.
        text: String,
        /// The prompt as token ids.
        prompt: Vec<u32>,
        /// Most new tokens.
        max_new: u32,
        /// Opaque sampling settings.
        sampling: Vec<u8>,
    },
    /// Stop one of this peer's own jobs.
    Stop(JobId),
    /// Change this peer's name.
    Rename(String),
    /// Whether this device computes for the room.
    Share(bool),
    /// The tab is hidden (true) or shown.
    Hidden(bool),
}

/// Which of the two channels a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Ordered, for small messages.
    Control,
    /// Unordered between messages, flow-controlled, for hidden states.
    Bulk,
}

/// Everything that the caller has to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: PeerId,
        /// On which channel.
        lane: Lane,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// Load a range of layers; answer with [`Input::Loaded`] or [`Input::LoadFailed`].
    Load(Layers),
    /// Free a range of layers.
    Unload(Layers),
    /// Run a chunk; answer with [`Input::Ran`]. Chunks are run in the order given.
    Run(Chunk),
    /// Free the caches of a job under this lease; chunks of it that still wait are not to be run.
    Forget(JobId, Lease),
    /// Tell the person.
    Event(Event),
}

/// What the person may want to see.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The people and devices of the room, this peer first; sent whenever anything in it changes.
    Room(RoomView),
    /// A job appeared (or its whole state is known now, for a newcomer).
    Job {
        /// The job.
        job: Job,
        /// The answer so far.
        tokens: Vec<u32>,
    },
    /// New tokens of a job, gapless and in order, starting at index `from` of the answer.
    Tokens {
        /// The job.
        job: JobId,
        /// Index of the first.
        from: u32,
        /// Token ids.
        tokens: Vec<u32>,
    },
    /// A job waits, runs, or recovers.
    State {
        /// The job.
        job: JobId,
        /// What it does.
        state: JobState,
    },
    /// A job ended. Exactly one per job.
    Ended {
        /// The job.
        job: JobId,
        /// Why.
        end: End,
    },
    /// Something that a person should read once, in plain words.
    Notice(String),
    /// A message was dropped, and why; counted in the details.
    Dropped {
        /// Who sent it.
        from: PeerId,
        /// Named reason.
        reason: String,
    },
}

/// What a job that has not ended is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// No coordinator, or no peers that can hold the model: what is missing.
    Waiting(String),
    /// In the coordinator's queue, 0 is next.
    Queued(u32),
    /// Running on these stages.
    Running(Vec<Stage>),
    /// A stage was lost; it goes on as soon as another has taken its place.
    Recovering(String),
}

/// The room as this peer sees it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RoomView {
    /// Who leads, and in which epoch.
    pub epoch: Option<Epoch>,
    /// This peer first, then the others by id.
    pub peers: Vec<PeerView>,
    /// The plan in force: who runs which layers, in order.
    pub stages: Vec<Stage>,
    /// Why the plan is as it is, in plain words.
    pub why: String,
}

/// One peer as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerView {
    /// Its id.
    pub id: PeerId,
    /// The person's name.
    pub name: String,
    /// None until its worker is ready.
    pub capability: Option<Capability>,
    /// Layers in its memory, ready to run.
    pub ready: Vec<Layers>,
    /// Round trip, if measured yet.
    pub round_trip_ms: Option<u32>,
    /// Health in one word, for people: "good", "slow", "hidden", "silent", "other model", "not sharing".
    pub health: &'static str,
}
