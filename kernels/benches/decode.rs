//! What people wait for: a token, a prompt, a draw; a token for each of several sequences at once; the first token of a
//! conversation's next turn; another adapter.

use burn::tensor::{Int, Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use kernels::device::Opened;
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{Adapter, Attached, Cache, CacheFormat, Config, Layers, Model, Sampling, needed};
use kernels::quant::Format;
use kernels::weights::{ByteRange, Files, Header, Numbers, write_tensors};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

/// About the size of the shipped story writer.
const STORY_WRITER: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 192, "intermediate_size": 512,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 2048,
    "max_position_embeddings": 512, "tie_word_embeddings": true}"#;
/// SmolLM2's shape: 135 M weights, more than caches of processors hold.
const SMALL: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
    "max_position_embeddings": 2048, "tie_word_embeddings": true}"#;

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

    let empty = || model.cache(all, 0, CacheFormat::F32, &opened.device);
    let mut warm = empty();
    feed(&model, &mut warm, prompt.clone(), &opened);
    let mut cache = warm.prefix(64);
    criterion.bench_function("decode one token, 64 to 448 before it", |bencher| {
        bencher.iter(|| {
            if cache.rows() == 448 {
                cache = warm.prefix(64);
            }
            feed(&model, &mut cache, vec![7], &opened)
        });
    });
    criterion.bench_function("prefill 64 tokens", |bencher| {
        bencher.iter(|| feed(&model, &mut empty(), prompt.clone(), &opened));
    });
}

/// An engine on the CPU with random weights as Q8_0, made as they are asked for.
fn engine(format: CacheFormat) -> (Engine<usize>, Layers) {
    let config = Config::from_json(SMALL.as_bytes()).expect("the configuration above is valid");
    let all = Layers::new(0, config.layers);
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for tensor in needed(&config, all) {
        let start = end;
        let entry = header.entry(tensor.name).or_insert_with(|| {
            end += 4 * tensor.shape.iter().product::<usize>();
            serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]})
        });
        assert!(entry.is_object());
    }
    let json = serde_json::Value::Object(header).to_string();
    let head = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let header = Header::parse(&head, (head.len() + end) as u64).expect("a header");
    let header = header.quantised(Format::Q8_0).expect("blocks of 32");
    let mut engine = Engine::new(Opened::cpu(), &config, header).with_caches(format, 1 << 30);
    let weight =
        |at: u64| ((at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.1;
    let source = async |range: &ByteRange| {
        let numbers = range.range.start / 4..range.range.end / 4;
        Ok(numbers.flat_map(|at| weight(at).to_le_bytes()).collect())
    };
    block_on(engine.load(all, source)).expect("weights");
    (engine, all)
}

/// Feeds each session some tokens, in one batch; a token is drawn of each.
fn batch(engine: &mut Engine<usize>, layers: Layers, at: usize, fed: &[Vec<u32>]) -> Duration {
    adapted(engine, layers, at, fed, &[])
}

/// The same with adapters.
fn adapted(
    engine: &mut Engine<usize>,
    layers: Layers,
    at: usize,
    fed: &[Vec<u32>],
    adapters: &[Attached],
) -> Duration {
    let settings = Sampling::greedy().to_bytes().expect("settings");
    let draw = Some(Draw { settings: &settings, recent: &[] });
    let steps: Vec<_> = (0..fed.len())
        .map(|session| Step {
            session,
            layers,
            position: at,
            input: Input::Tokens(&fed[session]),
            adapters,
            draw,
        })
        .collect();
    let start = Instant::now();
    let answers = block_on(engine.run_batch(&steps));
    let took = start.elapsed();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(StepOut::Token { .. }))), "{answers:?}");
    took
}

fn prompt(session: usize, length: usize) -> Vec<u32> {
    (0..length).map(|at| ((at * 31 + session * 977 + 7) % 49_152) as u32).collect()
}

/// The same weights for all: how many tokens a second all sequences together get.
fn sequences(criterion: &mut Criterion) {
    for format in [CacheFormat::F32, CacheFormat::F16] {
        let (mut engine, all) = engine(format);
        let mut group = criterion.benchmark_group(format!("decode Q8_0, {format:?} caches"));
        group.sample_size(10);
        for count in [1, 2, 4, 8] {
            group.throughput(Throughput::Elements(count as u64));
            let prompts: Vec<_> = (0..count).map(|session| prompt(session, 60)).collect();
            let mut at = usize::MAX;
            group.bench_function(BenchmarkId::new("sequences", count), |bencher| {
                bencher.iter_custom(|times| {
                    let mut took = Duration::ZERO;
                    for _ in 0..times {
                        if at > 200 {
                            (0..count).for_each(|session| engine.forget(&session));
                            batch(&mut engine, all, 0, &prompts);
                            at = 60;
                        }
                        took += batch(&mut engine, all, at, &vec![vec![7]; count]);
                        at += 1;
                    }
                    took
                });
            });
            (0..count).for_each(|session| engine.forget(&session));
        }
    }
}

