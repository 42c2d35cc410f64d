//! The compute worker: what it is asked, what it answers, and the two places where it lives.
//!
//! ```text
//! node ──Request──▶ worker.rs (owns the engine of `kernels`, the tokenizer) ◀─┐ files
//!      ◀──Report──  keeper (owns the store of blocks, their hashes, origins) ──┘
//! ```
//! The two are one program and take turns. `worker.rs` is the same on both sides; `web.rs` runs it in a Web Worker, `native.rs` on a thread. When it dies
//! (a lost GPU, a trap), `restart.rs` says whether and on which device to start it again.

#[cfg(feature = "compute")]
pub mod bench;
#[cfg(feature = "compute")]
pub mod bench_pictures;
#[cfg(feature = "compute")]
pub mod files;
#[cfg(feature = "compute")]
pub mod keeper;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod own_files;
pub mod restart;
pub mod source;
pub mod swarm;
#[cfg(target_arch = "wasm32")]
pub mod web;
#[cfg(all(feature = "compute", target_arch = "wasm32"))]
pub mod web_worker;
#[cfg(feature = "compute")]
pub mod worker;

use crate::painting::PaintRequest;
use crate::sampling::Sampling;
use coordinator::io::{Capability, Chunk, ChunkOutput, Offer, Part, Shape};
use coordinator::swarm::Content;
use coordinator::{JobId, Lease, ModelId};
use serde::{Deserialize, Serialize};

/// Where a model's files are: a folder on disk, or the URL of one, ending with a slash; a GGUF file in either; what
/// [`source::own_files`] makes of a person's own files; or `content:` and the name of a content that the room has.
pub type ModelSource = String;

/// What a worker computes with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// The one that writes.
    pub text: Option<ModelSource>,
    /// The one that paints; the worker does without, and says so, if it cannot be opened.
    pub pictures: Option<ModelSource>,
    /// One that a person chose, in place of whichever of the two it is.
    pub chosen: Option<ModelSource>,
    /// What changes the one that writes: LoRA adapters in folders as PEFT writes them, and how much of each.
    pub adapters: Adapters,
    /// Bytes of weights to hold at most; None for a quarter of this device's memory.
    pub memory: Option<u64>,
    /// Nobody else will ever compute: a mixture that takes more memory than that reads its experts when they are needed.
    pub alone: bool,
    /// Where blocks of weights stay.
    pub keep: swarm::Keep,
}

/// How many times an adapter may be added. Source: what `kernels` takes, which the page does not know.
pub const ADAPTER_WEIGHT: f32 = 100.0;

/// Adapters and how much of each, in the order in which they are added; the same ones in another order are another model.
pub type Adapters = Vec<(ModelSource, f32)>;

/// An adapter that the model here computes with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worn {
    /// Where it is.
    pub source: ModelSource,
    /// How many times it is added.
    pub weight: f32,
    /// What people call it.
    pub name: String,
    /// The content that its files are, if they are one.
    pub content: Option<Content>,
    /// The largest rank of its matrices.
    pub rank: u32,
    /// Whether it names the model that it was made for; if not, it is only known that it fits in its shapes.
    pub named: bool,
}

/// The same as they are asked for.
#[must_use]
pub fn asked(worn: &[Worn]) -> Adapters {
    worn.iter().map(|one| (one.source.clone(), one.weight)).collect()
}

/// What a person writes, and what it goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What a model that knows conversations is told before them; empty for nothing.
    pub system: String,
    /// The conversation, or the text, so far; oldest first.
    pub before: Vec<Turn>,
    /// What the person writes now.
    pub text: String,
}

/// What a person wrote, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The prompt as typed.
    pub prompt: String,
    /// The answer, whole or as far as it came.
    pub answer: String,
}

