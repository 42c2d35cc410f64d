//! Which device computes: WebGPU where there is an adapter, the CPU everywhere else.

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuSetup, wgpu};
use std::sync::Mutex;

/// What to try first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// WebGPU, and the CPU if there is none.
    Gpu,
    /// The CPU only.
    Cpu,
}

/// What was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// WebGPU, in a browser or natively.
    Gpu,
    /// The CPU: SIMD, on as many threads as were [taken](crate::ops::threads::take).
    Cpu,
}

/// A device that is ready to compute.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where tensors live; clones are the same device.
    pub device: Device,
    /// Which tier it is.
    pub kind: Kind,
    /// The adapter as it names itself, for people.
    pub adapter: String,
    /// Why it is not what was preferred, in plain words.
    pub notice: Option<String>,
}

impl Opened {
    /// The CPU, which is always there.
    #[must_use]
    pub fn cpu() -> Self {
        Self { device: Device::flex(), kind: Kind::Cpu, adapter: "CPU".into(), notice: None }
    }

    /// The CPU in place of the GPU that was wanted.
    #[must_use]
    pub fn fallback(why: &str) -> Self {
        Self { notice: Some(format!("{why} This device computes on its CPU instead.")), ..Self::cpu() }
    }
}

/// burn opens the GPU once in the life of a process (or of a web worker), so that it is kept.
static GPU: Mutex<Option<Opened>> = Mutex::new(None);

/// Opens a device. It never fails: without a usable GPU it opens the CPU and says why in [`Opened::notice`].
///
/// Open it in one place: two that open the GPU at the same time get in each other's way.
/// After a GPU was lost it cannot be opened again by the same process or web worker: start another one.
pub async fn open(prefer: Prefer) -> Opened {
    if prefer == Prefer::Cpu {
        return Opened::cpu();
    }
    let kept = GPU.lock().ok().and_then(|kept| kept.clone());
    if let Some(opened) = kept {
        return opened;
    }
    match Device::wgpu_options().init_with_setup_async().await {
        Ok((device, setup)) => {
            let opened = Opened { device, kind: Kind::Gpu, adapter: describe(&setup), notice: None };
            if let Ok(mut kept) = GPU.lock() {
                *kept = Some(opened.clone());
            }
            opened
        }
        Err(error) => Opened::fallback(&plain(&error)),
    }
}

fn describe(setup: &WgpuSetup) -> String {
    let info = setup.adapter.get_info();
    // Browsers give away little: an empty name is the rule there.
    let parts = [info.name, info.driver, info.driver_info];
    let named = parts.into_iter().find(|part| !part.is_empty()).unwrap_or_else(|| "WebGPU".into());
    match info.device_type {
        wgpu::DeviceType::Cpu => format!("{named} (software)"),
        _ => named,
    }
}

fn plain(error: &WgpuInitError) -> String {
    match error {
        WgpuInitError::AdapterUnavailable { .. } | WgpuInitError::UnsupportedGraphicsApi { .. } => {
            "WebGPU found no graphics device here; a newer browser, or turning on hardware acceleration, may help.".into()
        }
        other => format!("WebGPU could not be started ({other})."),
    }
}
