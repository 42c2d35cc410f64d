//! `adapter_config.json`, as PEFT writes it.

use super::patterns::{Ordered, Patterns, Targets};
use crate::error::Error;
use crate::limits;
use crate::weights::manifest::{Adapts, Hash};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the file says of every matrix.
#[derive(Debug)]
pub(super) struct Settings {
    rank: usize,
    alpha: f64,
    rank_stabilised: bool,
    ranks: Patterns<usize>,
    alphas: Patterns<f64>,
    targets: Targets,
    /// The base models that it was made for; none if it does not say.
    pub bases: Vec<Hash>,
    /// What whoever trained it calls its base model.
    model: String,
}

#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    target_modules: Option<Names>,
    rank_pattern: Option<Ordered<usize>>,
    alpha_pattern: Option<Ordered<f64>>,
    #[serde(default)]
    init_lora_weights: Value,
    bias: Option<String>,
    manyhands_base: Option<Names>,
    base_model_name_or_path: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// One, or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Several(Vec<String>),
}

/// Lists and objects that say how an adapter was made, or where, and not what it computes. Which layers it changes is seen
/// from its tensors.
const TOLD: [&str; 6] = [
    "auto_mapping",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
];

/// How weights may have begun. All other ways change the base model as well.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

const CURE: &str = "let PEFT merge it into its base model, or train an adapter without it";

impl Settings {
    /// # Errors
    /// [`Error::Adapter`], also for everything that is not known here and may change what is computed.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(json)
            .map_err(|error| Error::Adapter(format!("adapter_config.json is not PEFT's: {error}")))?;
        raw.check()?;
        Ok(Self {
            rank: raw.r,
            alpha: raw.lora_alpha,
            rank_stabilised: raw.use_rslora,
            ranks: Patterns::new("rank_pattern", raw.rank_pattern.unwrap_or_default())?,
            alphas: Patterns::new("alpha_pattern", raw.alpha_pattern.unwrap_or_default())?,
            targets: Targets::new(raw.target_modules)?,
            bases: bases(raw.manyhands_base)?,
            model: raw.base_model_name_or_path.as_deref().map(called).unwrap_or_default(),
        })
    }

    /// What people are told of the adapter before anything else of it is read.
    pub fn told(self) -> Adapts {
        let rank = self.ranks.all().copied().fold(self.rank, usize::max);
        Adapts { rank: u32::try_from(rank).unwrap_or(u32::MAX), model: self.model, bases: self.bases }
    }

    /// Whether the adapter changes `module`, by its path in the base model.
    pub fn targets(&self, module: &str) -> bool {
        self.targets.contain(module)
    }

    /// The rank of its matrices there.
    ///
    /// # Errors
    /// [`Error::Adapter`] if it is none, or beyond [`limits::ADAPTER_RANK`].
    pub fn rank(&self, module: &str) -> Result<usize, Error> {
        let rank = self.ranks.of(module).copied().unwrap_or(self.rank);
        if (1..=limits::ADAPTER_RANK).contains(&rank) {
            return Ok(rank);
        }
        let most = limits::ADAPTER_RANK;
        Err(Error::Adapter(format!("{module} has rank {rank}; between 1 and {most} are possible")))
    }

    /// What `B·A` is multiplied with: `alpha / rank` (Hu et al. 2021), or `alpha / √rank` (Kalajdzievski 2023).
    ///
    /// # Errors
    /// As [`Settings::rank`]; also if it is no number.
    pub fn scale(&self, module: &str) -> Result<f32, Error> {
        let rank = self.rank(module)? as f64;
        let alpha = self.alphas.of(module).copied().unwrap_or(self.alpha);
        let scale = (alpha / if self.rank_stabilised { rank.sqrt() } else { rank }) as f32;
        let finite = scale.is_finite().then_some(scale);
        finite.ok_or_else(|| Error::Adapter(format!("{module} has lora_alpha {alpha}, which is too large")))
    }
}

