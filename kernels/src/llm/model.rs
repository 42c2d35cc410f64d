//! The model: any subset of its layers, whole for training, a stage for a room.

use crate::llm::adapter::Adapters;
use crate::llm::paging;
use crate::llm::pass::Pass;
use crate::llm::product::SPREAD;
use crate::llm::{
    Block, Budget, Cache, CacheFormat, Config, Embedding, Layers, Pool, Product, RmsNorm, Rope, ops,
};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// A decoder, of which any layers may be absent.
///
/// ```text
/// ids ─► embed ─► forward(layers, …) ─► … ─► forward(layers, …) ─► logits
/// ```
#[derive(Module, Debug)]
pub struct Model {
    /// Present with layer 0.
    pub embedding: Option<Embedding>,
    /// One entry per layer of the whole model.
    pub blocks: Vec<Option<Block>>,
    /// Present with the last layer.
    pub norm: Option<RmsNorm>,
    /// Present with the last layer, unless the model is tied and its embedding is here: then that is the head.
    pub head: Option<Product>,
    #[module(skip)]
    pub(super) config: Config,
    /// Activations are never rounded to 8 bits.
    #[module(skip)]
    pub(super) exact: bool,
    #[module(skip)]
    pub(super) adapters: Adapters,
    /// Of a mixture that does not fit.
    #[module(skip)]
    pub(super) paging: Option<paging::Held>,
    rope: Rope,
}

impl Model {
    /// A model without any weights yet.
    #[must_use]
    pub fn empty(config: &Config, device: &Device) -> Self {
        Self {
            embedding: None,
            blocks: (0..config.layers).map(|_| None).collect(),
            norm: None,
            head: None,
            config: config.clone(),
            exact: false,
            adapters: Adapters::default(),
            paging: None,
            rope: Rope::new(config, config.context, device),
        }
    }

    /// The same model, computing as exactly as floats allow: on the CPU, products with quantised weights otherwise round
    /// activations to 8 bits, which is several times faster. To be said before anything is loaded.
    #[must_use]
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// The whole model with random weights, to be trained.
    #[must_use]
    pub fn init(config: &Config, device: &Device) -> Self {
        Self {
            embedding: Some(Embedding::random(config.vocabulary, config.width, device)),
            blocks: (0..config.layers).map(|layer| Some(Block::init(config, layer, device))).collect(),
            norm: Some(RmsNorm::init(config.width, config.norm_eps, device)),
            head: (!config.tied).then(|| Product::random(config.width, config.vocabulary, SPREAD, device)),
            ..Self::empty(config, device)
        }
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
            && self.blocks[layers.range()].iter().all(Option::is_some)
            && (layers.start > 0 || self.embedding.is_some())
            && (layers.end < self.blocks.len() || self.has_head())
    }

    /// Drops `layers`, what adapters change in them, and the ends that nothing needs any more.
    pub fn unload(&mut self, layers: Layers) {
        self.unload_adapters(layers);
        self.forget_experts(layers);
        let count = self.blocks.len();
        for layer in layers.start.min(count)..layers.end.min(count) {
            self.blocks[layer] = None;
        }
        if self.blocks[count - 1].is_none() {
            (self.norm, self.head) = (None, None);
        }
        if self.blocks[0].is_none() {
            let embedding = self.embedding.take();
            if self.config.tied && self.norm.is_some() && self.head.is_none() {
                // The head goes on with the same matrix.
                self.head = embedding.and_then(|embedding| embedding.matrix().cloned()).map(Product::new);
            }
        }
    }

    fn has_head(&self) -> bool {
        self.norm.is_some() && (self.head.is_some() || (self.config.tied && self.embedding.is_some()))
    }

