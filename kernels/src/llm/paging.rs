//! Mixtures that do not fit: experts are read when a router asks for them, and dropped when others need the room.
//!
//! A router is asked as soon as its layer's attention is done. What is missing is read at once, and so is what the next
//! layer's router would ask for if it saw the same rows, because what a layer adds to them is little (Eliseev & Mazur
//! 2023, "Fast inference of mixture-of-experts language models with offloading"). Experts then run one after the other
//! in the order of their numbers, which is the order of every pass: so one at a time is all that has to fit, and the
//! bits are those of a model that fits.
//!
//! ```text
//! attention ─► router ─► missing ones start ─► next router's guess starts ─► each expert: wait, run, add ─► next layer
//! ```

use crate::error::Error;
use crate::llm::adapter::Adapters;
use crate::llm::experts::Route;
use crate::llm::pager::{Pager, PagingFigures, Place};
use crate::llm::pass::Pass;
use crate::llm::shelf::{Coming, Expert, Shelf, kept_bytes, ranges_of, read};
use crate::llm::{Block, Cache, Config, Feed, FeedForward, Layers, Mixture, Model};
use crate::weights::{ByteRange, Header};
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use web_time::Instant;

/// Bytes that experts may take, and whether they are foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// Of all experts in memory, and of those on their way there.
    pub bytes: u64,
    /// Read what the next layer will probably need while this one computes. Of use where the source answers later: one
    /// that reads while it is asked would make each wrong guess a wait.
    pub ahead: bool,
}

/// The part of a model that pages.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pager: Pager,
    ahead: bool,
}

impl Model {
    /// From now on experts are paged, if all of the model's together take more than `paging` allows; true if so. To be said
    /// before anything is loaded.
    ///
    /// # Errors
    /// [`Error::ExpertBudget`] if not even the largest one is allowed; as [`ranges`](crate::llm::ranges).
    pub fn page(&mut self, header: &Header, paging: Paging) -> Result<bool, Error> {
        let (mut all, mut largest) = (0_u64, 0);
        for layer in 0..self.config().layers {
            let count = self.config().experts_of(layer).map_or(0, |experts| experts.count);
            for index in 0..count {
                let bytes = kept_bytes(&ranges_of(self.config(), header, (layer, index))?);
                (all, largest) = (all.saturating_add(bytes), bytes.max(largest));
            }
        }
        if all <= paging.bytes {
            return Ok(false);
        }
        if largest > paging.bytes {
            return Err(Error::ExpertBudget { needed: largest, budget: paging.bytes });
        }
        self.paging = Some(Held { pager: Pager::new(paging.bytes), ahead: paging.ahead });
        Ok(true)
    }

    /// What became of the budget for experts; None if they are not paged.
    #[must_use]
    pub fn paging(&self) -> Option<PagingFigures> {
        self.paging.as_ref().map(|held| held.pager.figures())
    }

    /// As [`Model::forward_batch`], for a model whose experts are paged.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the source fails, [`Error::Device`]: the caches are not advanced, and the model is as good as
    /// before.
    pub(crate) async fn forward_paged<S>(
        &mut self,
        layers: Layers,
        x: Tensor<3>,
        caches: &mut [(&mut Cache, usize)],
        shelf: &Shelf<'_, S>,
    ) -> Result<Tensor<3>, Error>
    where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut pass = self.begin(layers, &x, caches);
        let Self { blocks, config, exact, adapters, paging, .. } = self;
        let Some(Held { pager, ahead }) = paging else {
            unreachable!("asked for only where experts are paged")
        };
        // A pass that was dropped in the middle left these.
        pager.give_up_coming();
        let (config, exact, ahead) = (&*config, *exact, *ahead);
        let turn = Turn { config, exact, adapters, blocks, pager, shelf, ahead, coming: BTreeMap::new() };
        let x = turn.run(layers, x, &mut pass).await?;
        caches.iter_mut().for_each(|(cache, rows)| cache.advance(*rows));
        Ok(x)
    }

    /// Experts of layers that are dropped take no room any more.
    pub(super) fn forget_experts(&mut self, layers: Layers) {
        if let Some(held) = &mut self.paging {
            held.pager.forget(layers);
        }
    }
}

