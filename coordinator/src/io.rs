//! What goes into the state machine and what comes out.

pub use crate::health::Vitals;
use crate::ids::{Epoch, JobId, Layers, Lease, ModelId, PeerId};
pub use crate::planner::{Speed, Spread};
pub use crate::wire::ModelPlan;
use crate::wire::fields;
use serde::{Deserialize, Serialize};

mod work;

pub use work::*;

/// What a peer can compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Device {
    /// WebGPU, in a browser or natively.
    Gpu,
    /// The CPU tier.
    Cpu,
}

/// What a device is; the same for every model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// What it computes with.
    pub device: Device,
    /// Bytes of weights it is willing to hold.
    pub memory: u64,
}

/// A model that a device can load parts of, and how fast it is with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The model.
    pub model: ModelSpec,
    /// Measured by the probe; what the device showed since is put in its place before others hear of it.
    pub speed: Speed,
}

/// What a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Tokens, one after the other.
    Text,
    /// Pictures, by denoising.
    Picture,
}

/// A model as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Its hash.
    pub id: ModelId,
    /// For people.
    #[serde(deserialize_with = "fields::name")]
    pub name: String,
    /// What it makes.
    pub kind: Kind,
    /// Transformer layers, or blocks of the denoiser.
    pub layers: u16,
    /// Bytes of one layer's weights.
    pub layer_bytes: u64,
    /// Bytes of the embedding and of the head; for pictures, of text encoder and decoder.
    pub ends_bytes: u64,
    /// Longest sequence, in tokens; 0 for pictures.
    pub context: u32,
    /// Bytes of one token's hidden state between two layers, or of one latent.
    pub hidden_bytes: u32,
    /// Pictures: bytes of the hidden states between two blocks, of one branch of guidance; 0 if its blocks cannot run on
    /// several devices, and for text.
    pub block_bytes: u32,
    /// Pictures: bytes of what patches need to know of a whole picture's others, of all branches; 0 if it cannot be
    /// painted in patches, and for text.
    pub context_bytes: u32,
}

impl ModelSpec {
    /// All layers.
    #[must_use]
    pub const fn whole(&self) -> Layers {
        Layers { start: 0, end: self.layers }
    }
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
    /// The compute worker is ready (again): what it can do, and the models that it can load parts of.
    ComputeReady {
        /// The device.
        capability: Capability,
        /// At most `limits::MODELS`; more are ignored.
        offers: Vec<Offer>,
    },
    /// The compute worker or its device is gone; its stages and caches with it.
    ComputeLost(String),
    /// A part of a model is in memory, ready to run.
    Loaded(Part),
    /// A part of a model could not be loaded, and why.
    LoadFailed(Part, String),
    /// The compute worker is at it still: it loads, or is between two passes of one chunk.
    Working,
    /// A chunk is done.
    Ran {
        /// The chunk's job.
        job: JobId,
        /// The chunk's lease.
        lease: Lease,
        /// The chunk's number.
        number: u32,
        /// What came of it, or why it failed.
        result: Result<ChunkOutput, String>,
    },
}

/// What the person at this peer can ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Start a job. The id comes back in [`Event::Job`].
    Submit {
        /// The model; None for the room's own of that kind.
        model: Option<ModelId>,
        /// The prompt as typed.
        text: String,
        /// What to make of it.
        work: Work,
    },
    /// Stop one of this peer's own jobs.
    Stop(JobId),
    /// A job has all that was wanted of it: ends it if this peer keeps it, and else means nothing.
    Finish(JobId),
    /// Change this peer's name.
    Rename(String),
    /// Whether this device computes for the room.
    Share(bool),
    /// How the device feels: sent when it changes, and every few seconds while it computes.
    Vitals(Vitals),
    /// How the room's devices share the work; whoever leads decides, the last word counts.
    Spread(Spread),
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
    /// Load a part of a model; answer with [`Input::Loaded`] or [`Input::LoadFailed`].
    Load(Part),
    /// Free a part of a model.
    Unload(Part),
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
        /// The answer so far; empty for pictures.
        tokens: Vec<u32>,
    },
    /// A picture got on.
    Picture {
        /// The job.
        job: JobId,
        /// Which picture.
        unit: u16,
        /// How far it is.
        progress: Progress,
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
    /// What the settings of a job that this peer keeps asked to be told of one of its tokens; after that token.
    Note {
        /// The job.
        job: JobId,
        /// Index of the token in the answer.
        at: u32,
        /// Opaque.
        note: Vec<u8>,
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

/// How far a picture is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// So many steps are done; for a preview, the latent.
    Step {
        /// Steps done.
        done: u16,
        /// The latent after them, if it was sent.
        #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
        latent: Vec<u8>,
    },
    /// One tile's pixels.
    Tile {
        /// Which.
        tile: u16,
        /// Its pixels.
        #[serde(deserialize_with = "fields::payload", serialize_with = "serde_bytes::serialize")]
        pixels: Vec<u8>,
    },
}

/// What a job that has not ended is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// No coordinator, or no peers that can hold the model: what is missing.
    Waiting(#[serde(deserialize_with = "fields::reason")] String),
    /// In the coordinator's queue.
    Queued {
        /// 0 is next.
        place: u32,
        /// Until it starts, as far as that can be told.
        wait_ms: Option<u32>,
    },
    /// Running on these stages; for pictures, on these peers.
    Running(#[serde(deserialize_with = "fields::stages")] Vec<Stage>),
    /// A stage was lost; it goes on as soon as another has taken its place.
    Recovering(#[serde(deserialize_with = "fields::reason")] String),
}

/// The room as this peer sees it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RoomView {
    /// Who leads, and in which epoch.
    pub epoch: Option<Epoch>,
    /// This peer first, then the others by id.
    pub peers: Vec<PeerView>,
    /// The plan, one entry per model.
    pub models: Vec<ModelPlan>,
    /// How the work is shared.
    pub spread: Spread,
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
    /// Microseconds for one token through one layer of its text model.
    pub layer_micros: Option<u32>,
    /// What is in its memory, ready to run.
    pub ready: Vec<Part>,
    /// Round trip, if measured yet.
    pub round_trip_ms: Option<u32>,
    /// Health in one word, for people: "good", "slow", "hidden", "silent", "other model", "not sharing", …
    pub health: &'static str,
    /// Whether messages to it go through another peer.
    pub relayed: bool,
    /// Credit for work done for others, in whole credits.
    pub credit: u64,
}
