//! What a model is called by: a folder, an address, one GGUF file in either, or files that a person chose.

/// A source, and the query of an address, with its `?`: what signs it, for instance. Empty for everything else.
#[must_use]
pub fn query(source: &str) -> (&str, &str) {
    let at = source.find('?').filter(|_| is_address(source)).unwrap_or(source.len());
    source.split_at(at)
}

/// True if a server has it.
#[must_use]
pub fn is_address(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}

/// The file's name, if the model `source` is one GGUF file.
#[must_use]
pub fn gguf_name(source: &str) -> Option<&str> {
    let name = query(source).0.rsplit(['/', '\\']).next()?;
    name.to_ascii_lowercase().ends_with(".gguf").then_some(name)
}

/// What people call it: the last part of where it lies.
#[must_use]
pub fn name(source: &str) -> &str {
    let plain = query(source).0.trim_end_matches(['/', '\\']);
    plain.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("model")
}

/// What matrices of floats become while they are loaded; stands behind the source of a model, after a `#`.
pub const QUANTISATIONS: [&str; 2] = ["q8_0", "q4_0"];

/// A source, and what follows it of [`QUANTISATIONS`].
#[must_use]
pub fn quantised(source: &str) -> (&str, Option<&str>) {
    match half_cached(source).0.rsplit_once('#') {
        Some((plain, format)) if QUANTISATIONS.contains(&format) => (plain, Some(format)),
        _ => (half_cached(source).0, None),
    }
}

/// What stands behind the source of a model, and behind its quantisation, where caches are to hold half precision.
const HALF_CACHE: &str = "#f16-cache";

/// A source, and whether caches hold half precision.
#[must_use]
pub fn half_cached(source: &str) -> (&str, bool) {
    source.strip_suffix(HALF_CACHE).map_or((source, false), |plain| (plain, true))
}

/// The source of a model with what it is asked to be.
#[must_use]
pub fn with(source: &str, quantisation: Option<&str>, half_cache: bool) -> String {
    let format = quantisation.map(|format| format!("#{format}")).unwrap_or_default();
    format!("{source}{format}{}", if half_cache { HALF_CACHE } else { "" })
}

/// How the source of a model begins that consists of a person's own files.
pub const OWN: &str = "files:/";

/// How it begins if the person gives them to the room, too.
const GIVEN: &str = "files-for-the-room:/";

/// True if a model consists of a person's own files, chosen in the page.
#[must_use]
pub fn is_own(source: &str) -> bool {
    source.starts_with(OWN) || is_given(source)
}

/// True if others may fetch them from here.
#[must_use]
pub fn is_given(source: &str) -> bool {
    source.starts_with(GIVEN)
}

/// The same files, for others as well.
#[must_use]
pub fn given(source: &str) -> String {
    source.strip_prefix(OWN).map_or_else(|| source.to_owned(), |rest| format!("{GIVEN}{rest}"))
}

/// How the source of a model begins that is known by its content alone; 64 hexadecimal digits follow, and what of it is meant.
const CONTENT: &str = "content:";

/// The content that a source names, whichever file of it is meant.
///
/// # Errors
/// In plain words, if it should be one and is none.
pub fn content(source: &str) -> Result<Option<[u8; 32]>, String> {
    let Some(rest) = source.strip_prefix(CONTENT) else { return Ok(None) };
    let digits = rest.split('/').next().unwrap_or_default();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let plain = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    let bytes = bytes.filter(|_| plain).and_then(|bytes| bytes.try_into().ok());
    let wrong =
        || format!("{CONTENT} is followed by 64 hexadecimal digits, as `manyhands manifest` prints them");
    bytes.map(Some).ok_or_else(wrong)
}

/// The source that names a content, and a file of it if that is what is meant.
#[must_use]
pub fn of_content(id: &[u8; 32], file: &str) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{CONTENT}{digits}/{file}")
}

/// The file of an adapter that says what it is, as PEFT calls it.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// True if files of these names are an adapter, and no model.
#[must_use]
pub fn is_adapter(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|one| one == name);
    has(ADAPTER_CONFIG) && !has("config.json")
}

/// A person's own files, as they were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// A model.
    Model(String),
    /// Something that changes one.
    Adapter(String),
}

