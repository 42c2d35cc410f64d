//! One token, a prompt of 64, and one draw: what a person waits for.

use burn::tensor::{Int, Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};
use futures::executor::block_on;
use kernels::device::Opened;
use kernels::llm::{Cache, Config, Layers, Model, Sampling};
use std::hint::black_box;

/// About the size of the shipped story writer.
const STORY_WRITER: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 192, "intermediate_size": 512,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 2048,
    "max_position_embeddings": 512, "tie_word_embeddings": true}"#;

fn ids(tokens: Vec<i32>, opened: &Opened) -> Tensor<2, Int> {
    let shape = [1, tokens.len()];
    Tensor::from_data(TensorData::new(tokens, shape), &opened.device)
}

/// Feeds `tokens` and reads the scores of the last row back.
fn feed(model: &Model, cache: &mut Cache, tokens: Vec<i32>, opened: &Opened) -> Vec<f32> {
    let rows = tokens.len();
    let hidden = model.forward(cache.layers(), model.embed(ids(tokens, opened)), Some(cache));
    let scores = model.logits(hidden.narrow(1, rows - 1, 1));
    block_on(scores.into_data_async()).expect("the CPU answers").try_into_vec().expect("scores are f32")
}

fn decode(criterion: &mut Criterion) {
    let opened = Opened::cpu();
    let config = Config::from_json(STORY_WRITER.as_bytes()).expect("the configuration above is valid");
    let model = Model::init(&config, &opened.device);
    let all = Layers::new(0, config.layers);
    let prompt: Vec<i32> = (0..64).collect();

    let mut warm = Cache::new(all);
    feed(&model, &mut warm, prompt.clone(), &opened);
    let mut cache = warm.clone();
    criterion.bench_function("decode one token, 64 to 448 before it", |bencher| {
        bencher.iter(|| {
            if cache.rows() == 448 {
                cache = warm.clone();
            }
            feed(&model, &mut cache, vec![7], &opened)
        });
    });
    criterion.bench_function("prefill 64 tokens", |bencher| {
        bencher.iter(|| feed(&model, &mut Cache::new(all), prompt.clone(), &opened));
    });
}

fn draw(criterion: &mut Criterion) {
    let scores: Vec<f32> = (0..32_000).map(|id| (id as f32 * 0.37).sin() * 8.0).collect();
    for (name, sampling) in [("greedy", Sampling::greedy()), ("top-k and top-p", Sampling::default())] {
        criterion.bench_function(&format!("draw from 32000 scores, {name}"), |bencher| {
            bencher.iter(|| sampling.sample(black_box(&scores), 5));
        });
    }
}

criterion_group!(benches, decode, draw);
criterion_main!(benches);
