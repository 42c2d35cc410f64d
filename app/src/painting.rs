//! What a person wants painted, as it travels with its job. The coordinator does not look at it; the compute worker checks
//! it and turns it into an order for `kernels`.

use coordinator::limits;
use serde::{Deserialize, Serialize};

/// Pictures of one request. Source: guess; as many as fit a screen, each a unit of the job.
pub const COUNT: u16 = 16;

/// Pictures to be painted; postcard on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaintRequest {
    /// What to paint.
    pub prompt: String,
    /// What not to paint; only where guidance is above 1.
    pub negative: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: u16,
    /// How much more than without it the prompt counts; at 1 and below nothing is computed without it, which takes half the
    /// time.
    pub guidance: f32,
    /// Of the first picture; the others have those that follow.
    pub seed: u64,
    /// How many.
    pub count: u16,
    /// Several devices may paint a band of rows each, told of their neighbours a little late (DistriFusion). Faster, and not quite
    /// the same picture.
    pub patches: bool,
}

impl Default for PaintRequest {
    /// Twenty steps, guidance 4 as in diffusers' PRX pipeline; the size is the model's to say.
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative: String::new(),
            width: 0,
            height: 0,
            steps: 20,
            guidance: 4.0,
            seed: 0,
            count: 1,
            patches: false,
        }
    }
}

impl PaintRequest {
    /// Whether every step is computed without the prompt, too.
    #[must_use]
    pub fn guided(&self) -> bool {
        self.guidance > 1.0
    }

    /// The seed of one of the pictures.
    #[must_use]
    pub const fn seed_of(&self, picture: u16) -> u64 {
        self.seed.wrapping_add(picture as u64)
    }

    /// For the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers and texts can be written to memory")
    }

    /// From the wire; None if these are other bytes. The values may be out of range.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(request, _)| request)
    }

    /// # Errors
    /// In plain words, if there is nothing to paint, or more than the room carries.
    pub fn check(&self) -> Result<(), String> {
        if self.prompt.trim().is_empty() {
            return Err("The prompt is empty: write what to paint.".into());
        }
        if !(1..=COUNT).contains(&self.count) {
            return Err(format!("{} pictures at once; between 1 and {COUNT} can be asked for.", self.count));
        }
        let (found, most) = (self.to_bytes().len(), limits::SAMPLING_BYTES);
        if found > most {
            return Err(format!(
                "The prompts of a picture take {found} bytes, of which {most} are carried: make them shorter."
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> PaintRequest {
        PaintRequest { prompt: "a boat".into(), width: 48, height: 48, ..PaintRequest::default() }
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let request = PaintRequest { negative: "a house".into(), seed: u64::MAX, ..request() };
        let bytes = request.to_bytes();
        assert_eq!(PaintRequest::from_bytes(&bytes), Some(request.clone()));
        assert_eq!(PaintRequest::from_bytes(&bytes[1..]), None);
        assert_eq!(PaintRequest::from_bytes(&[bytes, vec![0]].concat()), None);
        assert_eq!(request.seed_of(2), 1, "seeds begin anew after the last");
    }

    #[test]
    fn what_cannot_be_painted_is_refused() {
        let rows = [
            (request(), None),
            (PaintRequest { prompt: " \n".into(), ..request() }, Some("empty")),
            (PaintRequest { count: 0, ..request() }, Some("0 pictures")),
            (PaintRequest { count: 17, ..request() }, Some("17 pictures")),
            (PaintRequest { negative: "x".repeat(9_000), ..request() }, Some("shorter")),
        ];
        for (request, expected) in rows {
            let found = request.check().err();
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|why| why.contains(expected.unwrap_or_default())), "{expected:?}");
        }
    }
}
