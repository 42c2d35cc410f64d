//! A mixture of experts: a router picks a few of many feed-forward layers for every row (Shazeer et al. 2017; Jiang et
//! al. 2024, Mixtral).
//!
//! ```text
//!  x ─► router ─► softmax ─► the few largest ─┬─► expert 3 · weight ─┐
//!  │                                          └─► expert 7 · weight ─┼─► sum
//!  └─► (shared expert · sigmoid of its own gate) ────────────────────┘
//! ```

use crate::error::Error;
use crate::llm::config::Experts;
use crate::llm::export::read_back;
use crate::llm::product::{self, Product};
use crate::llm::{Config, FeedForward};
use burn::module::Module;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

/// The experts of one layer. Each is a product of its own, so that it can be held or left out by itself.
#[derive(Module, Debug)]
pub struct Mixture {
    /// One output per expert.
    pub router: Product,
    /// All of them; None for those that are not in memory now (see [`Paging`](crate::llm::Paging)).
    pub experts: Vec<Option<FeedForward>>,
    /// One more that every row uses, where the model has it.
    pub shared: Option<SharedExpert>,
    used: usize,
    normalised: bool,
}

/// The expert that every row uses.
#[derive(Module, Debug)]
pub struct SharedExpert {
    /// The expert.
    pub expert: FeedForward,
    /// One output, whose sigmoid weighs it.
    pub gate: Product,
}

/// For one expert: the rows that use it, and their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Guests {
    rows: Vec<i32>,
    weights: Vec<f32>,
}

/// What the router decided.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, for as long as a layer runs")]
pub(super) enum Route {
    /// For each expert its rows.
    Grouped(Vec<Guests>),
    /// What every row makes of every expert, on the device, and which of them anybody needs.
    All {
        /// `[rows, experts]`
        weights: Tensor<2>,
        /// One for each expert.
        needed: Vec<bool>,
    },
}

impl Mixture {
    /// From its parts.
    #[must_use]
    pub fn new(
        config: &Experts,
        router: Product,
        experts: Vec<Option<FeedForward>>,
        shared: Option<SharedExpert>,
    ) -> Self {
        Self { router, experts, shared, used: config.used, normalised: config.normalised }
    }

    /// Random weights, to be trained.
    pub(super) fn init(config: &Config, experts: &Experts, device: &Device) -> Self {
        let single = |output| Product::random(config.width, output, product::SPREAD, device);
        let all =
            (0..experts.count).map(|_| Some(FeedForward::init(config, experts.width, device))).collect();
        let shared = experts
            .shared
            .map(|width| SharedExpert { expert: FeedForward::init(config, width, device), gate: single(1) });
        Self::new(experts, single(experts.count), all, shared)
    }

