//! `manyhands paint --prompt … --out FILE.png`: pictures from the terminal, through the same driver loop as a room's.

use super::{Common, Kinds, Wish, random_peer};
use crate::compute::native::NativeCompute;
use crate::link::RoomLink;
use crate::node::view::{Ask, Card, ComputeStatus, PainterView, PaintingView, View};
use crate::node::{Alone, Node};
use crate::painting::PaintRequest;
use crate::transport::Transport;
use anyhow::{Context, Result, bail};
use clap::Args;
use coordinator::io::{End, JobState};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// What to paint.
    #[arg(long)]
    prompt: String,
    /// What not to paint; only with a guidance above 1.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    negative: String,
    /// Width and height in pixels; by default what the model paints best.
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// Denoising steps.
    #[arg(long, default_value_t = PaintRequest::default().steps)]
    steps: u16,
    /// How much the prompt counts; at 1 nothing is computed without it, which takes half the time.
    #[arg(long, default_value_t = PaintRequest::default().guidance, allow_negative_numbers = true)]
    guidance: f32,
    /// The same seed paints the same picture; further pictures have the seeds that follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many pictures.
    #[arg(long, default_value_t = 1)]
    count: u16,
    /// Let several devices paint a band of rows each, told of their neighbours a little late: faster over a good network, and not
    /// quite the same picture.
    #[arg(long)]
    patches: bool,
    /// Where to write a picture; of several, each gets its seed into its name.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Paint with the peers of this room instead of alone.
    #[arg(long, value_name = "LINK")]
    room: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// `640x480`
fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once(['x', 'X', '×']);
    let sides = sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "a size is a width and a height in pixels, such as 640x480".to_owned())
}

pub async fn run(options: Options) -> Result<()> {
    let me = random_peer()?;
    let Some(room) = &options.room else {
        return paint(options.common.node(me, "", Alone, Kinds::Pictures)?, &options).await;
    };
    let link = RoomLink::parse(room)?;
    let transport = options.common.join(&link, me)?;
    paint(options.common.node(me, link.room(), transport, Kinds::Pictures)?, &options).await
}

async fn paint<T: Transport>(node: Node<T, NativeCompute>, options: &Options) -> Result<()> {
    let (asks, incoming) = unbounded();
    let mut wish = Wish::new(&options.common, asks.clone());
    let mut studio = Studio { asks, options, asked: false, notices: 0, said: Vec::new(), outcome: None };
    node.run(incoming, |view| {
        wish.see(view);
        studio.see(view);
    })
    .await;
    match studio.outcome {
        Some(Ok(painting)) => write(&painting, &options.out),
        Some(Err(why)) => bail!(why),
        None => bail!("it ended before the pictures did"),
    }
}

/// Writes every picture, and a line about each.
fn write(painting: &PaintingView, out: &Path) -> Result<()> {
    for (unit, picture) in (0..).zip(&painting.pictures) {
        let seed = painting.request.seed_of(unit);
        let path = if painting.pictures.len() == 1 { out.to_owned() } else { numbered(out, seed) };
        let image = picture.image.as_ref().context("a picture without an image")?;
        std::fs::write(&path, &image.png).with_context(|| format!("cannot write {}", path.display()))?;
        let seconds = picture.ms.unwrap_or_default() as f64 / 1e3;
        println!("{}: {}×{}, seed {seed}, {seconds:.1} s", path.display(), image.width, image.height);
    }
    Ok(())
}

/// `boat.png` and 7: `boat-7.png`
fn numbered(path: &Path, seed: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{seed}{end}"))
}

struct Studio<'a> {
    asks: UnboundedSender<Ask>,
    options: &'a Options,
    asked: bool,
    /// Notices that were there before the request.
    notices: usize,
    /// Lines about how it gets on, each said once: of the whole, and of each picture.
    said: Vec<String>,
    outcome: Option<Result<PaintingView, String>>,
}

impl Studio<'_> {
    fn see(&mut self, view: &View) {
        match (&view.compute, &view.painter) {
            (ComputeStatus::Failed(why), _) => return self.end(Err(why.clone())),
            (ComputeStatus::Loading { .. }, _) => return,
            (ComputeStatus::Ready { .. }, None) => {
                return self.end(Err("this model writes; --model takes a folder of one that paints".into()));
            }
            (ComputeStatus::Ready { notice, .. }, Some(painter)) if !self.asked => {
                notice.iter().for_each(|notice| eprintln!("note: {notice}"));
                self.asked = true;
                self.notices = view.notices.len();
                let _ = self.asks.unbounded_send(Ask::Paint(self.request(painter)));
            }
            _ => {}
        }
        if let Some(why) = self.no_way(view) {
            return self.end(Err(why));
        }
        match view.cards.iter().find(|card| card.mine) {
            Some(card) => self.card(card),
            // No card after the request: the notice says why, for instance an empty prompt.
            None => view.notices.iter().skip(self.notices).for_each(|(_, why)| self.end(Err(why.clone()))),
        }
    }

    fn request(&self, painter: &PainterView) -> PaintRequest {
        let options = self.options;
        let (width, height) = options.size.unwrap_or((painter.easel.base, painter.easel.base));
        PaintRequest {
            prompt: options.prompt.clone(),
            negative: options.negative.clone(),
            width,
            height,
            steps: options.steps,
            guidance: options.guidance,
            seed: options.seed,
            count: options.count,
            patches: options.patches,
        }
    }

    /// Why this device alone cannot paint, if the coordinator found no way: nobody else will come.
    fn no_way(&self, view: &View) -> Option<String> {
        let painter = view.painter.as_ref().filter(|_| self.options.room.is_none())?;
        let plan = view.peers.models.iter().find(|plan| plan.model == painter.id)?;
        (plan.teams.is_empty() && !plan.why.is_empty())
            .then(|| format!("{}; or paint with a room that has more (--room LINK)", plan.why))
    }

    fn card(&mut self, card: &Card) {
        let Some(painting) = &card.painting else { return };
        if let Some(JobState::Waiting(why) | JobState::Recovering(why)) = &card.state
            && !why.is_empty()
        {
            self.say(0, format!("waiting: {why}"));
        }
        for (unit, picture) in (0..).zip(&painting.pictures) {
            let (seed, steps) = (painting.request.seed_of(unit), painting.request.steps);
            if picture.done > 0 {
                self.say(1 + usize::from(unit), format!("seed {seed}: step {} of {steps}", picture.done));
            }
        }
        match &card.end {
            Some(End::Failed(why)) => self.end(Err(why.clone())),
            Some(_) if painting.pictures.iter().all(|picture| picture.whole) => {
                self.end(Ok(painting.clone()))
            }
            _ => {}
        }
    }

    fn say(&mut self, about: usize, line: String) {
        if self.said.len() <= about {
            self.said.resize(about + 1, String::new());
        }
        if self.said[about] != line {
            eprintln!("{line}");
            self.said[about] = line;
        }
    }

    fn end(&mut self, outcome: Result<PaintingView, String>) {
        self.outcome.get_or_insert(outcome);
        let _ = self.asks.unbounded_send(Ask::Leave);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("640x480"), Ok((640, 480)));
        assert_eq!(size("48×96"), Ok((48, 96)));
        for wrong in ["640", "x480", "-1x5", "a×b"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn several_pictures_get_names_of_their_own() {
        assert_eq!(numbered(Path::new("out/boat.png"), 7), Path::new("out/boat-7.png"));
        assert_eq!(numbered(Path::new("boat"), 7), Path::new("boat-7"));
    }
}
