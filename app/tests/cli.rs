//! The native program as a person in a terminal meets it.

use std::path::Path;
use std::process::{Command, Output};

fn manyhands(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("app/ lies in the workspace");
    Command::new(env!("CARGO_BIN_EXE_manyhands"))
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("the program starts")
}

const REFERENCE: &str = "kernels/tests/data/qwen2/ref.safetensors";

fn story(seed: &str) -> String {
    let output = manyhands(&[
        "generate",
        "--cpu",
        "--max-tokens",
        "24",
        "--seed",
        seed,
        "--prompt",
        "Once upon a time",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a story is UTF-8")
}

#[test]
fn the_same_seed_writes_the_same_story() {
    let first = story("7");
    assert!(first.starts_with("Once upon a time"), "{first:?}");
    assert!(first.len() > "Once upon a time".len() + 20, "{first:?}");
    assert_eq!(first, story("7"));
    assert_ne!(first, story("8"), "another seed, another story");
}

/// What `generate` writes of a story of 60 tokens, with more arguments.
fn written(more: &[&str]) -> String {
    let output = manyhands(&[&["generate", "--cpu", "--max-tokens", "60", "--seed", "7"], more].concat());
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a story is UTF-8")
}

#[test]
fn threads_change_no_letter() {
    let prompt = ["--prompt", "Once upon a time"];
    let one = written(&[&prompt[..], &["--threads", "1"]].concat());
    assert_eq!(one, written(&[&prompt[..], &["--threads", "3"]].concat()));
    let refused = manyhands(&["generate", "--prompt", "Once", "--threads", "0"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("from 1 to 256"), "{why}");
}

#[test]
fn settings_of_an_answer_do_what_they_say() {
    let prompt = ["--prompt", "Once upon a time"];
    let plain = written(&prompt);
    assert_eq!(plain, written(&[&prompt[..], &["--stream"]].concat()), "all at once or as it comes");
    let middle = plain[plain.len() / 2..].split_whitespace().nth(1).expect("a word");
    let (before, _) = plain.split_once(middle).expect("it is there");
    assert_eq!(before, written(&[&prompt[..], &["--stop", middle]].concat()), "ends before {middle:?}");
    for other in [["--repetition-penalty", "1.3"], ["--frequency-penalty", "0.5"], ["--top-k", "1"]] {
        assert_ne!(plain, written(&[&prompt[..], &other].concat()), "{other:?}");
    }
}

/// The story model with a chat template of its own.
#[test]
fn a_message_is_written_as_the_models_template_says() {
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/story");
    let folder = std::env::temp_dir().join(format!("manyhands-chat-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in std::fs::read_dir(&story).expect("the story model").map(|entry| entry.expect("a file")) {
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
    }
    let template = "{% for message in messages %}Once upon a time, {{ message.content }}{% endfor %}";
    std::fs::write(folder.join("chat_template.jinja"), template).expect("a template");
    let chat = written(&["--chat", "--prompt", "there was", "--model", &folder.to_string_lossy()]);
    let plain = written(&["--prompt", "Once upon a time, there was", "--model", &story.to_string_lossy()]);
    assert_eq!(Some(chat.as_str()), plain.strip_prefix("Once upon a time, there was"), "only the answer");
    std::fs::remove_dir_all(&folder).expect("the folder was there");
}

/// A tensor of a safetensors file, as f32.
fn floats(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).expect("the file is there");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = file.tensor(name).expect("the tensor is there");
    let values = tensor.data().as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    (tensor.shape().to_vec(), values)
}

/// One of the reference models of `kernels`, evaluated in every way that the command knows.
#[test]
fn scores_match_the_reference_in_every_way_of_computing_them() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/tests/data");
    let out = std::env::temp_dir().join(format!("manyhands-eval-{}.safetensors", std::process::id()));
    let ways: [&[&str]; 6] = [
        &[],
        &["--step"],
        &["--cache", "f32"],
        &["--cache", "f16"],
        &["--stages", "0..1,1..2"],
        &["--stages", "0..1,1..2", "--step"],
    ];
    for (model, ways) in
        [("mixtral", &ways[..]), ("mixtral/model.gguf", &ways[..]), ("gemma2/model.gguf", &ways[4..])]
    {
        let reference = data.join(model.trim_end_matches("/model.gguf")).join("ref.safetensors");
        let (shape, expected) = floats(&reference, "logits");
        for way in ways {
            let (model, inputs) = (data.join(model), reference.to_str().expect("UTF-8"));
            let model = model.to_str().expect("UTF-8");
            let fixed = ["eval", "--model", model, "--inputs", inputs, "--out", out.to_str().expect("UTF-8")];
            let output = manyhands(&[&fixed[..], way].concat());
            assert!(output.status.success(), "{way:?}: {}", String::from_utf8_lossy(&output.stderr));
            let (found_shape, found) = floats(&out, "logits");
            assert_eq!(found_shape, shape);
            let worst = found.iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
            let (least, most) = if way.contains(&"f16") { (1e-7, 1e-2) } else { (0.0, 1e-3) };
            assert!((least..most).contains(&worst), "{model} {way:?}: largest difference {worst}");
        }
    }
    std::fs::remove_file(&out).expect("it was written");
}

/// A part of a picture model: the folder says which it is, the inputs what is wanted of it.
#[test]
fn parts_of_picture_models_match_the_reference() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/tests/data/picture");
    let out = std::env::temp_dir().join(format!("manyhands-part-{}.safetensors", std::process::id()));
    let rows: [(&str, &[&str], &[&str]); 3] = [
        ("prx-pixel", &["y"], &[]),
        ("prx-pixel", &["y"], &["--stages", "0..1,1..2"]),
        ("kl-quant", &["decoded", "encoded_mean"], &[]),
    ];
    for (model, names, way) in rows {
        let reference = data.join(model).join("ref.safetensors");
        let (model, inputs) = (data.join(model), reference.to_str().expect("UTF-8"));
        let (model, file) = (model.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
        let fixed = ["eval", "--model", model, "--inputs", inputs, "--out", file];
        let output = manyhands(&[&fixed[..], way].concat());
        assert!(output.status.success(), "{model} {way:?}: {}", String::from_utf8_lossy(&output.stderr));
        for name in names {
            let ((shape, expected), (found_shape, found)) = (floats(&reference, name), floats(&out, name));
            assert_eq!(found_shape, shape, "{name}");
            let worst = found.iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 1e-3, "{model} {name} {way:?}: largest difference {worst}");
        }
    }
    std::fs::remove_file(&out).expect("it was written");
}

/// Every token with its own log-probability and those of the likeliest; the text is the same as without.
#[test]
fn log_probabilities_are_told_on_request() {
    let prompt = ["--prompt", "Once upon a time", "--temperature", "0"];
    let told = written(&[&prompt[..], &["--logprobs", "3"]].concat());
    let (text, lines) = told.split_once('{').expect("lines of JSON behind the text");
    assert_eq!(text.trim_end(), written(&prompt).trim_end());
    let lines = format!("{{{lines}");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 10, "{} tokens", lines.len());
    for line in lines {
        let best: Vec<(u64, f64)> = serde_json::from_value(line["top_logprobs"].clone()).expect("pairs");
        assert!(best.len() == 3 && best.is_sorted_by(|a, b| a.1 >= b.1) && best[0].1 <= 0.0, "{line}");
        assert_eq!(
            (line["token"].as_u64(), line["logprob"].as_f64()),
            (Some(best[0].0), Some(best[0].1)),
            "greedy"
        );
    }
}