    pub(super) fn add_products_to<'a>(&'a mut self, all: &mut Vec<Option<&'a mut Product>>) {
        all.push(Some(&mut self.router));
        for expert in &mut self.experts {
            match expert {
                Some(expert) => expert.add_products_to(all),
                None => all.extend([None, None]),
            }
        }
        if let Some(shared) = &mut self.shared {
            shared.expert.add_products_to(all);
            all.push(Some(&mut shared.gate));
        }
    }

    /// # Shapes
    /// - `x` and the result: `[batch, rows, width]`
    ///
    /// # Panics
    /// If an expert that is needed is not in memory.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, rows, width] = x.dims();
        let x = x.reshape([batch * rows, width]);
        let chances = self.chances(x.clone());
        let mixed = match readable(&x.device()) {
            true => self.grouped(&x, chances),
            false => self.all(&x, chances),
        };
        self.with_shared(x, mixed).reshape([batch, rows, width])
    }

    /// How likely each expert is for each row.
    ///
    /// # Shapes
    /// - `x`: `[rows, width]`
    /// - result: `[rows, experts]`
    fn chances(&self, x: Tensor<2>) -> Tensor<2> {
        softmax(self.router.forward(x), 1)
    }

    /// Adds what the expert found that every row uses.
    ///
    /// # Shapes
    /// - `x`, `mixed` and the result: `[rows, width]`
    pub(super) fn with_shared(&self, x: Tensor<2>, mixed: Tensor<2>) -> Tensor<2> {
        match &self.shared {
            Some(shared) => mixed + shared.expert.forward(x.clone()) * sigmoid(shared.gate.forward(x)),
            None => mixed,
        }
    }

    /// Who needs which experts, read back from the device: what [`Mixture::add`] needs to run those, to the bits of
    /// [`Mixture::forward`].
    ///
    /// # Shapes
    /// - `x`: `[rows, width]`
    ///
    /// # Errors
    /// [`Error::Device`] if the device cannot be read.
    pub(super) async fn route(&self, x: Tensor<2>) -> Result<Route, Error> {
        let (chances, device) = (self.chances(x.clone()), x.device());
        if readable(&device) {
            return Ok(Route::Grouped(self.guests(&read_back(chances).await?)));
        }
        let weights = self.weights(chances);
        let values = read_back(weights.clone()).await?;
        let mut needed = vec![false; self.experts.len()];
        for row in values.chunks(self.experts.len()) {
            // What is no number is weighed too: it has to show.
            row.iter().zip(&mut needed).for_each(|(weight, needed)| *needed |= *weight != 0.0);
        }
        Ok(Route::All { weights, needed })
    }

    /// `mixed` and what one expert finds for the rows that need it.
    ///
    /// # Shapes
    /// - `x`, `mixed` and the result: `[rows, width]`
    ///
    /// # Panics
    /// If the expert is not in memory.
    pub(super) fn add(&self, mixed: Tensor<2>, x: &Tensor<2>, route: &Route, index: usize) -> Tensor<2> {
        match route {
            Route::Grouped(guests) => self.add_grouped(mixed, x, index, &guests[index]),
            Route::All { weights, .. } => self.add_all(mixed, x, index, weights),
        }
    }

    /// Every expert runs once, for the rows that picked it; those that nobody picked do not run.
    ///
    /// # Shapes
    /// - `x` and the result: `[rows, width]`
    /// - `chances`: `[rows, experts]`
    fn grouped(&self, x: &Tensor<2>, chances: Tensor<2>) -> Tensor<2> {
        let chances = chances.into_data();
        let chances = chances.as_slice::<f32>().expect("softmax of f32 on the CPU");
        let guests =
            self.guests(chances).into_iter().enumerate().filter(|(_, guests)| !guests.rows.is_empty());
        guests.fold(x.zeros_like(), |mixed, (index, guests)| self.add_grouped(mixed, x, index, &guests))
    }

    fn add_grouped(&self, mixed: Tensor<2>, x: &Tensor<2>, index: usize, guests: &Guests) -> Tensor<2> {
        let (device, count) = (x.device(), guests.rows.len());
        let rows = Tensor::<1, Int>::from_data(TensorData::new(guests.rows.clone(), [count]), &device);
        let weights = Tensor::<2>::from_data(TensorData::new(guests.weights.clone(), [count, 1]), &device);
        let found = self.expert(index).forward(x.clone().select(0, rows.clone())) * weights;
        mixed.select_assign(0, rows, found, IndexingUpdateOp::Add)
    }

    /// Who picks which expert: for each row the most likely ones, the first where two are as likely.
    fn guests(&self, chances: &[f32]) -> Vec<Guests> {
        let count = self.experts.len();
        let mut guests = vec![Guests::default(); count];
        for (row, chances) in chances.chunks(count).enumerate() {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by(|a, b| chances[*b].total_cmp(&chances[*a]));
            order.truncate(self.used);
            let sum: f32 = order.iter().map(|expert| chances[*expert]).sum();
            for expert in order {
                let share = if self.normalised { chances[expert] / sum } else { chances[expert] };
                guests[expert].rows.push(row as i32);
                guests[expert].weights.push(share);
            }
        }
        guests
    }

    /// Every expert runs for every row, and counts where it was picked: nothing is read back from the device, which a
    /// browser could not wait for, and gradients flow.
    ///
    /// # Shapes
    /// As [`Mixture::grouped`].
    fn all(&self, x: &Tensor<2>, chances: Tensor<2>) -> Tensor<2> {
        let weights = self.weights(chances);
        let all = 0..self.experts.len();
        all.fold(x.zeros_like(), |mixed, index| self.add_all(mixed, x, index, &weights))
    }

    fn add_all(&self, mixed: Tensor<2>, x: &Tensor<2>, index: usize, weights: &Tensor<2>) -> Tensor<2> {
        mixed + self.expert(index).forward(x.clone()) * weights.clone().narrow(1, index, 1)
    }

    /// How much each expert counts for each row: not at all, where it was not picked.
    ///
    /// # Shapes
    /// - `chances` and the result: `[rows, experts]`
    fn weights(&self, chances: Tensor<2>) -> Tensor<2> {
        let last = self.used - 1;
        let least = chances.clone().detach().topk(self.used, 1).narrow(1, last, 1);
        let picked = chances.clone().greater_equal(least).float();
        let weights = chances * picked;
        if self.normalised { weights.clone() / weights.sum_dim(1) } else { weights }
    }

    fn expert(&self, index: usize) -> &FeedForward {
        self.experts[index].as_ref().expect("the expert is in memory")
    }
}