impl Raw {
    fn check(&self) -> Result<(), Error> {
        let unknown = |what: String| Err(Error::Adapter(format!("{what} is not supported here: {CURE}")));
        if self.peft_type != "LORA" {
            return unknown(format!("peft_type {}", self.peft_type));
        }
        if self.bias.as_ref().is_some_and(|bias| bias != "none") {
            return unknown("a bias other than none".into());
        }
        if let Value::String(beginning) = &self.init_lora_weights
            && !BEGINNINGS.contains(&beginning.as_str())
        {
            return unknown(format!("init_lora_weights {beginning}, which changes the base model,"));
        }
        let switched = |value: &Value| match value {
            Value::Bool(on) => *on,
            Value::Array(some) => !some.is_empty(),
            Value::Object(some) => !some.is_empty(),
            // Numbers and texts are details of something that is switched on elsewhere.
            _ => false,
        };
        match self.others.iter().find(|(name, value)| !TOLD.contains(&name.as_str()) && switched(value)) {
            Some((name, _)) => unknown(name.clone()),
            None => Ok(()),
        }
    }
}

/// A name on a hub as it is; of a path the last part, for the rest is nobody's business.
fn called(name: &str) -> String {
    let is_path = name.starts_with(['/', '.', '~']) || name.contains(['\\', ':']);
    let name = if is_path { name.rsplit(['/', '\\']).find(|part| !part.is_empty()) } else { Some(name) };
    let name = name.unwrap_or_default();
    let end = name.floor_char_boundary(limits::MANIFEST_TEXT_BYTES);
    name[..end].to_owned()
}

fn bases(names: Option<Names>) -> Result<Vec<Hash>, Error> {
    let names = match names {
        Some(Names::One(name)) => vec![name],
        Some(Names::Several(names)) => names,
        None => Vec::new(),
    };
    let most = limits::ADAPTER_BASES;
    if names.len() > most {
        return Err(Error::Adapter(format!("manyhands_base names {} models, {most} at most", names.len())));
    }
    names.iter().map(|name| base(name)).collect()
}

