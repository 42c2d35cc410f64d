//! The picture models against the reference implementation: every part, whole and cut at every boundary.

mod common;

use burn::tensor::{Tensor, TensorData};
use common::{Reference, assert_close, block_on, devices, shared};
use kernels::device::Opened;
use kernels::diffusion::autoencoder::{self, Autoencoder, Half};
use kernels::diffusion::denoiser::{self, Denoiser, Modulations, Positions, Text, patches, picture};
use kernels::diffusion::schedule::Prediction;
use kernels::diffusion::{Schedule, Spacing, TextEncoder, guide, text_encoder};
use kernels::llm::Layers;
use kernels::weights::{ByteRange, Header};
use safetensors::{Dtype, SafeTensors};

/// A part of a picture model in memory: its configuration and its weights.
struct Part {
    config: Vec<u8>,
    header: Header,
    bytes: Vec<u8>,
    reference: Reference,
}

impl Part {
    fn open(folder: &str, weights: &str) -> Option<Self> {
        let bytes = shared(&format!("picture/{folder}/{weights}"))?;
        Some(Self {
            config: shared(&format!("picture/{folder}/config.json"))?,
            header: Header::parse(&bytes, bytes.len() as u64).unwrap(),
            reference: Reference(shared(&format!("picture/{folder}/ref.safetensors"))?),
            bytes,
        })
    }

    async fn read(&self, range: &ByteRange) -> Result<Vec<u8>, String> {
        Ok(self.bytes[range.range.start as usize..range.range.end as usize].to_vec())
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.reference.0).unwrap().tensor(name).unwrap().shape().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.reference.floats(name)
    }

    /// Numbers of some kind of integer.
    fn flags(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.reference.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let size = match tensor.dtype() {
            Dtype::U8 | Dtype::BOOL => 1,
            Dtype::I64 => 8,
            other => panic!("{name}: {other:?}"),
        };
        tensor.data().chunks_exact(size).map(|number| f32::from(number[0])).collect()
    }

    fn tensor<const D: usize>(&self, name: &str, opened: &Opened) -> Tensor<D> {
        on(self.floats(name), self.shape(name), opened)
    }

    fn mask(&self, opened: &Opened) -> Tensor<2> {
        on(self.flags("mask"), self.shape("mask"), opened)
    }
}

fn on<const D: usize>(values: Vec<f32>, shape: Vec<usize>, opened: &Opened) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &opened.device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    block_on(tensor.into_data_async()).unwrap().try_into_vec().unwrap()
}

/// Every way of cutting layers in two, each by itself, and none at all.
fn cuts(layers: usize) -> Vec<Vec<Layers>> {
    let of = |edges: Vec<usize>| edges.windows(2).map(|edge| Layers::new(edge[0], edge[1])).collect();
    let two = (1..layers).map(|cut| of(vec![0, cut, layers]));
    std::iter::once(of(vec![0, layers])).chain(two).chain([of((0..=layers).collect())]).collect()
}

fn prx() -> Option<Part> {
    Part::open("prx-latent", "diffusion_pytorch_model.safetensors")
}

/// Denoisers that hold one range of blocks each.
struct Stages {
    parts: Vec<(Layers, Denoiser)>,
    size: [usize; 2],
    patch: usize,
    positions: Positions,
}

impl Stages {
    fn load(part: &Part, ranges: &[Layers], tabled: bool, size: [usize; 2], opened: &Opened) -> Self {
        let config = denoiser::Config::from_json(&part.config).unwrap();
        let load = |layers: &Layers| {
            let mut model = Denoiser::empty(&config).exact(true).tabled(tabled);
            let source = async |range: &ByteRange| part.read(range).await;
            block_on(model.load(*layers, &part.header, &opened.device, source)).unwrap();
            assert!(model.holds(*layers) && model.modulates(*layers) != tabled);
            (*layers, model)
        };
        let grid = size.map(|side| side / config.patch);
        let positions = Positions::new(&config, grid, &opened.device);
        Self { parts: ranges.iter().map(load).collect(), size, patch: config.patch, positions }
    }

    fn texts(&self, rows: Tensor<3>, mask: Option<Tensor<2>>) -> Vec<Text> {
        self.parts.iter().map(|(layers, part)| part.text(*layers, rows.clone(), mask.clone())).collect()
    }

