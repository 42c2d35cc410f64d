//! The settings of an answer as they travel with its job. The coordinator does not look at them; the worker turns
//! them into those of `kernels`, which checks them.

use crate::node::view::WriteRequest;
use serde::{Deserialize, Serialize};

/// How tokens are chosen; postcard on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// The same seed writes the same answer.
    pub seed: u64,
}

impl Sampling {
    /// Those of a request.
    #[must_use]
    pub const fn of(request: &WriteRequest) -> Self {
        Self { temperature: request.temperature, top_p: request.top_p, seed: request.seed }
    }

    /// For the wire.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        postcard::to_stdvec(&self).expect("numbers can be written to memory")
    }

    /// From the wire; None if these are other bytes. The values may be out of range.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes)
            .ok()
            .filter(|(_, rest)| rest.is_empty())
            .map(|(settings, _)| settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_whole_or_not_at_all() {
        let settings = Sampling { temperature: 0.8, top_p: 0.95, seed: u64::MAX };
        let bytes = settings.to_bytes();
        assert_eq!(Sampling::from_bytes(&bytes), Some(settings));
        assert_eq!(Sampling::from_bytes(&bytes[..bytes.len() - 1]), None, "cut off");
        assert_eq!(Sampling::from_bytes(&[bytes, vec![0]].concat()), None, "with something behind it");
    }
}
