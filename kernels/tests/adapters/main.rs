//! LoRA adapters: against PEFT on small models (`references/make_adapters.py`), against merged weights for every family, a
//! mix of them for every sequence, and off again to the bit.

#[path = "../common/mod.rs"]
mod common;
mod paged;
mod refused;

use common::{Checkpoint, Memory, Reference, assert_close, block_on, devices, own, shared};
use kernels::device::{Kind, Opened};
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{Adapter, Attached, CacheFormat, Config, Layers, Sampling, Stage, StageOut};
use kernels::quant::Format;
use kernels::weights::{ByteRange, Files, Numbers, read_tensors, write_tensors};
use kernels::{Error, StepError, limits};
use std::collections::BTreeMap;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// An adapter of this repository's own.
fn folder(path: &str) -> Memory {
    let file = |name: &str| (name.to_owned(), own(&format!("adapters/{path}/{name}")));
    Memory(BTreeMap::from([file(CONFIG), file(WEIGHTS)]))
}

fn open(files: &Memory, config: &Config) -> Adapter {
    block_on(Adapter::open(files, config)).unwrap()
}

async fn read(files: &Memory, range: &ByteRange) -> Result<Vec<u8>, String> {
    files.read(&range.file, range.range.clone()).await
}

/// A model in stages that were loaded one by one, with adapters in the memory of each.
struct Pipeline {
    stages: Vec<Stage>,
}

impl Pipeline {
    fn load(checkpoint: &Checkpoint, opened: &Opened, exact: bool, cuts: &[usize]) -> Self {
        let edges = [&[0][..], cuts, &[checkpoint.config.layers]].concat();
        let load = |edge: &[usize]| {
            let (layers, read) =
                (Layers::new(edge[0], edge[1]), async |range: &_| checkpoint.read(range).await);
            block_on(Stage::load(&checkpoint.config, &checkpoint.header, layers, opened, exact, read))
                .unwrap()
        };
        Self { stages: edges.windows(2).map(load).collect() }
    }

    /// Each stage asks for the bytes of its own layers only, and for all of those.
    fn add(&mut self, files: &Memory, adapter: &Adapter) {
        for stage in &mut self.stages {
            let mut asked = Vec::new();
            let source = async |range: &ByteRange| {
                asked.push(range.range.clone());
                read(files, range).await
            };
            block_on(stage.load_adapter(adapter, source)).unwrap();
            let own: Vec<_> =
                adapter.ranges(stage.layers()).unwrap().into_iter().map(|range| range.range).collect();
            assert_eq!(asked, own, "layers {}", stage.layers());
        }
    }

    fn attach(&mut self, attached: &[Attached]) {
        self.stages.iter_mut().for_each(|stage| stage.attach(attached).unwrap());
    }

    /// Passes of `rows` tokens through caches, or one pass without.
    fn logits(&self, tokens: &[u32], rows: Option<usize>) -> Vec<f32> {
        let caches = self.stages.iter().map(|stage| stage.cache(tokens.len(), CacheFormat::F32));
        let (mut caches, mut logits) = (caches.collect::<Vec<_>>(), Vec::new());
        for chunk in tokens.chunks(rows.unwrap_or(tokens.len())) {
            let mut hidden = Vec::new();
            for (index, (stage, cache)) in self.stages.iter().zip(&mut caches).enumerate() {
                let input = if index == 0 { Input::Tokens(chunk) } else { Input::Hidden(&hidden) };
                match block_on(stage.pass(input, rows.map(|_| cache))).unwrap() {
                    StageOut::Hidden(bytes) => hidden = bytes,
                    StageOut::Logits(found) => logits.extend(found),
                }
            }
        }
        logits
    }

    fn all(&self, reference: &Reference, rows: Option<usize>) -> Vec<f32> {
        let ids = reference.ids("input_ids");
        ids.chunks(ids.len() / 2).flat_map(|tokens| self.logits(tokens, rows)).collect()
    }
}

