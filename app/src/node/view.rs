//! What a face (page or terminal) shows, and what it may ask: plain data, rebuilt by the driver loop.

use crate::compute::swarm::{About, Progress, Usage};
use crate::compute::{self, Easel, Image, ModelSource, Worn};
use crate::painting::PaintRequest;
use crate::sampling::{Likelihood, Sampling};
use coordinator::io::{End, JobState, ModelPlan, PeerView, RoomView, Spread, Stage, Vitals};
use coordinator::swarm::{Content, Sharing};
use coordinator::wire::Team;
use coordinator::{JobId, Layers, ModelId, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a person can ask of the node.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Write a story.
    Write(WriteRequest),
    /// Paint pictures.
    Paint(PaintRequest),
    /// Stop one of this person's jobs.
    Stop(JobId),
    /// A new name.
    Rename(String),
    /// Whether this device computes for the room.
    Share(bool),
    /// How this device feels.
    Vitals(Vitals),
    /// How the room's devices share the work.
    Spread(Spread),
    /// Compute with another model; None for the one that this device started with.
    Open(Option<ModelSource>),
    /// Compute with these adapters and with no others.
    Adapt(compute::Adapters),
    /// What others may have of the weights that are here.
    Sharing(Sharing),
    /// Whether nothing new is to be fetched for now.
    Pause(bool),
    /// How many bytes of weights may be kept on this device.
    Allow(u64),
    /// Keep none of what is kept.
    Clear,
    /// Leave the room in good order: peers learn it at once.
    Leave,
}

/// A prompt and its settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// The prompt as typed; may be empty where a text is to go on.
    pub prompt: String,
    /// The answer that it goes on from.
    pub follows: Option<JobId>,
    /// What a model that knows conversations is told before them; empty for nothing.
    pub system: String,
    /// Most new tokens.
    pub max_new: u32,
    /// How it is written.
    pub sampling: Sampling,
}

/// Everything a face shows.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// This peer.
    pub me: PeerId,
    /// The room's name.
    pub room: String,
    /// Who is here, who leads, who holds what.
    pub peers: RoomView,
    /// The model that writes here, once known.
    pub model: Option<ModelView>,
    /// The model that paints here, once known.
    pub painter: Option<PainterView>,
    /// The compute worker.
    pub compute: ComputeStatus,
    /// The model that this person chose to compute with, if it is not the first.
    pub chosen: Option<ModelSource>,
    /// What changes the model that writes.
    pub adapters: Adapters,
    /// Layers on their way into a worker that is ready.
    pub fetching: Option<Fetching>,
    /// The contents that are open here, or that others take part in.
    pub weights: Vec<Weights>,
    /// What others may have of the weights that are here.
    pub sharing: Sharing,
    /// Whether nothing new is fetched for now.
    pub paused: bool,
    /// What is kept on this device, once known.
    pub kept: Option<Usage>,
    /// The signaling server.
    pub signaling: SignalingStatus,
    /// Answers and pictures, oldest first.
    pub cards: Vec<Card>,
    /// Things to read once, newest last, with the time in ms since the start; bounded.
    pub notices: Vec<(u64, String)>,
    /// Dropped messages by reason, for the details.
    pub dropped: BTreeMap<String, u64>,
    /// Bytes to and from peers since the start.
    pub sent_bytes: u64,
    /// See `sent_bytes`.
    pub received_bytes: u64,
}

impl View {
    /// The room's plan for the model that is shown: this device's own, else the first.
    fn plan(&self) -> Option<&ModelPlan> {
        let plans = &self.peers.models;
        match &self.model {
            Some(model) => plans.iter().find(|plan| plan.model == model.id),
            None => plans.first(),
        }
    }

    /// Who works on that model together, the fastest first.
    #[must_use]
    pub fn teams(&self) -> &[Team] {
        self.plan().map_or(&[], |plan| &plan.teams)
    }

    /// Layers of that model that a peer has in memory.
    pub fn ready<'a>(&'a self, peer: &'a PeerView) -> impl Iterator<Item = Layers> + Clone + 'a {
        let shown = self.model.as_ref().map(|model| model.id);
        peer.ready.iter().filter(move |part| shown.is_none_or(|id| part.model == id)).map(|part| part.layers)
    }

    /// Why these teams; empty if there is nothing to say.
    #[must_use]
    pub fn why(&self) -> &str {
        self.plan().map_or("", |plan| &plan.why)
    }
}

/// What changes the model that writes here. Nobody else can turn anything on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapters {
    /// What it computes with.
    pub worn: Vec<Worn>,
    /// What this person wants instead, until that is so.
    pub wanted: Option<compute::Adapters>,
    /// Adapters of this person's own, on or off, newest first.
    pub brought: Vec<Brought>,
}

