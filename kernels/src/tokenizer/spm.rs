//! SentencePiece's byte-pair encoding: of all neighbours that join to a piece, the best scored join first.
//!
//! Source: Kudo and Richardson 2018 (SentencePiece), its BPE model, with byte fallback. Blanks are `▁`.

use super::gguf::{GgufVocabulary, Kind};
use super::pieces::hex_byte;
use crate::error::Error;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// A SentencePiece vocabulary.
#[derive(Debug)]
pub(super) struct Spm {
    ids: HashMap<String, u32>,
    scores: Vec<f32>,
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    marks: Marks,
    space_prefix: bool,
}

/// Ids that are written out in a text as they are, `<|user|>` for one, and never merged.
#[derive(Debug, Default)]
struct Marks {
    /// By length in bytes, so that the longest is tried first.
    by_length: BTreeMap<usize, HashMap<String, Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    id: u32,
    /// White space after it is part of it.
    swallows: bool,
}

impl Spm {
    /// # Errors
    /// [`Error::Tokenizer`] if a score is missing or no number.
    pub(super) fn new(vocabulary: &GgufVocabulary) -> Result<Self, Error> {
        if vocabulary.scores.len() != vocabulary.tokens.len() {
            return Err(Error::Tokenizer(format!(
                "tokenizer.ggml.scores has {} entries for {} tokens; the file is damaged or was converted badly",
                vocabulary.scores.len(),
                vocabulary.tokens.len()
            )));
        }
        if let Some(id) = vocabulary.scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Tokenizer(format!("the score of token {id} is not a number")));
        }
        let mut spm = Self {
            ids: HashMap::new(),
            scores: vocabulary.scores.clone(),
            bytes: Box::new([None; 256]),
            unknown: vocabulary.unknown,
            marks: Marks::default(),
            space_prefix: vocabulary.add_space_prefix.unwrap_or(true),
        };
        for (id, text) in vocabulary.tokens.iter().enumerate() {
            spm.enter(id as u32, text, vocabulary);
        }
        Ok(spm)
    }

    fn enter(&mut self, id: u32, text: &str, vocabulary: &GgufVocabulary) {
        match vocabulary.kind(id) {
            Kind::Control | Kind::UserDefined => {
                self.marks.insert(text, Mark { id, swallows: vocabulary.swallows_blanks(id) });
            }
            Kind::Byte => {
                if let Some(byte) = hex_byte(text) {
                    self.bytes[usize::from(byte)] = Some(id);
                }
            }
            Kind::Unknown => self.unknown = self.unknown.or(Some(id)),
            Kind::Normal | Kind::Unused => {
                self.ids.entry(text.to_owned()).or_insert(id);
            }
        }
    }

    pub(super) const fn space_prefix(&self) -> bool {
        self.space_prefix
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids
            .get(text)
            .copied()
            .or_else(|| self.marks.by_length.get(&text.len())?.get(text).map(|mark| mark.id))
    }

    /// The ids of `text`. Each run between marks is encoded as a text of its own.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            if let Some((mark, length)) = self.marks.starting(&text[at..]) {
                self.encode_run(&text[from..at], &mut ids);
                ids.push(mark.id);
                at += length;
                if mark.swallows {
                    at = text.len() - text[at..].trim_start().len();
                }
                from = at;
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        self.encode_run(&text[from..], &mut ids);
        ids
    }

    fn encode_run(&self, run: &str, ids: &mut Vec<u32>) {
        if run.is_empty() {
            return;
        }
        let blank = if self.space_prefix { "▁" } else { "" };
        let spelled = format!("{blank}{}", run.replace(' ', "▁"));
        for piece in Merging::new(&spelled).run(self) {
            self.look_up(piece, ids);
        }
    }

    fn look_up(&self, piece: &str, ids: &mut Vec<u32>) {
        if let Some(id) = self.ids.get(piece) {
            return ids.push(*id);
        }
        let bytes: Option<Vec<u32>> = piece.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        ids.extend(bytes.unwrap_or_else(|| self.unknown.into_iter().collect()));
    }
}

impl Marks {
    fn insert(&mut self, text: &str, mark: Mark) {
        if !text.is_empty() {
            self.by_length.entry(text.len()).or_default().entry(text.to_owned()).or_insert(mark);
        }
    }

    /// The longest mark at the start of `text`, and its length.
    fn starting(&self, text: &str) -> Option<(Mark, usize)> {
        self.by_length.iter().rev().find_map(|(length, marks)| {
            let mark = marks.get(text.get(..*length)?)?;
            Some((*mark, *length))
        })
    }
}

/// A text while its characters are joined.
struct Merging<'a> {
    text: &'a str,
    /// A linked list: joined symbols grow, those that were swallowed are empty.
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
}

#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    length: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that make a piece.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when they were found: another number later means that one of them has changed.
    length: usize,
}

impl<'a> Merging<'a> {
    fn new(text: &'a str) -> Self {
        let count = text.chars().count();
        let symbols = text.char_indices().enumerate().map(|(index, (start, letter))| Symbol {
            start,
            length: letter.len_utf8(),
            before: index.checked_sub(1),
            after: Some(index + 1).filter(|after| *after < count),
        });
        Self { text, symbols: symbols.collect(), queue: BinaryHeap::new() }
    }

    fn run(mut self, spm: &Spm) -> impl Iterator<Item = &'a str> {
        for right in 1..self.symbols.len() {
            self.consider(Some(right - 1), Some(right), spm);
        }
        while let Some(pair) = self.queue.pop() {
            self.join(&pair, spm);
        }
        let text = self.text;
        let left = self.symbols.into_iter().filter(|symbol| symbol.length > 0);
        left.map(move |symbol| &text[symbol.start..symbol.start + symbol.length])
    }

    fn consider(&mut self, left: Option<usize>, right: Option<usize>, spm: &Spm) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let start = self.symbols[left].start;
        let length = self.symbols[left].length + self.symbols[right].length;
        if let Some(id) = spm.ids.get(&self.text[start..start + length]) {
            self.queue.push(Pair { score: spm.scores[*id as usize], left, right, length });
        }
    }

    fn join(&mut self, pair: &Pair, spm: &Spm) {
        let (left, right) = (self.symbols[pair.left], self.symbols[pair.right]);
        if left.length == 0 || right.length == 0 || left.length + right.length != pair.length {
            return;
        }
        self.symbols[pair.left].length = pair.length;
        self.symbols[pair.left].after = right.after;
        self.symbols[pair.right].length = 0;
        if let Some(after) = right.after {
            self.symbols[after].before = Some(pair.left);
        }
        self.consider(left.before, Some(pair.left), spm);
        self.consider(Some(pair.left), right.after, spm);
    }
}

impl Ord for Pair {
    /// The best score is the greatest; of equals, the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}