/// 32 bytes in hexadecimal.
fn base(name: &str) -> Result<Hash, Error> {
    let bad = || Error::Adapter("manyhands_base is not an id of 64 hexadecimal digits, or several".into());
    let digits: Option<Vec<u8>> = name.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let bytes: Vec<u8> = digits
        .ok_or_else(bad)?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | half))
        .collect();
    <[u8; 32]>::try_from(bytes).ok().filter(|_| name.len() == 64).map(Hash).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Result<Settings, Error> {
        let json = format!(
            r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]{more}}}"#
        );
        Settings::from_json(json.as_bytes())
    }

    /// Rows: what is added to a sound file, the word that its refusal names, why.
    #[test]
    fn what_would_compute_something_else_is_refused_by_name() {
        let many = vec![format!("{:?}", "0f".repeat(32)); limits::ADAPTER_BASES + 1];
        let many = format!(r#", "manyhands_base": [{}]"#, many.join(", "));
        let rows = [
            (r#", "use_dora": true"#, "use_dora", "weights with magnitudes of their own"),
            (r#", "bias": "all""#, "bias", "biases that were trained too"),
            (r#", "lora_bias": true"#, "lora_bias", "biases of the adapter's own"),
            (r#", "modules_to_save": ["lm_head"]"#, "modules_to_save", "whole matrices"),
            (r#", "fan_in_fan_out": true"#, "fan_in_fan_out", "transposed matrices"),
            (
                r#", "target_parameters": ["mlp.experts.gate_up_proj"]"#,
                "target_parameters",
                "stacked experts",
            ),
            (r#", "layer_replication": [[0, 4]]"#, "layer_replication", "other layers than the base has"),
            (r#", "init_lora_weights": "pissa_niter_16""#, "pissa", "a base that was changed on beginning"),
            (r#", "from_next_year": {"on": 1}"#, "from_next_year", "what nobody here knows yet"),
            (r#", "manyhands_base": "12ab""#, "manyhands_base", "half an id"),
            (r#", "manyhands_base": ["é2"]"#, "manyhands_base", "no digits"),
            (many.as_str(), "manyhands_base", "models without end"),
            (r#", "rank_pattern": {"(": 3}"#, "rank_pattern", "an expression that is none"),
        ];
        for (more, named, why) in rows {
            let error = settings(more).expect_err(why).to_string();
            assert!(error.contains(named), "{why}: {error}");
        }
    }

    #[test]
    fn what_only_tells_is_passed_over() {
        let more = r#", "auto_mapping": {"base_model_class": "LlamaForCausalLM"}, "bias": "none", "inference_mode": true,
            "init_lora_weights": true, "layers_to_transform": [1], "use_dora": false, "qalora_group_size": 16,
            "megatron_core": "megatron.core", "loftq_config": {}, "modules_to_save": null, "alpha_pattern": {}"#;
        let settings = settings(more).unwrap();
        assert_eq!((settings.rank("a").unwrap(), settings.scale("a").unwrap()), (4, 2.0));
        assert!(settings.bases.is_empty());
    }

    #[test]
    fn rank_and_scale_go_by_the_first_pattern_that_fits() {
        let more = r#", "use_rslora": true, "rank_pattern": {"layers\\.[12]\\..*k_proj": 16, "k_proj": 9},
            "alpha_pattern": {"mlp\\..*": 3, "model.layers.1.mlp.up_proj": 100}"#;
        let settings = settings(more).unwrap();
        let rows = [
            ("model.layers.1.self_attn.k_proj", 16, 2.0, "the first of two that fit"),
            ("model.layers.3.self_attn.k_proj", 9, 8.0 / 3.0, "a name at the end of a path"),
            ("model.layers.1.mlp.up_proj", 4, 1.5, "from anywhere after a point"),
            ("model.layers.1.xmlp.up_proj", 4, 4.0, "not in the middle of a word"),
            ("k_proj", 9, 8.0 / 3.0, "a name that is the path"),
        ];
        for (module, rank, scale, why) in rows {
            assert_eq!(
                (settings.rank(module).unwrap(), settings.scale(module).unwrap()),
                (rank, scale as f32),
                "{why}"
            );
        }
    }

    #[test]
    fn ranks_have_bounds() {
        for rank in ["0", "1025", "18446744073709551615"] {
            let settings = settings(&format!(r#", "rank_pattern": {{"a": {rank}}}"#)).unwrap();
            assert!(settings.rank("a").is_err(), "{rank}");
            assert!(settings.rank("b").is_ok());
        }
        let settings = settings(r#", "alpha_pattern": {"a": 1e300}"#).unwrap();
        assert!(settings.scale("a").is_err(), "no f32");
    }

    #[test]
    fn what_people_are_told_is_the_largest_rank_and_no_path() {
        let rows = [
            ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M", "a name on a hub"),
            ("/home/ada/models/tales/", "tales", "a folder"),
            (r"C:\\models\\tales", "tales", "a folder elsewhere"),
            ("./tales", "tales", "a folder nearby"),
            ("", "", "nothing"),
        ];
        for (name, told, why) in rows {
            let more =
                format!(r#", "base_model_name_or_path": "{name}", "rank_pattern": {{"a": 9, "b": 2}}"#);
            let adapts = settings(&more).expect(why).told();
            assert_eq!((adapts.model.as_str(), adapts.rank), (told, 9), "{why}");
        }
    }

    #[test]
    fn a_base_is_named_in_hexadecimal() {
        let (one, other) = ("0f".repeat(32), "F0".repeat(32));
        assert_eq!(settings(&format!(r#", "manyhands_base": "{one}""#)).unwrap().bases, [Hash([0x0f; 32])]);
        let both = settings(&format!(r#", "manyhands_base": ["{one}", "{other}"]"#)).unwrap().bases;
        assert_eq!(both, [Hash([0x0f; 32]), Hash([0xf0; 32])]);
    }
}
