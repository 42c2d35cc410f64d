//! PRX (Photoroom): a transformer that turns noise into a picture step by step, told by text what to paint.
//!
//! ```text
//!  picture ─► patches ─► patch_in ─► block 0 ─► … ─► block n ─► norm ─► last ─► patches ─► velocity
//!                                       ▲  ▲
//!  text rows ─► text_in ─► keys, values ┘  └ modulations ◄─ time, resolution
//! ```
//!
//! Text and time reach a block without passing those before it, so that any range of blocks is a stage: hidden states of
//! the picture's tokens go in and come out, and nothing else crosses a boundary.

mod block;
mod condition;
mod config;
mod export;
mod load;
mod names;
mod patches;
mod positions;

pub use block::Block;
pub(super) use block::{Around, Keys};
pub use condition::{Embedder, Modulations, Text};
pub(crate) use config::CLASS;
pub use config::Config;
pub use load::{ranges, tabulate};
pub use patches::{patches, picture};
pub use positions::Positions;

use crate::llm::product::SPREAD;
use crate::llm::{Layers, Product};
use crate::ops::attention::full::UNSEEN;
use crate::ops::layer_norm::modulated;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// A denoiser, of which any blocks may be absent.
#[derive(Module, Debug)]
pub struct Denoiser {
    /// Patches to hidden states, present with block 0: one product, or two with a bottleneck between them.
    pub patch_in: Vec<Product>,
    /// Rows of the text encoder to the model's width; present with any block.
    pub text_in: Option<Product>,
    /// Of the time; absent where modulations come as a table.
    pub time_in: Option<Embedder>,
    /// Of height and width, where the model has it.
    pub resolution_in: Option<Embedder>,
    /// One entry per block of the whole model.
    pub blocks: Vec<Option<Block>>,
    /// Time to shift and scale before the last product: `2 · width` outputs.
    pub last_modulation: Option<Product>,
    /// Hidden states to patches, present with the last block.
    pub last: Option<Product>,
    #[module(skip)]
    config: Config,
    /// Activations are never rounded to 8 bits.
    #[module(skip)]
    exact: bool,
    /// Modulations come as a table, so that what computes them is not loaded.
    #[module(skip)]
    tabled: bool,
}

impl Denoiser {
    /// A denoiser without any weights yet.
    #[must_use]
    pub fn empty(config: &Config) -> Self {
        Self {
            patch_in: Vec::new(),
            text_in: None,
            time_in: None,
            resolution_in: None,
            blocks: (0..config.depth).map(|_| None).collect(),
            last_modulation: None,
            last: None,
            config: config.clone(),
            exact: false,
            tabled: false,
        }
    }

    /// As [`Model::exact`](crate::llm::Model::exact).
    #[must_use]
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// The same denoiser without what computes modulations, a quarter of all weights: [`Modulations`] have to come from
    /// elsewhere. To be said before anything is loaded.
    #[must_use]
    pub fn tabled(self, tabled: bool) -> Self {
        Self { tabled, ..self }
    }

    /// See [`Denoiser::tabled`].
    #[must_use]
    pub const fn is_tabled(&self) -> bool {
        self.tabled
    }

    /// The whole denoiser with random weights, to be trained.
    #[must_use]
    pub fn init(config: &Config, device: &Device) -> Self {
        let (width, patch) = (config.width, config.patch_numbers());
        let biased = |input, output, std| Product::random(input, output, std, device).biased();
        // Inputs are kept at their size (Glorot and Bengio 2010).
        let kept =
            |input: usize, output: usize| biased(input, output, (2.0 / (input + output) as f64).sqrt());
        let embedder = || Embedder {
            first: biased(names::SINUSOIDS, width, SPREAD),
            second: biased(width, width, SPREAD),
        };
        Self {
            patch_in: match config.bottleneck {
                Some(few) => vec![kept(patch, few), kept(few, width)],
                None => vec![kept(patch, width)],
            },
            text_in: Some(kept(config.text_width, width)),
            time_in: Some(embedder()),
            resolution_in: config.resolution.then(embedder),
            blocks: (0..config.depth).map(|_| Some(Block::init(config, device))).collect(),
            last_modulation: Some(biased(width, 2 * width, 0.0)),
            last: Some(biased(width, patch, 0.0)),
            ..Self::empty(config)
        }
    }

    /// A denoiser of so many blocks, all of which have the weights of the first.
    pub(super) fn repeated(mut self, depth: usize) -> Self {
        self.blocks = vec![self.blocks.swap_remove(0); depth];
        self.config.depth = depth;
        self
    }

    /// Its shape.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// True if all of `layers`, and the ends that belong to them, are in memory.
    #[must_use]
    pub fn holds(&self, layers: Layers) -> bool {
        layers.fit(self.blocks.len())
            && self.text_in.is_some()
            && self.blocks[layers.range()].iter().all(Option::is_some)
            && (layers.start > 0 || !self.patch_in.is_empty())
            && (layers.end < self.blocks.len() || self.last.is_some())
    }

    /// True if it can compute modulations of `layers` itself.
    #[must_use]
    pub fn modulates(&self, layers: Layers) -> bool {
        let has = |block: &Option<Block>| block.as_ref().is_some_and(|block| block.modulation.is_some());
        self.holds(layers)
            && self.time_in.is_some()
            && self.blocks[layers.range()].iter().all(has)
            && (layers.end < self.blocks.len() || self.last_modulation.is_some())
    }

