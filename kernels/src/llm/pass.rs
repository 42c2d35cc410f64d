//! What all layers of one pass share: whose rows they are, where these stand, and where their keys and values go.

use crate::limits::CACHE_PAGE;
use crate::llm::rope::{Rope, Rotation};
use crate::llm::{Cache, Config};
use crate::ops::Tier;
use crate::ops::attention::gpu::{self, Places};
use burn::tensor::Device;
use std::ops::Range;

/// One pass.
#[derive(Debug)]
pub(super) struct Pass<'a, 'c> {
    way: Way<'a, 'c>,
    global: Outlook,
    /// Of layers with a window.
    local: Option<Outlook>,
}

/// How attention is computed.
#[derive(Debug)]
pub(super) enum Way<'a, 'c> {
    /// By burn's own operations, of whole sequences.
    Stock,
    /// Over the pages of these caches, each with its rows in the pass.
    Cpu(&'a mut [(&'c mut Cache, usize)]),
    /// Over buffers, one for every layer of the caches.
    Gpu(Places, Vec<gpu::Cache>),
}

/// How far rows turn, and how many each sees, itself included; all before it, if that is not said.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    pub rotation: Rotation,
    pub window: Option<usize>,
}

impl<'a, 'c> Pass<'a, 'c> {
    /// Of whole sequences of `rows` rows.
    pub fn whole(rows: usize, config: &Config, rope: &Rope) -> Self {
        Self::new(Way::Stock, std::slice::from_ref(&(0..rows)), config, rope)
    }

    /// Of rows that continue `caches`, which have room for them.
    pub fn continued(
        caches: &'a mut [(&'c mut Cache, usize)],
        config: &Config,
        rope: &Rope,
        device: &Device,
    ) -> Self {
        let spans: Vec<_> = caches.iter().map(|(cache, rows)| cache.rows()..cache.rows() + rows).collect();
        let way = match Tier::of(device) {
            Tier::Gpu(gpu) => {
                let numbers: Vec<Vec<u32>> = caches.iter().map(|(cache, _)| cache.numbers()).collect();
                let places = spans.iter().zip(&numbers).map(|(span, pages)| gpu::Span {
                    pages,
                    at: span.start,
                    rows: span.len(),
                });
                let layers = caches.first().map(|(cache, _)| cache.pool().layer_buffers());
                Way::Gpu(
                    Places::new(&gpu, CACHE_PAGE, &places.collect::<Vec<_>>()),
                    layers.unwrap_or_default(),
                )
            }
            _ => Way::Cpu(caches),
        };
        Self::new(way, &spans, config, rope)
    }

    fn new(way: Way<'a, 'c>, spans: &[Range<usize>], config: &Config, rope: &Rope) -> Self {
        let outlook = |local: bool| {
            let window = config.window.as_ref().filter(|_| local).map(|window| window.rows);
            Outlook { rotation: rope.rotation(spans, local), window }
        };
        Self { way, global: outlook(false), local: config.window.is_some().then(|| outlook(true)) }
    }

    /// For a layer with a window (`local`) or without.
    pub fn of_layer(&mut self, local: bool) -> (&Outlook, &mut Way<'a, 'c>) {
        let outlook = self.local.as_ref().filter(|_| local).unwrap_or(&self.global);
        (outlook, &mut self.way)
    }
}
