//! Reference checkpoints and what the reference implementation answers. They are not part of this repository: where
//! they are absent, the tests say so and pass.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use kernels::Error;
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::engine::Engine;
use kernels::llm::{Config, Layers, Model};
use kernels::weights::{ByteRange, Files, Header};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

pub use futures::executor::block_on;

/// A file of the shared test data.
pub fn shared(path: &str) -> Option<Vec<u8>> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    let bytes = std::fs::read(full).ok();
    if bytes.is_none() {
        println!("skipped: shared test data {path} is not here");
    }
    bytes
}

/// A file of this repository's own reference models, which `references/make.py` made.
pub fn own(path: &str) -> Vec<u8> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path);
    std::fs::read(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

/// Files in memory, by name.
#[derive(Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    async fn length(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).map(|file| file.len() as u64).ok_or_else(|| format!("{name} is not here"))
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        let file = self.0.get(name).ok_or_else(|| format!("{name} is not here"))?;
        let part = file.get(range.start as usize..range.end as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} ends at {}", file.len()))
    }
}

/// The devices to test on: the CPU always, a GPU where there is one. Opened once, not by every test at a time.
pub fn devices() -> Vec<Opened> {
    static DEVICES: LazyLock<Vec<Opened>> = LazyLock::new(|| {
        let gpu = block_on(device::open(Prefer::Gpu));
        match gpu.kind {
            Kind::Gpu => vec![Opened::cpu(), gpu],
            Kind::Cpu => {
                println!("skipped on the GPU: {}", gpu.notice.unwrap_or_default());
                vec![Opened::cpu()]
            }
        }
    });
    DEVICES.clone()
}

/// A checkpoint in memory.
pub struct Checkpoint {
    pub config: Config,
    pub header: Header,
    pub bytes: Vec<u8>,
}

impl Checkpoint {
    /// `folder` holds `model.safetensors` and `config`.
    pub fn open(folder: &str, config: &str) -> Option<Self> {
        let bytes = shared(&format!("{folder}/model.safetensors"))?;
        Some(Self::of(&shared(&format!("{folder}/{config}"))?, bytes))
    }

    /// One of this repository's own reference models.
    pub fn own(folder: &str, config: &str) -> Self {
        Self::of(&own(&format!("{folder}/{config}")), own(&format!("{folder}/model.safetensors")))
    }

    /// From `config.json` and `model.safetensors`.
    pub fn of(config: &[u8], bytes: Vec<u8>) -> Self {
        let config = Config::from_json(config).unwrap();
        let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
        Self { config, header, bytes }
    }

    /// From a GGUF file.
    pub fn gguf(bytes: Vec<u8>) -> Self {
        let files = Memory(BTreeMap::from([("model.gguf".to_owned(), bytes)]));
        let read = block_on(kernels::weights::Checkpoint::of_gguf(&files, "model.gguf")).unwrap();
        let bytes = files.0.into_values().next().unwrap();
        Self { config: read.config, header: read.header, bytes }
    }

    pub fn all(&self) -> Layers {
        Layers::new(0, self.config.layers)
    }

    /// What the shell does on the web with a range request.
    pub async fn read(&self, range: &ByteRange) -> Result<Vec<u8>, String> {
        Ok(self.bytes[range.range.start as usize..range.range.end as usize].to_vec())
    }

    pub fn model(&self, opened: &Opened, layers: Layers) -> Result<Model, Error> {
        let mut model = Model::empty(&self.config, &opened.device);
        block_on(model.load(layers, &self.header, &opened.device, async |range| self.read(range).await))?;
        Ok(model)
    }

    pub fn engine(&self, opened: &Opened, layers: Layers) -> Engine<u32> {
        let mut engine = Engine::new(opened.clone(), &self.config, self.header.clone());
        block_on(engine.load(layers, async |range| self.read(range).await)).unwrap();
        engine
    }
}

/// Expected tensors by name.
pub struct Reference(pub Vec<u8>);

impl Reference {
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32);
        tensor.data().as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).is_ok()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64);
        tensor.data().as_chunks::<8>().0.iter().map(|eight| i64::from_le_bytes(*eight) as u32).collect()
    }
}

/// Fails unless the largest difference is within 1e-3 of the reference's standard deviation.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let mean = expected.iter().map(|value| f64::from(*value)).sum::<f64>() / expected.len() as f64;
    let variance =
        expected.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / expected.len() as f64;
    let allowed = 1e-3 * variance.sqrt();
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
    let worst = differences.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) });
    println!("{what}: largest difference {worst:.2e} of {allowed:.2e} allowed");
    assert!(worst <= allowed, "{what}: largest difference {worst:.3e}, allowed {allowed:.3e}");
}
