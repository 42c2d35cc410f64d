//! Pictures in words, and the room's gallery as data.

use super::paint_settings::hindrance;
use super::status::{name, whose};
use super::words;
use crate::compute::Image;
use crate::node::view::{Card, PaintingView, PictureView, View};
use crate::painting::PaintRequest;
use coordinator::io::{End, JobState, PeerView};
use coordinator::{JobId, PeerId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Pictures up to so many pixels on their longer side are shown larger than they are. Source: guess; an icon.
const SMALL: u32 = 128;
/// The longer side of a small picture, and the width of one among several, in CSS pixels. Source: three stand side by side
/// in the feed.
const SHOWN: u32 = 224;

/// A whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Painted {
    /// The job that it is of.
    pub job: JobId,
    /// Which picture of that.
    pub unit: u16,
    /// What was asked for.
    pub request: PaintRequest,
    /// The picture.
    pub image: Arc<Image>,
    /// "seed 7 · 48 × 48 · 20 steps · 3.2 s · by Teal Owl".
    pub line: String,
}

/// Every whole picture of the room, the newest request first.
#[must_use]
pub fn gallery(view: &View) -> Vec<Painted> {
    view.cards.iter().rev().flat_map(pictures).collect()
}

/// How many there are, quicker than [`gallery`].
#[must_use]
pub fn count(view: &View) -> usize {
    let paintings = view.cards.iter().filter_map(|card| card.painting.as_ref());
    paintings
        .flat_map(|painting| &painting.pictures)
        .filter(|picture| picture.whole && picture.image.is_some())
        .count()
}

fn pictures(card: &Card) -> impl Iterator<Item = Painted> {
    let painting = card.painting.iter();
    let numbered =
        painting.flat_map(|painting| (0..).zip(&painting.pictures).map(move |numbered| (painting, numbered)));
    numbered.filter_map(move |(painting, (unit, picture))| {
        let image = picture.image.as_ref().filter(|_| picture.whole)?;
        Some(Painted {
            job: card.id,
            unit,
            request: painting.request.clone(),
            image: Arc::clone(image),
            line: line(card, &painting.request, unit, picture),
        })
    })
}

fn line(card: &Card, request: &PaintRequest, unit: u16, picture: &PictureView) -> String {
    let parts = [
        Some(format!("seed {}", request.seed_of(unit))),
        Some(words::size(request.width, request.height)),
        Some(words::count(usize::from(request.steps), "step")),
        picture.ms.map(words::span),
        by(card),
    ];
    joined(parts)
}