    /// Drops `layers` and the ends that nothing needs any more.
    pub fn unload(&mut self, layers: Layers) {
        let count = self.blocks.len();
        self.blocks[layers.start.min(count)..layers.end.min(count)]
            .iter_mut()
            .for_each(|block| *block = None);
        if self.blocks[0].is_none() {
            self.patch_in.clear();
        }
        if self.blocks[count - 1].is_none() {
            (self.last, self.last_modulation) = (None, None);
        }
        if self.blocks.iter().all(Option::is_none) {
            (self.text_in, self.time_in, self.resolution_in) = (None, None, None);
        }
    }

    /// What time and resolution say to `layers`, at each of `times`: a row for each step of a schedule, or one for each
    /// picture of a batch.
    ///
    /// `size` is height and width of what is denoised, in its own pixels; it matters only where the model knows resolutions.
    ///
    /// # Panics
    /// If [`Denoiser::modulates`] says no.
    #[must_use]
    pub fn modulations(
        &self,
        layers: Layers,
        times: &[f32],
        size: [usize; 2],
        device: &Device,
    ) -> Modulations {
        let config = &self.config;
        let time_in = self.time_in.as_ref().expect("what computes modulations is loaded");
        let vector = condition::vector(config, time_in, self.resolution_in.as_ref(), times, size, device);
        let rows = |product: &Option<Product>| {
            condition::rows(product.as_ref().expect("what computes modulations is loaded"), &vector)
        };
        let blocks = layers.range().map(|layer| rows(&self.block(layer).modulation)).collect();
        let last = (layers.end == config.depth).then(|| rows(&self.last_modulation));
        Modulations::new(layers, blocks, last)
    }

    /// Keys and values of a text in `layers`.
    ///
    /// # Shapes
    /// - `rows`: `[batch, tokens, text_width]`, of the text encoder
    /// - `mask`: `[batch, tokens]`, 1 for a token and 0 for padding. Without one all count: padding that is cut off instead
    ///   gives the same picture sooner
    ///
    /// # Panics
    /// If `layers` are not in memory.
    #[must_use]
    pub fn text(&self, layers: Layers, rows: Tensor<3>, mask: Option<Tensor<2>>) -> Text {
        let [batch, tokens, _] = rows.dims();
        let rows = self.text_in.as_ref().expect("the blocks are loaded").forward(rows);
        let blocks = layers.range().map(|layer| self.block(layer).text(rows.clone())).collect();
        let mask = mask.map(|mask| ((mask - 1.0) * -UNSEEN).reshape([batch, 1, 1, tokens]));
        Text { layers, blocks, mask }
    }

    /// Runs `layers`.
    ///
    /// # Shapes
    /// - `x`: `[batch, tokens, channels · patch²]` for block 0, `[batch, tokens, width]` for all others
    /// - result: `[batch, tokens, channels · patch²]` of the last block, `[batch, tokens, width]` of all others
    ///
    /// # Panics
    /// If a block is not in memory, or text, modulations (of one time, or as many as the batch) or positions are of
    /// another shape or of other blocks.
    #[must_use]
    pub fn forward(
        &self,
        layers: Layers,
        x: Tensor<3>,
        text: &Text,
        modulations: &Modulations,
        positions: &Positions,
    ) -> Tensor<3> {
        self.run(layers, x, text, modulations, positions, &[]).0
    }

    /// [`Denoiser::forward`] for a band of a picture, which is told in each block what is `around` it, or for a whole one where
    /// that is empty. Tells the keys and values of `x` in each block, too.
    pub(super) fn run(
        &self,
        layers: Layers,
        mut x: Tensor<3>,
        text: &Text,
        modulations: &Modulations,
        positions: &Positions,
        around: &[Around],
    ) -> (Tensor<3>, Vec<Keys>) {
        assert!(text.layers == layers && modulations.layers() == layers, "of blocks {layers}");
        if layers.start == 0 {
            assert!(!self.patch_in.is_empty(), "block 0 is loaded");
            x = self.patch_in.iter().fold(x, |x, product| product.forward(x));
        }
        let [batch, tokens, width] = x.dims();
        let mask = text.mask.clone().map(|mask| {
            let seen = Tensor::zeros([batch, 1, 1, tokens], &x.device());
            Tensor::cat(vec![mask, seen], 3)
        });
        let mut own = Vec::with_capacity(layers.range().len());
        for (number, layer) in layers.range().enumerate() {
            let (modulation, text) = (&modulations.blocks[number], &text.blocks[number]);
            let around = around.get(number).unwrap_or(const { &Around { before: None, after: None } });
            let keys;
            (x, keys) = self.block(layer).forward(x, text, around, mask.clone(), modulation, positions);
            own.push(keys);
        }
        let out = match (&self.last, &modulations.last) {
            (Some(last), Some(modulation)) if layers.end == self.config.depth => {
                let part = |number: usize| modulation.clone().narrow(2, number * width, width);
                last.forward(modulated(x, part(0), part(1), block::EPSILON))
            }
            _ => x,
        };
        (out, own)
    }

    fn block(&self, layer: usize) -> &Block {
        self.blocks[layer].as_ref().expect("the block is loaded")
    }
}
