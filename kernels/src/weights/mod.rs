//! Files of weights: which bytes of them a tensor is, and what numbers those bytes are.

mod safetensors;

pub use safetensors::{ByteRange, Header, Number};
