//! How byte-level vocabularies cut a text into words before merging, by the names that GGUF files give.
//!
//! Source: the `pre_tokenizer` of each model's own `tokenizer.json`; where a GGUF converter wrote down another form
//! of it, the goldens of llama.cpp decide. A text is cut by the first expression, the pieces and the gaps between
//! them by the second, and so on.

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pre {
    /// Regular expressions, in the order in which they cut.
    pub(super) cuts: &'static [&'static str],
    /// A word that is in the vocabulary is taken as it is, even where no merges lead to it.
    pub(super) whole_words: bool,
    /// A text starts with the id for that, where the file does not say.
    pub(super) starts: bool,
    /// Merges work on characters with `▁` for a blank, as in SentencePiece, not on bytes.
    pub(super) metaspace: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Letters that have a case, in the Unicode version of that model; by number, because some of them look alike.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}-\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}-\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}-\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+";
const CJK: &str = "[一-龥ࠀ-一가-\u{D7FF}]+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const LINES: &str = r"[^\n]+|[\n]+";

/// Names, the expressions that they cut by, whether whole words are taken, and whether a text starts with an id.
type Row = (&'static [&'static str], &'static [&'static str], bool, bool);

const ROWS: &[Row] = &[
    (
        &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        &[LLAMA3],
        true,
        true,
    ),
    (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA3], false, false),
    (&["minicpm5"], &[r"\p{N}{1,3}", LLAMA3], true, false),
    (
        &["qwen2", "stablelm2", "deepseek-r1-qwen", "hunyuan", "megrez", "kormo", "grok-2", "solar-open"],
        &[QWEN2],
        false,
        false,
    ),
    (&["qwen35"], &[QWEN35], false, false),
    (
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
            "modern-bert",
        ],
        &[GPT2],
        false,
        false,
    ),
    (
        &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT2],
        false,
        false,
    ),
    (&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], false, false),
    (&["default", ""], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], false, false),
    (
        &["deepseek-llm"],
        &[r"[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", CJK, r"\p{N}+"],
        false,
        false,
    ),
    (&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"], false, false),
    (
        &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        &[r"\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", DEEPSEEK3],
        false,
        false,
    ),
    (&["tekken"], &[TEKKEN], true, true),
    (&["gpt-4o", "llama4", "kanana2", "minimax-m2"], &[GPT4O], false, false),
    (&["kimi-k2"], &[KIMI], false, false),
    (&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM], false, false),
    (&["viking"], &[BLOOM, r"\p{N}"], false, false),
    (&["seed-coder"], &[SEED], false, false),
    (&["bailingmoe", "bailingmoe2", "llada-moe"], &[BAILING], false, false),
    (&["exaone-moe"], &[EXAONE_MOE], false, false),
];

/// What `name` stands for, if it is known here.
pub(super) fn of(name: &str) -> Option<Pre> {
    if ["gemma4", "sarvam-moe"].contains(&name) {
        return Some(Pre { cuts: &[LINES], whole_words: false, starts: name == "gemma4", metaspace: true });
    }
    let (_, cuts, whole_words, starts) = ROWS.iter().find(|(names, ..)| names.contains(&name))?;
    Some(Pre { cuts, whole_words: *whole_words, starts: *starts, metaspace: false })
}

/// All names, for the error that lists them.
pub(super) fn known() -> String {
    let named = ROWS.iter().flat_map(|(names, ..)| names.iter()).filter(|name| !name.is_empty());
    named.copied().chain(["gemma4", "sarvam-moe"]).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    };

    fn cut(name: &str, text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        for regex in of(name).expect(name).cuts {
            let pattern = SplitPattern::Regex((*regex).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).expect(regex);
            split.pre_tokenize(&mut pieces).expect(regex);
        }
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(piece, ..)| piece.to_owned()).collect()
    }

    /// Every expression compiles, and no cut loses or doubles a character.
    #[test]
    fn every_name_cuts_a_text_into_all_of_itself() {
        let text = "I'VE 1234567 apples,\r\n\r\n  naïve 你好 かな 한국 κόσμε ''' <|x|> ３ \t\u{3000}end  ";
        for name in ROWS.iter().flat_map(|(names, ..)| names.iter()).chain(&["gemma4", "sarvam-moe"]) {
            let pieces = cut(name, text);
            assert_eq!(pieces.concat(), text, "{name}");
            assert!(pieces.len() > 2, "{name} cut nothing");
        }
    }

    /// Rows: name, text, pieces, what tells this one from its neighbours.
    #[test]
    fn names_cut_as_their_models_do() {
        let rows: [(&str, &str, &[&str], &str); 12] = [
            ("gpt-2", "12345 a", &["12345", " a"], "numbers stay whole"),
            ("smollm", "12345 a", &["1", "2", "3", "4", "5", " a"], "each digit alone"),
            ("qwen2", "a 12", &["a", " ", "1", "2"], "each digit alone, the blank too"),
            ("llama-bpe", "12345", &["123", "45"], "three digits at most"),
            ("llama-bpe", "I'M", &["I", "'M"], "contractions in capitals too"),
            ("gpt-2", "I'M", &["I", "'", "M"], "only small ones"),
            ("falcon", "1234=", &["123", "4", "="], "three digits exactly, the rest alone"),
            ("deepseek-llm", "a\nb 12", &["a", "\n", "b", " ", "12"], "lines end alone"),
            ("deepseek-coder", "12", &["1", "2"], "each digit alone"),
            ("deepseek-v3", "1234你好a", &["123", "4", "你好", "a"], "han apart from latin"),
            ("gpt-4o", "fooBar", &["foo", "Bar"], "camel case is cut"),
            ("viking", "a12.", &["a", "1", "2", "."], "stops and digits alone"),
        ];
        for (name, text, pieces, why) in rows {
            assert_eq!(cut(name, text), pieces, "{name}: {why}");
        }
        assert_eq!(of("no-such-name"), None);
    }
}
