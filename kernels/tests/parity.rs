//! Our models against the reference implementation: whole and split at every layer, in one pass and token by token.

mod common;

use burn::tensor::{Int, Tensor, TensorData};
use common::{Checkpoint, Reference, assert_close, block_on, devices, shared};
use kernels::device::Opened;
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{Cache, CacheFormat, Layers, Model, Sampling};
use kernels::ops::Tier;

const FOLDERS: [&str; 5] = ["lm/llama", "lm/llama-tied", "lm/qwen2", "lm/qwen3", "lm/mixtral"];
const CONFIGS: [&str; 2] = ["config.json", "config.v4.json"];
const ROWS: usize = 40;

fn ids(tokens: &[u32], opened: &Opened) -> Tensor<2, Int> {
    let values: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(values, [1, tokens.len()]), &opened.device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    block_on(tensor.into_data_async()).unwrap().try_into_vec().unwrap()
}

/// Every combination of a reference checkpoint, a style of its configuration and a device.
fn each(check: impl Fn(&Checkpoint, &Reference, &Opened)) {
    for folder in FOLDERS {
        for (config, opened) in
            CONFIGS.iter().flat_map(|config| devices().into_iter().map(move |d| (config, d)))
        {
            let Some(checkpoint) = Checkpoint::open(folder, config) else {
                return;
            };
            let Some(reference) = shared(&format!("{folder}/ref.safetensors")) else {
                return;
            };
            println!("{folder}, {config}, {}", opened.adapter);
            check(&checkpoint, &Reference(reference), &opened);
        }
    }
}

#[test]
fn one_pass_matches_layer_by_layer() {
    each(|checkpoint, reference, opened| {
        let model = checkpoint.model(opened, checkpoint.all()).unwrap();
        let layers = checkpoint.config.layers;
        for (row, tokens) in reference.ids("input_ids").chunks(ROWS).enumerate() {
            let of = |name: &str, width: usize| {
                let all = reference.floats(name);
                all[row * ROWS * width..(row + 1) * ROWS * width].to_vec()
            };
            let width = checkpoint.config.width;
            let mut hidden = model.embed(ids(tokens, opened));
            for layer in 0..layers {
                assert_close(
                    &format!("hidden_{layer}"),
                    &values(hidden.clone()),
                    &of(&format!("hidden_{layer}"), width),
                );
                hidden = model.forward(Layers::new(layer, layer + 1), hidden, None);
            }
            // The reference gives the last hidden state after the final norm.
            let normed = model.norm.as_ref().unwrap().forward(hidden.clone());
            assert_close("last hidden", &values(normed), &of(&format!("hidden_{layers}"), width));
            assert_close(
                "logits",
                &values(model.logits(hidden)),
                &of("logits", checkpoint.config.vocabulary),
            );
        }
    });
}

#[test]
fn token_by_token_matches_with_a_cache() {
    each(|checkpoint, reference, opened| {
        let model = checkpoint.model(opened, checkpoint.all()).unwrap();
        let tokens = reference.ids("input_ids");
        let mut found = Vec::new();
        for sequence in tokens.chunks(ROWS) {
            let mut cache = model.cache(checkpoint.all(), 0, CacheFormat::F32, &opened.device);
            for token in sequence {
                let hidden =
                    model.forward(checkpoint.all(), model.embed(ids(&[*token], opened)), Some(&mut cache));
                found.extend(values(model.logits(hidden)));
            }
        }
        assert_close("step_logits", &found, &reference.floats("step_logits"));
    });
}

/// A cache that grows over its block in the middle of a pass, against one pass without any.
#[test]
fn chunks_of_any_size_match_the_whole() {
    let Some(checkpoint) = Checkpoint::open("stories260K/hf", "config.json") else {
        return;
    };
    let Some(reference) = shared("stories260K/ref.safetensors").map(Reference) else {
        return;
    };
    let tokens = reference.ids("ids");
    for opened in devices() {
        let model = checkpoint.model(&opened, checkpoint.all()).unwrap();
        for rows in [1, 7, 64, 127, 128, 129, 201] {
            let mut cache = model.cache(checkpoint.all(), 0, CacheFormat::F32, &opened.device);
            let mut found = Vec::new();
            for chunk in tokens.chunks(rows) {
                let hidden =
                    model.forward(checkpoint.all(), model.embed(ids(chunk, &opened)), Some(&mut cache));
                found.extend(values(model.logits(hidden)));
            }
            assert_close(&format!("passes of {rows} rows"), &found, &reference.floats("logits"));
        }
    }
}

/// Engines that hold consecutive ranges, with bytes between them, as in a room.
struct Chain(Vec<(Engine<u32>, Layers)>);

impl Chain {
    fn split(checkpoint: &Checkpoint, opened: &Opened, cuts: &[usize]) -> Self {
        let edges = [&[0][..], cuts, &[checkpoint.config.layers]].concat();
        let ranges = edges.windows(2).map(|edge| Layers::new(edge[0], edge[1]));
        Self(ranges.map(|layers| (checkpoint.engine(opened, layers), layers)).collect())
    }

    fn run(&mut self, position: usize, tokens: &[u32], sample: Option<&[u8]>) -> (Option<u32>, Vec<u8>) {
        let (mut hidden, count) = (Vec::new(), self.0.len());
        for (index, (engine, layers)) in self.0.iter_mut().enumerate() {
            let input = if index == 0 { Input::Tokens(tokens) } else { Input::Hidden(&hidden) };
            let settings = sample.filter(|_| index + 1 == count);
            let draw = settings.map(|settings| Draw { settings, recent: &[] });
            let step = Step { session: 1, layers: *layers, position, input, adapters: &[], draw };
            match block_on(engine.run(step)).unwrap() {
                StepOut::Hidden(bytes) => hidden = bytes,
                StepOut::Token { token, .. } => return (Some(token), hidden),
                StepOut::Nothing => {}
            }
        }
        (None, hidden)
    }