/// One answer of the references: its name, the adapters, and how much of each.
type Answer = (&'static str, &'static [(&'static str, f32)]);

const LLAMA: [Answer; 6] = [
    ("plain", &[("plain", 1.0)]),
    ("patterns", &[("patterns", 1.0)]),
    ("one-layer", &[("one-layer", 1.0)]),
    ("half", &[("patterns", 0.5)]),
    ("both", &[("plain", 0.75), ("patterns", -0.5)]),
    ("three", &[("plain", 0.25), ("one-layer", 2.0), ("patterns", 1.0)]),
];

const ALL: [Answer; 1] = [("all", &[("all", 1.0)])];

/// The adapters of a folder of references, in memory at each stage.
struct Wardrobe(BTreeMap<&'static str, Adapter>);

impl Wardrobe {
    fn load(of: &str, answers: &[Answer], config: &Config, pipelines: &mut [&mut Pipeline]) -> Self {
        let mut all = BTreeMap::new();
        for name in answers.iter().flat_map(|(_, mix)| mix.iter().map(|(name, _)| *name)) {
            let files = folder(&format!("{of}/{name}"));
            let adapter = open(&files, config);
            pipelines
                .iter_mut()
                .for_each(|pipeline| pipeline.add_once(&files, &adapter, all.contains_key(name)));
            all.insert(name, adapter);
        }
        Self(all)
    }

    fn mix(&self, mix: &[(&str, f32)]) -> Vec<Attached> {
        mix.iter().map(|(name, weight)| Attached { id: self.0[name].id(), weight: *weight }).collect()
    }
}

impl Pipeline {
    fn add_once(&mut self, files: &Memory, adapter: &Adapter, there: bool) {
        if !there {
            return self.add(files, adapter);
        }
        for stage in &mut self.stages {
            let source = async |range: &ByteRange| panic!("{} is in memory", range.tensor);
            block_on(stage.load_adapter(adapter, source)).unwrap();
        }
    }
}

/// Unmerged and merged, in one pass, step by step, and in stages; the base as it was before, between and after.
fn check(of: &str, checkpoint: &Checkpoint, answers: &[Answer]) {
    let reference = Reference(own(&format!("adapters/{of}/ref.safetensors")));
    for opened in devices() {
        let mut whole = Pipeline::load(checkpoint, &opened, true, &[]);
        let mut cut =
            Pipeline::load(checkpoint, &opened, true, &[1, 2][..checkpoint.config.layers.min(3) - 1]);
        let base = whole.all(&reference, None);
        assert_close(&format!("{of}, base, {}", opened.adapter), &base, &reference.floats("base"));
        let wardrobe = Wardrobe::load(of, answers, &checkpoint.config, &mut [&mut whole, &mut cut]);
        assert!(whole.all(&reference, None) == base, "{of}: in memory is not attached");
        for (name, mix) in answers {
            let attached = wardrobe.mix(mix);
            whole.attach(&attached);
            cut.attach(&attached);
            let found = whole.all(&reference, None);
            let close = |how: &str, found: &[f32], expected: &str| {
                let what = format!("{of}/{name}, {how}, {}", opened.adapter);
                assert_close(&what, found, &reference.floats(expected));
            };
            close("one pass", &found, name);
            if reference.has(&format!("merged.{name}")) {
                close("merged by PEFT", &found, &format!("merged.{name}"));
            }
            // A GPU in software takes seconds for each: the richest answer has to do there.
            if opened.kind == Kind::Cpu || answers.last().is_some_and(|(last, _)| last == name) {
                close("step by step", &whole.all(&reference, Some(1)), name);
                close("passes of 5", &whole.all(&reference, Some(5)), name);
            }
            assert!(cut.all(&reference, None) == found, "{of}/{name}: cut into stages the bits differ");
            assert!(found != base, "{of}/{name} changes something");
            whole.attach(&[]);
            assert!(whole.all(&reference, None) == base, "{of}/{name}: off again to the bit");
        }
    }
}

#[test]
fn answers_are_those_of_peft() {
    check("llama", &Checkpoint::own("adapters/llama/base", "config.json"), &LLAMA);
    check("qwen2", &Checkpoint::own("qwen2", "config.json"), &ALL);
}

#[test]
fn answers_are_those_of_peft_on_a_real_model() {
    let Some(hub) = Checkpoint::open("stories260K/hf", "config.json") else { return };
    check("stories260K", &hub, &ALL);
    // The same numbers in a GGUF file, where rows of queries and keys lie in another order.
    let Some(gguf) = shared("stories260K/stories260K-f32.gguf").map(Checkpoint::gguf) else { return };
    let reference = Reference(own("adapters/stories260K/ref.safetensors"));
    let found = [hub, gguf].map(|checkpoint| {
        let mut pipeline = Pipeline::load(&checkpoint, &Opened::cpu(), true, &[]);
        let wardrobe = Wardrobe::load("stories260K", &ALL, &checkpoint.config, &mut [&mut pipeline]);
        pipeline.attach(&wardrobe.mix(&[("all", 1.0)]));
        pipeline.all(&reference, None)
    });
    assert!(found[0] == found[1], "one model in two files");
}

/// Weights in blocks stay in them: the adapter lies beside. PEFT's answer is that of the same numbers as floats.
#[test]
fn adapters_lie_beside_quantised_weights() {
    let mut checkpoint = Checkpoint::own("adapters/llama/base", "config.json");
    checkpoint.header = checkpoint.header.quantised(Format::Q8_0).unwrap();
    let reference = Reference(own("adapters/llama/ref.safetensors"));
    for opened in devices() {
        let mut pipeline = Pipeline::load(&checkpoint, &opened, true, &[]);
        let wardrobe = Wardrobe::load("llama", &LLAMA, &checkpoint.config, &mut [&mut pipeline]);
        pipeline.attach(&wardrobe.mix(&[("plain", 0.75), ("patterns", -0.5)]));
        let what = format!("Q8_0, {}", opened.adapter);
        assert_close(&what, &pipeline.all(&reference, None), &reference.floats("q8_0.both"));
    }
    // As rooms compute: activations are rounded before they meet the base, and off is off there too.
    let mut rounded = Pipeline::load(&checkpoint, &Opened::cpu(), false, &[]);
    let wardrobe = Wardrobe::load("llama", &LLAMA, &checkpoint.config, &mut [&mut rounded]);
    let base = rounded.all(&reference, Some(1));
    rounded.attach(&wardrobe.mix(&[("plain", 0.75), ("patterns", -0.5)]));
    let changed = rounded.all(&reference, Some(1));
    assert!(changed == rounded.all(&reference, None), "one row or many, the same bits");
    assert!(changed != base);
    rounded.attach(&wardrobe.mix(&[("plain", 0.0), ("patterns", 0.0)]));
    assert!(rounded.all(&reference, Some(1)) == base, "nothing of an adapter is nothing at all");
}

/// A random adapter for every matrix of a checkpoint, and the checkpoint with it merged in.
fn random_adapter(checkpoint: &Checkpoint, rank: usize) -> (Memory, Checkpoint) {
    let mut tensors = read_tensors(&checkpoint.bytes).unwrap();
    let (mut pairs, mut state) = (BTreeMap::new(), 7_u64);
    let mut random = |count: usize, spread: f32| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * spread
        };
        (0..count).map(|_| next()).collect()
    };
    for (name, base) in &mut tensors {
        let (Some(module), [rows, cols]) = (name.strip_suffix(".weight"), &base.shape[..]) else { continue };
        let (rows, cols) = (*rows, *cols);
        if module == "model.embed_tokens" {
            continue;
        }
        let (a, b) = (random(rank * cols, (cols as f32).powf(-0.5)), random(rows * rank, 1.0));
        for row in 0..rows {
            for column in 0..cols {
                // Twice: alpha is twice the rank.
                let sum: f32 = (0..rank).map(|at| b[row * rank + at] * a[at * cols + column]).sum();
                base.values[row * cols + column] += 2.0 * sum;
            }
        }
        let name = |which: &str| format!("base_model.model.{module}.lora_{which}.weight");
        pairs.insert(name("A"), Numbers { shape: vec![rank, cols], values: a });
        pairs.insert(name("B"), Numbers { shape: vec![rows, rank], values: b });
    }
    let alpha = 2 * rank;
    let json =
        format!(r#"{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {alpha}, "target_modules": ".*"}}"#);
    let files = BTreeMap::from([
        (CONFIG.to_owned(), json.into_bytes()),
        (WEIGHTS.to_owned(), write_tensors(&pairs).unwrap()),
    ]);
    let bytes = write_tensors(&tensors).unwrap();
    let header = kernels::weights::Header::parse(&bytes, bytes.len() as u64).unwrap();
    (Memory(files), Checkpoint { config: checkpoint.config.clone(), header, bytes })
}

/// Fused matrices, norms on both sides, experts, a router, shared experts and their gates: every matrix of every family.
#[test]
fn every_matrix_of_every_family_is_changed_as_if_it_were_merged() {
    let families =
        ["llama-bias", "mistral", "mixtral", "qwen2", "qwen2-moe", "qwen3-moe", "gemma2", "gemma3", "phi3"];
    for family in families {
        let checkpoint = Checkpoint::own(family, "config.json");
        let (files, merged) = random_adapter(&checkpoint, 3);
        let adapter = open(&files, &checkpoint.config);
        let reference = Reference(own(&format!("{family}/ref.safetensors")));
        for opened in devices() {
            let mut pipeline = Pipeline::load(&checkpoint, &opened, true, &[]);
            pipeline.add(&files, &adapter);
            let base = pipeline.all(&reference, None);
            pipeline.attach(&[Attached { id: adapter.id(), weight: 1.0 }]);
            let found = pipeline.all(&reference, None);
            let expected = Pipeline::load(&merged, &opened, true, &[]).all(&reference, None);
            assert_close(&format!("{family}, {}", opened.adapter), &found, &expected);
            assert!(found != base);
        }
    }
}

/// What somebody writes in a room: a session, its adapters, its prompt, and what became of it.
struct Writer {
    session: u32,
    adapters: Vec<Attached>,
    tokens: Vec<u32>,
    fed: usize,
}

/// Two engines that hold half a model each, with bytes between them.
struct Chain {
    engines: [(Engine<u32>, Layers); 2],
}

impl Chain {
    fn new(checkpoint: &Checkpoint, opened: &Opened, adapters: &[(&Memory, &Adapter)]) -> Self {
        let engines = [(0, 1), (1, checkpoint.config.layers)].map(|(start, end)| {
            let layers = Layers::new(start, end);
            let mut engine = checkpoint.engine(opened, layers);
            for (files, adapter) in adapters {
                let source = async |range: &ByteRange| read(files, range).await;
                block_on(engine.load_adapter(adapter, layers, source)).unwrap();
            }
            (engine, layers)
        });
        Self { engines }
    }

    /// Everything that each has not fed yet, in one batch; a token more for each.
    fn round(&mut self, writers: &mut [Writer]) {
        let settings = Sampling::greedy().to_bytes().unwrap();
        let [(first, first_layers), (second, second_layers)] = &mut self.engines;
        let step = |writer: &Writer, layers: Layers| (writer.session, layers, writer.fed);
        let steps: Vec<_> = writers
            .iter()
            .map(|writer| {
                let ((session, layers, position), adapters) =
                    (step(writer, *first_layers), &writer.adapters[..]);
                let input = Input::Tokens(&writer.tokens[writer.fed..]);
                Step { session, layers, position, input, adapters, draw: None }
            })
            .collect();
        let answers = block_on(first.run_batch(&steps)).into_iter();
        let hidden: Vec<Vec<u8>> = answers
            .map(|answer| match answer.unwrap() {
                StepOut::Hidden(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .collect();
        let steps: Vec<_> = writers
            .iter()
            .zip(&hidden)
            .map(|(writer, hidden)| {
                let ((session, layers, position), adapters) =
                    (step(writer, *second_layers), &writer.adapters[..]);
                let draw = Some(Draw { settings: &settings, recent: &[] });
                Step { session, layers, position, input: Input::Hidden(hidden), adapters, draw }
            })
            .collect();
        let answers = block_on(second.run_batch(&steps));
        for (writer, answer) in writers.iter_mut().zip(answers) {
            writer.fed = writer.tokens.len();
            match answer.unwrap() {
                StepOut::Token { token, .. } => writer.tokens.push(token),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Every sequence has adapters of its own, in one batch, and writes what it writes alone, to the bit.
#[test]
fn each_sequence_has_its_own_mix() {
    let mut checkpoint = Checkpoint::own("adapters/llama/base", "config.json");
    checkpoint.header = checkpoint.header.quantised(Format::Q8_0).unwrap();
    let names = ["plain", "patterns"];
    let files = names.map(|name| folder(&format!("llama/{name}")));
    let adapters = [0, 1].map(|number| open(&files[number], &checkpoint.config));
    let all: Vec<_> = files.iter().zip(&adapters).collect();
    let with = |number: usize, weight: f32| Attached { id: adapters[number].id(), weight };
    let mixes = [
        vec![],
        vec![with(0, 1.0)],
        vec![with(1, 1.0)],
        vec![with(0, 0.5), with(1, 2.0)],
        vec![with(1, 2.0)],
        vec![],
    ];
    for opened in devices() {
        // All begin alike: what was computed with other adapters must not be taken over.
        let writer = |(session, adapters): (usize, &Vec<Attached>)| Writer {
            session: session as u32,
            adapters: adapters.clone(),
            tokens: vec![1, 9, 33, 20, 5, 17, 60, 4],
            fed: 0,
        };
        let texts = |together: bool| -> Vec<Vec<u32>> {
            let mut chain = Chain::new(&checkpoint, &opened, &all);
            let mut writers: Vec<Writer> = mixes.iter().enumerate().map(writer).collect();
            for group in writers.chunks_mut(if together { mixes.len() } else { 1 }) {
                (0..12).for_each(|_| chain.round(group));
            }
            let reused = chain.engines.each_ref().map(|(engine, _)| engine.reused_rows());
            // The last writer begins as the first did, with the same adapters: none. In one batch it cannot know yet.
            assert_eq!(reused, if together { [0, 0] } else { [8, 7] }, "{}", opened.adapter);
            writers.into_iter().map(|writer| writer.tokens).collect()
        };
        let (alone, together) = (texts(false), texts(true));
        assert_eq!(alone, together, "{}", opened.adapter);
        assert_eq!(alone[0], alone[5]);
        for (number, text) in alone[..5].iter().enumerate() {
            assert!(!alone[..number].contains(text), "mix {number} writes what another writes");
        }
    }
}

#[test]
fn steps_name_adapters_that_are_there_or_are_refused() {
    let checkpoint = Checkpoint::own("adapters/llama/base", "config.json");
    let all = checkpoint.all();
    let (files, other_files) = (folder("llama/plain"), folder("llama/one-layer"));
    let (adapter, other) = (open(&files, &checkpoint.config), open(&other_files, &checkpoint.config));
    let mut engine = checkpoint.engine(&Opened::cpu(), all);
    let source = async |range: &ByteRange| read(&files, range).await;
    let part = Layers::new(0, 2);
    block_on(engine.load_adapter(&adapter, part, source)).unwrap();
    let one = Attached { id: adapter.id(), weight: 1.0 };
    let nan = Attached { weight: f32::NAN, ..one };
    let much = Attached { weight: 1e9, ..one };
    let absent = Attached { id: other.id(), weight: 1.0 };
    let many = [one; limits::ADAPTERS_AT_ONCE + 1];
    let run = |engine: &mut Engine<u32>, session: u32, layers: Layers, adapters: &[Attached]| {
        let input = Input::Tokens(&[1, 5]);
        block_on(engine.run(Step { session, layers, position: 0, input, adapters, draw: None }))
    };
    assert_eq!(
        run(&mut engine, 1, all, &[one]),
        Err(StepError::NoAdapter(one.id, all).into()),
        "its last layer is absent"
    );
    assert_eq!(run(&mut engine, 1, part, &[one, absent]), Err(StepError::NoAdapter(absent.id, part).into()));
    assert_eq!(run(&mut engine, 1, part, &many), Err(StepError::Adapters(many.len()).into()));
    assert!(matches!(run(&mut engine, 1, part, &[nan]), Err(Error::Step(StepError::AdapterWeight(_)))));
    assert_eq!(run(&mut engine, 1, part, &[much]), Err(StepError::AdapterWeight(1e9).into()));
    assert_eq!(engine.sessions(), 0, "no refused step opens a session");
    run(&mut engine, 1, part, &[one]).unwrap();
    assert_eq!(
        run(&mut engine, 1, part, &[]),
        Err(StepError::OtherAdapters.into()),
        "in the middle of a text"
    );
    engine.unload(Layers::new(1, 2));
    let first = Layers::new(0, 1);
    run(&mut engine, 2, first, &[one]).unwrap();
    engine.unload_adapter(one.id);
    assert_eq!(run(&mut engine, 3, first, &[one]), Err(StepError::NoAdapter(one.id, first).into()));
}
