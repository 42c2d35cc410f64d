//! Launching our own WGSL on burn's WebGPU tensors, and counting what it costs.
//!
//! A kernel is a template and constants (`source`): shapes of a model are constants, so that the shader compiler
//! sees them; the number of rows of a pass is an argument, so that a prompt of another length is not another
//! kernel. Every kernel gives a row the same bits whatever rows are computed beside it.

mod counters;
mod source;

use burn::tensor::{DType, Device, Int, Shape, Tensor};
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, ExecutionMode, KernelId};
use burn_cubecl::cubecl::server::{Handle, KernelArguments, MetadataBindingInfo};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
pub use counters::Counters;
pub use source::{Const, Consts};
use std::sync::Arc;

/// Why a device cannot run these kernels, or cannot hold what was given to it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The tensor or device is not one of burn's WebGPU backend. Cure: use the CPU kernels.
    #[error("the device is not WebGPU: {0}")]
    NotGpu(String),
    /// Sizes that no kernel takes. Cure: another format for this matrix.
    #[error("{0}")]
    Unsupported(String),
    /// More than the device can bind at once, or more rows than were announced.
    #[error("{what}: {found} where {expected} were announced")]
    Size {
        /// What has a size.
        what: &'static str,
        /// What it should have been.
        expected: usize,
        /// What it was.
        found: usize,
    },
    /// The device failed. Cure: start another worker, or use the CPU.
    #[error("compute device: {0}")]
    Device(String),
}

/// A WebGPU device as our kernels need it.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) client: Client,
    pub(crate) device: CubeDevice,
    counters: Arc<counters::Running>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Gpu {
    /// The device behind `device`.
    ///
    /// # Errors
    /// [`Error::NotGpu`] for every other kind of device.
    pub fn of(device: &Device) -> Result<Self, Error> {
        let probe = primitive(Tensor::<1>::empty([1], device))?;
        Ok(Self { client: probe.client, device: probe.device, counters: Arc::default() })
    }

    /// What has been launched, written and read through this and its clones.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.now()
    }

    /// Bytes that one binding may have.
    #[must_use]
    pub fn binding_limit(&self) -> usize {
        usize::try_from(self.client.properties().memory.max_page_size).unwrap_or(usize::MAX)
    }

    /// Room on the device; its content is whatever was there before.
    pub(crate) fn empty(&self, bytes: usize) -> Handle {
        self.client.empty(bytes)
    }

    /// A float tensor that a kernel is about to write.
    pub(crate) fn output<const D: usize>(&self, shape: [usize; D]) -> (Handle, Tensor<D>) {
        let handle = self.empty(shape.iter().product::<usize>() * 4);
        (handle.clone(), self.tensor(handle, shape))
    }

    /// The float tensor that lies in `handle`.
    pub(crate) fn tensor<const D: usize>(&self, handle: Handle, shape: [usize; D]) -> Tensor<D> {
        let shape = Shape::from(shape);
        let (client, device) = (self.client.clone(), self.device.clone());
        Tensor::from_primitive::<CubeBackend>(CubeTensor::new_contiguous(
            client,
            device,
            shape,
            handle,
            DType::F32,
        ))
    }

    /// Small data of a pass, such as positions.
    pub(crate) fn upload(&self, words: &[u32]) -> Handle {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.counters.wrote(bytes.len());
        self.client.create_from_slice(&bytes)
    }

    /// The content of `handle` as words.
    pub(crate) async fn read(&self, handle: Handle) -> Result<Vec<u32>, Error> {
        let read = self.client.read_async(vec![handle]).await;
        let bytes = read.map_err(|error| Error::Device(error.to_string()))?.swap_remove(0);
        self.counters.read(bytes.len());
        Ok(bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect())
    }

    /// Runs `kernel` over `groups` workgroups.
    ///
    /// `buffers` are bound in the order of [`Kernel::bindings`]; `arguments` are `info[0]`, `info[1]`, … and go with
    /// every launch, so they should be the same in every token: then cubecl uploads them once.
    pub(crate) fn launch(
        &self,
        kernel: Kernel,
        groups: [usize; 3],
        buffers: Vec<Handle>,
        arguments: &[usize],
    ) {
        assert_eq!(kernel.bindings.len(), buffers.len(), "{}: buffers", kernel.name);
        self.counters.launched(buffers.len() + usize::from(!arguments.is_empty()));
        let [x, y, z] = groups.map(|count| u32::try_from(count).expect("a grid fits 32 bits"));
        assert!(x.max(y).max(z) <= GRID, "{}: a grid of {x}×{y}×{z}", kernel.name);
        let arguments = KernelArguments::new()
            .with_buffers(buffers.into_iter().map(Handle::binding).collect())
            .with_info(MetadataBindingInfo::custom(words(arguments)));
        let dim = CubeDim::new_1d(kernel.threads);
        self.client.launch(Box::new(SourceKernel::new(kernel, dim)), CubeCount::Static(x, y, z), arguments);
    }
}

