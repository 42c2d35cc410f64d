//! The adapters of a model: those in memory, and those that it computes with.

use super::low_rank::LowRank;
use super::{Adapter, Addition, Attached, places};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::reader::Reader;
use crate::llm::{FeedForward, Layers, Model};
use crate::weights::ByteRange;
use crate::weights::manifest::Hash;
use burn::tensor::Device;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The part of a model that knows of adapters.
#[derive(Debug, Clone, Default)]
pub(in crate::llm) struct Adapters {
    held: BTreeMap<Hash, Held>,
    /// Those that lie at the products of the model now.
    attached: Vec<Attached>,
}

/// Layer by layer (the head after the last), what is added to each product.
type Held = BTreeMap<usize, Vec<Option<Arc<LowRank>>>>;

impl Adapters {
    /// What `attached` add to product `number` of a layer, in their order.
    fn additions(&self, attached: &[Attached], layer: usize, number: usize) -> Vec<Addition> {
        let added = attached.iter().filter(|one| one.weight != 0.0).filter_map(|one| {
            let pair = self.held.get(&one.id)?.get(&layer)?.get(number)?.clone()?;
            Some(Addition { pair, weight: one.weight })
        });
        added.collect()
    }

    /// Adds to an expert, which was just read, what those that are attached change in it.
    pub(in crate::llm) fn adapt_expert(&self, layer: usize, index: usize, expert: &mut FeedForward) {
        let first = EXPERTS_FROM + 2 * index;
        for (number, product) in (first..).zip([&mut expert.gate_up, &mut expert.down]) {
            product.adapt(self.additions(&self.attached, layer, number));
        }
    }
}

/// Where the products of a layer's experts begin: after queries, keys and values; the output of attention; the router. See
/// [`BlockNames::products`](crate::llm::names::BlockNames::products).
const EXPERTS_FROM: usize = 3;

impl Model {
    /// Adds those of `layers` of an adapter that are not in memory yet, and attaches none. `source` is asked as by [`Model::load`].
    ///
    /// # Errors
    /// [`Error::Adapter`] if it was opened for another model, or there are [`limits::ADAPTERS`] already; [`Error::Layers`];
    /// [`Error::Tensor`] if `source` fails or answers with too little. Layers that were complete by then stay.
    pub async fn load_adapter<S>(
        &mut self,
        adapter: &Adapter,
        layers: Layers,
        device: &Device,
        source: S,
    ) -> Result<(), Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        if adapter.config != *self.config() {
            return Err(Error::Adapter("it was opened for another model".into()));
        }
        if !layers.fit(adapter.config.layers) {
            return Err(Error::Layers(layers, adapter.config.layers));
        }
        // What is loaded now lies at no product yet.
        self.attach(&[]);
        let held = &mut self.adapters.held;
        if held.len() >= limits::ADAPTERS && !held.contains_key(&adapter.id) {
            let most = limits::ADAPTERS;
            return Err(Error::Adapter(format!("{most} are in memory already: unload one first")));
        }
        let mut reader = Reader { header: &adapter.header, device, source, exact: false };
        for place in adapter.places(layers) {
            if held.get(&adapter.id).is_some_and(|held| held.contains_key(&place)) {
                continue;
            }
            let mut products = Vec::with_capacity(adapter.layers[place].len());
            for change in &adapter.layers[place] {
                products.push(match change {
                    Some(change) => Some(Arc::new(reader.low_rank(change).await?)),
                    None => None,
                });
            }
            held.entry(adapter.id).or_default().insert(place, products);
        }
        Ok(())
    }

    /// Drops an adapter.
    pub fn unload_adapter(&mut self, id: Hash) {
        if self.adapters.attached.iter().any(|one| one.id == id) {
            self.attach(&[]);
        }
        self.adapters.held.remove(&id);
    }

    /// Drops what adapters change in `layers`.
    pub(in crate::llm) fn unload_adapters(&mut self, layers: Layers) {
        self.attach(&[]);
        let count = self.blocks.len();
        for held in self.adapters.held.values_mut() {
            held.retain(|layer, _| !places(layers, count).contains(layer));
        }
        self.adapters.held.retain(|_, held| !held.is_empty());
    }

    /// Whether `layers` can run with these adapters.
    ///
    /// # Errors
    /// [`StepError::Adapters`] if they are too many, [`StepError::AdapterWeight`], [`StepError::NoAdapter`].
    pub fn check_attached(&self, layers: Layers, attached: &[Attached]) -> Result<(), StepError> {
        if attached.len() > limits::ADAPTERS_AT_ONCE {
            return Err(StepError::Adapters(attached.len()));
        }
        for &Attached { id, weight } in attached {
            // Not a number is not within bounds either.
            if weight.is_nan() || weight.abs() > limits::ADAPTER_WEIGHT {
                return Err(StepError::AdapterWeight(weight));
            }
            let held = self.adapters.held.get(&id);
            let there = held
                .is_some_and(|held| places(layers, self.blocks.len()).all(|place| held.contains_key(&place)));
            if !there {
                return Err(StepError::NoAdapter(id, layers));
            }
        }
        Ok(())
    }

    /// From now on the layers in memory compute with these adapters, added in this order, and with no others. Adapters that are
    /// not in memory for a layer add nothing to it: [`Model::check_attached`] tells. No weights move.
    pub fn attach(&mut self, attached: &[Attached]) {
        if self.adapters.attached == attached {
            return;
        }
        self.adapters.attached = attached.to_vec();
        let adapters = &self.adapters;
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let products = block.iter_mut().flat_map(|block| block.products_mut());
            for (number, product) in products.enumerate() {
                if let Some(product) = product {
                    product.adapt(adapters.additions(attached, layer, number));
                }
            }
        }
        if let Some(head) = &mut self.head {
            head.adapt(adapters.additions(attached, self.blocks.len(), 0));
        }
    }
}
