//! What `manyhands manifest` makes is what the other commands fetch by: each kind of model is served with its manifest, written or
//! painted with, found again without its host, and refused by name when a byte of it was changed.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::origin::Origin;
use tests::peer::LIMIT;
use tests::program::{built, painter_model, root, story_checkpoint, story_model};

/// A folder that is gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("manyhands-manifest-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("model"))?;
        Ok(Self(folder))
    }

    /// Where the model lies that is served.
    fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// What the program prints and what it complains of, whether it succeeds or fails.
    fn run(&self, arguments: &[&str]) -> Result<(bool, String, String)> {
        let [said, complained] = ["stdout", "stderr"].map(|name| self.0.join(name));
        let mut child = Command::new(built("manyhands")?)
            .args(arguments)
            .current_dir(root())
            .env("RUST_LIB_BACKTRACE", "0")
            .stdout(Stdio::from(fs::File::create(&said)?))
            .stderr(Stdio::from(fs::File::create(&complained)?))
            .spawn()?;
        let started = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if started.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(50)),
                None => {
                    child.kill()?;
                    bail!("{arguments:?} does not end; it said {}", fs::read_to_string(&complained)?);
                }
            }
        };
        Ok((status.success(), fs::read_to_string(said)?, fs::read_to_string(complained)?))
    }

    /// What it prints when it succeeds.
    fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let (success, said, complained) = self.run(arguments)?;
        ensure!(success, "{arguments:?}: {complained}");
        Ok(said)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All files of a folder and of those in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The header of a safetensors file and what follows it.
fn parts(file: &[u8]) -> Result<(Map<String, Value>, &[u8])> {
    let (length, rest) = file.split_first_chunk::<8>().context("a length")?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("a header")?;
    let mut header: Map<String, Value> = serde_json::from_slice(header)?;
    header.remove("__metadata__");
    Ok((header, data))
}

/// Where a tensor's bytes lie behind the header.
fn range(tensor: &Value) -> Result<std::ops::Range<usize>> {
    let offset = |index: usize| tensor["data_offsets"][index].as_u64().context("an offset");
    Ok(offset(0)? as usize..offset(1)? as usize)
}

/// The story model in two files of weights with an index, as large checkpoints are published.
fn sharded(to: &Path) -> Result<()> {
    let file = fs::read(story_checkpoint().join("model.safetensors"))?;
    let (header, data) = parts(&file)?;
    let (mut shards, mut map) = ([(Map::new(), Vec::new()), (Map::new(), Vec::new())], Map::new());
    for (index, (name, tensor)) in header.iter().enumerate() {
        let (entries, bytes) = &mut shards[index % 2];
        let mut entry = tensor.clone();
        let start = bytes.len();
        bytes.extend_from_slice(&data[range(tensor)?]);
        entry["data_offsets"] = json!([start, bytes.len()]);
        entries.insert(name.clone(), entry);
        map.insert(name.clone(), format!("model-0000{}-of-00002.safetensors", index % 2 + 1).into());
    }
    for (number, (entries, bytes)) in shards.into_iter().enumerate() {
        let header = Value::Object(entries).to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat();
        fs::write(to.join(format!("model-0000{}-of-00002.safetensors", number + 1)), file)?;
    }
    fs::write(to.join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string())?;
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(story_checkpoint().join(name), to.join(name))?;
    }
    Ok(())
}

/// Changes a byte near the end of a file, where the weights are.
fn damage(file: &Path) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let at = bytes.len() - 1000;
    bytes[at] ^= 0x10;
    Ok(fs::write(file, bytes)?)
}

/// One kind of model.
struct Kind {
    name: &'static str,
    /// What of the folder is named to `manifest`, and behind the address.
    named: &'static str,
    /// What is asked for.
    ask: &'static [&'static str],
    /// The file of weights that is changed in the end.
    weights: &'static str,
}

const WRITE: &[&str] = &["generate", "--prompt", "Once upon a time", "--max-tokens", "24", "--seed", "7"];
const PAINT: &[&str] = &["paint", "--prompt", "a red boat on the sea", "--steps", "2", "--seed", "7"];

/// A picture without what its file says of the model.
fn pixels(file: &[u8]) -> Result<Vec<u8>> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("it has a size")?];
    reader.next_frame(&mut pixels)?;
    Ok(pixels)
}

/// What a model makes: the text, or the picture.
fn made(place: &Place, kind: &Kind, model: &str, store: &str) -> Result<(bool, Vec<u8>, String)> {
    let (out, store) = (place.path("out.png"), place.path(store));
    let _ = fs::remove_file(&out);
    let mut arguments =
        [kind.ask, &["--cpu", "--threads", "1", "--model", model, "--store", &store]].concat();
    if kind.ask == PAINT {
        arguments.extend(["--out", out.as_str()]);
    }
    let (success, said, complained) = place.run(&arguments)?;
    let made = if kind.ask == PAINT && success { pixels(&fs::read(&out)?)? } else { said.into_bytes() };
    Ok((success, made, complained))
}