/// What the worker is asked. Answers come as [`Report`]s; chunks and loads are worked on in the order given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// First of all: open a device and read the models' headers. Answered by `Ready` or `Failed`.
    Boot {
        /// False to stay on the CPU.
        gpu: bool,
        /// The models, and the memory for them.
        means: Means,
        /// Why a GPU that was wanted is not tried again, for people.
        notice: Option<String>,
    },
    /// Fetch these adapters and see whether they fit the model that writes. Answered by `Fits` or `FitsNot`; the newest one, if
    /// there are several.
    Fit(Adapters),
    /// Compute with these adapters from here on, and with no others: another model writes then. Its layers stay in memory,
    /// its sessions are over. Answered by `Ready`, or by `FitsNot`, and then all is as it was.
    Adapt(Adapters),
    /// Load a part of a model.
    Load(Part),
    /// Free a part of a model.
    Unload(Part),
    /// Run a chunk.
    Run(Chunk),
    /// Free a job's caches; waiting chunks of this lease are not run.
    Forget(JobId, Lease),
    /// Turn a prompt into token ids, and check the settings that go with it.
    Encode {
        /// Comes back in the answer.
        ticket: u32,
        /// The prompt.
        prompt: Prompt,
        /// The settings.
        sampling: Sampling,
    },
    /// Turn an answer into text, afresh from its first token.
    Begin {
        /// The job, which names the stream of text.
        job: JobId,
        /// The prompt, on which a first blank depends.
        prompt: Vec<u32>,
        /// Texts that end the answer.
        stops: Vec<String>,
        /// The tokens so far.
        tokens: Vec<u32>,
        /// As in `Decode`.
        last: bool,
    },
    /// Turn an answer's next tokens into text.
    Decode {
        /// The job, which names the stream of text.
        job: JobId,
        /// Token ids.
        tokens: Vec<u32>,
        /// True if no more will come: half a character at the end is shown as U+FFFD.
        last: bool,
    },
    /// Check what a person wants painted.
    Order {
        /// Comes back in the answer.
        ticket: u32,
        /// What.
        request: PaintRequest,
    },
    /// Make an image of a latent.
    Preview(Canvas<Vec<u8>>),
    /// Make an image of decoded tiles, in order.
    Assemble(Canvas<Vec<Vec<u8>>>),
    /// Do something about blocks of weights; waits for nothing of the above.
    Swarm(swarm::Errand),
}

/// A picture of a job, and how far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Canvas<T> {
    /// The job.
    pub job: JobId,
    /// Which picture of it.
    pub unit: u16,
    /// The model that paints it.
    pub model: ModelId,
    /// What was asked for.
    pub request: PaintRequest,
    /// What there is of it.
    pub made: T,
}

/// A PNG file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The file, with what was asked for in its metadata if the picture is whole.
    pub png: Vec<u8>,
}

/// What is to be known of a model that paints, besides its [`Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Easel {
    /// Pixels on a side that it was trained for.
    pub base: u32,
    /// Both sides of a picture are multiples of so many pixels.
    pub unit: u32,
}

/// What the worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// Something long is under way.
    Progress {
        /// What, for people.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all; 0 if unknown.
        total: u64,
    },
    /// The device is open and the model known, or computes with other adapters than before.
    Ready {
        /// The device's name, for people.
        adapter: String,
        /// Why not on the GPU, if one was wanted.
        notice: Option<String>,
        /// The device.
        capability: Capability,
        /// The models that it can load, each with what the probe measured.
        offers: Vec<Offer>,
        /// Whether the model that writes knows what a conversation looks like.
        chat: bool,
        /// The model that paints, if there is one.
        easel: Option<Easel>,
        /// The model that writes, as it is without its adapters.
        plain: Option<ModelId>,
        /// Those, in their order.
        worn: Vec<Worn>,
    },
    /// These adapters are here and fit.
    Fits(Adapters),
    /// Why these cannot be used, in plain words.
    FitsNot(Adapters, String),
    /// The worker cannot go on at all: why, and what to do.
    Failed(String),
    /// The worker or its device is gone, with all that it held; another is being started.
    Lost(String),
    /// A part of a model is ready.
    Loaded(Part),
    /// A part of a model could not be loaded.
    LoadFailed(Part, String),
    /// A chunk takes long, and goes on.
    Working,
    /// A chunk is done.
    Ran {
        /// Its job.
        job: JobId,
        /// Its lease.
        lease: Lease,
        /// Its number.
        number: u32,
        /// Its output, or why it failed.
        result: Result<ChunkOutput, String>,
    },
    /// A prompt's token ids.
    Encoded {
        /// From the request.
        ticket: u32,
        /// Token ids, or what is wrong with the text or the settings.
        tokens: Result<Vec<u32>, String>,
    },
    /// More text of an answer: whole characters only.
    Text {
        /// The job.
        job: JobId,
        /// True if the text starts afresh.
        restart: bool,
        /// The text to append.
        text: String,
        /// True after the last token.
        last: bool,
        /// A stop text came: the answer is complete, whatever tokens follow.
        stopped: bool,
    },
    /// What a request to paint takes, or what is wrong with it.
    Ordered {
        /// From the request.
        ticket: u32,
        /// What it takes.
        shape: Result<Shape, String>,
    },
    /// What a picture looks like.
    Image {
        /// The job.
        job: JobId,
        /// Which picture of it.
        unit: u16,
        /// True if it is painted to the end.
        whole: bool,
        /// The image, or why there is none.
        image: Result<Image, String>,
    },
    /// Something about blocks of weights.
    Swarm(swarm::News),
}

/// A running worker, as the driver loop sees it.
#[async_trait::async_trait(?Send)]
pub trait Compute {
    /// Asks; never blocks.
    fn ask(&mut self, request: Request);
    /// Gives up all that it holds and starts again, with another model in place of the one of its kind; None for those that
    /// it started with.
    fn open(&mut self, model: Option<ModelSource>);
    /// The next answer.
    async fn next(&mut self) -> Report;
}

#[cfg(test)]
mod tests;
