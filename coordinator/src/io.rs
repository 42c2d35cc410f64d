//! What goes into the state machine and what comes out.

use crate::ids::{Epoch, JobId, Layers, Lease, ModelId, PeerId};
pub use crate::health::Vitals;
pub use crate::planner::{Speed, Spread};
use crate::wire::fields;
pub use crate::wire::ModelPlan;
use serde::{Deserialize, Serialize};

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
}

impl ModelSpec {
    /// All layers.
    #[must_use]
    pub const fn whole(&self) -> Layers {
        Layers { start: 0, end: self.layers }
    }
}

/// Something a person asked for. The requester owns it; every peer of the room keeps a copy, to show it and to
/// carry it on if the requester leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The model that it runs on.
    pub model: ModelId,
    /// The asking person's name.
    #[serde(deserialize_with = "fields::name")]
    pub author: String,
    /// The prompt as typed.
    #[serde(deserialize_with = "fields::prompt_text")]
    pub text: String,
    /// What is to be made of it.
    pub work: Work,
}

/// What a job makes. A job consists of *units*, each of which runs under a lease of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// One answer: one unit.
    Text(TextWork),
    /// Pictures: one unit each.
    Picture(PictureWork),
}

/// An answer to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextWork {
    /// The prompt as token ids.
    #[serde(deserialize_with = "fields::tokens")]
    pub prompt: Vec<u32>,
    /// Most new tokens.
    pub max_new: u32,
    /// Sampling settings and seed: opaque here, `kernels` reads them.
    #[serde(deserialize_with = "fields::settings", serialize_with = "serde_bytes::serialize")]
    pub sampling: Vec<u8>,
}

/// Pictures to be painted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureWork {
    /// What the planner has to know of each.
    pub shape: Shape,
    /// Prompt, size, seeds and guidance: opaque here, `kernels` reads them.
    #[serde(deserialize_with = "fields::settings", serialize_with = "serde_bytes::serialize")]
    pub settings: Vec<u8>,
}

/// What a picture job takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// How many pictures, each with a seed of its own.
    pub count: u16,
    /// Denoising steps of each.
    pub steps: u16,
    /// Whether guidance runs the denoiser twice a step, with the prompt and without.
    pub guided: bool,
    /// Tiles that a latent is decoded in.
    pub tiles: u16,
}

impl Work {
    /// Units that it consists of.
    #[must_use]
    pub const fn units(&self) -> u16 {
        match self {
            Self::Text(_) => 1,
            Self::Picture(picture) => picture.shape.count,
        }
    }
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
    Failed(#[serde(deserialize_with = "fields::reason")] String),
}

/// A range of a model's layers: the unit of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// The model.
    pub model: ModelId,
    /// The layers.
    pub layers: Layers,
}

/// What one peer runs: a range of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stage {
    /// Who.
    pub peer: PeerId,
    /// Which layers.
    pub layers: Layers,
}

/// One step of one unit at one peer: what the compute worker is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The job.
    pub job: JobId,
    /// The lease that it runs under; caches are kept per (job, lease).
    pub lease: Lease,
    /// Its name within the lease: a position for text, a place in the unit's list of pieces for pictures.
    pub number: u32,
    /// The model.
    pub model: ModelId,
    /// Layers to run.
    pub layers: Layers,
    /// What to do.
    pub task: Task,
}

/// What a chunk does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Rows of a text through some layers.
    Pass {
        /// Position of the first row in the sequence.
        position: u32,
        /// Token ids for the first stage, hidden states for the others.
        input: Rows,
        /// Set on the pass whose last row is to be sampled, at the last stage only: the job's sampling settings.
        sample: Option<Vec<u8>>,
    },
    /// A piece of a picture. It depends on nothing but what is given here, so that it can be run anywhere, and again.
    Piece {
        /// Which.
        piece: Piece,
        /// Which picture of the job; chooses the seed.
        unit: u16,
        /// The job's settings.
        settings: Vec<u8>,
        /// What it works on, in the order that [`Piece`] gives.
        inputs: Vec<Vec<u8>>,
    },
}

/// The pieces of a picture. In brackets: inputs -> output, all opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Piece {
    /// [] -> the prompt's encoding.
    Encode,
    /// Both branches of guidance for steps `from..to` \[encoding, latent unless `from` is 0\] -> latent.
    Steps {
        /// First step.
        from: u16,
        /// One past the last.
        to: u16,
    },
    /// One branch of guidance for one step \[encoding, latent unless `step` is 0\] -> velocity.
    Half {
        /// The step.
        step: u16,
        /// With the prompt (true) or without.
        prompted: bool,
    },
    /// The end of a step \[latent unless `step` is 0, velocity with the prompt, velocity without\] -> latent.
    Join {
        /// The step.
        step: u16,
    },
    /// One tile \[latent\] -> pixels.
    Decode {
        /// Which tile.
        tile: u16,
    },
}

/// See [`Task::Pass`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Token ids, one per row.
    Tokens(Vec<u32>),
    /// Hidden states, rows × width little-endian f32.
    Hidden(Vec<u8>),
}

/// What a chunk became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkOutput {
    /// Hidden states for the next stage, as in [`Rows::Hidden`].
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
    /// What a [`Task::Piece`] made.
    Piece(Vec<u8>),
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