    fn modulations(&self, times: &[f32], opened: &Opened) -> Vec<Modulations> {
        let of =
            |(layers, part): &(Layers, Denoiser)| part.modulations(*layers, times, self.size, &opened.device);
        self.parts.iter().map(of).collect()
    }

    /// What the whole says, with bytes between the ranges, and each range's hidden states.
    fn forward(
        &self,
        x: Tensor<4>,
        texts: &[Text],
        modulations: &[Modulations],
        opened: &Opened,
    ) -> (Vec<f32>, Vec<Vec<f32>>) {
        let mut x = patches(x, self.patch);
        let mut hidden = Vec::new();
        for (((layers, part), text), modulation) in self.parts.iter().zip(texts).zip(modulations) {
            let out = part.forward(*layers, x, text, modulation, &self.positions);
            let shape = out.dims();
            hidden.push(values(out));
            x = on(hidden[hidden.len() - 1].clone(), shape.into(), opened);
        }
        (values(picture(x, self.size.map(|side| side / self.patch), self.patch)), hidden)
    }
}

#[test]
fn the_denoiser_matches_whole_and_cut_at_every_boundary() {
    let Some(part) = prx() else { return };
    for opened in devices() {
        let mut whole: Option<Vec<f32>> = None;
        for ranges in cuts(3) {
            let what = |name: &str| format!("{name}, {ranges:?} on {}", opened.adapter);
            let stages = Stages::load(&part, &ranges, false, [8, 12], &opened);
            let modulations = stages.modulations(&part.floats("t"), &opened);
            let x: Tensor<4> = part.tensor("x", &opened);
            let rows: Tensor<3> = part.tensor("txt", &opened);
            let masked = stages.texts(rows.clone(), Some(part.mask(&opened)));
            let (y, hidden) = stages.forward(x.clone(), &masked, &modulations, &opened);
            assert_close(&what("y"), &y, &part.floats("y"));
            for ((layers, _), hidden) in stages.parts.iter().zip(&hidden).take(ranges.len() - 1) {
                let name = format!("block_{}", layers.end - 1);
                assert_close(&what(&name), hidden, &part.floats(&name));
            }
            let (y, _) = stages.forward(x, &stages.texts(rows, None), &modulations, &opened);
            assert_close(&what("y_nomask"), &y, &part.floats("y_nomask"));
            assert_eq!(whole.get_or_insert_with(|| y.clone()), &y, "{}: the bits differ", what("y"));
        }
    }
}

/// Padding that is cut off gives the picture that masked padding gives.
#[test]
fn text_without_its_padding_is_the_same_text() {
    let Some(part) = prx() else { return };
    let mask = part.flags("mask");
    for opened in devices() {
        let stages = Stages::load(&part, &[Layers::new(0, 3)], false, [8, 12], &opened);
        let expected = part.floats("y");
        for (row, mask) in mask.chunks_exact(10).enumerate() {
            let count = mask.iter().filter(|flag| **flag > 0.0).count();
            assert!(mask[..count].iter().all(|flag| *flag > 0.0), "padding stands behind");
            let of = |tensor: Tensor<3>| tensor.narrow(0, row, 1).narrow(1, 0, count);
            let texts = stages.texts(of(part.tensor("txt", &opened)), None);
            let modulations = stages.modulations(&part.floats("t")[row..=row], &opened);
            let x: Tensor<4> = part.tensor("x", &opened);
            let (y, _) = stages.forward(x.narrow(0, row, 1), &texts, &modulations, &opened);
            let each = expected.len() / 2;
            assert_close(&format!("row {row}"), &y, &expected[row * each..][..each]);
        }
    }
}

