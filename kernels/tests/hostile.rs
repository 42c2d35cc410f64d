//! Files and steps as an enemy, or a broken download, would send them: a named error, never a panic.

mod common;

use common::{Checkpoint, block_on};
use kernels::device::Opened;
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{Config, Layers, Model, Sampling, ranges};
use kernels::weights::{ByteRange, Header};
use kernels::{Error, StepError, limits};

const TINY: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 16,
    "max_position_embeddings": 32, "eos_token_id": [2, 3], "bos_token_id": 1}"#;

fn tiny() -> Config {
    Config::from_json(TINY.as_bytes()).unwrap()
}

/// `TINY` with one field replaced or added.
fn tiny_with(field: &str, value: &str) -> Result<Config, Error> {
    let mut json: serde_json::Value = serde_json::from_str(TINY).unwrap();
    json[field] = serde_json::from_str(value).unwrap();
    Config::from_json(json.to_string().as_bytes())
}

/// A file whose header is `json`, followed by `data` bytes.
fn file(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

/// The tiny model as a whole checkpoint in memory, with random weights.
fn tiny_checkpoint() -> Checkpoint {
    let config = tiny();
    let model = Model::init(&config, &Opened::cpu().device);
    let tensors = block_on(model.export()).unwrap();
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for tensor in &tensors {
        let start = data.len();
        data.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
        let entry =
            serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, data.len()]});
        header.insert(tensor.name.clone(), entry);
    }
    let bytes = [file(&serde_json::Value::Object(header).to_string(), 0), data].concat();
    let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
    Checkpoint { config, header, bytes }
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let rows = [
        ("hidden_size", "0", "hidden_size", "no channels"),
        ("hidden_size", "9", "divided", "9 channels do not split into 2 heads"),
        ("hidden_size", "9007199254740993", "hidden_size", "more than any memory holds"),
        ("hidden_size", "-8", "config.json", "negative"),
        ("num_attention_heads", "0", "num_attention_heads", "no heads"),
        ("num_key_value_heads", "0", "num_key_value_heads", "no key-value heads"),
        ("num_key_value_heads", "3", "num_key_value_heads", "more of them than heads"),
        ("head_dim", "3", "odd", "rotary embedding turns pairs"),
        ("head_dim", "70000", "head_dim", "far too wide"),
        ("num_hidden_layers", "0", "num_hidden_layers", "no layers"),
        ("num_hidden_layers", "4294967295", "num_hidden_layers", "far too many layers"),
        ("intermediate_size", "0", "intermediate_size", "no channels"),
        ("vocab_size", "0", "vocab_size", "no words"),
        ("vocab_size", "99999999", "vocab_size", "too many words"),
        ("max_position_embeddings", "0", "max_position_embeddings", "no context"),
        ("rms_norm_eps", "0.0", "rms_norm_eps", "divides by zero"),
        ("rms_norm_eps", "-1", "rms_norm_eps", "the root of a negative number"),
        ("rope_theta", "0", "rope_theta", "no frequencies"),
        ("rope_scaling", r#"{"type": "magic", "factor": 2}"#, "magic", "a scaling that does not exist"),
        ("rope_scaling", r#"{"type": "yarn", "factor": -2}"#, "factor", "a negative factor"),
        ("rope_scaling", r#"{"type": "longrope", "short_factor": [1]}"#, "long_factor", "half of a scaling"),
        (
            "rope_scaling",
            r#"{"type": "longrope", "short_factor": [1, 1], "long_factor": [1]}"#,
            "rotary factors",
            "fewer factors than pairs",
        ),
        (
            "rope_scaling",
            r#"{"type": "longrope", "short_factor": [1, 0], "long_factor": [1, 1]}"#,
            "rotary factor",
            "a factor of zero",
        ),
        ("partial_rotary_factor", "0.3", "rotary", "part of a pair"),
        ("rope_scaling", r#"{"rope_type": "linear"}"#, "factor", "a scaling without its factor"),
        ("rope_parameters", r#"{"rope_type": "linear", "factor": 0}"#, "factor", "a factor of zero"),
        ("hidden_act", r#""gelu""#, "gelu", "another activation"),
        ("eos_token_id", "[2, 16]", "16", "an id beyond the vocabulary"),
        ("architectures", r#"["GPT2LMHeadModel"]"#, "GPT2LMHeadModel", "another family, by name"),
    ];
    for (field, value, named, why) in rows {
        let error = tiny_with(field, value).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: the error should name {named:?}, it is {error:?}");
    }
    let error = tiny_with("architectures", r#"["GPT2LMHeadModel"]"#).unwrap_err().to_string();
    assert!(
        error.contains("LlamaForCausalLM") && error.contains("Phi3ForCausalLM"),
        "the known are listed: {error}"
    );
    for json in ["", "{", "[]", "null", "{\"model_type\": \"llama\"}"] {
        assert!(Config::from_json(json.as_bytes()).is_err(), "{json:?} is no configuration");
    }
    assert!(Config::from_json(&vec![b' '; limits::CONFIG_BYTES + 1]).is_err(), "over the bound");
}

#[test]
fn both_styles_of_configuration_mean_the_same() {
    let old = tiny_with("rope_theta", "500000").unwrap();
    let new = tiny_with("rope_parameters", r#"{"rope_theta": 500000, "rope_type": "default"}"#).unwrap();
    assert_eq!(old, new);
    assert_eq!(old.rope_theta, 500_000.0);
    assert_eq!(tiny_with("eos_token_id", "2").unwrap().eos, [2]);
    assert!(tiny_with("eos_token_id", "null").unwrap().eos.is_empty());
    assert_eq!(tiny_with("max_position_embeddings", "131072").unwrap().context, limits::CONTEXT);
    assert_eq!(Config::from_json(old.to_json().as_bytes()).unwrap(), old, "what is written is read back");
}

#[test]
fn headers_that_lie_are_refused() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        let entry = |at: &str| format!(r#"{{"dtype": "F32", "shape": [2], "data_offsets": {at}}}"#);
        format!(r#"{{"a": {}, "b": {}}}"#, entry(first), entry(second))
    };
    let rows = [
        (file(&one("F32", "[2]", "[0, 8]"), 7), "the data is one byte short"),
        (file(&one("F32", "[2]", "[0, 8]"), 9), "one byte too many"),
        (file(&one("F32", "[3]", "[0, 8]"), 8), "three numbers in eight bytes"),
        (file(&one("F32", "[2]", "[8, 0]"), 8), "it ends before it starts"),
        (file(&one("F32", "[2]", "[4, 12]"), 12), "a gap before the first tensor"),
        (file(&one("F32", "[4294967296, 4294967296]", "[0, 0]"), 0), "a shape that overflows"),
        (
            file(&one("F32", "[2]", "[18446744073709551608, 18446744073709551615]"), 8),
            "offsets that overflow",
        ),
        (file(&one("F32", "[1,1,1,1,1,1,1,1,1]", "[0, 4]"), 4), "nine dimensions"),
        (file(&one("F32", "[-1]", "[0, 4]"), 4), "a negative dimension"),
        (file(&two("[0, 8]", "[4, 12]"), 12), "two tensors overlap"),
        (file(&two("[0, 8]", "[0, 8]"), 8), "two tensors in one place"),
        (file(&two("[0, 8]", "[12, 20]"), 20), "a gap between two tensors"),
        (file("[]", 0), "not an object"),
        (file("{\"a\": 3}", 0), "not a tensor"),
        (file(&"[".repeat(100_000), 0), "nested without end"),
        (1u64.to_le_bytes().to_vec(), "a header of one byte"),
        (u64::MAX.to_le_bytes().to_vec(), "a header as long as memory"),
        ((limits::HEADER_BYTES + 1).to_le_bytes().to_vec(), "a header over the bound"),
        (1000u64.to_le_bytes().to_vec(), "a header that is not there"),
        (Vec::new(), "nothing"),
    ];
    for (bytes, why) in rows {
        let error = Header::parse(&bytes, bytes.len() as u64).expect_err(why);
        assert!(matches!(error, Error::Header { .. } | Error::Tensor { .. }), "{why}: {error}");
    }
}

/// What a broken download leaves: at every length of the header and at many of the data.
#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let checkpoint = tiny_checkpoint();
    let (bytes, whole) = (&checkpoint.bytes, checkpoint.bytes.len());
    let head = Header::size(bytes).unwrap() as usize;
    let in_data = (head..whole).step_by(97).chain([whole - 1]);
    for length in (0..head).chain(in_data) {
        assert!(
            Header::parse(&bytes[..length], length as u64).is_err(),
            "cut off after {length} of {whole} bytes"
        );
    }
    assert!(Header::parse(&bytes[..head], whole as u64).is_ok(), "the header alone is enough to read it");
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_named() {
    let checkpoint = tiny_checkpoint();
    let all = Layers::new(0, 2);
    let rows = [
        ("intermediate_size", "16", "model.layers.0.mlp.gate_proj.weight", "a wider feed-forward layer"),
        ("vocab_size", "17", "model.embed_tokens.weight", "one word more"),
        ("num_key_value_heads", "2", "model.layers.0.self_attn.k_proj.weight", "more key-value heads"),
        ("num_hidden_layers", "3", "model.layers.2.input_layernorm.weight", "a layer that is missing"),
    ];
    for (field, value, tensor, why) in rows {
        let config = tiny_with(field, value).unwrap();
        let layers = Layers::new(0, config.layers);
        let error = ranges(&config, &checkpoint.header, layers).expect_err(why).to_string();
        assert!(error.contains(tensor), "{why}: {error}");
        let mut model = Model::empty(&config, &Opened::cpu().device);
        let asked =
            async |_: &ByteRange| -> Result<Vec<u8>, String> { panic!("everything is checked first") };
        assert!(
            block_on(model.load(layers, &checkpoint.header, &Opened::cpu().device, asked)).is_err(),
            "{why}"
        );
    }
    for layers in
        [Layers::new(0, 3), Layers::new(1, 1), Layers::new(2, 1), Layers::new(usize::MAX, usize::MAX)]
    {
        assert_eq!(ranges(&checkpoint.config, &checkpoint.header, layers), Err(Error::Layers(layers, 2)));
    }
    assert!(ranges(&checkpoint.config, &checkpoint.header, all).is_ok());
}

#[test]
fn a_source_that_fails_or_answers_with_too_little_is_named() {
    let checkpoint = tiny_checkpoint();
    let mut engine: Engine<u32> = Engine::new(Opened::cpu(), &checkpoint.config, checkpoint.header.clone());
    let failed = block_on(engine.load(checkpoint.all(), async |_| Err("the server said 404".into())));
    assert!(failed.unwrap_err().to_string().contains("404"));
    let short =
        block_on(engine.load(checkpoint.all(), async |range| {
            checkpoint.read(range).await.map(|bytes| bytes[1..].to_vec())
        }));
    assert!(short.unwrap_err().to_string().contains("asked for"));
    assert!(!engine.holds(checkpoint.all()));
    block_on(engine.load(checkpoint.all(), async |range| checkpoint.read(range).await)).unwrap();
    assert!(engine.holds(checkpoint.all()), "a later try completes what is missing");
}

/// Half-precision weights are the same model, a little rounder.
#[test]
fn half_precision_is_read() {
    let values = [0.0f32, 1.0, -2.5, 65504.0, 6.1e-5, -0.333_25];
    let encoded = [
        ("F16", values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>(), 1e-3),
        ("BF16", values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(), 8e-3),
        ("F32", values.iter().flat_map(|v| v.to_le_bytes()).collect(), 0.0),
    ];
    for (dtype, data, rounding) in encoded {
        let json =
            format!(r#"{{"a": {{"dtype": "{dtype}", "shape": [6], "data_offsets": [0, {}]}}}}"#, data.len());
        let bytes = [file(&json, 0), data.clone()].concat();
        let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
        let read = header.range("a", &[6]).unwrap().to_f32(&data).unwrap();
        for (found, expected) in read.iter().zip(values) {
            assert!((found - expected).abs() <= expected.abs() * rounding, "{dtype}: {found} for {expected}");
        }
    }
    let json = r#"{"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}"#;
    let header = Header::parse(&file(json, 8), 8 + json.len() as u64 + 8).unwrap();
    assert!(header.range("a", &[1]).unwrap_err().to_string().contains("BF16"), "the cure is named");
}

fn draw(settings: &[u8]) -> Draw<'_> {
    Draw { settings, recent: &[] }
}

fn step(session: u32, layers: Layers, position: usize, input: Input<'_>) -> Step<'_, u32> {
    Step { session, layers, position, input, adapters: &[], draw: None }
}

#[test]
fn steps_from_an_enemy_leave_the_session_as_it_was() {
    let checkpoint = tiny_checkpoint();
    let mut engine = checkpoint.engine(&Opened::cpu(), Layers::new(0, 2));
    let (all, first, second) = (Layers::new(0, 2), Layers::new(0, 1), Layers::new(1, 2));
    let row = [0u8; 32];
    let nan = [[0u8; 28].as_slice(), &f32::NAN.to_le_bytes()].concat();
    let tokens = |ids: &'static [u32]| Input::Tokens(ids);
    let long: &'static [u32] = &[1; limits::PASS_ROWS + 1];
    block_on(engine.run(step(1, all, 0, tokens(&[1, 4, 5])))).unwrap();
    let rows = [
        (step(1, all, 2, tokens(&[1])), StepError::Position { expected: 3, found: 2 }, "a repetition"),
        (step(1, all, 4, tokens(&[1])), StepError::Position { expected: 3, found: 4 }, "a gap"),
        (
            step(2, all, 1, tokens(&[1])),
            StepError::Position { expected: 0, found: 1 },
            "a session without its start",
        ),
        (
            step(1, all, usize::MAX, tokens(&[1])),
            StepError::Context(usize::MAX, 32),
            "a position that overflows",
        ),
        (step(1, all, 3, tokens(&[1; 30])), StepError::Context(33, 32), "over the context"),
        (step(1, all, 3, tokens(&[16])), StepError::Token(16, 16), "an id beyond the vocabulary"),
        (step(1, all, 3, tokens(&[u32::MAX])), StepError::Token(u32::MAX, 16), "an id far beyond it"),
        (step(1, all, 3, tokens(&[])), StepError::Rows(0), "no rows"),
        (step(1, all, 3, tokens(long)), StepError::Rows(limits::PASS_ROWS + 1), "too many rows"),
        (
            step(1, Layers::new(0, 3), 3, tokens(&[1])),
            StepError::NotLoaded(Layers::new(0, 3)),
            "no such layer",
        ),
        (
            step(1, Layers::new(1, 1), 3, tokens(&[1])),
            StepError::NotLoaded(Layers::new(1, 1)),
            "no layer at all",
        ),
        (step(1, first, 3, tokens(&[1])), StepError::NotLoaded(first), "not the layers that it began with"),
        (step(3, second, 0, Input::Hidden(&row[..31])), StepError::HiddenSize(31, 32), "not a whole row"),
        (step(3, second, 0, Input::Hidden(&[])), StepError::Rows(0), "no hidden states"),
        (step(3, second, 0, Input::Hidden(&nan)), StepError::NotFinite(7), "a number that is none"),
    ];
    for (hostile, expected, why) in rows {
        assert_eq!(block_on(engine.run(hostile)), Err(Error::Step(expected)), "{why}");
    }
    let kinds = [(second, tokens(&[1])), (first, Input::Hidden(&row))];
    for (layers, input) in kinds {
        let refused = block_on(engine.run(step(3, layers, 0, input)));
        assert!(matches!(refused, Err(Error::Step(StepError::Kind { .. }))), "{layers}: {refused:?}");
    }
    assert_eq!(engine.sessions(), 1, "no refused step may open a session");
    assert_eq!(
        block_on(engine.run(step(1, all, 3, tokens(&[6])))),
        Ok(StepOut::Nothing),
        "the session goes on"
    );
}

#[test]
fn sampling_is_asked_for_at_the_head_with_valid_settings_only() {
    let checkpoint = tiny_checkpoint();
    let mut engine = checkpoint.engine(&Opened::cpu(), Layers::new(0, 2));
    let (greedy, tokens) = (Sampling::greedy().to_bytes().unwrap(), [1, 4]);
    let headless =
        Step { draw: Some(draw(&greedy)), ..step(1, Layers::new(0, 1), 0, Input::Tokens(&tokens)) };
    assert_eq!(block_on(engine.run(headless)), Err(Error::Step(StepError::Headless(Layers::new(0, 1)))));
    for garbage in [&[][..], &[255; 40], &[0; 100]] {
        let garbled =
            Step { draw: Some(draw(garbage)), ..step(1, Layers::new(0, 2), 0, Input::Tokens(&tokens)) };
        assert!(matches!(block_on(engine.run(garbled)), Err(Error::Sampling(_))), "{garbage:?}");
    }
    let good = Step { draw: Some(draw(&greedy)), ..step(1, Layers::new(0, 2), 0, Input::Tokens(&tokens)) };
    assert!(matches!(block_on(engine.run(good)), Ok(StepOut::Token { .. })));
}

#[test]
fn sessions_are_bounded_and_freed() {
    let checkpoint = tiny_checkpoint();
    let all = Layers::new(0, 2);
    let mut engine = checkpoint.engine(&Opened::cpu(), all);
    let start = |session| step(session, all, 0, Input::Tokens(&[1]));
    for session in 0..limits::SESSIONS as u32 {
        block_on(engine.run(start(session))).unwrap();
    }
    assert_eq!(block_on(engine.run(start(99))), Err(Error::Step(StepError::Sessions)));
    engine.forget(&0);
    assert!(block_on(engine.run(start(99))).is_ok());
    engine.unload(Layers::new(1, 2));
    assert_eq!(engine.sessions(), 0, "sessions that ran on a freed layer are gone");
    assert!(!engine.holds(all) && engine.holds(Layers::new(0, 1)));
    assert_eq!(block_on(engine.run(start(5))), Err(Error::Step(StepError::NotLoaded(all))));
    engine.unload(Layers::new(0, usize::MAX));
    assert!(!engine.holds(Layers::new(0, 1)));
}

#[test]
fn the_probe_measures_something() {
    let engine: Engine<u32> = Engine::new(Opened::cpu(), &tiny(), tiny_checkpoint().header);
    let pace = block_on(engine.probe()).unwrap();
    assert!(pace.token_micros > 0 && pace.pass_micros > 0, "{pace:?}");
}