/// One pass.
struct Turn<'a, 's, S> {
    config: &'a Config,
    exact: bool,
    adapters: &'a Adapters,
    blocks: &'a mut Vec<Option<Block>>,
    pager: &'a mut Pager,
    shelf: &'a Shelf<'s, S>,
    ahead: bool,
    coming: BTreeMap<Place, Coming<'a, Expert>>,
}

impl<'a, S> Turn<'a, '_, S>
where
    S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
{
    async fn run(
        mut self,
        layers: Layers,
        mut x: Tensor<3>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<Tensor<3>, Error> {
        let mut outcome = Ok(());
        for layer in layers.range() {
            match self.layer(layers, layer, x.clone(), pass).await {
                Ok(done) => x = done,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        // Who asks next has another source: what is not here by now is asked for again.
        self.collect();
        self.coming.clear();
        self.pager.give_up_coming();
        self.pager.figures.bytes_read += self.shelf.read.get();
        outcome.map(|()| x)
    }

    /// # Shapes
    /// - `x` and the result: `[1, rows, width]`
    async fn layer(
        &mut self,
        layers: Layers,
        layer: usize,
        x: Tensor<3>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<Tensor<3>, Error> {
        let block = self.block(layer);
        let index = layer - layers.start;
        let Feed::Experts(mixture) = &block.ff else { return Ok(block.forward(x, pass, index)) };
        let h = block.attend(x, pass, index);
        let [batch, rows, width] = h.dims();
        let normed = block.ff_norm.forward(h.clone()).reshape([batch * rows, width]);
        let route = mixture.route(normed.clone()).await?;
        let needed = route.needed();
        let began = Instant::now();
        self.drive().await;
        for index in &needed {
            self.pager.ask((layer, *index));
        }
        let pinned = |place: Place| place.0 == layer && needed.contains(&place.1);
        for index in &needed {
            // Without room for all, the rest is read when its turn comes.
            if !self.start((layer, *index), pinned)? {
                break;
            }
        }
        if self.ahead && layer + 1 < layers.end {
            self.foresee(layer + 1, &h, pinned).await?;
        }
        self.drive().await;
        self.stalled(began);
        let mut mixed = normed.zeros_like();
        for (at, index) in needed.iter().enumerate() {
            mixed = self.add(layer, &needed[at..], mixed, &normed, &route, *index).await?;
        }
        let block = self.block(layer);
        let mixed = self.mixture(layer).with_shared(normed, mixed).reshape([batch, rows, width]);
        Ok(block.finish(h, mixed))
    }

    /// `mixed` and what one expert finds, once it is in memory. `rest`: the layer's that have not run, itself first.
    async fn add(
        &mut self,
        layer: usize,
        rest: &[usize],
        mixed: Tensor<2>,
        normed: &Tensor<2>,
        route: &Route,
        index: usize,
    ) -> Result<Tensor<2>, Error> {
        let began = Instant::now();
        if self.mixture(layer).experts[index].is_none() {
            self.fetch((layer, index), rest).await?;
        }
        self.drive().await;
        self.stalled(began);
        Ok(self.mixture(layer).add(mixed, normed, route, index))
    }

    /// Brings an expert that is not here.
    async fn fetch(&mut self, place: Place, rest: &[usize]) -> Result<(), Error> {
        let soon = |other: Place| other.0 == place.0 && rest.contains(&other.1);
        if !self.start(place, soon)? && !self.start(place, |_| false)? {
            // What is on its way takes the room.
            self.coming.clear();
            self.pager.give_up_coming();
            if !self.start(place, |_| false)? {
                let needed = kept_bytes(&ranges_of(self.config, self.shelf.header, place)?);
                return Err(Error::ExpertBudget { needed, budget: self.pager.figures.budget });
            }
        }
        let Some(mut wanted) = self.coming.remove(&place) else { return Ok(()) };
        let coming = &mut self.coming;
        poll_fn(|cx| {
            let there = wanted.drive(cx);
            coming.values_mut().for_each(|other| {
                other.drive(cx);
            });
            if there { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        match wanted.came {
            Some(Ok(expert)) => self.put(place, expert),
            Some(Err(error)) => {
                self.pager.give_up(place);
                return Err(error);
            }
            None => unreachable!("it was waited for"),
        }
        Ok(())
    }

    /// Begins to read an expert, unless it is here or on its way; false if there is no room without those that `keep`
    /// names.
    fn start(&mut self, place: Place, keep: impl Fn(Place) -> bool) -> Result<bool, Error> {
        if self.pager.knows(place) {
            return Ok(true);
        }
        let bytes = kept_bytes(&ranges_of(self.config, self.shelf.header, place)?);
        let Some(gone) = self.pager.reserve(place, bytes, keep) else { return Ok(false) };
        for other in gone {
            *self.slot(other) = None;
        }
        let (config, exact, shelf) = (self.config, self.exact, self.shelf);
        self.coming.insert(place, Coming::new(read(config, exact, shelf, place)));
        Ok(true)
    }

    /// Begins to read what the router of `layer` would ask for if it saw these rows.
    ///
    /// # Shapes
    /// - `h`: `[1, rows, width]`
    async fn foresee(
        &mut self,
        layer: usize,
        h: &Tensor<3>,
        pinned: impl Fn(Place) -> bool,
    ) -> Result<(), Error> {
        let block = self.block(layer);
        let Feed::Experts(mixture) = &block.ff else { return Ok(()) };
        let [batch, rows, width] = h.dims();
        let normed = block.ff_norm.forward(h.clone()).reshape([batch * rows, width]);
        let guessed = mixture.route(normed).await?.needed();
        let keep = |place: Place| pinned(place) || place.0 == layer && guessed.contains(&place.1);
        for index in &guessed {
            let place = (layer, *index);
            if self.pager.knows(place) {
                continue;
            }
            if !self.start(place, keep)? {
                break;
            }
            self.pager.foresee(place);
        }
        Ok(())
    }

    /// Lets what is on its way get on, without waiting for it.
    async fn drive(&mut self) {
        poll_fn(|cx| {
            self.coming.values_mut().for_each(|coming| {
                coming.drive(cx);
            });
            Poll::Ready(())
        })
        .await;
        self.collect();
    }

    /// Puts in place what has come. What failed is asked for again when it is needed, and its error told then.
    fn collect(&mut self) {
        let there: Vec<Place> =
            self.coming.iter().filter(|(_, coming)| coming.came.is_some()).map(|(place, _)| *place).collect();
        for place in there {
            match self.coming.remove(&place).and_then(|coming| coming.came) {
                Some(Ok(expert)) => self.put(place, expert),
                _ => self.pager.give_up(place),
            }
        }
    }

    fn put(&mut self, place: Place, mut expert: FeedForward) {
        self.adapters.adapt_expert(place.0, place.1, &mut expert);
        *self.slot(place) = Some(expert);
        self.pager.arrived(place);
    }

    fn stalled(&mut self, began: Instant) {
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.pager.figures.stall_micros += micros;
    }

    fn block(&self, layer: usize) -> &Block {
        self.blocks[layer].as_ref().expect("the layer is loaded")
    }

    fn mixture(&self, layer: usize) -> &Mixture {
        match &self.block(layer).ff {
            Feed::Experts(mixture) => mixture,
            Feed::Dense(_) => unreachable!("only mixtures are paged"),
        }
    }

    fn slot(&mut self, (layer, index): Place) -> &mut Option<FeedForward> {
        match self.blocks[layer].as_mut().map(|block| &mut block.ff) {
            Some(Feed::Experts(mixture)) => &mut mixture.experts[index],
            _ => unreachable!("only experts of loaded layers are paged"),
        }
    }
}
