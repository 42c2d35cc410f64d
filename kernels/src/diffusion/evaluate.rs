//! A part of a picture model computes what another program gives it, to compare the two.

use crate::device::Opened;
use crate::diffusion::autoencoder::{self, Autoencoder, Half};
use crate::diffusion::denoiser::{self, Denoiser, Positions, Text, patches, picture};
use crate::diffusion::folder::{Part, Shape};
use crate::diffusion::schedule::Prediction;
use crate::diffusion::{Schedule, Spacing, TextEncoder, guide, sizes, text_encoder};
use crate::error::Error;
use crate::limits;
use crate::llm::{Layers, read_back};
use crate::weights::{ByteRange, Numbers};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

type Tensors = BTreeMap<String, Numbers>;

/// How a part is to compute.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    /// The part.
    pub part: &'a Part,
    /// What computes.
    pub opened: &'a Opened,
    /// Load these ranges of blocks apart and pass bytes between them; all of them at once if there are none.
    pub stages: &'a [Layers],
    /// As in [`Model::exact`](crate::llm::Model::exact).
    pub exact: bool,
    /// Noise levels of a whole run.
    pub spacing: Spacing,
    /// What a denoiser says.
    pub prediction: Prediction,
}

/// Computes whatever `inputs` are complete for:
///
/// | part | inputs | outputs |
/// |---|---|---|
/// | denoiser | `x` `[n, channels, height, width]`, `t` `[n]`, `txt` `[n, tokens, width]`, perhaps `mask` `[n, tokens]` | `y` |
/// | | `lat0`, `txt`, `neg`, `guidance`, `steps`, perhaps `mask` (rows of `txt`, then of `neg`) or `neg_mask` | `final`, `traj` |
/// | text encoder | `input_ids` `[n, tokens]`, perhaps `mask` | `out` |
/// | autoencoder | `z` `[n, channels, height, width]` | `decoded` |
/// | | `x` `[n, channels, height, width]` | `encoded_mean` |
///
/// # Errors
/// [`Error::Picture`] if the inputs are complete for nothing, or have impossible shapes; else as loading the part.
pub async fn evaluate<S>(how: &Evaluation<'_>, inputs: &Tensors, source: S) -> Result<Tensors, Error>
where
    S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
{
    let outputs = match &how.part.shape {
        Shape::Denoiser(config) => how.denoiser(config, inputs, source).await?,
        Shape::TextEncoder(config) => how.text_encoder(config, inputs, source).await?,
        Shape::Autoencoder(config) => how.autoencoder(config, inputs, source).await?,
    };
    match outputs.is_empty() {
        true => {
            let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
            Err(Error::Picture(format!("the inputs {names:?} are not enough for this part")))
        }
        false => Ok(outputs),
    }
}

impl Evaluation<'_> {
    fn tensor<const D: usize>(&self, numbers: &Numbers) -> Result<Tensor<D>, Error> {
        if numbers.shape.len() != D || numbers.values.is_empty() {
            return Err(Error::Picture(format!(
                "an input of shape {:?}; {D} sizes are expected",
                numbers.shape
            )));
        }
        let data = TensorData::new(numbers.values.clone(), numbers.shape.clone());
        Ok(Tensor::from_data(data, &self.opened.device))
    }

    fn stages(&self, count: usize) -> Vec<Layers> {
        if self.stages.is_empty() { vec![Layers::new(0, count)] } else { self.stages.to_vec() }
    }

    async fn autoencoder<S>(
        &self,
        config: &autoencoder::Config,
        inputs: &Tensors,
        mut source: S,
    ) -> Result<Tensors, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let (mut model, mut outputs) = (Autoencoder::empty(config), Tensors::new());
        let rows = [
            ("z", Half::Decoder, config.latent_channels(), "decoded"),
            ("x", Half::Encoder, config.channels(), "encoded_mean"),
        ];
        for (name, half, channels, output) in rows {
            let Some(numbers) = inputs.get(name) else { continue };
            let x: Tensor<4> = self.tensor(numbers)?;
            let unit = if half == Half::Encoder { config.factor() } else { 1 };
            check(name, x.dims(), channels, unit)?;
            model.load(half, &self.part.header, &self.opened.device, &mut source).await?;
            let found = if half == Half::Encoder { model.encode(x) } else { model.decode(x) };
            outputs.insert(output.into(), numbers_of(found).await?);
        }
        Ok(outputs)
    }

    async fn text_encoder<S>(
        &self,
        config: &text_encoder::Config,
        inputs: &Tensors,
        mut source: S,
    ) -> Result<Tensors, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let Some(ids) = inputs.get("input_ids") else { return Ok(Tensors::new()) };
        let [_, tokens] = *ids.shape.as_slice() else {
            return Err(Error::Picture(format!(
                "input_ids of shape {:?}; [texts, tokens] is expected",
                ids.shape
            )));
        };
        let mask = inputs.get("mask").or_else(|| inputs.get("attention_mask"));
        if tokens == 0 || mask.is_some_and(|mask| mask.shape != ids.shape) {
            return Err(Error::Picture("input_ids are none, or mask has another shape".into()));
        }
        let (header, device) = (&self.part.header, &self.opened.device);
        let mut models = Vec::new();
        for layers in self.stages(config.layers) {
            let mut model = TextEncoder::empty(config).exact(self.exact);
            model.load(layers, header, device, &mut source).await?;
            models.push((layers, model));
        }
        let mut out = Vec::new();
        for (row, ids) in ids.values.chunks_exact(tokens).enumerate() {
            let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
            // Padding is asked for its rows too here, which only masks can tell.
            let mask = mask.map(|mask| mask.values[row * tokens..][..tokens].to_vec());
            let mask = mask.filter(|mask| mask.contains(&0.0));
            let mask = mask.map(|mask| Tensor::from_data(TensorData::new(mask, [1, tokens]), device));
            let mut x = models[0].1.embed(&ids, header, device, &mut source).await?;
            for (layers, model) in &models {
                x = carried(model.forward(*layers, x, mask.clone())).await?;
            }
            out.extend(read_back(x).await?);
        }
        let shape = [ids.shape.clone(), vec![config.width]].concat();
        Ok(Tensors::from([("out".into(), Numbers { shape, values: out })]))
    }

    async fn denoiser<S>(
        &self,
        config: &denoiser::Config,
        inputs: &Tensors,
        mut source: S,
    ) -> Result<Tensors, Error>
    where
        S: AsyncFnMut(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut parts = Vec::new();
        for layers in self.stages(config.depth) {
            let mut part = Denoiser::empty(config).exact(self.exact);
            part.load(layers, &self.part.header, &self.opened.device, &mut source).await?;
            parts.push((layers, part));
        }
        let stages = Stages { how: self, config, parts };
        let mut outputs = Tensors::new();
        if let (Some(x), Some(t), Some(txt)) = (inputs.get("x"), inputs.get("t"), inputs.get("txt")) {
            outputs.insert("y".into(), stages.once(x, t, txt, inputs.get("mask")).await?);
        }
        if let (Some(start), Some(txt)) = (inputs.get("lat0"), inputs.get("txt")) {
            let [last, all] = stages.run(start, txt, inputs).await?;
            outputs.insert("final".into(), last);
            outputs.insert("traj".into(), all);
        }
        Ok(outputs)
    }
}