#[test]
fn half_precision_caches_write_too() {
    let prompt = ["--prompt", "Once upon a time"];
    let half = [&prompt[..], &["--cache", "f16"]].concat();
    assert_eq!(written(&half), written(&half));
    assert!(written(&half).starts_with("Once upon a time"));
    assert_eq!(written(&prompt), written(&[&prompt[..], &["--cache", "f32"]].concat()), "f32 is usual");
}

#[test]
fn what_is_wrong_is_named() {
    let table: [(&[&str], &str, &str); 12] = [
        (&["generate", "--prompt", "x", "--cache", "f8"], "f16", "no such cache"),
        (
            &["eval", "--model", "no/such", "--inputs", REFERENCE, "--out", "o"],
            "no/such",
            "a model that is not there",
        ),
        (
            &["eval", "--model", "kernels/tests/data/qwen2", "--inputs", "Cargo.toml", "--out", "o"],
            "cargo.toml",
            "no ids",
        ),
        (
            &[
                "eval",
                "--model",
                "kernels/tests/data/qwen2",
                "--inputs",
                REFERENCE,
                "--out",
                "o",
                "--stages",
                "0..1",
            ],
            "stages",
            "half of a model",
        ),
        (
            &[
                "eval",
                "--model",
                "kernels/tests/data/qwen2",
                "--inputs",
                REFERENCE,
                "--out",
                "o",
                "--stages",
                "0-2",
            ],
            "range",
            "not a range",
        ),
        (
            &["generate", "--prompt", "x", "--model", "no/such/folder"],
            "config.json",
            "a folder without a model",
        ),
        (&["generate", "--prompt", ""], "empty", "an empty prompt"),
        (&["generate", "--prompt", "x", "--temperature=-1"], "temperature", "a setting out of range"),
        (&["generate", "--prompt", "x", "--chat"], "no chat template", "a model that knows no conversation"),
        (&["generate", "--prompt", "x", "--logit-bias", "five"], "42=-1.5", "not a bias"),
        (&["peer", "--room", "http://localhost:1/"], "link", "a link without a room"),
        (&["peer"], "--room", "a missing argument"),
    ];
    for (arguments, named, why) in table {
        let output = manyhands(arguments);
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success(), "{why} must fail");
        assert!(said.contains(named), "{why}: {said}");
    }
}

