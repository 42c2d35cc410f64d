//! Picture models from folders: variants of every part against the reference implementation (`references/make_picture.py`),
//! and folders that are incomplete, contradictory or absurd.

mod common;
#[path = "common/picture.rs"]
mod fixtures;

use common::{Memory, assert_close, block_on, devices, own};
use fixtures::{add, index, model, put};
use kernels::Error;
use kernels::diffusion::autoencoder::{self, Autoencoder, Canvas, Half, tiles};
use kernels::diffusion::folder::{Folder, Part, Shape, habits};
use kernels::diffusion::schedule::Prediction;
use kernels::diffusion::{Evaluation, Spacing, denoiser, evaluate, text_encoder};
use kernels::llm::Layers;
use kernels::weights::{ByteRange, Files, Numbers, read_tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn memory(name: &str) -> Memory {
    let mut files = Memory::default();
    add(&mut files, name, "");
    files
}

fn reference(name: &str) -> BTreeMap<String, Numbers> {
    read_tensors(&own(&format!("picture/{name}/ref.safetensors"))).unwrap()
}

fn run(
    files: &Memory,
    part: &Part,
    how: &Evaluation<'_>,
    inputs: &[(&str, Numbers)],
) -> Result<Outputs, Error> {
    let inputs = inputs.iter().map(|(name, numbers)| ((*name).to_owned(), numbers.clone())).collect();
    assert_eq!(how.part, part);
    let source = async |range: &ByteRange| files.read(&range.file, range.range.clone()).await;
    block_on(evaluate(how, &inputs, source))
}

type Outputs = BTreeMap<String, Numbers>;

fn how<'a>(part: &'a Part, opened: &'a kernels::device::Opened, stages: &'a [Layers]) -> Evaluation<'a> {
    let (spacing, prediction) = (Spacing::default(), Prediction::Velocity);
    Evaluation { part, opened, stages, exact: true, spacing, prediction }
}

#[test]
fn the_pixel_form_matches_from_shards_whole_and_cut() {
    let (files, reference) = (memory("prx-pixel"), reference("prx-pixel"));
    let part = block_on(Part::open(&files, "")).unwrap().unwrap();
    let input = |name: &'static str| (name, reference[name].clone());
    for opened in devices() {
        for stages in [vec![], vec![Layers::new(0, 1), Layers::new(1, 2)]] {
            let inputs = [input("x"), input("t"), input("txt"), input("mask")];
            let found = run(&files, &part, &how(&part, &opened, &stages), &inputs).unwrap();
            assert_eq!(found["y"].shape, reference["y"].shape);
            let what = format!("{stages:?} on {}", opened.adapter);
            assert_close(&what, &found["y"].values, &reference["y"].values);
        }
    }
}

#[test]
fn every_kind_of_autoencoder_matches() {
    for name in ["dc-shuffle", "dc-interpolate", "kl-quant", "kl-no-attention"] {
        let (files, reference) = (memory(name), reference(name));
        let part = block_on(Part::open(&files, "")).unwrap().unwrap();
        for opened in devices() {
            for (from, to) in [("x", "encoded_mean"), ("z", "decoded")] {
                let inputs = [(from, reference[from].clone())];
                let found = run(&files, &part, &how(&part, &opened, &[]), &inputs).unwrap();
                assert_eq!(found[to].shape, reference[to].shape, "{name}: {to}");
                let what = format!("{name}: {to} on {}", opened.adapter);
                assert_close(&what, &found[to].values, &reference[to].values);
            }
        }
    }
}

/// A guided run without its inputs' masks, and one with guidance off, follow the schedule that they are given.
#[test]
fn a_run_needs_what_it_needs() {
    let (files, reference) = (memory("prx-pixel"), reference("prx-pixel"));
    let part = block_on(Part::open(&files, "")).unwrap().unwrap();
    let opened = kernels::device::Opened::cpu();
    let number = |value: f32| Numbers { shape: vec![1], values: vec![value] };
    let latent = ("lat0", reference["x"].clone());
    let (txt, neg) = (("txt", reference["txt"].clone()), ("neg", reference["txt"].clone()));
    let steps = ("steps", number(3.0));
    let all = |guidance: f32, inputs: &[(&str, Numbers)]| {
        let inputs = [inputs, &[("guidance", number(guidance))]].concat();
        run(&files, &part, &how(&part, &opened, &[]), &inputs)
    };
    let plain = all(1.0, &[latent.clone(), txt.clone(), neg.clone(), steps.clone()]).unwrap();
    // With the same text on both sides guidance changes nothing but rounding.
    let guided = all(4.0, &[latent.clone(), txt.clone(), neg, steps.clone()]).unwrap();
    assert_close("guidance towards nothing", &guided["final"].values, &plain["final"].values);
    assert_eq!(plain["traj"].shape, [3, 2, 3, 16, 24]);
    assert_eq!(
        plain["traj"].values[2 * 2 * 3 * 16 * 24..],
        plain["final"].values,
        "the last step is the end"
    );
    let refused = [
        (vec![latent.clone(), txt.clone()], "no steps"),
        (vec![latent.clone(), txt.clone(), ("steps", number(0.0))], "no step"),
        (vec![latent.clone(), txt.clone(), ("steps", number(1e9))], "absurd steps"),
        (vec![latent.clone(), txt.clone(), ("steps", number(f32::NAN))], "no number of steps"),
        (vec![("lat0", reference["mask"].clone()), txt, steps.clone()], "no picture"),
        (vec![latent, ("txt", reference["x"].clone()), steps], "no text"),
    ];
    for (inputs, why) in refused {
        assert!(matches!(all(1.0, &inputs), Err(Error::Picture(_))), "{why}");
    }
}

