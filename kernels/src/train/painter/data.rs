//! From scenes to batches of pictures and token ids, made while the device is busy and never repeated.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::draw::Draw;
use super::labels::labels;
use super::render::Picture;
use super::scene::Scene;
use super::vocabulary::PAD_ID;
use crate::tokenizer::Tokenizer;
use crate::train::{Split, TrainError};

/// Batches that wait for the device. Source: guess; enough to hide an uneven producer, 7 MB.
const BATCHES_AHEAD: usize = 4;
/// Of 100 pictures, how many have no caption, so that the model learns what guidance compares with (Ho and Salimans 2022).
const DROPPED: u32 = 10;
/// One caption in so many is held out.
const HELD_OUT: u64 = 16;
/// Words of the shortest caption that may be held out: there are too few shorter ones.
const HELD_OUT_WORDS: usize = 4;

/// True if no model is ever trained on this caption.
#[must_use]
pub fn is_held_out(caption: &str) -> bool {
    // FNV-1a (Fowler, Noll and Vo), 64 bits.
    let hash = caption.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    caption.split(' ').count() >= HELD_OUT_WORDS && (hash >> 32).is_multiple_of(HELD_OUT)
}

/// Scenes of a seed that are learned from, or that are not.
pub fn scenes(split: Split, seed: u32, first: u64) -> impl Iterator<Item = Scene> {
    let scenes = (first..).map(move |index| Scene::new(split.seed(seed, index)));
    scenes.filter(move |scene| is_held_out(&scene.caption) == (split == Split::HeldOut))
}

/// Pictures and what they are told by.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Pictures.
    pub count: usize,
    /// `[count, 3, SIDE, SIDE]`, −1 to 1.
    pub planes: Vec<f32>,
    /// Tokens of the longest caption.
    pub tokens: usize,
    /// `[count, tokens]`
    pub ids: Vec<i32>,
    /// `[count, tokens]`, 1 for a token and 0 for padding.
    pub mask: Vec<f32>,
    /// `[count, squares, SETS]`: see `labels.rs`.
    pub labels: Vec<i32>,
}

impl Batch {
    /// Pictures of these scenes; `dropped` says whose captions are left out.
    ///
    /// # Errors
    /// [`TrainError::Kernels`] if a caption cannot be encoded.
    pub fn new(
        scenes: &[Scene],
        tokenizer: &Tokenizer,
        mut dropped: impl FnMut() -> bool,
    ) -> Result<Self, TrainError> {
        let mut texts = Vec::with_capacity(scenes.len());
        for scene in scenes {
            let caption = if dropped() { "" } else { &scene.caption };
            texts.push(tokenizer.encode(caption, true)?);
        }
        let tokens = texts.iter().map(Vec::len).max().unwrap_or_default();
        let id = |text: &[u32], at: usize| text.get(at).copied().unwrap_or(PAD_ID) as i32;
        let each = |text| (0..tokens).map(move |at| (text, at));
        let every = || texts.iter().flat_map(each);
        Ok(Self {
            count: scenes.len(),
            planes: scenes.iter().flat_map(|scene| Picture::of(scene).planes()).collect(),
            tokens,
            ids: every().map(|(text, at)| id(text, at)).collect(),
            mask: every().map(|(text, at)| if at < text.len() { 1.0 } else { 0.0 }).collect(),
            labels: scenes.iter().flat_map(labels).collect(),
        })
    }
}

/// Training batches from a thread of their own.
pub struct Stream {
    batches: Receiver<Result<Batch, TrainError>>,
}

impl Stream {
    /// Starts with scene `first` of this seed. The thread ends when the stream is dropped.
    #[must_use]
    pub fn start(tokenizer: Tokenizer, seed: u32, first: u64, count: usize) -> Self {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let mut draw = Draw::new(Split::Vocabulary.seed(seed, first));
        let mut scenes = scenes(Split::Train, seed, first);
        thread::spawn(move || {
            loop {
                let next: Vec<Scene> = scenes.by_ref().take(count).collect();
                let batch = Batch::new(&next, &tokenizer, || draw.percent(DROPPED));
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Self { batches }
    }

    /// The next batch.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn next_batch(&self) -> Result<Batch, TrainError> {
        self.batches
            .recv()
            .unwrap_or_else(|_| Err(TrainError::Settings("the thread that renders has died".into())))
    }
}
