//! What people ask for, and the pieces that devices run of it.

use crate::ids::{JobId, Layers, Lease, ModelId, PeerId};
use crate::wire::fields;
use serde::{Deserialize, Serialize};

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
    /// Whether several devices may paint a band of rows each, with what their neighbours knew two steps before. Lossy: the
    /// picture is a little another one, and which depends on how many share it.
    pub stale: bool,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Rows of a text through some layers.
    Pass {
        /// Position of the first row in the sequence.
        position: u32,
        /// Token ids for the first stage, hidden states for the others.
        input: Rows,
        /// Set on the pass whose last row is to be sampled, at the last stage only.
        sample: Option<Sample>,
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
    /// One branch of one step through the layers of the chunk, where no member holds them all \[encoding, and at the
    /// first stage the latent unless `step` is 0, at the others the hidden states\] -> hidden states, or velocity at the last.
    Blocks {
        /// The step.
        step: u16,
        /// With the prompt (true) or without.
        prompted: bool,
    },
    /// A whole step, which keeps what patches need of it \[encoding, latent unless `step` is 0\] -> latent after the step, and
    /// the context of every part but `part`, in their order.
    Warm {
        /// The step.
        step: u16,
        /// Which band the member here runs, from 0, in the steps after these.
        part: u8,
        /// How many there are.
        of: u8,
    },
    /// One band of rows in one step, all branches \[encoding, latent, the context of every part but `part` of the step two
    /// before, in their order\] -> the band's velocity (the guided one), and its own context.
    Patch {
        /// The step.
        step: u16,
        /// Which band: rows `part * rows / of` up to `(part + 1) * rows / of` of the model's grid of tokens.
        part: u8,
        /// How many there are.
        of: u8,
    },
    /// The end of a step in bands \[latent, the velocity of every band in their order\] -> latent.
    Stitch {
        /// The step.
        step: u16,
        /// How many bands there are.
        of: u8,
    },
    /// The end of a step \[latent unless `step` is 0, velocity with the prompt, velocity without if guided\] -> latent.
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

/// What a token is sampled with, besides the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The job's sampling settings.
    pub settings: Vec<u8>,
    /// The last tokens before it, oldest first, [`RECENT`](crate::limits::RECENT) at most.
    pub recent: Vec<u32>,
}

/// See [`Task::Pass`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rows {
    /// Token ids, one per row.
    Tokens(Vec<u32>),
    /// Hidden states, rows × width little-endian f32.
    Hidden(Vec<u8>),
}

/// What a chunk became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkOutput {
    /// Hidden states for the next stage, as in [`Rows::Hidden`].
    Hidden(Vec<u8>),
    /// The token sampled after the last row; `end` if it is an end-of-text token (which is not part of the text).
    Token {
        /// Its id.
        token: u32,
        /// True for an end-of-text token.
        end: bool,
        /// What the settings asked to be told of it: opaque; empty for nothing.
        note: Vec<u8>,
    },
    /// The last stage's answer for a pass that needed no sampling.
    Nothing,
    /// What a [`Task::Piece`] made.
    Piece(Vec<u8>),
    /// What a [`Task::Piece`] with several outputs made, in the order that [`Piece`] gives.
    Pieces(Vec<Vec<u8>>),
    /// Nothing, because an input is no good: numbers that are none, or of the wrong size. Whoever made that input is to
    /// blame, and not this device; what goes wrong here is an error.
    Refused {
        /// Its place in [`Task::Piece::inputs`]; 0 for hidden states.
        input: u32,
        /// What is wrong with it.
        reason: String,
    },
}
