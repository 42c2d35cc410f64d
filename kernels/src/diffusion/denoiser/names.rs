//! What diffusers calls the tensors of a denoiser, and their shapes.

use super::Config;
use crate::llm::Layers;
use crate::llm::names::{Needed, ProductNames};

/// Everything that `layers` and the ends that belong to them need, in the order in which it is loaded.
///
/// `modulation`: with what computes the modulations; without it they have to come as a table.
pub(super) fn needed(config: &Config, layers: Layers, modulation: bool) -> Vec<Needed> {
    let mut all: Vec<Needed> = Vec::new();
    let mut add = |names: ProductNames| all.extend(names.into_all());
    if layers.start == 0 {
        patch_in(config).into_iter().for_each(&mut add);
    }
    add(text_in(config));
    if modulation {
        time_in(config).into_iter().for_each(&mut add);
        resolution_in(config).into_iter().flatten().for_each(&mut add);
    }
    for layer in layers.range() {
        all.extend(BlockNames::new(config, layer).into_all(modulation));
    }
    if layers.end == config.depth {
        if modulation {
            all.extend(last_modulation(config).into_all());
        }
        all.extend(last(config).into_all());
    }
    all
}

/// The tensors of one block.
pub(super) struct BlockNames {
    pub modulation: ProductNames,
    pub qkv: ProductNames,
    pub query_norm: Needed,
    pub key_norm: Needed,
    pub text_kv: ProductNames,
    pub text_key_norm: Needed,
    pub output: ProductNames,
    pub gate_up: ProductNames,
    pub down: ProductNames,
}

impl BlockNames {
    pub fn new(config: &Config, layer: usize) -> Self {
        let of = |part: &str| format!("blocks.{layer}.{part}");
        let (width, ff) = (config.width, config.ff_width);
        let norm = |part: &str| Needed { name: of(part), shape: vec![config.head_dim()] };
        let plain = |part: &str, output, input| ProductNames::new([(of(part), output)], input, false);
        Self {
            modulation: ProductNames::new([(of("modulation.lin"), 6 * width)], width, true),
            qkv: plain("attention.img_qkv_proj", 3 * width, width),
            query_norm: norm("attention.norm_q.weight"),
            key_norm: norm("attention.norm_k.weight"),
            text_kv: plain("attention.txt_kv_proj", 2 * width, width),
            text_key_norm: norm("attention.norm_added_k.weight"),
            output: plain("attention.to_out.0", width, width),
            gate_up: ProductNames::new([(of("gate_proj"), ff), (of("up_proj"), ff)], width, false),
            down: plain("down_proj", width, ff),
        }
    }

    fn into_all(self, modulation: bool) -> Vec<Needed> {
        let mut all = Vec::new();
        if modulation {
            all.extend(self.modulation.into_all());
        }
        all.extend(self.qkv.into_all());
        all.extend([self.query_norm, self.key_norm]);
        all.extend(self.text_kv.into_all());
        all.push(self.text_key_norm);
        all.extend(self.output.into_all());
        all.extend(self.gate_up.into_all());
        all.extend(self.down.into_all());
        all
    }
}

/// One product, or two with a bottleneck between them.
pub(super) fn patch_in(config: &Config) -> Vec<ProductNames> {
    let (patch, width) = (config.patch_numbers(), config.width);
    match config.bottleneck {
        Some(few) => {
            vec![biased("img_in.0".into(), few, patch), biased("img_in.1".into(), width, few)]
        }
        None => vec![biased("img_in".into(), width, patch)],
    }
}

pub(super) fn text_in(config: &Config) -> ProductNames {
    biased("txt_in".into(), config.width, config.text_width)
}

/// Channels of the sinusoids of a time, and of height and width together.
pub(super) const SINUSOIDS: usize = 256;

pub(super) fn time_in(config: &Config) -> [ProductNames; 2] {
    embedder("time_in", config)
}

pub(super) fn resolution_in(config: &Config) -> Option<[ProductNames; 2]> {
    config.resolution.then(|| embedder("resolution_embedder.mlp", config))
}

fn embedder(prefix: &str, config: &Config) -> [ProductNames; 2] {
    let width = config.width;
    [
        biased(format!("{prefix}.in_layer"), width, SINUSOIDS),
        biased(format!("{prefix}.out_layer"), width, width),
    ]
}

pub(super) fn last_modulation(config: &Config) -> ProductNames {
    biased("final_layer.adaLN_modulation.1".into(), 2 * config.width, config.width)
}

pub(super) fn last(config: &Config) -> ProductNames {
    biased("final_layer.linear".into(), config.patch_numbers(), config.width)
}

fn biased(name: String, output: usize, input: usize) -> ProductNames {
    ProductNames::new([(name, output)], input, true)
}
