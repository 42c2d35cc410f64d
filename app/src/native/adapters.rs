//! What changes a model that writes, in every command that has one.

use crate::compute::{self, ADAPTER_WEIGHT, ModelSource, source};
use clap::Args;
use std::path::Path;

#[derive(Args)]
pub struct Adapters {
    /// A LoRA adapter of the model that writes, and how much of it is added (1 if that is not said): a folder as PEFT writes it, or what
    /// `manyhands manifest` calls it, if somebody in the room has it. May be repeated. Everybody in a room has to do the same.
    #[arg(long = "adapter", value_name = "DIR|content:ID[=WEIGHT]", value_parser = adapter)]
    chosen: Vec<(ModelSource, f32)>,
}

impl Adapters {
    /// Where they are, and how much of each.
    pub fn chosen(&self) -> &compute::Adapters {
        &self.chosen
    }
}

/// `DIR` or `DIR=WEIGHT`, and so for contents; what follows a last `=` and is no number belongs to the name.
fn adapter(text: &str) -> Result<(ModelSource, f32), String> {
    let weighed = text.rsplit_once('=').and_then(|(folder, weight)| Some((folder, weight.parse().ok()?)));
    let (place, weight) = weighed.unwrap_or((text, 1.0));
    if !(-ADAPTER_WEIGHT..=ADAPTER_WEIGHT).contains(&weight) {
        return Err(format!(
            "a weight of {weight}; between -{ADAPTER_WEIGHT} and {ADAPTER_WEIGHT} are possible"
        ));
    }
    if source::content(place)?.is_none() && !Path::new(place).join(source::ADAPTER_CONFIG).is_file() {
        return Err(format!("{place} holds no adapter_config.json: a folder as PEFT writes it is needed"));
    }
    Ok((place.to_owned(), weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_may_follow_the_folder() {
        let home = std::env::temp_dir().join(format!("manyhands-adapters-{}", std::process::id()));
        for folder in ["a", "a=b"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
            std::fs::write(home.join(folder).join("adapter_config.json"), "{}").unwrap();
        }
        let rows = [
            ("a", Some(("a", 1.0)), "a folder alone"),
            ("a=0.5", Some(("a", 0.5)), "half of it"),
            ("a=-2", Some(("a", -2.0)), "against it"),
            ("a=b", Some(("a=b", 1.0)), "a name with the sign"),
            ("a=b=3", Some(("a=b", 3.0)), "the last sign counts"),
            ("a=nan", None, "no number"),
            ("a=1e9", None, "too much"),
            ("c", None, "no such folder"),
        ];
        for (text, expected, why) in rows {
            let found = adapter(&home.join(text).to_string_lossy());
            let expected =
                expected.map(|(folder, weight)| (home.join(folder).to_string_lossy().into_owned(), weight));
            assert_eq!(found.ok(), expected, "{why}");
        }
        let content = source::of_content(&[7; 32], "");
        assert_eq!(adapter(&format!("{content}=0.5")), Ok((content.clone(), 0.5)), "what the room has");
        assert!(adapter("content:07").is_err(), "half a name");
        std::fs::remove_dir_all(home).unwrap();
    }
}