#[test]
fn sizes_that_do_not_divide_are_refused() {
    let opened = kernels::device::Opened::cpu();
    let zeros =
        |shape: [usize; 4]| Numbers { shape: shape.into(), values: vec![0.0; shape.iter().product()] };
    let rows = [
        ("prx-pixel", "x", [1, 3, 16, 22], "half a patch"),
        ("prx-pixel", "x", [1, 4, 16, 24], "another number of channels"),
        ("dc-shuffle", "x", [1, 3, 16, 22], "no whole latent pixels"),
        ("dc-shuffle", "z", [1, 3, 4, 4], "another number of channels"),
        ("kl-quant", "x", [1, 3, 15, 16], "no whole latent pixels"),
        ("kl-quant", "z", [1, 4, 0, 4], "nothing"),
    ];
    for (name, input, shape, why) in rows {
        let files = memory(name);
        let part = block_on(Part::open(&files, "")).unwrap().unwrap();
        let mut inputs = vec![(input, zeros(shape))];
        if name == "prx-pixel" {
            inputs.extend(["t", "txt"].map(|name| (name, reference("prx-pixel")[name].clone())));
        }
        let found = run(&files, &part, &how(&part, &opened, &[]), &inputs);
        assert!(matches!(found, Err(Error::Picture(_))), "{name}, {why}: {found:?}");
    }
}

/// Tiles differ from the whole, because their norms see other pixels. What must not be seen is where they meet: a step
/// between neighbouring pixels that the whole picture does not have.
#[test]
fn tiled_decoding_has_no_seams_beyond_its_bound() {
    let (files, opened) = (memory("kl-no-attention"), kernels::device::Opened::cpu());
    let part = block_on(Part::open(&files, "")).unwrap().unwrap();
    let Shape::Autoencoder(config) = &part.shape else { panic!("{:?}", part.shape) };
    let mut model = Autoencoder::empty(config);
    let source = async |range: &ByteRange| files.read(&range.file, range.range.clone()).await;
    block_on(model.load(Half::Decoder, &part.header, &opened.device, source)).unwrap();
    let decode = |latent: Vec<f32>, [height, width]: [usize; 2]| -> Vec<f32> {
        let data = burn::tensor::TensorData::new(latent, [1, 4, height, width]);
        let picture = model.decode(burn::tensor::Tensor::<4>::from_data(data, &opened.device));
        block_on(picture.into_data_async()).unwrap().try_into_vec().unwrap()
    };
    // A latent that changes slowly, as pictures do.
    let size = [24, 40];
    let wave =
        |i: usize| ((i % 40) as f32 / 9.0).sin() + ((i / 40 % 24) as f32 / 7.0 + (i / 960) as f32).cos();
    let latent: Vec<f32> = (0..4 * 24 * 40).map(wave).collect();
    let whole = decode(latent.clone(), size);
    let spread = {
        let mean = whole.iter().sum::<f32>() / whole.len() as f32;
        (whole.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / whole.len() as f32).sqrt()
    };
    let seam = |side: usize, overlap: usize| {
        let all = tiles(size, side, overlap).unwrap();
        let mut canvas = Canvas::new(all.clone(), size, 3, config.factor());
        for (number, tile) in all.iter().enumerate() {
            canvas.add(number, decode(tile.cut(&latent, size), tile.size())).unwrap();
        }
        let off: Vec<f32> = canvas.finish().unwrap().iter().zip(&whole).map(|(a, b)| a - b).collect();
        // Steps along rows and along columns, in units of the picture's spread.
        let width = size[1] * config.factor();
        let across = off.chunks_exact(width).flat_map(|row| row.windows(2)).map(|two| two[1] - two[0]);
        let down = off.iter().zip(&off[width..]).map(|(a, b)| b - a);
        across.chain(down).fold(0.0f32, |most, step| most.max(step.abs())) / spread
    };
    assert_eq!(seam(40, 4), 0.0, "one tile is the whole");
    let (cut, faded) = (seam(20, 0), seam(20, 8));
    println!("steps of {cut:.3} of the spread where tiles only touch, {faded:.3} where they fade");
    assert!(faded < 0.5 * cut, "a seam of {faded}, {cut} without fading");
}

