//! What reading the configurations of all parts has in common.

use crate::error::Error;
use crate::limits;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A size of a configuration: its name there, what it is, what it may be at most. None may be zero.
pub(crate) struct Bound(pub &'static str, pub usize, pub usize);

/// # Errors
/// [`Error::Config`] with the first size that is out of its bounds.
pub(crate) fn check(bounds: &[Bound]) -> Result<(), Error> {
    match bounds.iter().find(|Bound(_, found, most)| *found == 0 || found > most) {
        Some(Bound(name, found, most)) => {
            Err(Error::Config(format!("{name} is {found}; between 1 and {most} are supported")))
        }
        None => Ok(()),
    }
}

/// The class that a file of diffusers names, and the kind of model that one of transformers names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Class {
    #[serde(rename = "_class_name")]
    pub class: Option<String>,
    pub model_type: Option<String>,
    pub architectures: Option<Vec<String>>,
}

impl Class {
    /// # Errors
    /// [`Error::Config`] if it is no JSON object.
    pub fn of(json: &[u8]) -> Result<Self, Error> {
        parse(json)
    }
}

/// Reads a file of diffusers that has to be of one of `classes`.
///
/// # Errors
/// [`Error::Config`], or [`Error::Architecture`] for another class.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8], classes: &'static [&'static str]) -> Result<T, Error> {
    let found = Class::of(json)?.class.unwrap_or_default();
    if !classes.contains(&found.as_str()) {
        return Err(Error::Architecture { found, known: classes });
    }
    parse(json)
}

/// # Errors
/// [`Error::Config`] if it is too long or cannot be read.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    if json.len() > limits::CONFIG_BYTES {
        return Err(Error::Config(format!("{} bytes, {} at most", json.len(), limits::CONFIG_BYTES)));
    }
    serde_json::from_slice(json).map_err(|error| Error::Config(error.to_string()))
}
