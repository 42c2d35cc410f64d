//! Reference checkpoints and what the reference implementation answers. They are not part of this repository: where
//! they are absent, the tests say so and pass.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use kernels::Error;
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::engine::Engine;
use kernels::llm::{Config, Layers, Model};
use kernels::weights::{ByteRange, Header};
use safetensors::{Dtype, SafeTensors};
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
        let config = Config::from_json(&shared(&format!("{folder}/{config}"))?).unwrap();
        let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
        Some(Self { config, header, bytes })
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
