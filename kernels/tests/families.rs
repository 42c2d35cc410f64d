//! Every family against the reference implementation, on this repository's own tiny models (`references/make.py`): one
//! pass, step by step, and split at every layer with bytes between the stages; as safetensors and as GGUF.

mod common;

use common::{Checkpoint, Memory, Reference, assert_close, block_on, devices, own, shared};
use kernels::device::Opened;
use kernels::engine::Input;
use kernels::llm::{CacheFormat, Layers, Stage, StageOut};
use kernels::quant::Format;
use kernels::weights;
use std::collections::BTreeMap;

/// Folder, and whether it is there as GGUF too.
const MODELS: [(&str, bool); 18] = [
    ("llama-bias", false),
    ("llama3-scaling", false),
    ("llama-linear", false),
    ("llama-dynamic", false),
    ("llama-yarn", false),
    ("mistral", false),
    ("mixtral", true),
    ("qwen2-window", false),
    ("qwen2", true),
    ("qwen2-moe", true),
    ("qwen3-moe", false),
    ("qwen3-moe-all", true),
    ("gemma2", true),
    ("gemma3", true),
    ("phi3", true),
    ("phi3-partial", false),
    ("phi3-long", false),
    ("phi3-short", true),
];

/// A model in stages that were loaded one by one.
struct Pipeline(Vec<Stage>);

impl Pipeline {
    fn load(checkpoint: &Checkpoint, opened: &Opened, cuts: &[usize]) -> Self {
        let edges = [&[0][..], cuts, &[checkpoint.config.layers]].concat();
        let load = |edge: &[usize]| {
            let (layers, read) =
                (Layers::new(edge[0], edge[1]), async |range: &_| checkpoint.read(range).await);
            block_on(Stage::load(&checkpoint.config, &checkpoint.header, layers, opened, true, read)).unwrap()
        };
        Self(edges.windows(2).map(load).collect())
    }

    /// Passes of `rows` tokens through caches, or one pass without.
    fn logits(&self, tokens: &[u32], rows: Option<usize>) -> Vec<f32> {
        let mut caches: Vec<_> =
            self.0.iter().map(|stage| stage.cache(tokens.len(), CacheFormat::F32)).collect();
        let mut logits = Vec::new();
        for chunk in tokens.chunks(rows.unwrap_or(tokens.len())) {
            let mut hidden = Vec::new();
            for (index, (stage, cache)) in self.0.iter().zip(&mut caches).enumerate() {
                let input = if index == 0 { Input::Tokens(chunk) } else { Input::Hidden(&hidden) };
                match block_on(stage.pass(input, rows.map(|_| cache))).unwrap() {
                    StageOut::Hidden(bytes) => hidden = bytes,
                    StageOut::Logits(found) => logits.extend(found),
                }
            }
        }
        logits
    }
}

/// One pass, steps, chunks, and every cut.
fn check(what: &str, checkpoint: &Checkpoint, reference: &Reference) {
    let (ids, layers) = (reference.ids("input_ids"), checkpoint.config.layers);
    let width = ids.len() / 2;
    let stepped = if reference.has("step_logits") { "step_logits" } else { "logits" };
    for opened in devices() {
        let all = |pipeline: &Pipeline, rows: Option<usize>| -> Vec<f32> {
            ids.chunks(width).flat_map(|tokens| pipeline.logits(tokens, rows)).collect()
        };
        let whole = Pipeline::load(checkpoint, &opened, &[]);
        let close = |how: &str, found: &[f32], name: &str| {
            assert_close(&format!("{what}, {how}, {}", opened.adapter), found, &reference.floats(name));
        };
        close("one pass", &all(&whole, None), "logits");
        close("step by step", &all(&whole, Some(1)), stepped);
        close("passes of 5", &all(&whole, Some(5)), stepped);
        let expected = all(&whole, None);
        for cut in 1..layers {
            let cut_there = all(&Pipeline::load(checkpoint, &opened, &[cut]), None);
            assert!(cut_there == expected, "{what}: cut at {cut} the bits differ");
        }
    }
}

