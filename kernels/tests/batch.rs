//! Sessions beside each other, after each other, and short of memory: what they write is what each writes alone.

mod common;

use common::{Checkpoint, block_on, devices};
use kernels::device::Opened;
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{CacheFormat, Layers, Sampling};
use kernels::ops::Tier;
use kernels::weights::ByteRange;
use kernels::{Error, StepError, limits};
use std::collections::BTreeMap;

/// A window, caps, experts and norms within heads, biases.
const MODELS: [(&str, CacheFormat); 4] = [
    ("mistral", CacheFormat::F32),
    ("gemma2", CacheFormat::F16),
    ("qwen3-moe", CacheFormat::F32),
    ("qwen2", CacheFormat::F16),
];

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// A story of the test: its prompt, how it draws, and how far it goes.
#[derive(Clone)]
struct Story {
    prompt: Vec<u32>,
    settings: Vec<u8>,
    length: usize,
}

/// What came of it.
#[derive(Clone, Default, PartialEq, Debug)]
struct Written {
    tokens: Vec<u32>,
    /// Between the two stages.
    hidden: Vec<u8>,
}

fn stories(checkpoint: &Checkpoint, count: usize, random: &mut Random) -> Vec<Story> {
    let story = |number: usize| {
        let prompt =
            (0..1 + random.below(30)).map(|_| random.below(checkpoint.config.vocabulary) as u32).collect();
        // One greedy, one by few tokens, one that looks back (which needs all scores), one by all of them.
        let sampling = match number % 4 {
            0 => Sampling::greedy(),
            1 => Sampling { temperature: 0.9, top_k: 5, ..Sampling::greedy() },
            2 => Sampling { temperature: 0.7, repetition: 1.2, ..Sampling::greedy() },
            _ => Sampling { temperature: 1.3, top_p: 0.9, ..Sampling::greedy() },
        };
        let sampling = Sampling { seed: number as u64, ..sampling };
        Story { prompt, settings: sampling.to_bytes().unwrap(), length: 4 + random.below(12) }
    };
    (0..count).map(story).collect()
}

/// Two engines in a row, each with half of the layers.
struct Chain {
    engines: [(Engine<usize>, Layers); 2],
    width: usize,
}

/// A story on its way.
struct Running<'a> {
    number: usize,
    story: &'a Story,
    tokens: Vec<u32>,
    fed: usize,
    hidden: Vec<u8>,
}

impl<'a> Running<'a> {
    fn new(number: usize, story: &'a Story) -> Self {
        Self { number, story, tokens: story.prompt.clone(), fed: 0, hidden: Vec::new() }
    }

    fn done(&self) -> bool {
        self.tokens.len() >= self.story.prompt.len() + self.story.length
    }

    /// The next rows, at most `most`.
    fn rows(&self, most: usize) -> &[u32] {
        &self.tokens[self.fed..self.fed.saturating_add(most).min(self.tokens.len())]
    }
}

impl Chain {
    fn new(checkpoint: &Checkpoint, opened: &Opened, format: CacheFormat) -> Self {
        let layers = checkpoint.config.layers;
        let half = |layers: Layers| {
            let engine = Engine::new(opened.clone(), &checkpoint.config, checkpoint.header.clone());
            let mut engine = engine.with_caches(format, limits::CACHE_BYTES);
            block_on(engine.load(layers, async |range| checkpoint.read(range).await)).unwrap();
            (engine, layers)
        };
        let engines = [half(Layers::new(0, layers / 2)), half(Layers::new(layers / 2, layers))];
        Self { engines, width: checkpoint.config.row_bytes() }
    }