/// Denoisers that hold one range of blocks each.
struct Stages<'a> {
    how: &'a Evaluation<'a>,
    config: &'a denoiser::Config,
    parts: Vec<(Layers, Denoiser)>,
}

impl Stages<'_> {
    async fn once(
        &self,
        x: &Numbers,
        t: &Numbers,
        txt: &Numbers,
        mask: Option<&Numbers>,
    ) -> Result<Numbers, Error> {
        let pictures: Tensor<4> = self.how.tensor(x)?;
        let shape @ [count, ..] = pictures.dims();
        check("x", shape, self.config.channels, self.config.patch)?;
        let mut values = Vec::new();
        for row in 0..count {
            let texts = self.texts(txt, mask, row)?;
            let time =
                *t.values.get(row).or(t.values.first()).ok_or_else(|| Error::Picture("t is empty".into()))?;
            let picture = pictures.clone().narrow(0, row, 1);
            values.extend(read_back(self.forward(picture, &texts, time).await?).await?);
        }
        Ok(Numbers { shape: x.shape.clone(), values })
    }

    /// A whole run for each latent; the last latents, and those after every step.
    async fn run(&self, start: &Numbers, txt: &Numbers, inputs: &Tensors) -> Result<[Numbers; 2], Error> {
        let first: Tensor<4> = self.how.tensor(start)?;
        let shape @ [count, ..] = first.dims();
        check("lat0", shape, self.config.channels, self.config.patch)?;
        let number = |name: &str| inputs.get(name).and_then(|numbers| numbers.values.first().copied());
        let steps = number("steps").map(|steps| steps as usize);
        let steps = steps.or_else(|| inputs.get("timesteps").map(|times| times.values.len()));
        let steps = steps.ok_or_else(|| Error::Picture("a run needs steps".into()))?;
        let schedule = Schedule::new(&self.how.spacing, steps)?;
        let guidance = number("guidance").unwrap_or(1.0);
        let mask = inputs.get("mask");
        // A mask of both texts has the rows of the negative ones behind the others.
        let (negative_mask, behind) = match inputs.get("neg_mask") {
            Some(mask) => (Some(mask), 0),
            None => (mask.filter(|mask| mask.shape.first().is_some_and(|rows| *rows >= 2 * count)), count),
        };
        let mut latents = start.values.clone();
        let each = latents.len() / count;
        let mut trajectory = vec![0.0; steps * latents.len()];
        for (row, latent) in latents.chunks_exact_mut(each).enumerate() {
            let with = self.texts(txt, mask, row)?;
            let without = match inputs.get("neg").filter(|_| guidance > 1.0) {
                Some(negative) => Some(self.texts_of(negative, row, negative_mask, behind + row)?),
                None => None,
            };
            for (step, time) in schedule.times().into_iter().enumerate() {
                let data = TensorData::new(latent.to_vec(), [1, shape[1], shape[2], shape[3]]);
                let x: Tensor<4> = Tensor::from_data(data, &self.how.opened.device);
                let mut predicted = read_back(self.forward(x.clone(), &with, time).await?).await?;
                if let Some(without) = &without {
                    let with = predicted;
                    predicted = read_back(self.forward(x, without, time).await?).await?;
                    guide(&mut predicted, &with, guidance);
                }
                schedule.advance(step, self.how.prediction, latent, &predicted);
                trajectory[(step * count + row) * each..][..each].copy_from_slice(latent);
            }
        }
        let shape = [vec![steps], start.shape.clone()].concat();
        let last = Numbers { shape: start.shape.clone(), values: latents };
        Ok([last, Numbers { shape, values: trajectory }])
    }

    fn texts(&self, txt: &Numbers, mask: Option<&Numbers>, row: usize) -> Result<Vec<Text>, Error> {
        self.texts_of(txt, row, mask, row)
    }

    /// Keys and values of one text in every stage. Padding behind it is cut off; where there are holes, a mask tells.
    fn texts_of(
        &self,
        txt: &Numbers,
        row: usize,
        mask: Option<&Numbers>,
        mask_row: usize,
    ) -> Result<Vec<Text>, Error> {
        let rows: Tensor<3> = self.how.tensor(txt)?;
        let [count, tokens, width] = rows.dims();
        if width != self.config.text_width || tokens > limits::PROMPT_TOKENS {
            let expected = self.config.text_width;
            return Err(Error::Picture(format!(
                "text of {tokens} rows of {width}; rows of {expected} are expected"
            )));
        }
        let rows = rows.narrow(0, row.min(count - 1), 1);
        let flags = match mask {
            None => vec![1.0; tokens],
            Some(mask) if mask.shape.len() == 2 && mask.shape[1] == tokens && mask.shape[0] > 0 => {
                mask.values[mask_row.min(mask.shape[0] - 1) * tokens..][..tokens].to_vec()
            }
            Some(mask) => {
                return Err(Error::Picture(format!("a mask of shape {:?} for {tokens} tokens", mask.shape)));
            }
        };
        let real = flags.iter().filter(|flag| **flag != 0.0).count();
        let holes = real == 0 || flags[..real].contains(&0.0);
        let flags: Tensor<2> =
            Tensor::from_data(TensorData::new(flags, [1, tokens]), &self.how.opened.device);
        let (rows, mask) = if holes { (rows, Some(flags)) } else { (rows.narrow(1, 0, real), None) };
        Ok(self.parts.iter().map(|(layers, part)| part.text(*layers, rows.clone(), mask.clone())).collect())
    }

    /// # Shapes
    /// - `x` and the result: `[1, channels, height, width]`
    async fn forward(&self, x: Tensor<4>, texts: &[Text], time: f32) -> Result<Tensor<4>, Error> {
        let [_, _, height, width] = x.dims();
        let (patch, device) = (self.config.patch, &self.how.opened.device);
        let grid = [height / patch, width / patch];
        let positions = Positions::new(self.config, grid, device);
        let mut x = patches(x, patch);
        for ((layers, part), text) in self.parts.iter().zip(texts) {
            let modulations = part.modulations(*layers, &[time], [height, width], device);
            x = carried(part.forward(*layers, x, text, &modulations, &positions)).await?;
        }
        Ok(picture(x, grid, patch))
    }
}

/// The same numbers by way of the host, as they go from peer to peer.
async fn carried(x: Tensor<3>) -> Result<Tensor<3>, Error> {
    let (shape, device) = (x.dims(), x.device());
    Ok(Tensor::from_data(TensorData::new(read_back(x).await?, shape), &device))
}

async fn numbers_of(x: Tensor<4>) -> Result<Numbers, Error> {
    let shape = x.dims().to_vec();
    Ok(Numbers { shape, values: read_back(x).await? })
}

fn check(
    name: &str,
    [_, channels, height, width]: [usize; 4],
    expected: usize,
    unit: usize,
) -> Result<(), Error> {
    if channels != expected {
        return Err(Error::Picture(format!("{name} has {channels} channels, {expected} are expected")));
    }
    sizes::check([height, width], unit)?;
    sizes::check_tokens([height / unit, width / unit])
}