#[test]
fn a_whole_folder_is_read_and_missing_parts_are_named() {
    let folder = block_on(Folder::open(&model())).unwrap();
    assert_eq!((folder.unit(), folder.base, folder.noise_scale), (4, Some(512), 2.0));
    assert_eq!((folder.prediction, folder.spacing), (Prediction::Clean, Spacing::default()));
    assert_eq!(block_on(habits(&model())).unwrap(), (Spacing::default(), Prediction::Clean));
    assert!(folder.autoencoder.is_none());
    let missing = [
        ("model_index.json", "model_index.json"),
        ("transformer/config.json", "transformer"),
        ("transformer/diffusion_pytorch_model-00002-of-00003.safetensors", "transformer"),
        ("transformer/diffusion_pytorch_model.safetensors.index.json", "transformer"),
        ("text_encoder/config.json", "text_encoder"),
        ("text_encoder/model.safetensors", "text_encoder"),
        ("scheduler/scheduler_config.json", "scheduler"),
    ];
    for (name, part) in missing {
        let mut files = model();
        files.0.remove(name);
        let Err(Error::Source(why)) = block_on(Folder::open(&files)) else { panic!("{name} is needed") };
        assert!(why.contains(part) && why.contains("is not here"), "{name}: {why}");
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let refused = |name: &str, json: &Value, why: &str| {
        let mut files = model();
        put(&mut files, name, json);
        let found = block_on(Folder::open(&files));
        assert!(matches!(found, Err(Error::Config(_) | Error::Architecture { .. })), "{why}: {found:?}");
    };
    refused("model_index.json", &index("StableDiffusionPipeline", Value::Null), "another pipeline");
    refused("model_index.json", &json!({"_class_name": "PRXPipeline"}), "no parts");
    refused("scheduler/scheduler_config.json", &json!({"_class_name": "DDIMScheduler"}), "another scheduler");
    let text = json!({"model_type": "t5gemma", "encoder": {"hidden_size": 32, "head_dim": 4}});
    refused("text_encoder/config.json", &text, "text of another width");
    refused("text_encoder/config.json", &json!({"model_type": "llama"}), "another text encoder");
    let mut files = model();
    put(&mut files, "model_index.json", &index("PRXPipeline", json!(["diffusers", "AutoencoderKL"])));
    add(&mut files, "kl-quant", "vae/");
    let found = block_on(Folder::open(&files));
    let Err(Error::Config(why)) = found else { panic!("latents of other channels: {found:?}") };
    assert!(why.contains("belong to different models"), "{why}");
}

/// Every field out of its bounds, in every configuration: an error that names it, never a panic.
#[test]
fn absurd_configurations_are_refused() {
    let absurd = [json!(0), json!(u64::MAX), json!(1u64 << 40), json!(-1), json!("x"), json!([]), json!({})];
    type Row<'a> = (&'a str, &'a [&'a str], fn(&[u8]) -> bool);
    let rows: [Row<'_>; 3] = [
        (
            "prx-pixel",
            &["in_channels", "patch_size", "hidden_size", "num_heads", "depth", "axes_dim"],
            |json| denoiser::Config::from_json(json).is_err(),
        ),
        (
            "kl-quant",
            &["in_channels", "latent_channels", "block_out_channels", "layers_per_block", "norm_num_groups"],
            |json| autoencoder::Config::from_json(json).is_err(),
        ),
        (
            "dc-shuffle",
            &[
                "in_channels",
                "latent_channels",
                "attention_head_dim",
                "encoder_block_out_channels",
                "decoder_layers_per_block",
                "decoder_block_types",
                "decoder_norm_types",
                "upsample_block_type",
            ],
            |json| autoencoder::Config::from_json(json).is_err(),
        ),
    ];
    for (name, fields, refuses) in rows {
        let whole: Value = serde_json::from_slice(&own(&format!("picture/{name}/config.json"))).unwrap();
        assert!(!refuses(whole.to_string().as_bytes()), "{name} is fine as it is");
        for field in fields {
            for value in &absurd {
                let mut broken = whole.clone();
                broken[*field] = value.clone();
                assert!(refuses(broken.to_string().as_bytes()), "{name}: {field} = {value}");
            }
        }
    }
    let encoder = |field: &str, value: Value| {
        let mut inner =
            json!({"hidden_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4});
        inner[field] = value;
        let json = json!({"model_type": "t5gemma", "encoder": inner});
        text_encoder::Config::from_json(json.to_string().as_bytes())
    };
    assert!(encoder("hidden_size", json!(24)).is_ok());
    for (field, value) in [
        ("vocab_size", json!(0)),
        ("head_dim", json!(3)),
        ("num_key_value_heads", json!(3)),
        ("layer_types", json!(["full_attention"])),
        ("hidden_activation", json!("relu")),
        ("rope_parameters", json!({"rope_type": "yarn"})),
        ("rms_norm_eps", json!(0)),
        ("num_hidden_layers", json!(u64::MAX)),
    ] {
        assert!(encoder(field, value.clone()).is_err(), "{field} = {value}");
    }
}