/// The quiet line below a request's pictures: "4 pictures · 48 × 48 · 20 steps · seed 7 · 3.2 s · by Teal Owl and Rose Fox";
/// while they are painted, on whom instead.
#[must_use]
pub fn figures(view: &View, card: &Card) -> String {
    let Some(PaintingView { request, pictures }) = &card.painting else {
        return String::new();
    };
    let took = pictures.iter().filter_map(|picture| picture.ms).max();
    let parts = [
        Some(words::count(usize::from(request.count), "picture")),
        Some(words::size(request.width, request.height)),
        Some(words::count(usize::from(request.steps), "step")),
        Some(format!("seed {}", request.seed)),
        took.filter(|_| card.state.is_none()).map(words::span),
        on(view, card).or_else(|| by(card)),
    ];
    joined(parts)
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn by(card: &Card) -> Option<String> {
    let workers: Vec<String> = card.workers.iter().map(|(_, name)| name.clone()).collect();
    (!workers.is_empty()).then(|| format!("by {}", words::list(&workers)))
}

/// Who paints at this moment.
fn on(view: &View, card: &Card) -> Option<String> {
    let Some(JobState::Running(_)) = card.state else {
        return None;
    };
    let mut peers: Vec<PeerId> = Vec::new();
    for stage in &card.stages {
        if !peers.contains(&stage.peer) {
            peers.push(stage.peer);
        }
    }
    let names: Vec<String> = peers.into_iter().map(|id| name(view, id)).collect();
    (!names.is_empty()).then(|| format!("on {}", words::list(&names)))
}

/// What stands for the picture where it is not seen: the prompt, and how far it is.
#[must_use]
pub fn alt(prompt: &str, picture: &PictureView, steps: u16) -> String {
    let prompt = prompt.trim();
    match picture.whole {
        true => prompt.to_owned(),
        false => format!("{}, being painted: {}", prompt.trim_end_matches('.'), step(picture, steps)),
    }
}

/// "step 8 of 20".
#[must_use]
pub fn step(picture: &PictureView, steps: u16) -> String {
    format!("step {} of {steps}", picture.done.min(steps))
}

/// What a peer has in memory of the model that paints here, as it follows what else it holds; empty for nothing.
#[must_use]
pub fn held(view: &View, peer: &PeerView) -> &'static str {
    let Some(painter) = &view.painter else { return "" };
    let parts = peer.ready.iter().filter(|part| part.model == painter.id).map(|part| part.layers);
    let blocks: BTreeSet<u16> = parts.flat_map(|part| part.start..part.end.min(painter.layers)).collect();
    match blocks.len() {
        0 => "",
        all if all == usize::from(painter.layers) => " · holds the painter",
        _ => " · holds a part of the painter",
    }
}

/// Why these pictures are not seen on this device; None if they are, or will be.
#[must_use]
pub fn unseen(view: &View, card: &Card) -> Option<&'static str> {
    let painting = card.painting.as_ref()?;
    if painting.pictures.iter().any(|picture| picture.image.is_some()) {
        return None;
    }
    match (card.foreign, hindrance(view)) {
        (true, _) => Some("Another model than this device’s paints this; it cannot be shown here."),
        (false, Some(_)) => Some("This device has no model that paints, so it cannot show this."),
        (false, None) => None,
    }
}

/// Whether it goes no further without being whole.
#[must_use]
pub fn given_up(card: &Card) -> bool {
    matches!(card.end, Some(End::Stopped | End::Failed(_)))
}

/// What is read aloud when a request to paint has ended; None where what is shown then is read anyway.
#[must_use]
pub fn said_at_end(card: &Card) -> Option<String> {
    let many = card.painting.as_ref()?.request.count > 1;
    match card.end.as_ref()? {
        End::Finished | End::Length => {
            Some(words::sentence(&format!("{} {} painted", whose(card), if many { "are" } else { "is" })))
        }
        End::Stopped => Some("Painting stopped.".to_owned()),
        End::Failed(_) => None,
    }
}

/// What a saved picture is called: "a-boat-seed-7.png".
#[must_use]
pub fn file_name(prompt: &str, seed: u64) -> String {
    /// Letters of the prompt. Source: guess; enough to know it by, and far less than any file system takes.
    const LETTERS: usize = 40;
    let plain = prompt.to_lowercase().replace(|c: char| !c.is_alphanumeric(), " ");
    let words: String =
        plain.split_whitespace().collect::<Vec<_>>().join("-").chars().take(LETTERS).collect();
    match words.trim_matches('-') {
        "" => format!("picture-seed-{seed}.png"),
        words => format!("{words}-seed-{seed}.png"),
    }
}

/// How many stand side by side: two and two, three and three, rather than three and one.
#[must_use]
pub const fn columns(count: u16) -> u16 {
    match count {
        0 | 1 => 1,
        2 | 4 => 2,
        3 | 5 | 6 | 9 => 3,
        _ => 4,
    }
}

