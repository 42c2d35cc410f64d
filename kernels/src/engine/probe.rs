//! How fast this device is at the room's model.

use crate::engine::Engine;
use crate::error::Error;
use crate::llm::{Block, Config, Layers, Model, read_back};
use burn::tensor::Tensor;
use std::time::Duration;
use web_time::Instant;

/// Layers in a row that are timed together. Source: guess; a stage of a room has about as many, so that reading the
/// result back weighs as much as it will.
const CHAIN: usize = 8;
/// Tokens of the longer pass. Source: as many as a room reads of a prompt at once.
const PASS: usize = 64;
/// Most runs, the first of which is not counted: it compiles shaders and takes memory.
const RUNS: usize = 32;
/// No further run is started after this. Source: guess; nobody should wait for a measurement.
const ENOUGH: Duration = Duration::from_millis(400);

/// What a probe measured, in microseconds for one token through one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// One token at a time, as an answer is written.
    pub token_micros: u32,
    /// Many at once, as a prompt is read.
    pub pass_micros: u32,
}

impl<K: Ord + Clone> Engine<K> {
    /// Times a chain of layers, for one token and for many.
    ///
    /// The layers have random weights, so that nothing needs to be downloaded first.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn probe(&self) -> Result<Pace, Error> {
        let device = &self.opened.device;
        let config = Config { layers: CHAIN, ..self.config().clone() };
        let mut model = Model::empty(&config, device);
        // One layer's weights, used again and again: they are read from memory each time all the same.
        model.blocks = vec![Some(Block::init(&config, 0, device)); CHAIN];
        let rows = |rows| Tensor::<3>::ones([1, rows, config.width], device);
        let token_micros = micros_per_row(&model, rows(1)).await?;
        // Where one token takes that long already, nobody waits for many.
        if Duration::from_micros(token_micros.into()) * CHAIN as u32 > ENOUGH {
            return Ok(Pace { token_micros, pass_micros: token_micros });
        }
        let pass_micros = micros_per_row(&model, rows(PASS.min(config.context))).await?;
        Ok(Pace { token_micros, pass_micros })
    }
}

/// Microseconds for one row through one layer: the fastest of some runs, because other work on the machine only ever
/// slows one down, and a room's start is when there is most of it.
///
/// # Shapes
/// - input: `[1, rows, width]`
async fn micros_per_row(model: &Model, input: Tensor<3>) -> Result<u32, Error> {
    let [_, rows, _] = input.dims();
    let (mut fastest, started) = (u128::MAX, Instant::now());
    for run in 0..RUNS {
        let before = Instant::now();
        read_back(model.forward(Layers::new(0, CHAIN), input.clone(), None)).await?;
        if run > 0 {
            fastest = fastest.min(before.elapsed().as_micros());
        }
        if started.elapsed() > ENOUGH && run > 0 {
            break;
        }
    }
    Ok(u32::try_from(fastest / (CHAIN * rows) as u128).unwrap_or(u32::MAX).max(1))
}
