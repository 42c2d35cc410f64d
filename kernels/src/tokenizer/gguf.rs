//! A tokenizer from the metadata of a GGUF file alone.

use super::pieces::{Pieces, Spelling};
use super::pre::{self, Pre};
use super::spm::Spm;
use super::{Encoder, Tokenizer, reason};
use crate::error::Error;
use crate::limits;
use std::collections::BTreeSet;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

/// What a GGUF file says of its tokenizer: the keys `tokenizer.ggml.*`, as they stand in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocabulary {
    /// `model`: `llama` (SentencePiece), `gpt2` (byte-level byte pairs) or `gemma4`.
    pub model: String,
    /// `pre`: how a `gpt2` vocabulary cuts words; empty where the file does not say.
    pub pre: String,
    /// `general.name`, or the file's architecture: Phi-3 swallows white space after its marks, which no key says.
    pub name: String,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `scores`, by id; only for `llama`.
    pub scores: Vec<f32>,
    /// `token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Empty: all are normal.
    pub kinds: Vec<i32>,
    /// `merges`: pairs with a blank between them, the most important first; only for `gpt2`.
    pub merges: Vec<String>,
    /// `bos_token_id`: starts a text.
    pub bos: Option<u32>,
    /// `eos_token_id`: ends a text.
    pub eos: Option<u32>,
    /// `eot_token_id` and `eom_token_id`, where there are such: they end a turn.
    pub turn_ends: Vec<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
    /// `add_bos_token`; None: as the model does.
    pub add_bos: Option<bool>,
    /// `add_space_prefix`; None: as the model does.
    pub add_space_prefix: Option<bool>,
}

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// Ids with such a text end a turn, whether the file says so or not.
/// Source: the chat formats of Llama 3, ChatML, Phi-3, Gemma, GPT-2, Granite, Mistral and DeepSeek.
const TURN_ENDS: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
];

impl GgufVocabulary {
    /// # Errors
    /// See [`Tokenizer::from_gguf`].
    pub(super) fn build(&self) -> Result<Tokenizer, Error> {
        self.check()?;
        let (encoder, spelling, pre) = match self.model.as_str() {
            "llama" => (Encoder::Spm(Spm::new(self)?), Spelling::Metaspace, None),
            "gpt2" | "gemma4" => {
                let pre = self.pre()?;
                let spelling = if pre.metaspace { Spelling::Metaspace } else { Spelling::ByteLevel };
                (Encoder::Hub(Box::new(self.byte_pairs(pre)?)), spelling, Some(pre))
            }
            other => {
                return Err(Error::Tokenizer(format!(
                    "tokenizer.ggml.model is {other:?}; known here: llama, gpt2, gemma4"
                )));
            }
        };
        let strips = matches!(&encoder, Encoder::Spm(spm) if spm.space_prefix());
        let pieces = self.pieces(spelling, strips)?;
        let adds = self.add_bos.unwrap_or_else(|| pre.is_none_or(|pre| pre.starts));
        let start = self.bos.filter(|_| adds).into_iter().collect();
        Ok(Tokenizer { encoder, pieces: Some(pieces), start, start_is_a_guess: false, ends: self.ends() })
    }

    pub(super) fn kind(&self, id: u32) -> Kind {
        match self.kinds.get(id as usize) {
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte,
            _ => Kind::Normal,
        }
    }

    /// True if white space after this mark is part of it.
    pub(super) fn swallows_blanks(&self, id: u32) -> bool {
        let name = self.name.to_ascii_lowercase();
        let phi3 = name.contains("phi-3") || name.contains("phi3");
        let text = self.tokens[id as usize].as_str();
        phi3 && self.kind(id) == Kind::Control && !["<unk>", "<s>", "<|endoftext|>"].contains(&text)
    }

    fn check(&self) -> Result<(), Error> {
        let count = self.tokens.len();
        let bytes: usize = self.tokens.iter().chain(&self.merges).map(String::len).sum();
        if count == 0 || count > limits::VOCABULARY || bytes > limits::TOKENIZER_BYTES {
            return Err(Error::Tokenizer(format!(
                "tokenizer.ggml.tokens has {count} entries in {bytes} bytes; 1 to {} in {} bytes are allowed",
                limits::VOCABULARY,
                limits::TOKENIZER_BYTES
            )));
        }
        if !self.kinds.is_empty() && self.kinds.len() != count {
            return Err(Error::Tokenizer(format!(
                "tokenizer.ggml.token_type has {} entries for {count} tokens; the file is damaged",
                self.kinds.len()
            )));
        }
        let named = [self.bos, self.eos, self.unknown].into_iter().flatten();
        match named.chain(self.turn_ends.iter().copied()).find(|id| *id as usize >= count) {
            Some(id) => {
                Err(Error::Tokenizer(format!("the special token {id} is not in the vocabulary of {count}")))
            }
            None => Ok(()),
        }
    }