/// Eight guided steps, by ranges without modulation weights that were sent the table.
#[test]
fn a_guided_run_matches_from_a_table_of_modulations() {
    let Some(part) = prx() else { return };
    let config = denoiser::Config::from_json(&part.config).unwrap();
    let schedule = Schedule::new(&Spacing::default(), 8).unwrap();
    for (found, expected) in schedule.sigmas().iter().zip(part.floats("sigmas")) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    for opened in devices() {
        let source = Stages::load(&part, &[Layers::new(0, 3)], false, [8, 12], &opened);
        let table = source.modulations(&schedule.times(), &opened).remove(0);
        for ranges in [vec![Layers::new(0, 3)], vec![Layers::new(0, 1), Layers::new(1, 3)]] {
            let stages = Stages::load(&part, &ranges, true, [8, 12], &opened);
            let tables: Vec<Modulations> = ranges
                .iter()
                .map(|layers| {
                    let bytes = block_on(table.of(*layers, 3).to_bytes()).unwrap();
                    Modulations::from_bytes(&config, *layers, 8, &bytes, &opened.device).unwrap()
                })
                .collect();
            let rows: Tensor<3> = part.tensor("txt", &opened);
            let with = stages.texts(rows.narrow(0, 0, 1), None);
            // The second row of the mask is that of the negative prompt here.
            let real = part.flags("mask")[10..].iter().filter(|flag| **flag > 0.0).count();
            let negative: Tensor<3> = part.tensor("neg", &opened);
            let without = stages.texts(negative.narrow(1, 0, real), None);
            let mut latent = part.floats("lat0");
            let mut trajectory = Vec::new();
            for step in 0..8 {
                let modulations: Vec<Modulations> = tables.iter().map(|table| table.at(step)).collect();
                let x = || on(latent.clone(), vec![1, 4, 8, 12], &opened);
                let (with, _) = stages.forward(x(), &with, &modulations, &opened);
                let (mut velocity, _) = stages.forward(x(), &without, &modulations, &opened);
                guide(&mut velocity, &with, part.floats("guidance")[0]);
                schedule.advance(step, Prediction::Velocity, &mut latent, &velocity);
                trajectory.extend_from_slice(&latent);
            }
            assert_close(&format!("traj, {ranges:?}"), &trajectory, &part.floats("traj"));
            assert_close(&format!("final, {ranges:?}"), &latent, &part.floats("final"));
        }
    }
}

#[test]
fn the_text_encoder_matches_whole_and_cut_at_every_boundary() {
    let Some(part) = Part::open("t5gemma-encoder", "model.safetensors") else { return };
    let config = text_encoder::Config::from_json(&part.config).unwrap();
    let ids = part.reference.ids("input_ids");
    for opened in devices() {
        for ranges in cuts(config.layers) {
            let mut x: Option<Tensor<3>> = None;
            for layers in &ranges {
                let mut model = TextEncoder::empty(&config).exact(true);
                let source = async |range: &ByteRange| part.read(range).await;
                block_on(model.load(*layers, &part.header, &opened.device, source)).unwrap();
                let start = x.unwrap_or_else(|| {
                    let row = |ids: &[u32]| {
                        let source = async |range: &ByteRange| part.read(range).await;
                        block_on(model.embed(ids, &part.header, &opened.device, source)).unwrap()
                    };
                    Tensor::cat(ids.chunks_exact(20).map(row).collect(), 0)
                });
                let out = model.forward(*layers, start, Some(part.mask(&opened)));
                let name = match layers.end == config.layers {
                    true => "out".to_owned(),
                    false => format!("hidden_{}", layers.end),
                };
                assert_close(&format!("{name}, {ranges:?}"), &values(out.clone()), &part.floats(&name));
                x = Some(out);
            }
        }
    }
}

/// Without its padding a text has the same rows: what the own kernels for text without masks are for.
#[test]
fn a_text_alone_has_the_rows_that_it_has_beside_padding() {
    let Some(part) = Part::open("t5gemma-encoder", "model.safetensors") else { return };
    let config = text_encoder::Config::from_json(&part.config).unwrap();
    let (ids, mask, expected) = (part.reference.ids("input_ids"), part.flags("mask"), part.floats("out"));
    for opened in devices() {
        let mut model = TextEncoder::empty(&config).exact(true);
        let all = Layers::new(0, config.layers);
        let source = async |range: &ByteRange| part.read(range).await;
        block_on(model.load(all, &part.header, &opened.device, source)).unwrap();
        for (row, (ids, mask)) in ids.chunks_exact(20).zip(mask.chunks_exact(20)).enumerate() {
            let count = mask.iter().filter(|flag| **flag > 0.0).count();
            let source = async |range: &ByteRange| part.read(range).await;
            let x = block_on(model.embed(&ids[..count], &part.header, &opened.device, source)).unwrap();
            let found = values(model.forward(all, x, None));
            let expected = &expected[row * 20 * config.width..][..count * config.width];
            assert_close(&format!("{count} tokens on {}", opened.adapter), &found, expected);
        }
    }
}