/// 400 tokens were said, 20 are new: with what the first turn left, and without.
fn next_turn(criterion: &mut Criterion) {
    let (mut engine, all) = engine(CacheFormat::F32);
    let mut group = criterion.benchmark_group("first token of the second turn");
    group.sample_size(10);
    let said = prompt(0, 400);
    // As the coordinator cuts it.
    let mut run = |text: &[u32]| {
        let passes = text.chunks(64).enumerate();
        let took = passes.map(|(pass, rows)| batch(&mut engine, all, 64 * pass, &[rows.to_vec()])).sum();
        engine.forget(&0);
        took
    };
    let mut number = 0;
    for kept in [true, false] {
        let name = if kept { "kept" } else { "computed again" };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        // Other tokens every time, or what was computed before would be found.
                        number += 1;
                        let mut before = said.clone();
                        before[0] = number;
                        if kept {
                            let _: Duration = run(&before);
                        }
                        run(&[before, prompt(3, 20)].concat())
                    })
                    .sum()
            });
        });
    }
}

/// An adapter's files in memory: what swapping takes beside reading them.
struct Folder([Vec<u8>; 2]);

impl Folder {
    /// Rank 8 for all matrices of all layers.
    fn new(config: &Config, seed: u64) -> Self {
        let mut tensors = BTreeMap::new();
        let mut state = seed;
        let mut numbers = |rows: usize, cols: usize| {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.02
            };
            Numbers { shape: vec![rows, cols], values: (0..rows * cols).map(|_| next()).collect() }
        };
        for tensor in needed(config, Layers::new(0, config.layers)) {
            let (Some(module), &[rows, cols]) = (tensor.name.strip_suffix("_proj.weight"), &tensor.shape[..])
            else {
                continue;
            };
            let name = |which: &str| format!("base_model.model.{module}_proj.lora_{which}.weight");
            tensors.insert(name("A"), numbers(8, cols));
            tensors.insert(name("B"), numbers(rows, 8));
        }
        let json = br#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": "all-linear"}"#;
        Self([json.to_vec(), write_tensors(&tensors).expect("whole tensors")])
    }

    fn file(&self, name: &str) -> &[u8] {
        &self.0[usize::from(name == "adapter_model.safetensors")]
    }
}

impl Files for Folder {
    async fn length(&self, name: &str) -> Result<u64, String> {
        Ok(self.file(name).len() as u64)
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        Ok(self.file(name)[range.start as usize..range.end as usize].to_vec())
    }
}

/// Opens an adapter, hash and all, and loads it.
fn take_in(engine: &mut Engine<usize>, layers: Layers, folder: &Folder) -> Attached {
    let adapter = block_on(Adapter::open(folder, engine.config())).expect("an adapter");
    let source = async |range: &ByteRange| folder.read(&range.file, range.range.clone()).await;
    block_on(engine.load_adapter(&adapter, layers, source)).expect("its weights");
    Attached { id: adapter.id(), weight: 1.0 }
}

/// One adapter goes, another comes and is computed with: until the next token, which is taken off; and what it costs then.
fn adapters(criterion: &mut Criterion) {
    let (mut engine, all) = engine(CacheFormat::F32);
    let folders = [1, 2].map(|seed| Folder::new(engine.config(), seed));
    let mut held = take_in(&mut engine, all, &folders[0]);
    let mut swaps: Vec<Duration> = (0..60)
        .map(|number| {
            let start = Instant::now();
            engine.unload_adapter(held.id);
            held = take_in(&mut engine, all, &folders[(number + 1) % 2]);
            let took = start.elapsed();
            let first = adapted(&mut engine, all, 0, &[vec![7]], &[held]);
            let second = adapted(&mut engine, all, 1, &[vec![7]], &[held]);
            engine.forget(&0);
            took + first.saturating_sub(second)
        })
        .collect();
    swaps.sort();
    println!("another adapter of rank 8: median {:?}, 95 of 100 within {:?}", swaps[30], swaps[56]);
    let second = take_in(&mut engine, all, &folders[0]);
    let third = take_in(&mut engine, all, &folders[1]);
    let mut group = criterion.benchmark_group("decode Q8_0 with adapters of rank 8");
    group.sample_size(20);
    let mixes: [&[Attached]; 3] = [&[], &[second], &[second, third]];
    for mix in mixes {
        engine.forget(&0);
        let (mut at, text) = (usize::MAX, [prompt(mix.len(), 60)]);
        group.bench_function(BenchmarkId::new("adapters", mix.len()), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    if at > 200 {
                        engine.forget(&0);
                        adapted(&mut engine, all, 0, &text, mix);
                        at = 60;
                    }
                    took += adapted(&mut engine, all, at, &[vec![7]], mix);
                    at += 1;
                }
                took
            });
        });
    }
}

fn draw(criterion: &mut Criterion) {
    let scores: Vec<f32> = (0..32_000).map(|id| (id as f32 * 0.37).sin() * 8.0).collect();
    for (name, sampling) in [("greedy", Sampling::greedy()), ("top-k and top-p", Sampling::default())] {
        criterion.bench_function(&format!("draw from 32000 scores, {name}"), |bencher| {
            bencher.iter(|| sampling.sample(black_box(&scores), 5));
        });
    }
}

criterion_group!(benches, decode, sequences, next_turn, adapters, draw);
criterion_main!(benches);
