//! What changes a model that writes, in every command that has one.

use crate::compute::ModelSource;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Adapters {
    /// A LoRA adapter of the model that writes, a folder as PEFT writes it, and how much of it is added (1 if that is not said);
    /// may be repeated. Everybody in a room has to do the same.
    #[arg(long = "adapter", value_name = "DIR[=WEIGHT]", value_parser = adapter)]
    chosen: Vec<(PathBuf, f32)>,
}

impl Adapters {
    /// Folders and weights.
    pub fn chosen(&self) -> &[(PathBuf, f32)] {
        &self.chosen
    }

    /// The same for a worker.
    pub fn sources(&self) -> Vec<(ModelSource, f32)> {
        self.chosen.iter().map(|(folder, weight)| (folder.to_string_lossy().into_owned(), *weight)).collect()
    }
}

/// `DIR` or `DIR=WEIGHT`; what follows a last `=` and is no number belongs to the name.
fn adapter(text: &str) -> Result<(PathBuf, f32), String> {
    let weighed = text.rsplit_once('=').and_then(|(folder, weight)| Some((folder, weight.parse().ok()?)));
    let (folder, weight) = weighed.unwrap_or((text, 1.0));
    let most = kernels::limits::ADAPTER_WEIGHT;
    if !(-most..=most).contains(&weight) {
        return Err(format!("a weight of {weight}; between -{most} and {most} are possible"));
    }
    if !Path::new(folder).join("adapter_config.json").is_file() {
        return Err(format!("{folder} holds no adapter_config.json: a folder as PEFT writes it is needed"));
    }
    Ok((folder.into(), weight))
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
            let expected = expected.map(|(folder, weight)| (home.join(folder), weight));
            assert_eq!(found.ok(), expected, "{why}");
        }
        std::fs::remove_dir_all(home).unwrap();
    }
}