fn from_end_to_end(kind: &Kind, lay_out: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let place = Place::new(kind.name)?;
    lay_out(&place.model())?;
    let local = place.model().join(kind.named).to_string_lossy().into_owned();
    let (success, expected, complained) = made(&place, kind, &local, "unused")?;
    ensure!(success && expected.len() > 50, "{}, from its files: {complained}", kind.name);
    let about = ["--name", kind.name, "--licence", "MIT", "--source", "https://host/model/"];
    let content = place.succeed(&[&["manifest", &local], &about[..]].concat())?.trim().to_owned();
    let json: Value =
        serde_json::from_str(&place.succeed(&[&["manifest", &local, "--json"], &about[..]].concat())?)?;
    ensure!(content == format!("content:{}", json["id"].as_str().context("an id")?), "the same again");
    ensure!(json["root"]["about"]["licence"] == "MIT", "{}", json["root"]["about"]);

    let origin = Origin::start(&place.model())?;
    let address = format!("{}{}", origin.url(), kind.named);
    let (success, found, complained) = made(&place, kind, &address, "store")?;
    ensure!(success && found == expected, "{}, from its address: {complained}", kind.name);
    let served = origin.served(|path| path == kind.weights);
    let length = fs::metadata(place.model().join(kind.weights))?.len();
    ensure!(served <= length && served * 10 > length * 9, "{served} of {length} bytes, each once");
    let kept = place.succeed(&["store", "list", "--store", &place.path("store")])?;
    ensure!(kept.contains(&content) && kept.contains(kind.name), "{kept}");

    origin.switch(false);
    let (success, found, complained) = made(&place, kind, &content, "store")?;
    ensure!(success && found == expected, "{}, by its name: {complained}", kind.name);
    let (success, _, complained) = made(&place, kind, &content, "empty")?;
    ensure!(!success && complained.contains("nobody else"), "{}, from nowhere: {complained}", kind.name);

    origin.switch(true);
    damage(&place.model().join(kind.weights))?;
    let (success, _, complained) = made(&place, kind, &address, "other")?;
    let says = format!("{} is not what its manifest says", kind.weights);
    ensure!(!success && complained.contains(&says), "{}, changed: {complained}", kind.name);
    Ok(())
}

#[test]
fn a_gguf_file() -> Result<()> {
    let kind = Kind { name: "gguf", named: "story.gguf", ask: WRITE, weights: "story.gguf" };
    from_end_to_end(&kind, |to| Ok(fs::copy(story_model(), to.join("story.gguf")).map(drop)?))
}

#[test]
fn a_folder_of_shards() -> Result<()> {
    let weights = "model-00002-of-00002.safetensors";
    from_end_to_end(&Kind { name: "shards", named: "", ask: WRITE, weights }, sharded)
}

#[test]
fn a_folder_of_diffusers() -> Result<()> {
    let weights = "transformer/diffusion_pytorch_model.safetensors";
    let kind = Kind { name: "diffusers", named: "", ask: PAINT, weights };
    from_end_to_end(&kind, |to| copy(&painter_model(), to))
}

/// The story model as DOPPLER lays models out: shards of raw bytes, and one description.
fn doppler(to: &Path) -> Result<()> {
    let file = fs::read(story_checkpoint().join("model.safetensors"))?;
    let (header, data) = parts(&file)?;
    let cut = data.len() / 2;
    let (mut tensors, mut shards) = (Map::new(), Vec::new());
    for (name, tensor) in &header {
        let at = range(tensor)?;
        let mut spans = Vec::new();
        for (index, shard) in [0..cut, cut..data.len()].into_iter().enumerate() {
            let (start, end) = (at.start.max(shard.start), at.end.min(shard.end));
            if start < end {
                spans.push(json!({"shardIndex": index, "offset": start - shard.start, "size": end - start}));
            }
        }
        let first = spans.first().context("bytes")?;
        let mut entry = json!({"shard": first["shardIndex"], "offset": first["offset"], "size": at.len(),
            "shape": tensor["shape"], "dtype": tensor["dtype"]});
        if spans.len() > 1 {
            entry["spans"] = spans.into();
        }
        tensors.insert(name.clone(), entry);
    }
    for (index, shard) in [&data[..cut], &data[cut..]].into_iter().enumerate() {
        let name = format!("shard_{index:05}.bin");
        let hash = kernels::weights::manifest::Hash::of(shard).to_string();
        fs::write(to.join(&name), shard)?;
        shards
            .push(json!({"index": index, "filename": name, "size": shard.len(), "hash": hash, "offset": 0}));
    }
    let manifest = json!({"version": 1, "modelId": "story-rdrr", "modelType": "transformer", "hashAlgorithm": "blake3",
        "shards": shards, "tensorCount": tensors.len(), "tensors": tensors, "totalSize": data.len()});
    Ok(fs::write(to.join("manifest.json"), manifest.to_string())?)
}

#[test]
fn a_folder_of_doppler() -> Result<()> {
    let place = Place::new("doppler")?;
    doppler(&place.model())?;
    let model = place.path("model");
    let json: Value = serde_json::from_str(&place.succeed(&["manifest", &model, "--json"])?)?;
    ensure!(json["root"]["about"]["name"] == "story-rdrr" && json["root"]["files"] == 3, "{}", json["root"]);
    let names = |page: &Value| page["tensors"].as_array().map_or(0, Vec::len);
    let tensors: usize = json["pages"].as_array().context("pages")?.iter().map(names).sum();
    let file = fs::read(story_checkpoint().join("model.safetensors"))?;
    ensure!(tensors == parts(&file)?.0.len(), "{tensors} tensors");
    ensure!(place.model().join(kernels::weights::manifest::FILE_NAME).is_file(), "it lies beside the model");
    damage(&place.model().join("shard_00001.bin"))?;
    let (success, _, complained) = place.run(&["manifest", &model])?;
    ensure!(!success && complained.contains("shard_00001.bin is not the file"), "{complained}");
    Ok(())
}