/// What a person's own files are, given what they are called; `folder` is what the folder is called that they lie in, if the
/// person chose one. A source of `taken` names other files.
///
/// # Errors
/// In plain words, if they are nothing that can be used.
pub fn own_files(names: &[String], folder: Option<&str>, taken: &[String]) -> Result<Chosen, String> {
    if !is_adapter(names) {
        return own_source(names).map(Chosen::Model);
    }
    if !names.iter().any(|name| name == "adapter_model.safetensors") {
        return Err(format!(
            "There is no adapter_model.safetensors among these files. Choose both files of an adapter: that one and {ADAPTER_CONFIG}."
        ));
    }
    let plain = folder.unwrap_or("adapter").replace(['/', '\\', '#', '?'], " ");
    let numbered = (2..).map(|number| format!("{OWN}{plain} {number}/"));
    let free =
        std::iter::once(format!("{OWN}{plain}/")).chain(numbered).find(|source| !taken.contains(source));
    Ok(Chosen::Adapter(free.unwrap_or_default()))
}

/// What a person's own files are kept by, given to the room or not: the source of what they are.
#[must_use]
pub fn own_key(source: &str) -> String {
    source.strip_prefix(GIVEN).map_or_else(|| source.to_owned(), |rest| format!("{OWN}{rest}"))
}

/// The source of a model of a person's own files, given what they are called.
///
/// # Errors
/// In plain words, if they are no model.
fn own_source(names: &[String]) -> Result<String, String> {
    let ggufs: Vec<&str> = names.iter().filter_map(|name| gguf_name(name)).collect();
    match ggufs[..] {
        [name] => return Ok(format!("{OWN}{name}")),
        [_, _, ..] => return Err("These are several models: choose one .gguf file.".into()),
        [] => {}
    }
    if names.iter().any(|name| name == "model_index.json") {
        return Ok(format!("{OWN}your folder/"));
    }
    let missing = ["config.json", "tokenizer.json"].into_iter().find(|name| !names.iter().any(|n| n == name));
    let weights = names.iter().any(|name| name.ends_with(".safetensors"));
    let missing = missing.or((!weights).then_some("model.safetensors"));
    match missing {
        None => Ok(format!("{OWN}your files/")),
        Some(name) => Err(format!(
            "There is no {name} among these files. Choose one .gguf file, or all files of a model's folder: config.json, tokenizer.json and model.safetensors; of one that paints choose the folder."
        )),
    }
}