    /// One batch: these stories, each with as many rows.
    fn round(&mut self, running: &mut [(&mut Running<'_>, usize)]) {
        let [(first, first_layers), (second, second_layers)] = &mut self.engines;
        let steps: Vec<Step<'_, usize>> = running
            .iter()
            .map(|(one, most)| Step {
                session: one.number,
                layers: *first_layers,
                position: one.fed,
                input: Input::Tokens(one.rows(*most)),
                adapters: &[],
                draw: None,
            })
            .collect();
        let hidden: Vec<Vec<u8>> = block_on(first.run_batch(&steps)).into_iter().map(rows).collect();
        let steps: Vec<Step<'_, usize>> = running
            .iter()
            .zip(&hidden)
            .map(|((one, most), hidden)| {
                let last = one.fed + one.rows(*most).len() == one.tokens.len();
                let recent = &one.tokens[..one.tokens.len().min(limits::RECENT)];
                let draw = last.then_some(Draw { settings: &one.story.settings, recent });
                let (layers, position) = (*second_layers, one.fed);
                let input = Input::Hidden(hidden);
                Step { session: one.number, layers, position, input, adapters: &[], draw }
            })
            .collect();
        let answers = block_on(second.run_batch(&steps));
        for (((one, _), hidden), answer) in running.iter_mut().zip(hidden).zip(answers) {
            one.fed += hidden.len() / self.width;
            one.hidden.extend(hidden);
            if let StepOut::Token { token, .. } = answer.unwrap() {
                one.tokens.push(token);
            }
        }
    }

    fn alone(&mut self, number: usize, story: &Story) -> Written {
        let mut running = Running::new(number, story);
        while !running.done() {
            self.round(&mut [(&mut running, usize::MAX)]);
        }
        self.end(running)
    }

    fn end(&mut self, running: Running<'_>) -> Written {
        self.engines.iter_mut().for_each(|(engine, _)| engine.forget(&running.number));
        Written { tokens: running.tokens, hidden: running.hidden }
    }

    fn reused(&self) -> u64 {
        self.engines.iter().map(|(engine, _)| engine.reused_rows()).sum()
    }
}

fn rows(answer: Result<StepOut, Error>) -> Vec<u8> {
    match answer.unwrap() {
        StepOut::Hidden(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// Stories that begin at any time, wait at any time and end when they are done.
fn together(chain: &mut Chain, stories: &[Story], random: &mut Random) -> Vec<Written> {
    let mut written = vec![Written::default(); stories.len()];
    let mut waiting: Vec<Running<'_>> =
        stories.iter().enumerate().map(|(number, story)| Running::new(number, story)).rev().collect();
    let mut running: Vec<Running<'_>> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        if running.is_empty() || random.below(3) == 0 {
            running.extend(waiting.pop());
        }
        let mut batch: Vec<(&mut Running<'_>, usize)> = Vec::new();
        for one in &mut running {
            if random.below(4) > 0 {
                batch.push((one, 1 + random.below(16)));
            }
        }
        if !batch.is_empty() {
            chain.round(&mut batch);
        }
        for index in (0..running.len()).rev() {
            if running[index].done() {
                let one = running.remove(index);
                let number = one.number;
                written[number] = chain.end(one);
            }
        }
    }
    written
}

#[test]
fn sessions_that_come_and_go_write_what_each_writes_alone() {
    let mut random = Random(71);
    for opened in devices() {
        for (model, format) in MODELS {
            let checkpoint = Checkpoint::own(model, "config.json");
            let stories = stories(&checkpoint, 8, &mut random);
            let alone: Vec<Written> = stories
                .iter()
                .map(|story| Chain::new(&checkpoint, &opened, format).alone(0, story))
                .collect();
            let mut chain = Chain::new(&checkpoint, &opened, format);
            let found = together(&mut chain, &stories, &mut random);
            for (number, (found, alone)) in found.iter().zip(&alone).enumerate() {
                let what = format!("{model}, {format:?}, story {number} on {}", opened.adapter);
                assert_eq!(found.tokens, alone.tokens, "{what}");
                assert!(found.hidden == alone.hidden, "{what}: the bits between the stages");
            }
        }
    }
}

fn engine(checkpoint: &Checkpoint, opened: &Opened) -> Engine<usize> {
    let mut engine = Engine::new(opened.clone(), &checkpoint.config, checkpoint.header.clone());
    block_on(engine.load(checkpoint.all(), async |range| checkpoint.read(range).await)).unwrap();
    engine
}

fn step<'a>(
    session: usize,
    layers: Layers,
    position: usize,
    tokens: &'a [u32],
    settings: &'a [u8],
) -> Step<'a, usize> {
    let draw = (!settings.is_empty()).then_some(Draw { settings, recent: &[] });
    Step { session, layers, position, input: Input::Tokens(tokens), adapters: &[], draw }
}

/// One bad step is refused by itself, and two of a session run one after the other.
#[test]
fn a_bad_step_hurts_nobody_beside_it() {
    let checkpoint = Checkpoint::own("mistral", "config.json");
    let (all, greedy) = (checkpoint.all(), Sampling::greedy().to_bytes().unwrap());
    for opened in devices() {
        let mut alone = engine(&checkpoint, &opened);
        let expected: Vec<_> = [(0, [1, 2, 3]), (1, [4, 5, 6])]
            .map(|(session, tokens)| block_on(alone.run(step(session, all, 0, &tokens, &greedy))))
            .into();
        let mut engine = engine(&checkpoint, &opened);
        let found = block_on(engine.run_batch(&[
            step(0, all, 0, &[1, 2, 3], &greedy),
            step(7, all, 0, &[u32::MAX], &greedy),
            step(8, all, 3, &[1], &greedy),
            step(9, all, 0, &[1], &[255; 40]),
            step(10, Layers::new(0, 99), 0, &[1], &[]),
            step(1, all, 0, &[4, 5], &[]),
            step(1, all, 2, &[6], &greedy),
            step(1, all, 2, &[6], &greedy),
        ]));
        assert_eq!(found[0], expected[0]);
        assert!(matches!(found[1], Err(Error::Step(StepError::Token(..)))), "{:?}", found[1]);
        assert!(matches!(found[2], Err(Error::Step(StepError::Position { .. }))), "{:?}", found[2]);
        assert!(matches!(found[3], Err(Error::Sampling(_))), "{:?}", found[3]);
        assert!(matches!(found[4], Err(Error::Step(StepError::NotLoaded(_)))), "{:?}", found[4]);
        assert_eq!(found[5], Ok(StepOut::Nothing));
        assert_eq!(found[6], expected[1], "the second step of a session follows its first");
        assert_eq!(found[7], Err(Error::Step(StepError::Position { expected: 3, found: 2 })));
        assert_eq!(engine.sessions(), 2);
        assert_eq!(block_on(engine.run_batch(&[])), [], "no steps, no answers");
    }
}

/// Scores that are no numbers are the fault of what was fed or loaded, not of the device: the session ends, the worker
/// goes on.
#[test]
fn scores_that_are_no_numbers_end_their_session() {
    let checkpoint = Checkpoint::own("qwen2", "config.json");
    let (all, greedy) = (checkpoint.all(), Sampling::greedy().to_bytes().unwrap());
    for opened in devices() {
        let mut engine: Engine<usize> =
            Engine::new(opened.clone(), &checkpoint.config, checkpoint.header.clone());
        let damaged = async |range: &ByteRange| {
            let bytes = checkpoint.read(range).await?;
            Ok(if range.tensor == "model.norm.weight" { vec![0xFF; bytes.len()] } else { bytes })
        };
        block_on(engine.load(all, damaged)).unwrap();
        let found = block_on(engine.run_batch(&[
            step(0, all, 0, &[1, 2], &greedy),
            step(1, all, 0, &[3], &[]),
            step(2, all, 0, &[4], &greedy),
        ]));
        let nonsense = Err(Error::Step(StepError::Scores));
        assert_eq!(found, [nonsense.clone(), Ok(StepOut::Nothing), nonsense], "on {}", opened.adapter);
        assert_eq!(engine.sessions(), 1, "who did not ask for scores is still there");
    }
}

/// How a conversation goes on: with everything that was said, and more.
#[test]
fn a_next_turn_begins_where_the_last_ended_and_writes_the_same() {
    let mut random = Random(72);
    for opened in devices() {
        for model in ["mistral", "qwen2"] {
            let checkpoint = Checkpoint::own(model, "config.json");
            let mut story = stories(&checkpoint, 1, &mut random).remove(0);
            story.prompt.truncate(9);
            let mut chain = Chain::new(&checkpoint, &opened, CacheFormat::F32);
            let first = chain.alone(0, &story);
            assert_eq!(chain.reused(), 0);
            let vocabulary = checkpoint.config.vocabulary as u32;
            // All of it and more; and something else from the middle on.
            let more: Vec<u32> = (0..7).map(|token| (token * 5 + 1) % vocabulary).collect();
            let mut other = first.tokens.clone();
            other[6] = (other[6] + 1) % vocabulary;
            for (prompt, common) in
                [([&first.tokens[..], &more].concat(), first.tokens.len() - 1), (other, 6)]
            {
                let next = Story { prompt, ..story.clone() };
                let expected = Chain::new(&checkpoint, &opened, CacheFormat::F32).alone(1, &next);
                let before = chain.reused();
                let found = chain.alone(1, &next);
                assert_eq!(found, expected, "{model} on {}", opened.adapter);
                // Both stages; the last token of the first turn was written, but never fed.
                assert_eq!(chain.reused() - before, 2 * common as u64, "{model} on {}", opened.adapter);
            }
        }
    }
}

/// Two that begin alike share memory until they differ, across pages, and neither sees the other.
#[test]
fn sessions_that_begin_alike_do_not_disturb_each_other() {
    let Some(checkpoint) = Checkpoint::open("stories260K/hf", "config.json") else { return };
    let (all, greedy) = (checkpoint.all(), Sampling::greedy().to_bytes().unwrap());
    let prompt: Vec<u32> = std::iter::once(1).chain((0..199).map(|at| 259 + at % 200)).collect();
    // Differ in the second page, and in the first.
    let (mut second, mut third) = (prompt.clone(), prompt.clone());
    (second[170], third[50]) = (300, 301);
    let texts = [prompt, second, third];
    for opened in devices() {
        let write = |engine: &mut Engine<usize>, session: usize, from: usize, to: usize| -> Vec<Vec<u32>> {
            let text = &texts[session];
            let mut found = Vec::new();
            for (chunk, rows) in text[from..to].chunks(64).enumerate() {
                let answer = block_on(engine.run(step(session, all, from + 64 * chunk, rows, &greedy)));
                let StepOut::Token { token, .. } = answer.unwrap() else { panic!("no token") };
                found.push(vec![token]);
            }
            found
        };
        let alone: Vec<_> = (0..3)
            .map(|session| {
                let mut engine = engine(&checkpoint, &opened);
                (write(&mut engine, session, 0, 192), write(&mut engine, session, 192, 200))
            })
            .collect();
        let mut engine = engine(&checkpoint, &opened);
        let begun: Vec<_> = (0..3).map(|session| write(&mut engine, session, 0, 192)).collect();
        // The second takes the first 170 of its rows, the third 50; all but one row of a pass that draws.
        assert_eq!(engine.reused_rows(), 63 + 63 + 42 + 50, "on {}", opened.adapter);
        for session in [1, 0, 2] {
            assert_eq!(begun[session], alone[session].0, "session {session} on {}", opened.adapter);
            let found = write(&mut engine, session, 192, 200);
            assert_eq!(found, alone[session].1, "session {session} goes on, on {}", opened.adapter);
        }
        engine.unload(all);
        assert_eq!(engine.cache_bytes(), 0, "on {}", opened.adapter);
    }
}

/// Memory is bounded: what ended gives way first, and a refusal says how much would fit.
#[test]
fn caches_stay_within_their_budget() {
    let checkpoint = Checkpoint::own("qwen2", "config.json");
    let (all, page) = (checkpoint.all(), limits::CACHE_PAGE as u64);
    let config = &checkpoint.config;
    let row = (config.layers * 2 * config.kv_heads * config.head_dim * 4 + 16) as u64;
    for opened in devices() {
        let mut engine: Engine<usize> =
            Engine::new(opened.clone(), &checkpoint.config, checkpoint.header.clone())
                .with_caches(CacheFormat::F32, 2 * page * row + 1);
        block_on(engine.load(all, async |range| checkpoint.read(range).await)).unwrap();
        let start = |engine: &mut Engine<usize>, session: usize| {
            block_on(engine.run(step(session, all, 0, &[session as u32, 2, 3], &[])))
        };
        assert_eq!(
            [start(&mut engine, 0), start(&mut engine, 1)],
            [Ok(StepOut::Nothing), Ok(StepOut::Nothing)]
        );
        assert_eq!(engine.cache_bytes(), 2 * page * row, "two pages");
        let full = StepError::Memory { needed: 3, fit: 0 };
        assert_eq!(start(&mut engine, 2), Err(Error::Step(full)), "on {}", opened.adapter);
        assert_eq!(engine.sessions(), 2);
        engine.forget(&0);
        assert_eq!(engine.cache_bytes(), 2 * page * row, "kept for a while");
        assert_eq!(start(&mut engine, 2), Ok(StepOut::Nothing), "what ended gives way");
        assert_eq!(start(&mut engine, 0), Err(Error::Step(StepError::Memory { needed: 3, fit: 0 })));
        engine.forget(&1);
        engine.forget(&2);
        assert_eq!(start(&mut engine, 0), Ok(StepOut::Nothing));
        assert!(engine.cache_bytes() <= 2 * page * row);
    }
}

/// Kept sessions are bounded in number too.
#[test]
fn only_so_many_sessions_are_kept() {
    let checkpoint = Checkpoint::own("qwen2", "config.json");
    let all = checkpoint.all();
    let mut engine = engine(&checkpoint, &Opened::cpu());
    let mut held = BTreeMap::new();
    for session in 0..3 * limits::KEPT {
        block_on(engine.run(step(session, all, 0, &[session as u32, 1], &[]))).unwrap();
        engine.forget(&session);
        held.insert(session, engine.cache_bytes());
    }
    assert_eq!(held[&(limits::KEPT - 1)], held[&(3 * limits::KEPT - 1)], "no more memory than for the first");
    assert!(held[&0] < held[&(limits::KEPT - 1)]);
}

/// Half precision: close, not the same, half the memory.
#[test]
fn half_precision_costs_little() {
    let Some(checkpoint) = Checkpoint::open("stories260K/hf", "config.json") else { return };
    let Some(reference) = common::shared("stories260K/ref.safetensors").map(common::Reference) else {
        return;
    };
    let tokens = reference.ids("ids");
    for opened in devices() {
        let model = checkpoint.model(&opened, checkpoint.all()).unwrap();
        let logits = |format| {
            let mut cache = model.cache(checkpoint.all(), 0, format, &opened.device);
            let mut found = Vec::new();
            for chunk in tokens.chunks(50) {
                let ids: Vec<i32> = chunk.iter().map(|id| *id as i32).collect();
                let ids = burn::tensor::TensorData::new(ids, [1, chunk.len()]);
                let x = model.embed(burn::tensor::Tensor::from_data(ids, &opened.device));
                let x = model.logits(model.forward(checkpoint.all(), x, Some(&mut cache)));
                found.extend(block_on(x.into_data_async()).unwrap().try_into_vec::<f32>().unwrap());
            }
            found
        };
        let (full, half) = (logits(CacheFormat::F32), logits(CacheFormat::F16));
        let mean = full.iter().sum::<f32>() / full.len() as f32;
        let spread =
            (full.iter().map(|x| f64::from(x - mean).powi(2)).sum::<f64>() / full.len() as f64).sqrt();
        let worst = full.iter().zip(&half).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        println!(
            "f16 caches move a score by {:.2e} of its spread at most, on {}",
            worst / spread,
            opened.adapter
        );
        assert!(worst > 0.0, "half is not full precision");
        assert!(worst < 1e-2 * spread, "{worst} of {spread}");
    }
    let bytes = |format| {
        let checkpoint = Checkpoint::own("qwen2", "config.json");
        let mut engine: Engine<usize> =
            Engine::new(Opened::cpu(), &checkpoint.config, checkpoint.header.clone())
                .with_caches(format, limits::CACHE_BYTES);
        block_on(engine.load(checkpoint.all(), async |range| checkpoint.read(range).await)).unwrap();
        block_on(engine.run(step(0, checkpoint.all(), 0, &[1], &[]))).unwrap();
        engine.cache_bytes() - 16 * limits::CACHE_PAGE as u64
    };
    assert_eq!(bytes(CacheFormat::F32), 2 * bytes(CacheFormat::F16));
}

/// However many sequences: the same launches, and one small readback.
#[test]
fn a_batch_costs_a_gpu_the_launches_of_one() {
    let checkpoint = Checkpoint::own("mistral", "config.json");
    let all = checkpoint.all();
    let lively = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, ..Sampling::greedy() };
    let settings = [Sampling::greedy().to_bytes().unwrap(), lively.to_bytes().unwrap()];
    for opened in devices() {
        let Tier::Gpu(gpu) = Tier::of(&opened.device) else { continue };
        let mut engine = engine(&checkpoint, &opened);
        let prompts: Vec<Vec<u32>> = (0..6).map(|session| (session..4 + 2 * session).collect()).collect();
        let begin: Vec<_> = (0..6).map(|session| step(session, all, 0, &prompts[session], &[])).collect();
        assert!(block_on(engine.run_batch(&begin)).iter().all(Result::is_ok));
        let go_on: Vec<_> = (0..6)
            .map(|session| step(session, all, prompts[session].len(), &[3], &settings[session % 2]))
            .collect();
        let before = gpu.counters();
        let found = block_on(engine.run_batch(&go_on));
        let cost = gpu.counters().since(before);
        assert!(found.iter().all(|answer| matches!(answer, Ok(StepOut::Token { .. }))), "{found:?}");
        let layers = checkpoint.config.layers as u64;
        assert!(cost.launches <= 8 * layers + 6, "{} launches for {layers} layers", cost.launches);
        assert!((1..=6 * 1024).contains(&cost.bytes_read), "{} bytes were read back", cost.bytes_read);
    }
}
