//! What a scene is told by: a small grammar with several wordings for each fact.

use super::draw::Draw;
use super::scene::{Background, Colour, Kind, Object, Pattern, Place, Relation, Scene, Size};

/// Of 100 captions, how many are a word or three without articles, as people type them.
const TERSE: u32 = 14;
/// Of 100 captions, how many have a word that means nothing, so that unknown words are passed over.
const STRANGE: u32 = 6;

impl Kind {
    /// As captions call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Heart => "heart",
            Self::Ring => "ring",
            Self::House => "house",
            Self::Tree => "tree",
            Self::Sun => "sun",
            Self::Fish => "fish",
            Self::Boat => "boat",
        }
    }

    fn plural(self) -> String {
        match self {
            Self::Fish => "fish".into(),
            _ => format!("{}s", self.word()),
        }
    }
}

impl Colour {
    /// As captions call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Pink => "pink",
            Self::Brown => "brown",
        }
    }
}

impl Background {
    /// As a short caption calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::White => "white background",
            Self::Black => "black background",
            Self::Sky => "sky",
            Self::Night => "night",
            Self::Grass => "grass",
            Self::Sea => "sea",
        }
    }

    fn phrase(self, draw: &mut Draw) -> &'static str {
        draw.pick(match self {
            Self::White => &["on a white background", "on white", "on white paper"],
            Self::Black => &["on a black background", "on black", "in the dark"],
            Self::Sky => &["in the sky", "in the air", "by day"],
            Self::Night => &["at night", "in the night", "in the night sky"],
            Self::Grass => &["on the grass", "in a meadow", "on grass"],
            Self::Sea => &["at sea", "on the sea", "on the water"],
        })
    }
}

/// Tells a scene; where the caption is too short to name a fact, the scene no longer claims that it does.
pub(super) fn caption(scene: &mut Scene, draw: &mut Draw) -> String {
    if draw.percent(TERSE) {
        return terse(scene, draw);
    }
    let mut text = subject(scene, draw);
    if scene.names_background {
        let phrase = scene.background.phrase(draw);
        text = match draw.percent(85) {
            true => format!("{text} {phrase}"),
            false => format!("{phrase}, {text}"),
        };
    }
    if draw.percent(10) {
        text = format!("{} {text}", draw.pick(&["a picture of", "a painting of", "an image of"]));
    }
    if draw.percent(STRANGE) { with_strange_word(&text, draw) } else { text }
}

fn subject(scene: &Scene, draw: &mut Draw) -> String {
    match (scene.objects.as_slice(), scene.relation) {
        ([one], _) => {
            let text = phrase(one, draw);
            match scene.place {
                Some(place) => format!("{text} {}", place_phrase(place, draw)),
                None => text,
            }
        }
        ([first, second], Some(relation)) => related(first, second, relation, draw),
        ([first, second], None) if first.kind != second.kind || first.colour != second.colour => {
            format!("{} and {}", phrase(first, draw), phrase(second, draw))
        }
        ([first, second, third], None) if first.kind != second.kind => {
            format!("{}, {} and {}", phrase(first, draw), phrase(second, draw), phrase(third, draw))
        }
        (same, _) => counted(&same[0], same.len(), draw),
    }
}

/// "a large striped red circle".
fn phrase(object: &Object, draw: &mut Draw) -> String {
    let words = described(object, draw);
    let article = match (object.kind, object.names_colour, object.size) {
        (Kind::Sun, false, None) if draw.percent(60) => "the",
        _ if draw.percent(5) => "one",
        _ if words.starts_with(['a', 'e', 'i', 'o', 'u']) => "an",
        _ => "a",
    };
    match object.pattern.filter(|_| draw.percent(50)) {
        // The pattern is told behind.
        Some(pattern) => {
            let plain = described(&Object { pattern: None, ..*object }, draw);
            let article = if plain.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            let with = match pattern {
                Pattern::Striped => "with stripes",
                Pattern::Dotted => "with dots",
            };
            format!("{article} {plain} {with}")
        }
        None => format!("{article} {words}"),
    }
}

fn described(object: &Object, draw: &mut Draw) -> String {
    format!("{}{}", adjectives(object, draw), object.kind.word())
}