    /// The prompt in one pass, then token by token.
    fn generate(&mut self, prompt: &[u32], count: usize, sampling: Sampling) -> Vec<u32> {
        let sample = sampling.to_bytes().unwrap();
        let mut tokens = prompt.to_vec();
        let mut fed = 0;
        while tokens.len() < prompt.len() + count {
            let (token, _) = self.run(fed, &tokens[fed..], Some(&sample));
            fed = tokens.len();
            tokens.extend(token);
        }
        tokens
    }
}

fn every_split(layers: usize) -> Vec<Vec<usize>> {
    let single = (1..layers).map(|cut| vec![cut]);
    let each_alone = std::iter::once((1..layers).collect());
    single.chain(each_alone).collect()
}

#[test]
fn greedy_text_matches_whole_and_split_at_every_boundary() {
    each(|checkpoint, reference, opened| {
        let expected = reference.ids("greedy");
        let mut splits = every_split(checkpoint.config.layers);
        splits.push(Vec::new());
        for cuts in splits {
            let mut chain = Chain::split(checkpoint, opened, &cuts);
            assert_eq!(chain.generate(&expected[..8], 32, Sampling::greedy()), expected, "cut at {cuts:?}");
        }
    });
}

#[test]
fn the_golden_story_comes_out_to_the_letter() {
    let Some(checkpoint) = Checkpoint::open("stories260K/hf", "config.json") else {
        return;
    };
    let Some(json) = shared("stories260K/hf/tokenizer.json") else {
        return;
    };
    let Some(golden) = shared("stories260K/golden_story.json") else {
        return;
    };
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let golden = golden["expected_stdout"].as_str().unwrap().trim_end();
    let tokenizer = kernels::tokenizer::Tokenizer::from_json(&json, checkpoint.config.bos).unwrap();
    for opened in devices() {
        for cuts in [vec![], vec![2], vec![1, 2, 3, 4]] {
            let mut chain = Chain::split(&checkpoint, &opened, &cuts);
            let tokens = chain.generate(&[1], 200, Sampling::greedy());
            let mut detokenizer = kernels::tokenizer::Detokenizer::after(&[1]);
            let pieces: Vec<_> =
                tokens[1..].iter().map(|id| detokenizer.push(&tokenizer, *id).unwrap()).collect();
            let story = pieces.concat() + &detokenizer.finish(&tokenizer).unwrap();
            assert_eq!(story.trim_end(), golden, "cut at {cuts:?} on {}", opened.adapter);
        }
    }
}

/// The promise that makes splitting safe: not close, the same.
#[test]
fn a_split_run_gives_the_same_bits() {
    each(|checkpoint, reference, opened| {
        let tokens = reference.ids("input_ids");
        let mut whole = Parts::split(checkpoint, opened, &[]);
        let expected = whole.logits_of_passes(&tokens[..ROWS], opened);
        for cuts in every_split(checkpoint.config.layers) {
            let found = Parts::split(checkpoint, opened, &cuts).logits_of_passes(&tokens[..ROWS], opened);
            assert!(found == expected, "cut at {cuts:?}: the bits differ");
        }
    });
}

/// Models that hold one range each, with their caches.
struct Parts(Vec<(Model, Cache)>);

impl Parts {
    fn split(checkpoint: &Checkpoint, opened: &Opened, cuts: &[usize]) -> Self {
        let edges = [&[0][..], cuts, &[checkpoint.config.layers]].concat();
        let ranges = edges.windows(2).map(|edge| Layers::new(edge[0], edge[1]));
        let part = |layers| {
            let model = checkpoint.model(opened, layers).unwrap();
            let cache = model.cache(layers, 0, CacheFormat::F32, &opened.device);
            (model, cache)
        };
        Self(ranges.map(part).collect())
    }

    /// The bits of the scores after a long pass, single tokens, and passes in between.
    fn logits_of_passes(&mut self, tokens: &[u32], opened: &Opened) -> Vec<u32> {
        let mut bits = Vec::new();
        let mut at = 0;
        for rows in [17, 1, 1, 5, 1, 15] {
            let mut hidden = self.0[0].0.embed(ids(&tokens[at..at + rows], opened));
            for (model, cache) in &mut self.0 {
                let output = model.forward(cache.layers(), hidden, Some(cache));
                let shape = output.dims();
                hidden = Tensor::from_data(TensorData::new(values(output), shape), &opened.device);
            }
            let last = &self.0[self.0.len() - 1].0;
            bits.extend(values(last.logits(hidden)).iter().map(|value| value.to_bits()));
            at += rows;
        }
        bits
    }
}

/// What one token costs a GPU: launches, and bytes that are read back.
#[test]
fn a_token_costs_few_launches_and_one_small_readback() {
    let checkpoint = Checkpoint::own("mistral", "config.json");
    for opened in devices() {
        let Tier::Gpu(gpu) = Tier::of(&opened.device) else { continue };
        let lively = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, ..Sampling::greedy() };
        for sampling in [Sampling::greedy(), lively] {
            let mut chain = Chain::split(&checkpoint, &opened, &[]);
            let settings = sampling.to_bytes().unwrap();
            chain.run(0, &[1, 2, 3], Some(&settings));
            let before = gpu.counters();
            chain.run(3, &[4], Some(&settings));
            let cost = gpu.counters().since(before);
            let layers = checkpoint.config.layers as u64;
            assert!(cost.launches <= 8 * layers + 6, "{} launches for {layers} layers", cost.launches);
            assert!((1..=4096).contains(&cost.bytes_read), "{} bytes were read back", cost.bytes_read);
        }
    }
}
