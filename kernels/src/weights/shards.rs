//! `model.safetensors.index.json`: which files a large checkpoint is cut into.

use crate::error::Error;
use crate::limits;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the index of a language model is called on the hub.
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The names of the files that an index lists, each once, in order. They lie in the folder of the index: a name that
/// leads elsewhere is refused.
///
/// # Errors
/// [`Error::Config`] if the index is too large, not readable, lists no file or too many, or a name is not plain.
pub fn shards(index: &[u8]) -> Result<Vec<String>, Error> {
    let bad = |reason: String| Error::Config(format!("{INDEX}: {reason}"));
    if index.len() > limits::INDEX_BYTES {
        return Err(bad(format!("{} bytes, {} at most", index.len(), limits::INDEX_BYTES)));
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| bad(error.to_string()))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    if files.is_empty() || files.len() > limits::SHARDS {
        return Err(bad(format!("{} files; between 1 and {} are supported", files.len(), limits::SHARDS)));
    }
    let plain = |name: &str| {
        let fitting = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(fitting)
    };
    match files.iter().find(|name| !plain(name)) {
        Some(name) => Err(bad(format!("{name:?} is not the name of a safetensors file in this folder"))),
        None => Ok(files.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_once_and_strange_names_refused() {
        let list = |json: &str| shards(json.as_bytes());
        let two = r#"{"metadata": {"total_size": 9}, "weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        assert_eq!(list(two).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        let rows = [
            (r#"{"weight_map": {}}"#, "no file"),
            (r#"{"weight_map": {"a": "../up.safetensors"}}"#, "another folder"),
            (r#"{"weight_map": {"a": "http://else/x.safetensors"}}"#, "another place"),
            (r#"{"weight_map": {"a": ".safetensors"}}"#, "a hidden file"),
            (r#"{"weight_map": {"a": "weights.bin"}}"#, "another format"),
            (r#"{"weight_map": {"a": 3}}"#, "not a name"),
            ("{}", "no map"),
        ];
        for (json, why) in rows {
            assert!(matches!(list(json), Err(Error::Config(_))), "{why}: {:?}", list(json));
        }
    }
}
