//! A range of layers that is fed with tokens or with bytes, and answers with bytes or with scores.

use crate::device::Opened;
use crate::engine::Input;
use crate::error::{Error, StepError};
use crate::llm::{
    Adapter, Attached, Cache, CacheFormat, Config, Layers, Model, Paging, PagingFigures, Shelf, read_back,
};
use crate::weights::{ByteRange, Header};
use burn::tensor::{Int, Tensor, TensorData};

/// Some layers in memory, without any session: who measures a model wants its scores, which no room needs.
#[derive(Debug)]
pub struct Stage {
    model: Model,
    layers: Layers,
    opened: Opened,
    /// Where experts lie that are paged.
    header: Option<Header>,
}

/// What a stage answers.
#[derive(Debug, Clone, PartialEq)]
pub enum StageOut {
    /// Rows × width little-endian f32, for the next stage.
    Hidden(Vec<u8>),
    /// Rows × vocabulary scores.
    Logits(Vec<f32>),
}

impl Stage {
    /// Loads `layers`; `exact` as in [`Model::exact`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub async fn load<S>(
        config: &Config,
        header: &Header,
        layers: Layers,
        opened: &Opened,
        exact: bool,
        source: S,
    ) -> Result<Self, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        // No more experts than memory can count.
        let paging = Paging { bytes: u64::MAX, ahead: false };
        Self::load_paged(config, header, layers, opened, exact, paging, source).await
    }

    /// Loads `layers`, without their experts if all of the model's take more than `paging` allows; then it runs with
    /// [`Stage::pass_with`].
    ///
    /// # Errors
    /// As [`Model::page`] and [`Model::load`].
    pub async fn load_paged<S>(
        config: &Config,
        header: &Header,
        layers: Layers,
        opened: &Opened,
        exact: bool,
        paging: Paging,
        source: S,
    ) -> Result<Self, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut model = Model::empty(config, &opened.device).exact(exact);
        let paged = model.page(header, paging)?;
        model.load(layers, header, &opened.device, source).await?;
        Ok(Self { model, layers, opened: opened.clone(), header: paged.then(|| header.clone()) })
    }

    /// What became of the budget for experts; None if they are not paged.
    #[must_use]
    pub fn paging(&self) -> Option<PagingFigures> {
        self.model.paging()
    }

    /// What it holds.
    #[must_use]
    pub const fn layers(&self) -> Layers {
        self.layers
    }

    /// Adds an adapter, which changes nothing before it is attached; see [`Model::load_adapter`].
    ///
    /// # Errors
    /// As there.
    pub async fn load_adapter<S>(&mut self, adapter: &Adapter, source: S) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        self.model.load_adapter(adapter, self.layers, &self.opened.device, source).await
    }

    /// Computes with these adapters from now on, and with no others.
    ///
    /// # Errors
    /// [`Error::Step`] if one is not in memory, or its weight is no number.
    pub fn attach(&mut self, attached: &[Attached]) -> Result<(), Error> {
        self.model.check_attached(self.layers, attached)?;
        self.model.attach(attached);
        Ok(())
    }

    /// Empty caches for a sequence that will reach `length` tokens.
    #[must_use]
    pub fn cache(&self, length: usize, format: CacheFormat) -> Cache {
        self.model.cache(self.layers, length, format, &self.opened.device)
    }

    /// Runs rows that continue `cache`, or a whole sequence without one.
    ///
    /// # Errors
    /// [`Error::Step`] if the rows are none, not whole, of the wrong kind, out of the vocabulary or too many;
    /// [`Error::Device`], also where the device has no kernels for caches of this model. [`Error::Source`] if experts are
    /// paged: see [`Stage::pass_with`].
    pub async fn pass(&self, input: Input<'_>, mut cache: Option<&mut Cache>) -> Result<StageOut, Error> {
        if self.header.is_some() {
            return Err(Error::Source("experts are paged, and the stage was told no source".into()));
        }
        let x = self.begin(input, cache.as_deref_mut())?;
        self.answer(self.model.forward(self.layers, x, cache)).await
    }

    /// The same, for a stage whose experts may be paged: `source` is asked for their bytes as by [`Stage::load`], for several
    /// ranges at a time.
    ///
    /// # Errors
    /// As [`Stage::pass`]; [`Error::Tensor`] if `source` fails or answers with too little: the same rows may be tried again.
    pub async fn pass_with<S>(
        &mut self,
        input: Input<'_>,
        cache: Option<&mut Cache>,
        source: &S,
    ) -> Result<StageOut, Error>
    where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let Some(header) = self.header.clone() else { return self.pass(input, cache).await };
        let mut own = None;
        let cache = match cache {
            Some(cache) => cache,
            // A whole sequence has the same bits with a cache that lasts for one pass.
            None => own.insert(self.cache(self.rows_of(&input), CacheFormat::F32)),
        };
        let x = self.begin(input, Some(&mut *cache))?;
        let (rows, shelf) = (x.dims()[1], Shelf::new(&header, &self.opened.device, source));
        let x = self.model.forward_paged(self.layers, x, &mut [(cache, rows)], &shelf).await?;
        self.answer(x).await
    }

    /// Rows that a pass would have.
    fn rows_of(&self, input: &Input<'_>) -> usize {
        match input {
            Input::Tokens(tokens) => tokens.len(),
            Input::Hidden(bytes) => bytes.len() / self.model.config().row_bytes(),
        }
    }

    /// The rows of a pass, for which there is room then.
    fn begin(&self, input: Input<'_>, cache: Option<&mut Cache>) -> Result<Tensor<3>, Error> {
        let config = self.model.config();
        let at = cache.as_ref().map_or(0, |cache| cache.rows());
        let x = self.rows(input)?;
        let rows = x.dims()[1];
        let end = at + rows;
        if end > config.longest() {
            return Err(StepError::Context(end, config.longest()).into());
        }
        if let Some(cache) = cache {
            cache.reserve(rows)?;
        }
        Ok(x)
    }

    /// # Shapes
    /// - `x`: `[1, rows, width]`
    async fn answer(&self, x: Tensor<3>) -> Result<StageOut, Error> {
        if self.layers.end == self.model.config().layers {
            return Ok(StageOut::Logits(read_back(self.model.logits(x)).await?));
        }
        let hidden = read_back(x).await?;
        Ok(StageOut::Hidden(hidden.iter().flat_map(|value| value.to_le_bytes()).collect()))
    }

    /// # Shapes
    /// - result: `[1, rows, width]`
    fn rows(&self, input: Input<'_>) -> Result<Tensor<3>, StepError> {
        let (config, layers) = (self.model.config(), self.layers);
        let device = &self.opened.device;
        match input {
            Input::Tokens([]) | Input::Hidden([]) => Err(StepError::Rows(0)),
            Input::Tokens(_) if layers.start > 0 => {
                Err(StepError::Kind { layers, takes: "hidden states, not tokens" })
            }
            Input::Hidden(_) if layers.start == 0 => {
                Err(StepError::Kind { layers, takes: "tokens, not hidden states" })
            }
            Input::Tokens(tokens) => {
                if let Some(id) = tokens.iter().find(|id| **id as usize >= config.vocabulary) {
                    return Err(StepError::Token(*id, config.vocabulary));
                }
                let ids: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
                let ids = TensorData::new(ids, [1, tokens.len()]);
                Ok(self.model.embed(Tensor::<2, Int>::from_data(ids, device)))
            }
            Input::Hidden(bytes) if !bytes.len().is_multiple_of(config.row_bytes()) => {
                Err(StepError::HiddenSize(bytes.len(), config.row_bytes()))
            }
            Input::Hidden(bytes) => {
                let numbers = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
                let shape = [1, bytes.len() / config.row_bytes(), config.width];
                Ok(Tensor::from_data(TensorData::new(numbers.collect::<Vec<f32>>(), shape), device))
            }
        }
    }
}