impl Route {
    /// The experts that are needed, in the order in which their results are summed.
    pub fn needed(&self) -> Vec<usize> {
        let needed: &mut dyn Iterator<Item = bool> = match self {
            Self::Grouped(guests) => &mut guests.iter().map(|guests| !guests.rows.is_empty()),
            Self::All { needed, .. } => &mut needed.iter().copied(),
        };
        needed.enumerate().filter(|(_, needed)| *needed).map(|(index, _)| index).collect()
    }
}

/// True if a tensor can be read where it is needed: on the CPU, and where no gradient has to pass.
fn readable(device: &Device) -> bool {
    *device == Device::flex() && !device.is_autodiff()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    fn mixture(normalised: bool) -> Mixture {
        let config = Config { width: 8, layers: 1, ..Config::default() };
        let experts =
            Experts { count: 5, used: 2, width: 12, normalised, shared: Some(6), layers: vec![true] };
        Mixture::init(&config, &experts, &Device::flex())
    }

    /// Grouping rows by expert is an economy, not another model.
    #[test]
    fn grouped_is_the_same_as_all() {
        let device = Device::flex();
        device.seed(3);
        for normalised in [true, false] {
            let mixture = mixture(normalised);
            let x = Tensor::<2>::random([7, 8], Distribution::Normal(0.0, 30.0), &device);
            let chances = mixture.chances(x.clone());
            let grouped = mixture.grouped(&x, chances.clone()).into_data();
            let all = mixture.all(&x, chances).into_data();
            let pairs = grouped.as_slice::<f32>().unwrap().iter().zip(all.as_slice::<f32>().unwrap());
            let largest = pairs.clone().fold(0.0_f32, |most, (a, _)| most.max(a.abs()));
            assert!(largest > 0.0);
            for (a, b) in pairs {
                assert!((a - b).abs() < 1e-5 * largest, "{a} and {b} of {largest}");
            }
        }
    }

    #[test]
    fn the_likeliest_are_picked_and_weighed() {
        let chances = [0.1, 0.4, 0.2, 0.05, 0.25, 0.3, 0.1, 0.3, 0.2, 0.1];
        let guests = mixture(false).guests(&chances);
        let row = |rows: &[i32], weights: &[f32]| Guests { rows: rows.to_vec(), weights: weights.to_vec() };
        assert_eq!(
            guests,
            [row(&[1], &[0.3]), row(&[0], &[0.4]), row(&[1], &[0.3]), row(&[], &[]), row(&[0], &[0.25])]
        );
        let guests = mixture(true).guests(&chances);
        assert_eq!(guests[0], row(&[1], &[0.5]), "two as likely share evenly");
        let nothing = mixture(true).guests(&[f32::NAN; 5]);
        assert_eq!(nothing.iter().map(|guests| guests.rows.len()).sum::<usize>(), 2, "even NaN picks two");
    }
}