/// An adapter from this person's files, or from an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Brought {
    /// Where it is.
    pub source: ModelSource,
    /// The content that its files are, once it is known that they are one.
    pub content: Option<Content>,
}

/// What is being loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetching {
    /// What, for people.
    pub what: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A content: a model's weights, as the room shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Its name; [`of_content`](crate::compute::source::of_content) makes the source of a model of it.
    pub content: Content,
    /// What it is, once known.
    pub about: Option<About>,
    /// Whether this device takes part in it.
    pub open: bool,
    /// How many others do.
    pub peers: u32,
    /// How many pages and blocks it has; 0 if it is not open.
    pub numbers: u32,
    /// Of these, how many each of the others has and gives away.
    pub others: BTreeMap<PeerId, u32>,
    /// Of these, how many somebody in the room has.
    pub covered: u32,
    /// What this device wants of it.
    pub progress: Progress,
    /// Bytes that came from where the model lies.
    pub from_origin: u64,
    /// Bytes that came from others.
    pub from_peers: BTreeMap<PeerId, u64>,
    /// Names of those who sent something wrong.
    pub liars: BTreeSet<String>,
    /// True while the store has no room for it.
    pub no_room: bool,
}

/// The model for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelView {
    /// Its hash.
    pub id: ModelId,
    /// Its name.
    pub name: String,
    /// Transformer layers.
    pub layers: u16,
    /// Bytes of all weights.
    pub bytes: u64,
    /// Longest text in tokens.
    pub context: u32,
    /// Whether it knows what a conversation looks like.
    pub chat: bool,
}

/// The model that paints, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct PainterView {
    /// Its hash.
    pub id: ModelId,
    /// Its name.
    pub name: String,
    /// Blocks of the denoiser.
    pub layers: u16,
    /// Bytes of all weights.
    pub bytes: u64,
    /// Its sizes.
    pub easel: Easel,
}

/// What a request to paint has become so far.
#[derive(Clone, Debug, PartialEq)]
pub struct PaintingView {
    /// What was asked for.
    pub request: PaintRequest,
    /// The pictures, in the order of their seeds.
    pub pictures: Vec<PictureView>,
}

/// One picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureView {
    /// Steps done, of those that were asked for.
    pub done: u16,
    /// What it looks like so far.
    pub image: Option<Arc<Image>>,
    /// True if it is painted to the end, and `image` says so too.
    pub whole: bool,
    /// From asking to its end.
    pub ms: Option<u64>,
}

/// The compute worker's state.
#[derive(Clone, Debug, PartialEq)]
pub enum ComputeStatus {
    /// Being fetched and started: what, and bytes so far of the whole (0 if not known).
    Loading {
        /// What is loading, for people.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, 0 if unknown.
        total: u64,
    },
    /// Ready to compute.
    Ready {
        /// True on WebGPU.
        gpu: bool,
        /// The adapter's name, or the CPU tier's.
        adapter: String,
        /// Why not the GPU, if a GPU was wanted.
        notice: Option<String>,
    },
    /// Cannot compute: why, and what to do. The room still shows others' answers.
    Failed(String),
}

/// The signaling server, as seen from here.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalingStatus {
    /// First connection is being made.
    Connecting,
    /// Newcomers can join.
    Open,
    /// Lost; the room goes on, newcomers wait. Tries again by itself.
    Lost {
        /// Milliseconds until the next try.
        retry_ms: u32,
    },
    /// The server refuses: why, and what to do.
    Refused(String),
}

/// One answer, or one request's pictures, in the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The job.
    pub id: JobId,
    /// True if this peer asked (or carries it on).
    pub mine: bool,
    /// Who asked.
    pub author: String,
    /// The prompt as typed.
    pub prompt: String,
    /// The answer so far (without the prompt); whole characters only.
    pub text: String,
    /// Tokens so far.
    pub tokens: u32,
    /// Of the last few seconds while it runs, of the whole answer once ended.
    pub tokens_per_second: Option<f32>,
    /// From asking to the first token.
    pub first_token_ms: Option<u64>,
    /// What it is doing; None once ended.
    pub state: Option<JobState>,
    /// Everybody who worked on it, in order of first appearance: peer and name.
    pub workers: Vec<(PeerId, String)>,
    /// The stages that run it now.
    pub stages: Vec<Stage>,
    /// Why it ended.
    pub end: Option<End>,
    /// Its settings, for "again" and "same seed".
    pub request: WriteRequest,
    /// Another model than this device's writes it: its tokens are no text here.
    pub foreign: bool,
    /// The pictures, if it is to be painted; nothing but `state`, `workers`, `stages` and `end` is used besides then.
    pub painting: Option<PaintingView>,
    /// By index of the token in the answer: what the settings asked to be told, as far as it was told to this peer.
    pub likelihoods: BTreeMap<u32, Likelihood>,
}