    fn pre(&self) -> Result<Pre, Error> {
        let name = if self.model == "gemma4" { "gemma4" } else { self.pre.as_str() };
        pre::of(name).ok_or_else(|| {
            Error::Tokenizer(format!("tokenizer.ggml.pre is {name:?}; known here: {}", pre::known()))
        })
    }

    fn byte_pairs(&self, pre: Pre) -> Result<tokenizers::Tokenizer, Error> {
        let vocabulary = self.tokens.iter().enumerate().map(|(id, text)| (text.clone(), id as u32));
        // Where a vocabulary was cut, merges for words that it no longer has stay in the file; they can never happen.
        let known: BTreeSet<&str> = self.tokens.iter().map(String::as_str).collect();
        let possible = |(a, b): &(String, String)| {
            known.contains(a.as_str())
                && known.contains(b.as_str())
                && known.contains(format!("{a}{b}").as_str())
        };
        let merges = self.merges.iter().map(|pair| split(pair)).collect::<Result<Vec<_>, _>>()?;
        let merges = merges.into_iter().filter(possible).collect::<Vec<_>>();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary.collect::<tokenizers::models::bpe::Vocab>(), merges)
            .ignore_merges(pre.whole_words)
            .byte_fallback(pre.metaspace)
            .build()
            .map_err(|error| reason("tokenizer.ggml.merges do not fit the vocabulary", error))?;
        let mut inner = tokenizers::Tokenizer::new(model);
        if pre.metaspace {
            let blanks = Replace::new(" ", "▁").map_err(|error| reason("blanks", error))?;
            inner.with_normalizer(Some(blanks)).map_err(|error| reason("blanks", error))?;
        }
        inner.with_pre_tokenizer(Some(cuts(pre)?));
        let marks = (0..self.tokens.len() as u32).filter_map(|id| self.mark(id));
        inner.add_tokens(marks.collect::<Vec<_>>()).map_err(|error| reason("special tokens", error))?;
        Ok(inner)
    }

    /// The mark that an id is, if it is one: it is written out in a text and never merged.
    fn mark(&self, id: u32) -> Option<AddedToken> {
        let special = self.kind(id) == Kind::Control;
        if !special && self.kind(id) != Kind::UserDefined {
            return None;
        }
        let text = self.tokens[id as usize].clone();
        let mark = AddedToken::from(text, special).normalized(false);
        Some(mark.rstrip(self.swallows_blanks(id)))
    }

    fn pieces(&self, spelling: Spelling, strip_first_blank: bool) -> Result<Pieces, Error> {
        let mut pieces = Pieces::new(strip_first_blank);
        for (id, text) in self.tokens.iter().enumerate() {
            let own = match self.kind(id as u32) {
                Kind::Control | Kind::Unknown => Spelling::Silent,
                // Converters write those of SentencePiece with blanks, or with its sign for them.
                Kind::UserDefined if spelling == Spelling::ByteLevel => Spelling::Plain,
                _ => spelling,
            };
            pieces.push(text, own)?;
        }
        Ok(pieces)
    }

    fn ends(&self) -> Vec<u32> {
        let ids = 0..self.tokens.len() as u32;
        let named = ids.filter(|id| {
            self.kind(*id) == Kind::Control && TURN_ENDS.contains(&self.tokens[*id as usize].as_str())
        });
        let mut ends: Vec<u32> =
            self.eos.into_iter().chain(self.turn_ends.iter().copied()).chain(named).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

/// A merge's two parts. A part may itself begin with a blank, so that the first one has a letter at least.
fn split(pair: &str) -> Result<(String, String), Error> {
    let second = pair.char_indices().nth(1).map_or(0, |(at, _)| at);
    let blank = pair[second..].find(' ').map(|at| at + second);
    let (left, right) = blank.map(|at| (&pair[..at], &pair[at + 1..])).ok_or_else(|| {
        Error::Tokenizer(format!("tokenizer.ggml.merges has {pair:?}, which is no pair; the file is damaged"))
    })?;
    Ok((left.to_owned(), right.to_owned()))
}

fn cuts(pre: Pre) -> Result<PreTokenizerWrapper, Error> {
    let split = |regex: &&str| {
        let pattern = SplitPattern::Regex((*regex).to_owned());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::from)
    };
    let cuts: Result<Vec<_>, _> = pre.cuts.iter().map(split).collect();
    let mut cuts = cuts.map_err(|error| reason("a cut", error))?;
    if !pre.metaspace {
        cuts.push(ByteLevel::new(false, true, false).into());
    }
    Ok(Sequence::new(cuts).into())
}