/// A mixture of the shared test data, 1.8 MB, in one megabyte: the same scores, and figures of what was read.
#[test]
fn a_mixture_that_does_not_fit_reads_its_experts() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let (model, words) = (data.join("lm/mixtral"), data.join("stories260K/hf/tokenizer.json"));
    if !model.is_dir() || !words.is_file() {
        println!("skipped: shared test data is not here");
        return;
    }
    let folder = std::env::temp_dir().join(format!("manyhands-experts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(file), folder.join(file)).expect("a copy");
    }
    std::fs::copy(words, folder.join("tokenizer.json")).expect("a copy");
    let (inputs, out) = (model.join("ref.safetensors"), folder.join("out.safetensors"));
    let [model, inputs, out] = [&folder, &inputs, &out].map(|path| path.to_str().expect("UTF-8"));
    let scores = |more: &[&str]| {
        let fixed = ["eval", "--model", model, "--inputs", inputs, "--out", out];
        let output = manyhands(&[&fixed[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        floats(Path::new(out), "logits")
    };
    assert!(scores(&["--memory", "1"]) == scores(&[]), "the bits of a model that fits");
    assert!(scores(&["--memory", "1", "--step"]) == scores(&["--step"]));
    let bench = ["bench", "--model", model, "--prefill", "4", "--decode", "4", "--runs", "1", "--json"];
    let figures = |more: &[&str]| {
        let output = manyhands(&[&bench[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let paged = figures(&["--memory", "1"]);
    let number = |name: &str| paged[name].as_f64().expect(name);
    assert!(number("expert_misses") > 0.0 && number("expert_bytes_read") > 0.0, "{paged}");
    assert!(number("expert_hits") + number("expert_misses") >= (4 * 3 * 2) as f64, "{paged}");
    assert!(number("expert_peak_bytes") <= number("expert_budget"), "{paged}");
    assert!(number("expert_budget") < 1024.0 * 1024.0 && number("expert_stall_ms") > 0.0, "{paged}");
    assert!(figures(&["--memory", "2"])["expert_misses"].is_null(), "it fits");
    std::fs::remove_dir_all(&folder).expect("it was made");
}