#[test]
fn safetensors_match_in_both_styles_of_configuration() {
    for (folder, _) in MODELS {
        let reference = Reference(own(&format!("{folder}/ref.safetensors")));
        let (new, old) = (Checkpoint::own(folder, "config.json"), Checkpoint::own(folder, "config.v4.json"));
        assert_eq!(new.config, old.config, "{folder}: the two styles mean the same");
        check(folder, &new, &reference);
    }
}

#[test]
fn gguf_matches() {
    for (folder, _) in MODELS.into_iter().filter(|(_, gguf)| *gguf) {
        let reference = Reference(own(&format!("{folder}/ref.safetensors")));
        check(&format!("{folder}.gguf"), &Checkpoint::gguf(own(&format!("{folder}/model.gguf"))), &reference);
    }
}

/// The real story model: f32 in GGUF is the model of the safetensors file; q8_0 is compared with its own numbers, read
/// by plain code into a safetensors file.
#[test]
fn a_real_gguf_file_matches() {
    let Some(f32) = shared("stories260K/stories260K-f32.gguf") else { return };
    let Some(q8_0) = shared("stories260K/stories260K-q8_0.gguf") else { return };
    let Some(reference) = shared("stories260K/ref.safetensors").map(Reference) else { return };
    let (ids, f32, q8_0) = (reference.ids("ids"), Checkpoint::gguf(f32), Checkpoint::gguf(q8_0));
    let Some(hub) = Checkpoint::open("stories260K/hf", "config.json") else { return };
    let plain = dequantised(&q8_0);
    for opened in devices() {
        let logits =
            |checkpoint: &Checkpoint, rows| Pipeline::load(checkpoint, &opened, &[]).logits(&ids, rows);
        assert_close("f32", &logits(&f32, None), &reference.floats("logits"));
        assert_close("f32 step by step", &logits(&f32, Some(1)), &reference.floats("logits"));
        assert!(logits(&f32, None) == logits(&hub, None), "the same numbers in another file");
        assert_close("q8_0 against its own numbers", &logits(&q8_0, None), &logits(&plain, None));
        let far =
            logits(&q8_0, None).iter().zip(reference.floats("logits")).any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(far, "8 bits are not 32");
    }
}

/// The same model as f32 safetensors: every tensor dequantised block by block as the format's description says.
fn dequantised(checkpoint: &Checkpoint) -> Checkpoint {
    let all = Layers::new(0, checkpoint.config.layers);
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for range in kernels::llm::ranges(&checkpoint.config, &checkpoint.header, all).unwrap() {
        if header.contains_key(&range.tensor) {
            continue;
        }
        let bytes = block_on(checkpoint.read(&range)).unwrap();
        let start = data.len();
        let numbers: Vec<f32> = match format!("{:?}", range.format).as_str() {
            "Q8_0" => bytes.chunks_exact(34).flat_map(block).collect(),
            "F32" => bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            other => panic!("{other} in a q8_0 file"),
        };
        let numbers = match range.paired_heads {
            Some(heads) => halves(&numbers, heads, range.rows, range.cols),
            None => numbers,
        };
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let vector = range.tensor.contains("norm");
        let shape = if vector { vec![range.cols] } else { vec![range.rows, range.cols] };
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(range.tensor.clone(), entry);
    }
    let json = serde_json::Value::Object(header).to_string();
    let bytes = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &data].concat();
    let header = weights::Header::parse(&bytes, bytes.len() as u64).unwrap();
    Checkpoint { config: checkpoint.config.clone(), header, bytes }
}

/// 32 numbers: a half-precision scale, then signed bytes.
fn block(bytes: &[u8]) -> Vec<f32> {
    let scale = half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    bytes[2..].iter().map(|byte| f32::from(*byte as i8) * scale).collect()
}