/// The source that a person means by an address as it was typed or copied: of a folder, of a GGUF file, or of either's
/// page on a hub that is laid out as Hugging Face's is.
///
/// # Errors
/// In plain words, if it is no address.
pub fn address(typed: &str) -> Result<String, String> {
    let (plain, query) = query(typed.trim().split('#').next().unwrap_or_default());
    if !["https://", "http://"].iter().any(|scheme| plain.len() > scheme.len() && plain.starts_with(scheme)) {
        return Err(
            "An address begins with https:// and leads to a .gguf file, or to a folder with config.json, tokenizer.json and model.safetensors."
                .into(),
        );
    }
    let file = plain.replacen("/blob/", "/resolve/", 1).replacen("/tree/", "/resolve/", 1);
    match gguf_name(&file) {
        // Hubs add this to their buttons; anything else may be what lets one in.
        Some(_) if query == "?download=true" => Ok(file),
        Some(_) => Ok(file + query),
        None if file.ends_with('/') => Ok(file),
        None => Ok(file + "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_quantisations_are_taken_off() {
        let rows = [
            ("assets/story#q8_0", ("assets/story", Some("q8_0"))),
            ("https://host/a.gguf#q4_0", ("https://host/a.gguf", Some("q4_0"))),
            ("folder#1", ("folder#1", None)),
            ("folder", ("folder", None)),
        ];
        for (source, expected) in rows {
            assert_eq!(quantised(source), expected);
            assert!(!half_cached(source).1);
            let (plain, quantisation) = expected;
            let asked = with(plain, quantisation, true);
            assert!(half_cached(&asked).1);
            assert_eq!(quantised(&asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_file_is_found_by_its_path() {
        let rows = [
            ("https://host/a/b.gguf?key=x/y", Some("b.gguf")),
            ("https://host/a/?b.gguf", None),
            ("folder/what?.gguf", Some("what?.gguf")),
            ("folder\\a.GGUF", Some("a.GGUF")),
            ("folder/", None),
        ];
        for (source, name) in rows {
            assert_eq!(gguf_name(source), name, "{source}");
        }
    }

    #[test]
    fn own_files_are_a_model_or_it_is_said_what_is_missing() {
        let rows: [(&[&str], Result<&str, &str>); 7] = [
            (&["a-Q8_0.gguf"], Ok("files:/a-Q8_0.gguf")),
            (&["readme.md", "A.GGUF"], Ok("files:/A.GGUF")),
            (
                &["config.json", "tokenizer.json", "model-00001-of-00002.safetensors"],
                Ok("files:/your files/"),
            ),
            (&["model_index.json", "transformer/config.json"], Ok("files:/your folder/")),
            (&["a.gguf", "b.gguf"], Err("several")),
            (&["config.json", "model.safetensors"], Err("tokenizer.json")),
            (&["config.json", "tokenizer.json"], Err("model.safetensors")),
        ];
        for (names, expected) in rows {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            match (own_source(&names), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(why), Err(word)) => assert!(why.contains(word), "{names:?}: {why}"),
                (found, _) => panic!("{names:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn an_adapter_is_told_from_a_model_and_from_other_adapters() {
        let pair = [ADAPTER_CONFIG, "adapter_model.safetensors"];
        let taken = ["files:/adapter/", "files:/adapter 2/"];
        let own = |source: &str| Some(Chosen::Adapter(source.to_owned()));
        let model = Some(Chosen::Model("files:/your files/".into()));
        let whole = [&pair[..], &["config.json", "tokenizer.json", "model.safetensors"]].concat();
        type Row<'a> = (&'a [&'a str], Option<&'a str>, &'a [&'a str], Option<Chosen>, &'a str);
        let rows: [Row<'_>; 6] = [
            (&pair, None, &[], own("files:/adapter/"), "two files"),
            (&pair, Some("wild"), &taken, own("files:/wild/"), "a folder has a name"),
            (&pair, None, &taken, own("files:/adapter 3/"), "others are here"),
            (&pair, Some("a#q8_0"), &[], own("files:/a q8_0/"), "a name that says nothing else"),
            (&pair[..1], None, &[], None, "half of it"),
            (&whole, None, &[], model, "a model that an adapter lies beside"),
        ];
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (names, folder, taken, expected, why) in rows {
            assert_eq!(own_files(&owned(names), folder, &owned(taken)).ok(), expected, "{why}");
        }
        assert_eq!(own_key(&given("files:/wild/")), "files:/wild/");
    }

    #[test]
    fn what_is_given_to_the_room_says_so() {
        let mine = own_source(&["a.gguf".to_owned()]).unwrap();
        assert!(is_own(&mine) && !is_given(&mine), "{mine}");
        let ours = given(&mine);
        assert!(is_own(&ours) && is_given(&ours) && gguf_name(&ours) == Some("a.gguf"), "{ours}");
        assert_eq!(
            given("https://host/a.gguf"),
            "https://host/a.gguf",
            "what lies elsewhere lies there for all"
        );
        assert!(!is_own("assets/story") && !is_own(&of_content(&[1; 32], "")));
    }

    #[test]
    fn contents_are_named_by_all_of_their_digits() {
        let id = [0xab; 32];
        let plain = of_content(&id, "");
        let rows = [
            (plain.clone(), Ok(Some(id)), "as it is written here"),
            (
                plain.trim_end_matches('/').to_uppercase().replace("CONTENT", "content"),
                Ok(Some(id)),
                "by hand",
            ),
            (of_content(&id, "a.gguf"), Ok(Some(id)), "one file of it"),
            ("https://host/content/".into(), Ok(None), "something else"),
            ("content:".into(), Err(()), "nothing"),
            (plain[..40].to_owned(), Err(()), "cut off"),
            (plain.replace("ab/", "a+/"), Err(()), "no digit"),
            (plain.replace("abab", "aä"), Err(()), "no digit either"),
        ];
        for (source, want, why) in rows {
            assert_eq!(content(&source).map_err(drop), want, "{why}: {source}");
        }
        assert_eq!(gguf_name(&of_content(&id, "a.gguf")), Some("a.gguf"));
    }

    #[test]
    fn addresses_are_taken_as_people_copy_them() {
        let rows = [
            (" https://host/model ", Ok("https://host/model/")),
            ("https://host/a/b.gguf?download=true", Ok("https://host/a/b.gguf")),
            ("https://host/a/b.gguf?key=a/b&until=9", Ok("https://host/a/b.gguf?key=a/b&until=9")),
            ("https://host/a?b=c.gguf", Ok("https://host/a/")),
            ("https://host/org/name/blob/main/b.GGUF#top", Ok("https://host/org/name/resolve/main/b.GGUF")),
            ("https://host/org/name/tree/main", Ok("https://host/org/name/resolve/main/")),
            ("http://localhost:8080/story/", Ok("http://localhost:8080/story/")),
            ("", Err("https://")),
            ("ftp://host/model", Err("https://")),
            ("model.gguf", Err("https://")),
        ];
        for (typed, expected) in rows {
            match (address(typed), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(why), Err(word)) => assert!(why.contains(word), "{typed}: {why}"),
                (found, _) => panic!("{typed}: {found:?}"),
            }
        }
    }
}