#[test]
fn the_autoencoder_matches_in_both_directions() {
    let Some(part) = Part::open("autoencoder-kl", "diffusion_pytorch_model.safetensors") else { return };
    let config = autoencoder::Config::from_json(&part.config).unwrap();
    assert_eq!((config.factor(), config.latent_channels()), (4, 4));
    for opened in devices() {
        let mut model = Autoencoder::empty(&config);
        for half in [Half::Encoder, Half::Decoder] {
            let source = async |range: &ByteRange| part.read(range).await;
            block_on(model.load(half, &part.header, &opened.device, source)).unwrap();
        }
        let decoded = values(model.decode(part.tensor("z", &opened)));
        assert_close(&format!("decoded on {}", opened.adapter), &decoded, &part.floats("decoded"));
        let encoded = values(model.encode(part.tensor("x", &opened)));
        assert_close(&format!("encoded on {}", opened.adapter), &encoded, &part.floats("encoded_mean"));
    }
}

/// What training needs: on a device that keeps gradients, every weight of the denoiser has one, and following them makes the
/// loss smaller.
#[cfg(feature = "train")]
#[test]
fn a_denoiser_learns() {
    use burn::module::Module;
    use burn::optim::{AdamConfig, GradientsParams};
    use burn::tensor::Device;

    let config = denoiser::Config {
        channels: 3,
        patch: 2,
        text_width: 6,
        width: 16,
        ff_width: 32,
        heads: 2,
        depth: 2,
        axes: [4, 4],
        theta: 10_000.0,
        time_factor: 1000.0,
        time_period: 10_000.0,
        bottleneck: Some(8),
        resolution: true,
    };
    let device = Device::flex().autodiff();
    let mut model = Denoiser::init(&config, &device);
    let (all, size) = (Layers::new(0, 2), [8, 8]);
    let positions = Positions::new(&config, [4, 4], &device);
    let random = |shape: Vec<usize>, seed: u64| -> Vec<f32> {
        kernels::diffusion::noise(seed, shape.iter().product())
    };
    let tensor = |shape: [usize; 3], seed| {
        Tensor::<3>::from_data(TensorData::new(random(shape.into(), seed), shape), &device)
    };
    let (x, target, rows) = (tensor([2, 16, 12], 1), tensor([2, 16, 12], 2), tensor([2, 5, 6], 3));
    let mask = Tensor::<2>::from_data([[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0, 0.0]], &device);
    let mut adam = AdamConfig::new().init();
    let mut losses = Vec::new();
    for _ in 0..40 {
        let text = model.text(all, rows.clone(), Some(mask.clone()));
        let modulations = model.modulations(all, &[0.2, 0.9], size, &device);
        let found = model.forward(all, x.clone(), &text, &modulations, &positions);
        let loss = (found - target.clone()).square().mean();
        losses.push(loss.clone().into_data().iter::<f32>().next().unwrap());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = adam.step(1e-2, model, gradients);
    }
    println!("{losses:?}");
    assert!(losses[39] < 0.5 * losses[0], "from {} to {}", losses[0], losses[39]);
    // What was learned goes into a checkpoint and comes back, for devices without gradients too.
    let exported = block_on(model.clone().valid().export()).unwrap();
    let bytes: Vec<Vec<u8>> = exported
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = exported.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap();
        (tensor.name.as_str(), view)
    });
    let file = safetensors::tensor::serialize(views, None).unwrap();
    let header = Header::parse(&file, file.len() as u64).unwrap();
    let config = denoiser::Config::from_json(config.to_json().to_string().as_bytes()).unwrap();
    let opened = Opened::cpu();
    let mut loaded = Denoiser::empty(&config).exact(true);
    let source =
        async |range: &ByteRange| Ok(file[range.range.start as usize..range.range.end as usize].to_vec());
    block_on(loaded.load(all, &header, &opened.device, source)).unwrap();
    let run = |model: &Denoiser, device: &Device| {
        let move_to = |x: &Tensor<3>| Tensor::<3>::from_data(x.clone().into_data(), device);
        let text = model.text(all, move_to(&rows), None);
        let modulations = model.modulations(all, &[0.2, 0.9], size, device);
        let positions = Positions::new(&config, [4, 4], device);
        values(model.forward(all, move_to(&x), &text, &modulations, &positions))
    };
    assert_close("trained and loaded again", &run(&loaded, &opened.device), &run(&model, &device));
}