/// Workgroups in one dimension. Source: WebGPU, default `maxComputeWorkgroupsPerDimension`.
const GRID: u32 = 65_535;

/// Two 32-bit arguments to a 64-bit word, as cubecl passes them.
fn words(arguments: &[usize]) -> Vec<u64> {
    let low = |at: usize| arguments.get(at).map_or(0, |value| *value as u64 & u64::from(u32::MAX));
    (0..arguments.len().div_ceil(2)).map(|pair| low(2 * pair) | low(2 * pair + 1) << 32).collect()
}

/// What a kernel does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads it.
    Read,
    /// Writes it, and perhaps reads it.
    Write,
}

/// One kernel: what it is compiled from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Tells kernels apart, together with their constants and bindings.
    pub name: &'static str,
    /// Templates, joined.
    pub parts: Vec<&'static str>,
    /// Constants of the templates.
    pub consts: Consts,
    /// Name, WGSL type and use of each buffer.
    pub bindings: Vec<(&'static str, &'static str, Access)>,
    /// Invocations of a workgroup.
    pub threads: u32,
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        let mut text = self.declarations();
        self.parts.iter().for_each(|part| text.push_str(&source::expand(part, &self.consts)));
        SourceTemplate::new(text)
    }

    fn id(&self) -> KernelId {
        // Unchecked: every loop here has a bound that is known to hold, and the guard costs.
        KernelId::new::<Self>()
            .info((self.name, self.consts.clone(), self.bindings.clone()))
            .cube_dim(CubeDim::new_1d(self.threads).into())
            .mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl Kernel {
    fn takes_arguments(&self) -> bool {
        self.parts.iter().any(|part| part.contains("info["))
    }

    fn declarations(&self) -> String {
        let mut text = String::new();
        let mut declare = |name: &str, kind: &str, access: &str| {
            let binding = text.matches("@binding").count();
            text += &format!("@group(0) @binding({binding}) var<storage, {access}> {name}: {kind};\n");
        };
        for (name, kind, access) in &self.bindings {
            declare(name, kind, access.wgsl());
        }
        // A buffer that is bound has to be used, and the other way round.
        if self.takes_arguments() {
            declare("info", "array<u32>", "read");
        }
        text
    }
}

impl Access {
    /// Natively tensors share pages, and a page that one binding writes may not be bound read-only by another.
    const fn wgsl(self) -> &'static str {
        match self {
            Self::Read if cfg!(target_family = "wasm") => "read",
            Self::Read | Self::Write => "read_write",
        }
    }
}

/// The contiguous f32 primitive of a WebGPU tensor.
pub(crate) fn primitive<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor, Error> {
    let found = tensor.try_into_primitive::<CubeBackend>();
    Ok(into_contiguous(found.map_err(|error| Error::NotGpu(format!("{error:?}")))?))
}

/// The buffer of a float tensor.
///
/// # Panics
/// If the tensor is not an f32 one of the WebGPU backend: a caller has dispatched on the device before.
pub(crate) fn buffer<const D: usize>(tensor: Tensor<D>) -> Handle {
    let tensor = primitive(tensor).expect("a WebGPU tensor");
    assert_eq!(tensor.dtype, DType::F32, "activations are f32");
    tensor.handle
}

/// The buffer of a tensor of 32-bit integers.
///
/// # Panics
/// As [`buffer`].
pub(crate) fn int_buffer<const D: usize>(tensor: Tensor<D, Int>) -> Handle {
    let tensor = tensor.try_into_primitive::<CubeBackend>().expect("a WebGPU tensor");
    assert!(matches!(tensor.dtype, DType::I32 | DType::U32), "ids are 32-bit integers");
    into_contiguous(tensor).handle
}