/// How wide a picture is shown where there is room, in CSS pixels.
#[must_use]
pub fn shown_width(request: &PaintRequest) -> u32 {
    let (width, longer) = (request.width.max(1), request.width.max(request.height).max(1));
    let enlarged = u32::try_from(u64::from(width) * u64::from(SHOWN) / u64::from(longer)).unwrap_or(SHOWN);
    match (longer <= SMALL, request.count) {
        (true, _) => enlarged,
        (false, 0 | 1) => width,
        (false, _) => width.min(SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{picture_card, ready_view, stage};
    use super::*;
    use coordinator::Layers;
    use coordinator::io::Part;

    fn duo() -> View {
        ready_view(&[(1, "Teal Owl", 0, 8), (2, "Rose Fox", 0, 8)])
    }

    #[test]
    fn the_gallery_has_what_is_whole() {
        let mut view = duo();
        let first = picture_card(1, "Teal Owl", 2);
        let mut second = picture_card(2, "Rose Fox", 2);
        let painting = second.painting.as_mut().unwrap();
        (painting.pictures[0].whole, painting.pictures[1].image) = (false, None);
        view.cards = vec![first, second.clone()];
        let seen =
            |view: &View| gallery(view).iter().map(|p| (p.job.requester.0, p.unit)).collect::<Vec<_>>();
        assert_eq!(seen(&view), [(1, 0), (1, 1)], "a preview is none, nor is what cannot be shown");
        assert_eq!(gallery(&view)[1].line, "seed 8 · 48 × 48 · 20 steps · 3.2 s · by Teal Owl");
        second.painting.as_mut().unwrap().pictures[0].whole = true;
        view.cards[1] = second;
        assert_eq!(seen(&view), [(2, 0), (1, 0), (1, 1)], "the newest first");
        assert_eq!(count(&view), 3);
    }

    #[test]
    fn the_quiet_line_says_who() {
        let view = duo();
        let done = picture_card(1, "Teal Owl", 4);
        let mut helped = done.clone();
        helped.workers.push((PeerId(2), "Rose Fox".into()));
        let mut open = helped.clone();
        (open.stages, open.end) = (vec![stage(2, 0, 8), stage(1, 0, 8), stage(2, 0, 8)], None);
        open.state = Some(JobState::Running(open.stages.clone()));
        let mut waits = done.clone();
        (waits.state, waits.end, waits.workers) = (Some(JobState::Waiting(String::new())), None, Vec::new());
        let rows = [
            (done, "4 pictures · 48 × 48 · 20 steps · seed 7 · 3.2 s · by Teal Owl", "alone"),
            (
                helped,
                "4 pictures · 48 × 48 · 20 steps · seed 7 · 3.2 s · by Teal Owl and Rose Fox",
                "with help",
            ),
            (
                open,
                "4 pictures · 48 × 48 · 20 steps · seed 7 · on Rose Fox and Teal Owl",
                "at this moment, each once",
            ),
            (waits, "4 pictures · 48 × 48 · 20 steps · seed 7", "nobody yet"),
        ];
        for (card, expected, why) in rows {
            assert_eq!(figures(&view, &card), expected, "{why}");
        }
    }

    #[test]
    fn a_picture_is_told_to_those_who_do_not_see_it() {
        let half = PictureView { done: 8, ..PictureView::default() };
        let more = PictureView { done: 90, ..PictureView::default() };
        let whole = PictureView { done: 20, whole: true, ..PictureView::default() };
        assert_eq!(alt("A boat", &half, 20), "A boat, being painted: step 8 of 20");
        assert_eq!(alt(" A boat. ", &half, 20), "A boat, being painted: step 8 of 20");
        assert_eq!(alt("A boat. ", &whole, 20), "A boat.");
        assert_eq!(step(&more, 20), "step 20 of 20", "never more than there are");
    }

    #[test]
    fn the_end_is_said_once_it_is_good() {
        let mine = |count, end| Card { mine: true, end: Some(end), ..picture_card(1, "Teal Owl", count) };
        let text = Card { painting: None, ..picture_card(1, "Teal Owl", 1) };
        let rows = [
            (mine(1, End::Finished), Some("Your picture is painted."), "one"),
            (mine(4, End::Finished), Some("Your 4 pictures are painted."), "several"),
            (picture_card(1, "Teal Owl", 1), Some("Teal Owl’s picture is painted."), "another’s"),
            (mine(1, End::Stopped), Some("Painting stopped."), "as wanted"),
            (mine(1, End::Failed("no".into())), None, "an alert says it"),
            (text, None, "a story"),
        ];
        for (card, expected, why) in rows {
            assert_eq!(said_at_end(&card).as_deref(), expected, "{why}");
        }
    }

    #[test]
    fn what_is_held_of_the_painter_is_said() {
        let view = duo();
        let model = view.painter.as_ref().unwrap().id;
        type Held = &'static [(u16, u16)];
        let rows: [(Held, &str, &str); 4] = [
            (&[], "", "only a part of the other model"),
            (&[(0, 3)], " · holds a part of the painter", "half"),
            (&[(0, 3), (2, 6)], " · holds the painter", "two parts that overlap"),
            (&[(0, u16::MAX)], " · holds the painter", "more than there is"),
        ];
        for (parts, expected, why) in rows {
            let mut peer = view.peers.peers[0].clone();
            let part = |&(start, end): &(u16, u16)| Part { model, layers: Layers { start, end } };
            peer.ready.extend(parts.iter().map(part));
            assert_eq!(held(&view, &peer), expected, "{why}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_explained() {
        let (view, seen) = (duo(), picture_card(1, "Teal Owl", 1));
        let mut blank = seen.clone();
        blank.painting.as_mut().unwrap().pictures[0].image = None;
        let foreign = Card { foreign: true, ..blank.clone() };
        let without = View { painter: None, ..view.clone() };
        let rows = [
            (&view, &seen, None, "it is there"),
            (&without, &seen, None, "it was made before the painter went"),
            (&view, &blank, None, "it comes"),
            (&view, &foreign, Some("Another model"), "others see it"),
            (&without, &blank, Some("no model that paints"), "nobody makes an image of it here"),
        ];
        for (view, card, expected, why) in rows {
            let found = unseen(view, card);
            assert_eq!(found.is_some(), expected.is_some(), "{why}: {found:?}");
            assert!(found.is_none_or(|said| said.contains(expected.unwrap_or_default())), "{why}: {found:?}");
        }
    }

    #[test]
    fn files_have_names_that_every_system_takes() {
        let rows = [
            ("A red circle, above a square.", "a-red-circle-above-a-square-seed-7.png", "plain words"),
            ("../../etc/passwd", "etc-passwd-seed-7.png", "no way out of the folder"),
            ("Éclair à 7 €", "éclair-à-7-seed-7.png", "not only ASCII"),
            ("…", "picture-seed-7.png", "no word at all"),
        ];
        for (prompt, expected, why) in rows {
            assert_eq!(file_name(prompt, 7), expected, "{why}");
        }
        assert_eq!(file_name(&"word ".repeat(50), 7).len(), 39 + "-seed-7.png".len(), "no dash at the cut");
    }

    #[test]
    fn small_pictures_are_enlarged_and_many_stand_in_rows() {
        let of = |width, height, count| {
            shown_width(&PaintRequest { width, height, count, ..PaintRequest::default() })
        };
        let rows = [
            (of(48, 48, 1), 224, "enlarged"),
            (of(40, 56, 4), 160, "by its longer side"),
            (of(512, 512, 1), 512, "as it is"),
            (of(512, 512, 4), 224, "several fit"),
            (of(0, 0, 0), 224, "nonsense from a peer"),
        ];
        for (found, expected, why) in rows {
            assert_eq!(found, expected, "{why}");
        }
        assert_eq!([1, 2, 3, 4, 6, 7, 16].map(columns), [1, 2, 3, 2, 3, 4, 4]);
    }
}
