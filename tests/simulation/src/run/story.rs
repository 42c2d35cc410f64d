//! A story to be asked for.

use crate::dice::Dice;
use crate::toy::VOCABULARY;
use coordinator::Command;
use coordinator::io::{PictureWork, Shape, TextWork, Work};

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Story {
    /// Token ids.
    pub prompt: Vec<u32>,
    /// Most new tokens.
    pub max_new: u32,
    /// Opaque sampling settings, the seed in them.
    pub sampling: Vec<u8>,
}

impl Story {
    /// Mostly a short prompt, sometimes a long one; up to 200 new tokens.
    pub fn draw(dice: &mut Dice) -> Self {
        let prompt = if dice.chance(25) { dice.range(60, 300) } else { dice.range(1, 20) };
        let most = dice.range(1, 200) as u32;
        Self::new(prompt, most, dice)
    }

    /// With a prompt of this many tokens, and at most this many new ones.
    pub fn new(prompt: u64, max_new: u32, dice: &mut Dice) -> Self {
        let prompt = (0..prompt).map(|_| dice.range(0, VOCABULARY) as u32).collect();
        Self { prompt, max_new, sampling: dice.next().to_be_bytes().to_vec() }
    }

    /// The wish, as the person's page says it.
    #[must_use]
    pub fn command(self) -> Command {
        let Self { prompt, max_new, sampling } = self;
        let work = Work::Text(TextWork { prompt, max_new, sampling });
        Command::Submit { model: None, text: "Once upon a time".into(), work }
    }
}

/// Pictures to be asked for: mostly one, up to six, with or without guidance, and some of them lossy.
#[must_use]
pub fn pictures(dice: &mut Dice) -> Command {
    let guided = dice.chance(50);
    // Several devices share a picture only if there are more of them than pictures.
    let count = if dice.chance(60) { 1 } else { dice.range(2, 7) as u16 };
    let (steps, tiles) = (dice.range(1, 30) as u16, dice.range(1, 5) as u16);
    let settings = [&[u8::from(guided)], dice.next().to_be_bytes().as_slice()].concat();
    let work = PictureWork { shape: Shape { count, steps, guided, tiles, stale: dice.chance(30) }, settings };
    Command::Submit { model: None, text: "A ship at sea".into(), work: Work::Picture(work) }
}