    /// Hidden states of token ids.
    ///
    /// # Shapes
    /// - `ids`: `[batch, rows]`
    /// - result: `[batch, rows, width]`
    ///
    /// # Panics
    /// If layer 0 is not in memory.
    #[must_use]
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let embedded = self.embedding.as_ref().expect("layer 0 is loaded").forward(ids);
        match self.config.embedding_scale {
            1.0 => embedded,
            scale => embedded * scale,
        }
    }

    /// Empty caches for `layers` of a sequence that will reach `length` tokens, with memory of their own and no budget:
    /// with the length known, it may grow up to [`Config::longest`].
    #[must_use]
    pub fn cache(&self, layers: Layers, length: usize, format: CacheFormat, device: &Device) -> Cache {
        let pool = Pool::new(&self.config, layers, format, &Budget::new(u64::MAX), 0, device);
        Cache::new(pool).with_rope(self.rope_for(length, device))
    }

    /// Tables of its own for a sequence whose length decides how far its positions turn.
    fn rope_for(&self, length: usize, device: &Device) -> Option<Rope> {
        let bound = self.config.rope_scaling.bound()?;
        (length > bound.min(self.config.context)).then(|| Rope::new(&self.config, length, device))
    }

    /// Runs `layers`. With a cache the rows continue it, without one they are a whole sequence.
    ///
    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`; `batch` is 1 with a cache
    ///
    /// # Panics
    /// As [`Model::forward_batch`].
    #[must_use]
    pub fn forward(&self, layers: Layers, x: Tensor<3>, cache: Option<&mut Cache>) -> Tensor<3> {
        let ([batch, rows, _], device) = (x.dims(), x.device());
        if let Some(cache) = cache {
            return self.forward_batch(layers, x, &mut [(cache, rows)]);
        }
        let own = self.rope_for(rows, &device);
        let rope = own.as_ref().unwrap_or(&self.rope);
        // Our kernels read what a sequence sees from a cache; one layer after the other uses the same.
        let one = Layers::new(layers.start, layers.start + 1);
        let mut alone = self.cache(one, 0, CacheFormat::F32, &device);
        if batch == 1 && rows > 0 && alone.reserve(rows).is_ok() {
            let mut caches = [(&mut alone, rows)];
            return self.run(
                layers,
                x,
                &mut Pass::continued(&mut caches, &self.config, rope, &device),
                |_| 0,
            );
        }
        self.run(layers, x, &mut Pass::whole(rows, &self.config, rope), |_| 0)
    }

    /// Runs `layers` over rows of several sequences: `caches` are what they continue, in order, each with its rows.
    /// A row's bits do not depend on the rows beside it.
    ///
    /// # Shapes
    /// - `x` and the result: `[1, rows of all, width]`
    ///
    /// # Panics
    /// If a layer is not in memory, a cache is one for other layers or of another pool, a context is exceeded, there is
    /// no memory for the rows (see [`Cache::reserve`]), several sequences have tables of their own, or experts are paged.
    #[must_use]
    pub fn forward_batch(
        &self,
        layers: Layers,
        x: Tensor<3>,
        caches: &mut [(&mut Cache, usize)],
    ) -> Tensor<3> {
        let mut pass = self.begin(layers, &x, caches);
        let x = self.run(layers, x, &mut pass, |layer| layer - layers.start);
        caches.iter_mut().for_each(|(cache, rows)| cache.advance(*rows));
        x
    }

    /// What [`Model::forward_batch`] does before the first layer.
    pub(super) fn begin<'a, 'c>(
        &self,
        layers: Layers,
        x: &Tensor<3>,
        caches: &'a mut [(&'c mut Cache, usize)],
    ) -> Pass<'a, 'c> {
        let (device, count) = (x.device(), caches.len());
        let own = caches.iter().find_map(|(cache, _)| cache.rope.clone());
        assert!(own.is_none() || count == 1, "sequences with tables of their own run alone");
        assert_eq!(caches.iter().map(|(_, rows)| rows).sum::<usize>(), x.dims()[1], "rows of the sequences");
        let pool = caches[0].0.pool().clone();
        for (cache, rows) in caches.iter_mut() {
            assert!(cache.layers() == layers && cache.pool().is(&pool), "caches of {layers} and of one pool");
            cache.reserve(*rows).expect("memory for caches");
        }
        let rope = own.as_ref().unwrap_or(&self.rope);
        Pass::continued(caches, &self.config, rope, &device)
    }

    /// `index`: where a layer's keys and values lie in the caches.
    fn run(
        &self,
        layers: Layers,
        mut x: Tensor<3>,
        pass: &mut Pass<'_, '_>,
        index: impl Fn(usize) -> usize,
    ) -> Tensor<3> {
        for layer in layers.range() {
            let block = self.blocks[layer].as_ref().expect("the layer is loaded");
            x = block.forward(x, pass, index(layer));
        }
        x
    }

    /// Scores of every token as the next one.
    ///
    /// # Shapes
    /// - `x`: `[batch, rows, width]`, the last layer's result
    /// - result: `[batch, rows, vocabulary]`
    ///
    /// # Panics
    /// If the last layer is not in memory.
    #[must_use]
    pub fn logits(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.norm.as_ref().expect("the last layer is loaded").forward(x);
        let scores = match (&self.head, &self.embedding) {
            (Some(head), _) => head.forward(x),
            (None, Some(tied)) => tied.scores(x),
            (None, None) => unreachable!("the last layer comes with a head or with the embedding"),
        };
        ops::soft_cap(scores, self.config.logit_cap)
    }
}