fn adjectives(object: &Object, draw: &mut Draw) -> String {
    let mut words = String::new();
    if let Some(size) = object.size {
        words.push_str(draw.pick(match size {
            Size::Small => &["small ", "little ", "tiny "],
            Size::Large => &["large ", "big ", "huge "],
        }));
    }
    if let Some(pattern) = object.pattern {
        words.push_str(match pattern {
            Pattern::Striped => "striped ",
            Pattern::Dotted => "dotted ",
        });
    }
    if object.names_colour {
        words.push_str(object.colour.word());
        words.push(' ');
    }
    words
}

fn counted(object: &Object, count: usize, draw: &mut Draw) -> String {
    let number = draw.pick(match count {
        2 => &["two", "two", "2", "a pair of"],
        3 => &["three", "three", "3", "three"],
        _ => &["four", "four", "4", "four"],
    });
    format!("{number} {}{}", adjectives(object, draw), object.kind.plural())
}

fn related(first: &Object, second: &Object, relation: Relation, draw: &mut Draw) -> String {
    let (a, b) = (phrase(first, draw), phrase(second, draw));
    // The same fact, told from either side.
    let (forward, backward): (&[&str], &[&str]) = match relation {
        Relation::LeftOf => (LEFT, RIGHT),
        Relation::RightOf => (RIGHT, LEFT),
        Relation::Above => (ABOVE, BELOW),
        Relation::Below => (BELOW, ABOVE),
    };
    match draw.weighted(&[(0, 60), (1, 25), (2, 15)]) {
        0 => format!("{a} {} {b}", draw.pick(forward)),
        1 => format!("{b} {} {a}", draw.pick(backward)),
        _ => format!(
            "{a} with {b} {}",
            match relation {
                Relation::LeftOf => "to its right",
                Relation::RightOf => "to its left",
                Relation::Above => "below it",
                Relation::Below => "above it",
            }
        ),
    }
}

const LEFT: &[&str] = &["left of", "to the left of", "on the left of"];
const RIGHT: &[&str] = &["right of", "to the right of", "on the right of"];
const ABOVE: &[&str] = &["above", "above", "over"];
const BELOW: &[&str] = &["below", "below", "under"];

fn place_phrase(place: Place, draw: &mut Draw) -> &'static str {
    draw.pick(match place {
        Place::Left => &["on the left", "at the left", "on the left side"],
        Place::Right => &["on the right", "at the right", "on the right side"],
        Place::Top => &["at the top", "at the top", "near the top"],
        Place::Bottom => &["at the bottom", "at the bottom", "near the bottom"],
        Place::Middle => &["in the middle", "in the middle", "in the center"],
    })
}

/// A few words, with which negative prompts are written, too.
fn terse(scene: &mut Scene, draw: &mut Draw) -> String {
    let object = scene.objects[0];
    (scene.place, scene.relation) = (None, None);
    let way = draw.weighted(&[(0, 25), (1, 20), (2, 20), (3, 35)]);
    (scene.names_background) = way == 0 || way == 3 && scene.names_background;
    let whole = way == 3 && scene.objects.len() == 1;
    for object in &mut scene.objects {
        object.size = None;
        object.names_colour &= way == 1 || whole;
    }
    let kind = if scene.objects.len() > 1 && scene.objects.iter().all(|other| other.kind == object.kind) {
        object.kind.plural()
    } else {
        object.kind.word().into()
    };
    match way {
        0 => scene.background.word().into(),
        1 if object.names_colour => object.colour.word().into(),
        3 if whole => {
            let colour = if object.names_colour { object.colour.word() } else { "" };
            let behind = if scene.names_background { scene.background.word() } else { "" };
            format!("{colour} {kind} {behind}").trim().into()
        }
        _ => {
            scene.names_background = false;
            kind
        }
    }
}

fn with_strange_word(text: &str, draw: &mut Draw) -> String {
    const SOUNDS: [&str; 12] = ["ba", "ko", "mi", "lu", "ze", "tra", "shi", "no", "pel", "gra", "vi", "dum"];
    let word: String = (0..draw.pick(&[2, 3])).map(|_| draw.pick(&SOUNDS)).collect();
    let mut words: Vec<&str> = text.split(' ').collect();
    let at = draw.pick(&(0..=words.len()).collect::<Vec<_>>());
    words.insert(at, &word);
    words.join(" ")
}