/// Row `2·i + half` of a head in the file is row `half·(rows of a head / 2) + i`.
fn halves(numbers: &[f32], heads: usize, rows: usize, cols: usize) -> Vec<f32> {
    let head = rows / heads;
    let mut ordered = vec![0.0; numbers.len()];
    for row in 0..rows {
        let (first, inside) = (row / head * head, row % head);
        let to = first + inside % 2 * (head / 2) + inside / 2;
        ordered[to * cols..][..cols].copy_from_slice(&numbers[row * cols..][..cols]);
    }
    ordered
}

/// A checkpoint cut into two files, with an index, is the same model.
#[test]
fn shards_match() {
    let (folder, config) = ("qwen2", own("qwen2/config.json"));
    let single = own(&format!("{folder}/model.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&single).unwrap();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut files = Memory(BTreeMap::from([("config.json".to_owned(), config.clone())]));
    let mut map = serde_json::Map::new();
    for (index, name) in names.iter().enumerate() {
        let mut part = tensors.tensors();
        part.retain(|(tensor, _)| tensor.contains("layers.1") == (index == 1));
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), (*name).into())));
        files.0.insert((*name).into(), safetensors::serialize(part, None).unwrap());
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    files.0.insert("model.safetensors.index.json".into(), index.into_bytes());
    let opened = Opened::cpu();
    let read = block_on(weights::Checkpoint::of_folder(&files)).unwrap();
    let fetch = async |range: &weights::ByteRange| {
        weights::Files::read(&files, &range.file, range.range.clone()).await
    };
    let layers = Layers::new(0, read.config.layers);
    let sharded = block_on(Stage::load(&read.config, &read.header, layers, &opened, true, fetch)).unwrap();
    let tokens = [3, 9, 27, 50, 60];
    let whole = Pipeline::load(&Checkpoint::of(&config, single.clone()), &opened, &[]).logits(&tokens, None);
    assert_eq!(block_on(sharded.pass(Input::Tokens(&tokens), None)).unwrap(), StageOut::Logits(whole));
}

/// Blocks made on loading give scores that are near the reference's, as near as such blocks allow, on every device.
#[test]
fn weights_quantised_on_loading_stay_near_the_reference() {
    for (folder, format, most) in [
        ("mistral", Format::Q8_0, 0.02),
        ("mistral", Format::Q4_0, 0.25),
        ("mixtral", Format::Q8_0, 0.05),
        ("gemma2", Format::Q8_0, 0.02),
    ] {
        let reference = Reference(own(&format!("{folder}/ref.safetensors")));
        let plain = Checkpoint::own(folder, "config.json");
        let header = plain.header.clone().quantised(format).unwrap();
        let checkpoint = Checkpoint { header, ..plain };
        let (ids, expected) = (reference.ids("input_ids"), reference.floats("logits"));
        let first = &ids[..ids.len() / 2];
        for opened in devices() {
            let found = Pipeline::load(&checkpoint, &opened, &[1]).logits(first, None);
            let square =
                |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
            let error = square(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
            let relative = (error / square(&mut expected[..found.len()].iter().copied())).sqrt();
            let what = format!("{folder} as {format:?}, {}: {relative}", opened.adapter);
            assert!(relative < most && relative > 1e-5, "{what}");
        }
    }
}

/// The file that another program quantised and the floats that it was made from are the same weights here.
#[test]
fn floats_quantised_on_loading_are_what_a_quantised_file_holds() {
    let files = ["stories260K/hf", "stories260K/stories260K-q8_0.gguf"];
    let (Some(floats), Some(gguf)) = (Checkpoint::open(files[0], "config.json"), shared(files[1])) else {
        return println!("skipped: {files:?} are not here");
    };
    let header = floats.header.clone().quantised(Format::Q8_0).unwrap();
    let (floats, gguf) = (Checkpoint { header, ..floats }, Checkpoint::gguf(gguf));
    let ids: Vec<u32> = (1..40).collect();
    for opened in devices() {
        let [ours, theirs] =
            [&floats, &gguf].map(|checkpoint| Pipeline::load(checkpoint, &opened, &[]).logits(&ids, None));
        assert_close(&format!("quantised here and there, {}", opened.adapter), &ours, &theirs);
    }
}
