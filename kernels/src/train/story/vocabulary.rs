//! The story writer's vocabulary: byte-level byte-pair encoding, learned from generated stories.
//!
//! Every byte is a token of its own (there is no "unknown" token), so that any text can be encoded, in any
//! language, if not in few tokens. Source of the method: Radford et al. 2019 (GPT-2), section 2.2.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, PostProcessorWrapper, Tokenizer, TokenizerImpl};

/// What stands before every story: the start of a text.
pub const BEGIN: &str = "<|begin|>";
/// What stands after every story.
pub const END: &str = "<|end|>";
/// The id of [`BEGIN`]; special tokens come first.
pub const BEGIN_ID: u32 = 0;
/// The id of [`END`].
pub const END_ID: u32 = 1;

type Learner = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, ByteLevel>;

/// Learns a vocabulary of `size` tokens from the texts and returns it as the text of a `tokenizer.json`.
///
/// # Errors
/// What the `tokenizers` crate says, where it cannot learn or write the vocabulary.
pub fn learn(size: usize, texts: impl Iterator<Item = String> + Send) -> tokenizers::Result<String> {
    let special = [BEGIN, END].map(|name| AddedToken::from(name, true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .show_progress(false)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .build();
    let mut learner: Learner = TokenizerImpl::new(BPE::default());
    learner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    learner.with_decoder(Some(ByteLevel::default()));
    learner.train(&mut trainer, texts)?;
    Tokenizer::from(learner).to_string(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Tokenizer {
        let texts =
            (0..200).map(|at| format!("Once upon a time, a small fox named Mia found {at} red apples."));
        learn(300, texts).expect("learns").parse().expect("reads what it wrote")
    }

    #[test]
    fn every_text_survives_the_round_trip() {
        let rows = [
            ("", "nothing"),
            ("Once upon a time, a small fox", "what it was learned from"),
            ("  two  blanks\n\nand a tab\t.", "white space is text"),
            ("Grüße, žluťoučký kůň, 你好, 🦊👩‍👩‍👧", "bytes never seen in learning"),
            ("\u{0}\u{7f}\u{feff}", "control characters"),
        ];
        let tokenizer = learned();
        for (text, reason) in rows {
            let ids = tokenizer.encode(text, false).expect(reason);
            assert_eq!(tokenizer.decode(ids.get_ids(), false).expect(reason), text, "{reason}");
        }
    }

    #[test]
    fn special_tokens_have_the_ids_that_the_config_names() {
        let tokenizer = learned();
        assert_eq!(tokenizer.token_to_id(BEGIN), Some(BEGIN_ID));
        assert_eq!(tokenizer.token_to_id(END), Some(END_ID));
        assert!(tokenizer.get_vocab_size(true) <= 300, "the vocabulary is not larger than asked for");
    }

    #[test]
    fn common_words_become_few_tokens() {
        let ids = learned().encode("Once upon a time, a small fox named Mia", false).expect("encodes");
        assert!(ids.len() <= 12, "ten words and a comma took {} tokens", ids.len());
    }
}
